"""Overlap against a slow loop, CKA against its definition by kernels; what must not change either."""

import numpy as np
import pytest

from core.analysis import agreement


def random_space(seed: int, n: int = 60, width: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def test_overlap_is_that_of_a_slow_loop() -> None:
    a = random_space(0)
    b = (a + 0.5 * random_space(1)).astype(np.float32)

    def nearest(vectors: np.ndarray, row: int, k: int) -> set[int]:
        unit = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
        others = sorted((other for other in range(len(unit)) if other != row), key=lambda other: -unit[row] @ unit[other])
        return set(others[:k])

    for k in (1, 5, 20):
        slow = [len(nearest(a, row, k) & nearest(b, row, k)) / k for row in range(60)]
        assert agreement.neighborhood_overlap(a, b, k) == pytest.approx(slow)
        assert 0.1 < np.mean(slow) < 0.95


def test_overlap_of_the_same_space_is_whole_and_of_strangers_what_chance_gives() -> None:
    a = random_space(0, n=400)
    assert (agreement.neighborhood_overlap(a, a, 10) == 1).all()
    assert agreement.neighborhood_overlap(a, random_space(9, n=400), 10).mean() == pytest.approx(10 / 399, abs=0.01)
    assert agreement.neighborhood_overlap(a[:4], random_space(9, n=4), 10).tolist() == [1] * 4  # all there are


def test_cka_is_that_of_centred_kernels() -> None:
    a, b = random_space(0, width=5), np.concatenate([random_space(0, width=5), random_space(3, width=2)], axis=1)
    center = np.eye(60) - 1 / 60

    def hsic(one: np.ndarray, other: np.ndarray) -> float:
        return np.trace(center @ (one @ one.T) @ center @ (other @ other.T))

    wide_a, wide_b = a.astype(float), b.astype(float)
    slow = hsic(wide_a, wide_b) / np.sqrt(hsic(wide_a, wide_a) * hsic(wide_b, wide_b))
    assert agreement.linear_cka(a, b) == pytest.approx(slow, abs=1e-6)
    assert 0.3 < slow < 0.99


def test_cka_does_not_mind_turning_scaling_or_moving_a_space() -> None:
    a = random_space(0)
    turn = np.linalg.qr(random_space(5, n=7))[0]
    assert agreement.linear_cka(a, 3 * a @ turn + 2) == pytest.approx(1, abs=1e-6)
    assert agreement.linear_cka(random_space(0, n=9000), random_space(1, n=9000)) < 0.01


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold the same samples, two or more, got 3 and 4"):
        agreement.neighborhood_overlap(random_space(0, n=3), random_space(0, n=4), 1)
    with pytest.raises(ValueError, match="got one where all are the same"):
        agreement.linear_cka(np.ones((5, 3), np.float32), random_space(0, n=5))
