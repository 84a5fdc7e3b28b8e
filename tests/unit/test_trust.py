"""Trust in a layout: against a slow loop from the paper, against scikit-learn, and what touches by hand."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from core.analysis import trust


def cloud(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random vectors of length 1, and a layout that knows little of them."""
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(n, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, (vectors[:, :2] + 0.4 * generator.normal(size=(n, 2))).astype(np.float32)


def slow(vectors: np.ndarray, layout: np.ndarray, k: int) -> list[float]:
    """Each point's trustworthiness as the paper defines it; with the two spaces swapped, its continuity."""
    n, values = len(vectors), []
    for i in range(n):
        ranks = []
        for space in (vectors, layout):
            apart = np.linalg.norm(space.astype(np.float64) - space[i], axis=1)
            order = sorted((other for other in range(n) if other != i), key=lambda other: apart[other])
            ranks.append({other: place + 1 for place, other in enumerate(order)})
        high, low = ranks
        false = [other for other in low if low[other] <= k and high[other] > k]
        values.append(1 - 2 / (k * (2 * n - 3 * k - 1)) * sum(high[other] - k for other in false))
    return values


@pytest.mark.parametrize("n, k", [(40, 5), (25, 12), (7, 3), (3, 1)])
def test_every_point_is_what_the_paper_says(n: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_CHUNK", 100)  # several chunks
    vectors, layout = cloud(n)
    found = trust.measure(vectors, layout, k)
    np.testing.assert_allclose(found.trustworthiness, slow(vectors, layout, k), atol=1e-12)
    np.testing.assert_allclose(found.continuity, slow(layout, vectors, k), atol=1e-12)


def slow_of_groups(vectors: np.ndarray, layout: np.ndarray, k: int, group: np.ndarray) -> list[float]:
    """Each point by itself, among those outside its own group."""
    values = []
    for row in range(len(vectors)):
        rows = np.append(np.flatnonzero(group != group[row]), row)
        fewer = min(k, (len(rows) - 1) // 2)
        values.append(slow(vectors[rows], layout[rows], fewer)[-1] if fewer else np.nan)
    return values


def test_points_of_ones_own_group_are_nobodys_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_CHUNK", 100)
    vectors, layout = cloud(24)
    group = np.repeat([0, 1, 2, 3, 4], [14, 4, 3, 2, 1])  # the first has ten others, so five neighbours at most
    found = trust.measure(vectors, layout, 7, group=group)
    np.testing.assert_allclose(found.trustworthiness, slow_of_groups(vectors, layout, 7, group), atol=1e-12)
    np.testing.assert_allclose(found.continuity, slow_of_groups(layout, vectors, 7, group), atol=1e-12)
    assert (found.near_layout[0] == -1).sum() == 2 and (found.near_layout[-1] >= 0).all()
    alone = trust.measure(vectors, layout, 7, group=np.arange(24))
    np.testing.assert_array_equal(alone.trustworthiness, trust.measure(vectors, layout, 7).trustworthiness)
    label_id = np.arange(24) % 2
    assert trust.touches(trust.measure(vectors, layout, 7, group=np.zeros(24, int)), label_id, 2) == [], "nobody is left"
    assert np.isnan(trust.measure(vectors, layout, 7, group=np.zeros(24, int)).trustworthiness).all()


def test_its_mean_is_scikit_learns() -> None:
    vectors, layout = cloud(300)
    found = trust.measure(vectors, layout, 10)
    assert found.trustworthiness.mean() == pytest.approx(trustworthiness(vectors, layout, n_neighbors=10, metric="cosine"))
    assert found.continuity.mean() == pytest.approx(trustworthiness(layout, vectors, n_neighbors=10))
    assert 0.5 < found.trustworthiness.mean() < 0.95


def test_a_faithful_layout_is_fully_trusted_wherever_it_lies() -> None:
    angle = np.sort(np.random.default_rng(0).uniform(0, np.pi, 50))
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    found = trust.measure(circle, 30 * circle + 1000, 5)
    assert found.trustworthiness.min() == found.continuity.min() == 1


def test_of_many_points_some_are_measured_among_all() -> None:
    vectors, layout = cloud(200)
    whole, part = trust.measure(vectors, layout, 8), trust.measure(vectors, layout, 8, most=30)
    assert len(part.rows) == 30 == np.isfinite(part.trustworthiness).sum()
    np.testing.assert_array_equal(part.trustworthiness[part.rows], whole.trustworthiness[part.rows])
    np.testing.assert_array_equal(part.continuity[part.rows], whole.continuity[part.rows])
    np.testing.assert_array_equal(part.near_space, whole.near_space[part.rows])


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 points, got 2"):
        trust.measure(*cloud(2))


def test_classes_that_touch_in_the_layout_alone_are_named() -> None:
    generator = np.random.default_rng(0)
    label_id = np.repeat([0, 1, 2], 20)
    vectors = (np.eye(6)[label_id] + 0.05 * generator.normal(size=(60, 6))).astype(np.float32)
    layout = np.array([[0, 0], [0, 0], [9, 9]])[label_id] + generator.normal(size=(60, 2))  # 0 and 1 on top of each other
    found = trust.touches(trust.measure(vectors, layout, 5), label_id, 3)
    assert [(item.label, item.other) for item in found] == [(0, 1)]
    assert found[0].there == 0 and found[0].here > 0.3
    apart = np.array([[0, 0], [9, 0], [9, 9]])[label_id] + generator.normal(size=(60, 2))
    assert trust.touches(trust.measure(vectors, apart, 5), label_id, 3) == []


def test_classes_that_are_neighbours_in_both_are_no_false_touch() -> None:
    generator = np.random.default_rng(0)
    label_id = np.arange(60) % 2
    vectors = generator.normal(size=(60, 6)).astype(np.float32)
    assert trust.touches(trust.measure(vectors, generator.normal(size=(60, 2)), 5), label_id, 2) == []


def test_displacement_by_hand() -> None:
    square = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert trust.displacement(square + np.array([0, 0.5]), square) == pytest.approx(0.5)
    assert trust.displacement(3 * square, 2 * square) == pytest.approx(0.5)
    assert trust.displacement(np.zeros((3, 2)), np.zeros((3, 2))) == 0
