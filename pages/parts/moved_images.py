"""Where an experiment's images are missing: a field for the place they were moved to."""


import streamlit as st

from core import files
from core.errors import InputError
from core.experiments.handles import Experiment
from core.jobs import control, relocation
from pages.parts.text import plain


def offer_place(experiment: Experiment) -> None:
    """Asks for the new place of a dataset that is not where it was; takes it once every file is the one that was scanned."""
    dataset = experiment.config.dataset
    if not relocation.is_missing(dataset):
        return
    st.warning(f"The images are no longer at {plain(dataset.root)}.", icon=":material/folder_off:")
    with st.form(f"moved-{experiment.name}", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        path = st.text_input("They are now at", key=f"moved-to-{experiment.name}",
                             placeholder="/path/to/images.csv" if dataset.source == "table" else "/path/to/images")
        is_given = st.form_submit_button("Compare and take", disabled=control.is_worker_alive(experiment))
    if not is_given or not path:
        return
    bar = st.progress(0.0, "Comparing images …")

    def progress(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            bar.progress(done / total, f"Comparing images: {100 * done / total:.0f} %")

    try:
        relocation.move(experiment, files.absolute(path, "the place"), progress)
    except (InputError, OSError) as error:
        bar.empty()
        st.error(plain(error), icon=":material/error:")
        return
    st.rerun()
