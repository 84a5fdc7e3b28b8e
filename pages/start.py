"""START. What have I learnt so far?"""


import streamlit as st

from pages.parts import actions, experiment_picker, roots, run_words, screen
from pages.parts.text import plain

screen.enter(__file__)

st.title("Which embedding is better for your images?")
is_empty = not experiment_picker.has_experiments()
if is_empty:
    st.write("Nothing trained yet. The demo trains a classifier and a contrastive encoder on handwritten digits and "
             "compares them, in about two minutes.")
with st.container(horizontal=True):
    if is_empty:
        actions.demo_button()
    if st.button("New experiment", type="secondary" if is_empty else "primary", icon=":material/add:"):
        st.switch_page("pages/train.py")
    if not is_empty:
        actions.demo_button(is_main=False)
if is_empty:
    st.stop()

from core.experiments import store  # noqa: E402 - after the first screen has been drawn
from core.experiments.handles import Experiment  # noqa: E402
from core.experiments.status import State  # noqa: E402
from core.jobs import control, device_queue, overview  # noqa: E402 - after the first screen has been drawn
from core.jobs.overview import Overview  # noqa: E402
from core.visible import printable, visible  # noqa: E402
from pages.parts import several_datasets  # noqa: E402

MOST_DAMAGE = 3  # sentences about one experiment
A_PAGE = 8  # experiments drawn in full; more are lines of a table, a page of them at a time


def _row(found: Overview) -> None:
    name, state, said, act = st.columns([2, 1.6, 6, 3], vertical_alignment="center")
    if found.is_readable:
        target = "compare" if found.state == State.COMPLETED else "watch"
        name.page_link(f"pages/{target}.py", label=f"**{plain(found.name)}**", query_params={"experiment": found.name})
    else:
        name.markdown(plain(found.name))
    if found.is_leaky:
        name.markdown(":red[:material/warning: holds runs that leak]")
    state.write(run_words.state_text(found.state))
    with said:
        _say(found)
    with act.container(horizontal=True, horizontal_alignment="right"):
        _act(found)


def _say(found: Overview) -> None:
    if found.state in control.UNFINISHED:
        position = overview.position(found)
        st.write(run_words.progress_text(found.progress) if position is None else f"number {position} in the queue")
    elif found.state == State.COMPLETED:
        st.write(plain(found.sentence or found.remark))
    elif found.state == State.FAILED:
        st.write(f":red[{plain(found.progress.message)}]")
    elif found.state != State.DAMAGED:
        st.write(f"{found.progress.n_done} of {found.progress.n_runs} runs finished. Its process "
                 f"{'is gone' if found.state == State.LOST else 'was stopped'}: resume, or delete it.")
    for sentence in found.damage[:MOST_DAMAGE]:
        st.markdown(f":red[:material/report: {plain(sentence)}]")
    if len(found.damage) > MOST_DAMAGE:
        st.caption(f"{MOST_DAMAGE} of {len(found.damage)} shown; main.py list names all.")


def _act(found: Overview) -> None:
    key = printable(found.experiment.name)
    if found.state in control.UNFINISHED:
        if st.button("Stop", key=f"stop-{key}", icon=":material/stop:"):
            control.stop(found.experiment.runs)
            st.rerun()
        return
    if found.is_readable and (found.state != State.COMPLETED or found.damage) and st.button(
            "Resume", key=f"resume-{key}", icon=":material/replay:"):
        actions.resume(found.experiment.runs)
    actions.delete_button(found.experiment, key)


def _listed(experiments: list[Experiment]) -> list[Experiment]:
    """Many experiments as one table, a page of them at a time; the one that is chosen in it is drawn in full below."""
    import pyarrow as pa

    with st.container(horizontal=True, vertical_alignment="bottom"):
        word = st.text_input("Find", key="find-experiment", placeholder="part of a name", width=260).strip().lower()
        matching = [experiment for experiment in experiments if word in experiment.name.lower()] if word else experiments
        last = max(1, -(-len(matching) // A_PAGE))
        page = st.number_input(f"Page of {last:,}", 1, last, key=f"page-of-{last}", width=160)
        st.caption(f"{len(matching):,} experiments, the newest first. Choose a line to open, resume or delete it.")
    found = [overview.read(experiment) for experiment in matching[(page - 1) * A_PAGE:page * A_PAGE]]
    if not found:
        return []
    lines = pa.Table.from_pylist([  # as Streamlit sends it: a data frame would be built to be taken apart
        {"experiment": visible(item.name), "state": run_words.state_word(item.state),
         "finding": visible("; ".join(item.damage) or item.sentence or item.remark)} for item in found])
    chosen = st.dataframe(lines, hide_index=True, width="stretch", on_select="rerun", selection_mode="single-row",
                          key=f"experiments-{page}-{word}",
                          column_config={"finding": st.column_config.TextColumn(width="large")})
    rows = [row for row in chosen.selection.rows if row < len(found)] or [0]
    return [found[rows[0]].experiment]


experiments = store.experiments(roots.checkpoints_root())
is_busy = device_queue.is_used(roots.checkpoints_root())


@screen.fragment(run_every=2 if is_busy else None)
def _experiments(was_busy: bool, known: list[list[Experiment]]) -> None:
    experiments = known.pop() if known else store.experiments(roots.checkpoints_root())  # known when drawn with the screen
    for error in device_queue.damaged(roots.checkpoints_root()):
        st.caption(f":material/report: {plain(str(error))}")
    for experiment in experiments if len(experiments) <= A_PAGE else _listed(experiments):
        _row(overview.read(experiment))
    if was_busy and not device_queue.is_used(roots.checkpoints_root()):
        st.rerun()


st.subheader("Experiments")
_experiments(is_busy, [experiments])
several_datasets.draw(experiments)
