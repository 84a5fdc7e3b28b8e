"""The bootstrap against scipy's, against formulas, and on populations whose truth is known; Holm against statsmodels."""

import math

import numpy as np
import pytest
from scipy import stats

from core.analysis import resampling

T4, Z = 2.7764, 1.9600  # 97.5 % of t with four degrees of freedom, and of the normal distribution


def test_one_seed_of_many_images_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(0).gamma(0.5, size=400)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", random_state=1).confidence_interval
    ours = resampling.bootstrap([values[None]], 20_000, seed=0)
    width = theirs.high - theirs.low
    assert ours.mean[0] == pytest.approx(values.mean())
    assert ours.low[0] == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours.high[0] == pytest.approx(theirs.high, abs=0.02 * width)


def test_seeds_alone_make_the_t_interval() -> None:
    seeds = np.array([0.1, 0.4, 0.2, 0.7, 0.3])
    found = resampling.bootstrap([np.tile(seeds[:, None], (1, 50))], 4000, seed=0)
    low, high = stats.t.interval(0.95, 4, seeds.mean(), stats.sem(seeds))
    assert (found.low[0], found.high[0]) == pytest.approx((low, high), abs=1e-3)
    assert found.seed_share[0] == pytest.approx(1)


def test_the_arms_of_a_difference_have_welchs_interval() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.normal(0.5, 0.1, 4), generator.normal(0.7, 0.3, 4)
    arms = np.tile(a[:, None], (1, 30)), np.tile(b[:, None], (1, 30))
    found = resampling.bootstrap([arms[1] - arms[0]], 4000, 0, arms=[arms])
    theirs = stats.ttest_ind(b, a, equal_var=False)
    assert (found.low[0], found.high[0]) == pytest.approx(tuple(theirs.confidence_interval()), abs=2e-3)
    assert found.p_value[0] == pytest.approx(theirs.pvalue, abs=2e-3)


def test_images_that_seeds_agree_on_are_drawn_as_if_there_were_one_seed() -> None:
    values = np.random.default_rng(0).random(200)
    one, many = (resampling.bootstrap([np.tile(values, (n_seeds, 1))], 3000, 0) for n_seeds in (1, 5))
    assert (many.low[0], many.high[0]) == pytest.approx((one.low[0], one.high[0]))
    assert many.seed_share[0] == 0


def test_what_belongs_to_one_seed_with_one_image_is_counted_once() -> None:
    """Pure noise, five seeds of 4000 images: the variance of the mean is 1 / 20,000, and not twice that."""
    variances = []
    for trial in range(60):
        values = np.random.default_rng(trial).normal(size=(5, 4000))
        draws = resampling.bootstrap([values], 1000, trial).draws[:, 0]
        variances.append(((np.quantile(draws, 0.975) - np.quantile(draws, 0.025)) / 2 / T4) ** 2)
    assert np.mean(variances) * 20_000 == pytest.approx(1, abs=0.3)


def test_few_groups_are_as_wide_as_t_says() -> None:
    values = np.random.default_rng(5).normal(size=12)
    draws = resampling.bootstrap([np.repeat(values, 5)[None]], 20_000, 0, np.repeat([f"p{row}" for row in range(12)], 5))
    assert draws.draws[:, 0].std() == pytest.approx(stats.sem(values) * stats.t.ppf(0.975, 11) / Z, rel=0.02)


def test_several_columns_are_drawn_as_each_by_itself() -> None:
    generator = np.random.default_rng(2)
    first, second = generator.random((2, 3, 40))
    second[:, 5] = np.nan
    group = np.repeat([f"g{row}" for row in range(20)], 2)
    together = resampling.bootstrap([first, second], 500, 1, group)
    for place, column in enumerate((first, second)):
        alone = resampling.bootstrap([column], 500, 1, group)
        np.testing.assert_allclose(together.draws[:, place], alone.draws[:, 0], rtol=0, atol=1e-12)


def test_draws_do_not_depend_on_how_many_are_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((1, 50))
    at_once = resampling.bootstrap([values], 300, 0)
    monkeypatch.setattr(resampling, "_CHUNK", 1000)
    np.testing.assert_allclose(resampling.bootstrap([values], 300, 0).draws, at_once.draws, rtol=0, atol=1e-12)


def test_p_values_are_below_five_in_a_hundred_where_the_interval_leaves_out_zero() -> None:
    generator = np.random.default_rng(7)
    agreed = []
    for trial in range(100):
        found = resampling.bootstrap([generator.normal(generator.normal(0, 0.15), 1, (1, 200))], 2000, trial)
        is_out = found.low[0] > 0 or found.high[0] < 0
        agreed.append(is_out == (found.p_value[0] < 0.05) or abs(found.p_value[0] - 0.05) < 0.003)
        assert 2 / 2001 - 1e-12 <= found.p_value[0] <= 1
    assert all(agreed)


def test_p_values_are_those_of_the_t_test() -> None:
    values = np.random.default_rng(1).normal(0.12, 1, 300)
    found = resampling.bootstrap([values[None]], 20_000, 0)
    assert found.p_value[0] == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_statsmodels(seed: int) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(seed).random(9) ** 3
    rejected, adjusted, _, _ = multitest.multipletests(p_values, 0.05, method="holm")
    assert resampling.holm(p_values) == pytest.approx(adjusted)
    assert (resampling.holm(p_values) < 0.05).tolist() == rejected.tolist()


def test_holm_by_hand() -> None:
    assert resampling.holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    assert resampling.holm(np.array([0.5, 0.9])) == pytest.approx([1, 1])


def coverage(n_seeds: int, n: int, of_seeds: float, of_images: float, of_both: float, trials: int,
             n_groups: int = 0, of_groups: float = 0.0) -> float:
    """Share of populations whose difference, 0.05, the interval covers; each part's sd is given."""
    covered = []
    for trial in range(trials):
        generator = np.random.default_rng([trial, n_seeds])
        half = math.sqrt(0.5)  # each arm brings half of the variance
        a, b = (half * (of_seeds * generator.normal(size=(n_seeds, 1)) + of_both * generator.normal(size=(n_seeds, n)))
                for _ in range(2))
        b += 0.05 + of_images * generator.normal(size=n)
        group = generator.integers(n_groups, size=n).astype(str) if n_groups else None
        if n_groups:
            b += of_groups * generator.normal(size=n_groups)[group.astype(int)]
        found = resampling.bootstrap([b - a], 1000, trial, group, arms=[(a, b)])
        covered.append(found.low[0] <= 0.05 <= found.high[0])
    return float(np.mean(covered))


MIXTURES = {"images": (0, 0.4, 0), "both": (0, 0, 0.4), "images and both": (0, 0.3, 0.3), "mostly seeds": (0.03, 0.1, 0.2),
            "all alike": (0.015, 0.3, 0.1)}


@pytest.mark.parametrize("mixture", MIXTURES)
def test_three_seeds_cover_the_truth(mixture: str) -> None:
    assert 0.90 <= coverage(3, 150, *MIXTURES[mixture], trials=150) <= 1


def test_resampling_three_seeds_from_three_would_not_cover() -> None:
    """What the t distribution is for: were the seeds drawn like the images, the interval would be far too narrow."""
    covered = []
    for trial in range(200):
        generator = np.random.default_rng(trial)
        means = generator.normal(0.05, 1, 3)
        drawn = means[generator.integers(3, size=(500, 3))].mean(axis=1)
        covered.append(np.quantile(drawn, 0.025) <= 0.05 <= np.quantile(drawn, 0.975))
    assert np.mean(covered) < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [1, 3, 5])
@pytest.mark.parametrize("mixture", MIXTURES)
def test_intervals_cover_92_to_98_in_a_hundred_of_300_populations(mixture: str, n_seeds: int) -> None:
    if n_seeds == 1 and MIXTURES[mixture][0]:
        pytest.skip("one seed's interval is of images alone")
    assert 0.92 <= coverage(n_seeds, 400, *MIXTURES[mixture], trials=300) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [10, 40])
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_intervals_cover_with_groups(n_seeds: int, n_groups: int) -> None:
    seeds = 0.01 if n_seeds > 1 else 0
    assert 0.92 <= coverage(n_seeds, 400, seeds, 0.2, 0.2, trials=300, n_groups=n_groups, of_groups=0.2) <= 0.98
