"""The films of several runs: where the same samples lie in each space, epoch by epoch, in step."""

import hashlib
from pathlib import Path

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.errors import Damaged
from core.experiments import film
from core.experiments.handles import Experiment, Run
from core.visible import visible
from pages.parts import file_stamp, sample_images, scatter, screen
from pages.parts.scatter import Card, Film, Reel

_Stamp = tuple[str, int, int]


@st.cache_data(max_entries=400, show_spinner=False)
def _frame(path: str, modified: int, size: int) -> dict[str, np.ndarray]:
    return film.read_frame(Path(path))


@screen.fragment()
def draw(experiment: Experiment, runs: list[RunConfig], titles: tuple[str, ...], classes: tuple[str, ...]) -> None:
    """Plots of the runs' newest frames, with what plays the earlier ones; nothing before the first frame of any.

    Args:
        experiment: which one.
        runs: at most `scatter.MOST_REELS`.
        titles: what they are called.
        classes: the experiment's, along `label_id` of a frame.
    """
    stamps: dict[str, _Stamp] = {}
    reels = tuple(_reel(experiment.run(run.name), run.budget.epochs, stamps) for run in runs)
    newest = (_read(stamps[name]) for reel in reels for name in reversed(reel.names.values()))
    first = next((frame for frame in newest if frame is not None), None)
    if first is None:
        return
    points = scatter.probe(first["label_id"], classes, "/".join(run.name for run in runs))
    # the samples followed through it, and no selection
    marked = st.session_state.setdefault(f"film-marked-{experiment.name}", {})
    rows, stamp = marked.get(points.fingerprint, (np.zeros(0, np.int64), ""))
    scatter.draw(
        f"film-{experiment.name}", points, scatter.by_category("class", [first["label_id"]], classes, is_label=True), titles,
        rows, stamp, take=lambda rows, stamp: marked.update({points.fingerprint: (rows, stamp)}),
        describe=lambda row: _card(experiment, first["sample_id"][row], classes[first["label_id"][row]]),
        file=f"{experiment.name}-film", film=Film(reels, lambda name: _places(stamps[name], first["sample_id"])))


def _reel(run: Run, total: int, stamps: dict[str, _Stamp]) -> Reel:
    """A run's frames by name; adds what each name stands for to `stamps`."""
    names = {}
    for epoch, path in run.snapshots.items():
        stamp = file_stamp.stamp(path)
        names[epoch] = hashlib.blake2b(repr(stamp).encode(), digest_size=9).hexdigest()
        stamps[names[epoch]] = stamp
    words = {record["epoch"]: f" · MAP@R {100 * record['validation_map_at_r']:.1f}"
             for record in run.records if "validation_map_at_r" in record}
    return Reel(total, names, words)


def _read(stamp: _Stamp) -> dict[str, np.ndarray] | None:
    """A frame's columns; None of one that cannot be read, which is said."""
    with screen.in_words():
        return _frame(*stamp)
    return None


def _places(stamp: _Stamp, sample_id: np.ndarray) -> np.ndarray | None:
    """Where the samples lie in a frame, shape (n, 2); None if it cannot be read or is of others, which is said."""
    with screen.in_words():
        frame = _frame(*stamp)
        if not np.array_equal(frame["sample_id"], sample_id):
            raise Damaged(Path(stamp[0]), "must be a frame of the same samples as the other frames")
        return np.stack([frame["x"], frame["y"]], axis=1)
    return None


def _card(experiment: Experiment, sample_id: str, label: str) -> Card:
    """What the plots show of a sample: its image and class."""
    shown: Card = {"id": visible(sample_id), "label": visible(label), "clusters": "", "marks": "", "image": "", "error": ""}
    try:
        shown["image"] = sample_images.data_url(experiment, sample_id)
    except OSError as error:
        shown["error"] = visible(f"{sample_id}: {error}")
    return shown
