"""Buttons that begin, resume, extend and delete experiments.

Imports `core` inside functions (see `screen`).
"""

from typing import TYPE_CHECKING

import streamlit as st

from core.errors import InputError
from pages.parts.roots import PROJECT, checkpoints_root, data_root
from pages.parts.text import plain

if TYPE_CHECKING:
    from core.experiments.handles import Experiment, Run


def demo_button(is_main: bool = True) -> None:
    """Starts the demo and goes to watch it.

    Args:
        is_main: whether it is what the screen offers first.
    """
    if st.button("Run the demo", type="primary" if is_main else "secondary", icon=":material/play_arrow:",
                 help="Classification against SupCon on 1,797 handwritten digits: about two minutes on two cores."):
        from core.config import experiment_file
        from core.experiments import planning, store
        from core.jobs import launch

        try:
            with st.spinner("Reading the digits …"):
                demo = experiment_file.load(PROJECT / "configs" / "demo.yaml")
                name = store.free_name(checkpoints_root(), demo.name)
                checked = planning.plan(demo.model_copy(update={"name": name}), data_root())
                experiment = launch.start(checked, checkpoints_root(), data_root())
        except (InputError, OSError) as error:
            st.error(plain(error), icon=":material/error:")
            return
        st.switch_page("pages/watch.py", query_params={"experiment": experiment.name})


def resume(runs: "list[Run]") -> None:
    """Queues runs again and draws the screen anew; says why where that cannot be."""
    from core.jobs import control

    try:
        control.resume(runs, data_root())
    except (InputError, OSError) as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.rerun()


def add_seeds(experiment: "Experiment") -> None:
    """Adds seeds to an experiment that has ended, and trains them; says beforehand what that does to the next verdict."""
    from core.experiments import looks
    from core.jobs import control, more_seeds

    with st.popover("Add seeds", icon=":material/add:"):
        st.write(f"What the next verdict will say of itself: *{plain(looks.upcoming(experiment).note)}.*")
        n_seeds = st.number_input("Seeds", 1, 100, len(experiment.config.seeds), key=f"n-seeds-{experiment.name}",
                                  help="Each trains every arm once more. No verdict is given until all have finished.")
        if st.button("Add and train", key=f"add-seeds-{experiment.name}", type="primary"):
            try:
                more_seeds.add(experiment, n_seeds)
                control.resume(experiment.runs, data_root())
            except (InputError, OSError) as error:
                st.error(plain(str(error)), icon=":material/error:")
                return
            st.rerun()


def delete_button(experiment: "Experiment", key: str) -> None:
    """Deletes an experiment, asked twice; says why where a process is at it."""
    from core.jobs import control
    from core.visible import printable

    with st.popover("Delete", icon=":material/delete:"):
        st.write(plain(f"Delete {printable(experiment.name)} with all its runs and embeddings?"))
        if st.button("Delete for good", key=f"delete-{key}", type="primary"):
            try:
                control.delete(experiment)
            except (InputError, OSError) as error:
                st.error(plain(str(error)), icon=":material/error:")
                return
            st.rerun()
