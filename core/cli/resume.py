"""`resume`: goes on with stopped, failed or lost runs, at their images' new place if they were moved."""

import argparse
import sys

from tqdm import tqdm

from core.cli import named_runs
from core.cli.follow import follow
from core.cli.output import on_bar, say
from core.errors import InputError
from core.experiments.status import State
from core.jobs import checks, control, relocation

HELP = "go on with stopped, failed or lost runs"
SHARED = ("device", "queue")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    named_runs.add_argument(parser)
    parser.add_argument("--set", action="append", metavar="dataset.root=PLACE", dest="overrides", default=argparse.SUPPRESS,
                        help="where the images are now, if they were moved; taken if every file is the one that was scanned")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    runs = named_runs.find(options)
    checks.check_device(options.device)
    root = relocation.wanted_root(options.overrides)
    if root is not None:
        experiment = runs[0].experiment
        with tqdm(desc="comparing images", unit=" images", disable=None, leave=False) as bar:
            relocation.move(experiment, root, on_bar(bar))
        say(f"{experiment.name}: dataset.root is now {root}; every file is the one that was scanned", file=sys.stderr)
        if all(control.derived_status(run).state == State.COMPLETED for run in runs):
            return 0
    if not control.resume(runs, options.data, options.device, options.queue):
        raise InputError(f"a run to resume must be {', '.join(control.RESUMABLE)}, "
                         f"got {control.derived_status(runs[0]).state} for {options.run!r}")
    experiment = runs[0].experiment
    options.json = False
    return follow(experiment, options)
