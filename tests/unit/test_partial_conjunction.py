"""Partial conjunction: its p-values by hand, SciPy and statsmodels, and how often its count is too high."""

import numpy as np
import pytest
from scipy.stats import chi2, combine_pvalues, norm

from core.analysis import comparison, partial_conjunction
from core.analysis.partial_conjunction import Combination
from core.errors import InputError

DROR = np.array([0.168, 0.297, 0.357, 0.019, 0.218, 0.001])  # the example in the README of the authors' code


def test_bonferroni_by_hand() -> None:
    assert partial_conjunction.p_of_at_least(DROR) == pytest.approx(
        [6 * 0.001, 5 * 0.019, 4 * 0.168, 4 * 0.168, 4 * 0.168, 4 * 0.168])  # 3 · 0.218 is less, and 'at least 4' no surer
    assert partial_conjunction.count(DROR, 0.05) == 1
    assert partial_conjunction.count(DROR, 0.1) == 2
    assert partial_conjunction.which(DROR, 0.1).tolist() == [False, False, False, True, False, True]


def test_fisher_by_hand() -> None:
    """Two p-values of 0.1 and 0.2: −2 ln 0.02 on 4 degrees of freedom is q (1 − ln q) with q = 0.02; then 0.2 alone."""
    q = 0.1 * 0.2
    assert partial_conjunction.p_of_at_least(np.array([0.2, 0.1]), "fisher") == pytest.approx([q * (1 - np.log(q)), 0.2])


def test_fisher_is_scipys_of_the_largest() -> None:
    ordered = np.sort(DROR)
    expected = [combine_pvalues(ordered[u:], method="fisher").pvalue for u in range(6)]
    expected = np.maximum.accumulate(expected)
    assert partial_conjunction.p_of_at_least(DROR, "fisher") == pytest.approx(expected, rel=1e-12)
    statistic = -2 * np.log(ordered[1:]).sum()
    assert partial_conjunction.p_of_at_least(DROR, "fisher")[1] == pytest.approx(chi2.sf(statistic, 10), rel=1e-12)
    assert partial_conjunction.count(DROR, 0.05, "fisher") == 2 > partial_conjunction.count(DROR, 0.05)


def test_which_is_holms_of_statsmodels_and_as_many_as_bonferroni_counts() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    generator = np.random.default_rng(0)
    for _ in range(25):  # statsmodels takes a twentieth of a second for each
        p_values = generator.uniform(size=generator.integers(1, 9)) ** generator.integers(1, 6)
        expected = multitest.multipletests(p_values, alpha=0.025, method="holm")[0]
        assert partial_conjunction.which(p_values, 0.025).tolist() == expected.tolist()
        assert partial_conjunction.count(p_values, 0.025) == expected.sum()


def test_order_does_not_matter_and_a_smaller_p_value_never_lowers_the_count() -> None:
    generator = np.random.default_rng(1)
    for combination in ("bonferroni", "fisher"):
        for _ in range(100):
            p_values = generator.uniform(size=5) ** 3
            shuffled = generator.permutation(p_values)
            assert (partial_conjunction.p_of_at_least(shuffled, combination)
                    == partial_conjunction.p_of_at_least(p_values, combination)).all()
            lowered = np.where(np.arange(5) == generator.integers(5), p_values / 10, p_values)
            before, after = (partial_conjunction.count(each, 0.05, combination) for each in (p_values, lowered))
            assert after >= before


def test_one_dataset_is_its_own_p_value_and_a_p_value_of_zero_counts() -> None:
    for combination in ("bonferroni", "fisher"):
        assert partial_conjunction.p_of_at_least(np.array([0.03]), combination) == pytest.approx([0.03])
        assert partial_conjunction.p_of_at_least(np.array([0.0, 0.5]), combination) == pytest.approx([0.0, 0.5])


@pytest.mark.parametrize("p_values", [[], [0.5, 1.2], [-0.1], [np.nan]])
def test_what_is_no_p_value_is_refused(p_values: list[float]) -> None:
    with pytest.raises(InputError, match="p_values must be one or more of 0 to 1"):
        partial_conjunction.p_of_at_least(np.array(p_values))


def test_one_sided_halves_on_the_side_of_the_difference() -> None:
    assert partial_conjunction.one_sided(0.04, 0.1) == (0.02, 1.0)
    assert partial_conjunction.one_sided(0.04, -0.1) == (1.0, 0.02)
    assert partial_conjunction.one_sided(0.9, 0.0) == partial_conjunction.one_sided(1.0, 0.1) == (1.0, 1.0)


def test_one_sided_agrees_with_the_interval_of_the_same_draws() -> None:
    """Below 0.025 on one side just where the 95 % interval leaves out zero on that side."""
    generator = np.random.default_rng(2)
    sides = set()
    for shift in np.linspace(-0.6, 0.6, 120):
        a, b = generator.normal(0, 1, (2, 3, 40))
        item = comparison.difference("map_at_r", a, b + shift, 2000)
        above, below = partial_conjunction.one_sided(item.p_value, item.difference)
        assert (above <= 0.025) == (item.low > 0) and (below <= 0.025) == (item.high < 0), item
        sides.add("above" if item.low > 0 else "below" if item.high < 0 else "neither")
    assert sides == {"above", "below", "neither"}


def false_claims(n_trials: int, effects: np.ndarray, combination: Combination, correlation: float) -> float:
    """How often the count is too high in one direction or the other, of datasets whose true differences are known.

    Args:
        n_trials: conclusions drawn.
        effects: true difference of each dataset in standard errors, shape (n,).
        combination: as of `count`.
        correlation: of the datasets' errors, 0 to 1.
    """
    generator = np.random.default_rng(3)
    common, own = generator.normal(size=(n_trials, 1)), generator.normal(size=(n_trials, len(effects)))
    measured = effects + np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
    n_false = 0
    for row in measured:
        pairs = np.array([partial_conjunction.one_sided(2 * norm.sf(abs(z)), z) for z in row])
        better, worse = (partial_conjunction.count(side, partial_conjunction.LEVEL / 2, combination) for side in pairs.T)
        n_false += better > (effects > 0).sum() or worse > (effects < 0).sum()
    return n_false / n_trials


@pytest.mark.parametrize("effects", [[0, 0, 0, 0, 0, 0], [4, 4, 0, 0, 0, 0], [5, 5, 5, -5, 0, 0], [1, 1, 1, 0, 0, 0]])
@pytest.mark.parametrize(("combination", "correlation"), [("bonferroni", 0.0), ("bonferroni", 0.6), ("fisher", 0.0)])
def test_the_count_is_too_high_in_at_most_one_of_twenty(effects: list[float], combination: Combination,
                                                        correlation: float) -> None:
    share = false_claims(2000, np.array(effects, dtype=float), combination, correlation)
    print(f"{combination}, correlation {correlation}, {effects}: {100 * share:.1f} %")
    assert share <= 0.05


def test_fisher_is_too_sure_of_datasets_that_depend_on_each_other() -> None:
    """Why Bonferroni is the default: the same simulation tells the two apart."""
    assert false_claims(2000, np.zeros(6), "fisher", 0.6) > 0.1
