"""Work in processes of its own: followed, refused, killed, cancelled, done once, and the same sentence for whoever asked."""

import os
import threading
from pathlib import Path

import psutil
import pytest

from core import files, identity, json_lines
from core.errors import InputError
from core.jobs import tasks
from core.jobs.tasks import Progress, Report, State, TaskFailed
from tests.waiting import until

WORKING = "tests.working"


def pid_of(folder: Path) -> int:
    return files.read_json(folder / tasks.PROCESS)["pid"]


def at(folder: Path, number: int) -> None:
    """Waits until a task that counts has come to a number."""
    until(lambda: (found := tasks.state(folder).progress) and found.done == number, seen=lambda: tasks.state(folder))


def start_held(folder: Path) -> None:
    """Starts a task that counts to 4 and waits at each number for its gate; waits until it has begun."""
    tasks.start(folder, WORKING, {"count": 4, "gates": str(folder)})
    at(folder, 0)


def test_progress_is_read_while_it_runs_and_every_line_of_it_is_heard_in_order(tmp_path: Path) -> None:
    start_held(tmp_path)
    assert tasks.state(tmp_path) == State(True, Progress(0, 4, "counting"))
    (tmp_path / "0").touch()
    at(tmp_path, 1)
    assert tasks.state(tmp_path).is_running and tasks.state(tmp_path).progress.share == 0.25
    heard: list[float] = []

    def hear(progress: Progress) -> None:
        heard.append(progress.done)
        (tmp_path / str(int(progress.done))).touch()

    assert tasks.wait(tmp_path, hear) == {"counted": 4}
    assert sorted(set(heard)) == [0, 1, 2, 3] and heard == sorted(heard)
    assert tasks.state(tmp_path) == State(False, Progress(3, 4, "counting"), {"counted": 4})


def test_a_half_written_line_is_not_read_and_spoils_nothing(tmp_path: Path) -> None:
    start_held(tmp_path)
    with (tmp_path / tasks.PROGRESS).open("ab") as file:
        file.write(b'{"done": 9, "of"')
    assert tasks.state(tmp_path) == State(True, Progress(0, 4, "counting"))
    for number in range(4):
        (tmp_path / str(number)).touch()
    assert tasks.wait(tmp_path) == {"counted": 4}
    assert [line["done"] for line in json_lines.read(tmp_path / tasks.PROGRESS).good[:-1]] == [0, 1, 2, 3]


@pytest.mark.parametrize(("ends", "sentence"), [("refused", r"count must be\nsmall, got much"),
                                                ("missing", "No such file or directory: {}/none")])
def test_what_it_refuses_is_raised_here_in_the_same_sentence(ends: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        tasks.run(WORKING, {"ends": ends, "gates": str(tmp_path)})
    assert str(caught.value) == sentence.format(tmp_path)
    tasks.start(tmp_path, WORKING, {"ends": ends, "gates": str(tmp_path)})
    with pytest.raises(InputError):
        tasks.wait(tmp_path)
    assert tasks.state(tmp_path) == State(False, refused=str(caught.value))


def test_a_fault_of_its_own_is_one_line_with_the_traceback_as_a_note() -> None:
    with pytest.raises(TaskFailed) as caught:
        tasks.run(WORKING, {"ends": "failed"})
    assert str(caught.value) == "ZeroDivisionError: no such number"
    assert "Traceback" in caught.value.__notes__[0] and "working.py" in caught.value.__notes__[0]


def test_what_cannot_even_be_imported_says_so() -> None:
    with pytest.raises(TaskFailed, match=r"No module named tests\.nowhere"):
        tasks.run("tests.nowhere", {})


def test_a_killed_process_is_a_failure_and_the_task_can_be_started_again(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match=r"^its process was ended$"):
        tasks.run(WORKING, {"ends": "killed"})
    start_held(tmp_path)
    psutil.Process(pid_of(tmp_path)).kill()
    until(lambda: not tasks.is_running(tmp_path))
    assert tasks.state(tmp_path) == State(False, Progress(0, 4, "counting"), failed="its process was ended")
    assert tasks.start(tmp_path, WORKING, {})
    assert tasks.wait(tmp_path) == {"counted": 0}
    assert tasks.state(tmp_path) == State(False, result={"counted": 0}), "nothing of the one before is left"


def test_a_cancelled_task_is_gone_and_forgotten_and_can_be_started_again(tmp_path: Path) -> None:
    start_held(tmp_path)
    process = psutil.Process(pid_of(tmp_path))
    tasks.cancel(tmp_path)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert tasks.state(tmp_path) == State(False)
    with pytest.raises(TaskFailed, match=r"^it was cancelled$"):
        tasks.wait(tmp_path)
    tasks.cancel(tmp_path)
    tasks.cancel(tmp_path / "never begun")
    assert tasks.start(tmp_path, WORKING, {})
    assert tasks.wait(tmp_path) == {"counted": 0}


def test_a_result_that_lies_there_is_not_made_again(tmp_path: Path) -> None:
    result = tmp_path / "result"
    result.touch()
    assert not tasks.start(tmp_path / "task", WORKING, {}, result)
    assert tasks.state(tmp_path / "task") == State(False)
    result.unlink()
    assert tasks.start(tmp_path / "task", WORKING, {}, result)
    tasks.wait(tmp_path / "task")


def test_many_who_start_at_once_start_one_process(tmp_path: Path) -> None:
    together, started = threading.Barrier(8), []

    def begin() -> None:
        together.wait()
        started.append(tasks.start(tmp_path, WORKING, {"count": 1, "gates": str(tmp_path)}))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(started) == [False] * 7 + [True]
    at(tmp_path, 0)
    mine = [process.pid for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in (process.info["cmdline"] or [])]
    assert mine == [pid_of(tmp_path)]
    tasks.cancel(tmp_path)


def test_a_wait_that_is_broken_off_ends_what_runs_for_it_alone(tmp_path: Path) -> None:
    def hear(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tasks.run(WORKING, {"count": 1, "gates": str(tmp_path)}, hear)
    assert not [process for process in psutil.Process().children() if str(tmp_path) in " ".join(process.cmdline())]


def test_a_task_ends_with_its_owner(tmp_path: Path) -> None:
    gone = {**identity.of(os.getpid()), "pid_started": "another boot/1"}  # another process had this pid
    tasks.start(tmp_path, WORKING, {"count": 1, "gates": str(tmp_path)}, owner=gone)
    until(lambda: not tasks.is_running(tmp_path), seen=lambda: tasks.state(tmp_path))


def test_a_process_that_was_not_written_down_well_is_none(tmp_path: Path) -> None:
    for content in ("", "{}", "[]"):
        (tmp_path / tasks.PROCESS).write_text(content)
        assert tasks.state(tmp_path) == State(False)
    tasks.cancel(tmp_path)


def test_a_report_says_each_text_and_each_whole_percent_once(tmp_path: Path) -> None:
    report = Report(tmp_path / tasks.PROGRESS)
    for done in range(1001):
        report(done, 1000, "a")
    report(1000, 1000, "b")
    for done in range(0, 3 << 20, 1 << 16):
        report(done, 0, "c")
    lines = json_lines.read(tmp_path / tasks.PROGRESS).good
    assert [line["text"] for line in lines] == ["a"] * 101 + ["b"] + ["c"] * 3
    assert [line["done"] for line in lines[:3]] == [0, 10, 20]


def test_a_key_heeds_everything_and_no_order_of_names() -> None:
    assert tasks.key(1, {"a": 1, "b": 2}) == tasks.key(1, {"b": 2, "a": 1})
    assert len({tasks.key(1), tasks.key(2), tasks.key(1, 1), tasks.key([1]), tasks.key("1")}) == 5
