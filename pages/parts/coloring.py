"""What points can be coloured by: the class, where K-means puts them, who finds them right, any column."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st

from core.analysis.metrics import METRICS
from core.analysis.table import EmbeddingTable
from core.experiments.handles import Run
from core.report import palette
from core.results import scoring
from pages.parts import file_stamp, scatter
from pages.parts.scatter import Color

RIGHT, WRONG = "#0072B2", "#D55E00"
NEITHER, BOTH = "#B01060", "#8A94A0"
TRUST = ("trustworthiness", "continuity")  # of a layout, point by point
MOST_GROUPS = 48  # as many as there are colours to tell apart


def choices(spaces: list[EmbeddingTable]) -> list[str]:
    """What these spaces can be coloured by; the class first."""
    titles = ["label", "cluster", "right or wrong"]
    if len(spaces) > 1:
        titles.append("won or lost")
    titles += [name for name in ("split", "group") if 1 < len(set(getattr(spaces[0], name).tolist())) <= MOST_GROUPS]
    return [*titles, *(METRICS[name].title for name in _NUMBERS), *TRUST]


_NUMBERS = ("map_at_r", "r_precision", "kmeans_accuracy", "silhouette")  # of a sample, and more than right or wrong


def color(name: str, spaces: list[EmbeddingTable], runs: list[Run], titles: tuple[str, ...],
          trust: Callable[[str], tuple[np.ndarray, ...]]) -> Color:
    """One of the choices as colours of the samples.

    Args:
        name: one of `choices`.
        spaces: one or two, the same sample in the same row.
        runs: theirs.
        titles: what the runs are called.
        trust: gives one of `TRUST` of each point of each layout, shape (n,), nan where not measured.
    """
    classes = spaces[0].classes
    match name:
        case "label":
            return scatter.by_category("class", [spaces[0].label_id], classes, is_label=True)
        case "cluster":
            return scatter.by_category("cluster matched to", [space.cluster for space in spaces], classes)
        case "right or wrong":
            values = [np.where(np.isnan(hit), -1, 1 - np.nan_to_num(hit)) for hit in _per_sample("knn_accuracy", spaces, runs)]
            return scatter.by_category("k-NN", values, ("right by k-NN", "wrong by k-NN"), [RIGHT, WRONG])
        case "won or lost":
            a, b = _per_sample("knn_accuracy", spaces, runs)
            both = np.where(np.isnan(a) | np.isnan(b), -1, 2 * (1 - np.nan_to_num(a)) + 1 - np.nan_to_num(b))
            names = ("both right", f"only A right ({titles[0]})", f"only B right ({titles[1]})", "both wrong")
            return scatter.by_category("k-NN", [both], names, [BOTH, palette.ARM_A, palette.ARM_B, NEITHER])
        case "split" | "group":
            names, place = np.unique(getattr(spaces[0], name).astype(str), return_inverse=True)
            return scatter.by_category(name, [place], tuple(names.tolist()))
    if name in TRUST:
        return scatter.by_number(name, list(trust(name)))
    metric = next(key for key in _NUMBERS if METRICS[key].title == name)
    return scatter.by_number(name, _per_sample(metric, spaces, runs))


def _per_sample(metric: str, spaces: list[EmbeddingTable], runs: list[Run]) -> list[np.ndarray]:
    """A metric of each sample of each space, shape (n,), float64; nan for samples that were not tested."""
    return [_scores(file_stamp.stamp(run.scores_file), metric, space) for run, space in zip(runs, spaces)]


def _scores(stamp: tuple[str, int, int], metric: str, space: EmbeddingTable) -> np.ndarray:
    score_of = _by_sample(*stamp, metric)
    return np.array([score_of.get(sample_id, np.nan) for sample_id in space.sample_id.tolist()], dtype=np.float64)


@st.cache_resource(max_entries=16, show_spinner=False)
def _by_sample(path: str, modified: int, size: int, metric: str) -> dict[str, float]:
    scores = scoring.scores_of_runs([Run(Path(path).parent)], "")
    return dict(zip(scores.sample_id.tolist(), scores.values[metric][0].tolist()))
