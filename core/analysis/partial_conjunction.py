"""On how many of several datasets a difference is there, and on which: a count with an error level, from a p-value of each.

Knows nothing of experiments; a p-value here is one-sided, of one dataset and one direction.
"""

from typing import Literal

import numpy as np
from scipy.stats import chi2

from core.analysis.resampling import holm
from core.errors import InputError

Combination = Literal["bonferroni", "fisher"]
LEVEL = 0.05  # of both directions together


def one_sided(p_value: float, difference: float) -> tuple[float, float]:
    """The p-values of 'not above zero' and of 'not below zero', from the two-sided one of the same test; 0 to 1 each.

    Half of it on the side on which the difference lies. So one of them is at most 0.025 just where the two-sided one is at
    most 0.05, which is where a 95 % interval of the same draws leaves out zero. The other is taken as 1, which is more than
    it is, also where the test asks for more than a difference from zero; so are both where the two-sided one is 1, or the
    difference exactly zero.

    Args:
        p_value: two-sided, 0 to 1.
        difference: as it was measured, of any unit.
    """
    if difference == 0 or p_value >= 1:
        return 1.0, 1.0
    return (p_value / 2, 1.0) if difference > 0 else (1.0, p_value / 2)


def p_of_at_least(p_values: np.ndarray, combination: Combination = "bonferroni") -> np.ndarray:
    """For u = 1 to n, the p-value of 'the difference is there on fewer than u of the n datasets': partial conjunction
    (Benjamini & Heller, 2008, doi:10.1111/j.1541-0420.2007.00984.x; of datasets: Dror et al., 2017, arXiv:1709.09500).

    If fewer than u are true, at least n − u + 1 are not, so the n − u + 1 largest p-values, p₍ᵤ₎ ≤ … ≤ p₍ₙ₎, are combined:

    - Bonferroni: (n − u + 1) p₍ᵤ₎, valid however the datasets depend on each other.
    - Fisher: P(χ² with 2 (n − u + 1) degrees of freedom ≥ −2 Σ ln p₍ᵢ₎), valid for independent ones alone.

    Each is raised to the largest before it, as 'at least u' holds only if 'at least u − 1' does.

    Args:
        p_values: one-sided, one a dataset, 0 to 1, shape (n,).
        combination: how they are combined.

    Returns:
        Shape (n,), 0 to 1, not falling.

    Raises:
        InputError: if there is none, or one is not within 0 to 1.
    """
    ordered = np.sort(np.asarray(p_values, dtype=np.float64))
    if not len(ordered) or not (ordered[0] >= 0 and ordered[-1] <= 1):
        raise InputError(f"p_values must be one or more of 0 to 1, got {ordered.tolist()}")
    n_combined = np.arange(len(ordered), 0, -1)
    if combination == "bonferroni":
        combined = np.minimum(1.0, n_combined * ordered)
    else:
        with np.errstate(divide="ignore"):  # a p-value of 0 is as sure as can be
            statistic = -2 * np.cumsum(np.log(ordered)[::-1])[::-1]
        combined = chi2.sf(statistic, 2 * n_combined)
    return np.maximum.accumulate(combined)


def count(p_values: np.ndarray, level: float, combination: Combination = "bonferroni") -> int:
    """On how many datasets the difference is there at least: the largest u whose `p_of_at_least` is at most `level`, else 0.

    The count is above the true number with a probability of at most `level` (Dror et al., 2017).

    Args:
        p_values, combination: as of `p_of_at_least`.
        level: how often the count may be too high, 0 to 1.
    """
    return int((p_of_at_least(p_values, combination) <= level).sum())


def which(p_values: np.ndarray, level: float) -> np.ndarray:
    """On which datasets the difference is there, by Holm: with a probability of at most `level` one of them is wrong, however
    they depend on each other. As many as `count` by Bonferroni.

    Args:
        p_values: as of `p_of_at_least`.
        level: 0 to 1.

    Returns:
        Shape (n,), bool.
    """
    return np.asarray(holm(np.asarray(p_values, dtype=np.float64)) <= level)
