"""Who lies nearest to whom, by cosine or by distance and in the full dimension, and what those neighbours vote.

Products are exact: vectors are rounded to a grid (`unit`, `sides`) on which no sum of products needs rounding, whatever its
order. So the same vectors have the same neighbours in blocks of any size, on any number of threads, and on any processor.
Equally near samples stand in the order of their rows, or of the names that are given. A query never finds itself or its own
group. Knows no splits and no files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.analysis import parts

Distance = Literal["cosine", "euclidean"]
NOBODY = -1  # in place of a row, where fewer than k are left
_THIN = 31  # one value in so many is a sample of a row; odd, for labels often come round in even numbers
# A float64 holds 53 bits. Products of two multiples of 2⁻²⁶ are multiples of 2⁻⁵², and by Cauchy and Schwarz no partial sum of
# a cosine lies beyond 1 and a little: it fits. A squared distance reaches further, and so has a grid twice as wide.
_DIRECTION, _POINT = 2.0 ** 26, 2.0 ** 25
_ROWS = 8192  # rounded at a time: 50 MB of 768 dimensions


@dataclass(frozen=True, eq=False)
class OwnGroups:
    """The known samples of each query's own group, which it must not find.

    Attributes:
        members: rows of known samples, those of one group together.
        start: place of each query's first in `members`, shape (n,).
        size: how many they are, shape (n,).
    """

    members: np.ndarray
    start: np.ndarray
    size: np.ndarray

    def leave_out(self, similarity: np.ndarray, rows: np.ndarray) -> None:
        """Puts −∞ for them into the products of some queries with all known samples, shape (len(rows), m)."""
        size = self.size[rows]
        member = np.arange(size.sum()) + np.repeat(self.start[rows] - (np.cumsum(size) - size), size)
        similarity[np.repeat(np.arange(len(rows)), size), self.members[member]] = -np.inf


def own_groups(group: np.ndarray, known: np.ndarray | None = None) -> OwnGroups:
    """Own groups among known samples.

    Args:
        group: the queries', shape (n,).
        known: the known samples', shape (m,); None if the queries are the known samples, as in leave-one-out.
    """
    names, codes = np.unique(group if group.dtype.kind in "iu" else group.astype(str), return_inverse=True)
    if known is None:
        known_codes = codes
    else:
        known = known if known.dtype.kind in "iu" else known.astype(str)
        known_codes = np.where(np.isin(known, names), np.searchsorted(names, known), len(names))
    sizes = np.bincount(known_codes, minlength=len(names) + 1)
    starts = np.cumsum(sizes) - sizes
    return OwnGroups(np.argsort(known_codes, kind="stable"), starts[codes], sizes[codes])


def cells(label_id: np.ndarray, group: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the groups, and what each holds of each class.

    Args:
        label_id: shape (n,), int.
        group: shape (n,); None: each sample alone.

    Returns:
        The number of each sample's group, and of the part of its group that is of its class; each from 0, shape (n,), int64.
    """
    if group is None:
        return np.arange(len(label_id)), np.arange(len(label_id))
    places = np.unique(group.astype(str), return_inverse=True)[1]
    return places, np.unique(places.astype(np.int64) * (int(label_id.max()) + 1) + label_id, return_inverse=True)[1]


def nearest(queries: np.ndarray, reference: np.ndarray, k: int, is_same: bool = False, group: np.ndarray | None = None,
            names: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar reference samples of each query, nearest first.

    Args:
        queries: shape (n, D), float32.
        reference: shape (m, D), float32.
        k: how many; all if there are fewer.
        is_same: whether both are the same samples, of which none is its own neighbour.
        group: where both are the same, samples of which none is another's neighbour, shape (n,); None: each alone.
        names: the reference's sample_id, in whose order equally near ones stand, shape (m,); None: in that of the rows.

    Returns:
        Rows of the reference, shape (n, k), int64, and their cosines, shape (n, k), float64; `NOBODY` and nan where fewer
        than k are left.

    Raises:
        ValueError: if there is no reference sample.
    """
    k = min(k, len(reference) - is_same)
    if k < 1:
        raise ValueError(f"there must be at least one sample to be near to, got {len(reference) - is_same}")
    order = np.arange(len(reference)) if names is None else np.argsort(names.astype(str), kind="stable")
    known = unit(reference)[order]
    group = np.arange(len(queries)) if group is None else group
    own = own_groups(group, group[order]) if is_same else None
    queries = unit(queries)
    rows, cosines = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    for chunk in parts.of_rows(len(queries), len(reference)):
        similarity = queries[chunk] @ known.T
        if own is not None:
            own.leave_out(similarity, chunk)
        near = largest(similarity, k)
        found = np.take_along_axis(similarity, near, axis=1)
        is_left = np.isfinite(found)
        rows[chunk] = np.where(is_left, order[near], NOBODY)
        cosines[chunk] = np.where(is_left, found, np.nan)
    return rows, cosines


def vote(labels: np.ndarray, n_classes: int, is_voter: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The class that most neighbours of a sample have, and its share; ties go to the nearer, as in `metrics.knn_correct`.

    Args:
        labels: the neighbours' labels, nearest first, shape (n, k), int.
        n_classes: number of classes.
        is_voter: which neighbours count, bool, shape (n, k); None: all.

    Returns:
        The class with most votes, shape (n,), int64, and its share of them, shape (n,), float64, 0 to 1; -1 and nan where
        no neighbour counts.
    """
    rows = np.arange(len(labels))[:, None]
    is_voter = np.ones(labels.shape, bool) if is_voter is None else is_voter
    votes = np.zeros((len(labels), n_classes), dtype=np.int64)
    np.add.at(votes, (rows, labels), is_voter)
    deciding = np.where(is_voter, votes[rows, labels], -1).argmax(axis=1)
    called = labels[rows[:, 0], deciding].astype(np.int64)
    n_voters = is_voter.sum(axis=1)
    share = votes[rows[:, 0], called] / np.where(n_voters > 0, n_voters, np.nan)
    return np.where(n_voters > 0, called, -1), share


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 on the grid whose products are exact, shape (n, D), float64; a zero vector stays zero.

    Coordinates are multiples of 2⁻²⁶, so a cosine is off by about 10⁻⁸, less than products in float32 are.
    """
    return _rounded(vectors, lambda part: part / np.maximum(np.sqrt((part ** 2).sum(axis=1, keepdims=True)),
                                                           np.finfo(np.float32).tiny), _DIRECTION)


def sides(vectors: np.ndarray, reference: np.ndarray, distance: Distance) -> tuple[np.ndarray, np.ndarray]:
    """Queries and known vectors whose products are exact and fall as their distance grows; float64.

    Of the Euclidean, −|q − x|² / 2 = q · x − |x|² / 2 − |q|² / 2, where the last is the same for all that a query sees. They
    are taken from the middle of all and scaled by a power of two to a largest length of at most 1; coordinates are multiples
    of 2⁻²⁵ of that.
    """
    if distance == "cosine":
        known = unit(reference)
        return (known if vectors is reference else unit(vectors)), known
    step = _power_above(np.abs(reference).max(initial=0)) / 256  # a coarse middle does not depend on the order of the rows
    middle = np.rint(reference.mean(axis=0, dtype=np.float64) / step) * step
    longest = max(np.sqrt(((part[start:start + _ROWS] - middle) ** 2).sum(axis=1).max(initial=0))
                  for part in (vectors, reference) for start in range(0, max(1, len(part)), _ROWS))
    scale = 1 / _power_above(longest)
    queries, known = (_rounded(part, lambda rows: (rows - middle) * scale, _POINT) for part in (vectors, reference))
    return (np.concatenate([queries, np.ones((len(queries), 1))], axis=1),
            np.concatenate([known, -(known ** 2).sum(axis=1, keepdims=True) / 2], axis=1))


def mean_direction(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Means of unit vectors, on their grid, so that a product with a mean is exact too.

    Args:
        total: sums of vectors of `unit`, shape (k, D), exact in any order.
        count: how many each is of, shape (k,), at least 1.
    """
    return np.rint(total / count[:, None] * _DIRECTION) / _DIRECTION


def _power_above(value: float) -> float:
    """The least power of two that is above a value; 1 for zero."""
    return float(2.0 ** np.frexp(value)[1]) if value > 0 else 1.0


def _rounded(vectors: np.ndarray, change: Callable[[np.ndarray], np.ndarray], fineness: float) -> np.ndarray:
    result = np.empty(vectors.shape, np.float64)
    for start in range(0, len(vectors), _ROWS):
        part = change(np.ascontiguousarray(vectors[start:start + _ROWS], np.float64))
        result[start:start + _ROWS] = np.rint(part * fineness) / fineness
    return result


def largest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest values of each row, largest first, equal ones by column; shape (n, k), int64."""
    k = min(k, similarity.shape[1])
    columns = np.empty((len(similarity), k), np.int64)
    for row, values in enumerate(similarity):
        columns[row] = _largest(values, k)
    return columns


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Places of the k largest of a row; a thin sample says first how large those must be, so that few are looked at twice."""
    n_sampled = -(-len(values) // _THIN)
    rank = 16 + 5 * k // (4 * _THIN)  # of the sample: a quarter more than k, and some, are as large
    candidates = np.empty(0, np.int64)
    if rank < n_sampled // 2:
        candidates = np.flatnonzero(values >= np.partition(values[::_THIN], n_sampled - rank)[n_sampled - rank])
    if len(candidates) < k:
        candidates = np.flatnonzero(values >= np.partition(values, len(values) - k)[len(values) - k])
    falling = -values[candidates]
    order = np.argsort(falling)
    if (falling[order[1:]] == falling[order[:-1]]).any():
        order = np.argsort(falling, kind="stable")  # equal ones by their place, which takes thrice as long
    return candidates[order[:k]]
