"""Two spaces side by side: layouts, colours, the linked plots, and what is done with a selection. Not a screen."""

from pathlib import Path

import numpy as np
import streamlit as st

from core.analysis.table import EmbeddingTable
from core.jobs.layout import Settings
from pages import _colors, _layouts, _scatter, _selections, _shared, _spaces
from pages._scatter import Cloud, Color

NEAREST = 5  # neighbours shown in each space


def draw(folder: Path, paths: list[Path], names: tuple[str, str]) -> None:
    """The test images of two runs in both spaces, linked, with the images of the selection beside them.

    Args:
        folder: the experiment.
        paths: embedding tables of A and B.
        names: what A and B are called.
    """
    stamps = tuple(_shared.stamp(path) for path in paths)
    spaces = _spaces.shared(paths, "test")
    n_tested = max(len(_spaces.of_split(path, "test")) for path in paths)
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader("Both spaces, test images", help="Lasso or click in one; the same images stand out in the other. "
                     "Arrow keys step through the selection, Esc clears it, F enlarges one space. Layouts are for looking: "
                     "every number is from the full dimension.")
        with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
            title = _shared.pick("Colour by", _colors.choices(spaces), "color", width=220)
            settings = _layouts.pick()
    if len(spaces[0]) < n_tested:
        st.caption(f"A and B were split differently: {len(spaces[0]):,} images are test images of both and stand below in "
                   f"both spaces; the numbers and the confusion are of all.")
    place = st.container()
    with place:
        laid_out = _layouts.compute(paths, "test", settings)
    if laid_out is None:
        return
    color = _colors.color(title, spaces, [path.parent for path in paths], names,
                          trust=lambda name: getattr(_layouts.measured(paths, "test", laid_out), name))
    with place:
        _linked(folder, paths, names, spaces, _cloud(stamps, settings, spaces, laid_out.points), color)
    _layouts.say(paths, "test", laid_out)


@_shared.fragment()
def _linked(folder: Path, paths: list[Path], names: tuple[str, str], spaces: list[EmbeddingTable], points: Cloud,
            color: Color) -> None:
    """Plots, panel and what a selection can be used for: picking redraws this part of the screen alone."""
    _scatter.draw(
        f"pair-{folder.name}", points, color, tuple(f"{place} · {name}" for place, name in zip("AB", names)),
        _spaces.rows_of(folder, spaces[0]), _spaces.selection_stamp(folder),
        take=lambda rows, stamp: _spaces.select(folder, spaces[0].sample_id[rows].tolist(), stamp),
        describe=lambda row: _spaces.card(folder, spaces, row),
        nearest=lambda row: [_spaces.neighbors(space, row, NEAREST) for space in spaces], file=folder.name)
    _selections.bar(folder, {f"{place} · {name}": path for place, name, path in zip("AB", names, paths)})


@st.cache_resource(max_entries=8, show_spinner=False)
def _cloud(stamps: tuple, settings: Settings, _tables: list[EmbeddingTable], _laid_out: list[np.ndarray]) -> Cloud:
    return _scatter.cloud(_laid_out, _tables[0].label_id, _tables[0].classes)
