"""K-means against classes in both spaces, what differs between them, and the images behind each cell."""


import numpy as np
import streamlit as st

from core.analysis import changes, clustering
from core.analysis.table import EmbeddingTable
from core.experiments.handles import Experiment, Run
from core.report import figures, palette
from pages.parts import sample_images, selection, space_tables
from pages.parts.text import LONGEST, plain

FEW = 12  # classes up to which three matrices stand side by side
MOST = 24  # images shown of a cell
_VIEWS = ("A", "B", "B − A")


def draw(experiment: Experiment, runs: tuple[Run, Run], names: tuple[str, str]) -> None:
    """Confusion of both spaces on test images in one order of classes, their difference, and the cell that was clicked.

    Args:
        experiment: which one.
        runs: A's and B's.
        names: what A and B are called.
    """
    paths = [run.embeddings_file for run in runs]
    tested, shared = [space_tables.of_split(path, "test") for path in paths], space_tables.shared(paths, "test")
    classes = tested[0].classes
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader("K-means confusion", help="As many clusters as classes, each matched to the class it fits best, one to "
                     "one. Rows are classes in the same order in each. Click a cell to see its images.")
        with st.container(horizontal=True, width="content"):
            view = None
            if len(classes) > FEW:
                view = st.segmented_control("Matrix", _VIEWS, default=_VIEWS[2], required=True, key="confusion-view",
                                            label_visibility="collapsed")
            unit = st.segmented_control("Cells", ["percent of class", "images"], default="percent of class", required=True,
                                        key="confusion-unit", label_visibility="collapsed")
    key = f"cell-{experiment.name}"
    # a cell belongs to a pair of runs: another pair has other images in it
    chosen = st.session_state[key] if st.session_state.get(key, ("",))[0] == _pair(runs) else None
    if view is None:
        for place, column in zip(_VIEWS, st.columns(3)):
            with column, st.container(border=True):
                _matrix(place, runs, names, tested, shared, unit, chosen, 380)
        _below(experiment, names, tested, shared, chosen, columns=8)
    else:
        left, right = st.columns([9, 3])
        with left, st.container(border=True):
            _matrix(view, runs, names, tested, shared, unit, chosen, max(420, 17 * len(classes) + 140))
        with right:
            _below(experiment, names, tested, shared, chosen, columns=2)


def choose(experiment: Experiment, runs: tuple[Run, Run], place: str, row: int, column: int) -> None:
    """Opens a cell of A's matrix, B's or the difference: from a click in it or from elsewhere."""
    st.session_state[f"cell-{experiment.name}"] = (_pair(runs), place, row, column)


def _pair(runs: tuple[Run, Run]) -> str:
    return "|".join(run.name for run in runs)


def _matrix(place: str, runs: tuple[Run, Run], names: tuple[str, str], tested: list[EmbeddingTable],
            shared: list[EmbeddingTable], unit: str, chosen: tuple | None, height: int) -> None:
    classes = tested[0].classes
    framed = chosen[2:] if chosen and chosen[1] == place else None
    as_share = unit != "images"
    ink = "#fafafa" if st.context.theme.type == "dark" else "#31333f"
    if place == "B − A":
        before, after = (clustering.confusion(space.cluster, space.label_id, len(classes)) for space in shared)
        gap = 100 * (np.trace(after) - np.trace(before)) / max(before.sum(), 1)
        st.markdown(f"**B − A** · {gap:+z.1f} points in the right cluster".replace("-", "−"))
        figure = figures.difference(before, after, classes, as_share, height, framed, ink)
    else:
        number = _VIEWS.index(place)
        space = tested[number]
        counts = clustering.confusion(space.cluster, space.label_id, len(classes))
        st.markdown(f"**{place} · {plain(names[number])}** · {100 * np.trace(counts) / counts.sum():.1f} % in the right "
                    f"cluster")
        color = (palette.ARM_A, palette.ARM_B)[number]
        figure = figures.confusion(counts, classes, as_share, height, framed, color, ink)
    chart = f"confusion-{place}-{_pair(runs)}"

    def take() -> None:
        points = st.session_state[chart].selection.points
        if points:
            row, column = figures.cell_of(points[-1]["customdata"])
            choose(runs[0].experiment, runs, place, row, column)
            selection.select(runs[0].experiment,
                             [item for part in _images(place, tested, shared, row, column) for item in part])

    st.plotly_chart(figure, key=chart, on_select=take, selection_mode="points",
                    config={"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"],
                            "toImageButtonOptions": {"format": "svg", "filename": f"{runs[0].experiment.name}-confusion"}})
    if place == "B − A":
        st.caption("Orange: more in B; blue: more in A. On the diagonal more is better, elsewhere worse."
                   + ("" if len(shared[0]) == max(map(len, tested)) else
                      f" Of the {len(shared[0]):,} images that are test images of both."))


def _images(place: str, tested: list[EmbeddingTable], shared: list[EmbeddingTable], row: int, column: int) -> list[list[str]]:
    """Samples of a cell; of the difference, those that came and those that left."""
    if place == "B − A":
        parts = changes.moved(shared[0].cluster, shared[1].cluster, shared[0].label_id, row, column)
        return [shared[0].sample_id[part].tolist() for part in parts]
    space = tested[_VIEWS.index(place)]
    return [space.sample_id[changes.cell(space.cluster, space.label_id, row, column)].tolist()]


def _below(experiment: Experiment, names: tuple[str, str], tested: list[EmbeddingTable], shared: list[EmbeddingTable],
           chosen: tuple | None, columns: int) -> None:
    """The images of the cell that was clicked."""
    if chosen is None:
        st.caption(":material/ads_click: Click a cell: its images will be here, and stand out in both spaces above. In B − A "
                   "they are the images that moved.")
        return
    _, place, row, column = chosen
    label, matched = (plain(tested[0].classes[index], LONGEST) for index in (row, column))
    parts = _images(place, tested, shared, row, column)
    if not any(parts):
        st.caption(f"No image of class {label} {'moved into or out of' if place == 'B − A' else 'lies in'} the cluster of "
                   f"{matched}.")
        return
    if place == "B − A":
        titles = [f"**{len(part):,} {word}** the cluster of {matched}, of class {label}: in {inside}'s, not in {outside}'s"
                  for part, word, inside, outside in zip(parts, ("came into", "left"), ("B", "A"), ("A", "B"))]
    else:
        titles = [f"**{len(parts[0]):,} of class {label}** in the cluster of {matched}, {place} · "
                  f"{plain(names[_VIEWS.index(place)])}"]
    labels = [dict(zip(space.sample_id.tolist(), space.cluster.tolist())) for space in tested]
    for title, part in zip(titles, parts):
        st.markdown(title)
        captions = [" · ".join(f"{letter} {tested[0].classes[found[item]]}" for letter, found in zip("AB", labels)
                               if item in found) for item in part]
        sample_images.gallery(experiment, part, captions, columns, MOST)
