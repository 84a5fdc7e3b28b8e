"""The process that trains: an experiment's queued runs in, artefacts out.

Objectives of one images-per-class and seed train in step, an epoch of each in turn, so that their spaces form side by
side. Started by the worker, which has the device by then; ends when the worker does.
"""

import argparse
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from core import identity
from core.config import EncoderConfig, RunConfig
from core.data import pixels as pixel_store
from core.data.scan import Progress
from core.errors import DataError, InputError
from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus, State
from core.jobs import control, failures, relocation
from core.jobs.execution import execute
from core.jobs.workplace import Stopped, Workplace
from core.report import gathering
from core.results import result, verdict
from core.training import encoder
from core.training.device import resolve_device
from core.training.ranks import Ranks, joined, size_of_launch

log = logging.getLogger("duet")
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `python -m core.jobs.series FOLDER --data DATA --device DEVICE`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    take_part(lambda: Experiment(options.folder), options.data, options.device)


def take_part(experiment_of: Callable[[], Experiment], data: Path, device: str) -> Experiment:
    """Works through an experiment: alone, or under torch's launcher as one of the processes that share each batch.

    Args:
        experiment_of: returns the experiment; called by the first process alone.
        data: root of datasets and decoded images.
        device: as the worker's.

    Returns:
        The experiment.
    """
    torch.set_float32_matmul_precision("high")
    own = torch.device("cpu")
    with suppress(InputError):  # a device that is not there is said where the runs can be told
        own = own_device(device)
    with joined(own) as ranks:
        if not ranks.is_first:
            log.setLevel(logging.ERROR)  # what it would say, the first says
        experiment = ranks.decide(experiment_of)
        with FileLock(experiment.series_lock) if ranks.is_first else nullcontext():  # a killed worker's may be dying
            work_through(experiment, data, device, ranks)
    return experiment


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone, whichever way it went."""
    if sys.platform == "linux":  # at once, also in the middle of a library's call
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # nothing is ever written: it returns when the other end is gone
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def work_through(experiment: Experiment, data: Path, device: str, ranks: Ranks) -> None:
    """Runs everything queued in an experiment, then writes down what the finished runs allow one to say."""
    waiting = ranks.decide(_queued, experiment)
    try:
        ranks.decide(experiment.reserve)
        if waiting:
            workplaces = _prepare(experiment, data, device, ranks, waiting)
            for _, group in groupby(waiting, key=lambda run: (run.images_per_class, run.seed)):
                _train_in_step(experiment, list(group), workplaces, ranks)
        ranks.decide(_conclude, experiment)
    except Stopped:
        pass
    except Exception as error:  # what strikes all runs alike: device, data, encoder, a full disk
        _record(partial(_fail, experiment, waiting, error), error, experiment, ranks)


def _conclude(experiment: Experiment) -> None:
    """Writes the verdict where not every run is completed: else the last one to complete has."""
    if any(control.last_state(run) != State.COMPLETED for run in experiment.runs):
        _write_verdict(experiment)


def _fail(experiment: Experiment, waiting: list[RunConfig], error: Exception) -> None:
    log.error("could not go on", exc_info=error)
    for run in waiting:
        if control.last_state(experiment.run(run.name)) in control.UNFINISHED:
            failures.record(experiment.run(run.name), error, log)


def _record(write: Callable[[], None], error: Exception, experiment: Experiment, ranks: Ranks) -> None:
    """Has the first process write an error down. Where it is not every process's, the launch ends: the others may wait for a
    step that never comes. All begin anew then, with what else is queued."""
    if ranks.is_shared(error):
        ranks.decide(write)
        return
    if ranks.is_first:
        write()
        for run in experiment.runs:
            if control.last_state(run) == State.RUNNING:
                run.write_status(RunStatus(State.QUEUED))
    else:
        log.error("this process could not go on", exc_info=error)
        time.sleep(1)  # if the first has failed too, it has the time to say so
    os._exit(1)


def _queued(experiment: Experiment) -> list[RunConfig]:
    """Runs that wait to be worked on; one that was asked to stop meanwhile is marked stopped."""
    waiting = []
    for run in experiment.config.runs():
        if control.last_state(experiment.run(run.name)) == State.QUEUED:
            if control.is_stop_requested(experiment.run(run.name)):
                _say(experiment.run(run.name), State.STOPPED)
            else:
                waiting.append(run)
    return waiting


def _prepare(experiment: Experiment, data: Path, device: str, ranks: Ranks,
             waiting: list[RunConfig]) -> list[tuple[EncoderConfig, Workplace]]:
    """Reads the manifest, and for each encoder, which may want images of its own, what input it wants and the decoded images.
    Where a baseline's encoder cannot be built, its runs fail and the others go on.

    Raises:
        Stopped: if every waiting run was stopped meanwhile.
    """
    def say(phase: str) -> None:
        """Tells it of the first run that still waits; those asked to stop end here."""
        for run in (experiment.run(config.name) for config in waiting):
            if control.last_state(run) not in control.UNFINISHED:
                continue
            if not control.is_stop_requested(run):
                _say(run, State.RUNNING, phase)
                return
            _end(run, State.STOPPED)
        raise Stopped

    def progress(done: int, total: int) -> None:
        if done % 320 == 0 or done == total:
            say(f"decoding images, {done:,} of {total:,}")

    def load(progress: Progress | None = None) -> np.ndarray:
        try:
            source = relocation.open_images(experiment)
            return pixel_store.load(manifest, source, data_config.stored, data / ".pixels", progress)
        except InputError as error:
            raise DataError(str(error)) from error

    def decode() -> None:
        load(progress)

    own = ranks.together(own_device, device)
    manifest = ranks.together(experiment.manifest)
    workplaces: list[tuple[EncoderConfig, Workplace]] = []
    trained = ranks.together(lambda: experiment.config).encoder
    for number, config in enumerate(waiting):
        if config.encoder in (other.encoder for other in waiting[:number]):
            continue
        try:
            ranks.decide(say, "building the encoder")
            _, data_config = ranks.together(encoder.build, config.encoder, 0)
            ranks.decide(say, "opening the images")
            ranks.decide(decode)
            workplaces.append((config.encoder, Workplace(manifest, ranks.together(load), data_config, own, ranks)))
        except InputError as error:
            if config.encoder == trained or not ranks.is_shared(error):
                raise
            ranks.decide(_fail_all, [experiment.run(other.name) for other in waiting if other.encoder == config.encoder],
                         error)
    return workplaces


def own_device(name: str) -> torch.device:
    """This process's device: the one that was asked for, or of several that share a batch its own.

    Raises:
        InputError: as `resolve_device`.
    """
    device = resolve_device(name)
    if device.type == "cuda" and size_of_launch() > 1:
        device = resolve_device(str(device.index + int(os.environ["LOCAL_RANK"])))
    return device


def _train_in_step(experiment: Experiment, group: list[RunConfig], workplaces: list[tuple[EncoderConfig, Workplace]],
                   ranks: Ranks) -> None:
    """Works on runs of one images-per-class and seed, an epoch of each in turn, until all have ended."""
    configs = {experiment.run(config.name): config for config in group}
    working: dict[Run, Generator[None]] = {}
    stopped: set[Run] = set()  # while another was at work; the first process's alone

    def unfinished() -> list[Run]:
        return [run for run in configs if control.last_state(run) in control.UNFINISHED]

    def should_stop(run: Run) -> bool:
        """Asked by the run at work; the others, which are at rest, are stopped on the way. One that has scored epoch 0 alone
        scores it again when it is resumed."""
        for other in working:
            if other != run and other not in stopped and control.is_stop_requested(other):
                working[other].close()
                stopped.add(other)
                _end(other, State.STOPPED)
        return control.is_stop_requested(run)

    for run in ranks.decide(unfinished):
        manifest = ranks.together(experiment.manifest, configs[run].split, configs[run].repeat)
        workplace = next(place for known, place in workplaces if known == configs[run].encoder)
        working[run] = execute(run, configs[run], replace(workplace, manifest=manifest), should_stop=partial(should_stop, run),
                               say=partial(_say, run, State.RUNNING))
    while working:
        for run in list(working):
            if ranks.decide(stopped.__contains__, run):
                del working[run]
                continue
            with _logging_to(run.worker_log) if ranks.is_first else nullcontext():
                if not _go_on(run, working[run], ranks):
                    del working[run]


def _go_on(run: Run, work: Iterator[None], ranks: Ranks) -> bool:
    """One epoch more; false once the run has ended, whichever way."""
    try:
        try:
            next(work)
            return True
        except StopIteration:
            ranks.decide(_complete, run)
    except Stopped:
        ranks.decide(_end, run, State.STOPPED)
    except Exception as error:
        _record(partial(_fail_alone, run, error), error, run.experiment, ranks)
    return False


def _fail_alone(run: Run, error: Exception) -> None:
    failures.record(run, error, log)
    run.stop_file.unlink(missing_ok=True)


def _fail_all(runs: list[Run], error: Exception) -> None:
    for run in runs:
        _fail_alone(run, error)


def _complete(run: Run) -> None:
    if all(control.last_state(other) == State.COMPLETED for other in run.experiment.runs if other != run):
        _write_verdict(run.experiment)  # first: a completed experiment always has one
    _end(run, State.COMPLETED)


def _write_verdict(experiment: Experiment) -> None:
    try:
        conclusion = verdict.decide(experiment)
    except InputError as error:  # another run's files are damaged: no fault of the run that has just ended
        log.warning("no verdict: %s", error)
        return
    result.write(experiment, conclusion)
    try:
        gathering.write(experiment, experiment.report_file, found=conclusion)
    except (OSError, InputError) as error:  # nothing to compare yet, or images that have gone: the numbers stand without it
        log.warning("no report: %s", error)


def _say(run: Run, state: State, phase: str = "") -> None:
    log.info("%s %s %s", run.name, state, phase)
    run.write_status(RunStatus(state, phase=phase, **identity.of(os.getpid())))


def _end(run: Run, state: State) -> None:
    _say(run, state)
    run.stop_file.unlink(missing_ok=True)


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
    end_with_parent()
    main()
