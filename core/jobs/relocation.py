"""An experiment whose images lie elsewhere now: the new place is taken once its files prove to be the same.

Compares bytes with the manifest's digests and writes the new place down; moves no file.
"""

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from core import files
from core.config import DatasetConfig
from core.data import sources
from core.errors import ConfigError, Damaged, DataError, InputError
from core.experiments.handles import Experiment
from core.jobs import control

_MOST_NAMED = 3
_MOVED = "its images can be moved"


def wanted_root(overrides: list[str]) -> Path | None:
    """The place that `--set dataset.root=PLACE` names; None without overrides.

    Raises:
        ConfigError: if they say anything else: a run that goes on keeps every other setting.
        InputError: if that can be no path.
    """
    if not overrides:
        return None
    key, separator, root = overrides[-1].partition("=")
    if len(overrides) > 1 or key.strip() != "dataset.root" or not separator or not root.strip():
        raise ConfigError(f"resume --set must be dataset.root=PLACE alone, as runs that go on keep every other setting, got "
                          f"{' '.join(overrides)!r}")
    return files.absolute(root.strip(), "dataset.root")


def is_missing(dataset: DatasetConfig) -> bool:
    """Whether nothing lies where a dataset's folder or table was."""
    return dataset.root is not None and not Path(dataset.root).exists()


def command(experiment: str) -> str:
    """The command that tells an experiment where its images are now."""
    return f"python main.py resume {experiment} --set dataset.root=PLACE"


def open_images(experiment: Experiment) -> sources.Source:
    """The source of an experiment's images.

    Raises:
        DataError: if nothing lies where they were, with what to do.
    """
    try:
        return sources.open_source(experiment.config.dataset)
    except FileNotFoundError as error:
        raise DataError(f"{error}; if the images were moved, run {command(experiment.name)}; otherwise put them back and "
                        f"resume") from error


def move(experiment: Experiment, root: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Takes a new place for an experiment's dataset, for good: every screen and every run finds it there.

    Args:
        experiment: which one.
        root: where its folder or table is now.
        progress: called with (done, total) as files are compared.

    Raises:
        NotFound: if no such dataset lies there.
        InputError: if files are missing or differ from the manifest's, or a process is at work on the experiment.
        OSError: if the new place cannot be written down.
    """
    config = experiment.config
    if config.dataset.source == "digits":
        raise InputError(f"dataset.root must be absent when source is 'digits', got {root}")
    with control.at_rest(experiment, _MOVED):
        pass  # said before the files are compared, which takes long
    dataset = config.dataset.model_copy(update={"root": str(root)})
    base = sources.open_source(dataset).root
    assert base is not None, "a dataset of files has a folder"
    _compare(experiment, base, root, progress)
    with control.at_rest(experiment, _MOVED):  # a worker that began meanwhile has read the old place
        for run in config.runs():
            with suppress(Damaged):  # a run that resumes lays a damaged `run.json` out anew, as the experiment says
                _ = experiment.run(run.name).config
                _replace(experiment.run(run.name).config_file, str(root))
        _replace(experiment.description_file, str(root), moved={"from": config.dataset.root, "at": time.time()})


def _compare(experiment: Experiment, base: Path, root: Path, progress: Callable[[int, int], None] | None) -> None:
    manifest = experiment.manifest()
    absent: list[str] = []
    changed: list[str] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        digests = pool.map(partial(_digest, base), manifest.sample_id.tolist())
        for done, (sample_id, was, now) in enumerate(zip(manifest.sample_id.tolist(), manifest.digest.tolist(), digests), 1):
            if now != was:
                (changed if now else absent).append(sample_id)
            if progress:
                progress(done, len(manifest))
    if absent or changed:
        parts = [f"{len(names):,} {what} ({', '.join(names[:_MOST_NAMED])}{', …' if len(names) > _MOST_NAMED else ''})"
                 for names, what in ((absent, "missing"), (changed, "with other content")) if names]
        raise InputError(f"dataset.root must hold the {len(manifest):,} files of the experiment, got {' and '.join(parts)} in "
                         f"{root}; name the place where they are, or start a new experiment")


def _digest(base: Path, sample_id: str) -> str:
    """SHA-256 of a file's bytes, hex; '' if it cannot be read."""
    try:
        with open(base / sample_id, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""


def _replace(path: Path, root: str, moved: dict | None = None) -> None:
    values = files.read_json(path)
    values["config"]["dataset"]["root"] = root
    if moved:
        values["moved"] = [*values.get("moved", []), moved]
    files.write_json(path, values)
