"""Processes: start, stop, resume, and whether one is still alive. Starts the worker by name; never imports it.

A worker outlives the page, the server and the terminal that started it; it is found again by what lies on disk.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from core import files, identity
from core.config import ExperimentConfig
from core.errors import Damaged, InputError
from core.experiments import directory, filenames, trials
from core.experiments.directory import RunStatus
from core.identity import is_alive
from core.jobs import device_queue, tasks
from core.jobs.device_queue import Ticket

DerivedState = Literal["queued", "running", "completed", "failed", "stopped", "lost", "damaged"]
UNFINISHED = ("queued", "running")
RESUMABLE = ("stopped", "failed", "lost", "damaged")
_GRACE = 10.0  # seconds in which whoever only looks whether a lock is free has let go of it again
_held: dict[Path, FileLock] = {}  # the locks of experiments that this process is the worker of


@dataclass(frozen=True)
class Progress:
    """Where an experiment stands.

    Attributes:
        state: of the whole: 'running' or 'queued' while any run is, else the worst of its runs' states.
        share: of the images of all trained runs, their trials included, that have been seen, 0 to 1.
        n_done: runs completed.
        n_runs: runs in all.
        seconds_left: estimate from the speed so far; None before there is one.
        message: the first failure's sentence, if any.
    """

    state: DerivedState
    share: float
    n_done: int
    n_runs: int
    seconds_left: float | None
    message: str


def start(folder: Path, data: Path, device: str = "auto", queue: bool = True) -> None:
    """Starts a worker for an experiment's queued runs, unless one is at it already.

    Args:
        folder: the experiment.
        data: root of datasets and decoded images.
        device: 'auto', 'cpu', 'cuda' or the number of a CUDA device.
        queue: wait until the experiments that asked before are done with the device; else share it with them.
    """
    wanted = device_queue.devices(device, directory.read_config(folder).training.devices)
    arguments = [str(folder.resolve()), "--data", str(data.resolve()), "--device", device]
    with _lock(folder):
        if is_worker_alive(folder):
            return
        with device_queue.next_number(folder.parent) if queue else nullcontext() as number, \
                (folder / filenames.WORKER_LOG).open("ab") as log:
            ticket = [] if number is None else ["--ticket", str(number)]
            process = tasks.start_module("core.jobs.worker", [*arguments, *ticket], log)
            if number is not None:
                device_queue.enter(folder.parent, Ticket(number, folder.name, wanted, **process))
        directory.write_json(folder / filenames.WORKER, {**process, "device": device})


def claim(folder: Path, device: str) -> bool:
    """Called by a worker when it begins: false if another is at the experiment; else it is known as its worker.

    Whoever started it may have died before writing that down.
    """
    with _lock(folder):
        if _worker(folder) != os.getpid() and is_worker_alive(folder):
            return False
        if folder.resolve() not in _held:
            lock = FileLock(folder / filenames.WORKER_LOCK)
            try:
                lock.acquire(timeout=_GRACE)
            except Timeout:
                return False
            _held[folder.resolve()] = lock
        directory.write_json(folder / filenames.WORKER, {**identity.of(os.getpid()), "device": device})
    files.sweep(folder, depth=2)
    return True


def leave(folder: Path) -> bool:
    """Called by a worker with nothing left to do: true if it may end, false if runs were queued meanwhile."""
    with _lock(folder):
        if has_queued(folder):
            return False
        device_queue.leave(folder)
        (folder / filenames.WORKER).unlink(missing_ok=True)
        if lock := _held.pop(folder.resolve(), None):
            lock.release()
        return True


@contextmanager
def at_rest(folder: Path) -> Iterator[None]:
    """An experiment on which no process works, nor begins to before the block ends.

    Raises:
        InputError: if one is at work.
    """
    with _lock(folder):
        if is_worker_alive(folder) or _is_held(folder / filenames.SERIES_LOCK):
            raise InputError(f"{folder.name!r} must have no worker before its images can be moved, got one; stop it first")
        yield


def delete(folder: Path) -> None:
    """Removes an experiment with all its runs, however damaged it is.

    Raises:
        InputError: if a process is at it, as the locks say that it holds.
        OSError: if it cannot be removed.
    """
    locks = [folder / name for name in (filenames.WORKER_LOCK, filenames.SERIES_LOCK)]
    if os.path.isdir(folder) and (is_worker_alive(folder) or any(_is_held(lock) for lock in locks)):
        raise InputError(f"an experiment to delete must have no process at work on it, got {folder.name!r}, which has one; "
                         "stop it first")
    device_queue.leave(folder)
    directory.delete(folder)


def has_queued(folder: Path) -> bool:
    """Whether a run of an experiment waits to be worked on."""
    return any(last_state(run) == "queued" and not is_stop_requested(run) for run in directory.runs(folder))


def stop(runs: list[Path]) -> None:
    """Asks the worker to stop runs; those that no worker has begun are stopped at once."""
    for run in runs:
        state = derived_status(run).state
        if state in UNFINISHED:
            (run / filenames.STOP).touch()
        if state == "queued":
            directory.write_status(run, RunStatus("stopped", message="stopped before it began"))


def resume(runs: list[Path], data: Path, device: str = "auto", queue: bool = True) -> list[Path]:
    """Queues stopped, failed, lost and damaged runs again and starts a worker; returns those that were queued.

    A run that is completed but whose results are damaged or gone counts as damaged: it makes them anew from its last
    checkpoint.
    """
    again = [run for run in runs if derived_status(run).state in RESUMABLE or has_damaged_results(run)]
    for run in again:
        directory.restore_run(run)
        (run / filenames.STOP).unlink(missing_ok=True)
        directory.write_status(run, RunStatus("queued"))
    for folder in {run.parent for run in again}:
        start(folder, data, device, queue)
    return again


def has_damaged_results(run: Path) -> bool:
    """Whether what a completed run left behind cannot be read; reads all of it."""
    from core.results import examination

    return last_state(run) == "completed" and bool(examination.results(run))


def is_stop_requested(run: Path) -> bool:
    """Whether someone asked for this run to stop."""
    return (run / filenames.STOP).exists()


def is_worker_alive(folder: Path) -> bool:
    """Whether a worker is at this experiment: the process that is written down lives, or one holds the worker's lock."""
    try:
        worker = directory.read_json(folder / filenames.WORKER)
        if is_alive(worker["pid"], worker["pid_created"], worker.get("pid_started", "")):
            return True
    except (FileNotFoundError, NotADirectoryError, Damaged, KeyError, TypeError):
        pass  # none is written down, or not so that anyone can tell: the lock can
    return _is_held(folder / filenames.WORKER_LOCK)


def last_state(run: Path) -> DerivedState:
    """The state that a run's worker last wrote; 'damaged' if it cannot be read."""
    try:
        return directory.read_status(run).state
    except Damaged:
        return "damaged"


def derived_status(run: Path) -> RunStatus:
    """A run's status as it really is: 'lost' if it says running, or queued, and no worker lives; 'damaged' if its own files
    cannot be read, with what is wrong as the message."""
    try:
        status = directory.read_status(run)
        if status.state not in UNFINISHED or is_worker_alive(run.parent):
            return status
        status = directory.read_status(run)  # again: it may have ended between the two looks
    except Damaged as error:
        return RunStatus("damaged", message=f"{error.path.name} {error.what}")
    if status.state not in UNFINISHED:
        return status
    return replace(status, state="lost", message="its process is gone; resume it from its last checkpoint, or delete it")


def progress(folder: Path, config: ExperimentConfig | None = None) -> Progress:
    """Where an experiment stands, from what lies on disk; `config` is its own, if it was read before."""
    trained = seen = rate_images = rate_seconds = 0.0
    states: list[str] = []
    messages: list[str] = []
    for run in (config or directory.read_config(folder)).runs():
        status = derived_status(folder / run.name)
        states.append(status.state)
        if status.state in ("failed", "damaged"):
            messages.append(status.message if status.state == "failed" else f"{run.name}: {status.message}")
        if not run.is_trained:
            continue
        records = directory.read_records(folder / run.name)
        tried = trials.read(folder / run.name)
        done = (records[-1].get("images_seen", 0) if records else 0) + sum(trial.images_seen for trial in tried)
        trained += run.n_images
        seen += run.n_images if status.state == "completed" else done
        if len(records) > 1 or tried:
            rate_images += done
            rate_seconds += sum(record.get("total_seconds", 0.0) for record in records[1:])
            rate_seconds += sum(trial.seconds for trial in tried)
    left = (trained - seen) * rate_seconds / rate_images if rate_images else None
    order: tuple[DerivedState, ...] = ("running", "damaged", "lost", "failed", "stopped", "queued", "completed")
    state = next(state for state in order if state in states)
    if state != "running" and "queued" in states:
        state = "queued"
    if state == "queued" and "completed" in states:
        state = "running"  # between two runs
    return Progress(state=state, share=seen / trained if trained else float(state == "completed"),
                    n_done=states.count("completed"), n_runs=len(states), seconds_left=left,
                    message=messages[0] if messages else "")


def wait(folder: Path, seconds: float) -> bool:
    """Waits until no worker is at an experiment, at most so long; true if none is."""
    deadline = time.monotonic() + seconds
    while is_worker_alive(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _worker(folder: Path) -> int | None:
    """The pid that is written down as the worker's."""
    try:
        return directory.read_json(folder / filenames.WORKER).get("pid")
    except (FileNotFoundError, Damaged):
        return None


def _is_held(lock: Path) -> bool:
    """Whether a living process holds a lock; the system takes it from one that dies.

    Who only looks shares the lock with others who look. If each took it exclusively, two that look at once would mistake
    each other for the worker, and nobody would start one.
    """
    try:
        with lock.open("rb") as opened:
            try:
                import fcntl
            except ImportError:  # Windows
                return _is_taken(lock)
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:  # there is none; or of a folder that cannot be read: nobody here can tell
        return False


def _is_taken(lock: Path) -> bool:
    try:
        with FileLock(lock).acquire(timeout=1.0):
            return False
    except Timeout:
        return True


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / filenames.LOCK)
