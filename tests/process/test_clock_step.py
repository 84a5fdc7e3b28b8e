"""A step of the clock makes no running experiment lost, and nothing deletes an experiment under a process that is at it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from core import files, identity
from core.experiments.handles import Experiment
from core.jobs import control, device_queue
from core.jobs.device_queue import Ticket
from tests.conftest import PROJECT, put_into

HOLDS = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("step", [-86_400.0, -2.0, 2.0, 86_400.0])
def test_after_a_step_of_the_clock_a_running_experiment_runs_and_keeps_its_turn(experiment: Path, step: float) -> None:
    put_into(experiment, "running")
    me = identity.of(os.getpid())
    moved = {**me, "pid_created": me["pid_created"] + step}  # the start as the clock before the step had it
    files.write_json(experiment / "worker.json", {**moved, "device": "cpu"})
    device_queue.enter(experiment.parent, Ticket(1, experiment.name, ("cpu",), **moved))
    device_queue.enter(experiment.parent, Ticket(2, "other", ("cpu",), **me))  # forgets those of the dead
    assert control.derived_status(Experiment(experiment).runs[3]).state == "running"
    assert device_queue.position(Experiment(experiment.with_name("other"))) == 1
    with pytest.raises(ValueError, match="must have no process at work on it, got 'tiny', which has one; stop it first"):
        control.delete(Experiment(experiment))
    assert (experiment / "experiment.json").is_file()
    assert control.resume(Experiment(experiment).runs, experiment.parent) == []


def test_the_same_pid_of_another_process_is_not_the_worker(experiment: Path) -> None:
    put_into(experiment, "running")
    another = {**identity.of(os.getpid()), "pid_started": "another boot/1"}
    files.write_json(experiment / "worker.json", {**another, "device": "cpu"})
    assert control.derived_status(Experiment(experiment).runs[3]).state == "lost"
    control.delete(Experiment(experiment))
    assert os.listdir(experiment.parent) == [".queue"]


def test_a_worker_that_nothing_on_disk_names_is_known_by_its_lock(experiment: Path) -> None:
    put_into(experiment, "lost")
    (experiment / "worker.json").write_text("")
    for name in (".worker.lock", ".series.lock"):
        with subprocess.Popen([sys.executable, "-c", HOLDS, str(experiment / name)], cwd=PROJECT, stdout=subprocess.PIPE,
                              text=True) as process:
            assert process.stdout.readline() == "held\n"
            if name == ".worker.lock":
                assert control.derived_status(Experiment(experiment).runs[3]).state == "running"
                assert not control.claim(Experiment(experiment), "cpu")
            with pytest.raises(ValueError, match="stop it first"):
                control.delete(Experiment(experiment))
            process.kill()
    assert control.derived_status(Experiment(experiment).runs[3]).state == "lost"
    control.delete(Experiment(experiment))
    assert not experiment.exists()


def test_a_worker_holds_its_lock_until_it_leaves(experiment: Path) -> None:
    assert control.claim(Experiment(experiment), "cpu")
    with pytest.raises(TimeoutError):
        FileLock(experiment / ".worker.lock").acquire(timeout=0)
    assert control.claim(Experiment(experiment), "cpu"), "the same process may claim again"
    assert control.leave(Experiment(experiment))
    with FileLock(experiment / ".worker.lock").acquire(timeout=0):
        pass


def test_who_looks_for_a_worker_is_not_taken_for_one(experiment: Path) -> None:
    put_into(experiment, "lost")
    lock = experiment / ".worker.lock"
    lock.touch()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            control.is_worker_alive(Experiment(experiment))

    lookers = [threading.Thread(target=look) for _ in range(4)]  # pages that ask again and again
    for looker in lookers:
        looker.start()
    seen = [control.is_worker_alive(Experiment(experiment)) for _ in range(2000)]
    done.set()
    for looker in lookers:
        looker.join()
    assert not any(seen)


def test_the_page_says_why_an_experiment_at_work_is_not_deleted(screen, experiment: Path) -> None:
    app = screen("start")
    with FileLock(experiment / ".worker.lock"):
        app.button(key="delete-tiny").click().run()
    assert "stop it first" in app.error[0].value
    assert experiment.exists()
