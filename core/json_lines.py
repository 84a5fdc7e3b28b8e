"""Files of JSON lines, which grow by a line at a time and survive a crash in the middle of one."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from core import files
from core.files import Json

Keys = Mapping[str, type | tuple[type, ...]]  # what a good line has, and of which type


class Lines(NamedTuple):
    """A file of JSON lines: those that are good, and how many are not."""

    good: list[Json]
    n_bad: int


def append(path: Path, record: Json) -> None:
    """Adds a line of JSON and flushes it to the disk; a half line that a crash or a full disk left is dropped first."""
    if path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n"):
        replace(path, read(path).good)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, keys: Keys | None = None) -> Lines:
    """The whole lines of a file of JSON lines; none if there is no file, one bad if it is none that can be read.

    Args:
        path: the file.
        keys: what a good line has, and of which type; None asks for a JSON object alone.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return Lines([], 0)
    except OSError:
        return Lines([], int(os.path.lexists(path)))
    good: list[Json] = []
    n_bad = 0
    for line in lines:
        if not line.endswith(b"\n"):  # being written, or what a crash left of it
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict) and all(isinstance(record.get(key), kind) for key, kind in (keys or {}).items()):
            good.append(record)
        else:
            n_bad += 1
    return Lines(good, n_bad)


def replace(path: Path, records: list[Json]) -> None:
    """Writes a file of JSON lines anew, whole or not at all."""
    files.write_bytes(path, "".join(json.dumps(record) + "\n" for record in records).encode())
