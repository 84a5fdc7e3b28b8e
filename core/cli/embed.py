"""`embed`: any folder of images through a trained encoder."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from core.cli.output import check_output, on_bar, say
from core.errors import NotFound
from core.experiments import store

HELP = "embed any folder of images with a trained encoder"
SHARED = ("device",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", metavar="RUN", help="experiment/run")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.parquet")
    parser.add_argument("--allow-unfinished", action="store_true",
                        help="also take the best weights so far of a run that is not completed; the table says so")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    run = store.find_run(options.checkpoints, options.run)
    check_output(options.output, (".parquet",))
    if not options.folder.is_dir():
        raise NotFound(f"folder must hold images, found none at {options.folder}")
    from core.analysis import table as tables
    from core.data import listing
    from core.inference import embedding  # loads torch: only here
    from core.training.device import resolve_device

    with tqdm(desc="reading images", unit=" images", disable=None, leave=False) as bar:
        table, left_out = embedding.embed_folder(run, options.folder, resolve_device(options.device), on_bar(bar),
                                                options.allow_unfinished)
    tables.write(table, options.output)
    for name, reason in left_out:
        say(f"left out {name}: {reason}", file=sys.stderr)
    if others := table.metadata["folder"]["other_files"]:
        say(f"no images: {listing.other_words(others)}", file=sys.stderr)
    say(f"{options.output}: {len(table):,} images, {table.embedding.shape[1]} dimensions")
    return 0
