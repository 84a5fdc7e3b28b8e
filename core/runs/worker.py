"""The process: an experiment's folder in, artefacts out.

Works through the queued runs. Objectives of one images-per-class and seed train in step, an epoch of each in turn, so
that their spaces form side by side. One experiment a device at a time: the others wait their turn.
"""

import argparse
import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import psutil
import torch
from filelock import FileLock, Timeout

from core.config import RunConfig
from core.data import pixels as pixel_store
from core.data import sources
from core.runs import directory, jobs, verdict
from core.runs.directory import RunStatus
from core.runs.execution import Stopped, Workplace, execute
from core.training import encoder
from core.wording import failure

log = logging.getLogger("duet")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `python -m core.runs.worker FOLDER --data DATA --device DEVICE`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_float32_matmul_precision("high")
    while True:
        work_through(options.folder, options.data, options.device)
        if jobs.leave(options.folder):
            return


def work_through(folder: Path, data: Path, device_name: str) -> None:
    """Runs everything queued in an experiment, then writes down what the finished runs allow one to say."""
    waiting = _queued(folder)
    try:
        device = resolve_device(device_name)
        with _turn(folder, device):
            waiting = _queued(folder)
            if not waiting:
                return
            place = _prepare(folder, data, device, folder / waiting[0].name)
            for _, group in groupby(waiting, key=lambda run: (run.images_per_class, run.seed)):
                _train_in_step(folder, list(group), place)
            directory.write_json(folder / "verdict.json", verdict.decide(folder))
    except Exception as error:  # what strikes all runs alike: device, data, encoder
        log.exception("could not go on")
        for run in waiting:
            if directory.read_status(folder / run.name).state in jobs.UNFINISHED:
                _fail(folder / run.name, error)


def resolve_device(name: str) -> torch.device:
    """The torch device of 'auto', 'cpu', 'cuda' or a CUDA device's number.

    Raises:
        ValueError: if this machine has no such device.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = {"auto": "0", "cuda": "0"}.get(name, name)
    if not index.isdigit() or int(index) >= n_devices:
        raise ValueError(f"device must be auto, cpu, cuda or the number of one of this machine's {n_devices} CUDA "
                         f"devices, got {name!r}")
    return torch.device("cuda", int(index))


@contextmanager
def _turn(folder: Path, device: torch.device) -> Iterator[None]:
    """Holds the device; while another experiment has it, runs stay queued and may still be stopped."""
    lock = FileLock(folder.parent / f".device-{str(device).replace(':', '-')}.lock")
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            if not _queued(folder):
                break
    try:
        yield
    finally:
        lock.release()


def _queued(folder: Path) -> list[RunConfig]:
    """Runs that wait to be worked on; one that was asked to stop meanwhile is marked stopped."""
    waiting = []
    for run in directory.read_config(folder).runs():
        if directory.read_status(folder / run.name).state == "queued":
            if jobs.is_stop_requested(folder / run.name):
                _say(folder / run.name, "stopped")
            else:
                waiting.append(run)
    return waiting


def _prepare(folder: Path, data: Path, device: torch.device, first: Path) -> Workplace:
    """Reads the manifest and the decoded images, and learns from the encoder what input it wants."""
    config = directory.read_config(folder)
    manifest = directory.read_manifest(folder)
    _say(first, "running", "building the encoder")
    _, data_config = encoder.build(config.encoder, seed=0)

    def progress(done: int, total: int) -> None:
        if done % 320 == 0 or done == total:
            _say(first, "running", f"decoding images, {done:,} of {total:,}")

    pixels = pixel_store.load(manifest, sources.open_source(config.dataset), data_config.storage_size, data / ".pixels",
                              progress)
    return Workplace(manifest, pixels, data_config, device)


def _train_in_step(folder: Path, group: list[RunConfig], place: Workplace) -> None:
    """Works on runs of one images-per-class and seed, an epoch of each in turn, until all have ended."""
    working: dict[Path, Iterator[None]] = {}
    for config in group:
        run = folder / config.name
        its_place = replace(place, manifest=directory.read_manifest(folder, config.split))
        working[run] = execute(run, config, its_place, should_stop=lambda run=run: jobs.is_stop_requested(run),
                               say=lambda phase, run=run: _say(run, "running", phase))
    while working:
        for run in list(working):
            with _logging_to(run / "worker.log"):
                if not _go_on(run, working[run]):
                    del working[run]


def _go_on(run: Path, work: Iterator[None]) -> bool:
    """One epoch more; false once the run has ended, whichever way."""
    try:
        next(work)
        return True
    except StopIteration:
        log.info("%s completed", run.name)
        _say(run, "completed")
    except Stopped:
        log.info("%s stopped on request", run.name)
        _say(run, "stopped")
    except Exception as error:
        log.exception("%s failed", run.name)
        _fail(run, error)
    (run / "stop").unlink(missing_ok=True)
    return False


def _say(run: Path, state: str, phase: str = "") -> None:
    me = psutil.Process()
    log.info("%s %s %s", run.name, state, phase)
    directory.write_status(run, RunStatus(state, phase=phase, pid=me.pid, pid_created=me.create_time()))


def _fail(run: Path, error: Exception) -> None:
    kind, advice = _diagnose(error)
    directory.write_status(run, RunStatus("failed", kind=kind, message=f"{failure(error)}{advice}"))


def _diagnose(error: Exception) -> tuple[str, str]:
    """Kind of a failure, and what to do where the error itself does not say so."""
    match error:
        case FloatingPointError():
            return "diverged", ""
        case torch.OutOfMemoryError() | MemoryError():
            return "memory", "; lower training.batch or encoder.image_size, then resume"
        case OSError() if error.errno == errno.ENOSPC or "space" in str(error):
            return "disk", "; free some space, then resume"
        case FileNotFoundError():
            return "data", "; put the file back, then resume"
        case ValueError() | ConnectionError():
            return "input", ""
    return "error", "; the log has the details"


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


if __name__ == "__main__":
    os.nice(5)  # the page stays quick while training takes every core
    main()
