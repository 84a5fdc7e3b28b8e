"""How often one more run of B would beat one more of A: its value, its interval, and whether that covers the truth."""

from dataclasses import astuple

import numpy as np
import pytest
from scipy.stats import norm

from core.analysis import comparison, statements
from core.analysis.outperforming import Outperforming, outperforming


def arms(generator: np.random.Generator, gap: float, sd_a: float, sd_b: float, n_seeds: int, n: int = 60) -> list[np.ndarray]:
    """Values of A and B, shape (seeds, images): images differ a little, seeds by what a run is worth."""
    images = generator.normal(0.5, 0.05, n)
    return [images + mean + generator.normal(0, sd, (n_seeds, 1)) for mean, sd in ((0.0, sd_a), (gap, sd_b))]


def test_the_probability_is_that_of_two_normal_runs() -> None:
    found = outperforming(0.03, np.full(2000, 0.03), 0.03, 0.04, (3, 3))
    assert found.probability == pytest.approx(norm.cdf(0.03 / 0.05))
    assert 0.5 < found.low < found.probability < found.high < 1


def test_many_seeds_leave_the_gap_alone_in_doubt() -> None:
    gaps = np.random.default_rng(0).normal(0.03, 0.01, 4000)
    found = outperforming(0.03, gaps, 0.03, 0.04, (100_000, 100_000))
    assert found.low == pytest.approx(norm.cdf(0.0104 / 0.05), abs=0.01)
    assert found.high == pytest.approx(norm.cdf(0.0496 / 0.05), abs=0.01)


@pytest.mark.parametrize("gap, expected", [(0.01, 1.0), (-0.01, 0.0), (0.0, 0.5), (1e-16, 0.5)])
def test_runs_without_spread_are_told_by_the_gap_alone(gap: float, expected: float) -> None:
    assert outperforming(gap, np.full(100, gap), 0.0, 0.0, (3, 3)) == Outperforming(expected, expected, expected)


def test_a_and_b_the_other_way_round_add_up_to_one() -> None:
    a, b = arms(np.random.default_rng(1), 0.02, 0.02, 0.01, 3)
    there, back = (comparison.difference("map_at_r", *pair, 2000).outperforming for pair in ((a, b), (b, a)))
    assert there.probability + back.probability == pytest.approx(1)
    assert there.low + back.high == pytest.approx(1, abs=0.05)


def test_one_seed_says_nothing_of_another() -> None:
    found = comparison.difference("map_at_r", *arms(np.random.default_rng(2), 0.02, 0.0, 0.0, 1), 500)
    assert found.outperforming is None
    assert statements.row(found).outperforms == "–"


def test_a_row_shows_it_in_percent_with_its_interval() -> None:
    found = comparison.difference("map_at_r", *arms(np.random.default_rng(3), 0.02, 0.02, 0.02, 3), 500)
    probability, low, high = (round(100 * value) for value in astuple(found.outperforming))
    assert statements.row(found).outperforms == f"{probability} [{low}, {high}]"


@pytest.mark.parametrize("n_seeds", [3, 6])
@pytest.mark.parametrize("gap, sd_a, sd_b", [(0.0, 0.02, 0.02), (0.02, 0.02, 0.02), (0.03, 0.01, 0.03)])
def test_the_interval_covers_the_truth(n_seeds: int, gap: float, sd_a: float, sd_b: float) -> None:
    generator = np.random.default_rng([4, n_seeds])
    truth = norm.cdf(gap / np.hypot(sd_a, sd_b))
    covered = [found.low <= truth <= found.high for found in (
        comparison.difference("map_at_r", *arms(generator, gap, sd_a, sd_b, n_seeds), 400).outperforming for _ in range(400))]
    assert 0.92 <= np.mean(covered) <= 0.99, np.mean(covered)
