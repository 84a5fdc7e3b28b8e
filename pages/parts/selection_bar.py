"""What is done with a selection: named, opened again, taken along."""

from pathlib import Path

import streamlit as st

from core.errors import InputError
from core.experiments import selections
from core.experiments.handles import Experiment
from pages.parts import screen, selection, space_tables
from pages.parts.text import plain


def bar(experiment: Experiment, tables: dict[str, Path]) -> None:
    """Says what is selected, and offers to name it, open a saved one, and take it along.

    Args:
        experiment: which one.
        tables: title -> embedding table that the selection can be cut out of.
    """
    chosen = selection.selected(experiment)
    saved = selection.saved_name(experiment)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{len(chosen):,} selected**{f' · saved as {plain(saved)}' if saved else ''}" if chosen else
                    "Nothing selected", width="content")
        with st.popover("Save", icon=":material/bookmark_add:", disabled=not chosen):
            _save(experiment, chosen)
        with st.popover("Saved", icon=":material/bookmarks:", on_change="rerun", key=f"saved-selections-{experiment.name}"):
            _saved(experiment)  # read anew when it is opened: another window may have saved one
        with st.popover("Take along", icon=":material/download:", disabled=not chosen):
            take_along(experiment, tables, chosen, saved)


def _save(experiment: Experiment, chosen: list[str]) -> None:
    with st.form(f"save-selection-{experiment.name}", border=False, clear_on_submit=True):
        name = st.text_input("Name", placeholder="hard-cats", help="Letters, digits, '.', '_' and '-'. Kept with the "
                             "experiment, for every window.")
        is_asked = st.form_submit_button("Save selection", type="primary")
    if is_asked:
        try:
            selections.save(experiment, name.strip(), chosen)
        except (InputError, OSError) as error:
            st.error(plain(error), icon=":material/error:")
            return
        selection.select(experiment, chosen, saved=name.strip())
        st.rerun(scope="fragment")


def _saved(experiment: Experiment) -> None:
    saved: dict[str, list[str]] = {}
    with screen.in_words():
        saved = selections.read(experiment)
    if not saved:
        st.caption("No selection of this experiment is saved yet.")
        return
    name = st.selectbox("Selection", list(saved), format_func=lambda item: f"{item} ({len(saved[item]):,})",
                        key=f"saved-selection-{experiment.name}")
    with st.container(horizontal=True):
        if st.button("Open", type="primary", key="open-selection"):
            selection.select(experiment, saved[name], saved=name)
            st.rerun(scope="fragment")
        if st.button("Delete", icon=":material/delete:", key="delete-selection"):
            selections.delete(experiment, name)
            if selection.saved_name(experiment) == name:
                selection.select(experiment, selection.selected(experiment))
            st.rerun(scope="fragment")
    with st.form(f"rename-selection-{experiment.name}", border=False, clear_on_submit=True):
        new = st.text_input("New name")
        is_asked = st.form_submit_button("Rename")
    if is_asked:
        try:
            selections.rename(experiment, name, new.strip())
        except (InputError, OSError) as error:
            st.error(plain(error), icon=":material/error:")
            return
        if selection.saved_name(experiment) == name:
            selection.select(experiment, selection.selected(experiment), saved=new.strip())
        st.rerun(scope="fragment")


def pick(experiment: Experiment, n_all: int) -> tuple[list[str] | None, str]:
    """Which images to take along: all, those selected now, or a saved selection.

    Args:
        experiment: which one.
        n_all: how many all are.

    Returns:
        Sample_ids, None for all; and the saved name, empty where there is none.
    """
    found: dict[str, list[str]] = {}
    with screen.in_words():
        found = selections.read(experiment)
    chosen, saved = selection.selected(experiment), selection.saved_name(experiment)
    titles = {"": f"all {n_all:,}"}
    if chosen and not saved:
        titles["/now"] = f"the {len(chosen):,} selected now"  # a saved name has no slash
    titles |= {name: f"{name} ({len(sample_ids):,})" for name, sample_ids in found.items()}
    if len(titles) == 1:
        st.caption("Select images on Compare or Explore to take only them along.")
        return None, ""
    wanted = st.selectbox("Images", list(titles), format_func=titles.get, width=320, key=f"take-{experiment.name}",
                          index=list(titles).index(saved) if saved in titles else 0)
    if not wanted:
        return None, ""
    return (chosen, "") if wanted == "/now" else (found[wanted], wanted)


def take_along(experiment: Experiment, tables: dict[str, Path], chosen: list[str], name: str) -> None:
    """Buttons that download the selected rows of each table, and the list of the samples.

    Args:
        experiment: which one.
        tables: title -> embedding table.
        chosen: sample_ids.
        name: what the selection is called; empty if it has no name.
    """
    word = name or "selection"
    for title, path in tables.items():
        st.download_button(f"Parquet · {plain(title)}",
                           lambda path=path: selections.to_parquet(space_tables.table(path), chosen),
                           f"{experiment.name}-{path.parent.name}-{word}.parquet", "application/vnd.apache.parquet",
                           icon=":material/download:", on_click="ignore", key=f"take-{path.parent.name}", width="stretch")
    path = next(iter(tables.values()))
    st.download_button("CSV of the samples", lambda: selections.to_csv(space_tables.table(path), chosen),
                       f"{experiment.name}-{word}.csv", "text/csv", icon=":material/list:", on_click="ignore",
                       key=f"take-csv-{experiment.name}", width="stretch")
