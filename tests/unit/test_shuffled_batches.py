"""What a shuffled batch holds, against every batch there is, other libraries' formulas and batches really drawn."""

from itertools import combinations, islice

import numpy as np
import pytest
from scipy.stats import hypergeom

from core.data import shuffled_batches
from core.training.batches import ShuffledSampler

CASES = [([3, 2, 4], 4), ([2, 2, 2, 2], 3), ([6, 1], 2), ([1, 1, 1, 5], 3), ([4, 3], 7), ([9, 1, 1], 3)]


def every_batch(sizes: list[int], n_images: int) -> np.ndarray:
    """Labels of each batch that could be drawn, shape (batches, n_images)."""
    return np.array(list(combinations(np.repeat(np.arange(len(sizes)), sizes), n_images)))


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("sizes, n_images", CASES)
def test_each_number_is_its_mean_over_every_batch(sizes: list[int], n_images: int, views: int) -> None:
    batches = np.tile(every_batch(sizes, n_images), views)
    found = (batches[:, :, None] == batches[:, None]).sum(2) - 1  # positives of each anchor
    n_classes = np.array([len(set(batch)) for batch in batches.tolist()])
    assert shuffled_batches.positives(sizes, n_images, views) == pytest.approx(found.mean(), abs=1e-12)
    assert shuffled_batches.without_positive(sizes, n_images, views) == pytest.approx((found == 0).mean(), abs=1e-12)
    assert shuffled_batches.useless(sizes, n_images, views) == pytest.approx(
        ((n_classes == 1) | (found == 0).all(1)).mean(), abs=1e-12)


def test_anchors_without_a_positive_are_the_hypergeometric_distributions() -> None:
    sizes, n_images = np.array([500, 120, 30, 7]), 60
    alone = hypergeom.pmf(0, sizes.sum() - 1, sizes - 1, n_images - 1)
    expected = (sizes / sizes.sum() * alone).sum()
    assert shuffled_batches.without_positive([*sizes], n_images) == pytest.approx(expected, rel=1e-9)


def test_batches_without_a_pair_are_the_birthday_problem() -> None:
    """23 people, 365 days: all birthdays differ with probability 0.4927."""
    assert shuffled_batches.useless([10**6] * 365, 23) == pytest.approx(0.4927, abs=1e-4)


def test_more_images_than_classes_always_hold_a_pair() -> None:
    assert shuffled_batches.useless([10**4] * 37, 60) < 1e-80


@pytest.mark.parametrize("sizes", [[60, 25, 5, 2], [10] * 37])
def test_batches_really_drawn_hold_as_many_positives(sizes: list[int]) -> None:
    label_id = np.repeat(np.arange(len(sizes)), sizes)
    drawn = [label_id[ShuffledSampler(np.arange(len(label_id)), 30, seed).draw()] for seed in range(2000)]
    found = np.array([(batch[:, None] == batch).sum(1) - 1 for batch in drawn])
    error = found.mean(1).std() / 2000 ** 0.5
    assert abs(found.mean() - shuffled_batches.positives(sizes, 30)) < 4 * error
    error = (found == 0).mean(1).std() / 2000 ** 0.5
    assert abs((found == 0).mean() - shuffled_batches.without_positive(sizes, 30)) < 4 * error + 1e-12


def test_passes_that_share_a_batch_change_little() -> None:
    """Rows of 92 in batches of 30: of 920 batches three in four lie within one pass."""
    sizes = [60, 25, 5, 2]
    label_id = np.repeat(np.arange(4), sizes)
    drawn = np.stack([label_id[rows] for rows in islice(ShuffledSampler(np.arange(92), 30, 0), 920)])
    assert ((drawn[:, :, None] == drawn[:, None]).sum(2) - 1).mean() == pytest.approx(
        shuffled_batches.positives(sizes, 30), rel=0.02)
