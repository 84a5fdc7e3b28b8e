"""What a look may spend: by hand, by Bonferroni's sum, and against the normal distribution of looks at one growing mean."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from core.analysis import comparison, resampling, spending


def test_the_first_five_looks_by_hand() -> None:
    assert [spending.alpha(look) for look in range(1, 6)] == pytest.approx([1 / 20, 1 / 80, 1 / 240, 1 / 480, 1 / 800])


@pytest.mark.parametrize("n_looks", [2, 5, 100])
def test_later_looks_together_spend_half_of_what_the_planned_one_does(n_looks: int) -> None:
    spent = sum(Fraction(spending.alpha(look)).limit_denominator(10**6) for look in range(2, n_looks + 1))
    assert spent == Fraction(1, 40) * (1 - Fraction(1, n_looks))


def ever_outside(bounds: np.ndarray) -> float:
    """How often the mean of 1, 2, 3, … equal lots of normal observations ever lies beyond ± its bound, in standard errors."""
    n = np.arange(1, len(bounds) + 1)
    correlation = np.sqrt(np.minimum.outer(n, n) / np.maximum.outer(n, n))
    inside = stats.multivariate_normal(np.zeros(len(n)), correlation, seed=np.random.default_rng(0)).cdf(
        bounds, lower_limit=-bounds)
    return 1 - float(inside)


def test_five_looks_at_5_percent_each_mislead_as_often_as_armitage_et_al_have_it() -> None:
    assert ever_outside(np.full(5, stats.norm.isf(0.025))) == pytest.approx(0.142, abs=5e-4)  # 1969, table 2


def test_five_looks_with_pococks_bound_mislead_in_5_of_100() -> None:
    assert ever_outside(np.full(5, 2.413)) == pytest.approx(0.05, abs=5e-4)  # 1977, table 1


def test_five_looks_of_ours_mislead_in_less_than_6_of_100() -> None:
    alphas = np.array([spending.alpha(look) for look in range(1, 6)])
    assert ever_outside(stats.norm.isf(alphas / 2)) == pytest.approx(0.0587, abs=1e-3)


def test_draws_are_those_asked_for_unless_too_few_lie_beyond_the_ends() -> None:
    assert [spending.enough(2000, look) for look in (1, 2, 5)] == [2000, 3200, 32_000]
    assert spending.enough(200, 1) == 200 and spending.enough(5000, 2) == 5000


def test_the_arms_of_a_difference_have_welchs_interval_at_a_later_look() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.normal(0.5, 0.1, 4), generator.normal(0.7, 0.3, 4)
    arms = np.tile(a[:, None], (1, 30)), np.tile(b[:, None], (1, 30))
    alpha = spending.alpha(2)
    found = resampling.bootstrap([arms[1] - arms[0]], 8000, 0, arms=[arms], alpha=alpha)
    theirs = stats.ttest_ind(b, a, equal_var=False).confidence_interval(1 - alpha)
    assert (found.low[0], found.high[0]) == pytest.approx(tuple(theirs), abs=5e-3)


def test_few_groups_are_as_wide_as_t_says_at_a_later_look() -> None:
    values, alpha = np.random.default_rng(5).normal(size=12), spending.alpha(3)
    found = resampling.bootstrap([np.repeat(values, 5)[None]], 50_000, 0, np.repeat([f"p{row}" for row in range(12)], 5),
                                 alpha=alpha)
    spread = stats.sem(values) * stats.t.isf(alpha / 2, 11) / stats.norm.isf(alpha / 2)
    assert found.draws[:, 0].std() == pytest.approx(spread, rel=0.02)


def test_a_later_look_asks_more_of_a_difference_and_of_equality() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, (1, 400))
    gap = np.random.default_rng(2).normal(0.0, 0.2, (1, 400))
    gap += 0.0228 - gap.mean()  # 2.3 standard errors from zero
    planned, second = (comparison.difference("map_at_r", values, values + gap, 8000, alpha=spending.alpha(look))
                       for look in (1, 2))
    assert (planned.verdict, second.verdict) == ("better", "cannot tell")
    assert second.low < 0 < planned.low and second.high > planned.high
    margin = (planned.high + second.high) / 2
    planned, second = (comparison.difference("map_at_r", values, values + gap, 8000, margin=margin, alpha=spending.alpha(look))
                       for look in (1, 2))
    assert (planned.verdict, second.verdict) == ("same", "cannot tell")


def test_holm_is_held_against_the_looks_own_level() -> None:
    """Two metrics whose difference is 2.7 standard errors from zero: enough for Holm's 2.5 %, not for 0.625 %."""
    generator = np.random.default_rng(4)
    a = {name: generator.normal(0.5, 0.2, (1, 400)) for name in ("precision_at_1", "knn_1")}
    b = {}
    for name, values in a.items():
        gap = generator.normal(0.0, 0.2, (1, 400))
        b[name] = values + gap - gap.mean() + 2.7 * gap.std() / 20
    planned, second = ([item.verdict for item in comparison.compare(a, b, 8000, alpha=spending.alpha(look))]
                       for look in (1, 2))
    assert (planned, second) == (["better"] * 2, ["cannot tell"] * 2)
