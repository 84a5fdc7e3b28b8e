"""Who changed from A to B: by hand, against slow loops, and against the accuracies that runs report."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from core import files
from core.analysis import changes, clustering, paired_tests
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.experiments.handles import Experiment, Run
from core.results import scoring, summaries
from tests import conftest


def test_quadrants_by_hand() -> None:
    a = np.array([1, 1, 0, 0, 1, np.nan, 0])
    b = np.array([1, 0, 1, 0, 1, 1, 1])
    found = changes.quadrants(a, b)
    assert [part.tolist() for part in (found.both, found.only_a, found.only_b, found.neither)] == [[0, 4], [1], [2, 6], [3]]
    assert (found.right_a, found.right_b, found.n) == (3, 4, 6)


def test_what_is_neither_right_nor_wrong_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or 0 for each sample"):
        changes.quadrants(np.array([1, 0.5]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="the same samples, got 2 and 3"):
        changes.quadrants(np.zeros(2), np.zeros(3))


def test_moved_samples_by_hand() -> None:
    label_id = np.array([0, 0, 0, 0, 1, 1])
    a = np.array([0, 1, 1, 0, 1, 1])
    b = np.array([0, 0, 1, 1, 0, 1])
    came, left = changes.moved(a, b, label_id, 0, 1)
    assert (came.tolist(), left.tolist()) == ([3], [1])
    assert changes.cell(a, label_id, 0, 1).tolist() == [1, 2]


def test_moved_samples_account_for_every_cell_of_the_difference() -> None:
    generator = np.random.default_rng(0)
    label_id, a, b = generator.integers(0, 5, (3, 200))
    change = clustering.confusion(b, label_id, 5) - clustering.confusion(a, label_id, 5)
    for i in range(5):
        for j in range(5):
            came, left = changes.moved(a, b, label_id, i, j)
            assert len(came) - len(left) == change[i, j]
            assert all(label_id[row] == i and b[row] == j and a[row] != j for row in came)
            assert all(label_id[row] == i and a[row] == j and b[row] != j for row in left)


def scored(folder: Path, name: str, generator: np.random.Generator, noise: float) -> Path:
    """A run folder with the scores of a generated space of 60 test and 40 training samples in 4 classes."""
    label_id = np.arange(100) % 4
    vectors = (np.eye(6)[label_id] + noise * generator.normal(size=(100, 6))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.array([f"{row:03d}.png" for row in range(100)], dtype=object)
    config = next(run for run in conftest.tiny().runs() if run.is_trained)
    table = EmbeddingTable(
        sample_id=ids, path=ids, label=label_id.astype(str).astype(object), label_id=label_id.astype(np.int32),
        split=np.array(["test"] * 60 + ["train"] * 40, dtype=object), group=ids, cluster=label_id.astype(np.int32),
        x=vectors[:, 0], y=vectors[:, 1], embedding=vectors,
        metadata=conftest.said_of_itself("0123") | {"config": config.to_json(), "normalization": "l2"})
    run = folder / name
    run.mkdir(parents=True)
    scores = scoring.score(table)
    scoring.write_scores(Run(run), scores)
    tables.write(table, run / "embeddings.parquet")
    files.write_json(run / "run.json", {"config": config.to_json(), "fingerprint": ""})
    files.write_json(run / "evaluation.json", {"metrics": summaries.evaluation(scores, 200)["metrics"]})
    return run


def check_against_reports(runs: list[Run]) -> int:
    """Quadrants of each pair: sums are the reported accuracies, and the uneven two McNemar's counts; how many pairs."""
    for first, second in (pairs := list(combinations(runs, 2))):
        columns = []
        for run in (first, second):
            scores = scoring.scores_of_runs([run], run.name)
            columns.append(dict(zip(scores.sample_id.tolist(), scores.values["knn_accuracy"][0].tolist())))
        a, b = columns
        assert a.keys() == b.keys()
        found = changes.quadrants(np.array(list(a.values())), np.array([b[key] for key in a]))
        for run, right in ((first, found.right_a), (second, found.right_b)):
            reported = files.read_json(run.evaluation_file)["metrics"]["knn_accuracy"]["mean"]
            assert right / found.n == pytest.approx(reported, abs=1e-12)
        test = paired_tests.mcnemar("knn_accuracy", np.array([list(a.values())]), np.array([[b[key] for key in a]]))
        assert ((len(found.only_a),), (len(found.only_b),)) == (test.only_a, test.only_b)
        lost = sum(a[key] == 1 and b[key] == 0 for key in a)
        won = sum(a[key] == 0 and b[key] == 1 for key in a)
        assert (len(found.only_a), len(found.only_b)) == (lost, won)
    return len(pairs)


def test_quadrant_sums_are_the_reported_accuracies_on_ten_experiments(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    n_uneven = 0
    for number in range(10):
        runs = [scored(tmp_path / f"experiment{number}", name, generator, noise) for name, noise in (("a", 0.6), ("b", 0.4))]
        assert check_against_reports([Run(run) for run in runs]) == 1
        n_uneven += files.read_json(runs[0] / "evaluation.json") != files.read_json(runs[1] / "evaluation.json")
    assert n_uneven == 10


def test_quadrant_sums_are_what_a_real_experiment_reports(finished: Path) -> None:
    assert check_against_reports(Experiment(finished).runs) == 15
