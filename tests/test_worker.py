"""The real worker process from start to artefacts: the same numbers twice, stop, kill, resume, failure."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from core import config as configuration
from core.analysis import table as tables
from core.runs import directory, jobs, planning, verdict
from tests.conftest import run_experiment, tiny

LONG = {"images": 16_000, "epochs": 10}  # some seconds: time to interrupt
TIMES = {"seconds", "total_seconds", "images_per_second"}


def until(condition, seconds: float = 60) -> None:
    """Waits for a condition; fails the test if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


def lasting(root: Path, **changes: object) -> Path:
    """An experiment with one seed that trains long enough to be interrupted."""
    config = tiny(name="lasting", seeds=[0], budget=LONG, **changes)
    return planning.launch(planning.plan(config), root / "checkpoints", root / "data", device="cpu")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment of `lasting`, never interrupted."""
    return run_experiment(tiny(name="whole", seeds=[0], budget=LONG), tmp_path_factory.mktemp("whole"))


def numbers(run: Path) -> tuple[list[dict], dict, dict]:
    """Everything a run found, without what depends on the clock: records, evaluation, final weights."""
    records = [{key: value for key, value in record.items() if key not in TIMES} for record in directory.read_records(run)]
    return records, directory.read_json(run / "evaluation.json"), load_file(run / "last.safetensors")


def assert_same_numbers(run: Path, other: Path) -> None:
    records, evaluation, weights = numbers(run)
    other_records, other_evaluation, other_weights = numbers(other)
    assert records == other_records
    assert evaluation == other_evaluation
    assert weights.keys() == other_weights.keys()
    assert all(np.array_equal(weights[name], other_weights[name]) for name in weights)


def test_a_run_leaves_what_the_design_lists(finished: Path) -> None:
    run = finished / "supcon-15-seed0"
    expected = {"run.json", "state.json", "records.jsonl", "worker.log", "last.safetensors", "last.json",
                "best.safetensors", "best.json", "snapshots", "embeddings.parquet", "evaluation.json", "scores.parquet"}
    assert {path.name for path in run.iterdir()} == expected
    assert list(directory.snapshots(run)) == [0, 1, 2]
    assert [record["images_seen"] for record in directory.read_records(run)] == [0, 320, 640]
    assert not (finished / "worker.json").exists()


def test_every_objective_saw_the_same_images(finished: Path) -> None:
    seen = {run.name: directory.read_records(run)[-1]["images_seen"] for run in directory.runs(finished)
            if directory.read_run(run).is_trained}
    assert len(seen) == 4
    assert set(seen.values()) == {640}


def test_the_embedding_table_reproduces_every_number(finished: Path) -> None:
    for run in directory.runs(finished):
        table = tables.read(run / "embeddings.parquet")
        assert len(table) == 1797
        scores = verdict.score(table)
        summary = verdict.summarize(scores, 200)
        assert summary == directory.read_json(run / "evaluation.json")["metrics"] == table.metadata["evaluation"]["metrics"]
        assert len(scores.sample_id) == (table.split == "test").sum()


def test_the_verdict_has_a_row_an_arm_and_a_sentence(finished: Path) -> None:
    found = directory.read_json(finished / "verdict.json")
    assert [(row["objective"], row["n_seeds"]) for row in found["rows"]] == [
        ("untrained", 2), ("classification", 2), ("supcon", 2)]
    assert "MAP@R" in found["sentence"] and "2 seeds" in found["sentence"]
    assert found == json.loads(json.dumps(verdict.decide(finished)))


def test_both_films_begin_in_the_same_place(finished: Path) -> None:
    from core.runs import film

    frames = [film.read_frame(directory.snapshots(finished / f"{name}-15-seed0")[0]) for name in ("classification", "supcon")]
    assert np.array_equal(frames[0]["x"], frames[1]["x"])
    manifest = directory.read_manifest(finished)
    validation = set(manifest.sample_id[manifest.indices("validation")])
    assert set(frames[0]["sample_id"]) <= validation


def test_run_twice_it_gives_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    again = run_experiment(tiny(seeds=[0]), tmp_path)
    for name in ("classification-15-seed0", "supcon-15-seed0"):
        assert_same_numbers(finished / name, again / name)


def test_stop_then_resume_ends_like_an_uninterrupted_run(whole: Path, tmp_path: Path) -> None:
    folder = lasting(tmp_path)
    run = folder / "supcon-15-seed0"
    until(lambda: len(directory.read_records(run)) >= 3)
    jobs.stop(directory.runs(folder))
    assert jobs.wait(folder, 10), "stop must end the worker within ten seconds"
    assert jobs.derived_status(run).state == "stopped"
    assert not (run / "stop").exists()
    stopped_at = directory.read_json(run / "last.json")["step"]
    assert 0 < stopped_at < 200

    assert run in jobs.resume(directory.runs(folder), tmp_path / "data", "cpu")
    assert jobs.wait(folder, 240)
    for name in ("classification-15-seed0", "supcon-15-seed0"):
        assert_same_numbers(whole / name, folder / name)


def test_a_killed_worker_is_lost_and_resumes_exactly(whole: Path, tmp_path: Path) -> None:
    folder = lasting(tmp_path)
    run = folder / "classification-15-seed0"
    until(lambda: len(directory.read_records(run)) >= 4)
    worker = directory.read_json(folder / "worker.json")
    os.kill(worker["pid"], signal.SIGKILL)
    until(lambda: not jobs.is_worker_alive(folder))
    status = jobs.derived_status(run)
    assert status.state == "lost"
    assert "resume it" in status.message and "delete it" in status.message
    assert jobs.progress(folder).state == "lost"

    jobs.resume(directory.runs(folder), tmp_path / "data", "cpu")
    assert jobs.wait(folder, 240)
    for name in ("classification-15-seed0", "supcon-15-seed0"):
        assert_same_numbers(whole / name, folder / name)


def test_stopping_a_queued_run_marks_it_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    folder = lasting(tmp_path)
    jobs.stop([folder / "supcon-15-seed0"])
    until(lambda: len(directory.read_records(folder / "classification-15-seed0")) >= 2)
    assert jobs.derived_status(folder / "supcon-15-seed0").state == "stopped"
    jobs.stop(directory.runs(folder))
    assert jobs.wait(folder, 10)


def test_two_starts_make_one_worker(tmp_path: Path) -> None:
    folder = lasting(tmp_path)
    first = directory.read_json(folder / "worker.json")
    jobs.start(folder, tmp_path / "data", "cpu")
    assert directory.read_json(folder / "worker.json") == first
    jobs.stop(directory.runs(folder))
    assert jobs.wait(folder, 20)


def test_a_second_experiment_waits_for_the_device(tmp_path: Path) -> None:
    first = lasting(tmp_path)
    until(lambda: directory.read_records(first / "classification-15-seed0"))
    config = tiny(name="second", seeds=[0])
    second = planning.launch(planning.plan(config), tmp_path / "checkpoints", tmp_path / "data", device="cpu")
    time.sleep(8)  # long enough for its worker to load and ask for the device
    assert {directory.read_status(run).state for run in directory.runs(second)} == {"queued"}
    jobs.stop(directory.runs(first))
    assert jobs.wait(first, 20)
    assert jobs.wait(second, 240)
    assert {directory.read_status(run).state for run in directory.runs(second)} == {"completed"}


def test_a_failure_keeps_one_line_and_the_traceback(tmp_path: Path, image_folder: Path) -> None:
    config = tiny(name="gone", seeds=[0], dataset={"source": "folder", "root": str(image_folder)}, images_per_class=["all"],
                  training={"batch": {"classes": 2, "samples": 4}})
    checked = planning.plan(config)
    (image_folder / "dark" / "dark_0_0.png").unlink()
    folder = planning.launch(checked, tmp_path / "checkpoints", tmp_path / "data", device="cpu")
    assert jobs.wait(folder, 120)
    status = jobs.derived_status(folder / "supcon-all-seed0")
    assert (status.state, status.kind) == ("failed", "data")
    assert "dark_0_0.png" in status.message and "\n" not in status.message
    assert "Traceback" in (folder / "worker.log").read_text()
    assert not list((tmp_path / "data" / ".pixels").glob("*.npy")), "no half-decoded images may stay"


def test_an_experiment_holds_clean_and_leaky_arms_and_says_what_the_leak_is_worth(image_folder: Path, tmp_path: Path) -> None:
    config = configuration.parse({
        "name": "leaks", "dataset": {"source": "folder", "root": str(image_folder), "group_by": r"(.*)_[0-9]+\.png"},
        "encoder": {"name": "test_resnet", "image_size": 32}, "images_per_class": [10], "seeds": [0],
        "objectives": ["supcon", {"name": "supcon", "group": "none"}, {"name": "supcon", "pool": "all"}],
        "budget": {"images": 64, "epochs": 1}, "training": {"batch": {"classes": 2, "samples": 4}},
        "evaluation": {"kmeans_seeds": 2, "bootstrap": 200, "probe": 10}})
    folder = run_experiment(config, tmp_path)
    for run in config.runs():
        group, table = run.objective.group, tables.read(folder / run.name / "embeddings.parquet")
        sides: dict[str, set[str]] = {}
        for name, side in zip(table.group.tolist(), table.split.tolist()):
            sides.setdefault(name, set()).add(side)
        assert (max(len(found) for found in sides.values()) > 1) == (group == "none")
    found = directory.read_json(folder / "verdict.json")
    assert [row["leaks"] for row in found["rows"]] == [[], [], [configuration.RANDOM_SPLIT], [configuration.LEAKY_SAMPLER]]
    assert [(item["is_worth_of_leak"], item["confounders"]) for item in found["comparisons"]] == [(True, []), (True, [])]
    assert all("worth" in item["sentence"] and "SupCon" in item["sentence"] for item in found["comparisons"])
    assert tables.read(folder / "supcon-leaky-sampler-10-seed0" / "embeddings.parquet").metadata["leaks"] == [
        configuration.LEAKY_SAMPLER]
