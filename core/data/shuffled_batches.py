"""What a batch of a shuffled pass holds: how many positives an anchor has, and how often a loss of pairs learns nothing.

Exact for a batch drawn without replacement from the training images; one that two passes share differs a little. Draws
none.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln


def positives(sizes: Sequence[int], n_images: int, views: int = 1) -> float:
    """Other embeddings of an anchor's class in its batch, views counted: the mean over batches and anchors.

    Args:
        sizes: training images of each class.
        n_images: different images of a batch, at most as many as there are.
        views: of each of them.

    Returns:
        v (1 + (b − 1) Σ_k n_k (n_k − 1) / (N (N − 1))) − 1; 0 or more.
    """
    n = np.asarray(sizes, dtype=np.float64)
    total = n.sum()
    same = (n * (n - 1)).sum() / (total * (total - 1)) if total > 1 else 0.0
    return float(views * (1 + (n_images - 1) * same) - 1)


def without_positive(sizes: Sequence[int], n_images: int, views: int = 1) -> float:
    """Share of anchors that find no other embedding of their class in the batch, 0 to 1; 0 with two views.

    Returns:
        Σ_k n_k / N · C(N − n_k, b − 1) / C(N − 1, b − 1).
    """
    if views > 1:
        return 0.0
    n = np.asarray(sizes, dtype=np.float64)
    total = n.sum()
    none_of_it = np.exp(_log_choose(total - n, n_images - 1) - _log_choose(total - 1, n_images - 1))
    return float((n / total * none_of_it).sum())


def useless(sizes: Sequence[int], n_images: int, views: int = 1) -> float:
    """Share of batches that hold one class alone, or no class twice, 0 to 1: a loss of pairs learns nothing from them.

    Returns:
        Σ_k C(n_k, b) / C(N, b), plus with one view e_b(n_1, …, n_K) / C(N, b), where e_b is the elementary symmetric
        polynomial: the number of ways to take b images of b different classes.
    """
    n = np.asarray(sizes, dtype=np.float64)
    ways = _log_choose(n.sum(), n_images)
    alone = float(np.exp(_log_choose(n, n_images) - ways).sum())
    if views > 1 or n_images > len(n):
        return alone
    return min(1.0, alone + float(np.exp(_log_of_all_different(n, n_images) - ways)))


def _log_of_all_different(sizes: np.ndarray, n_images: int) -> float:
    """ln e_b(n_1, …, n_K), class by class: a class gives the batch no image or one of its n."""
    found = np.full(n_images + 1, -np.inf)
    found[0] = 0.0
    for log_size in np.log(sizes):
        found[1:] = np.logaddexp(found[1:], found[:-1] + log_size)
    return float(found[-1])


def _log_choose(n: np.ndarray, k: int) -> np.ndarray:
    """ln C(n, k), −∞ where n < k."""
    n = np.asarray(n, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(n < k, -np.inf, gammaln(n + 1) - gammaln(k + 1) - gammaln(np.maximum(n - k, 0) + 1))
