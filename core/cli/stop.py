"""`stop`: ends a run, or all runs of an experiment, after the step in hand."""

import argparse

from core.cli import named_runs
from core.cli.output import say
from core.errors import InputError
from core.jobs import control

HELP = "ask a run, or all runs of an experiment, to stop"
SHARED = ()


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    named_runs.add_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    runs = [run for run in named_runs.find(options) if control.derived_status(run).state in control.UNFINISHED]
    if not runs:
        raise InputError(f"a run to stop must be queued or running, got none in {options.run!r}")
    control.stop(runs)
    for run in runs:
        say(f"{run.full_name}: asked to stop")
    return 0
