"""Experiments and runs as folders: create, list, read, delete; states and records.

The only thing that passes between training and screens. Every JSON file is replaced whole; JSON lines are appended,
and a reader ignores a half line at the end. Starts no process and asks none whether it lives.
"""

import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import core
from core import config as configuration
from core.config import ConfigError, ExperimentConfig, RunConfig, SplitConfig

if TYPE_CHECKING:  # pyarrow, 80 MB, is loaded where a manifest is: a worker that waits its turn needs none
    from core.data.manifest import Manifest

State = Literal["queued", "running", "completed", "failed", "stopped"]
_PACKAGES = ("torch", "timm", "scikit-learn", "umap-learn", "pytorch-metric-learning", "numpy", "pyarrow")
_RANDOM_SPLIT = "manifest-random-split.parquet"
_BALLAST = 256 * 1024  # bytes: room for some forty tracebacks and states


@dataclass(frozen=True)
class RunStatus:
    """`state.json` of a run.

    Attributes:
        state: what the worker last wrote.
        phase: what it is doing, in words, while running.
        kind: of a failure: 'input', 'data', 'memory', 'disk', 'diverged' or 'error'.
        message: of a failure, one sentence.
        pid: process that runs it.
        pid_created: when that process was created (s since 1970), so that a reused pid is not taken for it.
        changed: when this was written (s since 1970).
    """

    state: State
    phase: str = ""
    kind: str = ""
    message: str = ""
    pid: int | None = None
    pid_created: float | None = None
    changed: float = 0.0


def create(config: ExperimentConfig, manifest: "Manifest", root: Path, random_split: "Manifest | None" = None) -> Path:
    """Lays out a new experiment with all its runs queued; whole or not at all.

    Args:
        config: the experiment.
        manifest: its samples, split.
        root: folder of experiments.
        random_split: the same samples in a split that ignores groups, for arms that measure what it is worth.

    Returns:
        The experiment's folder.

    Raises:
        FileExistsError: if an experiment of this name exists.
    """
    folder = root / config.name
    root.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
    try:
        write_json(staging / "experiment.json", {
            "config": config.to_json(), "fingerprint": manifest.fingerprint, "classes": list(manifest.classes),
            "versions": versions(), "git_commit": _git_commit(), "created": time.time(),
        })
        manifest.write(staging / "manifest.parquet")
        if random_split is not None:
            random_split.write(staging / _RANDOM_SPLIT)
        for run in config.runs():
            (staging / run.name / "snapshots").mkdir(parents=True)
            write_json(staging / run.name / "run.json", {"config": run.to_json(), "fingerprint": manifest.fingerprint})
            write_status(staging / run.name, RunStatus("queued"))
        staging.chmod(0o755)
        if folder.exists():
            raise FileExistsError(f"name must be new, got {config.name!r}, which exists in {root}")
        os.rename(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return folder


def free_name(root: Path, name: str) -> str:
    """The name itself, or the first of name-2, name-3, … that no experiment has."""
    candidate, number = name, 1
    while (root / candidate).exists():
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def experiments(root: Path) -> list[Path]:
    """Folders of all experiments, the newest first."""
    if not root.is_dir():
        return []
    found = [path.parent for path in root.glob("*/experiment.json") if not path.parent.name.startswith(".")]
    return sorted(found, key=lambda folder: (folder / "experiment.json").stat().st_mtime, reverse=True)


def runs(folder: Path) -> list[Path]:
    """Folders of an experiment's runs, in the order they are worked through."""
    return [folder / run.name for run in read_config(folder).runs()]


def find(root: Path, name: str) -> Path:
    """The folder of 'experiment' or 'experiment/run'.

    Raises:
        ConfigError: if the name is not of that form.
        FileNotFoundError: if there is no such experiment or run.
    """
    parts = name.split("/")
    if len(parts) > 2:
        raise ConfigError(f"a run must be named experiment/run, got {name!r}")
    for part in parts:
        configuration.check_name(part)
    folder = root.joinpath(*parts)
    if not (folder / ("run.json" if len(parts) == 2 else "experiment.json")).is_file():
        known = ", ".join(path.name for path in experiments(root)) or "none yet"
        raise FileNotFoundError(f"no {'run' if len(parts) == 2 else 'experiment'} {name!r} in {root}; "
                                f"experiments there: {known}")
    return folder


def delete(folder: Path) -> None:
    """Removes an experiment with all its runs; the caller has made sure that no process writes it."""
    hidden = folder.with_name(f".deleted-{folder.name}-{time.time_ns()}")
    os.rename(folder, hidden)  # gone at once for every reader, also if the removal is cut short
    shutil.rmtree(hidden, ignore_errors=True)


def read_config(folder: Path) -> ExperimentConfig:
    """The config of an experiment folder."""
    return configuration.parse(read_json(folder / "experiment.json")["config"])


def read_run(run: Path) -> RunConfig:
    """The config of a run folder."""
    return configuration.parse_run(read_json(run / "run.json")["config"])


def read_manifest(folder: Path, split: SplitConfig | None = None) -> "Manifest":
    """The samples of an experiment folder in its own split, or in that of one of its runs."""
    from core.data import manifest as manifests

    is_random = split is not None and split.group == "none" and (folder / _RANDOM_SPLIT).is_file()
    return manifests.read(folder / (_RANDOM_SPLIT if is_random else "manifest.parquet"))


def read_status(run: Path) -> RunStatus:
    """What the worker last wrote about a run."""
    return RunStatus(**read_json(run / "state.json"))


def write_status(run: Path, status: RunStatus) -> None:
    """Replaces a run's `state.json`."""
    write_json(run / "state.json", {**asdict(status), "changed": time.time()})


def reserve(folder: Path) -> None:
    """Keeps some space of the disk for an experiment, to be able to write down that the disk is full.

    Raises:
        OSError: if the disk is full already.
    """
    path = folder / ".reserve"
    if not path.is_file():
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(os.urandom(_BALLAST))  # random: some file systems store zeros in no space
        os.replace(temporary, path)


def release(folder: Path) -> None:
    """Gives back the space that `reserve` kept."""
    (folder / ".reserve").unlink(missing_ok=True)
    (folder / ".reserve.tmp").unlink(missing_ok=True)


def append_record(run: Path, record: dict) -> None:
    """Adds a line to a run's `records.jsonl` and flushes it."""
    append_line(run / "records.jsonl", record)


def append_alarm(run: Path, alarm: dict) -> None:
    """Adds a line to a run's `alarms.jsonl`: its kind, its step and a sentence."""
    append_line(run / "alarms.jsonl", alarm)


def append_line(path: Path, record: dict) -> None:
    """Adds a line of JSON and flushes it to the disk; a half line that a crash or a full disk left is dropped first."""
    if path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n"):
        _replace_lines(path, read_lines(path))
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_records(run: Path) -> list[dict]:
    """All whole lines of a run's `records.jsonl`."""
    return read_lines(run / "records.jsonl")


def read_alarms(run: Path) -> list[dict]:
    """All whole lines of a run's `alarms.jsonl`."""
    return read_lines(run / "alarms.jsonl")


def read_lines(path: Path) -> list[dict]:
    """All whole lines of a file of JSON lines; none if there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
            if line.endswith("\n")]


def keep_records(run: Path, last_epoch: int) -> None:
    """Drops records later than an epoch: those that a resumed run will write again."""
    _replace_lines(run / "records.jsonl", [record for record in read_records(run) if record["epoch"] <= last_epoch])


def keep_alarms(run: Path, last_step: int) -> None:
    """Drops alarms later than a step: those that a resumed run will raise again."""
    if alarms := read_alarms(run):
        _replace_lines(run / "alarms.jsonl", [alarm for alarm in alarms if alarm["step"] <= last_step])


def _replace_lines(path: Path, records: list[dict]) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    os.replace(temporary, path)


def snapshots(run: Path) -> dict[int, Path]:
    """Epoch -> snapshot file, in order."""
    found = {int(path.stem.removeprefix("epoch_")): path for path in (run / "snapshots").glob("epoch_*.parquet")}
    return dict(sorted(found.items()))


def read_json(path: Path) -> dict:
    """A JSON file of an experiment.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} must be JSON, got: {error}") from None


def write_json(path: Path, values: dict) -> None:
    """Replaces a JSON file whole."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(values, indent=1, allow_nan=False), encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Versions of Python, Duet and the packages that numbers depend on."""
    return {"python": platform.python_version(), "duet": core.__version__,
            **{name: metadata.version(name) for name in _PACKAGES}}


def _git_commit() -> str | None:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True,
                               timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
