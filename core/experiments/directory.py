"""Experiments and runs as folders: create, list, read, delete; states and records.

The only thing that passes between training and screens. Every JSON file is replaced whole; JSON lines are appended,
and a reader ignores a half line at the end. What cannot be read is `Damaged`: one error, whichever file it is. Starts no
process and asks none whether it lives.
"""

import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, get_args

import core
from core import config as configuration
from core import files, json_lines, scored_by
from core.config import ExperimentConfig, RunConfig, SplitConfig
from core.errors import AlreadyExists, ConfigError, Damaged, NotFound
from core.experiments import filenames, provenance
from core.files import Json, read_json, write_json

if TYPE_CHECKING:  # pyarrow, 80 MB, is loaded where a manifest is: a worker that waits its turn needs none
    from core.data.manifest import Manifest

__all__ = ["Damaged", "read_json", "write_json"]  # what others know as this module's

State = Literal["queued", "running", "completed", "failed", "stopped", "lost", "damaged"]  # the last two are never written
Config = TypeVar("Config", ExperimentConfig, RunConfig)
FORMAT = 1  # of an experiment's folder; files without one are older
VERDICT_SCHEMA = 1  # of verdict.json; files without one have the same layout
DELETE = "delete the experiment, or put the file back"
RESUME = "resume the run to make it anew, or delete the experiment"
DECIDE = "Compare makes it anew"
_BALLAST = 256 * 1024  # bytes: room for some forty tracebacks and states
_SETTLED = 2_000_000_000  # ns after which a change of a folder's names has a time of its own
_RECORD: json_lines.Keys = {"epoch": int}
_ALARM: json_lines.Keys = {"kind": str, "step": int, "message": str}


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
        pid_started: the same whatever the clock; as `identity.started` has it.
        changed: when this was written (s since 1970).
    """

    state: State
    phase: str = ""
    kind: str = ""
    message: str = ""
    pid: int | None = None
    pid_created: float | None = None
    changed: float = 0.0
    pid_started: str = ""


class _Listing(NamedTuple):
    """What lies in a root: when its names last changed, experiments with when they were made, and whatever is none."""

    changed: int
    known: list[tuple[int, Path]]
    others: list[str]


_listed: dict[str, _Listing] = {}


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
        AlreadyExists: if an experiment of this name exists.
    """
    folder = root / config.name
    root.mkdir(parents=True, exist_ok=True)
    staging = root / f".new-{files.mark()}"
    staging.mkdir(mode=0o755)
    try:
        write_json(staging / filenames.EXPERIMENT, {
            "format": FORMAT, "config": config.to_json(), "fingerprint": manifest.fingerprint,
            "classes": list(manifest.classes),
            "versions": provenance.versions(), "git_commit": provenance.git_commit(), "created": time.time(),
        })
        manifest.write(staging / filenames.MANIFEST)
        if random_split is not None:
            random_split.write(staging / filenames.RANDOM_SPLIT)
        for run in config.runs():
            _lay_out_run(staging / run.name, run, manifest.fingerprint)
            write_status(staging / run.name, RunStatus("queued"))
        if os.path.lexists(folder):
            raise AlreadyExists(f"name must be new, got {config.name!r}, which exists in {root}")
        os.rename(staging, folder)
        files.sync_folder(root)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return folder


def _lay_out_run(folder: Path, run: RunConfig, fingerprint: str) -> None:
    (folder / filenames.SNAPSHOTS).mkdir(parents=True, exist_ok=True)
    write_json(folder / filenames.RUN, {"format": FORMAT, "config": run.to_json(), "fingerprint": fingerprint})


def restore_run(run: Path) -> None:
    """Lays out a run's folder and `run.json` again if they are damaged or gone, as the experiment says they were.

    Raises:
        Damaged: if the experiment's own file is damaged too, or a newer version wrote the run.
    """
    try:
        read_run(run)
    except Damaged as error:
        if error.is_newer:
            raise
        configs = {config.name: config for config in read_config(run.parent).runs()}
        if run.is_symlink() or (run.exists() and not run.is_dir()):
            run.unlink()
        _lay_out_run(run, configs[run.name], experiment(run.parent).get("fingerprint", ""))
    (run / filenames.SNAPSHOTS).mkdir(exist_ok=True)


def free_name(root: Path, name: str) -> str:
    """The name itself, or the first of name-2, name-3, … that no experiment has."""
    candidate, number = name, 1
    while os.path.lexists(root / candidate):
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def experiments(root: Path) -> list[Path]:
    """Folders of all experiments, damaged ones too, the newest first; what else lies there is passed over.

    While no name in the root changes, folders known to be experiments are not looked at again.
    """
    try:
        changed = os.stat(root).st_mtime_ns
        listed = _listed.get(str(root))
        if listed is None or listed.changed != changed or time.time_ns() - changed < _SETTLED:
            with os.scandir(root) as entries:
                listed = _Listing(changed, [], [entry.path for entry in entries if not entry.name.startswith(".")])
    except OSError:
        return []
    found, others = [], []
    for path in listed.others:
        when = _made(path)
        found.append((when, Path(path))) if when is not None else others.append(path)
    known = sorted([*listed.known, *found], reverse=True) if found else listed.known
    _listed[str(root)] = _Listing(changed, known, others)
    return [folder for _, folder in known]


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


def runs(folder: Path) -> list[Path]:
    """Folders of an experiment's runs, in the order they are worked through."""
    return [folder / run.name for run in read_config(folder).runs()]


def find(root: Path, name: str) -> Path:
    """The folder of 'experiment' or 'experiment/run'.

    Raises:
        ConfigError: if the name is not of that form.
        NotFound: if there is no such experiment or run.
    """
    parts = name.split("/")
    if len(parts) > 2:
        raise ConfigError(f"a run must be named experiment/run, got {name!r}")
    for part in parts:
        configuration.check_name(part)
    folder = root.joinpath(*parts)
    is_there = root / parts[0] in experiments(root)
    if is_there and len(parts) == 2 and not (folder / filenames.RUN).is_file():
        is_there = folder in runs(folder.parent)  # a run whose folder is damaged or gone is one still
    if not is_there:
        known = ", ".join(path.name for path in experiments(root)) or "none yet"
        raise NotFound(f"no {'run' if len(parts) == 2 else 'experiment'} {name!r} in {root}; "
                                f"experiments there: {known}")
    return folder


def delete(folder: Path) -> None:
    """Removes an experiment with all its runs; the caller has made sure that no process writes it."""
    hidden = folder.with_name(f".deleted-{files.mark()}")
    os.rename(folder, hidden)  # gone at once for every reader, also if the removal is cut short
    if hidden.is_symlink():
        hidden.unlink()
    else:
        shutil.rmtree(hidden, ignore_errors=True)


def experiment(folder: Path) -> Json:
    """An experiment's `experiment.json`: 'config', 'classes', 'fingerprint', 'versions' and more.

    Raises:
        Damaged: if it is missing, cannot be read, or is of a newer version.
    """
    return _described(folder / filenames.EXPERIMENT, ("config", "classes"), DELETE)


def read_config(folder: Path) -> ExperimentConfig:
    """The config of an experiment folder.

    Raises:
        Damaged: if it is missing, cannot be read, or is of a newer version.
    """
    return _config(folder / filenames.EXPERIMENT, experiment(folder), partial(configuration.parse, stored=True), DELETE)


def read_run(run: Path) -> RunConfig:
    """The config of a run folder.

    Raises:
        Damaged: as `read_config`.
    """
    path = run / filenames.RUN
    return _config(path, _described(path, ("config",), RESUME), configuration.parse_run, RESUME)


def check_run(run: Path, config: RunConfig) -> None:
    """Refuses a run's `run.json` as `read_run` does, in less time where it says what the experiment does.

    Raises:
        Damaged: as `read_run`.
    """
    if _described(run / filenames.RUN, ("config",), RESUME)["config"] != config.to_json():
        read_run(run)


def _described(path: Path, keys: tuple[str, ...], remedy: str) -> Json:
    """A file that says how something was made, if this version can read it."""
    values = files.read_or_damaged(path, read_json, remedy)
    _refuse_newer(path, values, "format", FORMAT, "update Duet to open it, or delete it")
    if lacking := [key for key in keys if key not in values]:
        raise Damaged(path, f"must hold {' and '.join(keys)}, got none of {' and '.join(lacking)}", remedy)
    if "classes" in keys and not (isinstance(values["classes"], list) and all(isinstance(x, str) for x in values["classes"])):
        raise Damaged(path, "must hold a list of classes' names under classes", remedy)
    return values


def _refuse_newer(path: Path, values: Json, key: str, most: int, remedy: str) -> None:
    """Raises Damaged if a file's number, under `key`, is above the most that this version reads."""
    number = values.get(key, most)
    if not isinstance(number, int) or number > most:
        raise Damaged(path, f"was written by a newer Duet ({key} {number}; this one reads up to {most})", remedy,
                      is_newer=True)


def _config(path: Path, values: Json, parse: Callable[[object], Config], remedy: str) -> Config:
    try:
        return parse(values["config"])
    except (ConfigError, TypeError, AttributeError, RecursionError) as error:
        if str(error).startswith("unknown key"):
            written = values.get("versions", {}).get("duet", "") if isinstance(values.get("versions"), dict) else ""
            raise Damaged(path, f"was written by a newer Duet, or changed by hand (this is {core.__version__}"
                                f"{f', it says {written}' if written else ''}): {error}",
                          "update Duet to open it, or delete it", is_newer=True) from None
        raise Damaged(path, f"must hold a config, got: {error}", remedy) from None


def read_verdict(folder: Path) -> Json:
    """What an experiment's last run wrote down in `verdict.json`, as JSON of which the outline alone is checked: enough for
    its sentence. `core.results.result` reads all of it.

    Raises:
        NotFound: if there is none.
        Damaged: if it cannot be read, or is of a newer version.
    """
    path = folder / filenames.VERDICT
    found = files.read_or_damaged(path, read_json, DECIDE, may_be_missing=True)
    _refuse_newer(path, found, "schema", VERDICT_SCHEMA, f"update Duet to read it; until then {DECIDE}")
    kinds = {"rows": list, "comparisons": list, "sentence": str}
    if not all(isinstance(found.get(name), kind) for name, kind in kinds.items()):
        raise Damaged(path, f"must hold {', '.join(kinds)}, got {', '.join(found) or 'an empty object'}", DECIDE)
    if not all(isinstance(row, dict) for row in (*found["rows"], *found["comparisons"])):
        raise Damaged(path, "must hold objects in rows and comparisons", DECIDE)
    return found


def read_manifest(folder: Path, split: SplitConfig | None = None) -> "Manifest":
    """The samples of an experiment folder in its own split, or in that of one of its runs.

    Raises:
        Damaged: if the file is missing or cannot be read.
    """
    from core.data import manifest as manifests

    is_random = split is not None and split.group == "none" and (folder / filenames.RANDOM_SPLIT).is_file()
    path = folder / (filenames.RANDOM_SPLIT if is_random else filenames.MANIFEST)
    remedy = "put the file back, or delete the experiment; runs that are finished can still be explored and exported"
    return files.read_or_damaged(path, manifests.read, remedy)


def read_sentence(folder: Path) -> str:
    """The sentence of an experiment's verdict as it was written down; one of an earlier version says so.

    Raises:
        NotFound, Damaged: as `read_verdict`.
    """
    found = read_verdict(folder)
    said = found["sentence"]
    return said if scored_by.is_current(found) or not said else f"{said} ({scored_by.EARLIER})"


def read_status(run: Path) -> RunStatus:
    """What the worker last wrote about a run; what a newer version added is passed over.

    Raises:
        Damaged: if the file is missing, cannot be read, or its state is none that this version knows.
    """
    path = run / filenames.STATE
    values = files.read_or_damaged(path, read_json, RESUME)
    known = {field.name: values[field.name] for field in fields(RunStatus) if field.name in values}
    if known.get("state") not in get_args(State):
        raise Damaged(path, f"must hold a state of {', '.join(get_args(State))}, got {known.get('state')!r}: "
                            "of a newer Duet, or changed by hand", RESUME)
    if not all(isinstance(known.get(name, ""), str) for name in ("phase", "kind", "message", "pid_started")):
        raise Damaged(path, "must hold text under phase, kind and message", RESUME)
    return RunStatus(**known)


def write_status(run: Path, status: RunStatus) -> None:
    """Replaces a run's `state.json`."""
    write_json(run / filenames.STATE, {**asdict(status), "changed": time.time()})


def reserve(folder: Path) -> None:
    """Keeps some space of the disk for an experiment, to be able to write down that the disk is full.

    Raises:
        OSError: if the disk is full already.
    """
    path = folder / filenames.RESERVE
    if not path.is_file():
        files.write_bytes(path, os.urandom(_BALLAST))  # random: some file systems store zeros in no space


def release(folder: Path) -> None:
    """Gives back the space that `reserve` kept."""
    (folder / filenames.RESERVE).unlink(missing_ok=True)
    files.sweep(folder)


def append_record(run: Path, record: Json) -> None:
    """Adds a line to a run's `records.jsonl` and flushes it."""
    json_lines.append(run / filenames.RECORDS, record)


def append_alarm(run: Path, alarm: Json) -> None:
    """Adds a line to a run's `alarms.jsonl`: its kind, its step and a sentence."""
    json_lines.append(run / filenames.ALARMS, alarm)


def read_records(run: Path) -> list[Json]:
    """The good lines of a run's `records.jsonl`."""
    return json_lines.read(run / filenames.RECORDS, _RECORD).good


def read_alarms(run: Path) -> list[Json]:
    """The good lines of a run's `alarms.jsonl`."""
    return json_lines.read(run / filenames.ALARMS, _ALARM).good


def bad_lines(run: Path) -> dict[str, int]:
    """Of a run's files of lines, how many whole lines cannot be used; only those that have some."""
    asked = {filenames.RECORDS: _RECORD, filenames.ALARMS: _ALARM}
    counts = {name: json_lines.read(run / name, keys).n_bad for name, keys in asked.items()}
    return {name: count for name, count in counts.items() if count}


def keep_records(run: Path, last_epoch: int) -> None:
    """Drops records later than an epoch: those that a resumed run will write again; and lines that cannot be used."""
    json_lines.replace(run / filenames.RECORDS, [record for record in read_records(run) if record["epoch"] <= last_epoch])


def keep_alarms(run: Path, last_step: int) -> None:
    """Drops alarms later than a step: those that a resumed run will raise again."""
    if alarms := read_alarms(run):
        json_lines.replace(run / filenames.ALARMS, [alarm for alarm in alarms if alarm["step"] <= last_step])


def snapshots(run: Path) -> dict[int, Path]:
    """Epoch -> snapshot file, in order."""
    found = {int(match[1]): path for path in (run / filenames.SNAPSHOTS).glob("epoch_*.parquet")
             if (match := re.fullmatch(r"epoch_(\d+)\.parquet", path.name))}
    return dict(sorted(found.items()))
