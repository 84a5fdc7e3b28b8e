"""Processes that help: the same results in the same order, errors as they were raised, and nobody left behind."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.data import processes
from tests.conftest import PROJECT
from tests.waiting import DEADLINE


def squared(numbers: list[int]) -> list[int]:
    print("a line that is no answer")
    return [number * number for number in numbers]


def process_of(numbers: list[int]) -> int:
    time.sleep(0.05)
    return os.getpid()


def full_at_three(number: int) -> int:
    if number == 3:
        raise OSError(errno.ENOSPC, "No space left on device", "pixels.npy")
    return number


def dies_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "core.data.processes" in child.cmdline()]


@pytest.mark.parametrize("in_processes", [True, False])
def test_results_come_in_the_order_of_the_chunks(in_processes: bool) -> None:
    chunks = [[number, number + 1] for number in range(50)]
    assert list(processes.in_parallel(squared, chunks, in_processes)) == [squared(chunk) for chunk in chunks]
    assert list(processes.in_parallel(squared, [], in_processes)) == []


def test_every_core_has_a_process_of_its_own() -> None:
    found = set(processes.in_parallel(process_of, [[0]] * 20, in_processes=True))
    assert len(found) == min(os.cpu_count(), 20) and os.getpid() not in found
    assert set(processes.in_parallel(process_of, [[0]] * 2, in_processes=False)) == {os.getpid()}


def test_an_error_is_raised_as_it_was_with_where_it_came_from() -> None:
    results = processes.in_parallel(full_at_three, list(range(10)), in_processes=True)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="No space left") as caught:
        next(results)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "pixels.npy")
    assert "full_at_three" in "".join(caught.value.__notes__)
    assert not children()


def test_a_helper_that_is_killed_is_one_clear_line() -> None:
    with pytest.raises(ChildProcessError, match=r"must not end, it ended with code -9; if memory is short, free some"):
        list(processes.in_parallel(dies_at_three, list(range(10)), in_processes=True))
    assert not children()


def test_no_helper_is_left_when_who_asked_has_had_enough() -> None:
    results = processes.in_parallel(squared, [[number] for number in range(50)], in_processes=True)
    assert next(results) == [0]
    assert children()
    results.close()
    assert not children()


def test_no_helper_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    code = ("from core.data import processes\n"
            "from tests.process.test_processes import process_of\n"
            "for pid in processes.in_parallel(process_of, [[0]] * 1000, in_processes=True):\n"
            "    print(pid, flush=True)")
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        helper = psutil.Process(int(parent.stdout.readline()))
        assert helper.is_running()
        parent.kill()
        helper.wait(DEADLINE)


def test_a_part_at_which_helpers_die_is_lost_alone():
    """A decoder that ends its process takes no other file with it."""
    chunks = [[1, 2], [3, 7, 4], [7], [5]]
    found = list(processes.in_parallel(_dies_at_seven, chunks, in_processes=True, lost=lambda part: -part))
    assert found == [[1, 2], [3, -7, 4], [-7], [5]]


def _dies_at_seven(chunk: list[int]) -> list[int]:
    if 7 in chunk:
        os._exit(11)
    return chunk
