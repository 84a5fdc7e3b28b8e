"""Macro averages, each class counted alike: scikit-learn's and numpy's by value, intervals against a bootstrap by hand and a
population whose truth is known."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.neighbors import KNeighborsClassifier

from core import files
from core.analysis import comparison, macro, metrics, probe, resampling, retrieval, statements
from core.analysis import table as tables
from core.cli import follow
from core.experiments.handles import Experiment
from core.results import scoring, verdict
from tests.unit.test_own_group import grouped, slow_values

SIZES = (60, 25, 10, 6, 4)


def long_tailed(seed: int, sizes: tuple[int, ...] = SIZES, gap: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Classes of very different sizes, shape (n, 6), float32, in no order."""
    generator = np.random.default_rng(seed)
    label = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centers = np.random.default_rng(0).normal(size=(len(sizes), 6))
    return (gap * centers[label] + generator.normal(size=(len(label), 6))).astype(np.float32), label


def average(values: np.ndarray, label: np.ndarray, group: np.ndarray | None = None) -> float:
    alone = np.arange(len(label)) if group is None else group
    return float(macro.contributions(values[None], label, alone).mean())


def test_by_hand() -> None:
    values, label = np.array([1.0, 0.0, 0.0, 0.0, 1.0, np.nan]), np.array([0, 0, 0, 0, 1, 1])
    assert average(values, label) == pytest.approx((0.25 + 1) / 2)  # the second query of class 1 is undefined
    assert np.nanmean(values) == pytest.approx(0.4)
    assert macro.weights(label, ~np.isnan(values)).tolist() == [0.625, 0.625, 0.625, 0.625, 2.5, 0]
    none_left = np.array([1.0, 0.0, 0.0, 0.0, np.nan, np.nan])
    assert average(none_left, label) == pytest.approx(0.25), "a class without a value is left out"
    assert np.isnan(macro.contributions(np.full((2, 6), np.nan), label, np.arange(6))).all()


@pytest.mark.parametrize("seed", range(3))
def test_of_accuracies_it_is_scikit_learns_balanced_accuracy(seed: int) -> None:
    (vectors, label), (known, known_label) = long_tailed(seed), long_tailed(10 + seed)
    right, _ = probe.measure(vectors, label, known, known_label, long_tailed(20 + seed))
    neighbors = KNeighborsClassifier(1, metric="cosine").fit(known, known_label)
    for found, said in ((metrics.knn_correct(vectors, label, known, known_label, 1), neighbors.predict(vectors)),
                        (right, np.where(right == 1, label, (label + 1) % len(SIZES)))):
        assert average(found, label) == pytest.approx(balanced_accuracy_score(label, said), abs=1e-12)
        assert average(found, label) == pytest.approx(recall_score(label, said, average="macro"), abs=1e-12)
        assert abs(average(found, label) - found.mean()) > 0.01, "the classes must differ in size and accuracy"


@pytest.mark.parametrize("seed", range(3))
def test_of_map_at_r_it_is_numpys_mean_over_classes_of_defined_queries(seed: int) -> None:
    vectors, label, group = grouped(seed, n=40)
    values = retrieval.retrieve(vectors, label, group=group)["map_at_r"]
    by_class = [np.nanmean(values[label == name]) for name in np.unique(label) if not np.isnan(values[label == name]).all()]
    assert average(values, label, group) == pytest.approx(np.mean(by_class), abs=1e-12)


@pytest.mark.parametrize("name", ["map_at_r", "r_precision"])
@pytest.mark.parametrize("seed", range(2))
def test_what_a_sample_does_to_others_is_counted_by_their_classes(name: str, seed: int) -> None:
    vectors, label, group = grouped(seed, n=26)
    slow, whole = np.zeros(26), np.array(slow_values(vectors, label, group)[name])
    weight = macro.weights(label, ~np.isnan(whole))
    for left_out in range(26):
        rows = np.delete(np.arange(26), left_out)
        without = slow_values(vectors[rows], label[rows], group[rows])[name]
        slow[left_out] = sum(weight[row] * (whole[row] - value) for row, value in zip(rows, without) if not np.isnan(value))
    found = retrieval.measure(vectors, label, group)
    np.testing.assert_allclose(found.gallery_by_class[name], slow, atol=1e-9)
    assert np.abs(found.gallery_by_class[name] - found.gallery[name]).max() > 0.01, "weights must matter here"


def test_where_classes_are_equally_large_it_is_the_plain_average() -> None:
    vectors, label = long_tailed(1, (20, 20, 20))
    found = retrieval.measure(vectors, label)
    for name in retrieval.NAMES:
        assert np.array_equal(found.gallery[name], found.gallery_by_class[name])
        drawn = macro.contributions(found.values[name][None], label, np.arange(60), found.gallery_by_class[name][None])
        assert drawn.mean() == pytest.approx(found.values[name].mean(), abs=1e-12)
        plain = comparison.interval(resampling.contributions(found.values[name][None], found.gallery[name][None]), 2000)
        by_class = comparison.interval(drawn, 2000)
        assert by_class.high - by_class.low == pytest.approx(plain.high - plain.low, rel=0.15)


def test_the_interval_is_that_of_a_bootstrap_by_hand_that_draws_photographs() -> None:
    """Draws whole photographs and averages the classes anew, thousands of times; many photographs a class, so that what Duet
    adds for few of them is little."""
    generator = np.random.default_rng(0)
    label_of = np.repeat(np.arange(4), (300, 120, 60, 40))
    group = np.repeat(np.arange(520), generator.integers(1, 4, 520))
    label = label_of[group]
    values = (generator.random(520)[group] + 0.3 * generator.random(len(group)) < np.array([0.9, 0.8, 0.5, 0.7])[label]) * 1.0
    rows_of, means = [np.flatnonzero(group == item) for item in range(520)], []
    for _ in range(3000):
        rows = np.concatenate([rows_of[item] for item in generator.integers(520, size=520)])
        means.append(np.mean([values[rows][label[rows] == name].mean() for name in range(4)]))
    low, high = np.quantile(means, [0.025, 0.975])
    found = comparison.interval(macro.contributions(values[None], label, group), 4000, group=group)
    assert found.mean == pytest.approx(np.mean([values[label == name].mean() for name in range(4)]), abs=1e-12)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))
    alone = comparison.interval(macro.contributions(values[None], label, np.arange(len(group))), 4000)
    assert alone.high - alone.low < 0.85 * (high - low), "photographs must matter here"


def test_it_covers_the_truth_of_long_tailed_classes() -> None:
    """An accuracy by class that is known, photographs right or wrong as a whole, the rarest classes with five of them: 300
    draws, the share covered within 3.5 standard errors of 95 %."""
    n_groups = np.array([120, 60, 40, 20, 15, 10, 10, 8, 6, 5])
    rate, n_covered = np.linspace(0.9, 0.4, 10), 0
    for seed in range(300):
        generator = np.random.default_rng(seed)
        group = np.repeat(np.arange(n_groups.sum()), generator.integers(1, 4, n_groups.sum()))
        label = np.repeat(np.arange(10), n_groups)[group]
        values = (generator.random(n_groups.sum())[group] < rate[label]).astype(float)
        found = comparison.interval(macro.contributions(values[None], label, group), 400, group=group)
        n_covered += found.low <= rate.mean() <= found.high
    assert n_covered / 300 == pytest.approx(0.95, abs=3.5 * np.sqrt(0.95 * 0.05 / 300)), n_covered


def test_a_class_of_one_photograph_is_not_taken_as_sure() -> None:
    label = np.repeat([0, 1, 2], (50, 50, 3))
    values = np.concatenate([np.tile([1.0, 0.0], 50), [1.0, 1.0, 1.0]])
    group = np.concatenate([np.arange(100), [100, 100, 100]])
    several = np.arange(103)
    one, three = (comparison.interval(macro.contributions(values[None], label, item), 2000, group=item)
                  for item in (group, several))
    assert [one.mean, three.mean] == pytest.approx([2 / 3, 2 / 3])
    assert one.high - one.low > 3 * (three.high - three.low)


def imbalanced(experiment: Path) -> None:
    """Has the runs of an experiment tested on few images of the higher digits."""
    for run in Experiment(experiment).runs:
        table = tables.read(run.embeddings_file)
        is_of_class = (table.label[:, None] == np.array(table.classes)) & (table.split == "test")[:, None]
        place = np.cumsum(is_of_class, axis=0)[np.arange(len(table)), table.label_id]
        kept = (table.split != "test") | (place <= 36 - 3 * table.label_id)
        tables.write(table.rows(np.flatnonzero(kept)), run.embeddings_file)
        run.scores_file.unlink()
    (experiment / "verdict.json").unlink()


def test_verdict_tables_and_evaluation_give_both_and_say_which_is_which(
        experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imbalanced(experiment)
    found = verdict.decide(Experiment(experiment))
    arm = next(row for row in found.arms(15) if row.objective == "supcon")
    scores = scoring.arm(Experiment(experiment), "supcon", 15)
    for name in metrics.SHORT:
        by_class = [scores.values[name][:, scores.label_id == item].mean() for item in range(10)]
        assert arm.macro[name].mean == pytest.approx(np.mean(by_class), abs=1e-12)
        assert arm.metrics[name].mean == pytest.approx(scores.values[name].mean(), abs=1e-12)
        assert arm.macro[name].low < arm.macro[name].mean < arm.macro[name].high
    assert max(abs(arm.macro[name].mean - arm.metrics[name].mean) for name in metrics.SHORT) > macro.LEAST_TOLD
    pair = found.pair("classification", "supcon", 15)
    assert [item.metric for item in pair.macro] == list(metrics.SHORT)
    other = next(row for row in found.arms(15) if row.objective == "classification")
    for item in pair.macro:
        assert item.difference == pytest.approx(arm.macro[item.metric].mean - other.macro[item.metric].mean, abs=1e-12)
        assert item.p_holm >= item.p_value
    said = statements.macro_sentence(pair)
    assert said.startswith("With each class counted alike (macro), MAP@R is ") and statements.row(pair.macro[0]).gap in said
    printed = follow._table(found.arms(15), "test images")
    assert printed.count("each class alike") == 3 and "each counted alike but where it says otherwise" in printed


def test_where_both_are_nearly_the_same_the_second_is_not_told(finished: Path) -> None:
    found = verdict.read(Experiment(finished))
    assert statements.macro_sentence(found.pair("classification", "supcon", 15)) == ""
    assert "each class alike" not in follow._table(found.arms(15), "test images")


def test_files_of_runs_hold_macro_averages_too(finished: Path) -> None:
    told = files.read_json(finished / "supcon-15-seed0" / "evaluation.json")
    for name in metrics.SHORT:
        by_class = [item[name] for item in told["per_class"]]
        assert told["macro"][name]["mean"] == pytest.approx(np.mean(by_class), abs=1e-12)
