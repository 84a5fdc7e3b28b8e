"""Named selections of an experiment's samples, in its `selections.json`: shared by every window that shows it.

What nobody has named is a session's own and never lies here.
"""

import csv
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock

from core import config as configuration
from core import files
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.errors import Damaged, InputError
from core.experiments.handles import Experiment


def read(experiment: Experiment) -> dict[str, list[str]]:
    """Name -> sample_ids, in the order they were saved; empty where nothing was.

    Raises:
        Damaged: if the file cannot be read.
    """
    path = experiment.selections_file
    remedy = "delete this file to save selections again"
    try:
        selections = files.read_or_damaged(path, files.read_json, remedy, may_be_missing=True)
    except FileNotFoundError:
        return {}
    if not all(isinstance(ids, list) and all(isinstance(item, str) for item in ids) for ids in selections.values()):
        raise Damaged(path, "must hold lists of samples by name", remedy)
    return selections


def save(experiment: Experiment, name: str, sample_ids: list[str]) -> None:
    """Keeps a selection under a name; replaces that of the same name.

    Raises:
        ConfigError: if the name is not one a file may have.
        InputError: if nothing is selected.
    """
    configuration.check_name(name)
    if not sample_ids:
        raise InputError("a selection to save must hold at least one sample, got none")
    with _changing(experiment) as selections:
        selections[name] = list(sample_ids)


def rename(experiment: Experiment, old: str, new: str) -> None:
    """Gives a saved selection another name.

    Raises:
        ConfigError: if the new name is not one a file may have.
        InputError: if there is none of the old name, or one of the new.
    """
    configuration.check_name(new)
    with _changing(experiment) as selections:
        if old not in selections:
            raise InputError(f"a selection to rename must be one of {', '.join(selections) or 'none yet'}, got {old!r}")
        if new in selections and new != old:
            raise InputError(f"a selection's new name must be free, got {new!r}, which exists")
        renamed = {new if name == old else name: sample_ids for name, sample_ids in selections.items()}
        selections.clear()
        selections.update(renamed)


def delete(experiment: Experiment, name: str) -> None:
    """Forgets a saved selection; one that is gone already is no error."""
    with _changing(experiment) as selections:
        selections.pop(name, None)


def subset(table: EmbeddingTable, sample_ids: list[str]) -> EmbeddingTable:
    """The rows of a table that are selected, in the table's order; its metadata says that it is a part.

    Raises:
        InputError: if no selected sample is in the table.
    """
    keep = np.isin(table.sample_id.astype(str), np.array(sample_ids, dtype=str))
    if not keep.any():
        raise InputError(f"a selection must have samples in the table, got {len(sample_ids)} that are not in it")
    part = table.rows(keep)
    return replace(part, metadata={**table.metadata, "selection": {"n_samples": len(part), "of": len(table)}})


def to_parquet(table: EmbeddingTable, sample_ids: list[str]) -> bytes:
    """The selected rows as an embedding table's file, verified.

    Raises:
        InputError: as `subset`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "selection.parquet"
        tables.write(subset(table, sample_ids), path)
        tables.read(path)
        return path.read_bytes()


def to_csv(table: EmbeddingTable, sample_ids: list[str]) -> bytes:
    """The selected samples with label, split and group, a line each; UTF-8."""
    part = subset(table, sample_ids)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("sample_id", "label", "split", "group"))
    writer.writerows([_cell(text) for text in row] for row in zip(part.sample_id, part.label, part.split, part.group))
    return text.getvalue().encode()


def _cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: one that begins as such has an apostrophe before it (OWASP)."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


@contextmanager
def _changing(experiment: Experiment) -> Iterator[dict[str, list[str]]]:
    """The selections to change; written back whole, one window at a time."""
    with FileLock(experiment.selections_lock):
        selections = read(experiment)
        yield selections
        files.write_json(experiment.selections_file, selections)
