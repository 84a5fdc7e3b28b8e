"""Two spaces side by side: layouts, colours, the linked plots, and what is done with a selection."""

from pathlib import Path

import numpy as np
import streamlit as st

from core.analysis.table import EmbeddingTable
from core.experiments.handles import Experiment, Run
from core.jobs.layout import Settings
from pages.parts import (
    address,
    coloring,
    file_stamp,
    layouts,
    own_images,
    scatter,
    screen,
    selection,
    selection_bar,
    space_chart,
    space_tables,
)
from pages.parts.scatter import Cloud, Color, Stars

NEAREST = 5  # neighbours shown in each space


def draw(experiment: Experiment, paths: list[Path], names: tuple[str, str], has_stars: bool = False) -> None:
    """The test images of two runs in both spaces, linked, with the images of the selection beside them.

    Args:
        experiment: which one.
        paths: embedding tables of A and B.
        names: what A and B are called.
        has_stars: whether to show where one's own images land.
    """
    stamps = tuple(file_stamp.stamp(path) for path in paths)
    spaces = space_tables.shared(paths, "test")
    n_tested = max(len(space_tables.of_split(path, "test")) for path in paths)
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.markdown("##### Both spaces, test images", help="Lasso or click in one; the same images stand out in the other. "
                     "Arrow keys step through the selection, Esc clears it, F enlarges one space. Layouts are for looking: "
                     "every number is from the full dimension.")
        with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
            title = address.pick("Colour by", coloring.choices(spaces), "color", width=260, in_a_row=True)
            settings = layouts.pick()
    if len(spaces[0]) < n_tested:
        st.caption(f"A and B were split differently: {len(spaces[0]):,} images are test images of both and stand below in "
                   f"both spaces; the numbers and the confusion are of all.")
    place = st.container()
    with place:
        laid_out = layouts.compute(paths, "test", settings)
    if laid_out is None:
        return
    color = coloring.color(title, spaces, [Run(path.parent) for path in paths], names,
                           trust=lambda name: getattr(layouts.measured(paths, "test", laid_out), name))
    stars = own_images.stars(experiment, [Run(path.parent) for path in paths], spaces, laid_out.points, settings,
                             "test") if has_stars else None
    with place:
        _linked(experiment, paths, names, spaces, _cloud(stamps, settings, spaces, laid_out.points), color, stars)
    layouts.say(paths, "test", laid_out)


@screen.fragment()
def _linked(experiment: Experiment, paths: list[Path], names: tuple[str, str], spaces: list[EmbeddingTable], points: Cloud,
            color: Color, stars: Stars | None) -> None:
    """Plots, panel and what a selection can be used for: picking redraws this part of the screen alone."""
    scatter.draw(
        f"pair-{experiment.name}", points, color, tuple(f"{place} · {name}" for place, name in zip("AB", names)),
        selection.rows_of(experiment, spaces[0]), selection.selection_stamp(experiment),
        take=lambda rows, stamp: selection.select(experiment, spaces[0].sample_id[rows].tolist(), stamp),
        describe=lambda row: space_chart.card(experiment, spaces, row),
        nearest=lambda row: [space_tables.neighbors(space, row, NEAREST) for space in spaces], file=experiment.name,
        stars=stars)
    selection_bar.bar(experiment, {f"{place} · {name}": path for place, name, path in zip("AB", names, paths)})


@st.cache_resource(max_entries=8, show_spinner=False)
def _cloud(stamps: tuple, settings: Settings, _tables: list[EmbeddingTable], _laid_out: list[np.ndarray]) -> Cloud:
    return scatter.cloud(_laid_out, _tables[0].label_id, _tables[0].classes)
