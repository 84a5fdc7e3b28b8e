"""Experiments at a glance, each for itself: what Start and `list` say of one, damaged or not, read again only if it changed.

Never raises for what lies on disk: an experiment that cannot be read is one that is damaged.
"""

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from core import files
from core.config import ExperimentConfig, RunConfig
from core.errors import Damaged
from core.experiments import directory, filenames, trials
from core.jobs import control, device_queue
from core.jobs.control import DerivedState, Progress
from core.visible import printable

_MOST = 5_000  # experiments remembered
_OWN = (filenames.EXPERIMENT, filenames.VERDICT, filenames.WORKER, filenames.MANIFEST)
_RESULTS = (filenames.EMBEDDINGS, filenames.SCORES, filenames.BEST)
_OF_RUN = (filenames.RUN, filenames.STATE, filenames.RECORDS, filenames.ALARMS, filenames.TRIALS, *_RESULTS)
_ENDED = ("completed", "failed", "stopped", "damaged")

Stamps = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Overview:
    """An experiment at a glance.

    Attributes:
        folder: the experiment.
        name: its name, as it can be shown.
        state: of the whole, as `control.progress` has it; 'damaged' if the experiment itself cannot be read.
        progress: where it stands; None if it cannot be read.
        runs: name -> state; empty if it cannot be read.
        sentence: its verdict's; empty before there is one.
        is_leaky: whether any of its runs leaks.
        damage: what is wrong, a sentence each with what can be done.
    """

    folder: Path
    name: str
    state: DerivedState
    progress: Progress | None
    runs: dict[str, DerivedState]
    sentence: str = ""
    is_leaky: bool = False
    damage: tuple[str, ...] = ()

    @property
    def is_readable(self) -> bool:
        """Whether it can be opened; else it can only be deleted."""
        return self.progress is not None


_remembered: OrderedDict[str, tuple[Stamps, Overview]] = OrderedDict()
_lock = Lock()


def read(folder: Path) -> Overview:
    """An experiment at a glance; of one that has ended, what is remembered unless one of its files changed."""
    key = str(folder)
    with _lock:
        known = _remembered.get(key)
    if known and known[1].state in _ENDED and known[0] == _stamps(folder, list(known[1].runs)):
        return known[1]
    try:
        config = directory.read_config(folder)
        before = _stamps(folder, [run.name for run in config.runs()])
        found = _look(folder, config)
    except Damaged as error:
        before, found = _stamps(folder, []), _unreadable(folder, str(error.path.name), error)
    except OSError as error:
        before, found = _stamps(folder, []), _unreadable(folder, "", Damaged(
            folder, f"must be a folder that can be read, got: {error.strerror or error}", directory.DELETE))
    with _lock:
        _remembered[key] = before, found
        _remembered.move_to_end(key)
        while len(_remembered) > _MOST:
            _remembered.popitem(last=False)
    return found


def position(found: Overview) -> int | None:
    """How many experiments an experiment waits for; None if it does not wait."""
    return device_queue.position(found.folder) if found.state in control.UNFINISHED else None


def _look(folder: Path, experiment: ExperimentConfig) -> Overview:
    configs = experiment.runs()
    runs: dict[str, DerivedState] = {}
    damage: list[str] = []
    for config in configs:
        run = folder / config.name
        status = control.derived_status(run)
        runs[config.name] = status.state
        damage += _of_run(run, config, status)
    if what := files.cut_or_foreign(folder / filenames.MANIFEST):
        damage.insert(0, f"{filenames.MANIFEST} {what}; {directory.DELETE}; finished runs can still be explored and exported")
    progress = control.progress(folder, experiment)
    sentence = ""
    try:
        sentence = directory.read_sentence(folder)
    except FileNotFoundError:
        if progress.state == "completed":
            damage.append(f"{filenames.VERDICT} must exist, it is missing; Compare makes it anew")
    except Damaged as error:
        damage.append(f"{filenames.VERDICT} {error.what}; {error.remedy}")
    return Overview(folder, printable(folder.name), progress.state, progress, runs, sentence,
                    any(config.leaks for config in configs), tuple(damage))


def _of_run(run: Path, config: RunConfig, status: directory.RunStatus) -> list[str]:
    """What is wrong with a run, as far as it shows without reading its results."""
    if status.state == "damaged":
        return [f"{run.name}/{status.message}; {directory.RESUME}"]
    damage = []
    try:
        directory.check_run(run, config)
    except Damaged as error:
        damage.append(f"{run.name}/{filenames.RUN} {error.what}; {error.remedy}")
    if status.state == "completed":
        results = [name for name in _RESULTS if name != filenames.BEST or not run.name.startswith("untrained-")]
        damage += [f"{run.name}/{name} {what}; {directory.RESUME}" for name in results
                   if (what := files.cut_or_foreign(run / name))]
    if damaged := trials.damage(run):
        damage.append(f"{run.name}/{damaged.path.name} {damaged.what}; {damaged.remedy}")
    damage += [f"{run.name}/{name} must hold a JSON object in each line, got {count} that cannot be used; the others are used"
               for name, count in directory.bad_lines(run).items()]
    return damage


def _unreadable(folder: Path, name: str, error: Damaged) -> Overview:
    said = f"{name} {error.what}{f'; {error.remedy}' if error.remedy else ''}".strip()
    return Overview(folder, printable(folder.name), "damaged", None, {}, damage=(said,))


def _stamps(folder: Path, runs: list[str]) -> Stamps:
    root = str(folder)
    paths = [f"{root}/{name}" for name in _OWN]
    paths += [f"{root}/{run}/{name}" for run in runs for name in _OF_RUN]
    return tuple(_stamp(path) for path in paths)


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
