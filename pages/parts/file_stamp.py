"""A file as the key of a cache."""

from pathlib import Path


def stamp(path: Path) -> tuple[str, int, int]:
    """A file as a cache key: where it is; which it is and when it was written or changed in any way; how large it is. Zeros of
    one that is missing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return str(path), 0, 0
    return str(path), hash((status.st_mtime_ns, status.st_ctime_ns, status.st_ino)), status.st_size
