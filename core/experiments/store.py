"""A folder of experiments: one is created in it whole or not at all, all are listed, one is found by its name.

What lies in an experiment's own folder is read and written by its handle (`handles`).
"""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core import config as configuration
from core import files
from core.config import ExperimentConfig
from core.errors import AlreadyExists, ConfigError, NotFound
from core.experiments import filenames, looks, provenance
from core.experiments.handles import EARLIER_LOOKS, FORMAT, Experiment, Run
from core.experiments.status import RunStatus, State
from core.files import write_json
from core.unchanged import SETTLED

if TYPE_CHECKING:  # pyarrow, 80 MB, is loaded where a manifest is: a worker that waits its turn needs none
    from core.data.manifest import Manifest


class _Listing(NamedTuple):
    """What lies in a root: when its names last changed, experiments with when they were made, and whatever is none."""

    changed: int
    known: list[tuple[int, Experiment]]
    others: list[str]


_listed: dict[str, _Listing] = {}


def create(config: ExperimentConfig, manifest: "Manifest", root: Path, random_split: "Manifest | None" = None,
           repeats: "Sequence[Manifest]" = ()) -> Experiment:
    """Lays out a new experiment with all its runs queued; whole or not at all. Earlier looks at its question are written down.

    Args:
        config: the experiment.
        manifest: its samples, split.
        root: folder of experiments.
        random_split: the same samples in a split that ignores groups, for arms that measure what it is worth.
        repeats: the same samples in further splits, where splits are repeated.

    Raises:
        AlreadyExists: if an experiment of this name exists.
    """
    experiment = Experiment(root / config.name)
    root.mkdir(parents=True, exist_ok=True)
    staging = Experiment(root / f".new-{files.mark()}")
    staging.folder.mkdir(mode=0o755)
    before = looks.earlier(config, manifest.fingerprint, experiments(root))
    try:
        write_json(staging.description_file, {
            "format": FORMAT, "config": config.to_json(), "fingerprint": manifest.fingerprint,
            "classes": list(manifest.classes),
            "versions": provenance.versions(), "git_commit": provenance.git_commit(), "created": time.time(),
            **({EARLIER_LOOKS: before} if before else {}),
        })
        manifest.write(staging.manifest_file)
        if random_split is not None:
            random_split.write(staging.random_split_file)
        for repeat, further in enumerate(repeats, 1):
            further.write(staging.repeat_file(repeat))
        for run in config.runs():
            staging.run(run.name).lay_out(run, manifest.fingerprint)
            staging.run(run.name).write_status(RunStatus(State.QUEUED))
        if os.path.lexists(experiment.folder):
            raise AlreadyExists(f"name must be new, got {config.name!r}, which exists in {root}")
        os.rename(staging.folder, experiment.folder)
        files.sync_folder(root)
    except BaseException:
        shutil.rmtree(staging.folder, ignore_errors=True)
        raise
    return experiment


def free_name(root: Path, name: str) -> str:
    """The name itself, or the first of name-2, name-3, … that no experiment has."""
    candidate, number = name, 1
    while os.path.lexists(root / candidate):
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def experiments(root: Path) -> list[Experiment]:
    """All experiments, damaged ones too, the newest first; what else lies there is passed over.

    While no name in the root changes, folders known to be experiments are not looked at again.
    """
    try:
        changed = os.stat(root).st_mtime_ns
        listed = _listed.get(str(root))
        if listed is None or listed.changed != changed or time.time_ns() - changed < SETTLED:
            with os.scandir(root) as entries:
                listed = _Listing(changed, [], [entry.path for entry in entries if not entry.name.startswith(".")])
    except OSError:
        return []
    added, others = [], []
    for path in listed.others:
        when = _made(path)
        added.append((when, Experiment(Path(path)))) if when is not None else others.append(path)
    known = sorted([*listed.known, *added], key=_age_and_name, reverse=True) if added else listed.known
    _listed[str(root)] = _Listing(changed, known, others)
    return [experiment for _, experiment in known]


def _age_and_name(known: tuple[int, Experiment]) -> tuple[int, Path]:
    return known[0], known[1].folder


def _made(path: str) -> int | None:
    """When a folder became an experiment (ns since 1970); None if it is none."""
    for name in filenames.TRACES:
        try:
            return os.stat(f"{path}/{name}").st_mtime_ns
        except PermissionError:  # of the folder: an experiment or not, nobody can tell
            return os.lstat(path).st_mtime_ns
        except (OSError, ValueError):  # no such file, a link that leads to itself, a file and no folder
            continue
    return None


def find(root: Path, name: str) -> Experiment:
    """The experiment of a name.

    Raises:
        ConfigError: if that can be no name.
        NotFound: if there is no such experiment.
    """
    configuration.check_name(name)
    experiment = Experiment(root / name)
    if experiment not in experiments(root):
        raise _not_found(root, "experiment", name)
    return experiment


def find_run(root: Path, name: str) -> Run:
    """The run of a name of the form 'experiment/run'.

    Raises:
        ConfigError: if the name is not of that form.
        NotFound: if there is no such run.
    """
    parts = name.split("/")
    if len(parts) != 2:
        raise ConfigError(f"a run must be named experiment/run, got {name!r}")
    for part in parts:
        configuration.check_name(part)
    run = Experiment(root / parts[0]).run(parts[1])
    is_there = run.experiment in experiments(root)
    if is_there and not run.config_file.is_file():
        is_there = run in run.experiment.runs  # a run whose folder is damaged or gone is one still
    if not is_there:
        raise _not_found(root, "run", name)
    return run


def _not_found(root: Path, what: str, name: str) -> NotFound:
    known = ", ".join(experiment.name for experiment in experiments(root)) or "none yet"
    return NotFound(f"no {what} {name!r} in {root}; experiments there: {known}")
