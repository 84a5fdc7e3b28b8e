"""What was made of files, kept while the files stay as they are: a look at them costs a `stat` each, and opens none.

Knows nothing of what the files hold. A file is taken for unchanged by its size, its time and its inode: a file that is
replaced whole has another inode, one that grows has another size.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

Content = TypeVar("Content")
Stamp = tuple[int, int, int]  # time of the last change (ns), size (bytes), inode
MISSING: Stamp = (0, 0, 0)
SETTLED = 2_000_000_000  # ns after which a further change has a time of its own, on the coarsest file system


def stamp(path: str | Path) -> Stamp:
    """Which file lies at a path, and when it was written last; `MISSING` where none can be found."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return MISSING
    return status.st_mtime_ns, status.st_size, status.st_ino


class Unchanged(Generic[Content]):
    """Remembers by a key what was made of some files, for any number of threads.

    Args:
        most: how many keys are remembered; those that were kept longest ago go first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[str, tuple[tuple[Stamp, ...], Content]] = OrderedDict()
        self._lock = Lock()

    def recall(self, key: str) -> tuple[tuple[Stamp, ...], Content] | None:
        """What was kept last, with the stamps that its files had; None if nothing was."""
        with self._lock:
            return self._known.get(key)

    def keep(self, key: str, stamps: tuple[Stamp, ...], content: Content) -> None:
        """Remembers content that was made of files; their stamps were taken before they were read."""
        with self._lock:
            self._known[key] = stamps, content
            self._known.move_to_end(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)

    def read(self, path: Path, reader: Callable[[Path], Content], missing: Content | None = None) -> Content:
        """What a reader makes of one file; the same content again while the file is unchanged.

        A file that changed within the last two seconds is read each time, as a further change might show in no stamp. What the
        reader raises is not remembered.

        Args:
            path: the file.
            reader: called with the path if the file is new or has changed.
            missing: what stands for a file that is not there, so that nothing is opened; None asks the reader.
        """
        before = stamp(path)
        if before == MISSING and missing is not None:
            return missing
        known = self.recall(str(path))
        if known is not None and known[0] == (before,) and before != MISSING:
            return known[1]
        content = reader(path)
        if before != MISSING and time.time_ns() - before[0] > SETTLED:
            self.keep(str(path), (before,), content)
        return content
