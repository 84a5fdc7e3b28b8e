"""Leave-one-out retrieval within one set of samples: what each finds, and what each does to the others as one that is found.

Musgrave et al., 2020, arXiv:2003.08505. A query never finds itself.
"""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from core.analysis import neighbors, parts

NAMES = ("precision_at_1", "r_precision", "map_at_r")
N_NEIGHBORS = 10  # nearest samples that are kept of each, for the overlap of two spaces


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Retrieval among n samples.

    Attributes:
        values: metric of `NAMES` -> shape (n,), float64, 0 to 1; nan where the class has no other sample.
        gallery: metric of `NAMES` -> shape (n,), float64: by how much the sum of all values is higher with this sample among
            those that are found.
        kernel: mean over the other samples of exp(−2 × squared distance) on the unit sphere, shape (n,), float64, 0 to 1.
        neighbors: rows of the nearest, nearest first, shape (n, `N_NEIGHBORS` or n − 1), int64.
    """

    values: dict[str, np.ndarray]
    gallery: dict[str, np.ndarray]
    kernel: np.ndarray
    neighbors: np.ndarray


def measure(vectors: np.ndarray, label_id: np.ndarray) -> Retrieval:
    """All there is to retrieval by cosine; arguments and `Raises` as of `retrieve`. The same bits on any number of cores."""
    with threadpool_limits(1):  # sums in one order, whatever the process
        unit = neighbors.unit(vectors)
        return _search(unit, unit, label_id, has_all=True)


def retrieve(vectors: np.ndarray, label_id: np.ndarray, distance: neighbors.Distance = "cosine") -> dict[str, np.ndarray]:
    """How well each sample finds its class.

    Args:
        vectors: shape (n, D), float32.
        label_id: shape (n,), int.
        distance: 'cosine', to which length does not matter, or 'euclidean'.

    Returns:
        'precision_at_1', 'r_precision' and 'map_at_r', each of shape (n,), float64, 0 to 1; nan where the class has
        no other sample.

    Raises:
        ValueError: if there are fewer than two samples.
    """
    queries, known = neighbors.sides(vectors, vectors, distance)
    return _search(queries, known, label_id, has_all=False).values


def _search(queries: np.ndarray, known: np.ndarray, label_id: np.ndarray, has_all: bool) -> Retrieval:
    """One pass over all pairs of the same samples as queries and as known ones, whose products fall as their distance grows;
    without `has_all`, gallery and kernel are void."""
    n = len(queries)
    if n < 2:
        raise ValueError(f"retrieval must have at least 2 samples, got {n}")
    n_relevant = np.bincount(label_id)[label_id] - 1
    n_kept = min(N_NEIGHBORS, n - 1)
    deepest = min(n - 1, max(n_kept, 16 * has_all, int(n_relevant.max()) + has_all))
    result = Retrieval({name: np.full(n, np.nan) for name in NAMES}, {name: np.zeros(n) for name in NAMES if has_all},
                       np.full(n, np.nan), np.empty((n, n_kept), np.int64))

    def work(rows: np.ndarray) -> list[np.ndarray]:
        similarity = queries[rows] @ known.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        near = neighbors.largest(similarity, deepest)
        hit = label_id[near] == label_id[rows, None]
        r = n_relevant[rows]
        defined = r > 0
        values, pulls = _query(hit, r, has_all)
        for name, column in zip(NAMES, values):
            result.values[name][rows[defined]] = column[defined]
        result.neighbors[rows] = near[:, :n_kept]
        if not has_all:
            return []
        similarity -= 1  # exp(−2 |x − y|²) = exp(4 cos − 4); itself is exp(−inf) = 0
        similarity *= 4
        result.kernel[rows] = np.exp(similarity, out=similarity).sum(axis=1, dtype=np.float64) / (n - 1)
        found = []
        for of_found, of_missed in pulls:
            of_found[~defined], of_missed[~defined] = 0, 0
            to_class = np.bincount(label_id[rows], weights=of_missed, minlength=label_id.max() + 1)[label_id]
            to_class[rows] -= of_missed  # a query is not its own gallery
            found.append(to_class + np.bincount(near.reshape(-1), weights=of_found.reshape(-1), minlength=n))
        return found

    for found in parts.at_once([lambda rows=rows: work(rows) for rows in parts.of_rows(n, n)]):
        for name, pull in zip(NAMES, found):
            result.gallery[name] += pull
    return result


def _query(hit: np.ndarray, r: np.ndarray, has_all: bool) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    """Retrieval metrics of queries, and how much each would lose without one sample of the gallery.

    Args:
        hit: whether each of the nearest is of the query's class, nearest first, shape (q, depth), one more than r if it can.
        r: how many others the class has, shape (q,).
        has_all: whether the second is wanted.

    Returns:
        P@1, R-Precision and MAP@R, each (q,), void where r is 0; and for each, by how much it is higher than without the
        sample at each place, (q, depth), where a class's other members are taken to lose the second, (q,), already: what a
        query loses with one of its class that it did not find among its r nearest.
    """
    q, depth = hit.shape
    rows, rank = np.arange(q), np.arange(1, depth + 1)
    size = np.maximum(r, 1)
    is_within = rank <= r[:, None]
    n_hits = np.cumsum(hit, axis=1)
    term = hit * n_hits / rank
    total = np.cumsum(term, axis=1)
    at_r = (rows, np.minimum(size, depth) - 1)
    first, precision, mean = hit[:, 0].astype(np.float64), n_hits[at_r] / size, total[at_r] / size
    if not has_all:
        return [first, precision, mean], []
    # Without a sample, those behind it move up one. Without one of the class there is one less to find: r − 1. A query whose
    # only other sample goes is no query any more; it is left as it is.
    behind, fewer = np.minimum(size + 1, depth) - 1, np.maximum(size - 1, 1)
    before = total - term
    moved = np.cumsum(np.where(rank > 1, hit * n_hits / np.maximum(rank - 1, 1), 0), axis=1)
    moved_less = np.cumsum(np.where(rank > 1, hit * (n_hits - 1) / np.maximum(rank - 1, 1), 0), axis=1)
    unfound = np.maximum(size - 1, 1) - 1  # place r − 1
    is_only = r < 2
    without_other = (before + (moved[rows, behind] - moved.T).T) / size[:, None]
    without_own = (before + (moved_less[at_r] - moved_less.T).T) / fewer[:, None]
    missed_mean = np.where(is_only, mean, total[rows, unfound] / fewer)
    missed_precision = np.where(is_only, precision, n_hits[rows, unfound] / fewer)
    own_precision, other_precision = (n_hits[at_r] - 1) / fewer, (n_hits[at_r] + hit[rows, behind]) / size

    def pull(value: np.ndarray, own: np.ndarray, other: np.ndarray, missed: np.ndarray,
             reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = np.where(is_only[:, None], value[:, None], own)
        change = np.where(hit, missed[:, None] - own, value[:, None] - other)
        return np.where(reach, change, 0), value - missed

    return [first, precision, mean], [
        (_pull_of_first(hit), np.zeros(q)),
        pull(precision, np.broadcast_to(own_precision[:, None], hit.shape),
             np.broadcast_to(other_precision[:, None], hit.shape), missed_precision, is_within),
        pull(mean, without_own, without_other, missed_mean, is_within)]


def _pull_of_first(hit: np.ndarray) -> np.ndarray:
    """By how much P@1 is higher with the sample at each place, had only a random quarter of the gallery been there.

    Which sample is nearest is decided by two others as much as by itself, and taking each away in turn counts such chance
    twice (Efron & Stein, 1981, doi:10.1214/aos/1176345462): intervals would be half as wide again. In a thinner gallery a
    sample is nearest to about as many queries, but which ones is averaged.

    Args:
        hit: whether each of the nearest is of the query's class, nearest first, shape (q, depth).
    """
    result = np.zeros(hit.shape)
    looked_at = min(hit.shape[1], 16)  # the chance that no quarter holds any of them: 1 in 100
    following = hit[:, :looked_at].mean(axis=1)  # what is nearest if none of the nearer ones is there
    for place in range(looked_at - 1, -1, -1):
        result[:, place] = 0.25 * 0.75 ** place * (hit[:, place] - following)
        following = 0.25 * hit[:, place] + 0.75 * following
    return result
