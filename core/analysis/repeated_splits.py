"""The bootstrap behind every interval where seeds are trained and tested on several splits of the same images.

Test sets of different splits share images, and training sets more of them, so differences on them are no independent numbers.
With one split this is `core.analysis.resampling`'s bootstrap.
"""

import numpy as np
from scipy.stats import t

from core.analysis.resampling import UNKNOWN, Bootstrap, by_group, draw_groups, variances
from core.analysis.resampling import bootstrap as on_one_split
from core.analysis.spending import ALPHA


def bootstrap(columns: list[np.ndarray], n_draws: int, seed: int, group: np.ndarray | None = None,
              arms: list[tuple[np.ndarray, np.ndarray]] | None = None, alpha: float = ALPHA,
              split: np.ndarray | None = None) -> Bootstrap:
    """What the mean of each column could have been, had other images been taken, other splits made and other seeds run.

    Images: whole groups are drawn, as in `resampling.bootstrap`; a group counts in every split that tests it, so one draw of
    groups gives the means of all splits at once, and their mean over runs. Let x_rg be what group g does to the mean of split
    r (its values less that mean, summed, over the images), and w_r the share of runs on split r. Then C = Σ_g x_g x_gᵀ G/(G −
    1) is the images' covariance of the splits' means, V = wᵀCw their part of the mean over runs, κ = Σ w² / (1 − Σ w²), and
    D = κ (Σ w_r C_rr − V) the part of V that differs between splits: V − D is of the images that splits have in common.

    Splits: their means m_r, each over its runs and its own test images, differ by B = κ Σ w_r (m_r − m)², which is s² / R
    where splits have as many runs each. It holds what training sets, seeds and the images of one split alone do, D.

    - One run a split: seeds cannot be told from splits. The variance is (V − D) + B, the second by t with R − 1 degrees of
      freedom: as for equally correlated numbers, var(mean) = s² / R + their covariance. Nadeau & Bengio (2003,
      doi:10.1023/A:1024068626366) guess that correlation from the sizes of the sets; here it is that of the shared images.
    - Several: the seeds' part W is that of the means of runs within their split, over all splits, of both arms as independent,
      and E what of it belongs to one seed with one image alone, both as in `resampling.bootstrap`. The variance is V + (B − D)
      or (V − E) + W, whichever is more, the second by t with R − 1 and the seeds' Welch degrees of freedom together: splits
      add to images and seeds what is more than both, and never make them less.

    What the training images as a whole do, alike in every split, no number of splits of the same images can show.

    Args:
        columns: each shape (seeds, samples), nan where a seed does not test the sample, or it has no value; a sample without
            a value in one seed has none in any of that split.
        n_draws: draws.
        seed: seed of the draws.
        group: as of `resampling.bootstrap`.
        arms: as there.
        alpha: as there.
        split: the split of each seed, shape (seeds,); None: one and the same.

    Raises:
        InputError: if no sample of a column has a value on some split.
    """
    if split is None or len(set(split.tolist())) == 1:
        return on_one_split(columns, n_draws, seed, group, arms, alpha)
    places = [np.flatnonzero(split == number) for number in np.unique(split)]
    weight = np.array([len(place) for place in places]) / len(split)
    names = np.arange(columns[0].shape[1]) if group is None else np.unique(group.astype(str), return_inverse=True)[1]
    parts = [[by_group(column[place], names) for place in places] for column in columns]
    totals = np.array([[of_seeds.mean(axis=0) for of_seeds, _ in part] for part in parts])  # (columns, splits, groups)
    sizes = np.array([[n for _, n in part] for part in parts])
    of_splits = totals.sum(axis=2) / sizes.sum(axis=2)
    n_columns, n_splits, n_groups = totals.shape
    drawn = draw_groups(totals.reshape(-1, n_groups), sizes.reshape(-1, n_groups), n_draws, seed, alpha)
    draws = ((drawn.reshape(n_draws, n_columns, n_splits) - of_splits) * weight).sum(axis=2)
    mean = (of_splits * weight).sum(axis=1)
    seed_share = np.zeros(n_columns)
    order = np.random.default_rng([seed, 5]).permutation(n_draws)
    for index, column in enumerate(columns):
        images, apart = _of_images(totals[index], sizes[index], of_splits[index], weight)
        between = _ratio(weight) * float((weight * (of_splits[index] - mean[index]) ** 2).sum())
        if len(split) == n_splits:
            of_images, rest, freedom = max(images - apart, 0.0), between, float(n_splits - 1)
            stays = max(between - apart, 0.0)
        else:
            seeds, of_seeds = _of_seeds(column, arms[index] if arms else (column,), places)
            both, freedom = _of_both(parts[index], len(split)), n_splits - 1 + of_seeds
            is_of_splits = between - apart > seeds - both
            of_images, rest = (images, between - apart) if is_of_splits else (max(images - both, 0.0), seeds)
            stays = rest if is_of_splits else max(seeds - both, 0.0)
        draws[:, index] *= np.sqrt(of_images / images) if images > 0 else 0.0
        if rest > 0:
            draws[:, index] += np.sqrt(rest) * t.ppf((order + 0.5) / n_draws, freedom)
            seed_share[index] = stays / (rest + of_images)
        if ((sizes[index] > 0).sum(axis=1) < 2).any():
            draws[:, index] = np.where(np.arange(n_draws) % 2, UNKNOWN, -UNKNOWN)
            seed_share[index] = 0.0
    return Bootstrap(mean, mean[None] + draws, seed_share, alpha)


def _ratio(weight: np.ndarray) -> float:
    """κ, which makes of the spread of splits' means about theirs the variance of that: 1 / (R − 1) of equal splits."""
    return float((weight ** 2).sum() / (1 - (weight ** 2).sum()))


def _of_images(totals: np.ndarray, sizes: np.ndarray, means: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """V and D: the images' part of the variance, and what of it differs between splits.

    Args:
        totals: shape (splits, groups), over seeds the mean.
        sizes: shape (splits, groups).
        means: of the splits, shape (splits,).
        weight: share of the seeds on each split, shape (splits,).
    """
    n_groups = int((sizes > 0).any(axis=0).sum())
    change = (totals - means[:, None] * sizes) / sizes.sum(axis=1, keepdims=True)
    few = n_groups / max(n_groups - 1, 1)
    whole = float(few * ((weight[:, None] * change).sum(axis=0) ** 2).sum())
    of_splits = few * (change ** 2).sum(axis=1)
    return whole, max(_ratio(weight) * (float((weight * of_splits).sum()) - whole), 0.0)


def _of_seeds(column: np.ndarray, arms: tuple[np.ndarray, ...], places: list[np.ndarray]) -> tuple[float, float]:
    """S, the seeds' part of the variance, from runs about the mean of their split, and its degrees of freedom by Welch."""
    n_seeds = len(column)
    within = n_seeds - len(places)
    of_arms = []
    for arm in arms:
        runs = np.nanmean(np.where(np.isnan(column), np.nan, arm), axis=1)
        of_arms.append(sum(float(((runs[place] - runs[place].mean()) ** 2).sum()) for place in places) / within / n_seeds)
    seeds = sum(of_arms)
    return seeds, within * seeds ** 2 / sum(each ** 2 for each in of_arms) if seeds > 0 else float(within)


def _of_both(parts: list[tuple[np.ndarray, np.ndarray]], n_seeds: int) -> float:
    """E, the part of the variance that is one seed's with one image alone, from the splits that several seeds share.

    Args:
        parts: of each split, totals, shape (its seeds, groups), and sizes, shape (groups,).
        n_seeds: on all splits together.
    """
    several = [(len(totals), variances(totals, sizes)[1] * len(totals)) for totals, sizes in parts if len(totals) > 1]
    return sum((n - 1) * of_one for n, of_one in several) / sum(n - 1 for n, _ in several) / n_seeds
