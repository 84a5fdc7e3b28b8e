"""WATCH. Is it going well?"""

import numpy as np
import streamlit as st

from core import scored_by
from core.config import RunConfig, arm_label
from core.experiments import best, trials
from core.experiments.status import State
from core.jobs import control, device_queue, overview
from core.report import figures, palette
from pages.parts import actions, experiment_picker, film_chart, moved_images, run_words, scatter, screen
from pages.parts.text import lines, plain

screen.enter(__file__)

experiment_picker.require("Curves, and both spaces as they form,")
live = st.container()
with st.container(width=320):
    experiment = experiment_picker.pick()
config = experiment.config
classes = tuple(experiment.description["classes"])
LETTERS = "ABCDEFGHIJ"
MOST_ALARMS = 3
CURVES = {"loss": "training loss", "validation_effective_rank": "effective rank of validation embeddings",
          "mean_cosine": "mean cosine between a batch's embeddings", "active_triplets": "share of triplets that teach",
          "gradient_norm": "gradient norm", "lr": "learning rate", "images_per_second": "images/s"}


def _headline(progress: control.Progress) -> str:
    match progress.state:
        case State.RUNNING:
            return f"Training {plain(experiment.name)}: {run_words.progress_text(progress)}"
        case State.QUEUED:
            position = device_queue.position(experiment)
            return "Starting" if position is None else f"Waiting for the device: number {position} in the queue"
        case State.COMPLETED:
            verdict = overview.read(experiment).sentence
            return f"{plain(verdict)}." if verdict else "Finished."
        case State.FAILED:
            return f"Failed: {plain(progress.message)}"
        case State.DAMAGED:
            return f"Damaged: {plain(progress.message)}"
        case State.LOST:
            return "Lost: its process is gone. Resume it from its last checkpoint, or delete it"
    return f"Stopped after {progress.n_done} of {progress.n_runs} runs"


def _groups() -> list[tuple[int | str, int]]:
    return [(count, seed) for count in config.images_per_class for seed in config.seeds]


def _current_group(groups: list[tuple[int | str, int]]) -> tuple[int | str, int]:
    """The images-per-class and seed that train now, or the last that have records."""
    current = groups[0]
    for run in config.runs():
        if run.is_trained and experiment.run(run.name).records:
            current = (run.images_per_class, run.seed)
            if control.derived_status(experiment.run(run.name)).state == State.RUNNING:
                return current
    return current


def _label(group: tuple[int | str, int] | str) -> str:
    if group == "latest":
        return "the latest"
    count, seed = group
    return f"{'all images' if count == 'all' else f'{count} per class'}, seed {seed}"


def _runs_of(group: tuple[int | str, int]) -> list[RunConfig]:
    return [run for run in config.runs() if run.is_trained and (run.images_per_class, run.seed) == group]


def _draw_films(runs: list[RunConfig]) -> None:
    titles = tuple(f"{LETTERS[config.arms.index(arm_label(run.objective))]} · {arm_label(run.objective)}" for run in runs)
    with st.container(border=True):
        if any(experiment.run(run.name).snapshots for run in runs):
            film_chart.draw(experiment, runs, titles, classes)
        else:
            st.container(height=430, border=False).caption("The spaces will be here in a moment.")
        a_row = scatter.a_row(len(runs))
        for start in range(0, len(runs), a_row):
            for column, run in zip(st.columns(a_row), runs[start:]):
                with column:
                    _say_state(run)


def _say_state(run: RunConfig) -> None:
    """What a run's film does not say: its state, its learning rate, which epoch is the best."""
    number = config.arms.index(arm_label(run.objective))
    status = control.derived_status(experiment.run(run.name))
    phase = f" · {plain(status.phase)}" if status.phase and not experiment.run(run.name).snapshots else ""
    st.caption(f"**{LETTERS[number]} · {plain(arm_label(run.objective))}**{run_words.leak_mark(run)} · "
               f"{run_words.state_text(status.state)}{phase}{_lr_note(run)}{_best_note(run)}")


def _lr_note(run: RunConfig) -> str:
    """The learning rate that a tuned run chose; nothing without tuning."""
    tuning = trials.summary(experiment.run(run.name), run.n_trials)
    return f" · learning rate {tuning['lr']:g}, best of {run.n_trials} on validation" if tuning else ""


def _best_note(run: RunConfig) -> str:
    """Which epoch is the best on validation so far; a warning where a finished run's is the encoder before training."""
    handle = experiment.run(run.name)
    words = best.words(handle)
    if best.epoch(handle) == 0 and control.derived_status(handle).state == State.COMPLETED:
        return f" · :orange[{words}: no epoch was better on validation, so this run exports it unchanged]"
    return f" · {words}" if words else ""


def _draw_damage() -> None:
    """What cannot be used, but does not keep the rest from being shown."""
    for sentence in overview.read(experiment).damage:
        st.error(plain(f"Damaged: {sentence}"), icon=":material/report:")


def _draw_alarms() -> None:
    alarms = [(run.name, alarm) for run in config.runs() for alarm in experiment.run(run.name).alarms]
    for name, alarm in alarms[-MOST_ALARMS:]:
        st.warning(f"**{plain(name)}**, step {alarm['step']}: {plain(alarm['message'])}.", icon=":material/warning:")
    if len(alarms) > MOST_ALARMS:
        st.caption(f"{MOST_ALARMS} of {len(alarms)} alarms shown; each run's {experiment.runs[0].alarms_file.name} has its "
                   "own.")


def _draw_curves(runs: list[RunConfig]) -> None:
    arms = dict(zip(config.arms, palette.arms(len(config.arms))))
    left, right = st.columns(2)
    all_seeds = left.toggle("Every seed", False, key=f"every-seed-{experiment.name}",
                            help="All seeds over each other, an arm's in one colour.")
    column = right.selectbox("Also", list(CURVES), format_func=CURVES.get, key=f"curve-{experiment.name}",
                             label_visibility="collapsed")
    if all_seeds:
        runs = [run for run in config.runs() if run.is_trained and run.images_per_class == runs[0].images_per_class]
    names = {run.name: f"{arm_label(run.objective)}{f', seed {run.seed}' if all_seeds else ''}" for run in runs}
    series = {names[run.name]: experiment.run(run.name).records for run in runs}
    colors = {names[run.name]: arms[arm_label(run.objective)] for run in runs}
    left.plotly_chart(figures.curves(series, colors, "validation_map_at_r", "validation MAP@R"), key="curve-map",
                      config={"displayModeBar": False})
    right.plotly_chart(figures.curves(series, colors, column, CURVES[column]), key="curve-other",
                       config={"displayModeBar": False})
    if mixed := [name for name, records in series.items() if scored_by.are_mixed(records)]:
        st.caption(f"{plain(', '.join(mixed))}: the first epochs were {scored_by.EARLIER}. Later ones are scored as today, "
                   "and compared with the best epoch before them, scored anew.")
    last = [records[-1] for records in series.values() if records and records[-1].get("images_per_second")]
    if last:
        shares = [record["compute_share"] for record in last if record.get("compute_share")]
        computing = f", of which the model computes {100 * np.mean(shares):.0f} % of the time" if shares else ""
        st.caption(f"{np.mean([record['images_per_second'] for record in last]):,.0f} images/s while training{computing}. "
                   f"Validation only: the test images are opened once, at the end of each run.")


def _draw_runs() -> None:
    for run in config.runs():
        status = control.derived_status(experiment.run(run.name))
        text, act = st.columns([8, 2], vertical_alignment="center")
        name = f"{plain(run.name)}{run_words.leak_mark(run)}"
        text.markdown(" · ".join(filter(None, (run_words.state_text(status.state), name, plain(status.message or status.phase),
                                               best.words(experiment.run(run.name))))))
        with act:
            if status.state in control.UNFINISHED and run.is_trained:
                if st.button("Stop", key=f"stop-{run.name}", icon=":material/stop:"):
                    control.stop([experiment.run(run.name)])
            elif status.state in control.RESUMABLE and st.button("Resume", key=f"resume-{run.name}", icon=":material/replay:"):
                actions.resume([experiment.run(run.name)])


def _draw_log() -> None:
    failed = [run for run in experiment.runs if run.worker_log.is_file() and control.derived_status(run).state == State.FAILED]
    for path in (experiment.worker_log, *(run.worker_log for run in failed)):
        if path.is_file():
            st.caption(plain(path.relative_to(experiment.root).as_posix()))
            st.code(lines("\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])), language=None)


def _draw_actions(state: State) -> None:
    halt, compare = st.empty(), st.empty()  # each button keeps its place, so that none is on the page twice as states change
    if state in control.UNFINISHED:
        if halt.button("Stop all", icon=":material/stop:"):
            control.stop(experiment.runs)
            st.toast("Stopping after the step in hand; what is done is kept.")
    elif state != State.COMPLETED and halt.button("Resume all", icon=":material/replay:", type="primary"):
        actions.resume(experiment.runs)
    has_results = any(experiment.run(run.name).scores_file.is_file() for run in config.runs() if run.is_trained)
    if has_results:  # a link: a page that a fragment switches to is left empty where the fragment was just drawn anew
        compare.page_link("pages/compare.py", label="**Compare**" if state == State.COMPLETED else "Compare",
                          icon=":material/compare:", query_params={"experiment": experiment.name})


is_alive = control.is_worker_alive(experiment)


@screen.fragment(run_every=1.0 if is_alive else None)
def _live(was_alive: bool) -> None:
    progress = control.progress(experiment)
    st.header(_headline(progress))
    st.progress(progress.share)
    groups = _groups()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        group = st.selectbox("Runs", ["latest", *groups], format_func=_label, key=f"group-{experiment.name}", width=260)
        runs = _runs_of(_current_group(groups) if group == "latest" else group)[:scatter.MOST_REELS]
        _draw_actions(progress.state)
    _draw_damage()
    _draw_alarms()
    _draw_films(runs)
    _draw_curves(runs)
    if was_alive and not control.is_worker_alive(experiment):
        st.rerun()


with live:
    moved_images.offer_place(experiment)
    _live(is_alive)
with st.expander("Every run"):
    _draw_runs()
    if overview.read(experiment).state == State.COMPLETED:
        actions.add_seeds(experiment)
with st.expander("Log"):
    _draw_log()
