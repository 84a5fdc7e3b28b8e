"""What killed processes left behind, swept when the server or a command starts. The one list of where to look."""

from pathlib import Path

from filelock import FileLock, Timeout

from core import files


def sweep(checkpoints: Path, data: Path) -> list[Path]:
    """Removes what no living process owns from both roots; returns what was removed.

    Args:
        checkpoints: folder of experiments; their runs' folders and the queue, layouts and questions below it too.
        data: root of datasets and decoded images.
    """
    return [*files.sweep(checkpoints, depth=3), *files.sweep(data / ".pixels"), *files.sweep(data / ".scans"),
            *_unmarked(data / ".pixels")]


def _unmarked(pixels: Path) -> list[Path]:
    """Decoded images that an earlier version was killed over: without its process in their name, so its lock is asked."""
    paths = [path for path in pixels.glob("tmp*.tmp") if path.is_file()]
    for lock in pixels.glob("*.lock") if paths else ():
        try:
            with FileLock(lock).acquire(timeout=0):
                continue
        except (Timeout, OSError):
            return []
    for path in paths:
        path.unlink(missing_ok=True)
    return paths
