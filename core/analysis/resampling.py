"""The bootstrap behind every interval: how far the mean of a metric may lie from the truth, over seeds and over images.

Knows nothing of metrics or of spaces; says nothing, only counts.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from core.analysis.spending import ALPHA
from core.errors import InputError

UNKNOWN = 1e6  # a distance beyond the range of every metric: what nothing is known of
_CHUNK = 20_000_000  # numbers drawn at a time: 80 MB


@dataclass(frozen=True)
class Bootstrap:
    """Draws of the mean of each column, and what they are made of.

    Attributes:
        mean: over seeds and samples, shape (columns,).
        draws: what the mean could have been, shape (draws, columns).
        seed_share: how much of the draws' variance is the seeds' and would stay with any number of images, 0 to 1,
            shape (columns,).
        alpha: how often an interval of these draws misses, 0 to 1, half on each side.
    """

    mean: np.ndarray
    draws: np.ndarray
    seed_share: np.ndarray
    alpha: float = ALPHA

    @property
    def low(self) -> np.ndarray:
        """Lower end of the interval, shape (columns,)."""
        return np.quantile(self.draws, self.alpha / 2, axis=0)

    @property
    def high(self) -> np.ndarray:
        """Upper end of the interval, shape (columns,)."""
        return np.quantile(self.draws, 1 - self.alpha / 2, axis=0)

    @property
    def p_value(self) -> np.ndarray:
        """Twice the share of draws on the other side of zero, at least 2 / (draws + 1); shape (columns,), 0 to 1.

        Below alpha where the interval leaves out zero (Efron & Tibshirani, 1993, An Introduction to the Bootstrap,
        chapter 15; counted with the observed mean as one more draw: Davison & Hinkley, 1997, equation 4.11).
        """
        return self.p_beyond(0.0)

    def p_beyond(self, explained: float) -> np.ndarray:
        """`p_value` where any mean between 0 and `explained` would tell nothing: the largest p-value of them all; shape
        (columns,), 0 to 1."""
        n_draws = len(self.draws)
        beyond = np.minimum((self.draws <= max(explained, 0.0)).sum(axis=0), (self.draws >= min(explained, 0.0)).sum(axis=0))
        return np.minimum(1.0, 2 * (beyond + 1) / (n_draws + 1))

    def p_within(self, margin: float) -> np.ndarray:
        """Twice the larger share of draws at or beyond −margin or +margin, counted as `p_value`; shape (columns,), 0 to 1.

        Below alpha where the interval lies inside the margin: two one-sided tests, each at alpha / 2 (Schuirmann, 1987,
        doi:10.1007/BF01068419).
        """
        n_draws = len(self.draws)
        beyond = np.maximum((self.draws <= -margin).sum(axis=0), (self.draws >= margin).sum(axis=0))
        return np.minimum(1.0, 2 * (beyond + 1) / (n_draws + 1))


def bootstrap(columns: list[np.ndarray], n_draws: int, seed: int, group: np.ndarray | None = None,
              arms: list[tuple[np.ndarray, np.ndarray]] | None = None, alpha: float = ALPHA) -> Bootstrap:
    """What the mean of each column could have been, had other seeds been run and other images been taken.

    Images: whole groups are drawn with replacement, the same in every seed and column (a cluster bootstrap: Field & Welsh,
    2007, doi:10.1111/j.1467-9868.2007.00593.x); twenty crops of one photograph are not twenty photographs. With few groups
    that is too narrow; it is spread by √(G / (G − 1)) and by how much wider t is than normal with G − 1 degrees of freedom
    (Hesterberg, 2015, doi:10.1080/00031305.2015.1089789, section 3.2 and 5.1).

    Seeds: three drawn with replacement from three hold their spread too low, by √(2 / 3), and are ten different means at
    best. So what the seeds add is drawn from the t distribution that their means allow, with S − 1 degrees of freedom, as
    in readers × cases studies, where few readers see the same many cases (Hillis, 2007, doi:10.1002/sim.2532). As there,
    the chance that belongs to one seed with one image alone is counted once: the seeds' means hold it already, so it is
    taken from the images' part. With one seed there is the images' part alone. One group says nothing of how groups differ:
    there the mean could have been anything, and half of the draws lie `UNKNOWN` below it and half above.

    Of a difference, the seeds of both arms are taken as independent, with degrees of freedom by Welch (1947,
    doi:10.1093/biomet/34.1-2.28): what two arms of one seed share makes the interval too wide at worst, while to take three
    pairs by their differences leaves two degrees of freedom (breaking the matches where pairs are few: Diehr et al., 1995,
    doi:10.1002/sim.4780141309). Images stay paired.

    Args:
        columns: each shape (seeds, samples), nan where undefined.
        n_draws: draws.
        seed: seed of the draws.
        group: samples that are drawn together, shape (samples,); None: each alone.
        arms: where columns are differences, the two arms of each, both shaped as the column.
        alpha: how often the interval may miss, for which few groups are spread.

    Raises:
        InputError: if no sample of a column has a value.
    """
    n_samples = columns[0].shape[1]
    names = np.arange(n_samples) if group is None else np.unique(group.astype(str), return_inverse=True)[1]
    parts = [by_group(column, names) for column in columns]
    mean = np.array([totals.sum() / (len(totals) * sizes.sum()) for totals, sizes in parts])
    over_seeds = np.stack([totals.mean(axis=0) for totals, _ in parts])
    draws = draw_groups(over_seeds, np.stack([sizes for _, sizes in parts]), n_draws, seed, alpha) - mean
    n_seeds = len(columns[0])
    seed_share = np.zeros(len(columns))
    if n_seeds > 1:
        order = np.random.default_rng([seed, 5]).permutation(n_draws)
        for index, (totals, sizes) in enumerate(parts):
            images, both = variances(totals, sizes)
            of_arms = [np.nanmean(np.where(np.isnan(columns[index]), np.nan, arm), axis=1).var(ddof=1) / n_seeds
                       for arm in (arms[index] if arms else (columns[index],))]
            seeds = sum(of_arms)
            of_images = max(images - both, 0.0)
            draws[:, index] *= np.sqrt(of_images / images) if images > 0 else 0.0
            if seeds > 0:
                freedom = (n_seeds - 1) * seeds ** 2 / sum(variance ** 2 for variance in of_arms)
                chance = t.ppf((order + 0.5) / n_draws, freedom)  # evenly: heavy tails drawn at random would jump
                draws[:, index] += np.sqrt(seeds) * chance
                seed_share[index] = max(seeds - both, 0.0) / (seeds + of_images)
    for index, (_, sizes) in enumerate(parts):
        if (sizes > 0).sum() < 2:
            draws[:, index] = np.where(np.arange(n_draws) % 2, UNKNOWN, -UNKNOWN)
            seed_share[index] = 0.0
    return Bootstrap(mean, mean + draws, seed_share, alpha)


def contributions(values: np.ndarray, gallery: np.ndarray | None = None) -> np.ndarray:
    """What each sample contributes to a mean over those that have a value; the mean of the contributions is that mean.

    The mean of the m values among n samples is a ratio of two sums. To first order one more of sample i moves it by
    (vᵢ − mean) / m if it has a value, and by what it does to the others' values, gᵢ / m, whether it has one or not. So it
    contributes mean + (n / m) (vᵢ − mean, 0 without a value, + gᵢ − mean of g): its empirical influence, about the mean (the
    nonparametric delta method: Davison & Hinkley, 1997, Bootstrap Methods and Their Application, section 2.7.2).

    Args:
        values: shape (seeds, n), nan where undefined; a sample without a value in one seed has none in any.
        gallery: by how much the sum of the others' values is higher with a sample, shape (seeds, n); None: by nothing.

    Returns:
        Shape (seeds, n), float64; `values` plus centred `gallery` where every sample has a value, nan where none has.
    """
    is_defined = ~np.isnan(values).any(axis=0)
    if not is_defined.any():
        return np.full(values.shape, np.nan)
    if is_defined.all():
        return values if gallery is None else values + gallery - gallery.mean(axis=1, keepdims=True)
    mean = values[:, is_defined].mean(axis=1, keepdims=True)
    change = np.where(is_defined, values - mean, 0.0)
    if gallery is not None:
        change = change + gallery - gallery.mean(axis=1, keepdims=True)
    return mean + change * (len(is_defined) / is_defined.sum())


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values that may be read at once, however many there are (Holm, 1979, Scandinavian Journal of Statistics 6:65-70).

    Args:
        p_values: shape (m,).

    Returns:
        Shape (m,): below 0.05 where the difference holds; among all m one false one turns up in at most 5 of 100 studies.
    """
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def by_group(column: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Totals of the samples that have a value, shape (seeds, groups), and how many those are, shape (groups,)."""
    keep = ~np.isnan(column).any(axis=0)
    if not keep.any():
        raise InputError("a metric must be defined for at least one sample, got none (classes of one test image?)")
    n_groups = int(names.max()) + 1
    totals = np.stack([np.bincount(names[keep], weights=row, minlength=n_groups) for row in column[:, keep]])
    return totals, np.bincount(names[keep], minlength=n_groups).astype(np.float64)


def variances(totals: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Variance of the mean that images make, and the part of it that is one seed's with one image alone.

    Args:
        totals: shape (seeds, groups).
        sizes: shape (groups,).
    """
    n_seeds, n_groups, n = len(totals), int((sizes > 0).sum()), sizes.sum()
    if n_groups < 2:
        return 0.0, 0.0
    few = n_groups / (n_groups - 1)
    means = totals.sum(axis=1) / n
    over_seeds = totals.mean(axis=0) - means.mean() * sizes
    rest = totals - means[:, None] * sizes - over_seeds
    return (float(few * (over_seeds ** 2).sum() / n ** 2),
            float(few * (rest ** 2).sum() / (n_seeds - 1) / n ** 2 / n_seeds))


def draw_groups(totals: np.ndarray, sizes: np.ndarray, n_draws: int, seed: int, alpha: float) -> np.ndarray:
    """Means of groups drawn with replacement, spread as the variance of few groups asks; shape (draws, columns).

    Args:
        totals: shape (columns, groups).
        sizes: shape (columns, groups).
    """
    generator = np.random.default_rng([seed, 4])
    n_groups = totals.shape[1]
    totals = _exact(totals)
    means = np.empty((n_draws, len(totals)))
    step = max(1, _CHUNK // n_groups)
    for start in range(0, n_draws, step):
        count = min(step, n_draws - start)
        drawn = generator.integers(n_groups, size=(count, n_groups), dtype=np.int32)
        drawn += n_groups * np.arange(count, dtype=np.int32)[:, None]
        times = np.bincount(drawn.reshape(-1), minlength=count * n_groups).reshape(count, n_groups).astype(np.float64)
        n_drawn = times @ sizes.T
        means[start:start + count] = times @ totals.T / np.where(n_drawn > 0, n_drawn, np.nan)
    center = totals.sum(axis=1) / sizes.sum(axis=1)
    means = np.where(np.isnan(means), center, means)  # no group of the column was drawn
    present = np.maximum((sizes > 0).sum(axis=1), 2)
    few = np.sqrt(present / (present - 1)) * t.ppf(1 - alpha / 2, present - 1) / norm.ppf(1 - alpha / 2)
    return center + (means - center) * few


def _exact(totals: np.ndarray) -> np.ndarray:
    """Totals rounded, each column by about 10⁻¹⁰ of its largest at most, so that sums of n of them, as often as they are
    drawn, need no rounding: the draws are the same whatever the order, the threads and the processor; (columns, groups)."""
    most = np.abs(totals).max(axis=1, keepdims=True) * totals.shape[1]  # no partial sum lies beyond
    step = 2.0 ** (np.frexp(most)[1] - 52)
    return np.rint(totals / step) * step
