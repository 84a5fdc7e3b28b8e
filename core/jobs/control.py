"""Processes: start, stop, resume, and whether one is still alive. Starts the worker by name; never imports it.

A worker outlives the page, the server and the terminal that started it; it is found again by what lies on disk.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from core import files, identity
from core.config import ExperimentConfig
from core.errors import Damaged, InputError
from core.experiments import trials
from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus, State
from core.files import Json
from core.identity import is_alive
from core.jobs import device_queue, tasks
from core.jobs.device_queue import Ticket
from core.unchanged import Unchanged

UNFINISHED = (State.QUEUED, State.RUNNING)
RESUMABLE = (State.STOPPED, State.FAILED, State.LOST, State.DAMAGED)
_FIRST_TO_SHOW = (State.RUNNING, State.DAMAGED, State.LOST, State.FAILED, State.STOPPED, State.QUEUED, State.COMPLETED)
_GRACE = 10.0  # seconds in which whoever only looks whether a lock is free has let go of it again
_workers: Unchanged[Json] = Unchanged(5_000)
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

    state: State
    share: float
    n_done: int
    n_runs: int
    seconds_left: float | None
    message: str


def start(experiment: Experiment, data: Path, device: str = "auto", queue: bool = True) -> None:
    """Starts a worker for an experiment's queued runs, unless one is at it already.

    Args:
        experiment: which one.
        data: root of datasets and decoded images.
        device: 'auto', 'cpu', 'cuda' or the number of a CUDA device.
        queue: wait until the experiments that asked before are done with the device; else share it with them.
    """
    wanted = device_queue.devices(device, experiment.config.training.devices) if queue else ()
    arguments = [str(experiment.folder.resolve()), "--data", str(data.resolve()), "--device", device]
    with _lock(experiment):
        if is_worker_alive(experiment):
            return
        with device_queue.next_number(experiment.root) as number, experiment.worker_log.open("ab") as log:
            ticket = ["--ticket", str(number)] if queue else []
            process = tasks.start_module("core.jobs.worker", [*arguments, *ticket], log)
            device_queue.enter(experiment.root, Ticket(number, experiment.name, wanted, **process))
        files.write_json(experiment.worker_file, {**process, "device": device})


def claim(experiment: Experiment, device: str) -> bool:
    """Called by a worker when it begins: false if another is at the experiment; else it is known as its worker.

    Whoever started it may have died before writing that down.
    """
    with _lock(experiment):
        if _worker(experiment) != os.getpid() and is_worker_alive(experiment):
            return False
        if experiment.folder.resolve() not in _held:
            lock = FileLock(experiment.worker_lock)
            try:
                lock.acquire(timeout=_GRACE)
            except Timeout:
                return False
            _held[experiment.folder.resolve()] = lock
        files.write_json(experiment.worker_file, {**identity.of(os.getpid()), "device": device})
    files.sweep(experiment.folder, depth=2)
    return True


def leave(experiment: Experiment) -> bool:
    """Called by a worker with nothing left to do: true if it may end, false if runs were queued meanwhile."""
    with _lock(experiment):
        if has_queued(experiment):
            return False
        device_queue.leave(experiment)
        experiment.worker_file.unlink(missing_ok=True)
        if lock := _held.pop(experiment.folder.resolve(), None):
            lock.release()
        return True


@contextmanager
def at_rest(experiment: Experiment, what: str) -> Iterator[None]:
    """An experiment on which no process works, nor begins to before the block ends.

    Args:
        experiment: which one.
        what: is done in the block, for the refusal: 'its images can be moved'.

    Raises:
        InputError: if one is at work.
    """
    with _lock(experiment):
        if is_worker_alive(experiment) or _is_held(experiment.series_lock):
            raise InputError(f"{experiment.name!r} must have no worker before {what}, got one; stop it first")
        yield


def delete(experiment: Experiment) -> None:
    """Removes an experiment with all its runs, however damaged it is.

    Raises:
        InputError: if a process is at it, as the locks say that it holds.
        OSError: if it cannot be removed.
    """
    locks = [experiment.worker_lock, experiment.series_lock]
    if os.path.isdir(experiment.folder) and (is_worker_alive(experiment) or any(_is_held(lock) for lock in locks)):
        raise InputError(f"an experiment to delete must have no process at work on it, got {experiment.name!r}, which has "
                         "one; stop it first")
    device_queue.leave(experiment)
    experiment.delete()


def has_queued(experiment: Experiment) -> bool:
    """Whether a run of an experiment waits to be worked on."""
    return any(last_state(run) == State.QUEUED and not is_stop_requested(run) for run in experiment.runs)


def stop(runs: list[Run]) -> None:
    """Asks the worker to stop runs; those that no worker has begun are stopped at once."""
    for run in runs:
        state = derived_status(run).state
        if state in UNFINISHED:
            run.stop_file.touch()
        if state == State.QUEUED:
            run.write_status(RunStatus(State.STOPPED, message="stopped before it began"))


def resume(runs: list[Run], data: Path, device: str = "auto", queue: bool = True) -> list[Run]:
    """Queues stopped, failed, lost and damaged runs again and starts a worker; returns those that were queued.

    A run that is completed but whose results are damaged or gone counts as damaged: it makes them anew from its last
    checkpoint.
    """
    again = [run for run in runs if derived_status(run).state in RESUMABLE or has_damaged_results(run)]
    for run in again:
        run.restore()
        run.stop_file.unlink(missing_ok=True)
        run.write_status(RunStatus(State.QUEUED))
    for experiment in {run.experiment for run in again}:
        start(experiment, data, device, queue)
    return again


def has_damaged_results(run: Run) -> bool:
    """Whether what a completed run left behind cannot be read; reads all of it."""
    from core.results import examination

    return last_state(run) == State.COMPLETED and bool(examination.results(run))


def is_stop_requested(run: Run) -> bool:
    """Whether someone asked for this run to stop."""
    return run.stop_file.exists()


def is_worker_alive(experiment: Experiment) -> bool:
    """Whether a worker is at this experiment: the process that is written down lives, or one holds the worker's lock."""
    try:
        worker = _workers.read(experiment.worker_file, files.read_json)
        if is_alive(worker["pid"], worker["pid_created"], worker.get("pid_started", "")):
            return True
    except (FileNotFoundError, NotADirectoryError, Damaged, KeyError, TypeError, AttributeError):
        pass  # none is written down, or not so that anyone can tell: the lock can
    return _is_held(experiment.worker_lock)


def last_state(run: Run) -> State:
    """The state that a run's worker last wrote; 'damaged' if it cannot be read."""
    try:
        return run.status.state
    except Damaged:
        return State.DAMAGED


def derived_status(run: Run) -> RunStatus:
    """A run's status as it really is: 'lost' if it says running, or queued, and no worker lives; 'damaged' if its own files
    cannot be read, with what is wrong as the message."""
    try:
        status = run.status
        if status.state not in UNFINISHED or is_worker_alive(run.experiment):
            return status
        status = run.status  # again: it may have ended between the two looks
    except Damaged as error:
        return RunStatus(State.DAMAGED, message=f"{error.path.name} {error.what}")
    if status.state not in UNFINISHED:
        return status
    return replace(status, state=State.LOST, message="its process is gone; resume it from its last checkpoint, or delete it")


def progress(experiment: Experiment, config: ExperimentConfig | None = None) -> Progress:
    """Where an experiment stands, from what lies on disk; `config` is its own, if it was read before."""
    trained = seen = rate_images = rate_seconds = 0.0
    states: list[State] = []
    messages: list[str] = []
    for run in (config or experiment.config).runs():
        handle = experiment.run(run.name)
        status = derived_status(handle)
        states.append(status.state)
        if status.state in (State.FAILED, State.DAMAGED):
            messages.append(status.message if status.state == State.FAILED else f"{run.name}: {status.message}")
        if not run.is_trained:
            continue
        records = handle.records
        tried = trials.read(handle)
        done = (records[-1].get("images_seen", 0) if records else 0) + sum(trial.images_seen for trial in tried)
        trained += run.n_images
        seen += run.n_images if status.state == State.COMPLETED else done
        if len(records) > 1 or tried:
            rate_images += done
            rate_seconds += sum(record.get("total_seconds", 0.0) for record in records[1:])
            rate_seconds += sum(trial.seconds for trial in tried)
    left = (trained - seen) * rate_seconds / rate_images if rate_images else None
    state = next(state for state in _FIRST_TO_SHOW if state in states)
    if state != State.RUNNING and State.QUEUED in states:
        state = State.QUEUED
    if state == State.QUEUED and State.COMPLETED in states:
        state = State.RUNNING  # between two runs
    return Progress(state=state, share=seen / trained if trained else float(state == State.COMPLETED),
                    n_done=states.count(State.COMPLETED), n_runs=len(states), seconds_left=left,
                    message=messages[0] if messages else "")


def wait(experiment: Experiment, seconds: float) -> bool:
    """Waits until no worker is at an experiment, at most so long; true if none is."""
    deadline = time.monotonic() + seconds
    while is_worker_alive(experiment):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _worker(experiment: Experiment) -> int | None:
    """The pid that is written down as the worker's."""
    try:
        return _workers.read(experiment.worker_file, files.read_json).get("pid")
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


def _lock(experiment: Experiment) -> FileLock:
    return FileLock(experiment.start_lock)
