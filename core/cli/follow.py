"""An experiment at work: its progress on standard error, and what it found once it has ended."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

from core.cli.output import aligned, say
from core.errors import Damaged
from core.experiments import best
from core.experiments.handles import Experiment, Run
from core.experiments.status import State
from core.jobs import control, device_queue
from core.quantities import duration, percent

if TYPE_CHECKING:
    from core.results.result import Arm

_ENDED = (State.COMPLETED, State.FAILED, State.STOPPED)


def follow(experiment: Experiment, options: argparse.Namespace) -> int:
    """Shows an experiment's progress until it has ended, then what it found; Ctrl-C stops it. Returns the exit code."""
    try:
        _show_progress(experiment)
    except KeyboardInterrupt:
        say("stopping after the step in hand …", file=sys.stderr)
        control.stop(experiment.runs)
        control.wait(experiment, seconds=30)
        say(f"stopped; go on with: python main.py resume {experiment.name}", file=sys.stderr)
        return 1
    return conclude(experiment, options)


def conclude(experiment: Experiment, options: argparse.Namespace) -> int:
    """Prints what an experiment that has ended found, and how its runs did; returns the exit code."""
    from core.results import result  # scikit-learn takes a second to import: only here

    statuses = {run.name: control.derived_status(run) for run in experiment.runs}
    verdict = None
    try:
        verdict = result.read(experiment)
    except (FileNotFoundError, Damaged) as error:
        if isinstance(error, Damaged):
            say(str(error), file=sys.stderr)
    if options.json:
        print(json.dumps({"experiment": experiment.name, "states": {name: item.state for name, item in statuses.items()},
                          **(result.to_json(verdict) if verdict else {})}))
    elif verdict:
        for rows, comparisons, worth, of in ((verdict.rows, verdict.comparisons, verdict.training_worth, "test images"), (
                verdict.open_rows, verdict.open_comparisons, verdict.open_training_worth,
                "images of held-out classes, among themselves")):
            if rows:
                print(_table(rows, of))
            for count in dict.fromkeys(row.images_per_class for row in rows):
                if said := verdict.asked(count, is_open=rows is verdict.open_rows):
                    say(f"{said}.")
            for note in dict.fromkeys(item.look_note for item in comparisons if item.look_note):
                say(f"{note}.")
            for count, said in [(item.images_per_class, item.sentence) for item in comparisons] + [
                    (row.images_per_class, text) for row in rows for text in (row.not_improved, row.unchanged) if text] + [
                    (item.images_per_class, item.sentence) for item in worth]:
                say(f"{'All images' if count == 'all' else f'{count} images per class'}: {said}.")
        for pair in verdict.curve.pairs if verdict.curve else ():
            say(f"{pair.sentence}. {pair.crossing_sentence}.")
        say(f"Look closer: streamlit run streamlit_app.py, then open {experiment.name}.")
    failed = {name: item for name, item in statuses.items() if item.state != State.COMPLETED}
    for name, item in failed.items():
        say(f"{name} {item.state}{f': {item.message}' if item.message else ''}", file=sys.stderr)
    if failed:
        say(f"go on with: python main.py resume {experiment.name}", file=sys.stderr)
    return 1 if failed else 0


def _show_progress(experiment: Experiment) -> None:
    names = [run.name for run in experiment.runs]
    announced: set[str] = set()
    is_terminal = sys.stderr.isatty()
    with tqdm(total=100, desc=experiment.name, disable=None, bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix}") as bar:
        while True:
            has_ended = control.wait(experiment, seconds=0.5)
            progress = control.progress(experiment)
            statuses = {name: control.derived_status(experiment.run(name)) for name in names}
            current = next((f"{name} {status.phase}" for name, status in statuses.items() if status.state == State.RUNNING),
                           _queued(experiment))
            left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
            bar.n = round(100 * progress.share)
            bar.set_postfix_str(f"run {progress.n_done} of {progress.n_runs}{left}, {current}")
            for name, status in statuses.items():
                if not is_terminal and status.state in _ENDED and name not in announced:
                    announced.add(name)
                    say(f"{experiment.name} {100 * progress.share:3.0f}% run {progress.n_done} of {progress.n_runs}{left}: "
                        f"{name} {status.state}{last_score(experiment.run(name))}", file=sys.stderr)
            if has_ended:
                return


def _queued(experiment: Experiment) -> str:
    position = device_queue.position(experiment)
    return "" if position is None else f"number {position} in the queue"


def last_score(run: Run) -> str:
    """The last validation score of a run and its best epoch, to stand behind its state; nothing before the first."""
    records = run.records
    if not records or "validation_map_at_r" not in records[-1]:
        return ""
    return f", validation MAP@R {100 * records[-1]['validation_map_at_r']:.1f}; {best.words(run)}".rstrip("; ")


def _table(rows: "tuple[Arm, ...]", of: str) -> str:
    from core.analysis import macro
    from core.analysis.metrics import METRICS, SHORT

    names = [name for name in SHORT if name in rows[0].metrics]
    head = ["objective", "images per class", *(METRICS[name].title for name in names)]
    lines = [head]
    has_macro = any(abs(row.macro[name].mean - row.metrics[name].mean) >= macro.LEAST_TOLD for row in rows for name in names
                    if name in row.macro)
    for row in rows:
        cells, by_class = ([percent(of[name].mean, of[name].sd, row.n_seeds) if name in of else "–" for name in names]
                           for of in (row.metrics, row.macro))
        leaks = f" (leaks: {' and '.join(row.leaks)})" if row.leaks else ""
        lines.append([row.objective + leaks, str(row.images_per_class), *cells])
        if has_macro:
            lines.append(["  each class alike", str(row.images_per_class), *by_class])
    text = [aligned(lines, to_left=(0, 1))]
    n_seeds = max(row.n_seeds for row in rows)
    n_splits = max(row.n_splits for row in rows)
    over = "one seed" if n_seeds == 1 else f"mean ± sd over {n_seeds} seeds{f' on {n_splits} splits' if n_splits > 1 else ''}"
    text.append(f"Percent on {rows[0].n_test} {of}, each counted alike{' but where it says otherwise' if has_macro else ''}; "
                f"{over}.")
    return "\n".join(text)
