"""Reading a dataset and its split, and saying what is found in it."""

import argparse
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from core.cli.output import on_bar, say
from core.config import ExperimentConfig
from core.data import census
from core.experiments import planning
from core.jobs.tasks import PROJECT


def plan(config: ExperimentConfig, options: argparse.Namespace) -> planning.Plan:
    """Reads an experiment's images, downloads them first where that is asked for, and splits them; says what was found.

    Raises:
        InputError: if the experiment cannot be run on them.
        SystemExit: if the download failed, which has said why.
    """
    if planning.needs_download(config.dataset):
        root = str(Path(config.dataset.root).resolve())
        failed = subprocess.run([sys.executable, "-m", "core.jobs.fetch", root], cwd=PROJECT).returncode
        if failed:
            raise SystemExit(failed)  # it has said why
    with tqdm(desc="reading images", unit=" images", disable=None, leave=False) as bar:
        checked = planning.plan(config, options.data, on_bar(bar))
    for line in census.lines(checked.manifest):
        say(line, file=sys.stderr)
    pairs, conflicts = checked.manifest.duplicates, checked.manifest.conflicts
    if pairs:
        say(f"copies of a picture, each kept on one side of the split: {len(pairs):,}", file=sys.stderr)
    if conflicts:
        shown = ", ".join(f"{pair.a} and {pair.b}" for pair in conflicts[:5])
        say(f"the same picture under two labels: {len(conflicts):,} ({shown}{', …' if len(conflicts) > 5 else ''})",
            file=sys.stderr)
    return checked
