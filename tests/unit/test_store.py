"""Experiments as folders: laid out whole or not at all, read back as written, never outside their root."""

import json
import os
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.experiments import planning, store
from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus
from tests.conftest import tiny


@pytest.fixture(scope="module")
def plan() -> planning.Plan:
    return planning.plan(tiny())


def test_create_lays_out_every_run_queued(plan: planning.Plan, tmp_path: Path) -> None:
    experiment = store.create(plan.config, plan.manifest, tmp_path)
    assert [run.name for run in experiment.runs] == [
        "untrained-15-seed0", "classification-15-seed0", "supcon-15-seed0",
        "untrained-15-seed1", "classification-15-seed1", "supcon-15-seed1"]
    assert {run.status.state for run in experiment.runs} == {"queued"}
    assert experiment.config == plan.config
    assert experiment.manifest().fingerprint == plan.manifest.fingerprint
    assert experiment.run("supcon-15-seed1").config.seed == 1
    assert os.listdir(tmp_path) == ["tiny"]


def test_create_refuses_a_name_that_exists_and_leaves_nothing(plan: planning.Plan, tmp_path: Path) -> None:
    store.create(plan.config, plan.manifest, tmp_path)
    with pytest.raises(FileExistsError, match="name must be new, got 'tiny'"):
        store.create(plan.config, plan.manifest, tmp_path)
    assert os.listdir(tmp_path) == ["tiny"]


def test_free_name_counts_on(tmp_path: Path) -> None:
    assert store.free_name(tmp_path, "demo") == "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo-2").mkdir()
    assert store.free_name(tmp_path, "demo") == "demo-3"


@pytest.mark.parametrize("name", ["../x", "a/../b", "a/b/c", "", "/etc", ".hidden", "a/.."])
def test_find_refuses_what_is_not_a_name(name: str, tmp_path: Path) -> None:
    for find in (store.find, store.find_run):
        with pytest.raises(ConfigError):
            find(tmp_path, name)


def test_find_says_what_there_is(plan: planning.Plan, tmp_path: Path) -> None:
    experiment = store.create(plan.config, plan.manifest, tmp_path)
    assert store.find(tmp_path, "tiny") == experiment
    assert store.find_run(tmp_path, "tiny/supcon-15-seed0") == experiment.run("supcon-15-seed0")
    with pytest.raises(FileNotFoundError, match=r"no run 'tiny/supcon-16-seed0' .* experiments there: tiny"):
        store.find_run(tmp_path, "tiny/supcon-16-seed0")


def test_records_ignore_a_half_line_at_the_end(tmp_path: Path) -> None:
    Run(tmp_path).append_record({"epoch": 0, "loss": None})
    Run(tmp_path).append_record({"epoch": 1, "loss": 0.5})
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')
    assert Run(tmp_path).records == [{"epoch": 0, "loss": None}, {"epoch": 1, "loss": 0.5}]


def test_keep_records_drops_later_epochs(tmp_path: Path) -> None:
    for epoch in range(4):
        Run(tmp_path).append_record({"epoch": epoch})
    Run(tmp_path).keep_records(1)
    assert Run(tmp_path).records == [{"epoch": 0}, {"epoch": 1}]


def test_records_refuse_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Run(tmp_path).append_record({"loss": float("nan")})


def test_status_round_trip_and_no_temporary_file_left(tmp_path: Path) -> None:
    Run(tmp_path).write_status(RunStatus("failed", kind="disk", message="disk full"))
    found = Run(tmp_path).status
    assert (found.state, found.kind, found.message) == ("failed", "disk", "disk full")
    assert found.changed > 0
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_broken_json_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(ValueError, match=r"state\.json must be JSON"):
        _ = Run(tmp_path).status


def test_delete_removes_all(plan: planning.Plan, tmp_path: Path) -> None:
    experiment = store.create(plan.config, plan.manifest, tmp_path)
    experiment.delete()
    assert os.listdir(tmp_path) == []
    assert store.experiments(tmp_path) == []


def test_experiment_json_says_how_it_was_made(plan: planning.Plan, tmp_path: Path) -> None:
    experiment = store.create(plan.config, plan.manifest, tmp_path)
    found = json.loads((experiment.folder / "experiment.json").read_text())
    assert found["fingerprint"] == plan.manifest.fingerprint
    assert {"python", "torch", "timm", "numpy", "duet"} <= found["versions"].keys()


def test_handles_of_one_folder_are_equal_and_name_each_other(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "tiny")
    run = experiment.run("supcon-15-seed0")
    assert run == Run(tmp_path / "tiny" / "supcon-15-seed0") and len({run, experiment.run(run.name)}) == 1
    assert (run.experiment, run.full_name, experiment.root) == (experiment, "tiny/supcon-15-seed0", tmp_path)
    assert run.embeddings_file == run.folder / "embeddings.parquet"
    assert experiment.verdict_file == experiment.folder / "verdict.json"
    assert not run.has_embeddings
