"""`resume`: goes on with stopped, failed or lost runs, at their images' new place if they were moved, or with more seeds."""

import argparse
import sys

from tqdm import tqdm

from core.cli import named_runs
from core.cli.follow import follow
from core.cli.output import on_bar, say
from core.errors import InputError
from core.experiments import looks
from core.experiments.handles import Experiment, Run
from core.experiments.status import State
from core.jobs import checks, control, more_seeds, relocation

HELP = "go on with stopped, failed or lost runs"
SHARED = ("device", "queue")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    named_runs.add_argument(parser)
    parser.add_argument("--add-seeds", type=int, metavar="N", default=argparse.SUPPRESS,
                        help="add N seeds to the experiment RUN first; the next verdict is one more look, with wider "
                             "intervals")
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
        if "add_seeds" not in options and all(control.derived_status(run).state == State.COMPLETED for run in runs):
            return 0
    if "add_seeds" in options:
        runs = _add_seeds(runs[0].experiment, options)
    if not control.resume(runs, options.data, options.device, options.queue):
        raise InputError(f"a run to resume must be {', '.join(control.RESUMABLE)}, "
                         f"got {control.derived_status(runs[0]).state} for {options.run!r}")
    experiment = runs[0].experiment
    options.json = False
    return follow(experiment, options)


def _add_seeds(experiment: Experiment, options: argparse.Namespace) -> list[Run]:
    """Adds seeds to an experiment, and says which look they make; returns all its runs."""
    if "/" in options.run:
        raise InputError(f"RUN must be a whole experiment with --add-seeds, got {options.run!r}")
    look = looks.upcoming(experiment)
    added = more_seeds.add(experiment, options.add_seeds)
    say(f"{experiment.name}: seeds {', '.join(map(str, added))} added. {look.note}.", file=sys.stderr)
    return experiment.runs
