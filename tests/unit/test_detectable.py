"""The gap that a plan can find: what it hangs on, and whether so many experiments find it."""

import numpy as np
import pytest

from core.analysis import comparison, detectable
from core.analysis.detectable import Spread

SPREAD = Spread(image=0.15, within_groups=0.3, seed=0.015)


def drawn(generator: np.random.Generator, gap: float, n_seeds: int, group_sizes: np.ndarray, spread: Spread,
          ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of A and of B, shape (seeds, images), and the images' groups: a gap that varies as the spread says."""
    group = np.repeat(np.arange(len(group_sizes)), group_sizes)
    n = len(group)
    of_groups = generator.normal(0, spread.image * np.sqrt(spread.within_groups), len(group_sizes))[group]
    of_images = of_groups + generator.normal(0, spread.image * np.sqrt(1 - spread.within_groups), n)
    base = generator.uniform(0.4, 0.6, n)
    a, b = (generator.normal(0, spread.seed, (n_seeds, 1)) for _ in range(2))
    return base + a, base + b + gap + of_images, np.array([f"g{item}" for item in group])


@pytest.mark.parametrize("n_seeds, group_sizes", [
    (3, np.ones(361, int)), (1, np.ones(200, int)), (5, np.full(60, 4)), (3, np.arange(1, 41))])
def test_four_of_five_experiments_find_the_gap_it_names(n_seeds: int, group_sizes: np.ndarray) -> None:
    generator = np.random.default_rng([1, n_seeds, len(group_sizes)])
    gap = detectable.gap(n_seeds, group_sizes, SPREAD if n_seeds > 1 else Spread(0.15, 0.3, 0.0))
    found = []
    for _ in range(250):
        a, b, group = drawn(generator, gap, n_seeds, group_sizes, SPREAD if n_seeds > 1 else Spread(0.15, 0.3, 0.0))
        found.append(comparison.difference("map_at_r", a, b, 300, group=group).verdict == "better")
    assert 0.7 <= np.mean(found) <= 0.9, (gap, np.mean(found))


def test_more_images_groups_and_seeds_find_smaller_gaps() -> None:
    gaps = [detectable.gap(3, np.ones(n, int), SPREAD) for n in (50, 200, 2000)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert detectable.gap(3, np.full(50, 4), SPREAD) > gaps[1], "200 images of 50 groups"
    assert detectable.gap(3, np.ones(10 ** 6, int), SPREAD) > detectable.gap(9, np.ones(10 ** 6, int), SPREAD) > 0.01


def test_one_group_finds_nothing() -> None:
    assert detectable.gap(3, np.array([200]), SPREAD) == float("inf")
