"""Image files read: what a scan notes of each, its pixels as they are stored. Many at a time, wherever there is a core.

Imports little, not even NumPy, so that a process that helps is there in 50 ms.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Protocol

from PIL import Image

from core import files
from core.data import memory
from core.data.decoding import MAX_BYTES, UNREADABLE, decode, grey_square, reason
from core.data.levels import Levels, Reach, fitting
from core.data.preprocessing import AnyGeometry
from core.errors import ChangedFile, InputError

LOOK_SIDE = 16


class Reader(Protocol):
    """Reads a sample: its id, the digest that its bytes must have, and its dataset's levels -> an RGB image, upright."""

    def __call__(self, sample_id: str, digest: str | None = None, levels: Levels | None = None) -> Image.Image: ...



def looks(root: Path, levels: Levels | None, paths: list[str]) -> list[tuple[str, bytes, str, str, str]]:
    """Of each file its digest (SHA-256 of its bytes, hex), its look, why it is left out ('' if it is not), what its levels
    reach (a `Reach` as text; '' where its format says) and the range the look was made with.

    A look is a perceptual hash, 16 × 16 grey levels of the upright image, row by row.
    """
    return [_look(os.path.join(root, path), levels) for path in paths]


# As `looks`, for a file at which a helper dies.
LOST = ("", b"", "it crashed the process that read it: the file may be damaged, or memory was short", "", "")


def _look(path: str, levels: Levels | None) -> tuple[str, bytes, str, str, str]:
    try:
        with memory.one_image():
            content = content_of(path)
            grey, reach = grey_square(content, LOOK_SIDE, levels)
            scaled = "" if reach is None else range_words(reach, levels)
            return hashlib.sha256(content).hexdigest(), grey.tobytes(), "", "" if reach is None else str(reach), scaled
    except memory.LockError:
        raise
    except UNREADABLE as error:
        return "", b"", why_not(error), "", ""


def range_words(reach: Reach, levels: Levels | None) -> str:
    """The range that a file's levels are scaled from, as text."""
    low, high = (levels.ranges.get(reach.kind) if levels else None) or fitting(reach)
    return f"{low}:{high}"


def contents(root: Path, levels: Levels | None, paths: list[str]) -> list[tuple[str]]:
    """Of each file, alone in a tuple, the SHA-256 of its decoded pixels, hex; '' if it has gone or changed since the scan."""
    return [(_content(os.path.join(root, path), levels),) for path in paths]


def _content(path: str, levels: Levels | None) -> str:
    try:
        with memory.one_image():
            return _hash(decode(content_of(path), levels))
    except memory.LockError:
        raise
    except UNREADABLE:  # within the second since it was read: decoding for training will say so
        return ""


def _hash(image: Image.Image) -> str:
    """SHA-256 of an image's size and pixels, hex; a band of rows at a time."""
    content = hashlib.sha256(f"{image.size}".encode())
    for top, bottom in memory.bands(image.size):
        content.update(image.crop((0, top, image.width, bottom)).tobytes())
    return content.hexdigest()


def image(root: Path, sample_id: str, digest: str | None = None, levels: Levels | None = None) -> Image.Image:
    """One sample's image, RGB and upright.

    Args:
        root: folder its path starts from.
        sample_id: the path.
        digest: SHA-256 its bytes must have, hex; None asks for none.
        levels: the dataset's; None for what the file itself reaches.

    Raises:
        OSError: if it cannot be read.
        ChangedFile: if its bytes are others.
        InputError: if they are no image.
    """
    path = root / sample_id
    content = content_of(path)
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise ChangedFile(f"{path} must be the file that was scanned, got another: it was changed since; put the old one "
                          f"back, or start a new experiment")
    return decode(content, levels)


def store(read: Reader, geometry: AnyGeometry, file: str, start: int, samples: list[tuple[int, str, str]]) -> int:
    """Writes the squares of some samples to their places in a file.

    Args:
        read: gives the image of a (sample_id, digest).
        geometry: how an image becomes a square.
        file: an array of squares, one a row, behind a head.
        start: bytes of the head.
        samples: row, sample_id and digest of each.

    Returns:
        How many there were.
    """
    with open(file, "r+b", buffering=0) as opened:
        for row, sample_id, digest in samples:
            with memory.one_image():
                content = geometry.square(read(sample_id, digest)).tobytes()
            _write(opened.fileno(), content, start + row * len(content))
    return len(samples)


def why_not(error: Exception) -> str:
    """Why a file is left out, in one line."""
    if isinstance(error, UnicodeEncodeError):
        return "its name is not text"
    return error.strerror if isinstance(error, OSError) and error.strerror else reason(error)


def content_of(path: str | Path) -> bytes:
    """All of a file; unbuffered, which gives up the GIL half as often.

    Raises:
        InputError: if it is larger than an image within the limits could be, or no regular file: a pipe would wait for ever.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InputError("not a regular file")
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise InputError(f"{size / 1e9:.1f} GB are more than {MAX_BYTES / 1e9:.0f} GB")
        if size > memory.FREE:
            with memory.one_image():
                memory.reserve(memory.ALL)
                return file.readall()
        return file.readall()


def _write(file: int, content: bytes, offset: int) -> None:
    """Writes all of it: one call may write less, and says that the disk is full only at the next."""
    rest = memoryview(content)
    while len(rest):
        written = files.write_at(file, rest, offset)
        rest, offset = rest[written:], offset + written
