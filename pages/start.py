"""START. What have I learnt so far?"""

import streamlit as st

from pages import _shared
from pages._text import plain

_shared.enter(__file__)

st.title("Which embedding is better for your images?")
if not _shared.has_experiments():
    st.write("Nothing trained yet. The demo trains a classifier and a contrastive encoder on handwritten digits and "
             "compares them, in about a minute.")
with st.container(horizontal=True):
    _shared.demo_button()
    if st.button("New experiment", icon=":material/add:"):
        st.switch_page("pages/train.py")
if not _shared.has_experiments():
    st.stop()

from core.runs import device_queue, directory, jobs  # noqa: E402 - after the first screen has been drawn


def _sentence(folder) -> str:
    try:
        return directory.read_json(folder / "verdict.json")["sentence"]
    except FileNotFoundError:
        return ""


def _row(folder) -> None:
    progress = jobs.progress(folder)
    name, state, said, act = st.columns([2, 1.6, 6, 3], vertical_alignment="center")
    target = "watch" if progress.state in ("running", "queued") or progress.n_done < progress.n_runs else "compare"
    name.page_link(f"pages/{target}.py", label=f"**{plain(folder.name)}**", query_params={"experiment": folder.name})
    if any(run.leaks for run in directory.read_config(folder).runs()):
        name.markdown(":red[:material/warning: holds runs that leak]")
    state.write(_shared.state_text(progress.state))
    runs = directory.runs(folder)
    with act.container(horizontal=True, horizontal_alignment="right"):
        if progress.state in ("running", "queued"):
            position = device_queue.position(folder)
            said.write(_shared.progress_text(progress) if position is None else f"number {position} in the queue")
            if st.button("Stop", key=f"stop-{folder.name}", icon=":material/stop:"):
                jobs.stop(runs)
                st.rerun()
            return
        if progress.state == "completed":
            said.write(plain(_sentence(folder)))
        elif progress.state == "failed":
            said.write(f":red[{plain(progress.message)}]")
        else:
            said.write(f"{progress.n_done} of {progress.n_runs} runs finished. Its process "
                       f"{'is gone' if progress.state == 'lost' else 'was stopped'}: resume, or delete it.")
        if progress.state != "completed" and st.button("Resume", key=f"resume-{folder.name}", icon=":material/replay:"):
            jobs.resume(runs, _shared.data_root())
            st.rerun()
        with st.popover("Delete", icon=":material/delete:"):
            st.write(f"Delete {plain(folder.name)} with all its runs and embeddings?")
            if st.button("Delete for good", key=f"delete-{folder.name}", type="primary"):
                directory.delete(folder)
                st.rerun()


def _is_busy() -> bool:
    return any(jobs.is_worker_alive(folder) for folder in directory.experiments(_shared.checkpoints_root()))


@st.fragment(run_every=2 if _is_busy() else None)
def _experiments(was_busy: bool) -> None:
    for folder in directory.experiments(_shared.checkpoints_root()):
        _row(folder)
    if was_busy and not _is_busy():
        st.rerun()


st.subheader("Experiments")
_experiments(_is_busy())
