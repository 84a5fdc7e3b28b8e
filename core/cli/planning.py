"""Reading a dataset and its split, and saying what is found in it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from core.cli.output import on_bar, say
from core.config import ExperimentConfig
from core.data import census
from core.experiments import planning
from core.jobs import fetch
from core.jobs.tasks import Progress


def plan(config: ExperimentConfig, options: argparse.Namespace) -> planning.Plan:
    """Reads an experiment's images, downloads them first where that is asked for, and splits them; says what was found.

    Raises:
        InputError: if they cannot be downloaded, or the experiment cannot be run on them.
        TaskFailed: if the download ended by a fault of its own.
    """
    if planning.needs_download(config.dataset):
        download(Path(config.dataset.root or "").resolve())
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


def download(root: Path, resources: Sequence[tuple[str, str]] | None = None) -> None:
    """Downloads Oxford-IIIT Pet and shows on standard error how far it is: as bars in a terminal, else in lines.

    Args:
        root: as in `fetch.pets`.
        resources: the same.

    Raises:
        InputError, TaskFailed: as `fetch.fetch_pets` does.
    """
    show = _Bars() if sys.stderr.isatty() else _Lines()
    try:
        fetch.fetch_pets(root, show, resources)
    finally:
        show.close()


class _Lines:
    """Progress as a line each 5 %, for a log."""

    def __init__(self) -> None:
        self._said = ("", -1)

    def __call__(self, progress: Progress) -> None:
        percent = int(100 * progress.share) // 5 * 5
        if self._said != (progress.text, percent):
            self._said = (progress.text, percent)
            print(f"{progress.text}: {percent} %", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is open."""


class _Bars:
    """Progress as one bar after the other, for a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __call__(self, progress: Progress) -> None:
        if self._bar is None or self._bar.desc != progress.text:
            self.close()
            self._bar = tqdm(desc=progress.text, total=progress.of or None, initial=progress.done, unit="B", unit_scale=True)
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        """Leaves the last bar as it stands, so that what follows begins a line of its own."""
        if self._bar is not None:
            self._bar.close()
