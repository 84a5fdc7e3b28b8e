"""Whose turn it is to use a device: a ticket for each experiment that waits or works, and a lock on each device.

Files alone, in `.queue` beside the experiments; no server. A ticket counts while the process it names lives, and a lock
dies with the process that holds it, so nothing has to be put right after a crash. Loads nothing heavy: a worker waits here.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from filelock import FileLock, Timeout

from core import files
from core.errors import Damaged
from core.experiments.handles import Experiment
from core.identity import is_alive

_POLL = 0.3  # seconds between two looks at the queue
_GPU_FILES = ("/dev/nvidia0", "/dev/dxg")  # Linux; Windows' Linux


@dataclass(frozen=True)
class Ticket:
    """An experiment's place in the queue.

    Attributes:
        number: the smaller, the earlier; nanoseconds since 1970 when it was asked for, made unique.
        experiment: its name.
        devices: what it needs, as `devices` names them; none of an experiment that shares the device with those in the queue.
        pid: the process that waits or works.
        pid_created: when that process was created (s since 1970).
        pid_started: the same whatever the clock, as `identity.started` has it; '' of older versions.
    """

    number: int
    experiment: str
    devices: tuple[str, ...]
    pid: int
    pid_created: float
    pid_started: str = ""

    @property
    def is_valid(self) -> bool:
        """Whether its process lives."""
        return is_alive(self.pid, self.pid_created, self.pid_started)


def devices(name: str, n_devices: int = 1) -> tuple[str, ...]:
    """What 'auto', 'cpu', 'cuda' or a CUDA device's number stands for, without asking torch: 'cpu', or 'cuda-0' and on."""
    if name == "auto":
        name = "0" if any(os.path.exists(path) for path in _GPU_FILES) else "cpu"
    if name == "cpu":
        return ("cpu",)
    first = 0 if name == "cuda" else int(name)
    return tuple(f"cuda-{index}" for index in range(first, first + n_devices))


@contextmanager
def next_number(root: Path) -> Iterator[int]:
    """The number of the next ticket; nobody else gets one until the block ends, by when it should be in the queue.

    Args:
        root: folder of experiments.
    """
    with _lock(root):
        tickets = _tickets(root)
        yield max(time.time_ns(), *(ticket.number + 1 for ticket in tickets), 0)


def enter(root: Path, ticket: Ticket) -> None:
    """Puts a ticket into the queue, in place of any that its experiment has; forgets those of the dead."""
    folder = _folder(root)
    for path in folder.glob("*.json"):
        other = _read(path)
        if other is not None and not other.is_valid:
            path.unlink(missing_ok=True)
    files.write_json(folder / f"{ticket.experiment}.json", asdict(ticket))


def leave(experiment: Experiment) -> None:
    """Takes an experiment's ticket out of the queue."""
    (_folder(experiment.root) / f"{experiment.name}.json").unlink(missing_ok=True)


def is_used(root: Path) -> bool:
    """Whether any experiment of a folder has a process that waits or works."""
    return any(ticket is not None and ticket.is_valid for ticket in map(_read, (root / ".queue").glob("*.json")))


def position(experiment: Experiment) -> int | None:
    """How many experiments an experiment waits for, counting the one that works; None if it does not wait."""
    tickets = _tickets(experiment.root)
    mine = next((ticket for ticket in tickets if ticket.experiment == experiment.name), None)
    return len(_before(mine, tickets)) or None if mine is not None else None


@contextmanager
def turn(experiment: Experiment, wanted: tuple[str, ...], give_up: Callable[[], bool]) -> Iterator[bool]:
    """Waits until all who asked before for any of the same devices are done, then holds them.

    Args:
        experiment: which one; it has a ticket.
        wanted: the devices, as on its ticket.
        give_up: called again and again while waiting.

    Yields:
        True with the devices held; false if given up.
    """
    with ExitStack() as held:
        # without a ticket, as after a lost file, the lock alone decides
        while position(experiment) is not None or not _hold(experiment.root, wanted, held):
            if give_up():
                yield False
                return
            time.sleep(_POLL)
        yield True


def damaged(root: Path) -> list[Damaged]:
    """What is wrong with tickets that cannot be read; they count for nothing, and the queue goes on without them."""
    errors = []
    for path in sorted((root / ".queue").glob("*.json")):
        try:
            _parse(path)
        except FileNotFoundError:
            continue
        except Damaged as error:
            errors.append(error)
    return errors


def _before(mine: Ticket, tickets: list[Ticket]) -> list[Ticket]:
    return [ticket for ticket in tickets if (ticket.number, ticket.experiment) < (mine.number, mine.experiment)
            and set(ticket.devices) & set(mine.devices)]


def _hold(root: Path, wanted: tuple[str, ...], held: ExitStack) -> bool:
    """Takes the locks of all devices or of none."""
    with ExitStack() as taken:
        for device in sorted(wanted):
            try:
                taken.enter_context(FileLock(_folder(root) / f"{device}.lock").acquire(timeout=0))
            except Timeout:
                return False
        held.push(taken.pop_all())
    return True


def _tickets(root: Path) -> list[Ticket]:
    """Tickets of living processes, in order."""
    tickets = [_read(path) for path in (root / ".queue").glob("*.json")]
    return sorted((ticket for ticket in tickets if ticket is not None and ticket.is_valid),
                  key=lambda ticket: (ticket.number, ticket.experiment))


def _read(path: Path) -> Ticket | None:
    """A ticket; None of one that left the queue between two looks, or that cannot be read."""
    try:
        return _parse(path)
    except (FileNotFoundError, Damaged):
        return None


def _parse(path: Path) -> Ticket:
    values = files.read_json(path)
    try:
        known = {field.name: values[field.name] for field in fields(Ticket) if field.name in values}
        ticket = Ticket(**{**known, "devices": tuple(known["devices"])})
        kinds: dict[str, type | tuple[type, ...]] = {"number": int, "experiment": str, "pid": int, "pid_created": (int, float),
                                                     "pid_started": str}
        if not all(isinstance(getattr(ticket, name), kind) for name, kind in kinds.items()):
            raise TypeError("a field of another type")
    except (KeyError, TypeError) as error:
        raise Damaged(path, f"must be a ticket of the queue, got {type(error).__name__}: {error}",
                      "it is passed over; delete it") from None
    return ticket


def _folder(root: Path) -> Path:
    folder = root / ".queue"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _lock(root: Path) -> FileLock:
    return FileLock(_folder(root) / ".lock")
