"""How often one more run of B would beat one more run of A: each trained anew, with a seed of its own."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

_DRAWN = 6  # of this module's random numbers
_ROUNDING = 1e-12  # of means over samples: what is less is nothing


@dataclass(frozen=True)
class Outperforming:
    """P(B > A) of one more run of each, 0 to 1, and the ends of its 95 % interval."""

    probability: float
    low: float
    high: float


def outperforming(gap: float, gaps: np.ndarray, sd_a: float, sd_b: float, n_seeds: tuple[int, int],
                  seed: int = 0) -> Outperforming:
    """P(B > A) of two single runs, where runs of an arm are normal about its mean, with a 95 % interval.

    It is Φ(gap / √(sd_a² + sd_b²)). The interval takes each draw of the gap with a draw of what the standard deviations could
    be, sd² (S − 1) / χ² with S − 1 degrees of freedom (a generalized confidence interval: Reiser & Guttman, 1986,
    doi:10.1080/00401706.1986.10488133; Weerahandi & Johnson, 1992). As a measure of benchmarks: Bouthillier et al., 2021,
    arXiv:2103.03098, who call B's advantage meaningful from 0.75 on.

    Args:
        gap: mean of B less mean of A.
        gaps: what it could have been, shape (draws,), as `resampling.bootstrap` draws it.
        sd_a, sd_b: standard deviations of A's and B's means over seeds.
        n_seeds: seeds of A and of B, each at least 2.
        seed: seed of the draws.

    Returns:
        0.5 where the arms are the same and have no spread.
    """
    generator = np.random.default_rng([seed, _DRAWN])
    variance = sum(sd ** 2 * (n - 1) / generator.chisquare(n - 1, len(gaps)) for sd, n in zip((sd_a, sd_b), n_seeds))
    low, high = np.quantile(_at(gaps, np.sqrt(variance)), [0.025, 0.975])
    probability = _at(np.array([gap]), np.array([np.hypot(sd_a, sd_b)]))[0]
    return Outperforming(float(probability), float(low), float(high))


def _at(gaps: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Φ(gap / sd), and by the gap's sign alone where there is no spread."""
    by_sign = np.select([gaps > _ROUNDING, gaps < -_ROUNDING], [np.inf, -np.inf], 0.0)
    return norm.cdf(np.divide(gaps, sd, out=by_sign, where=sd > _ROUNDING))
