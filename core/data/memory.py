"""Large images take turns: what all processes of this user decode at a time is bounded, whatever the number of cores.

An image of at most `FREE` bytes waits for nobody. A larger one takes as many of the `SHARES` as it needs; one that needs all
of them is decoded alone. Shares are locked files, so those of a process that dies are free again.
"""

import errno
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

FREE = 128_000_000  # bytes: a photograph of 32 megapixels, in the four bytes a pixel that Pillow takes
SHARES = 4
SHARE = 256_000_000  # bytes; 1 GB in all
ALL = SHARES * SHARE

_BAND_PIXELS = 1_000_000  # converted at a time
_WAIT_SECONDS = 0.01
_FULL = (errno.ENOSPC, errno.EDQUOT)


class LockError(OSError):
    """The locks by which large images take turns cannot be had; no fault of the image that waits."""


class _Image:
    """What one image has reserved."""

    def __init__(self) -> None:
        self.locks = ExitStack()
        self.has_reserved = False


_current: ContextVar[_Image | None] = ContextVar("current", default=None)


@contextmanager
def one_image() -> Iterator[None]:
    """One image, from its file to the small square that is left of it; what was reserved for it is given back at the end.

    Inside another, it is the same image.
    """
    if _current.get() is not None:
        yield
        return
    image = _Image()
    token = _current.set(image)
    try:
        with image.locks:
            yield
            if image.has_reserved:
                _give_back()
    finally:
        _current.reset(token)


def reserve(n_bytes: int) -> None:
    """Waits until the image being decoded may take so many bytes. Only the first call for an image waits.

    Raises:
        RuntimeError: outside of `one_image`.
        LockError: if the disk has no room for the locks, or the system refuses them.
    """
    image = _current.get()
    if image is None:
        raise RuntimeError("memory must be reserved inside of one_image")
    if n_bytes <= FREE or image.has_reserved:
        return
    image.has_reserved = True
    folder = _folder()
    if folder is not None:
        try:
            _take(min(SHARES, -(-n_bytes // SHARE)), folder, image.locks)
        except OSError as error:
            raise _refused(folder, error) from error


def bands(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """First and last row of bands of rows of an image (width, height), whose conversions then need no whole copies."""
    width, height = size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _give_back() -> None:
    """Lets the system have what was freed: glibc keeps it for each thread apart, as much as each thread's largest image."""
    import ctypes

    with suppress(OSError, AttributeError, TypeError):  # no such function outside of glibc
        ctypes.CDLL(None).malloc_trim(0)


def _folder() -> Path | None:
    """Where the locks of this user lie; None where there is no such place."""
    user = os.getuid() if hasattr(os, "getuid") else ""
    folder = Path(tempfile.gettempdir(), f"duet-decoding-{user}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        is_own = not folder.is_symlink() and (user == "" or folder.stat().st_uid == user)
    except OSError as error:
        if error.errno in _FULL:
            raise _refused(folder, error) from error
        return None
    return folder if is_own and os.access(folder, os.W_OK) else None


def _refused(folder: Path, error: OSError) -> LockError:
    if error.errno in _FULL:
        return LockError(error.errno, f"the disk of {folder} must have room for the locks by which large images take turns, "
                                      "got a full one")
    return LockError(error.errno, f"{folder} must let large images lock its files, got: {error.strerror or error}")


def _take(n_shares: int, folder: Path, locks: ExitStack) -> None:
    """Takes shares as they become free; who came first is served first."""
    from filelock import FileLock, Timeout  # for rare images alone: processes that help start with this module

    with FileLock(folder / "gate.lock"):
        free = [FileLock(folder / f"share-{number}.lock") for number in range(SHARES)]
        while n_shares:
            for lock in list(free):
                try:
                    locks.enter_context(lock.acquire(timeout=0))
                except Timeout:
                    continue
                free.remove(lock)
                n_shares -= 1
                if not n_shares:
                    return
            time.sleep(_WAIT_SECONDS)
