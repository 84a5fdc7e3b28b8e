"""Which experiment a screen is about, and what it says where there is none yet.

Imports `core` inside functions (see `screen`).
"""

import os
from pathlib import Path

import streamlit as st

from pages.parts import actions, address
from pages.parts.roots import checkpoints_root


def has_experiments() -> bool:
    """Whether anything was ever trained here."""
    try:
        from core.experiments import filenames

        with os.scandir(checkpoints_root()) as entries:  # `directory.experiments` would take its imports' time
            return any(os.path.lexists(f"{entry.path}/{name}") for entry in entries if not entry.name.startswith(".")
                       for name in filenames.TRACES)
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


def pick() -> Path:
    """The experiment this screen is about, kept in the address and from screen to screen."""
    all_names = names()
    wanted = address.choose("experiment", all_names) or st.session_state.get("experiment")
    chosen = st.selectbox("Experiment", all_names, index=all_names.index(wanted) if wanted in all_names else 0,
                          key=f"pick-experiment-{wanted}")
    st.session_state["experiment"] = chosen
    address.put("experiment", chosen)
    return checkpoints_root() / chosen


def names() -> list[str]:
    """Names of all experiments, the newest first; one that is not text cannot stand in an address and is left to Start."""
    from core.experiments import directory
    from core.visible import printable

    return [folder.name for folder in directory.experiments(checkpoints_root()) if printable(folder.name) == folder.name]


def finished_runs(folder: Path, needs: str) -> list[str]:
    """Names of the runs that left an embedding table; without any, says what would be here and ends the script."""
    from core.experiments import directory, filenames

    done = [run.name for run in directory.runs(folder) if (run / filenames.EMBEDDINGS).is_file()]
    if not done:
        stop_until(f"{needs} will be here once a run has finished.", folder)
    return done


def stop_until(what: str, folder: Path) -> None:
    """Says what will be here once more has been trained, offers to watch, and ends the script."""
    st.info(what, icon=":material/hourglass_top:")
    if st.button("Watch it train", type="primary", icon=":material/monitoring:"):
        st.switch_page("pages/watch.py", query_params={"experiment": folder.name})
    st.stop()
