"""Handles of an experiment and of a run: their folders' paths by name, reading and writing of states and records.

The only thing that passes between training and screens. Every JSON file is replaced whole; JSON lines are appended,
and a reader ignores a half line at the end. What cannot be read is `Damaged`: one error, whichever file it is. Starts no
process and asks none whether it lives.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import core
from core import config as configuration
from core import files, json_lines, scored_by
from core.config import ExperimentConfig, RunConfig, SplitConfig
from core.errors import ConfigError, Damaged
from core.experiments import filenames, status
from core.experiments.status import RunStatus
from core.files import Json, read_json, write_json
from core.unchanged import Stamp, Unchanged, stamp

if TYPE_CHECKING:  # pyarrow, 80 MB, is loaded where a manifest is: a worker that waits its turn needs none
    from core.data.manifest import Manifest

Config = TypeVar("Config", ExperimentConfig, RunConfig)
FORMAT = 1  # of an experiment's folder; files without one are older
VERDICT_SCHEMA = 4  # of verdict.json; 2 knows a margin, 3 looks, 4 what training is worth; files without one are of 1
ADDED_SEEDS, EARLIER_LOOKS = "added_seeds", "earlier_looks"  # of experiment.json, if there are any (`looks`)
DELETE = "delete the experiment, or put the file back"
RESUME = "resume the run to make it anew, or delete the experiment"
DECIDE = "Compare makes it anew"
_BALLAST = 256 * 1024  # bytes: room for some forty tracebacks and states
_MOST = 5_000  # files of each kind whose content is remembered
_OWN = (filenames.EXPERIMENT, filenames.VERDICT, filenames.WORKER, filenames.MANIFEST)
_OF_RUN = (filenames.RUN, filenames.STATE, filenames.RECORDS, filenames.ALARMS, filenames.TRIALS, filenames.EMBEDDINGS,
           filenames.SCORES, filenames.BEST)
_RECORD: json_lines.Keys = {"epoch": int}
_ALARM: json_lines.Keys = {"kind": str, "step": int, "message": str}

_configs: Unchanged[ExperimentConfig] = Unchanged(_MOST)
_run_configs: Unchanged[RunConfig] = Unchanged(_MOST)
_statuses: Unchanged[RunStatus] = Unchanged(_MOST)


class _Inside:
    """What lies in a handle's folder under a name that never changes: its path.

    Args:
        name: as in `filenames`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, handle: "Experiment | Run", owner: type) -> Path:
        return handle.folder / self._name


@dataclass(frozen=True)
class Experiment:
    """An experiment that lies on disk, by its folder; reads what is asked for when it is asked for.

    Attributes:
        folder: the experiment's.
    """

    folder: Path

    description_file = _Inside(filenames.EXPERIMENT)
    manifest_file = _Inside(filenames.MANIFEST)
    random_split_file = _Inside(filenames.RANDOM_SPLIT)
    openings_file = _Inside(filenames.OPENINGS)
    selections_file = _Inside(filenames.SELECTIONS)
    selections_lock = _Inside(filenames.SELECTIONS_LOCK)
    verdict_file = _Inside(filenames.VERDICT)
    report_file = _Inside(filenames.REPORT)
    worker_file = _Inside(filenames.WORKER)
    worker_log = _Inside(filenames.WORKER_LOG)
    worker_lock = _Inside(filenames.WORKER_LOCK)
    series_lock = _Inside(filenames.SERIES_LOCK)
    start_lock = _Inside(filenames.LOCK)
    reserve_file = _Inside(filenames.RESERVE)

    @property
    def name(self) -> str:
        """The experiment's name, which is its folder's."""
        return self.folder.name

    @property
    def root(self) -> Path:
        """The folder of experiments in which it lies."""
        return self.folder.parent

    @property
    def description(self) -> Json:
        """What `experiment.json` says: 'config', 'classes', 'fingerprint', 'versions' and more.

        Raises:
            Damaged: if it is missing, cannot be read, or is of a newer version.
        """
        return _described(self.description_file, ("config", "classes"), DELETE)

    @property
    def config(self) -> ExperimentConfig:
        """What was asked for when the experiment was laid out; parsed again only if its file has changed.

        Raises:
            Damaged: if it is missing, cannot be read, or is of a newer version.
        """
        def parse(path: Path) -> ExperimentConfig:
            return _config(path, self.description, partial(configuration.parse, stored=True), DELETE)

        return _configs.read(self.description_file, parse)

    @property
    def runs(self) -> "list[Run]":
        """All runs, in the order they are worked through.

        Raises:
            Damaged: as `config`.
        """
        return [self.run(config.name) for config in self.config.runs()]

    @property
    def scores_files(self) -> list[Path]:
        """The tables of scores that runs have left; also where the experiment itself cannot be read."""
        return list(self.folder.glob(f"*/{filenames.SCORES}"))

    def run(self, name: str) -> "Run":
        """The run of a name, whether there is one or not."""
        return Run(self.folder / name)

    def repeat_file(self, repeat: int) -> Path:
        """The manifest of one of the repeated splits; the first, 0, is `manifest_file`."""
        return self.folder / filenames.REPEATED.format(repeat) if repeat else self.manifest_file

    def manifest(self, split: SplitConfig | None = None, repeat: int = 0) -> "Manifest":
        """The samples in the experiment's own split, or in that of one of its runs.

        Args:
            split: the run's; None for the experiment's.
            repeat: which of the repeated splits, as the run's config has it.

        Raises:
            Damaged: if the file is missing or cannot be read.
        """
        from core.data import manifest as manifests

        is_random = split is not None and split.group == "none" and self.random_split_file.is_file()
        path = self.random_split_file if is_random else self.repeat_file(repeat)
        remedy = "put the file back, or delete the experiment; runs that are finished can still be explored and exported"
        return files.read_or_damaged(path, manifests.read, remedy)

    @property
    def verdict_json(self) -> Json:
        """What the last run wrote down in `verdict.json`, as JSON of which the outline alone is checked: enough for its
        sentence. `core.results.result` reads all of it.

        Raises:
            NotFound: if there is none.
            Damaged: if it cannot be read, or is of a newer version.
        """
        path = self.verdict_file
        values = files.read_or_damaged(path, read_json, DECIDE, may_be_missing=True)
        _refuse_newer(path, values, "schema", VERDICT_SCHEMA, f"update Duet to read it; until then {DECIDE}")
        kinds = {"rows": list, "comparisons": list, "sentence": str}
        if not all(isinstance(values.get(name), kind) for name, kind in kinds.items()):
            raise Damaged(path, f"must hold {', '.join(kinds)}, got {', '.join(values) or 'an empty object'}", DECIDE)
        if not all(isinstance(row, dict) for row in (*values["rows"], *values["comparisons"])):
            raise Damaged(path, "must hold objects in rows and comparisons", DECIDE)
        return values

    @property
    def sentence(self) -> str:
        """The sentence of the verdict as it was written down; one in which a query's own group counted says so.

        Raises:
            NotFound, Damaged: as `verdict_json`.
        """
        verdict = self.verdict_json
        sentence: str = verdict["sentence"]
        return sentence if scored_by.leaves_out_own_group(verdict) or not sentence else f"{sentence} ({scored_by.EARLIER})"

    def stamps(self, runs: Iterable[str]) -> tuple[Stamp, ...]:
        """Time, size and inode of each file that the experiment's state is read from; equal stamps mean that nothing changed.

        Args:
            runs: names of the runs whose files count too.
        """
        own = [f"{self.folder}/{name}" for name in _OWN]
        return tuple(stamp(path) for path in (*own, *(f"{self.folder}/{run}/{name}" for run in runs for name in _OF_RUN)))

    def reserve(self) -> None:
        """Keeps some space of the disk for the experiment, to be able to write down that the disk is full.

        Raises:
            OSError: if the disk is full already.
        """
        if not self.reserve_file.is_file():
            files.write_bytes(self.reserve_file, os.urandom(_BALLAST))  # random: some file systems store zeros in no space

    def release(self) -> None:
        """Gives back the space that `reserve` kept."""
        self.reserve_file.unlink(missing_ok=True)
        files.sweep(self.folder)

    def delete(self) -> None:
        """Removes the experiment with all its runs; the caller has made sure that no process writes it."""
        hidden = self.folder.with_name(f".deleted-{files.mark()}")
        os.rename(self.folder, hidden)  # gone at once for every reader, also if the removal is cut short
        if hidden.is_symlink():
            hidden.unlink()
        else:
            shutil.rmtree(hidden, ignore_errors=True)


@dataclass(frozen=True)
class Run:
    """A run of an experiment, by its folder; reads what is asked for when it is asked for.

    Attributes:
        folder: the run's.
    """

    folder: Path

    config_file = _Inside(filenames.RUN)
    state_file = _Inside(filenames.STATE)
    stop_file = _Inside(filenames.STOP)
    snapshots_folder = _Inside(filenames.SNAPSHOTS)
    tensorboard_folder = _Inside(filenames.TENSORBOARD)
    records_file = _Inside(filenames.RECORDS)
    alarms_file = _Inside(filenames.ALARMS)
    trials_file = _Inside(filenames.TRIALS)
    last_checkpoint = _Inside(filenames.LAST)
    previous_checkpoint = _Inside(filenames.PREVIOUS)
    best_checkpoint = _Inside(filenames.BEST)
    best_values_file = _Inside(filenames.BEST_VALUES)
    head_checkpoint = _Inside(filenames.HEAD)
    embeddings_file = _Inside(filenames.EMBEDDINGS)
    scores_file = _Inside(filenames.SCORES)
    open_scores_file = _Inside(filenames.OPEN_SCORES)
    evaluation_file = _Inside(filenames.EVALUATION)
    readouts_file = _Inside(filenames.READOUTS)
    thresholds_file = _Inside(filenames.THRESHOLDS)
    worker_log = _Inside(filenames.WORKER_LOG)

    @property
    def name(self) -> str:
        """The run's name within its experiment, which is its folder's."""
        return self.folder.name

    @property
    def full_name(self) -> str:
        """The run's name as commands take it: 'experiment/run'."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def experiment(self) -> Experiment:
        """The experiment that the run belongs to."""
        return Experiment(self.folder.parent)

    @property
    def config(self) -> RunConfig:
        """What `run.json` says; parsed again only if the file has changed.

        Raises:
            Damaged: if it is missing, cannot be read, or is of a newer version.
        """
        def parse(path: Path) -> RunConfig:
            return _config(path, _described(path, ("config",), RESUME), configuration.parse_run, RESUME)

        return _run_configs.read(self.config_file, parse)

    def check(self, config: RunConfig) -> None:
        """Refuses the run's `run.json` as `config` does, in less time where it says what the experiment does.

        Raises:
            Damaged: as `config`.
        """
        if _described(self.config_file, ("config",), RESUME)["config"] != config.to_json():
            _ = self.config

    def restore(self) -> None:
        """Lays out the run's folder and `run.json` again if they are damaged or gone, as the experiment says they were.

        Raises:
            Damaged: if the experiment's own file is damaged too, or a newer version wrote the run.
        """
        try:
            _ = self.config
        except Damaged as error:
            if error.is_newer:
                raise
            configs = {config.name: config for config in self.experiment.config.runs()}
            if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
                self.folder.unlink()
            self.lay_out(configs[self.name], self.experiment.description.get("fingerprint", ""))
        self.snapshots_folder.mkdir(exist_ok=True)

    def lay_out(self, config: RunConfig, fingerprint: str) -> None:
        """Makes the run's folder and writes `run.json`.

        Args:
            config: the run's.
            fingerprint: of the samples, as their manifest has it.
        """
        self.snapshots_folder.mkdir(parents=True, exist_ok=True)
        write_json(self.config_file, {"format": FORMAT, "config": config.to_json(), "fingerprint": fingerprint})

    @property
    def status(self) -> RunStatus:
        """What the worker last wrote about the run; what a newer version added is passed over.

        Raises:
            Damaged: if the file is missing, cannot be read, or its state is none that this version knows.
        """
        def parse(path: Path) -> RunStatus:
            return status.parse(path, files.read_or_damaged(path, read_json, RESUME), RESUME)

        return _statuses.read(self.state_file, parse)

    def write_status(self, status: RunStatus) -> None:
        """Replaces the run's `state.json`."""
        write_json(self.state_file, {**status.to_json(), "changed": time.time()})

    @property
    def has_embeddings(self) -> bool:
        """Whether the run has left an embedding table, which is written last."""
        return self.embeddings_file.is_file()

    @property
    def records(self) -> list[Json]:
        """The good lines of the run's `records.jsonl`."""
        return _lines(self.records_file, _RECORD).good

    @property
    def alarms(self) -> list[Json]:
        """The good lines of the run's `alarms.jsonl`."""
        return _lines(self.alarms_file, _ALARM).good

    @property
    def bad_lines(self) -> dict[str, int]:
        """Of the run's files of lines, how many whole lines cannot be used; only those that have some."""
        keys_of = {self.records_file: _RECORD, self.alarms_file: _ALARM}
        counts = {path.name: _lines(path, keys).n_bad for path, keys in keys_of.items()}
        return {name: count for name, count in counts.items() if count}

    def append_record(self, record: Json) -> None:
        """Adds a line to the run's `records.jsonl` and flushes it."""
        json_lines.append(self.records_file, record)

    def append_alarm(self, alarm: Json) -> None:
        """Adds a line to the run's `alarms.jsonl`: its kind, its step and a sentence."""
        json_lines.append(self.alarms_file, alarm)

    def keep_records(self, last_epoch: int) -> None:
        """Drops records later than an epoch: those that a resumed run will write again; and lines that cannot be used."""
        json_lines.replace(self.records_file, [record for record in self.records if record["epoch"] <= last_epoch])

    def keep_alarms(self, last_step: int) -> None:
        """Drops alarms later than a step: those that a resumed run will raise again."""
        if alarms := self.alarms:
            json_lines.replace(self.alarms_file, [alarm for alarm in alarms if alarm["step"] <= last_step])

    @property
    def snapshots(self) -> dict[int, Path]:
        """Epoch -> snapshot file, in order."""
        snapshots = {int(match[1]): path for path in self.snapshots_folder.glob("epoch_*.parquet")
                     if (match := re.fullmatch(r"epoch_(\d+)\.parquet", path.name))}
        return dict(sorted(snapshots.items()))


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


_line_files: Unchanged[json_lines.Lines] = Unchanged(_MOST)


def _lines(path: Path, keys: json_lines.Keys) -> json_lines.Lines:
    """A file of lines; read again only if it has changed. The list is the caller's own."""
    lines = _line_files.read(path, lambda path: json_lines.read(path, keys))
    return json_lines.Lines(list(lines.good), lines.n_bad)
