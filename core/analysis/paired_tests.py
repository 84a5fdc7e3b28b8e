"""Exact tests of right and wrong: the same images judged by two spaces, and published tables of which counts are left."""

import re
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, fisher_exact

from core.analysis.resampling import holm
from core.errors import InputError

BINARY = ("precision_at_1", "knn_1", "knn_accuracy", "knn_20")  # metrics that are right or wrong, sample by sample


@dataclass(frozen=True)
class McNemar:
    """What one seed's B got right and A wrong, and the other way round, by groups; and how likely so uneven by chance.

    `p_value` is one seed's, in the order of the seeds. `p_any_seed` is twice their median: valid however the seeds hang
    together, which they do, as all judge the same images (Rüschendorf, 1982, doi:10.2307/3213871).
    """

    metric: str
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    p_value: tuple[float, ...]
    p_any_seed: float


def mcnemar(metric: str, a: np.ndarray, b: np.ndarray, group: np.ndarray | None = None) -> McNemar:
    """McNemar's exact test, seed by seed (McNemar, 1947, doi:10.1007/BF02295996): of the images that one space alone gets
    right, is it half each?

    It asks about these trained encoders, not about their objectives: other seeds are not foreseen in it. Crops of one
    photograph are no independent images, so each group has one vote, for the space that gets more of it right; where each
    image is a group of its own that is McNemar's test, otherwise the sign test over groups.

    Args:
        metric: its key in `BINARY`.
        a: right (1) or wrong (0), nan where undefined, shape (seeds, samples).
        b: the same of B, the same samples and seeds.
        group: samples that vote together, shape (samples,); None: each alone.

    Raises:
        ValueError: if a value is neither 0 nor 1.
    """
    if not np.isin(np.concatenate([a, b]), (0, 1)).all(where=~np.isnan(np.concatenate([a, b]))):
        raise ValueError(f"{metric} must be right or wrong, 1 or 0, of each sample, to be tested exactly")
    names = np.arange(a.shape[1]) if group is None else np.unique(group.astype(str), return_inverse=True)[1]
    gained = [np.bincount(names, weights=np.nan_to_num(row)) for row in b - a]
    only_a, only_b = [int((row < 0).sum()) for row in gained], [int((row > 0).sum()) for row in gained]
    p_values = [binomtest(lost, lost + won).pvalue if lost + won else 1.0 for lost, won in zip(only_a, only_b)]
    return McNemar(metric, tuple(only_a), tuple(only_b), tuple(map(float, p_values)),
                   min(1.0, 2 * float(np.median(p_values))))


@dataclass(frozen=True)
class CountedGap:
    """Two arms of which only the counts are known, each on its own `n` test images; `verdict` is said of B after Holm."""

    right_a: int
    right_b: int
    n_a: int
    n_b: int
    p_value: float
    p_holm: float
    verdict: str


def compare_counts(gaps: list[tuple[int, int, int, int]]) -> list[CountedGap]:
    """Which gaps of a published table are real: Fisher's exact test of each, Holm over all (Fisher, 1922,
    doi:10.2307/2340521). A and B are treated as tested on different images, since a table does not pair them; a paired test
    would find more.

    Args:
        gaps: for each, images right and images tested of A, then of B.

    Raises:
        InputError: if more are right than were tested, or none was tested.
    """
    for right_a, n_a, right_b, n_b in gaps:
        for right, n in ((right_a, n_a), (right_b, n_b)):
            if n < 1 or not 0 <= right <= n:
                raise InputError(f"counts must be 0 to n right of n ≥ 1 images, got {right} of {n}")
    p_values = np.array([fisher_exact([[right_a, n_a - right_a], [right_b, n_b - right_b]]).pvalue
                         for right_a, n_a, right_b, n_b in gaps])
    return [CountedGap(right_a, right_b, n_a, n_b, float(p), float(corrected),
                       "cannot tell" if corrected >= 0.05 else "better" if right_b * n_a > right_a * n_b else "worse")
            for (right_a, n_a, right_b, n_b), p, corrected in zip(gaps, p_values, holm(p_values))]


def parse_count(text: str) -> tuple[int, int]:
    """Images right and images tested of '17/30', or of '56.67:30', a percentage of 30 images.

    Raises:
        InputError: if it is neither, or no whole number of images makes that percentage as precisely as it is given.
    """
    counted, shared = re.fullmatch(r"(\d+)/(\d+)", text), re.fullmatch(r"(\d+(?:\.(\d+))?):(\d+)", text)
    if counted:
        return int(counted[1]), int(counted[2])
    if not shared:
        raise InputError(f"a count must be RIGHT/IMAGES or PERCENT:IMAGES, as 17/30 or 56.67:30, got {text!r}")
    percent, n = float(shared[1]), int(shared[3])
    right = round(percent * n / 100)
    if abs(100 * right - percent * n) > 1.01 * n * 10.0 ** -len(shared[2] or ""):  # rounded either way by its last digit
        raise InputError(f"{shared[1]} % of {n} images must be a whole number of images, got {percent * n / 100:.2f}")
    return right, n
