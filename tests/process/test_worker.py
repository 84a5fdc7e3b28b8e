"""The real worker process from start to artefacts, and the same numbers twice."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from core import config as configuration
from core import files
from core.analysis import table as tables
from core.experiments.handles import Experiment, Run
from core.results import result, scoring, summaries, verdict
from tests.conftest import run_experiment, run_in_process, tiny
from tests.lasting import assert_same_run


def test_a_run_leaves_what_the_design_lists(finished: Path) -> None:
    run = finished / "supcon-15-seed0"
    expected = {"run.json", "state.json", "records.jsonl", "worker.log", "last.safetensors", "last.json",
                "previous.safetensors", "previous.json", "best.safetensors", "best.json", "snapshots", "embeddings.parquet",
                "evaluation.json", "scores.parquet", "readouts.json", "thresholds.parquet"}
    assert {path.name for path in run.iterdir()} == expected
    of_classifier = {path.name for path in (finished / "classification-15-seed0").iterdir()}
    assert of_classifier == expected | {"head.safetensors", "head.json"}
    assert (finished / "report.html").is_file()
    assert list(Run(run).snapshots) == [0, 1, 2]
    assert [record["images_seen"] for record in Run(run).records] == [0, 320, 640]
    assert not (finished / "worker.json").exists()


def test_every_objective_saw_the_same_images(finished: Path) -> None:
    seen = {run.name: run.records[-1]["images_seen"] for run in Experiment(finished).runs
            if run.config.is_trained}
    assert len(seen) == 4
    assert set(seen.values()) == {640}


def test_the_embedding_table_reproduces_every_number(finished: Path) -> None:
    for run in Experiment(finished).runs:
        table = tables.read(run.folder / "embeddings.parquet")
        assert len(table) == 1797
        scores = scoring.score(table)
        summary = summaries.evaluation(scores, 200)["metrics"]
        assert summary == files.read_json(run.folder / "evaluation.json")["metrics"] == table.metadata["evaluation"]["metrics"]
        assert len(scores.sample_id) == (table.split == "test").sum()


def test_the_verdict_has_a_row_an_arm_and_a_sentence(finished: Path) -> None:
    found = files.read_json(finished / "verdict.json")
    assert [(row["objective"], row["n_seeds"]) for row in found["rows"]] == [
        ("untrained", 2), ("classification", 2), ("supcon", 2)]
    assert "MAP@R" in found["sentence"] and "2 seeds" in found["sentence"]
    assert found == result.to_json(verdict.decide(Experiment(finished)))


def test_both_films_begin_in_the_same_place(finished: Path) -> None:
    from core.experiments import film

    frames = [film.read_frame(Run(finished / f"{name}-15-seed0").snapshots[0]) for name in ("classification", "supcon")]
    assert np.array_equal(frames[0]["x"], frames[1]["x"])
    manifest = Experiment(finished).manifest()
    validation = set(manifest.sample_id[manifest.indices("validation")])
    assert set(frames[0]["sample_id"]) <= validation


@pytest.mark.skipif(sys.platform != "linux", reason="trainers are forked on Linux alone")
def test_trainers_of_tests_are_forked(finished: Path) -> None:
    """What starts them in the product has not changed in a way that the tests' own start does not know."""
    lines = Path(f"{os.environ['DUET_TRAINERS']}.log").read_text().splitlines()
    [line] = [line for line in lines if str(finished) in line]
    assert not line.startswith("0 "), line


def test_run_twice_it_gives_the_same_numbers(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUET_TRAINERS", raising=False)  # a process that shares nothing with the first, its hash seed neither
    again = run_experiment(tiny(seeds=[0]), tmp_path)
    for name in ("classification-15-seed0", "supcon-15-seed0"):
        assert_same_run(finished / name, again / name)


def test_an_arm_with_shuffled_batches_is_trained_beside_a_balanced_one_and_compared_fairly(tmp_path: Path) -> None:
    config = tiny(objectives=["supcon", {"name": "supcon", "order": "shuffled"}], images_per_class=["all"], seeds=[0],
                  budget={"images": 240, "epochs": 1}, training={"batch": {"classes": 5, "samples": 8}})
    folder = run_in_process(config, tmp_path)
    last = {name: Run(folder / f"{name}-all-seed0").records[-1] for name in ("supcon", "supcon-shuffled")}
    assert [record["batch_order"] for record in last.values()] == ["balanced", "shuffled"]
    assert {(record["step"], record["images_seen"]) for record in last.values()} == {(6, 240)}
    assert last["supcon"]["positives_per_anchor"] == 7
    assert 1 < last["supcon-shuffled"]["positives_per_anchor"] < 7, "39 others of ten classes: about 3.9"
    comparison, = files.read_json(folder / "verdict.json")["comparisons"]
    assert comparison["confounders"] == [] and "SupCon with shuffled batches" in comparison["sentence"]
    assert {item["field"]: item["kind"] for item in comparison["settings"]} == {
        "training.batch.order": "under test", "objective.order": "harmless"}


def test_an_experiment_holds_clean_and_leaky_arms_and_says_what_the_leak_is_worth(image_folder: Path, tmp_path: Path) -> None:
    config = configuration.parse({
        "name": "leaks", "dataset": {"source": "folder", "root": str(image_folder), "group_by": r"(.*)_[0-9]+\.png"},
        "encoder": {"name": "test_resnet", "image_size": 32}, "images_per_class": [10], "seeds": [0],
        "objectives": ["supcon", {"name": "supcon", "group": "none"}, {"name": "supcon", "pool": "all"}],
        "budget": {"images": 64, "epochs": 1}, "training": {"batch": {"classes": 2, "samples": 4}},
        "evaluation": {"kmeans_seeds": 2, "bootstrap": 200, "probe": 10}})
    folder = run_in_process(config, tmp_path)
    for run in config.runs():
        group, table = run.objective.group, tables.read(folder / run.name / "embeddings.parquet")
        sides: dict[str, set[str]] = {}
        for name, side in zip(table.group.tolist(), table.split.tolist()):
            sides.setdefault(name, set()).add(side)
        assert (max(len(found) for found in sides.values()) > 1) == (group == "none")
    found = files.read_json(folder / "verdict.json")
    assert [row["leaks"] for row in found["rows"]] == [[], [], [configuration.RANDOM_SPLIT], [configuration.LEAKY_SAMPLER]]
    assert [(item["is_worth_of_leak"], item["confounders"]) for item in found["comparisons"]] == [(True, []), (True, [])]
    assert all("worth" in item["sentence"] and "SupCon" in item["sentence"] for item in found["comparisons"])
    assert tables.read(folder / "supcon-leaky-sampler-10-seed0" / "embeddings.parquet").metadata["leaks"] == [
        configuration.LEAKY_SAMPLER]
