"""Alpha spending: how often an interval may miss at a look that was not planned, so that looking again misleads rarely.

Knows levels alone; which look a comparison is at is `core.experiments.looks`'s.
"""

import math

ALPHA = 0.05  # how often the interval of the planned look misses
_BEYOND = 20  # draws beyond each end of an interval, at least: fewer leave the end to luck


def alpha(look: int) -> float:
    """How often the interval of a look may miss the truth, 0 to 1: 5 % at the planned one, α / (2 k (k − 1)) at look k > 1.

    Error is spent look by look without a number of looks set beforehand (Lan & DeMets, 1983, doi:10.1093/biomet/70.3.659).
    The planned look spends 5 %, as where nobody looks again. All later ones together, however many, spend half as much:
    Σ 1 / (k (k − 1)) is 1. So whoever adds seeds until B is better is misled in at most 2.5 % + 1.25 % of the cases where B
    is not; whoever takes either direction, in at most 7.5 %. By Bonferroni, so whatever the looks have in common.

    Args:
        look: 1 for the planned one.
    """
    return ALPHA if look == 1 else ALPHA / (2 * look * (look - 1))


def enough(n_draws: int, look: int) -> int:
    """Bootstrap draws for the intervals of a look: as many as asked for, or more where its ends lie far out."""
    return n_draws if look == 1 else max(n_draws, math.ceil(2 * _BEYOND / alpha(look)))


def level_words(alpha: float) -> str:
    """How often an interval that misses with probability alpha holds: '95 %'."""
    return f"{100 * (1 - alpha):.4g} %"
