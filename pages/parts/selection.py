"""The samples that are selected: kept by the session, named in the address, the same on every screen of an experiment."""

from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st

from core.analysis.table import EmbeddingTable
from core.experiments import selections
from core.experiments.handles import Experiment
from pages.parts import address, screen

IN_ADDRESS = 20  # samples that an address names one by one
_PLACES: WeakKeyDictionary[EmbeddingTable, dict[str, int]] = WeakKeyDictionary()  # sample_id -> row; gone with its table


def selected(experiment: Experiment) -> list[str]:
    """The samples selected in this experiment: from this session, or from the address of a page just opened."""
    key = f"selected-{experiment.name}"
    if key not in st.session_state:
        is_own = st.session_state.get("selection-in-address", experiment.name) == experiment.name
        saved = address.get("saved") if is_own else ""
        opened: list[str] = []
        with screen.in_words():
            opened = selections.read(experiment).get(saved, []) if saved else []
        named = _known(experiment, address.get_all("select")) if is_own else []
        _remember(experiment, opened or named, "", saved if opened else "")
    _write_address(experiment)
    return st.session_state[key]


def _known(experiment: Experiment, named: list[str]) -> list[str]:
    """The samples of the experiment that an address selects; says how many others it names."""
    if not named:
        return []
    samples = set(experiment.manifest().sample_id.tolist())
    known = [sample_id for sample_id in named if sample_id in samples]
    if len(known) < len(named):
        st.warning(f"{len(named) - len(known):,} of the {len(named):,} samples that the address selects are none of this "
                   f"experiment's.", icon=":material/link_off:")
    return known


def select(experiment: Experiment, sample_ids: list[str], stamp: str = "", saved: str = "") -> None:
    """Replaces the selection of this experiment.

    Args:
        experiment: which one.
        sample_ids: what is selected from now on.
        stamp: a plot's own name for what was picked in it; empty for a selection from elsewhere.
        saved: name it is saved under; empty for none.
    """
    _remember(experiment, list(sample_ids), stamp, saved)
    _write_address(experiment)


def saved_name(experiment: Experiment) -> str:
    """The name the selection of this session was saved under or opened from; empty for none."""
    return st.session_state.get(f"saved-{experiment.name}", "")


def selection_stamp(experiment: Experiment) -> str:
    """Names the selection of this session; changes with it."""
    return st.session_state[f"stamp-{experiment.name}"]


def _remember(experiment: Experiment, sample_ids: list[str], stamp: str, saved: str) -> None:
    st.session_state["n-selections"] = st.session_state.get("n-selections", 0) + 1
    st.session_state[f"selected-{experiment.name}"] = sample_ids
    st.session_state[f"stamp-{experiment.name}"] = stamp or f"page-{st.session_state['n-selections']}"
    st.session_state[f"saved-{experiment.name}"] = saved


def _write_address(experiment: Experiment) -> None:
    """The address opens the same selection: by its saved name, or by its first samples, as an address has its limits."""
    st.session_state["selection-in-address"] = experiment.name
    saved, named = saved_name(experiment), st.session_state[f"selected-{experiment.name}"][:IN_ADDRESS]
    if saved:
        named = []
    if st.query_params.get("saved", "") != saved:
        if saved:
            st.query_params["saved"] = saved
        else:
            del st.query_params["saved"]
    if st.query_params.get_all("select") != named:
        st.query_params["select"] = named


def rows_of(experiment: Experiment, space: EmbeddingTable) -> np.ndarray:
    """Rows of a space that are selected, shape (m,), int64; what is not in it is left out."""
    return rows_named(space, selected(experiment))


def rows_named(space: EmbeddingTable, sample_ids: list[str]) -> np.ndarray:
    """Rows of the named samples that a space has, in its order, shape (m,), int64."""
    if not sample_ids:
        return np.zeros(0, np.int64)
    if space not in _PLACES:
        _PLACES[space] = {sample_id: row for row, sample_id in enumerate(space.sample_id.tolist())}
    places = _PLACES[space]
    return np.array(sorted({places[sample_id] for sample_id in sample_ids if sample_id in places}), dtype=np.int64)
