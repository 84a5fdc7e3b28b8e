"""`stop`: ends a run, or all runs of an experiment, after the step in hand."""

import argparse
from pathlib import Path

from core.cli.output import say
from core.experiments import directory
from core.jobs import control

HELP = "ask a run, or all runs of an experiment, to stop"
SHARED = ()


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", metavar="RUN", help="experiment/run, or experiment")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    runs = [run for run in runs_named(options) if control.derived_status(run).state in control.UNFINISHED]
    if not runs:
        raise ValueError(f"a run to stop must be queued or running, got none in {options.run!r}")
    control.stop(runs)
    for run in runs:
        say(f"{run.parent.name}/{run.name}: asked to stop")
    return 0


def runs_named(options: argparse.Namespace) -> list[Path]:
    """The run that RUN names, or all runs of the experiment that it names."""
    folder = directory.find(options.checkpoints, options.run)
    return [folder] if "/" in options.run else directory.runs(folder)
