"""Whatever interrupts a run — a stop, a kill, a full disk, a changed file — it goes on to the very numbers of one that
was never interrupted. With the real worker process; kills in bulk in forks of the process that trains."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from core.runs import directory, jobs, planning
from core.training import checkpoint
from tests.conftest import run_experiment, tiny
from tests.lasting import CONFIG, PHASES, assert_same_numbers, lasting, phase, resume_and_finish, until

STOP_SECONDS = 10
SEED = 20_261_124  # of the random moments


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment of `lasting`, never interrupted."""
    return run_experiment(tiny(**CONFIG), tmp_path_factory.mktemp("whole"))


def processes_of(folder: Path) -> list[psutil.Process]:
    """Living processes that were given an experiment's folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if str(folder) in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def trainer_of(folder: Path) -> psutil.Process:
    """The process that trains."""
    return next(process for process in processes_of(folder) if "core.runs.series" in process.cmdline())


def test_killed_at_twenty_moments_it_ends_like_an_uninterrupted_run(whole: Path, tmp_path: Path) -> None:
    checked = planning.plan(tiny(**CONFIG))
    folder = directory.create(checked.config, checked.manifest, tmp_path / "checkpoints")
    with (tmp_path / "out").open("wb") as out:
        process = jobs.start_module("tests.killing", [str(folder), str(tmp_path / "data"), str(SEED)], out)
    until(lambda: not jobs.is_alive(process["pid"], process["pid_created"]), 240, poll=0.2)
    printed = (tmp_path / "out").read_text()
    kills = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert len(kills) >= 20, printed[-3000:]
    hit = {shown.split(",")[0].split(" ")[0] for kill in kills for shown in kill["phases"] if shown}
    assert {"training", "scoring", "embedding", "laying"} <= hit, kills
    assert_same_numbers(folder, whole)


def test_a_killed_worker_takes_its_trainer_along_is_lost_and_resumes_exactly(whole: Path, tmp_path: Path) -> None:
    folder = lasting(tmp_path)
    run = folder / "classification-15-seed0"
    until(lambda: len(directory.read_records(run)) >= 4)
    os.kill(directory.read_json(folder / "worker.json")["pid"], signal.SIGKILL)
    until(lambda: not processes_of(folder), 5)
    status = jobs.derived_status(run)
    assert status.state == "lost"
    assert "resume it" in status.message and "delete it" in status.message
    assert jobs.progress(folder).state == "lost"
    resume_and_finish(folder, tmp_path / "data")
    assert_same_numbers(folder, whole)


def test_a_trainer_killed_for_want_of_memory_fails_in_one_line_and_resumes_exactly(whole: Path, tmp_path: Path) -> None:
    folder = lasting(tmp_path)
    run = folder / "supcon-15-seed0"
    until(lambda: len(directory.read_records(run)) >= 3)
    trainer_of(folder).kill()  # as the kernel does when memory runs out
    assert jobs.wait(folder, STOP_SECONDS)
    status = jobs.derived_status(run)
    assert (status.state, status.kind) == ("failed", "memory")
    assert "SIGKILL" in status.message and "\n" not in status.message
    resume_and_finish(folder, tmp_path / "data")
    assert_same_numbers(folder, whole)


def test_a_stop_in_each_phase_ends_within_ten_seconds_and_changes_no_number(whole: Path, tmp_path: Path) -> None:
    """One experiment, stopped and resumed in one phase after the other."""
    folder = lasting(tmp_path)
    first, last = folder / "untrained-15-seed0", folder / "supcon-15-seed0"
    for name, run in (("building", first), ("opening", first), ("training", last), ("validation", last), ("embedding", last),
                      ("test", last)):
        until(lambda name=name, run=run: phase(run).startswith(PHASES[name]), poll=0.001)
        stop_in_time(folder)
        jobs.resume(directory.runs(folder), tmp_path / "data", "cpu")
    assert jobs.wait(folder, 120)
    assert_same_numbers(folder, whole)


def test_a_stop_while_decoding_leaves_no_half_decoded_images(tmp_path: Path, many_images: Path) -> None:
    folder = lasting(tmp_path, dataset={"source": "folder", "root": str(many_images)}, encoder={
        "name": "test_resnet", "image_size": 224}, training={"batch": {"classes": 2, "samples": 4}},
        budget={"images": 16, "epochs": 1}, objectives=["classification"])
    until(lambda: phase(folder / "untrained-15-seed0").startswith(PHASES["decoding"]), poll=0.001)
    stop_in_time(folder)
    assert not list((tmp_path / "data" / ".pixels").glob("*.npy")), "it must have stopped in the middle"
    assert not list((tmp_path / "data" / ".pixels").glob("*.tmp"))
    resume_and_finish(folder, tmp_path / "data")


def test_a_stop_during_a_layout_that_cannot_be_interrupted(tmp_path: Path) -> None:
    """UMAP compiles and lays out in one call of many seconds: the process is ended, the run stopped all the same."""
    short = {"seeds": [0], "objectives": ["supcon"], "budget": {"images": 640, "epochs": 2}}
    evaluation = {"kmeans_seeds": 2, "bootstrap": 200, "probe": 60, "projection": "umap"}
    folder = lasting(tmp_path, **short, evaluation=evaluation)
    until(lambda: phase(folder / "untrained-15-seed0").startswith(PHASES["layout"]), poll=0.001)
    stop_in_time(folder)
    resume_and_finish(folder, tmp_path / "data")


def test_a_stop_while_waiting_in_the_queue(tmp_path: Path) -> None:
    first = lasting(tmp_path)
    second = lasting(tmp_path, name="second", budget={"images": 640, "epochs": 2})
    until(lambda: directory.read_records(first / "classification-15-seed0"))
    stop_in_time(second)
    assert jobs.is_worker_alive(first)
    stop_in_time(first)
    resume_and_finish(second, tmp_path / "data")


def stop_in_time(folder: Path) -> None:
    """Stops an experiment; fails unless every unfinished run is stopped, and every process gone, within ten seconds."""
    asked = time.monotonic()
    jobs.stop(directory.runs(folder))
    until(lambda: {jobs.derived_status(run).state for run in directory.runs(folder)} <= {"stopped", "completed"},
          STOP_SECONDS)
    until(lambda: not processes_of(folder), STOP_SECONDS - (time.monotonic() - asked))
    assert not list(folder.glob("*/stop")) or all(directory.read_status(path.parent).state == "stopped"
                                                  for path in folder.glob("*/stop"))
    assert "stopped" in {directory.read_status(run).state for run in directory.runs(folder)}


def test_stopping_a_run_leaves_the_one_beside_it_at_work(tmp_path: Path) -> None:
    folder = lasting(tmp_path)
    stopped, other = folder / "supcon-15-seed0", folder / "classification-15-seed0"
    until(lambda: len(directory.read_records(stopped)) >= 2)
    jobs.stop([stopped])
    until(lambda: directory.read_status(stopped).state == "stopped", STOP_SECONDS)
    n_before = len(directory.read_records(other))
    until(lambda: len(directory.read_records(other)) > n_before)
    stop_in_time(folder)


def test_stopping_a_queued_run_marks_it_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    folder = lasting(tmp_path)
    jobs.stop([folder / "supcon-15-seed0"])
    until(lambda: len(directory.read_records(folder / "classification-15-seed0")) >= 2)
    assert jobs.derived_status(folder / "supcon-15-seed0").state == "stopped"
    stop_in_time(folder)


def test_two_starts_make_one_worker(tmp_path: Path) -> None:
    folder = lasting(tmp_path)
    first = directory.read_json(folder / "worker.json")
    jobs.start(folder, tmp_path / "data", "cpu")
    assert directory.read_json(folder / "worker.json") == first
    stop_in_time(folder)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment of `lasting`, stopped after some epochs. Read only."""
    folder = lasting(tmp_path_factory.mktemp("half"))
    until(lambda: len(directory.read_records(folder / "supcon-15-seed0")) >= 4)
    stop_in_time(folder)
    return folder


@pytest.fixture
def stopped(half: Path, tmp_path: Path) -> Path:
    """A copy of that experiment which a test may change."""
    return Path(shutil.copytree(half, tmp_path / "checkpoints" / half.name))


def change(path: Path) -> None:
    """Changes a byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("arm, names, said", [
    ("supcon", ["last.safetensors"], "went on from the one before"),
    ("supcon", ["last.safetensors", "previous.safetensors"], "training began anew"),
    ("supcon", ["best.safetensors"], "training began anew"),
    ("classification", ["head.safetensors"], "training began anew"),
])
def test_a_changed_checkpoint_is_refused_by_name_and_the_numbers_stay(arm: str, names: list[str], said: str, stopped: Path,
                                                                      whole: Path, tmp_path: Path) -> None:
    run = stopped / f"{arm}-15-seed0"
    for name in names:
        change(run / name)
    jobs.resume(directory.runs(stopped), tmp_path / "data", "cpu")
    until(lambda: said in phase(run), poll=0.005)
    assert jobs.wait(stopped, 120)
    notes = [record["refused"] for record in directory.read_records(run) if "refused" in record]
    assert notes and all(said in note and str(run / names[0]) in note for note in notes)
    assert said in (run / "worker.log").read_text()
    records = "".join(json.dumps({key: value for key, value in record.items() if key != "refused"}) + "\n"
                      for record in directory.read_records(run))
    (run / "records.jsonl").write_text(records)
    assert_same_numbers(stopped, whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs more rights than this test has")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_that_fills_up_is_one_line_and_resumes_once_there_is_space(small_disk: Path, whole: Path) -> None:
    folder = lasting(small_disk)
    run = folder / "supcon-15-seed0"
    until(lambda: len(directory.read_records(run)) >= 3)
    filler = small_disk / "filler"
    until(lambda: fill(filler) or not jobs.is_worker_alive(folder))  # what a failed save gives back is taken again
    statuses = [jobs.derived_status(run) for run in directory.runs(folder)[1:]]
    for status in statuses:
        assert (status.state, status.kind) == ("failed", "disk"), statuses
        assert "No space left on device" in status.message and "free some space, then resume" in status.message
        assert "\n" not in status.message
    assert "Traceback" in (run / "worker.log").read_text()
    assert checkpoint.load(run / "last.safetensors")[1]["step"] > 0
    filler.unlink()
    resume_and_finish(folder, small_disk / "data")
    assert_same_numbers(folder, whole)


def fill(path: Path, room: int = 65_536) -> None:
    """Makes a file longer until there is room for a few words of state and for no checkpoint."""
    left = shutil.disk_usage(path.parent).free - room
    if left > 0:
        with path.open("ab") as file, contextlib.suppress(OSError):  # others write too
            file.write(bytes(left))


@pytest.fixture
def many_images(tmp_path: Path) -> Path:
    """Two classes of 640 photographs of a few soft blots each: a second's work to decode."""
    generator = np.random.default_rng(0)
    for label, level in (("dark", 0), ("light", 120)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(640):
            blots = Image.fromarray(generator.integers(level, level + 130, (6, 8, 3), dtype=np.uint8))
            blots.resize((400, 300)).save(tmp_path / "images" / label / f"{label}_{number}.jpg")
    return tmp_path / "images"
