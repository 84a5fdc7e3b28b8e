"""Two spaces side by side: layouts, colours, the linked plots, and what is done with a selection. Not a screen."""

from pathlib import Path

import numpy as np
import streamlit as st

from core.analysis import projection
from core.analysis.table import EmbeddingTable
from core.runs import layout
from pages import _colors, _scatter, _selections, _shared, _spaces
from pages._scatter import Cloud, Color

LAYOUT_NAMES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
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
    st.session_state.setdefault("layout", st.query_params.get("layout", "pca"))
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader("Both spaces, test images", help="Lasso or click in one; the same images stand out in the other. "
                     "Arrow keys step through the selection, Esc clears it, F enlarges one space. Layouts are for looking: "
                     "every number is from the full dimension.")
        with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
            title = _shared.pick("Colour by", _colors.choices(spaces), "color", width=220)
            method = st.segmented_control("Layout", list(LAYOUT_NAMES), format_func=LAYOUT_NAMES.get, key="layout",
                                          required=True)
    st.query_params["layout"] = method
    if len(spaces[0]) < n_tested:
        st.caption(f"A and B were split differently: {len(spaces[0]):,} images are test images of both and stand below in "
                   f"both spaces; the numbers and the confusion are of all.")
    layouts = _layouts(paths, stamps, method)
    if layouts is None:
        with st.container(height=440):
            _wait_for(layout.request(paths, method, "test", _cache()), method)
        return
    color = _colors.color(title, spaces, [path.parent for path in paths], names)
    _linked(folder, paths, names, spaces, _cloud(stamps, method, spaces, layouts), color)


@st.fragment
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


def _cache() -> Path:
    return _shared.checkpoints_root() / ".layouts"


def _layouts(paths: list[Path], stamps: tuple, method: projection.Method) -> list[np.ndarray] | None:
    """Both layouts, B turned onto A; None while they are computed."""
    if method == "pca":
        return _pca(stamps)
    output = _cache() / f"{layout.key(paths, method, 'test')}.npz"
    return layout.read(output) if output.is_file() else None


@st.cache_resource(max_entries=8, show_spinner="Laying out …")
def _pca(stamps: tuple) -> list[np.ndarray]:
    first, second = _spaces.shared([Path(stamp[0]) for stamp in stamps], "test")
    start = projection.project(first.embedding, "pca")
    return [start, projection.project(second.embedding, "pca", start=start)]


@st.cache_resource(max_entries=8, show_spinner=False)
def _cloud(stamps: tuple, method: str, _tables: list[EmbeddingTable], _laid_out: list[np.ndarray]) -> Cloud:
    return _scatter.cloud(_laid_out, _tables[0].label_id, _tables[0].classes)


@st.fragment(run_every=1.0)
def _wait_for(output: Path, method: projection.Method) -> None:
    status = layout.state(output)
    if output.is_file():
        st.rerun()
    if not status.is_running:
        st.error(f"The layout could not be computed: {status.error or 'it was cancelled'}", icon=":material/error:")
        return
    st.progress(0.5, f"{LAYOUT_NAMES[method]}: {status.phase} … (half a minute the first time)")
    if st.button("Cancel", icon=":material/close:"):
        layout.cancel(output)
        st.session_state["layout"] = "pca"
        st.rerun()
