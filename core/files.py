"""Files written whole or not at all, their damage said in one sentence, and what ended processes left lying about.

Knows nothing of experiments. A temporary name says which process it belongs to, so that what nobody owns can be swept.
"""

import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from core import identity
from core.errors import Damaged, InputError
from core.visible import visible

Content = TypeVar("Content")
Json = dict[str, Any]  # a JSON object
_NUMBERS = itertools.count()
_MARK = re.compile(r"(\d+)-([0-9a-f]{12})-\d+(?:\.tmp)?$")  # pid, the process's identity, a number
_UNMARKED = re.compile(r"^\.new-\w+$|^tmp\w+\.tmp$|.\.tmp$")  # as versions without marks named theirs
_STAGING = (".new-", ".deleted-")
_MOST_SHOWN = 80  # characters of a path that cannot be one
_AGE = 60.0  # seconds since the last change after which a temporary without a mark is nobody's


def absolute(path: str, what: str) -> Path:
    """A path as a person writes it, with ~ and links resolved.

    Args:
        path: absolute, relative or below a home folder.
        what: what the path is for: the subject of the sentence that refuses it.

    Raises:
        InputError: if it can be no path of this machine: the home of nobody, a zero byte, a name too long.
    """
    try:
        found = Path(path).expanduser().resolve()
        found.exists()  # a name too long is told by the system alone
    except (RuntimeError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise InputError(f"{what} must be a path on this machine, got {visible(path, _MOST_SHOWN)} ({reason})") from None
    return found


def read_json(path: Path) -> Json:
    """A JSON file that holds an object.

    Raises:
        NotFound: if there is none.
        Damaged: if it cannot be read, is not JSON or holds something else.
    """
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(path, f"must be a file that can be read, got: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise Damaged(path, f"must be JSON, got {path.stat().st_size:,} bytes that are not: {error}") from None
    if not isinstance(values, dict):
        raise Damaged(path, f"must hold a JSON object, got {type(values).__name__}")
    return values


def read(path: Path, reader: Callable[[Path], Content], what: str) -> Content:
    """What a reader makes of a file; whatever it stumbles over is said of the file.

    Args:
        path: the file.
        reader: may raise anything that broken content makes a library raise.
        what: what the file must be, as 'an embedding table'.

    Raises:
        NotFound: if there is none.
        Damaged: if it cannot be read.
    """
    try:
        return reader(path)
    except (FileNotFoundError, Damaged):
        raise
    except Exception as error:  # libraries raise what they like over bytes that are not theirs
        if path.suffix in (".parquet", ".safetensors") and (wrong := cut_or_foreign(path)):
            raise Damaged(path, wrong.replace("must be whole", f"must be {what}")) from None
        reason = " ".join(str(error).split())
        raise Damaged(path, f"must be {what}, got {type(error).__name__}: {reason}") from None


def cut_or_foreign(path: Path) -> str:
    """What is wrong with a file of tables or tensors as its two ends tell; empty if nothing is. What is in between shows only
    where it is read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if path.suffix == ".parquet":
                if file.read(4) == b"PAR1" and file.seek(max(size - 4, 0)) and file.read(4) == b"PAR1":
                    return ""
            else:
                n_header = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(n_header)) if n_header < size else {}
                ends = [item["data_offsets"][1] for name, item in header.items() if name != "__metadata__"]
                if header and 8 + n_header + max(ends, default=0) == size:
                    return ""
    except FileNotFoundError:
        return "must exist, it is missing"
    except OSError as error:
        return f"must be a file that can be read, got: {error.strerror or error}"
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return f"must be whole, got {size:,} bytes of a cut or foreign file"


def read_or_damaged(path: Path, reader: Callable[[Path], Content], remedy: str, may_be_missing: bool = False) -> Content:
    """What a reader makes of a file; what is wrong with the file is said with what can be done about it.

    Args:
        path: the file.
        reader: raises FileNotFoundError or Damaged, as `read_json` and `read`.
        remedy: what can be done.
        may_be_missing: whether the file's absence is no damage.

    Raises:
        NotFound: if there is none and there need not be.
        Damaged: if the file cannot be read, or is missing and must not be; with the remedy.
    """
    try:
        return reader(path)
    except FileNotFoundError:
        if may_be_missing:
            raise
        raise Damaged(path, "must exist, it is missing", remedy) from None
    except Damaged as error:
        raise Damaged(path, error.what, remedy) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which takes the place of `path` when the block ends without an error.

    The content is on the disk before the name changes, and the name before this returns: a power cut leaves the old file
    or the new one.
    """
    for other in _siblings(path):
        if is_abandoned(other):
            other.unlink(missing_ok=True)  # of a kill over the same file, wherever it lies
    temporary = path.with_name(f"{path.name}.{mark()}.tmp")
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _siblings(path: Path) -> list[Path]:
    """Temporaries of a file, of whichever process."""
    with suppress(OSError), os.scandir(path.parent) as entries:
        return [Path(entry.path) for entry in entries
                if entry.name.startswith(f"{path.name}.") and entry.name.endswith(".tmp")]
    return []


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces a file whole."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, values: Json) -> None:
    """Replaces a JSON file whole."""
    write_bytes(path, json.dumps(values, indent=1, allow_nan=False).encode())


def sync_folder(folder: Path) -> None:
    """Waits until the disk has the names in a folder; nothing where a folder cannot be opened, as on Windows."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with suppress(OSError):  # file systems without it say so
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reserve_space(descriptor: int, n_bytes: int) -> None:
    """Makes a file so long that writing into it cannot meet a full disk, where the system can; else only so long.

    Raises:
        OSError: if the disk is too full.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, n_bytes)
    else:
        os.ftruncate(descriptor, n_bytes)


def sync_content(descriptor: int) -> None:
    """Waits until the disk has a file's content."""
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(descriptor)


def write_at(descriptor: int, content: bytes | memoryview, place: int) -> int:
    """Writes to a place of a file that nobody else writes through this descriptor; how many bytes, as `os.pwrite`."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, content, place)
    os.lseek(descriptor, place, os.SEEK_SET)
    return os.write(descriptor, content)


def mark() -> str:
    """A name part that no other call gets and that says which process it was made by."""
    return f"{os.getpid()}-{identity.short(os.getpid())}-{next(_NUMBERS)}"


def is_abandoned(path: Path) -> bool:
    """Whether a file or folder is a temporary one whose process is gone; what is named otherwise never is."""
    if found := _MARK.search(path.name):
        return (path.name.endswith(".tmp") or path.name.startswith(_STAGING)) and identity.short(int(found[1])) != found[2]
    if path.name.startswith(".deleted-"):
        return True  # whoever removes it may do so beside this process
    if not _UNMARKED.search(path.name):
        return False
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > _AGE
    return False


def sweep(folder: Path, depth: int = 0) -> list[Path]:
    """Removes temporaries whose process is gone from a folder and, to a depth, those below it; returns what was removed."""
    removed: list[Path] = []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return removed
    for entry in entries:
        path = Path(entry.path)
        with suppress(OSError):
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_abandoned(path):
                if is_folder:
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
                removed.append(path)
            elif is_folder and depth:
                removed += sweep(path, depth - 1)
    return removed
