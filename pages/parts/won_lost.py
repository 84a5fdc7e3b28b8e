"""Which test images both spaces get right by k-NN, only one, or neither, and who their neighbours were."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from core.analysis import changes, neighbors
from core.analysis.changes import Quadrants
from core.analysis.table import EmbeddingTable
from core.experiments.handles import Experiment, Run
from core.results import scoring
from pages.parts import file_stamp, image_strips, selection, space_tables
from pages.parts.text import LONGEST, plain

A_PAGE = 6
_ORDER = {"only_b": "only B right", "only_a": "only A right", "neither": "both wrong", "both": "both right"}


@dataclass(frozen=True, eq=False)
class Judged:
    """Test samples of both runs, judged by k-NN in both spaces.

    Attributes:
        sample_id, label: shape (n,).
        found: who won and lost, rows along them.
        voters: of each space, rows of its training samples that voted, nearest first, shape (n, k).
        share: of each space, share of the votes for the right class, shape (n,).
        known: of each space, the training samples.
    """

    sample_id: np.ndarray
    label: np.ndarray
    found: Quadrants
    voters: tuple[np.ndarray, ...]
    share: tuple[np.ndarray, ...]
    known: tuple[EmbeddingTable, ...]


def draw(experiment: Experiment, runs: tuple[Run, Run], names: tuple[str, str]) -> None:
    """The four quadrants of A and B, their images sorted by how clear the case is, and both neighbour strips.

    Args:
        experiment: which one.
        runs: A's and B's.
        names: what A and B are called.
    """
    judged = _judged(*((file_stamp.stamp(run.embeddings_file), file_stamp.stamp(run.scores_file)) for run in runs))
    found, k = judged.found, judged.voters[0].shape[1]
    st.subheader("Won and lost", help=f"Each test image is judged by its {k} nearest training images, in the full dimension. "
                 "The two counts of images that one space alone gets right are those of McNemar's test.")
    st.markdown(f"Of {found.n:,} test images A · {plain(names[0])} gets **{found.right_a:,}** right "
                f"({_percent(found.right_a, found)}) and B · {plain(names[1])} **{found.right_b:,}** "
                f"({_percent(found.right_b, found)}): **{len(found.only_b):,} won** by B, **{len(found.only_a):,} lost**.")
    options = {key: f"{words} · {len(getattr(found, key)):,}" for key, words in _ORDER.items()}
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        quadrant = st.segmented_control("Which", list(options), format_func=options.get, default="only_b", required=True,
                                        key="won-lost", label_visibility="collapsed")
        rows = _sorted(judged, quadrant)
        number = _page(len(rows), f"won-lost-{quadrant}")
        if st.button("Mark all in both spaces", icon=":material/select_all:", disabled=not len(rows)):
            selection.select(experiment, judged.sample_id[rows].tolist())
            st.rerun()
    if not len(rows):
        st.caption("No test image is there.")
        return
    heads = st.columns([2, 5, 5])
    for place, head, name in zip("AB", heads[1:], names):
        head.markdown(f"**{place} · {plain(name)}**: nearest training images")
    for row in rows[number * A_PAGE:(number + 1) * A_PAGE]:
        _case(experiment, judged, row)
    st.caption("Sorted by how clear the case is: the share of neighbours with the right class, B against A. "
               "✓ and green: the neighbour has the image's class; ✗ and red: another.")


def _case(experiment: Experiment, judged: Judged, row: int) -> None:
    columns = st.columns([2, 5, 5], vertical_alignment="top")
    with columns[0], st.container(horizontal=True, gap="small"):
        image_strips.strip(experiment, [judged.sample_id[row]], [judged.label[row]])
        st.caption(plain(judged.sample_id[row].rpartition("/")[2], LONGEST), help=plain(judged.sample_id[row]))
    for column, voters, known in zip(columns[1:], judged.voters, judged.known):
        with column:
            near = voters[row]
            image_strips.strip(experiment, known.sample_id[near].tolist(), known.label[near].tolist(), judged.label[row])


def _page(n: int, key: str) -> int:
    last = max(1, -(-n // A_PAGE))
    return st.number_input(f"Page of {last:,}", 1, last, key=key, width=140) - 1


def _percent(count: int, found: Quadrants) -> str:
    return f"{100 * count / found.n:.1f} %"


def _sorted(judged: Judged, quadrant: str) -> np.ndarray:
    """Rows of a quadrant, the clearest case first."""
    rows = getattr(judged.found, quadrant)
    a, b = (share[rows] for share in judged.share)
    clear = {"only_b": b - a, "only_a": a - b, "neither": -(a + b), "both": a + b}[quadrant]
    return rows[np.argsort(-clear, kind="stable")]


@st.cache_resource(max_entries=8, show_spinner="Looking at neighbours …")
def _judged(stamps_a: tuple, stamps_b: tuple) -> Judged:
    sides = [_side(Path(space[0]), Path(scores[0])) for space, scores in (stamps_a, stamps_b)]
    places = [{sample_id: row for row, sample_id in enumerate(side[0].sample_id.tolist())} for side in sides]
    order = [sample_id for sample_id in places[0] if sample_id in places[1]]
    rows = [np.array([place[item] for item in order], np.int64) for place in places]
    right = [side[2][keep] for side, keep in zip(sides, rows)]
    voters, shares = [], []
    for (test, known, _, k), keep in zip(sides, rows):
        near, _ = neighbors.nearest(test.embedding[keep], known.embedding, k, names=known.sample_id)
        voters.append(near)
        shares.append((known.label_id[near] == test.label_id[keep][:, None]).mean(axis=1))
    first = sides[0][0].rows(rows[0])
    return Judged(first.sample_id, first.label, changes.quadrants(*right), tuple(voters), tuple(shares),
                  tuple(side[1] for side in sides))


def _side(path: Path, scores: Path) -> tuple[EmbeddingTable, EmbeddingTable, np.ndarray, int]:
    """Test samples, the training samples that vote, whether each test sample was right, and k."""
    table = space_tables.table(path)
    used = table.metadata["training_samples"]
    known = table.of_split("train") if used is None else table.rows(np.isin(table.sample_id, used))
    test = table.of_split("test")
    kept = scoring.scores_of_runs([Run(scores.parent)], scores.parent.name)
    right = dict(zip(kept.sample_id.tolist(), kept.values["knn_accuracy"][0].tolist()))
    judged = np.array([right[item] for item in test.sample_id.tolist()])
    return test, known, judged, table.config.evaluation.neighbors
