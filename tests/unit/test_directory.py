"""Experiments as folders: laid out whole or not at all, read back as written, never outside their root."""

import json
import os
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.experiments import directory, planning
from core.experiments.directory import RunStatus
from tests.conftest import tiny


@pytest.fixture(scope="module")
def plan() -> planning.Plan:
    return planning.plan(tiny())


def test_create_lays_out_every_run_queued(plan: planning.Plan, tmp_path: Path) -> None:
    folder = directory.create(plan.config, plan.manifest, tmp_path)
    assert [run.name for run in directory.runs(folder)] == [
        "untrained-15-seed0", "classification-15-seed0", "supcon-15-seed0",
        "untrained-15-seed1", "classification-15-seed1", "supcon-15-seed1"]
    assert {directory.read_status(run).state for run in directory.runs(folder)} == {"queued"}
    assert directory.read_config(folder) == plan.config
    assert directory.read_manifest(folder).fingerprint == plan.manifest.fingerprint
    assert directory.read_run(folder / "supcon-15-seed1").seed == 1
    assert os.listdir(tmp_path) == ["tiny"]


def test_create_refuses_a_name_that_exists_and_leaves_nothing(plan: planning.Plan, tmp_path: Path) -> None:
    directory.create(plan.config, plan.manifest, tmp_path)
    with pytest.raises(FileExistsError, match="name must be new, got 'tiny'"):
        directory.create(plan.config, plan.manifest, tmp_path)
    assert os.listdir(tmp_path) == ["tiny"]


def test_free_name_counts_on(tmp_path: Path) -> None:
    assert directory.free_name(tmp_path, "demo") == "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo-2").mkdir()
    assert directory.free_name(tmp_path, "demo") == "demo-3"


@pytest.mark.parametrize("name", ["../x", "a/../b", "a/b/c", "", "/etc", ".hidden", "a/.."])
def test_find_refuses_what_is_not_a_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        directory.find(tmp_path, name)


def test_find_says_what_there_is(plan: planning.Plan, tmp_path: Path) -> None:
    folder = directory.create(plan.config, plan.manifest, tmp_path)
    assert directory.find(tmp_path, "tiny/supcon-15-seed0") == folder / "supcon-15-seed0"
    with pytest.raises(FileNotFoundError, match=r"no run 'tiny/supcon-16-seed0' .* experiments there: tiny"):
        directory.find(tmp_path, "tiny/supcon-16-seed0")


def test_records_ignore_a_half_line_at_the_end(tmp_path: Path) -> None:
    directory.append_record(tmp_path, {"epoch": 0, "loss": None})
    directory.append_record(tmp_path, {"epoch": 1, "loss": 0.5})
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')
    assert directory.read_records(tmp_path) == [{"epoch": 0, "loss": None}, {"epoch": 1, "loss": 0.5}]


def test_keep_records_drops_later_epochs(tmp_path: Path) -> None:
    for epoch in range(4):
        directory.append_record(tmp_path, {"epoch": epoch})
    directory.keep_records(tmp_path, 1)
    assert directory.read_records(tmp_path) == [{"epoch": 0}, {"epoch": 1}]


def test_records_refuse_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        directory.append_record(tmp_path, {"loss": float("nan")})


def test_status_round_trip_and_no_temporary_file_left(tmp_path: Path) -> None:
    directory.write_status(tmp_path, RunStatus("failed", kind="disk", message="disk full"))
    found = directory.read_status(tmp_path)
    assert (found.state, found.kind, found.message) == ("failed", "disk", "disk full")
    assert found.changed > 0
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_broken_json_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(ValueError, match=r"state\.json must be JSON"):
        directory.read_status(tmp_path)


def test_delete_removes_all(plan: planning.Plan, tmp_path: Path) -> None:
    folder = directory.create(plan.config, plan.manifest, tmp_path)
    directory.delete(folder)
    assert os.listdir(tmp_path) == []
    assert directory.experiments(tmp_path) == []


def test_experiment_json_says_how_it_was_made(plan: planning.Plan, tmp_path: Path) -> None:
    folder = directory.create(plan.config, plan.manifest, tmp_path)
    found = json.loads((folder / "experiment.json").read_text())
    assert found["fingerprint"] == plan.manifest.fingerprint
    assert {"python", "torch", "timm", "numpy", "duet"} <= found["versions"].keys()
