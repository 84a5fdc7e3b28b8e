"""A table file to its columns: CSV in any common form, JSON lines, Parquet; or the row that cannot be understood.

Reads cells as they stand; which column is what, and what its values mean, is `core.data.columns`'.
"""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import InputError

MOST_BYTES = 1_000_000_000
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_NO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"  # what web pages and spreadsheets leave at a name's end; nobody sees it
_USUAL = ("path", "label", "group", "split", "file_name", "filename", "image", "class")


@dataclass(frozen=True)
class Table:
    """Cells by column, all of one length; text from CSV, any of JSON's or Arrow's values from the others, None for nothing."""

    path: Path
    columns: dict[str, list[object]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def read(path: Path) -> Table:
    """The columns of a table, by their names without the spaces around them.

    Raises:
        InputError: one sentence with the row that cannot be understood, and what would work.
        OSError: if it cannot be read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"dataset.root must be a table of at most {MOST_BYTES / 1e9:.0f} GB, got "
                         f"{path.stat().st_size / 1e9:.1f} GB in {path}")
    content = path.read_bytes()
    if content[:4] == b"PAR1":
        names, cells = _parquet(path)
    elif content[:4] == b"PK\3\4":
        raise InputError(f"dataset.root must be a CSV or Parquet table, got a spreadsheet or an archive, {path}; save it "
                         "as CSV")
    else:
        text = _text(content, path)
        is_json = path.suffix.lower() in (".jsonl", ".ndjson", ".json") or text.lstrip()[:1] in ("{", "[")
        names, cells = _json(text, path) if is_json else _csv(text, path)
    return Table(path, _named(names, cells, path))


def _parquet(path: Path) -> tuple[list[str], list[list[object]]]:
    try:
        table = pq.ParquetFile(path).read()
        return list(table.column_names), [column.to_pylist() for column in table.columns]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"dataset.root must be a CSV or Parquet table, got {path} ({' '.join(str(error).split())})") from None


def _text(content: bytes, path: Path) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"dataset.root must be a CSV or Parquet table in UTF-8, got byte 0x{content[error.start]:02x} in "
                         f"line {line} of {path}; save it as CSV UTF-8") from None
    if not text.strip():
        raise InputError(f"dataset.root must be a CSV or Parquet table, got an empty file, {path}")
    if "\0" in text:
        raise InputError(f"dataset.root must be a CSV or Parquet table, got a file that is not text, {path}")
    return text


def _csv(text: str, path: Path) -> tuple[list[str], list[list[object]]]:
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    rows: list[list[str]] = []
    names: list[str] = []
    line = 1
    try:
        for cells in reader:
            if names and cells and len(cells) != len(names):
                raise InputError(_other_length(cells, names, len(rows) + 1, line, delimiter, path))
            if not names:
                names = cells
            elif cells:  # else an empty line
                rows.append(cells)
            line = reader.line_num + 1
    except csv.Error as error:
        is_quoting = "end of data" in str(error) or "expected after" in str(error)
        advice = "; a quote that is opened must be closed" if is_quoting else ""
        raise InputError(f"row {len(rows) + 1} (line {line}) of {path} cannot be read: {error}{advice}") from None
    return names, [list(column) for column in zip(*rows)] if rows else [[] for _ in names]


def _delimiter(text: str) -> str:
    """What stands between the names of the header: of those possible, the one that gives the most names that are known."""
    def worth(delimiter: str) -> tuple[int, int]:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True), [])
        return sum(name.strip().casefold() in _USUAL for name in header), len(header)

    try:
        return max(_DELIMITERS, key=worth)
    except csv.Error:
        return ","


def _other_length(cells: list[str], names: list[str], row: int, line: int, delimiter: str, path: Path) -> str:
    separators = _DELIMITERS[delimiter]
    if len(cells) < len(names):
        advice = f"leave a field empty, but write its {separators[:-1]}"
    elif not any(cell.strip() for cell in cells[len(names):]):
        advice = f"remove the {separators[:-1]} at its end"
    else:
        advice = f"quote values that hold {separators}"
    return (f"row {row} (line {line}) of {path} has {len(cells)} fields, the header {len(names)} "
            f"({', '.join(name.strip() for name in names)}); {advice}")


def _json(text: str, path: Path) -> tuple[list[str], list[list[object]]]:
    """One object a line, or a list of objects."""
    rows: list[dict[str, object]] = []
    number = 0
    try:
        if text.lstrip().startswith("["):
            values = json.loads(text, object_pairs_hook=_once)
        else:
            values = []
            for line in io.StringIO(text, newline=None):  # `splitlines` would part a text at its line separators too
                number += 1
                if line.strip():
                    values.append(json.loads(line, object_pairs_hook=_once))
    except (ValueError, RecursionError) as error:
        where = f" in line {number}" if number else ""
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"dataset.root must hold one JSON object a line, got{where} of {path}: {why}") from None
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise InputError(f"dataset.root must hold one JSON object a line, got a {type(value).__name__} in row {number} of "
                             f"{path}")
        rows.append(value)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, [[row.get(name) for row in rows] for name in names]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(name for name, _ in pairs if [key for key, _ in pairs].count(name) > 1)
        raise InputError(f"key {twice!r} must stand once, got it twice")
    return values


def _named(names: list[str], cells: list[list[object]], path: Path) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {}
    for number, (name, values) in enumerate(zip(names, cells), start=1):
        name = str(name).strip().strip(_NO_WIDTH).strip()
        is_empty = all(value is None or str(value).strip() == "" for value in values)
        if not name and is_empty:
            continue  # a comma at the end of every line
        if not name:
            if values[:3] == [str(count) for count in range(3)][:len(values)]:
                continue  # pandas' index, which `to_csv` writes unless asked not to
            raise InputError(f"every column must have a name, got none for column {number} of {path}")
        if name.casefold() in (other.casefold() for other in columns):
            raise InputError(f"every column must have a name of its own, got {name!r} again as column {number} of {path}")
        columns[name] = values
    return columns
