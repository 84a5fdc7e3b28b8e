"""One experiment a device at a time, in the order of asking; whoever dies gives up its place."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from core import files
from core.experiments import store
from core.experiments.handles import Experiment, Run
from core.jobs import control, device_queue
from core.jobs.device_queue import Ticket
from tests.conftest import PROJECT
from tests.lasting import Hold, lasting
from tests.waiting import DEADLINE, until

CPU = ("cpu",)


@pytest.fixture
def living() -> Iterator[Callable[[], psutil.Process]]:
    """Starts processes that do nothing, to own tickets; ends them after the test."""
    started: list[subprocess.Popen] = []

    def start() -> psutil.Process:
        started.append(subprocess.Popen(["sleep", "infinity"]))
        return psutil.Process(started[-1].pid)

    yield start
    for process in started:
        process.kill()
        process.wait()


def ask(folder: Path, process: psutil.Process, devices: tuple[str, ...] = CPU) -> None:
    """Queues an experiment for a process."""
    with device_queue.next_number(folder.parent) as number:
        device_queue.enter(folder.parent, Ticket(number, folder.name, devices, process.pid, process.create_time()))


def never() -> bool:
    return False


@pytest.mark.parametrize("name, n_devices, expected", [
    ("cpu", 1, CPU), ("cpu", 4, CPU), ("cuda", 1, ("cuda-0",)), ("3", 1, ("cuda-3",)), ("1", 2, ("cuda-1", "cuda-2"))])
def test_devices_are_known_without_torch(name: str, n_devices: int, expected: tuple[str, ...]) -> None:
    assert device_queue.devices(name, n_devices) == expected


def test_auto_is_the_first_gpu_or_the_cpu() -> None:
    has_gpu = os.path.exists("/dev/nvidia0") or os.path.exists("/dev/dxg")
    assert device_queue.devices("auto") == (("cuda-0",) if has_gpu else ("cpu",))


def test_positions_follow_the_order_of_asking_and_close_up_when_one_dies(tmp_path: Path, living) -> None:
    folders = [tmp_path / name for name in ("c", "a", "b")]  # not the order of their names
    owners = [living() for _ in folders]
    for folder, owner in zip(folders, owners):
        ask(folder, owner)
    assert [device_queue.position(Experiment(folder)) for folder in folders] == [None, 1, 2]
    assert device_queue.position(Experiment(tmp_path / "unknown")) is None
    owners[0].kill()
    owners[0].wait()
    assert [device_queue.position(Experiment(folder)) for folder in folders] == [None, None, 1]
    device_queue.leave(Experiment(folders[1]))
    assert [device_queue.position(Experiment(folder)) for folder in folders] == [None, None, None]


def test_who_asks_again_goes_to_the_end(tmp_path: Path, living) -> None:
    for name in ("a", "b", "a"):
        ask(tmp_path / name, living())
    assert [device_queue.position(Experiment(tmp_path / name)) for name in ("a", "b")] == [1, None]


def test_different_devices_do_not_wait_for_each_other_and_several_wait_for_each(tmp_path: Path, living) -> None:
    wanted = {"a": CPU, "b": ("cuda-0",), "c": ("cuda-1",), "d": ("cuda-0", "cuda-1")}
    for name, devices in wanted.items():
        ask(tmp_path / name, living(), devices)
    assert [device_queue.position(Experiment(tmp_path / name)) for name in wanted] == [None, None, None, 2]


def test_a_folder_is_used_while_a_process_waits_works_or_shares(tmp_path: Path, living) -> None:
    assert not device_queue.is_used(tmp_path), "no experiment was ever queued"
    for number, wanted in enumerate([CPU, ()]):
        owner = living()
        ask(tmp_path / f"experiment-{number}", owner, wanted)
        assert device_queue.is_used(tmp_path)
        owner.kill()
        owner.wait()
        assert not device_queue.is_used(tmp_path), "its process is gone"


def test_a_reused_pid_is_nobody(tmp_path: Path, living) -> None:
    process = living()
    device_queue.enter(tmp_path, Ticket(1, "old", CPU, process.pid, process.create_time() - 5))
    ask(tmp_path / "new", living())
    assert device_queue.position(Experiment(tmp_path / "new")) is None


def test_a_turn_is_given_up_on_request(tmp_path: Path, living) -> None:
    ask(tmp_path / "first", living())
    ask(tmp_path / "mine", psutil.Process())
    with device_queue.turn(Experiment(tmp_path / "mine"), CPU, give_up=lambda: True) as is_mine:
        assert not is_mine


def test_a_held_device_is_waited_for_even_without_a_ticket(tmp_path: Path) -> None:
    with device_queue.turn(Experiment(tmp_path / "a"), CPU, never) as is_mine:
        assert is_mine
        with device_queue.turn(Experiment(tmp_path / "b"), CPU, give_up=lambda: True) as is_its:
            assert not is_its
        with device_queue.turn(Experiment(tmp_path / "b"), ("cuda-0", "cpu"), give_up=lambda: True) as is_its:
            assert not is_its
        with device_queue.turn(Experiment(tmp_path / "b"), ("cuda-0",), never) as is_its:
            assert is_its, "what was given up holds nothing"
    with device_queue.turn(Experiment(tmp_path / "b"), CPU, give_up=lambda: True) as is_its:
        assert is_its


def test_numbers_rise_even_if_the_clock_was_set_back(tmp_path: Path, living) -> None:
    process = living()
    future = time.time_ns() + 10**15
    device_queue.enter(tmp_path, Ticket(future, "a", CPU, process.pid, process.create_time()))
    with device_queue.next_number(tmp_path) as number:
        assert number == future + 1


CROWD = """
import json, os, sys, time
from pathlib import Path
import psutil
from core.experiments.handles import Experiment
from core.jobs import device_queue
from core.jobs.device_queue import Ticket
folder = Path(sys.argv[1])
me = psutil.Process()
with device_queue.next_number(folder.parent) as number:
    device_queue.enter(folder.parent, Ticket(number, folder.name, ("cpu",), me.pid, me.create_time()))
with device_queue.turn(Experiment(folder), ("cpu",), lambda: False):
    begun = time.time_ns()
    time.sleep(0.05)
    if folder.name == "crowd-3":
        os.kill(os.getpid(), 9)
    with (folder.parent / "log").open("a") as log:
        log.write(json.dumps([number, begun, time.time_ns()]) + chr(10))
device_queue.leave(Experiment(folder))
"""


def test_a_crowd_goes_one_by_one_in_order_though_one_dies_at_work(tmp_path: Path) -> None:
    crowd = [subprocess.Popen([sys.executable, "-c", CROWD, str(tmp_path / f"crowd-{number}")], cwd=PROJECT)
             for number in range(8)]
    assert sorted(process.wait(timeout=DEADLINE) for process in crowd) == [-signal.SIGKILL] + [0] * 7
    turns = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert len(turns) == 7
    assert [number for number, _, _ in turns] == sorted(number for number, _, _ in turns)
    assert all(ended <= begun for (_, _, ended), (_, begun, _) in pairwise(turns))


def test_waiting_loads_nothing_heavy() -> None:
    code = "import sys, core.jobs.worker; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    loaded = result.stdout.split()
    assert "core.jobs.device_queue" in loaded
    assert not {"torch", "timm", "numpy", "pyarrow", "sklearn", "pandas"} & set(loaded)


STARTER = """
import sys
from pathlib import Path
from tests.lasting import Hold, lasting
for name in sys.argv[2:]:
    lasting(Path(sys.argv[1]), name=name, objectives=["classification"], budget={"images": 160, "epochs": 2})
    print(name, flush=True)
"""


def test_eight_experiments_of_two_killed_starters_run_one_by_one_in_order(tmp_path: Path) -> None:
    names = [[f"{starter}{number}" for number in range(4)] for starter in "ab"]
    starters = [subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path), *each], cwd=PROJECT) for each in names]
    folders = [tmp_path / "checkpoints" / name for each in names for name in each]
    until(lambda: all((folder / "worker.json").is_file() for folder in folders), poll=0.002)
    for starter in starters:
        starter.kill()
        starter.wait()
    tickets = {path.stem: json.loads(path.read_text())["number"] for path in (tmp_path / "checkpoints/.queue").glob("*.json")}
    order = sorted(tickets, key=tickets.get)
    assert len(order) == 8
    waiting = [device_queue.position(Experiment(tmp_path / "checkpoints" / name)) for name in order]
    assert waiting == [None, *range(1, 8)]
    assert all(psutil.Process(files.read_json(tmp_path / "checkpoints" / name / "worker.json")["pid"]).memory_info().rss
               < 80e6 for name in order[1:]), "waiting must be cheap"

    at_work: list[str] = []

    def is_over() -> bool:
        now = [folder.name for folder in folders
               if any(run.status.state == "running" for run in Experiment(folder).runs)]
        assert len(now) <= 1, f"at work at once: {now}"
        at_work.extend(name for name in now if name not in at_work[-1:])
        return not any(control.is_worker_alive(Experiment(folder)) for folder in folders)

    until(is_over, seen=lambda: at_work)
    assert at_work == order, "each once, none twice, none lost"
    for folder in folders:
        assert {run.status.state for run in Experiment(folder).runs} == {"completed"}
        assert [record["epoch"] for record in Run(folder / "classification-15-seed0").records] == [0, 1, 2]
        assert (folder / "worker.log").read_text().count("classification-15-seed0 completed") == 1


def test_without_the_queue_nobody_is_waited_for(tmp_path: Path, hold: Hold) -> None:
    hold.at_phase("training", "classification")
    first = lasting(tmp_path)
    trainer = hold.wait(first)
    second = store.create(Experiment(first).config.model_copy(update={"name": "second"}),
                              Experiment(first).manifest(), first.parent).folder
    control.start(Experiment(second), tmp_path / "data", "cpu", queue=False)
    assert device_queue.position(Experiment(second)) is None
    (first.parent / ".queue" / "second.json").unlink()  # as if whoever started it had died before writing it
    until(lambda: (first.parent / ".queue" / "second.json").exists())
    until(lambda: Run(second / "classification-15-seed0").records)
    assert any(run.status.state == "running" for run in Experiment(first).runs)
    trainer.resume()
    for folder in (first, second):
        control.stop(Experiment(folder).runs)
        assert control.wait(Experiment(folder), DEADLINE)
    until(lambda: not device_queue.is_used(first.parent))
