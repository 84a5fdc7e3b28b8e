"""Seeds added to a finished experiment: their runs are those that a larger plan would have had, and a look is counted."""

import json
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest

import main
from core import files
from core.analysis import spending
from core.errors import InputError
from core.experiments import looks, planning, store
from core.experiments.handles import Experiment
from core.experiments.looks import Look
from core.jobs import control, more_seeds
from tests.conftest import PROJECT, put_into, run_in_process, tiny
from tests.killing import die_at_file
from tests.lasting import assert_same_run


@pytest.fixture(scope="module")
def planned_with_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment that differs from `finished` in that one seed was planned. Read only."""
    return run_in_process(tiny(seeds=[0]), tmp_path_factory.mktemp("one"))


@pytest.fixture
def small(planned_with_one: Path, tmp_path: Path) -> Experiment:
    """A copy that a test may change."""
    return Experiment(Path(shutil.copytree(planned_with_one, tmp_path / "checkpoints" / "tiny")))


def test_added_seeds_train_what_a_larger_plan_would_have_and_make_a_second_look(
        small: Experiment, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = {path: path.read_bytes() for path in small.folder.glob("*-seed0/*.*") if path.suffix != ".log"}
    roots = ["--checkpoints", str(small.root), "--data", str(tmp_path / "data")]
    assert main.main([*roots, "resume", "tiny", "--add-seeds", "1", "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert "tiny: seeds 1 added. Second look: seeds were added to those planned" in told.err
    assert "98.75 %" in told.out and told.out.count("Second look") == 1
    assert {path: path.read_bytes() for path in kept} == kept, "what was finished stays as it was"
    for label in ("untrained", "classification", "supcon"):
        assert_same_run(small.run(f"{label}-15-seed1").folder, finished / f"{label}-15-seed1")
    found = files.read_json(small.verdict_file)["comparisons"][0]
    assert (found["look"], found["differences"][0]["alpha"]) == (2, spending.alpha(2))
    assert looks.of(small, 2).number == 2


def test_draws_of_few_images_are_those_of_a_larger_plan(small: Experiment) -> None:
    before = small.manifest()
    assert more_seeds.add(small, 3) == (1, 2, 3)
    assert small.config.seeds == (0, 1, 2, 3) and not any(run.has_embeddings for run in small.runs[3:])
    larger = planning.plan(tiny(seeds=[0, 1, 2, 3])).manifest
    manifest = small.manifest()
    assert manifest.fingerprint == before.fingerprint and list(manifest.rank) == [0, 1, 2, 3]
    assert all(np.array_equal(manifest.rank[seed], larger.rank[seed]) for seed in larger.rank)
    assert {control.last_state(run) for run in small.runs[3:]} == {"queued"}
    assert looks.of(small, 1) == Look(1), "the planned verdict stands until the added seeds have finished"


def test_the_lowest_seeds_that_are_free_are_added(tmp_path: Path) -> None:
    folder = planned(tmp_path, seeds=[1, 3])
    assert more_seeds.add(Experiment(folder), 3) == (0, 2, 4)
    assert Experiment(folder).config.seeds == (1, 3, 0, 2, 4)
    assert more_seeds.add(Experiment(folder), 1) == (5,)
    assert [each["seeds"] for each in json.loads((folder / "experiment.json").read_text())["added_seeds"]] == [[0, 2, 4], [5]]


def test_a_random_split_of_an_arm_that_leaks_has_the_draws_too(tmp_path: Path) -> None:
    folder = planned(tmp_path, seeds=[0], objectives=["supcon", {"name": "supcon", "group": "none"}])
    more_seeds.add(Experiment(folder), 1)
    leaky = Experiment(folder).config.runs()[2].split
    assert leaky.group == "none" and set(Experiment(folder).manifest(leaky).rank) == {0, 1}
    larger = planning.plan(tiny(seeds=[0, 1], objectives=["supcon", {"name": "supcon", "group": "none"}])).random_split
    assert np.array_equal(Experiment(folder).manifest(leaky).rank[1], larger.rank[1])


def test_killed_at_any_file_it_has_all_of_the_seeds_or_none(small: Experiment) -> None:
    code = ("import sys\nfrom pathlib import Path\nfrom tests.process import test_more_seeds\n"
            "print(test_more_seeds.killed_at_each_file(Path(sys.argv[1])))")
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(small.folder)], cwd=PROJECT, capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    assert small.config.seeds == (0, 1) and looks.of(small, 1) == Look(1) and looks.of(small, 2).number == 2
    assert [control.last_state(run) for run in small.runs] == ["completed"] * 3 + ["queued"] * 3
    assert int(result.stdout) >= 8, "the manifest, six files of runs and the description are written"


def killed_at_each_file(folder: Path) -> int:
    """Adds a seed in forks of this process that are killed at their first, second, … touch of a file, until one comes to its
    end; returns how many were killed."""
    experiment = Experiment(folder)
    for number in count(1):
        child = os.fork()
        if child == 0:
            die_at_file(folder, number)
            more_seeds.add(experiment, 1)
            os._exit(0)
        if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            break
        if experiment.config.seeds == (0, 1):  # killed once all was written
            return number
        assert experiment.config.seeds == (0,) and looks.of(experiment, 1) == Look(1)
        assert {control.derived_status(run).state for run in experiment.runs} == {"completed"}
    return number - 1


def test_what_cannot_be_is_refused_and_changes_nothing(small: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in small.folder.rglob("*") if path.is_file()}
    for arguments, message in ((["tiny", "--add-seeds", "0"], "seeds to add must be at least 1, got 0"),
                               (["tiny/supcon-15-seed0", "--add-seeds", "1"], "RUN must be a whole experiment with --add"),
                               (["tiny", "--add-seeds", "5000"], "seeds must")):
        assert main.main(["--checkpoints", str(small.root), "resume", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


def test_a_worker_at_work_is_not_disturbed(small: Experiment) -> None:
    put_into(small.folder, "running")
    before = small.description_file.read_bytes()
    with pytest.raises(InputError, match="'tiny' must have no worker before seeds can be added, got one; stop it first"):
        more_seeds.add(small, 1)
    assert small.description_file.read_bytes() == before


def planned(root: Path, **changes: object) -> Path:
    """An experiment of which nothing has run yet."""
    checked = planning.plan(tiny(**changes))
    return store.create(checked.config, checked.manifest, root, checked.random_split).folder
