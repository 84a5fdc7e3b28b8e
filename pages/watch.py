"""WATCH. Is it going well?"""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core import scored_by
from core.config import RunConfig, arm_label
from core.experiments import best, film, trials
from core.jobs import control, device_queue, overview
from core.report import figures, palette
from pages.parts import actions, experiment_picker, file_stamp, moved_images, run_words, screen
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
MOST_IN_A_ROW = 4  # spaces side by side; more stand in rows of three
CURVES = {"loss": "training loss", "validation_effective_rank": "effective rank of validation embeddings",
          "mean_cosine": "mean cosine between a batch's embeddings", "active_triplets": "share of triplets that teach",
          "gradient_norm": "gradient norm", "lr": "learning rate", "images_per_second": "images/s"}


@st.cache_data(max_entries=200, show_spinner=False)
def _frame(path: str, modified: int, size: int) -> dict[str, np.ndarray]:
    return film.read_frame(Path(path))


@st.cache_resource(max_entries=32, show_spinner=False)
def _space(frame: tuple[str, int, int], names: tuple[str, ...], extent: tuple[tuple[float, float], ...]) -> go.Figure:
    """A frame's plot; made once, as the screen draws it again every second and each costs a tenth of one."""
    columns = _frame(*frame)
    return figures.space(np.stack([columns["x"], columns["y"]], axis=1), columns["label_id"], names, columns["sample_id"],
                         height=330, extent=np.array(extent))


def _headline(progress: control.Progress) -> str:
    match progress.state:
        case "running":
            return f"Training: {run_words.progress_text(progress)}"
        case "queued":
            position = device_queue.position(experiment)
            return "Starting" if position is None else f"Waiting for the device: number {position} in the queue"
        case "completed":
            verdict = overview.read(experiment).sentence
            return f"{plain(verdict)}." if verdict else "Finished."
        case "failed":
            return f"Failed: {plain(progress.message)}"
        case "damaged":
            return f"Damaged: {plain(progress.message)}"
        case "lost":
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
            if control.derived_status(experiment.run(run.name)).state == "running":
                return current
    return current


def _label(group: tuple[int | str, int] | str) -> str:
    if group == "latest":
        return "the latest"
    count, seed = group
    return f"{'all images' if count == 'all' else f'{count} per class'}, seed {seed}"


def _runs_of(group: tuple[int | str, int]) -> list[RunConfig]:
    return [run for run in config.runs() if run.is_trained and (run.images_per_class, run.seed) == group]


def _frames(runs: list[RunConfig], epoch: int | None) -> dict[str, tuple[int, tuple[str, int, int]]]:
    """Run name -> epoch and stamp of the frame to show: the one asked for, or the latest there is; none that is damaged."""
    frames = {}
    for run in runs:
        paths = experiment.run(run.name).snapshots
        if paths:
            shown = epoch if epoch in paths else max(paths)
            with screen.in_words():
                frame = file_stamp.stamp(paths[shown])
                _frame(*frame)
                frames[run.name] = shown, frame
    return frames


def _extent(frames: list[tuple[str, int, int]]) -> tuple[tuple[float, float], ...]:
    """The two corners between which all points of some frames lie, so that their plots have one scale."""
    columns = [_frame(*frame) for frame in frames]
    points = [np.concatenate([column[axis] for column in columns]) for axis in "xy"] if columns else [np.zeros(1)] * 2
    return tuple(tuple(float(edge(values)) for values in points) for edge in (np.min, np.max))


def _draw_films(runs: list[RunConfig], epoch: int | None) -> None:
    frames = _frames(runs, epoch)
    extent = _extent([frame for _, frame in frames.values()])
    a_row = len(runs) if len(runs) <= MOST_IN_A_ROW else 3
    for start in range(0, len(runs), a_row):
        for place, run in zip(st.columns(a_row), runs[start:start + a_row]):
            with place.container(border=True, height=430):
                _draw_film(run, frames.get(run.name), extent)


def _draw_film(run: RunConfig, frame: tuple[int, tuple[str, int, int]] | None,
               extent: tuple[tuple[float, float], ...]) -> None:
    number = config.arms.index(arm_label(run.objective))
    status = control.derived_status(experiment.run(run.name))
    st.markdown(f"**{LETTERS[number]} · {plain(arm_label(run.objective))}**{run_words.leak_mark(run)}")
    if frame is None:
        st.caption(f"{run_words.state_text(status.state)} · Its space will be here in a moment. {plain(status.phase)}")
        return
    shown, stamp = frame
    score = next((f" · MAP@R {100 * record['validation_map_at_r']:.1f}"
                  for record in experiment.run(run.name).records
                  if record["epoch"] == shown and "validation_map_at_r" in record), "")
    notes = f"{score}{_lr_note(run)}{_best_note(run)}"
    st.caption(f"{run_words.state_text(status.state)} · epoch {shown} of {run.budget.epochs}{notes}",
               help="MAP@R on validation images, those of the film.")
    st.plotly_chart(_space(stamp, classes, extent), key=f"film-{number}", config={"displayModeBar": False})


def _lr_note(run: RunConfig) -> str:
    """The learning rate that a tuned run chose; nothing without tuning."""
    found = trials.summary(experiment.run(run.name), run.n_trials)
    return f" · learning rate {found['lr']:g}, best of {run.n_trials} on validation" if found else ""


def _best_note(run: RunConfig) -> str:
    """Which epoch is the best on validation so far; a warning where a finished run's is the encoder before training."""
    words = best.words(experiment.run(run.name))
    if best.epoch(experiment.run(run.name)) == 0 and control.derived_status(experiment.run(run.name)).state == "completed":
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
            if status.state in ("queued", "running") and run.is_trained:
                if st.button("Stop", key=f"stop-{run.name}", icon=":material/stop:"):
                    control.stop([experiment.run(run.name)])
            elif status.state in control.RESUMABLE and st.button("Resume", key=f"resume-{run.name}", icon=":material/replay:"):
                actions.resume([experiment.run(run.name)])


def _draw_log() -> None:
    failed = [run for run in experiment.runs if run.worker_log.is_file() and control.derived_status(run).state == "failed"]
    for path in (experiment.worker_log, *(run.worker_log for run in failed)):
        if path.is_file():
            st.caption(plain(path.relative_to(experiment.root).as_posix()))
            st.code(lines("\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])), language=None)


def _draw_actions(state: str) -> None:
    halt, compare = st.empty(), st.empty()  # each button keeps its place, so that none is on the page twice as states change
    if state in ("running", "queued"):
        if halt.button("Stop all", icon=":material/stop:"):
            control.stop(experiment.runs)
            st.toast("Stopping after the step in hand; what is done is kept.")
    elif state != "completed" and halt.button("Resume all", icon=":material/replay:", type="primary"):
        actions.resume(experiment.runs)
    has_results = any(experiment.run(run.name).scores_file.is_file() for run in config.runs() if run.is_trained)
    if has_results:  # a link: a page that a fragment switches to is left empty where the fragment was just drawn anew
        compare.page_link("pages/compare.py", label="**Compare**" if state == "completed" else "Compare",
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
        runs = _runs_of(_current_group(groups) if group == "latest" else group)[:len(LETTERS)]
        latest = max((max(experiment.run(run.name).snapshots, default=0) for run in runs), default=0)
        epoch = st.select_slider("Film: epoch", [*range(latest + 1), "now"], value="now", key=f"film-epoch-{experiment.name}",
                                 width="stretch") if latest else "now"
        _draw_actions(progress.state)
    _draw_damage()
    _draw_alarms()
    _draw_films(runs, None if epoch == "now" else epoch)
    _draw_curves(runs)
    if was_alive and not control.is_worker_alive(experiment):
        st.rerun()


with live:
    moved_images.offer_place(experiment)
    _live(is_alive)
with st.expander("Every run"):
    _draw_runs()
with st.expander("Log"):
    _draw_log()
