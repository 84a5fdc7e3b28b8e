"""Whatever interrupts a run — a stop, a kill, a full disk, a changed file — it goes on to the very numbers of one that
was never interrupted. With the real worker process; kills in bulk in forks of the process that trains."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import files
from core.experiments import planning, store
from core.experiments.handles import Experiment, Run
from core.jobs import control, tasks
from core.training import checkpoint
from tests.conftest import run_experiment
from tests.lasting import PHASES, Hold, assert_same_numbers, lasting, lasting_config, processes_of, resume_and_finish, states
from tests.waiting import DEADLINE, until

SEED = 20_261_124  # of the random moments


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment of `lasting`, never interrupted."""
    return run_experiment(lasting_config(), tmp_path_factory.mktemp("whole"))


def test_killed_at_twenty_moments_it_ends_like_an_uninterrupted_run(whole: Path, tmp_path: Path, hold: Hold) -> None:
    checked = planning.plan(lasting_config())
    experiment = store.create(checked.config, checked.manifest, tmp_path / "checkpoints")
    with (tmp_path / "out").open("wb") as out:
        process = tasks.start_module("tests.killing", [str(experiment.folder), str(tmp_path / "data"), str(SEED),
                                                       str(tmp_path / "hold.json")], out)
    until(lambda: not control.is_alive(process["pid"], process["pid_created"]), seen=lambda: states(experiment.folder))
    printed = (tmp_path / "out").read_text()
    kills = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert len(kills) >= 20, printed[-3000:]
    hit = {shown.split(",")[0].split(" ")[0] for kill in kills for shown in kill["phases"] if shown}
    assert {"training", "scoring", "embedding", "laying"} <= hit, kills
    assert_same_numbers(experiment.folder, whole)


def test_a_killed_worker_takes_its_trainer_along_is_lost_and_resumes_exactly(
        whole: Path, tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUET_TRAINERS", raising=False)  # the worker's own child
    hold.at_phase("training, epoch 4", "classification")
    folder = lasting(tmp_path)
    run = folder / "classification-15-seed0"
    hold.wait(folder)
    os.kill(files.read_json(folder / "worker.json")["pid"], signal.SIGKILL)
    until(lambda: not processes_of(folder), seen=lambda: processes_of(folder))
    status = control.derived_status(Run(run))
    assert status.state == "lost"
    assert "resume it" in status.message and "delete it" in status.message
    assert control.progress(Experiment(folder)).state == "lost"
    resume_and_finish(folder, tmp_path / "data")
    assert_same_numbers(folder, whole)


def test_a_trainer_killed_for_want_of_memory_fails_in_one_line_and_resumes_exactly(whole: Path, tmp_path: Path,
                                                                                     hold: Hold) -> None:
    hold.at_phase("training, epoch 4", "supcon")
    folder = lasting(tmp_path)
    run = folder / "supcon-15-seed0"
    hold.wait(folder).kill()  # as the kernel does when memory runs out
    assert control.wait(Experiment(folder), DEADLINE)
    status = control.derived_status(Run(run))
    assert (status.state, status.kind) == ("failed", "memory")
    assert "SIGKILL" in status.message and "\n" not in status.message
    resume_and_finish(folder, tmp_path / "data")
    assert_same_numbers(folder, whole)


def test_a_trainer_that_ends_between_two_runs_is_followed_by_another(tmp_path: Path, hold: Hold) -> None:
    hold.at('"state": "completed"', "untrained")
    folder = lasting(tmp_path, objectives=["supcon"], budget={"images": 160, "epochs": 1})
    hold.wait(folder).kill()
    assert control.wait(Experiment(folder), DEADLINE)
    assert {control.derived_status(run).state for run in Experiment(folder).runs} == {"completed"}, states(folder)


def test_a_stop_in_each_phase_ends_it_and_changes_no_number(whole: Path, tmp_path: Path, hold: Hold) -> None:
    """One experiment, stopped and resumed in one phase after the other."""
    moments = [("building", "untrained"), ("opening", "untrained"), ("training", "supcon"), ("validation", "supcon"),
               ("embedding", "supcon"), ("test", "supcon")]
    folder: Path | None = None
    for name, run in moments:
        hold.at_phase(PHASES[name], run)
        if folder is None:
            folder = lasting(tmp_path)
        else:
            control.resume(Experiment(folder).runs, tmp_path / "data", "cpu")
        stop_held(folder, hold)
    assert folder is not None
    control.resume(Experiment(folder).runs, tmp_path / "data", "cpu")
    assert control.wait(Experiment(folder), DEADLINE)
    assert_same_numbers(folder, whole)


def test_a_stop_while_decoding_leaves_no_half_decoded_images(tmp_path: Path, many_images: Path, hold: Hold) -> None:
    hold.at_phase(PHASES["decoding"])
    folder = lasting(tmp_path, dataset={"source": "folder", "root": str(many_images)}, encoder={
        "name": "test_resnet", "image_size": 64}, training={"batch": {"classes": 2, "samples": 4}},
        budget={"images": 16, "epochs": 1}, objectives=["classification"])
    stop_held(folder, hold)
    assert not list((tmp_path / "data" / ".pixels").glob("*.npy")), "it must have stopped in the middle"
    assert not list((tmp_path / "data" / ".pixels").glob("*.tmp"))
    resume_and_finish(folder, tmp_path / "data")


def test_a_stop_during_a_layout_that_cannot_be_interrupted(tmp_path: Path, hold: Hold) -> None:
    """UMAP compiles and lays out in one call of many seconds: the process is ended, the run stopped all the same."""
    short = {"seeds": [0], "objectives": ["supcon"], "budget": {"images": 640, "epochs": 2}}
    evaluation = {"kmeans_seeds": 2, "bootstrap": 200, "probe": 60, "projection": "umap"}
    hold.at_phase(PHASES["layout"])
    folder = lasting(tmp_path, **short, evaluation=evaluation)
    stop_held(folder, hold)
    resume_and_finish(folder, tmp_path / "data")


def test_a_stop_while_waiting_in_the_queue(tmp_path: Path, hold: Hold) -> None:
    hold.at_phase("training", "classification")
    first = lasting(tmp_path)
    trainer = hold.wait(first)
    second = lasting(tmp_path, name="second", budget={"images": 640, "epochs": 2})
    stop(second)
    assert control.is_worker_alive(Experiment(first))
    control.stop(Experiment(first).runs)
    trainer.resume()
    wait_for_stop(first)
    resume_and_finish(second, tmp_path / "data")


def stop(folder: Path) -> None:
    """Stops an experiment and waits until every unfinished run is stopped and every process gone."""
    control.stop(Experiment(folder).runs)
    wait_for_stop(folder)


def stop_held(folder: Path, hold: Hold) -> None:
    """Stops an experiment at the moment that `hold` names."""
    trainer = hold.wait(folder)
    control.stop(Experiment(folder).runs)
    trainer.resume()
    wait_for_stop(folder)


def wait_for_stop(folder: Path) -> None:
    """Waits until every unfinished run of an experiment is stopped and every process gone."""
    until(lambda: {control.derived_status(run).state for run in Experiment(folder).runs} <= {"stopped", "completed"},
          seen=lambda: states(folder))
    until(lambda: not processes_of(folder), seen=lambda: processes_of(folder))
    assert not list(folder.glob("*/stop")) or all(Run(path.parent).status.state == "stopped"
                                                  for path in folder.glob("*/stop"))
    assert "stopped" in {run.status.state for run in Experiment(folder).runs}


def test_stopping_a_run_leaves_the_one_beside_it_at_work(tmp_path: Path, hold: Hold) -> None:
    hold.at_phase("training, epoch 2", "supcon")
    folder = lasting(tmp_path)
    stopped, other = folder / "supcon-15-seed0", folder / "classification-15-seed0"
    trainer = hold.wait(folder)
    control.stop([Run(stopped)])
    n_before = len(Run(other).records)
    hold.at_phase("training, epoch 5", "classification")
    trainer.resume()
    trainer = hold.wait(folder)
    assert Run(stopped).status.state == "stopped"
    assert len(Run(other).records) > n_before
    control.stop([Run(other)])
    trainer.resume()
    wait_for_stop(folder)


def test_stopping_a_queued_run_marks_it_stopped_and_the_others_go_on(tmp_path: Path, hold: Hold) -> None:
    hold.at_phase("training, epoch 2", "classification")
    folder = lasting(tmp_path)
    control.stop([Run(folder / "supcon-15-seed0")])
    trainer = hold.wait(folder)
    assert control.derived_status(Run(folder / "supcon-15-seed0")).state == "stopped"
    control.stop(Experiment(folder).runs)
    trainer.resume()
    wait_for_stop(folder)


def test_two_starts_make_one_worker(tmp_path: Path) -> None:
    folder = lasting(tmp_path)
    first = files.read_json(folder / "worker.json")
    control.start(Experiment(folder), tmp_path / "data", "cpu")
    assert files.read_json(folder / "worker.json") == first
    stop(folder)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment of `lasting`, stopped after some epochs. Read only."""
    root = tmp_path_factory.mktemp("half")
    with pytest.MonkeyPatch.context() as monkeypatch:
        hold = Hold(root / "hold.json", monkeypatch)
        hold.at_phase("training, epoch 4", "supcon")
        folder = lasting(root)
        stop_held(folder, hold)
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
                                                                      whole: Path, tmp_path: Path, hold: Hold) -> None:
    run = stopped / f"{arm}-15-seed0"
    for name in names:
        change(run / name)
    hold.at(said, run.name)  # in the phase it shows
    control.resume(Experiment(stopped).runs, tmp_path / "data", "cpu")
    hold.wait(stopped).resume()
    assert control.wait(Experiment(stopped), DEADLINE)
    notes = [record["refused"] for record in Run(run).records if "refused" in record]
    assert notes and all(said in note and str(run / names[0]) in note for note in notes)
    assert said in (run / "worker.log").read_text()
    records = "".join(json.dumps({key: value for key, value in record.items() if key != "refused"}) + "\n"
                      for record in Run(run).records)
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


def test_a_disk_that_fills_up_is_one_line_and_resumes_once_there_is_space(small_disk: Path, whole: Path, hold: Hold) -> None:
    hold.at_phase("training, epoch 4", "supcon")
    folder = lasting(small_disk)
    run = folder / "supcon-15-seed0"
    trainer = hold.wait(folder)
    filler = small_disk / "filler"
    fill(filler)
    trainer.resume()
    until(lambda: fill(filler) or not control.is_worker_alive(Experiment(folder)))  # a failed save's space is taken again
    statuses = [control.derived_status(run) for run in Experiment(folder).runs[1:]]
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
    """Two classes of 200 photographs of a few soft blots each: more than are decoded before a run says how far it is."""
    generator = np.random.default_rng(0)
    for label, level in (("dark", 0), ("light", 120)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(200):
            blots = Image.fromarray(generator.integers(level, level + 130, (6, 8, 3), dtype=np.uint8))
            blots.resize((400, 300)).save(tmp_path / "images" / label / f"{label}_{number}.jpg")
    return tmp_path / "images"
