"""Which experiment a screen is about, and what it says where there is none yet.

Imports `core` inside functions (see `screen`).
"""

import os
from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import actions, address
from pages.parts.roots import checkpoints_root
from pages.parts.text import plain

if TYPE_CHECKING:
    from core.experiments.handles import Experiment


def has_experiments() -> bool:
    """Whether anything was ever trained here."""
    try:
        from core.experiments import filenames

        with os.scandir(checkpoints_root()) as entries:  # `store.experiments` would take its imports' time
            return any(filenames.is_experiment(entry.path) for entry in entries if not entry.name.startswith("."))
    except OSError:
        return False


def require(needs: str) -> None:
    """Where nothing was trained yet: says what would be here, offers the demo, and ends the script."""
    if not has_experiments():
        st.header("Nothing trained yet.")
        st.write(f"{needs} will be here once an experiment has run. The demo takes about two minutes.")
        actions.demo_button()
        st.stop()
    if not names():
        st.header("No experiment here can be opened.")
        st.write("Their names are no text. Start lists them.")
        st.stop()


def pick() -> "Experiment":
    """The experiment this screen is about, kept in the address and from screen to screen.

    A link to one that is not here shows no other in its place: it says so, and the script ends until one is chosen.
    """
    from core.experiments.handles import Experiment

    all_names = names()
    if address.names_none_of("experiment", all_names):
        st.warning(f"There is no experiment named {plain(address.get('experiment'), 60)} here. Choose another.",
                   icon=":material/link_off:")
        chosen = st.selectbox("Experiment", all_names, index=None, placeholder="none chosen", key="pick-experiment-instead")
        if chosen is None:
            st.stop()
        address.put("experiment", chosen)
        st.rerun()
    wanted = address.choose("experiment", all_names) or st.session_state.get("experiment")
    chosen = st.selectbox("Experiment", all_names, index=all_names.index(wanted) if wanted in all_names else 0,
                          key=f"pick-experiment-{wanted}")
    st.session_state["experiment"] = chosen
    address.put("experiment", chosen)
    return Experiment(checkpoints_root() / chosen)


def names() -> list[str]:
    """Names of all experiments, the newest first; one that is not text cannot stand in an address and is left to Start."""
    from core.experiments import store
    from core.visible import printable

    all_names = [experiment.name for experiment in store.experiments(checkpoints_root())]
    return [name for name in all_names if printable(name) == name]


def finished_runs(experiment: "Experiment", needs: str) -> list[str]:
    """Names of the runs that left an embedding table; without any, says what would be here and ends the script."""
    done = [run.name for run in experiment.runs if run.has_embeddings]
    if not done:
        stop_until(f"{needs} will be here once a run has finished.", experiment)
    return done


def stop_until(what: str, experiment: "Experiment") -> None:
    """Says what will be here once more has been trained, offers to watch, and ends the script."""
    st.info(what, icon=":material/hourglass_top:")
    if st.button("Watch it train", type="primary", icon=":material/monitoring:"):
        st.switch_page("pages/watch.py", query_params={"experiment": experiment.name})
    st.stop()
