"""RUN, by which commands are told which run, or all runs of which experiment."""

import argparse

from core.experiments import store
from core.experiments.handles import Run


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Adds RUN to what a command takes."""
    parser.add_argument("run", metavar="RUN", help="experiment/run, or experiment")


def find(options: argparse.Namespace) -> list[Run]:
    """The run that RUN names, or all runs of the experiment that it names.

    Raises:
        NotFound: if there is none of that name.
    """
    if "/" in options.run:
        return [store.find_run(options.checkpoints, options.run)]
    return store.find(options.checkpoints, options.run).runs
