"""Where to look first: class pairs, neighbourhoods and labels that deserve a look, each one click away."""

from pathlib import Path

import numpy as np
import streamlit as st

from core.analysis import changes, suggestions
from core.analysis.suggestions import ChangedPair, Doubts
from core.experiments.handles import Experiment, Run
from pages.parts import file_stamp, image_strips, kmeans_confusion, selection, space_tables
from pages.parts.text import LONGEST, plain

PAIRS = 5  # suggested of each kind
IMAGES = 12
_K = 10  # neighbours whose change, or vote, counts


def draw(experiment: Experiment, runs: tuple[Run, Run], names: tuple[str, str]) -> None:
    """Suggested places, each with a button that marks it in both spaces.

    Args:
        experiment: which one.
        runs: A's and B's.
        names: what A and B are called.
    """
    stamps = tuple(file_stamp.stamp(run.embeddings_file) for run in runs)
    st.subheader("Where to look first", help=f"A is {plain(names[0])}, B {plain(names[1])}. From the full dimension; "
                 "suggestions, no verdicts.")
    left, middle, right = st.columns(3)
    with left, st.container(border=True):
        _pairs(experiment, runs, stamps)
    with middle, st.container(border=True):
        _neighborhoods(experiment, stamps)
    with right, st.container(border=True):
        _doubts(experiment, stamps)


def _pairs(experiment: Experiment, runs: tuple[Run, Run], stamps: tuple) -> None:
    st.markdown("**Classes that changed most**", help="Pairs of classes by how many more, or fewer, of their test images lie "
                "in each other's K-means cluster in B than in A.")
    a, b = space_tables.shared_of(stamps, "test")
    found = _changed(stamps)
    if not found:
        st.caption("No pair of classes is confused more in one space than in the other.")
    for number, pair in enumerate(found[:PAIRS]):
        label, other = (plain(a.classes[item], LONGEST) for item in (pair.label, pair.other))
        moved = np.unique(np.concatenate([part for row, column in ((pair.label, pair.other), (pair.other, pair.label))
                                          for part in changes.moved(a.cluster, b.cluster, a.label_id, row, column)]))
        first = max(((pair.label, pair.other), (pair.other, pair.label)),
                    key=lambda cell: sum(map(len, changes.moved(a.cluster, b.cluster, a.label_id, *cell))))
        st.button(f"{label} and {other}: {pair.in_a} → {pair.in_b} mixed up", key=f"look-pair-{number}", width="stretch",
                  icon=":material/trending_down:" if pair.in_b < pair.in_a else ":material/trending_up:",
                  on_click=_open_cell, args=(experiment, runs, first, a.sample_id[moved].tolist()))


def _open_cell(experiment: Experiment, runs: tuple[Run, Run], cell: tuple[int, int], sample_ids: list[str]) -> None:
    st.session_state["view"] = "confusion"
    st.session_state["confusion-view"] = "B − A"
    kmeans_confusion.choose(experiment, runs, "B − A", *cell)
    selection.select(experiment, sample_ids)


def _neighborhoods(experiment: Experiment, stamps: tuple) -> None:
    sample_ids, labels, shares = _moved(stamps)
    st.markdown("**Neighbourhoods that changed most**", help=f"Test images by how few of their {_K} nearest test images in A "
                "are still among them in B, images of their own group left out.")
    st.button(f"Mark these {len(sample_ids)}", key="look-neighborhoods", icon=":material/select_all:", width="stretch",
              on_click=selection.select, args=(experiment, sample_ids))
    image_strips.strip(experiment, sample_ids, [f"{label} · {100 * share:.0f} %" for label, share in zip(labels, shares)])
    st.caption("Class, and share of neighbours kept.")


def _doubts(experiment: Experiment, stamps: tuple) -> None:
    st.markdown("**Labels to doubt**", help=f"Images whose {_K} nearest others outside their own group, in the whole dataset, "
                "call them by another label than their own, the same in both spaces; the most certain first. A space that was "
                "trained on a wrong label may have learnt it.")
    space = space_tables.table(Path(stamps[0][0]))
    doubts, ids, labels = _doubtful(stamps)
    if not len(doubts.rows):
        st.caption("Both spaces contradict no label with one voice.")
        return
    shown = ids[:IMAGES]
    st.button(f"Mark all {len(ids):,}", key="look-doubts", icon=":material/select_all:", width="stretch",
              on_click=selection.select, args=(experiment, ids))
    image_strips.strip(experiment, shown,
                       [f"{label} → {space.classes[called]}" for label, called in zip(labels, doubts.called)])
    st.caption("Label → what both spaces would call it. Only test images can be marked in the plots above.")


@st.cache_resource(max_entries=8, show_spinner=False)
def _changed(stamps: tuple) -> list[ChangedPair]:
    a, b = space_tables.shared_of(stamps, "test")
    return suggestions.changed_pairs(a.cluster, b.cluster, a.label_id, len(a.classes))


@st.cache_resource(max_entries=8, show_spinner="Comparing neighbourhoods …")
def _moved(stamps: tuple) -> tuple[list[str], list[str], list[float]]:
    a, b = space_tables.shared_of(stamps, "test")
    rows, shares = suggestions.moved_neighborhoods(a.embedding, b.embedding, _K, a.group, a.sample_id)
    rows = rows[:IMAGES]
    return a.sample_id[rows].tolist(), a.label[rows].tolist(), shares[:IMAGES].tolist()


@st.cache_resource(max_entries=8, show_spinner="Asking neighbours …")
def _doubtful(stamps: tuple) -> tuple[Doubts, list[str], list[str]]:
    a, b = space_tables.shared_of(stamps, "all")
    doubts = suggestions.doubtful_labels(a.embedding, b.embedding, a.label_id, len(a.classes), _K, a.group,
                                         a.sample_id)
    return doubts, a.sample_id[doubts.rows].tolist(), a.label[doubts.rows].tolist()
