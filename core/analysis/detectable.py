"""The gap between two arms that a plan's test images, groups and seeds can find, before anything is trained."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # Student's t by its quantile; scipy.stats takes a second to load

POWER = 0.8  # share of such experiments that find the gap
_EXPERIMENTS = 4_000


@dataclass(frozen=True)
class Spread:
    """How MAP@R varies, 0 to 1.

    Attributes:
        image: standard deviation, over test images, of the difference between two arms.
        within_groups: correlation of that difference between two images of one group, 0 to 1.
        seed: standard deviation, over seeds, of an arm's mean.
    """

    image: float
    within_groups: float
    seed: float


# Classification against SupCon, 2026-11-29: digits 0.15 over images, 0.014 to 0.023 over seeds; pets 0.10 and 0 to 0.003;
# fungi 0.19, 0.64 within photographs, 0.003 to 0.043.
USUAL = Spread(image=0.17, within_groups=0.6, seed=0.015)


def gap(n_seeds: int, group_sizes: np.ndarray, spread: Spread) -> float:
    """The true gap that four of five such experiments call better or worse, from 4,000 that are drawn.

    In each, the mean over images has the variance σ² (n (1 − ρ) + ρ Σ m²) / n², as of groups of m images that are drawn whole
    (Kish, 1965, Survey Sampling), spread by G / (G − 1); the seeds' means have s², which the experiment estimates. Half its
    interval is the hypotenuse of what images alone and seeds alone would make it, by t with G − 1 and Welch's degrees of
    freedom: near that of `resampling.bootstrap`. One seed adds nothing, as the interval covers images alone there.

    Args:
        n_seeds: seeds of each arm, S.
        group_sizes: test images of each group, shape (G,).
        spread: how MAP@R varies.

    Returns:
        0 to 1; infinite for one group, which tells nothing apart.
    """
    n, n_groups = float(group_sizes.sum()), len(group_sizes)
    if n_groups < 2:
        return float("inf")
    together = n * (1 - spread.within_groups) + spread.within_groups * float((group_sizes.astype(float) ** 2).sum())
    images = spread.image ** 2 * together / n ** 2 * n_groups / (n_groups - 1)
    generator = np.random.default_rng(7)
    error = generator.normal(0, np.sqrt(images), _EXPERIMENTS)
    seeds, freedom_of_seeds = np.zeros(_EXPERIMENTS), np.ones(_EXPERIMENTS)
    if n_seeds > 1 and spread.seed > 0:
        runs = generator.normal(0, spread.seed, (2, n_seeds, _EXPERIMENTS))  # of A and of B
        error += runs[1].mean(axis=0) - runs[0].mean(axis=0)
        of_arms = runs.var(axis=1, ddof=1) / n_seeds
        seeds = of_arms.sum(axis=0)
        freedom_of_seeds = (n_seeds - 1) * seeds ** 2 / (of_arms ** 2).sum(axis=0)
    half = np.hypot(stdtrit(n_groups - 1, 0.975) * np.sqrt(images), stdtrit(freedom_of_seeds, 0.975) * np.sqrt(seeds))
    return float(np.quantile(half - error, POWER))
