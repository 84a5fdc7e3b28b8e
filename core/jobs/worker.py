"""The process that an experiment is given to: waits its turn, then watches over the one that trains.

Loads nothing heavy, so that a long queue costs little. What trains is a process of its own (`series`): one that does not
come to an end when asked to, say in a library's long call, is killed, and goes on another day from its last checkpoint.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from core import identity
from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus, State
from core.jobs import control, device_queue, failures
from core.jobs.device_queue import Ticket
from core.jobs.failures import ProcessEnded

log = logging.getLogger("duet")
PATIENCE = 7.0  # seconds a run may take to stop by itself: ten are promised
_POLL = 0.2  # seconds between two looks at what was asked


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `python -m core.jobs.worker FOLDER --data DATA --device DEVICE [--ticket NUMBER]`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--ticket", type=int, help="place in the queue; without one, nobody is waited for")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    experiment = Experiment(options.folder)
    if not control.claim(experiment, options.device):
        return
    ticket = options.ticket
    while True:
        _work(experiment, options.data, options.device, ticket)
        if control.leave(experiment):
            return
        if ticket is not None:  # what was queued meanwhile waits like anyone else
            with device_queue.next_number(experiment.root) as ticket:
                _enter(experiment, device_queue.devices(options.device, experiment.config.training.devices), ticket)


def _work(experiment: Experiment, data: Path, device: str, ticket: int | None) -> None:
    """Waits for the device and has everything worked on that is queued by then."""
    if ticket is None:
        _enter(experiment, (), time.time_ns())
        _watch_over(experiment, data, device)
        return
    wanted = device_queue.devices(device, experiment.config.training.devices)
    _enter(experiment, wanted, ticket)
    with device_queue.turn(experiment, wanted, give_up=lambda: not control.has_queued(experiment)) as is_mine:
        if is_mine and control.has_queued(experiment):
            _watch_over(experiment, data, device)


def _enter(experiment: Experiment, wanted: tuple[str, ...], number: int) -> None:
    """Makes sure of the ticket: whoever started this process may have died before writing it."""
    device_queue.enter(experiment.root, Ticket(number, experiment.name, wanted, **identity.of(os.getpid())))


def _watch_over(experiment: Experiment, data: Path, device: str) -> None:
    """Has the queued runs worked on by a process; ends it where a stop takes too long, and starts another for the rest."""
    runs = experiment.runs
    while True:
        before = _unfinished(runs)
        process = subprocess.Popen([sys.executable, *_launcher(experiment), "-m", "core.jobs.series",
                                    str(experiment.folder), "--data", str(data), "--device", device],
                                   stdin=subprocess.PIPE)  # closes when this process ends
        requested_at: dict[Run, float] = {}
        while process.poll() is None:
            time.sleep(_POLL)
            if _is_overdue(runs, requested_at):
                log.warning("asked to stop %.0f s ago and still at work: ended; it resumes from its last checkpoint", PATIENCE)
                _kill(process.pid)
        if process.wait() == 0:
            return
        _clear_up(runs, None if requested_at else ProcessEnded(process.returncode), has_begun=not before <= _unfinished(runs))
        if not control.has_queued(experiment):
            return


def _launcher(experiment: Experiment) -> list[str]:
    """torch's own, where several devices share each batch."""
    n_devices = experiment.config.training.devices
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_devices}"] if n_devices > 1 else []


def _is_overdue(runs: list[Run], requested_at: dict[Run, float]) -> bool:
    """Whether a run works on although it was asked to stop long ago; `requested_at` holds since when, for each."""
    now = time.monotonic()
    for run in runs:
        if control.is_stop_requested(run) and control.last_state(run) == State.RUNNING:
            requested_at.setdefault(run, now)
        else:
            requested_at.pop(run, None)
    return any(now - since > PATIENCE for since in requested_at.values())


def _kill(pid: int) -> None:
    """Ends a process and those it has started; any of them may have ended by itself meanwhile."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def _unfinished(runs: list[Run]) -> set[Run]:
    return {run for run in runs if control.last_state(run) in control.UNFINISHED}


def _clear_up(runs: list[Run], error: ProcessEnded | None, has_begun: bool) -> None:
    """Says of each run how the process that is gone left it.

    Args:
        runs: of the experiment.
        error: how the process ended; None if it was ended for the sake of a stop.
        has_begun: whether it has brought a run to its end.
    """
    running = [run for run in runs if control.last_state(run) == State.RUNNING]
    if error and not running and not has_begun:  # so would the next
        running = [run for run in runs if control.last_state(run) == State.QUEUED]
    for run in running:
        if control.is_stop_requested(run):
            run.write_status(RunStatus(State.STOPPED))
            run.stop_file.unlink(missing_ok=True)
        elif error:
            failures.record(run, error, log)
        else:
            run.write_status(RunStatus(State.QUEUED))


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(5)  # the page stays quick while training takes every core
    main()
