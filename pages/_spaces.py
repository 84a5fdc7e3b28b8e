"""Cached tables, images and neighbours behind the screens that show spaces, and their shared selection. Not a screen."""

from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from core.analysis import metrics
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.data import sources
from core.report import figures
from core.runs import directory
from pages import _shared


def table(path: Path) -> EmbeddingTable:
    """A verified embedding table, read once a content."""
    return _table(*_shared.stamp(path))


@st.cache_resource(max_entries=8, show_spinner="Reading embeddings …")
def _table(path: str, modified: int, size: int) -> EmbeddingTable:
    return tables.read(Path(path))


@st.cache_resource(max_entries=4, show_spinner=False)
def _source(experiment: str, modified: int, size: int) -> sources.Source:
    return sources.open_source(directory.read_config(Path(experiment).parent).dataset)


def image(folder: Path, sample_id: str) -> Image.Image:
    """A sample's image, no smaller than a thumbnail.

    Raises:
        OSError: if its file has gone.
    """
    return _shared.thumbnail(_source(*_shared.stamp(folder / "experiment.json")).image(sample_id))


def gallery(folder: Path, sample_ids: list[str], captions: list[str], columns: int, most: int) -> None:
    """A grid of images; says how many of how many it shows."""
    shown = list(zip(sample_ids, captions))[:most]
    for start in range(0, len(shown), columns):
        for place, (sample_id, caption) in zip(st.columns(columns, gap="small"), shown[start:start + columns]):
            with place:
                try:
                    st.image(image(folder, sample_id), width="stretch", alt=caption)
                except OSError as error:
                    st.caption(f":material/broken_image: {sample_id}: {error}")
                st.caption(caption)
    if len(sample_ids) > most:
        st.caption(f"{most} of {len(sample_ids):,} shown.")


def neighbors(space: EmbeddingTable, row: int, k: int) -> list[int]:
    """Rows of the k nearest to a row by cosine, in the full dimension, nearest first."""
    vectors = space.embedding
    lengths = np.linalg.norm(vectors, axis=1)
    similarity = vectors @ vectors[row] / np.maximum(lengths * lengths[row], np.finfo(np.float32).tiny)
    similarity[row] = -np.inf
    return metrics.nearest(similarity[None], k)[0].tolist()


def selected(folder: Path) -> list[str]:
    """The samples selected in this experiment: from this session, or from the address of a page just opened."""
    key = f"selected-{folder.name}"
    if key not in st.session_state:
        st.session_state[key] = [item for item in st.query_params.get_all("select") if item]
    return st.session_state[key]


def select(folder: Path, sample_ids: list[str]) -> None:
    """Replaces the selection of this experiment."""
    st.session_state[f"selected-{folder.name}"] = sample_ids
    st.query_params["select"] = sample_ids[:20]  # an address has its limits


def space_chart(folder: Path, place: str, layout: np.ndarray, space: EmbeddingTable, only: int | None = None,
                label_id: np.ndarray | None = None, classes: tuple[str, ...] | None = None, height: int = 400,
                extent: np.ndarray | None = None) -> None:
    """A layout to lasso or click in; what is picked is selected on every chart of this experiment.

    Args:
        folder: the experiment.
        place: which chart of the screen this is.
        layout: shape (n, 2).
        space: its samples, n rows.
        only: class to show alone; None for all.
        label_id: what to colour by, shape (n,); None for the label.
        classes: names along `label_id`.
        height: pixels.
        extent: points that must fit too, shape (m, 2); None for this layout alone.
    """
    picked = frozenset(selected(folder))
    figure = figures.space(layout, space.label_id if label_id is None else label_id, classes or space.classes,
                           space.sample_id, picked, only, height=height, extent=extent)
    key = f"chart-{folder.name}-{place}"

    def take() -> None:
        points = st.session_state[key].selection.points
        select(folder, [_only_id(point["customdata"]) for point in points])

    st.plotly_chart(figure, key=key, on_select=take, selection_mode=("points", "box", "lasso"),
                    config={"displaylogo": False, "scrollZoom": True,
                            "toImageButtonOptions": {"format": "svg", "filename": f"{folder.name}-{place}"}})


def _only_id(customdata: str | list[str]) -> str:
    return customdata if isinstance(customdata, str) else customdata[0]
