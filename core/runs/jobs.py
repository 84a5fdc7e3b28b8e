"""Processes: start, stop, resume, and whether one is still alive. Starts the worker by name; never imports it.

A worker outlives the page, the server and the terminal that started it; it is found again by what lies on disk.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import psutil
from filelock import FileLock

from core.config import EncoderConfig
from core.runs import device_queue, directory, trials
from core.runs.device_queue import Ticket, is_alive
from core.runs.directory import RunStatus

DerivedState = Literal["queued", "running", "completed", "failed", "stopped", "lost"]
PROJECT = Path(__file__).resolve().parents[2]
UNFINISHED = ("queued", "running")
RESUMABLE = ("stopped", "failed", "lost")

# Freed memory is kept: with glibc's defaults page faults take much of a CPU step. NumPy's own threads are held to one:
# beside torch's they cost the demo a third of its time (43 s against 30 s on two cores).
ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_MMAP_THRESHOLD_": "4294967296",
               "MALLOC_TOP_PAD_": "268435456", "OPENBLAS_NUM_THREADS": "1"}


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
                (folder / "worker.log").open("ab") as log:
            process = start_module("core.runs.worker", [*arguments, *(["--ticket", str(number)] if queue else [])], log)
            if queue:
                device_queue.enter(folder.parent, Ticket(number, folder.name, wanted, **process))
        directory.write_json(folder / "worker.json", {**process, "device": device})


def start_module(module: str, arguments: list[str], log: BinaryIO) -> dict[str, float]:
    """Starts `python -m module` as a process that outlives this one; returns its 'pid' and 'pid_created'."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log,
                               stderr=log, start_new_session=True, env={**os.environ, **ENVIRONMENT})
    threading.Thread(target=process.wait, daemon=True).start()  # takes leave of it when it ends, so that no zombie stays
    return {"pid": process.pid, "pid_created": psutil.Process(process.pid).create_time()}


def claim(folder: Path, device: str) -> bool:
    """Called by a worker when it begins: false if another is at the experiment; else it is known as its worker.

    Whoever started it may have died before writing that down.
    """
    me = psutil.Process()
    with _lock(folder):
        if is_worker_alive(folder) and directory.read_json(folder / "worker.json")["pid"] != me.pid:
            return False
        directory.write_json(folder / "worker.json", {"pid": me.pid, "pid_created": me.create_time(), "device": device})
        return True


def leave(folder: Path) -> bool:
    """Called by a worker with nothing left to do: true if it may end, false if runs were queued meanwhile."""
    with _lock(folder):
        if has_queued(folder):
            return False
        device_queue.leave(folder)
        (folder / "worker.json").unlink(missing_ok=True)
        return True


def has_queued(folder: Path) -> bool:
    """Whether a run of an experiment waits to be worked on."""
    return any(directory.read_status(run).state == "queued" and not is_stop_requested(run) for run in directory.runs(folder))


def stop(runs: list[Path]) -> None:
    """Asks the worker to stop runs; those that no worker has begun are stopped at once."""
    for run in runs:
        state = derived_status(run).state
        if state in UNFINISHED:
            (run / "stop").touch()
        if state == "queued":
            directory.write_status(run, RunStatus("stopped", message="stopped before it began"))


def resume(runs: list[Path], data: Path, device: str = "auto", queue: bool = True) -> list[Path]:
    """Queues stopped, failed and lost runs again and starts a worker; returns those that were queued."""
    again = [run for run in runs if derived_status(run).state in RESUMABLE]
    for run in again:
        (run / "stop").unlink(missing_ok=True)
        directory.write_status(run, RunStatus("queued"))
    for folder in {run.parent for run in again}:
        start(folder, data, device, queue)
    return again


def is_stop_requested(run: Path) -> bool:
    """Whether someone asked for this run to stop."""
    return (run / "stop").exists()


def is_worker_alive(folder: Path) -> bool:
    """Whether a worker is at this experiment."""
    try:
        worker = directory.read_json(folder / "worker.json")
    except FileNotFoundError:
        return False
    return is_alive(worker["pid"], worker["pid_created"])


def derived_status(run: Path) -> RunStatus:
    """A run's status as it really is: 'lost' if it says running, or queued, and no worker lives."""
    status = directory.read_status(run)
    if status.state not in UNFINISHED or is_worker_alive(run.parent):
        return status
    status = directory.read_status(run)  # again: it may have ended between the two looks
    if status.state not in UNFINISHED:
        return status
    return replace(status, state="lost", message="its process is gone; resume it from its last checkpoint, or delete it")


def progress(folder: Path) -> Progress:
    """Where an experiment stands, from what lies on disk."""
    trained = seen = rate_images = rate_seconds = 0.0
    states: list[str] = []
    messages: list[str] = []
    for run in directory.read_config(folder).runs():
        status = derived_status(folder / run.name)
        states.append(status.state)
        if status.state == "failed":
            messages.append(status.message)
        if not run.is_trained:
            continue
        records = directory.read_records(folder / run.name)
        tried = trials.read(folder / run.name)
        done = (records[-1]["images_seen"] if records else 0) + sum(trial.images_seen for trial in tried)
        trained += run.n_images
        seen += run.n_images if status.state == "completed" else done
        if len(records) > 1 or tried:
            rate_images += done
            rate_seconds += sum(record["total_seconds"] for record in records[1:]) + sum(trial.seconds for trial in tried)
    left = (trained - seen) * rate_seconds / rate_images if rate_images else None
    order: tuple[DerivedState, ...] = ("running", "lost", "failed", "stopped", "queued", "completed")
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


def check_encoder(config: EncoderConfig) -> None:
    """Builds the encoder in a process of its own, so that the caller need not load torch.

    Nothing to check, and no process, for random weights without options: the name was checked with the config.

    Raises:
        ValueError: what the encoder's own check said.
    """
    if config.weights == "random" and not config.options:
        return
    _ask("from core.config import EncoderConfig; from core.training import encoder; "
         "encoder.feature_width(*encoder.build(EncoderConfig.model_validate(json.loads(sys.argv[1])), seed=0))",
         json.dumps(config.model_dump(mode="json")))


def check_device(name: str) -> None:
    """Refuses a device this machine lacks before anything is created.

    Raises:
        ValueError: with the worker's own sentence.
    """
    if name in ("auto", "cpu"):
        return
    if name != "cuda" and not name.isdigit():
        raise ValueError(f"device must be auto, cpu, cuda or the number of a CUDA device, got {name!r}")
    _ask("from core.runs.worker import resolve_device; resolve_device(sys.argv[1])", name)


def kill(pid: int, pid_created: float) -> None:
    """Ends a process that may be ended at any moment, such as a layout's."""
    if is_alive(pid, pid_created):
        os.kill(pid, signal.SIGTERM)


def _ask(question: str, argument: str) -> None:
    """Runs a line of Python that may load torch in a process of its own; what it refuses is raised here."""
    code = (f"import json, sys\ntry:\n    {question}\n"
            "except (ValueError, OSError) as error:\n    print('refused:', error)\n    sys.exit(2)")
    result = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": str(PROJECT)})
    if result.returncode == 2 and "refused: " in result.stdout:
        raise ValueError(result.stdout.rpartition("refused: ")[2].strip())
    if result.returncode:
        raise ValueError(f"could not be checked: {' '.join(result.stderr.strip().splitlines()[-1:])}")


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / ".lock")
