"""RUN, by which commands are told which run, or all runs of which experiment."""

import argparse
from pathlib import Path

from core.experiments import directory


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Adds RUN to what a command takes."""
    parser.add_argument("run", metavar="RUN", help="experiment/run, or experiment")


def find(options: argparse.Namespace) -> list[Path]:
    """Folders of the run that RUN names, or of all runs of the experiment that it names.

    Raises:
        NotFound: if there is none of that name.
    """
    folder = directory.find(options.checkpoints, options.run)
    return [folder] if "/" in options.run else directory.runs(folder)
