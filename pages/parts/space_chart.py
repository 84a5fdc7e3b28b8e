"""One space to lasso or click in, and what its plot shows of a sample."""


import numpy as np
import streamlit as st

from core.analysis.table import EmbeddingTable
from core.experiments.handles import Experiment
from core.visible import visible
from pages.parts import sample_images, scatter, screen, selection
from pages.parts.scatter import Card, Cloud, Color, Stars


def draw(experiment: Experiment, place: str, layout: np.ndarray, space: EmbeddingTable, only: int | None, color: Color,
         height: int, stars: Stars | None = None) -> None:
    """A layout to lasso or click in; what is picked is selected on every chart of this experiment.

    Args:
        experiment: which one.
        place: which chart of the screen this is.
        layout: shape (n, 2).
        space: its samples, n rows.
        only: class to show alone; None for all.
        color: what to colour by.
        height: pixels.
        stars: places that are no samples'.
    """
    _single(experiment, place, scatter.cloud([layout], space.label_id, space.classes), space, color, only, height, stars)


@screen.fragment()
def _single(experiment: Experiment, place: str, points: Cloud, space: EmbeddingTable, color: Color, only: int | None,
            height: int, stars: Stars | None) -> None:
    was_picked = scatter.draw(
        f"chart-{experiment.name}-{place}", points, color, (place.partition("-")[2] or place,),
        selection.rows_of(experiment, space), selection.selection_stamp(experiment),
        take=lambda rows, stamp: selection.select(experiment, space.sample_id[rows].tolist(), stamp),
        describe=lambda row: card(experiment, [space], row), file=experiment.name, isolated=only, height=height, stars=stars)
    if was_picked:
        st.rerun()  # what else the screen says of the selection


def card(experiment: Experiment, spaces: list[EmbeddingTable], row: int) -> Card:
    """What a plot shows of a sample: image, class, and its cluster in each space."""
    sample_id, label = spaces[0].sample_id[row], spaces[0].label[row]
    named = [(letter if len(spaces) > 1 else "cluster", _cluster(space, row)) for letter, space in zip("AB", spaces)]
    shown: Card = {"id": visible(sample_id), "label": visible(label), "image": "", "error": "",
                   "clusters": " · ".join(f"{letter}: {visible(cluster) or 'none'}" for letter, cluster in named),
                   "marks": " ".join(f"{letter} {'✓' if cluster == label else '✗'}" for letter, cluster in named if cluster)}
    try:
        shown["image"] = sample_images.data_url(experiment, sample_id)
    except OSError as error:
        shown["error"] = visible(f"{sample_id}: {error}")
    return shown


def _cluster(space: EmbeddingTable, row: int) -> str:
    return space.classes[space.cluster[row]] if space.cluster[row] >= 0 else ""
