"""Experiments really run on two datasets come to one conclusion; and how often conclusions from such intervals are false."""

import json
from pathlib import Path

import numpy as np
import pytest

import main
from core.analysis import comparison
from core.experiments.handles import Experiment
from core.results import conclusion, result
from core.results.same_question import Answers, Finding
from tests.conftest import run_experiment, tiny


def test_experiments_on_two_datasets(experiment: Path, image_folder: Path, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    dataset = {"source": "folder", "root": str(image_folder), "group_by": r"(.*)_\d+\.png"}
    training = {"batch": {"classes": 2, "samples": 8}, "lr": 0.003}
    folders = [experiment, run_experiment(tiny(name="shades", dataset=dataset, training=training), tmp_path)]
    capsys.readouterr()
    assert main.main(["--checkpoints", str(tmp_path / "checkpoints"), "conclude", "tiny", "shades", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    own = [result.read(Experiment(folder)).comparisons[0] for folder in folders]
    assert [item["difference"] for item in found["findings"]] == [
        json.loads(json.dumps(result.to_json(pair)["differences"][0])) for pair in own]
    assert found["notes"][0].startswith("The experiments differ in more than their datasets: ")
    assert "classes × samples" in found["notes"][0]
    assert found["sentence"].startswith(("SupCon is ", "Cannot tell SupCon from ")) and "of 2 datasets" in found["sentence"]


def false_claims(n_trials: int, gaps: np.ndarray, n_seeds: int = 3, n_images: int = 60) -> float:
    """How often a conclusion counts too many datasets, in one direction or the other, by the bootstrap's own p-values.

    Args:
        n_trials: conclusions drawn.
        gaps: the true difference on each dataset, 0 to 1, shape (n,).
        n_seeds: of each arm; a seed's own luck has a standard deviation of 0.02.
        n_images: of each dataset, whose difficulty both arms share.
    """
    generator = np.random.default_rng(0)
    n_false = 0
    for trial in range(n_trials):
        findings = []
        for place, gap in enumerate(gaps):
            difficulty = generator.normal(0.7, 0.2, n_images)
            a, b = (difficulty + shift + generator.normal(0, 0.02, (n_seeds, 1))
                    + generator.normal(0, 0.1, (n_seeds, n_images)) for shift in (0.0, gap))
            findings.append(Finding(str(place), str(place), "all", comparison.difference("map_at_r", a, b, 1000, trial)))
        found = conclusion.conclude(Answers("A", "B", tuple(findings), (), (), True))
        n_false += found.better.count > (gaps > 0).sum() or found.worse.count > (gaps < 0).sum()
    return n_false / n_trials


@pytest.mark.slow
@pytest.mark.parametrize("gaps", [[0, 0, 0, 0], [0.2, 0.2, 0, 0], [0.2, -0.2, 0, 0]])
def test_conclusions_from_bootstrap_intervals_are_false_in_at_most_one_of_twenty(gaps: list[float]) -> None:
    share = false_claims(400, np.array(gaps, dtype=float))
    print(f"{gaps}: {100 * share:.1f} % count too many")
    assert share <= 0.05
