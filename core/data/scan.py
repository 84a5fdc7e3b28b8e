"""Every file of a dataset read and decoded once: what it holds, how it looks, or why it is left out.

What was found is kept by path, size, times of change and inode, so a second scan reads only what is new, and one that was
interrupted goes on where it stopped. Files are read by other processes, so one at which a decoder ends its process is named
and left out. Knows nothing of classes, groups or splits.
"""

import hashlib
import os
import sqlite3
import stat
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import __version__ as pillow_version
from scipy.spatial import cKDTree

from core.data import processes, reading
from core.data.decoding import MAX_PIXELS
from core.data.levels import Reach, Setting, measured
from core.data.reading import LOOK_SIDE

_CUT_OFF = 10.0  # levels that a block of a look loses at most, as the purest green does, when a JPEG's colours are cut off
_VERSION = zlib.crc32(f"8 {pillow_version} {MAX_PIXELS} {LOOK_SIDE}".encode()) >> 1  # a signed number in SQLite
_CHUNK_FILES, _CHUNK_BYTES = 64, 1_000_000  # small files are handed over by the dozen, photographs one by one
_COMMIT_SECONDS = 1.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Seen:
    """What a scan found in one file.

    Attributes:
        digest: SHA-256 of the file's bytes, hex; '' if it is left out.
        look: a perceptual hash, as `reading.looks` gives it; b'' if it is left out.
        content: SHA-256 of the decoded pixels, hex, where another file looks nearly the same; else ''.
        reason: why it is left out, in one line; '' if it is not.
        reach: what its levels reach, a `Reach` as text, where its format does not say; else ''.
        scaled: the range that look and content are scaled from, where it reaches something.
    """

    digest: str = ""
    look: bytes = b""
    content: str = ""
    reason: str = ""
    reach: str = ""
    scaled: str = ""


def scan(root: Path, paths: list[str], cache: Path | None = None, progress: Progress | None = None,
         reread: bool = False, levels: Setting = "auto") -> dict[str, Seen]:
    """Decodes every file whole, on every core.

    Args:
        root: folder the paths start from.
        paths: files, relative and POSIX, or absolute.
        cache: folder for what was found; None keeps nothing.
        progress: called with (done, total) as files are read.
        reread: reads every file, whatever was found before.
        levels: the range of files of more than 8 bits; 'auto' takes what they reach together.

    Returns:
        path -> what was found, in the order of `paths`.

    Raises:
        OSError: if the cache cannot be written.
    """
    seen_of: dict[str, Seen] = {}
    missing: list[tuple[str, int, int, int, int]] = []
    with _opened(cache, root) as database:
        known = {row[0]: (row[1:5], Seen(*row[5:])) for row in database.execute("SELECT * FROM file")}
        for path in paths:
            try:
                path.encode()  # a name that is no text could not be written down
                status = os.stat(os.path.join(root, path))
            except (OSError, ValueError) as error:
                seen_of[path] = Seen(reason=reading.why_not(error))
                continue
            if not stat.S_ISREG(status.st_mode):
                seen_of[path] = Seen(reason="not a regular file")
                continue
            state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, _signed(status.st_ino))
            then, seen = known.get(path, ((), Seen()))
            if then == state and not reread:
                seen_of[path] = seen
            else:
                missing.append((path, *state))
        if progress:
            progress(len(seen_of), len(paths))
        for (path, *_), (digest, look, *others) in _read(missing, partial(reading.looks, root, None), reading.LOST, database,
                                                         _INSERT):
            seen_of[path] = Seen(digest, look, "", *others)
            if progress:
                progress(len(seen_of), len(paths))
        ranges = measured(reaches(seen_of), levels)
        otherwise = [(path,) for path, seen in seen_of.items()
                     if seen.reach and seen.scaled != reading.range_words(Reach.read(seen.reach), ranges)]
        for (path,), (digest, look, *others) in _read(otherwise, partial(reading.looks, root, ranges), reading.LOST, database,
                                                      _RESCALE):
            seen_of[path] = Seen(digest, look, "", *others)
        alike = _alike(seen_of)
        unsure = [(path,) for path, seen in seen_of.items() if seen.digest in alike and not seen.content]
        for (path,), (content,) in _read(unsure, partial(reading.contents, root, ranges), ("",), database, _UPDATE):
            seen_of[path] = replace(seen_of[path], content=content)
        gone = [(path,) for path in known.keys() - seen_of.keys()]
        database.executemany("DELETE FROM file WHERE path = ?", gone)
        database.commit()
    return {path: seen_of[path] for path in paths}


def reaches(seen_of: dict[str, Seen]) -> list[Reach]:
    """What the levels of files reach whose format does not say."""
    return [Reach.read(seen.reach) for seen in seen_of.values() if seen.reach]


_INSERT = ("INSERT OR REPLACE INTO file (path, size, modified, changed, inode, digest, look, reason, reach, scaled) "
           "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
_RESCALE = "UPDATE file SET digest = ?2, look = ?3, reason = ?4, reach = ?5, scaled = ?6, content = '' WHERE path = ?1"
_UPDATE = "UPDATE file SET content = ?2 WHERE path = ?1"


@contextmanager
def _opened(cache: Path | None, root: Path) -> Iterator[sqlite3.Connection]:
    if cache is None:
        name = ":memory:"
    else:
        cache.mkdir(parents=True, exist_ok=True)
        name = str(cache / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.sqlite")
    try:
        with closing(sqlite3.connect(name, timeout=30)) as database:
            if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                database.execute("DROP TABLE IF EXISTS file")
                database.execute(f"PRAGMA user_version = {_VERSION}")
            database.execute("CREATE TABLE IF NOT EXISTS file (path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, "
                         "changed INTEGER, inode INTEGER, digest TEXT, look BLOB, content TEXT DEFAULT '', reason TEXT, "
                         "reach TEXT, scaled TEXT)")
            database.commit()
            yield database
    except sqlite3.Error as error:
        raise OSError(f"what a scan finds must be kept in {name}, got: {error}; free some space, or delete it") from None


def _read(items: list[tuple], work: Callable[[list[str]], list[tuple]], lost: tuple, database: sqlite3.Connection,
          sql: str) -> Iterator[tuple[tuple, tuple]]:
    """Each item, which begins with a path, with what `work` makes of it, or `lost` if its process ends at it; in order, and
    written down as it comes."""
    chunks = _chunks(items)
    written = time.monotonic()
    results = processes.in_parallel(work, [[item[0] for item in chunk] for chunk in chunks], in_processes=True,
                                    lost=lambda _: lost)
    try:
        for chunk, results_of_chunk in zip(chunks, results):
            database.executemany(sql, [(*item, *values) for item, values in zip(chunk, results_of_chunk)])
            if time.monotonic() > written + _COMMIT_SECONDS:
                database.commit()
                written = time.monotonic()
            yield from zip(chunk, results_of_chunk)
    finally:
        results.close()
        database.commit()


def _signed(inode: int) -> int:
    """An inode as SQLite can hold it."""
    return inode if inode < 2**63 else inode - 2**64


def _chunks(items: list[tuple]) -> list[list[tuple]]:
    chunks: list[list[tuple]] = [[]] if items else []
    size = 0
    for item in items:
        if len(chunks[-1]) == _CHUNK_FILES or size > _CHUNK_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(item)
        size += item[1] if len(item) > 1 else _CHUNK_BYTES
    return chunks


def _alike(seen_of: dict[str, Seen]) -> set[str]:
    """Digests of files whose pixels may be those of a file with other bytes; `seen_of` maps path to what is known of it.

    Those have the very same look, unless just one of them is a JPEG: its look was made before its colours were rounded and
    cut off.
    """
    looks = {seen.digest: (seen.look, path.lower().endswith((".jpg", ".jpeg"))) for path, seen in seen_of.items() if seen.look}
    n_files = Counter(look for look, _ in looks.values())
    alike = {digest for digest, (look, _) in looks.items() if n_files[look] > 1}
    jpegs, others = ([digest for digest, (_, is_jpeg) in looks.items() if is_jpeg == of_jpegs] for of_jpegs in (True, False))
    if jpegs and others:
        near = _tree(looks[digest][0] for digest in jpegs).query_ball_tree(
            _tree(looks[digest][0] for digest in others), _CUT_OFF, p=np.inf)
        alike |= {digest for digest, places in zip(jpegs, near) if places}
        alike |= {others[index] for index in set().union(*near)}
    return alike


def _tree(looks: Iterable[bytes]) -> cKDTree:
    """Looks by their means over 4 × 4 blocks."""
    side = LOOK_SIDE // 4
    levels = np.frombuffer(b"".join(looks), np.uint8).reshape(-1, side, 4, side, 4)
    return cKDTree(levels.mean(axis=(2, 4), dtype=np.float32).reshape(-1, side * side))
