"""A file as the key of a cache."""

from pathlib import Path


def stamp(path: Path) -> tuple[str, int, int]:
    """A file as a cache key: where it is; which it is and when it was written or changed in any way; how large it is. Zeros of
    one that is missing."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return str(path), 0, 0
    return str(path), hash((found.st_mtime_ns, found.st_ctime_ns, found.st_ino)), found.st_size
