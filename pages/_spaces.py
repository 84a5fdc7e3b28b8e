"""Cached tables, images and neighbours behind the screens that show spaces, and their shared selection. Not a screen."""

import io
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st
from PIL import Image

from core.analysis import table as tables
from core.analysis.neighbors import nearest
from core.analysis.table import EmbeddingTable
from core.data import reading, sources
from core.data.manifest import read_levels
from core.experiments import directory, filenames, selections
from core.results import scoring
from core.visible import visible
from pages import _address, _scatter, _shared
from pages._scatter import Card, Cloud, Color
from pages._text import LONGEST, plain

IN_ADDRESS = 20  # samples that an address names one by one
_PLACES: WeakKeyDictionary[EmbeddingTable, dict[str, int]] = WeakKeyDictionary()  # sample_id -> row; gone with its table


def table(path: Path) -> EmbeddingTable:
    """A verified embedding table, read once a content."""
    return _table(*_shared.stamp(path))


@st.cache_resource(max_entries=8, show_spinner="Reading embeddings …")
def _table(path: str, modified: int, size: int) -> EmbeddingTable:
    return scoring.read_space(Path(path).parent)


def of_split(path: Path, split: str) -> EmbeddingTable:
    """The rows of one split, or of 'all', taken out once a content."""
    return table(path) if split == "all" else _of_split(_shared.stamp(path), split)


@st.cache_resource(max_entries=16, show_spinner=False)
def _of_split(stamp: tuple[str, int, int], split: str) -> EmbeddingTable:
    return table(Path(stamp[0])).of_split(split)


def shared(paths: list[Path], split: str) -> list[EmbeddingTable]:
    """One split of several runs, only the samples all have: the same sample in the same row of each."""
    return shared_of(tuple(_shared.stamp(path) for path in paths), split)


@st.cache_resource(max_entries=8, show_spinner=False)
def shared_of(stamps: tuple[tuple[str, int, int], ...], split: str) -> list[EmbeddingTable]:
    """As `shared`, for callers that are themselves cached by the tables' stamps (`_shared.stamp`)."""
    return tables.shared_rows([of_split(Path(stamp[0]), split) for stamp in stamps])


@st.cache_resource(max_entries=4, show_spinner=False)
def _source(experiment: str, modified: int, size: int) -> sources.Source:
    folder = Path(experiment).parent
    return sources.open_source(directory.read_config(folder).dataset, read_levels(folder / filenames.MANIFEST))


def image(folder: Path, sample_id: str) -> Image.Image:
    """A sample's image, no smaller than a thumbnail; the one way by which every screen gets it.

    Raises:
        OSError: if its file has gone, or is no longer the sample.
    """
    try:
        digest = _digests(*_shared.stamp(folder / filenames.MANIFEST))[sample_id]
        return _shared.thumbnail(_source(*_shared.stamp(folder / filenames.EXPERIMENT)).image(sample_id, digest))
    except reading.ChangedFile:
        raise OSError(_shared.NO_LONGER) from None
    except KeyError:
        raise OSError("the experiment has no such sample") from None
    except ValueError as error:
        raise OSError(str(error)) from None


@st.cache_resource(max_entries=4, show_spinner=False)
def _digests(manifest: str, modified: int, size: int) -> dict[str, str]:
    samples = directory.read_manifest(Path(manifest).parent)
    return dict(zip(samples.sample_id.tolist(), samples.digest.tolist()))


@st.cache_data(max_entries=5000, show_spinner=False)
def _picture(experiment: str, modified: int, size: int, sample_id: str) -> str:
    """A sample's thumbnail as a data URL: without loss where that is small, as of a few large pixels, else as JPEG."""
    found = image(Path(experiment).parent, sample_id).convert("RGB")
    content = io.BytesIO()
    found.save(content, "PNG")
    if content.tell() < 6000:
        return _scatter.picture(content.getvalue(), "png")
    content = io.BytesIO()
    found.save(content, "JPEG", quality=85)
    return _scatter.picture(content.getvalue(), "jpeg")


def card(folder: Path, spaces: list[EmbeddingTable], row: int) -> Card:
    """What a plot shows of a sample: image, class, and its cluster in each space."""
    sample_id, label = spaces[0].sample_id[row], spaces[0].label[row]
    named = [(place if len(spaces) > 1 else "cluster", _cluster(space, row)) for place, space in zip("AB", spaces)]
    found: Card = {"id": visible(sample_id), "label": visible(label), "image": "", "error": "",
                   "clusters": " · ".join(f"{place}: {visible(cluster) or 'none'}" for place, cluster in named),
                   "marks": " ".join(f"{place} {'✓' if cluster == label else '✗'}" for place, cluster in named if cluster)}
    try:
        found["image"] = _picture(*_shared.stamp(folder / filenames.EXPERIMENT), sample_id)
    except OSError as error:
        found["error"] = visible(f"{sample_id}: {error}")
    return found


def _cluster(space: EmbeddingTable, row: int) -> str:
    return space.classes[space.cluster[row]] if space.cluster[row] >= 0 else ""


def gallery(folder: Path, sample_ids: list[str], captions: list[str], columns: int, most: int) -> None:
    """A grid of images; says how many of how many it shows."""
    shown = list(zip(sample_ids, captions))[:most]
    for start in range(0, len(shown), columns):
        for place, (sample_id, caption) in zip(st.columns(columns, gap="small"), shown[start:start + columns]):
            with place:
                try:
                    st.image(image(folder, sample_id), width="stretch", alt=visible(caption))
                except OSError as error:
                    st.caption(f":material/broken_image: {plain(sample_id, LONGEST)}: {plain(error)}", help=plain(sample_id))
                st.caption(plain(caption, LONGEST), help=plain(caption) if len(caption) > LONGEST else None)
    if len(sample_ids) > most:
        st.caption(f"{most} of {len(sample_ids):,} shown.")


def neighbors(space: EmbeddingTable, row: int, k: int) -> list[int]:
    """Rows of the k nearest to a row outside its own group, by cosine, in the full dimension, nearest first."""
    others = np.flatnonzero(space.group != space.group[row])
    if not len(others):
        return []
    near, _ = nearest(space.embedding[[row]], space.embedding[others], k, names=space.sample_id[others])
    return others[near[0]].tolist()


def selected(folder: Path) -> list[str]:
    """The samples selected in this experiment: from this session, or from the address of a page just opened."""
    key = f"selected-{folder.name}"
    if key not in st.session_state:
        is_own = st.session_state.get("selection-in-address", folder.name) == folder.name
        saved = _address.get("saved") if is_own else ""
        found: list[str] = []
        with _shared.in_words():
            found = selections.read(folder).get(saved, []) if saved else []
        asked = _known(folder, _address.get_all("select")) if is_own else []
        _remember(folder, found or asked, "", saved if found else "")
    _write_address(folder)
    return st.session_state[key]


def _known(folder: Path, asked: list[str]) -> list[str]:
    """The samples of the experiment that an address selects; says how many others it names."""
    if not asked:
        return []
    samples = set(directory.read_manifest(folder).sample_id.tolist())
    known = [item for item in asked if item in samples]
    if len(known) < len(asked):
        st.warning(f"{len(asked) - len(known):,} of the {len(asked):,} samples that the address selects are none of this "
                   f"experiment's.", icon=":material/link_off:")
    return known


def select(folder: Path, sample_ids: list[str], stamp: str = "", saved: str = "") -> None:
    """Replaces the selection of this experiment.

    Args:
        folder: the experiment.
        sample_ids: what is selected from now on.
        stamp: a plot's own name for what was picked in it; empty for a selection from elsewhere.
        saved: name it is saved under; empty for none.
    """
    _remember(folder, list(sample_ids), stamp, saved)
    _write_address(folder)


def saved_name(folder: Path) -> str:
    """The name the selection of this session was saved under or opened from; empty for none."""
    return st.session_state.get(f"saved-{folder.name}", "")


def selection_stamp(folder: Path) -> str:
    """Names the selection of this session; changes with it."""
    return st.session_state[f"stamp-{folder.name}"]


def _remember(folder: Path, sample_ids: list[str], stamp: str, saved: str) -> None:
    st.session_state["n-selections"] = st.session_state.get("n-selections", 0) + 1
    st.session_state[f"selected-{folder.name}"] = sample_ids
    st.session_state[f"stamp-{folder.name}"] = stamp or f"page-{st.session_state['n-selections']}"
    st.session_state[f"saved-{folder.name}"] = saved


def _write_address(folder: Path) -> None:
    """The address opens the same selection: by its saved name, or by its first samples, as an address has its limits."""
    st.session_state["selection-in-address"] = folder.name
    saved, named = saved_name(folder), st.session_state[f"selected-{folder.name}"][:IN_ADDRESS]
    if saved:
        named = []
    if st.query_params.get("saved", "") != saved:
        if saved:
            st.query_params["saved"] = saved
        else:
            del st.query_params["saved"]
    if st.query_params.get_all("select") != named:
        st.query_params["select"] = named


def rows_of(folder: Path, space: EmbeddingTable) -> np.ndarray:
    """Rows of a space that are selected, shape (m,), int64; what is not in it is left out."""
    return rows_named(space, selected(folder))


def rows_named(space: EmbeddingTable, sample_ids: list[str]) -> np.ndarray:
    """Rows of the named samples that a space has, in its order, shape (m,), int64."""
    if not sample_ids:
        return np.zeros(0, np.int64)
    if space not in _PLACES:
        _PLACES[space] = {sample_id: row for row, sample_id in enumerate(space.sample_id.tolist())}
    places = _PLACES[space]
    return np.array(sorted({places[item] for item in sample_ids if item in places}), dtype=np.int64)


def space_chart(folder: Path, place: str, layout: np.ndarray, space: EmbeddingTable, only: int | None = None,
                label_id: np.ndarray | None = None, classes: tuple[str, ...] | None = None, height: int = 400,
                color: Color | None = None) -> None:
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
        color: what to colour by, instead of `label_id`.
    """
    if color is None:
        is_label = label_id is None or label_id is space.label_id
        color = _scatter.by_category("class" if is_label else "colour", [space.label_id if is_label else label_id],
                                     space.classes if is_label else classes, is_label=is_label)
    _single(folder, place, _scatter.cloud([layout], space.label_id, space.classes), space, color, only, height)


@_shared.fragment()
def _single(folder: Path, place: str, points: Cloud, space: EmbeddingTable, color: Color, only: int | None,
            height: int) -> None:
    was_picked = _scatter.draw(
        f"chart-{folder.name}-{place}", points, color, (place.partition("-")[2] or place,), rows_of(folder, space),
        selection_stamp(folder),
        take=lambda rows, stamp: select(folder, space.sample_id[rows].tolist(), stamp),
        describe=lambda row: card(folder, [space], row), file=folder.name, isolated=only, height=height)
    if was_picked:
        st.rerun()  # what else the screen says of the selection
