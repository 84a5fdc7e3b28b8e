"""Which process a pid stands for, whatever happens to the clock.

The wall clock is stepped by whoever sets it, and with it the time at which a process seems to have started. On Linux the
kernel counts starts in ticks since it booted; with the name of that boot they tell a process from all others.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

_TOLERANCE = 1.0  # seconds by which a start's time of day may differ where nothing better was written down


def started(pid: int, processes: Path = Path("/proc")) -> str:
    """What tells a process from any other that has had or will have its pid; '' if there is none, or only a zombie.

    Args:
        pid: the process.
        processes: where the kernel tells of processes; elsewhere than on Linux there is no such folder.
    """
    boot = _boot(processes)
    if not boot:
        import psutil

        try:
            process = psutil.Process(pid)
            return "" if process.status() == psutil.STATUS_ZOMBIE else f"at {process.create_time():.2f}"
        except psutil.Error:
            return ""
    try:
        fields = (processes / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else f"{boot}/{int(fields[19])}"  # proc(5): 3 is the state, 22 the start


class Identity(TypedDict):
    """A process as it is written down: its number, when it was created (s since 1970, for people and older versions), and what
    tells it from every other, as `started` has it."""

    pid: int
    pid_created: float
    pid_started: str


def of(pid: int) -> Identity:
    """A process as it is written down.

    Raises:
        psutil.NoSuchProcess: if there is none.
    """
    import psutil  # here: a process that helps to read images needs none

    return {"pid": pid, "pid_created": psutil.Process(pid).create_time(), "pid_started": started(pid)}


def is_alive(pid: int, pid_created: float, pid_started: str = "") -> bool:
    """Whether the very process that was written down still runs; a zombie is dead.

    Args:
        pid: as `of` writes it.
        pid_created: the same; counts only where `pid_started` does not.
        pid_started: the same; '' of older versions.
    """
    found = started(pid)
    if not found:
        return False
    if pid_started and not pid_started.startswith("at ") and not found.startswith("at "):
        return found == pid_started
    import psutil

    try:
        return abs(psutil.Process(pid).create_time() - pid_created) < _TOLERANCE
    except psutil.Error:
        return False


def short(pid: int) -> str:
    """Twelve hex digits for a process's identity, as names of files carry; of a process that is gone, those of nothing."""
    return hashlib.sha256(started(pid).encode()).hexdigest()[:12]


@lru_cache(maxsize=4)
def _boot(processes: Path) -> str:
    """The name of this boot of the kernel; '' where there is none."""
    try:
        (processes / "self" / "stat").read_bytes()
        return (processes / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    except OSError:
        return ""
