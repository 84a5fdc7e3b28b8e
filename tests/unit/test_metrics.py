"""Every metric against worked examples, slow loops from the papers' formulas, and another library."""

import warnings
from itertools import pairwise

import numpy as np
import pytest

from core.analysis import comparison, metrics, parts, retrieval
from tests.unit.test_retrieval import cosine, on_circle, random_space


def slow_knn(vectors, label, known, known_label, k) -> list[float]:
    right = []
    for vector, truth in zip(vectors, label):
        nearest = sorted(range(len(known)), key=lambda row: -cosine(vector, known[row]))[:k]
        votes = [known_label[row] for row in nearest]
        most = max(votes.count(name) for name in votes)
        tied = [name for name in votes if votes.count(name) == most]
        if len(set(tied)) == 1:
            right.append(float(tied[0] == truth))
        else:
            right.append(None)  # a tie: told apart in tests of its own
    return right


def test_knn_by_hand():
    known, known_label = on_circle(0, 10, 20, 90, 100), np.array([0, 0, 1, 1, 1])
    right = metrics.knn_correct(on_circle(5, 5, 95, 17), np.array([0, 1, 1, 0]), known, known_label, k=3)
    assert right.tolist() == [1, 0, 1, 1]  # at 17°: 20 b, 10 a, 0 a -> a
    assert metrics.knn_correct(on_circle(17), np.array([1]), known, known_label, k=1).tolist() == [1]
    assert right.dtype == np.float64


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_knn_is_what_a_slow_loop_finds(k):
    vectors, label = random_space(k, n=60, width=4, n_classes=3)
    known, known_label = random_space(k + 100, n=50, width=4, n_classes=3)
    slow = slow_knn(vectors, label, known, known_label, k)
    untied = [place for place, value in enumerate(slow) if value is not None]
    found = metrics.knn_correct(vectors, label, known, known_label, k)
    assert len(untied) > 20
    assert [found[place] for place in untied] == [slow[place] for place in untied]
    assert {slow[place] for place in untied} == {0.0, 1.0}


@pytest.mark.parametrize("order, wins", [("ab", "a"), ("ba", "b"), ("aabb", "a"), ("abab", "a"), ("bbaa", "b"),
                                         ("cabab", "a")])
def test_a_tie_goes_to_the_nearer_class(order, wins):
    for names in ({"a": 0, "b": 1, "c": 2}, {"a": 2, "b": 1, "c": 0}):
        known = on_circle(*range(10, 10 + 10 * len(order), 10))
        known_label = np.array([names[name] for name in order])
        query, truth = on_circle(0), np.array([names[wins]])
        assert metrics.knn_correct(query, truth, known, known_label, len(order)).tolist() == [1]


@pytest.mark.parametrize("order", ["abba", "abbac", "baab"])
def test_a_tie_does_not_depend_on_the_numbers_of_the_classes(order):
    known, right = on_circle(*range(10, 10 + 10 * len(order), 10)), []
    for names in ({"a": 0, "b": 1, "c": 2}, {"a": 1, "b": 0, "c": 2}):
        known_label = np.array([names[name] for name in order])
        right.append(metrics.knn_correct(on_circle(0), np.array([names["a"]]), known, known_label, len(order)).tolist())
    assert right[0] == right[1]


@pytest.mark.parametrize("nearer, farther", [(70, 71), (71, 70)])
def test_a_tie_far_from_the_query_goes_to_the_nearer_class_too(nearer, farther):
    known_label = np.array([*range(60), nearer, farther, nearer, farther])  # one vote each of sixty others before them
    known = on_circle(*np.linspace(1, 90, 64))
    assert metrics.knn_correct(on_circle(0), np.array([nearer]), known, known_label, k=64).tolist() == [1]


def test_more_voters_than_there_are_samples_means_all_of_them():
    known, known_label = on_circle(0, 80, 90), np.array([0, 1, 1])
    assert metrics.knn_correct(on_circle(1), np.array([1]), known, known_label, k=50).tolist() == [1]


def test_many_voters_are_still_counted_by_head():
    known = on_circle(*np.linspace(1, 90, 999))
    known_label = np.array([0] * 499 + [1] * 500)  # the farther class has one vote more
    assert metrics.knn_correct(on_circle(0), np.array([1]), known, known_label, k=1000).tolist() == [1]


def test_kmeans_of_separate_classes_is_all_right_and_of_two_swapped_labels_not():
    generator = np.random.default_rng(0)
    label = np.repeat(np.arange(3), 10)
    vectors = (np.eye(3)[label] * 9 + generator.normal(0, 0.1, (30, 3))).astype(np.float32)
    assert metrics.kmeans_correct(vectors, label, 3, n_seeds=4).tolist() == [[1.0] * 30] * 4
    swapped = label.copy()
    swapped[[0, 29]] = label[[29, 0]]
    found = metrics.kmeans_correct(vectors, swapped, 3, n_seeds=2)
    assert found.shape == (2, 30)
    assert np.flatnonzero(found[0] == 0).tolist() == [0, 29]


def test_all_metrics_of_a_space_are_the_ones_announced():
    vectors, label = random_space(5, n=40, n_classes=3)
    known, known_label = random_space(6, n=50, n_classes=3)
    measured = metrics.measure(vectors, label, known, known_label, n_classes=3, neighbors=5, kmeans_seeds=3)
    found = measured.values
    assert list(found) == list(metrics.METRICS)
    assert metrics.HEADLINE in found
    for pull in measured.gallery.values():
        assert pull.mean() == pytest.approx(0, abs=1e-12)
    for name, values in found.items():
        low, high = metrics.METRICS[name].bounds
        assert values.shape == (40,)
        assert values.dtype == np.float64
        assert ((values >= low) & (values <= high)).all()
    assert np.array_equal(found["knn_accuracy"], metrics.knn_correct(vectors, label, known, known_label, 5))
    assert np.array_equal(found["kmeans_accuracy"], metrics.kmeans_correct(vectors, label, 3, 3).mean(axis=0))
    assert np.array_equal(found["map_at_r"], retrieval.retrieve(vectors, label)["map_at_r"])


def test_a_collapsed_space_is_scored_and_not_called_good():
    label = np.repeat(np.arange(4), 10)
    label = np.random.default_rng(0).permutation(label)
    vectors = np.ones((40, 5), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # K-means says that it found one point
        found = metrics.measure(vectors, label, vectors, label, n_classes=4, neighbors=5, kmeans_seeds=2).values
    for values in found.values():
        assert np.isfinite(values).all()
        assert values.mean() < 0.5


def test_several_k_at_once_are_each_by_itself():
    vectors, label = random_space(1, n=50, n_classes=3)
    known, known_label = random_space(2, n=70, n_classes=3)
    found = metrics.measure(vectors, label, known, known_label, 3, neighbors=7, kmeans_seeds=1).values
    for name, k in (("knn_1", 1), ("knn_accuracy", 7), ("knn_20", 20)):
        assert np.array_equal(found[name], metrics.knn_correct(vectors, label, known, known_label, k))


def test_the_same_bits_on_one_core_and_on_several(monkeypatch):
    vectors, label = random_space(0, n=1500, width=16, n_classes=5)
    several = metrics.measure(vectors, label, vectors, label, 5, 5, 2)
    monkeypatch.setattr(parts.os, "sched_getaffinity", lambda _: {0}, raising=False)
    alone = metrics.measure(vectors, label, vectors, label, 5, 5, 2)
    for part in ("values", "gallery", "space"):
        for name, column in getattr(several, part).items():
            assert np.array_equal(column, getattr(alone, part)[name], equal_nan=True), name
    assert np.array_equal(several.clusters, alone.clusters)


def toy_space(width: float) -> tuple[np.ndarray, np.ndarray]:
    """Three classes on a circle, each evenly over a share of its third: after Musgrave et al., 2020, figure 3."""
    label = np.repeat([0, 1, 2], 200)
    angle = (label + 0.5 * width * np.tile(np.linspace(-1, 1, 200), 3)) * 2 * np.pi / 3
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32), label


def test_spaces_that_kmeans_takes_for_equals_are_told_apart_by_map_at_r():
    found = [metrics.measure(*toy_space(width), *toy_space(width), 3, 5, 3) for width in (0.985, 0.9, 0.55)]
    assert min(item.values["kmeans_accuracy"].mean() for item in found) > 0.99
    assert [item.values["map_at_r"].mean() for item in found] == pytest.approx([0.68, 0.76, 0.99], abs=0.02)
    for worse, better in pairwise(found):
        a, b = ({name: (item.values[name] + item.gallery.get(name, 0))[None] for name in ("map_at_r", "kmeans_accuracy")}
                for item in (worse, better))
        assert [item.verdict for item in comparison.compare(a, b, 2000)] == ["better", "cannot tell"]
    assert "0.68, 0.76 and 0.99" in metrics.WHY_NOT_KMEANS_ALONE
