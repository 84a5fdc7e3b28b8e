"""An experiment's curve: which runs make its points, with one image per class among them, from a real run."""

import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core import files
from core.analysis import low_data
from core.analysis.metrics import HEADLINE
from core.experiments import planning, store
from core.experiments.handles import Experiment, Run
from core.results import curve, result, scoring
from tests.conftest import run_in_process, tiny

CURVE = {"name": "few", "objectives": ["classification", "supcon", {"name": "triplet", "mining": "batch_hard"}],
         "images_per_class": [1, 2, "all"], "seeds": [0, 1], "budget": {"images": 320, "epochs": 1},
         "training": {"batch": {"classes": 10, "samples": 4, "fit": True}, "views": 2, "lr": 0.003}}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment on 1, 2 and all digits of a class. Read only."""
    folder = run_in_process(tiny(**CURVE), tmp_path_factory.mktemp("few"))
    assert {run.status.state for run in Experiment(folder).runs} == {"completed"}
    return folder


@pytest.fixture
def part(few: Path, tmp_path: Path) -> Path:
    """A copy whose last seed of all images is not finished."""
    folder = Path(shutil.copytree(few, tmp_path / "few"))
    unfinished(folder / "supcon-all-seed1")
    return folder


def unfinished(run: Path) -> None:
    """Takes a run what it left when it finished."""
    (run / "scores.parquet").unlink()
    (run / "embeddings.parquet").unlink()


def test_one_image_per_class_trains_every_objective_on_the_same_batches(few: Path) -> None:
    for count, samples, steps in ((1, 1, 16), (2, 2, 8), ("all", 4, 4)):
        for label in ("classification", "supcon", "triplet"):
            run = few / f"{label}-{count}-seed0"
            batch = Run(run).config.training.batch
            assert (batch.classes, batch.samples) == (10, samples), "run.json says what was really used"
            record = Run(run).records[-1]
            assert record["batch"] == [10, samples, 2]
            assert (record["step"], record["images_seen"]) == (steps, 320), "the budget stays images seen"
            assert record["positives_per_anchor"] == 2 * samples - 1
            assert math.isfinite(record["loss"]) and record["loss"] > 0


def test_knn_is_defined_with_fewer_images_than_votes(few: Path) -> None:
    found = files.read_json(few / "supcon-1-seed0" / "evaluation.json")["metrics"]
    assert 0 < found["knn_accuracy"]["mean"] < 1
    assert 0 < found["probe_accuracy"]["mean"] < 1


def test_the_verdict_holds_the_curve_over_every_count(few: Path) -> None:
    found = files.read_json(few / "verdict.json")["curve"]
    manifest = Experiment(few).manifest()
    assert found["counts"] == [1, 2, "all"]
    assert found["images"] == [1, 2, len(manifest.indices("train")) / 10]
    assert (found["metric"], found["floor"], found["n_seeds"], found["left_out"]) == (HEADLINE, "untrained", 2, [])
    assert list(found["points"]) == ["untrained", "classification", "supcon", "triplet"]
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [("classification", "supcon"), ("classification", "triplet")]
    for row in files.read_json(few / "verdict.json")["rows"]:
        place = found["counts"].index(row["images_per_class"])
        assert found["points"][row["objective"]][place]["mean"] == pytest.approx(row["metrics"][HEADLINE]["mean"])
    assert len({point["mean"] for point in found["points"]["untrained"]}) == 1, "the floor is the same at every count"
    assert "SupCon" in found["pairs"][0]["sentence"]


def test_a_point_that_lacks_a_seed_is_left_out_and_named(part: Path) -> None:
    found = curve.draw(Experiment(part), scoring.scores_of_runs)
    assert (found.counts, found.left_out, found.n_seeds) == ((1, 2), ("all",), 2)
    unfinished(part / "triplet-2-seed0")
    assert curve.draw(Experiment(part), scoring.scores_of_runs) is None, "one point is no curve"


def laid_out(root: Path, **changes: object) -> Path:
    """An experiment whose runs all look finished, without any having trained."""
    checked = planning.plan(tiny(images_per_class=[5, "all"], training={"batch": {"classes": 10, "samples": 4}}, **changes))
    experiment = store.create(checked.config, checked.manifest, root)
    for run in experiment.runs:
        run.scores_file.touch()
        run.embeddings_file.touch()
    return experiment.folder


def invented(runs: list[Run], name: str) -> SimpleNamespace:
    """Scores of as many seeds as runs; SupCon's are better."""
    level = 0.6 if name.startswith("supcon") else 0.5
    return SimpleNamespace(group=np.arange(4), split=None, has_groups=False, levels={},
                           drawn=lambda: {HEADLINE: np.full((len(runs), 4), level)},
                           defined=lambda: {HEADLINE: np.ones(4, bool)})


def test_an_arm_that_leaks_is_no_line_and_a_leak_of_all_is_said_first(tmp_path: Path) -> None:
    folder = laid_out(tmp_path / "one", objectives=["classification", "supcon", {"name": "supcon", "pool": "all"}])
    found = curve.draw(Experiment(folder), invented)
    assert list(found.points) == ["untrained", "classification", "supcon"]
    assert found.pairs[0].sentence.startswith("At every count, from 5 to all (126) images per class, SupCon is better")
    leaky = laid_out(tmp_path / "all", split={"group": "none"})
    assert curve.draw(Experiment(leaky), invented).pairs[0].sentence.startswith(
        "These numbers are too good, with a random split: At every count")


def test_an_experiment_with_one_count_has_no_curve(finished: Path) -> None:
    assert files.read_json(finished / "verdict.json")["curve"] is None


def test_the_preset_takes_what_the_dataset_can_carry() -> None:
    digits = planning.scan(tiny().dataset)
    found = planning.low_data(tiny(), digits)
    assert found.images_per_class == (1, 2, 5, 15, 50, "all")
    assert (found.training.views, found.training.batch.fit, found.seeds) == (2, True, (0, 1))
    planning.plan(found, scanned=digits)
    drawn = planning.low_data(tiny(objectives=["supcon", {"name": "triplet", "mining": "drawn"}]), digits)
    assert drawn.images_per_class[0] == 2 and drawn.training.views == 1, "a drawn positive is another image"
    planning.plan(drawn, scanned=digits)
    small = tiny(split={"fractions": [0.02, 0.49, 0.49]})  # three or four digits of a class to train on
    assert planning.low_data(small, digits).images_per_class == (1, 2, "all")
    assert planning.low_data(small, digits).training.batch.samples < 8
    with pytest.raises(ValueError, match="a low-data curve must have classes of more than 1 training images, got one of 1"):
        planning.low_data(tiny(split={"fractions": [0.006, 0.497, 0.497]}), digits)


def test_the_curve_is_the_analysis_of_the_runs_scores(few: Path) -> None:
    arms = {label: {count: scoring.arm(Experiment(few), label, count).drawn()[HEADLINE] for count in (1, 2, "all")}
            for label in ("classification", "supcon")}
    images = {1: 1.0, 2: 2.0, "all": 125.0}
    group = scoring.arm(Experiment(few), "supcon", 1).group
    expected = low_data.curve(HEADLINE, arms, images, 200, group, margin=0.01).pairs[0].differences
    assert result.read(Experiment(few)).curve.pairs[0].differences == expected
