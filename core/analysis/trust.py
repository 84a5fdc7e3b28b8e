"""How far a 2D layout can be believed, point by point, and which classes touch in it but not in the full dimension.

Neighbours are by cosine in the full dimension and by distance in the layout, outside a point's own group: a layout that keeps
crops of one photograph together and no more shows nothing of how photographs lie. A layout is for looking; this says how far.
"""

from dataclasses import dataclass

import numpy as np

from core.analysis.neighbors import NOBODY, largest, own_groups, unit

NEIGHBORS = 10
MOST = 5000  # points measured of a larger layout; their ranks are among all
_CHUNK = 4_000_000  # distances at a time: 16 MB, which a core's cache and the passes over it like
_TOUCHING = 0.1  # share of neighbours in 2D from which two classes are said to touch
_APART = 0.25  # they do not in full dimension if it is less than this of the share in 2D


@dataclass(frozen=True, eq=False)
class Trust:
    """What was measured of a layout of n points.

    Attributes:
        trustworthiness: shape (n,), float64, best 1; nan for points that were not measured, or have fewer than two outside
            their group. Their mean is the layout's.
        continuity: the same for neighbours that the layout lost.
        rows: the points measured, in order, shape (m,), int64.
        near_layout: rows of each one's nearest in 2D, nearest first, shape (m, k), int64; `NOBODY` where fewer are looked at.
        near_space: the same in the full dimension.
    """

    trustworthiness: np.ndarray
    continuity: np.ndarray
    rows: np.ndarray
    near_layout: np.ndarray
    near_space: np.ndarray


@dataclass(frozen=True)
class Touch:
    """Two classes that are neighbours in the layout only: shares of the smaller one's neighbours, here and in full
    dimension."""

    label: int
    other: int
    here: float
    there: float


def measure(vectors: np.ndarray, layout: np.ndarray, k: int = NEIGHBORS, most: int = MOST, seed: int = 0,
            group: np.ndarray | None = None) -> Trust:
    """Trustworthiness: are neighbours in 2D neighbours in the full dimension? Continuity: the other way round.

    Venna & Kaski, 2001, doi:10.1007/3-540-44668-0_68, equations 1 and 2, before their mean over points: 1 less the ranks
    by which the k nearest in one are farther than k in the other, scaled so that the worst arrangement gives 0.

    Args:
        vectors: shape (n, D), float32.
        layout: shape (n, 2).
        k: how many neighbours; at most half of those that a point has outside its group.
        most: points that are measured; a random draw of more.
        seed: seed of that draw.
        group: points that belong together, of which none is another's neighbour, shape (n,); None: each alone.

    Raises:
        ValueError: if there are fewer than three points.
    """
    n = len(vectors)
    if n < 3:
        raise ValueError(f"a layout to measure must have at least 3 points, got {n}")
    own = own_groups(np.arange(n) if group is None else group)
    n_left = n - own.size
    n_asked = np.minimum(k, n_left // 2)
    k = max(1, int(n_asked.max()))
    rows = np.arange(n) if n <= most else np.sort(np.random.default_rng([seed, 6]).choice(n, most, replace=False))
    vectors, layout = unit(vectors), layout.astype(np.float64)  # in float32 close points of a wide layout are one
    near_layout, near_space = (np.empty((len(rows), k), np.int64) for _ in range(2))
    false, lost = np.empty(len(rows)), np.empty(len(rows))
    squares = (layout ** 2).sum(axis=1)
    step = max(1, _CHUNK // n)
    for start in range(0, len(rows), step):
        chunk = slice(start, min(start + step, len(rows)))
        mine = rows[chunk]
        in_space = vectors[mine] @ vectors.T
        in_layout = 2 * layout[mine] @ layout.T - squares  # less a constant of the row, minus the squared distance
        for nearness in (in_space, in_layout):
            own.leave_out(nearness, mine)
        is_asked = np.arange(k) < n_asked[mine, None]
        near_space[chunk], near_layout[chunk] = (np.where(is_asked, largest(nearness, k), NOBODY)
                                                 for nearness in (in_space, in_layout))
        false[chunk] = _excess(in_space, near_layout[chunk], n_asked[mine])
        lost[chunk] = _excess(in_layout, near_space[chunk], n_asked[mine])
    asked = n_asked[rows].astype(np.float64)
    worst = np.where(asked > 0, asked * (2 * (n_left[rows] + 1) - 3 * asked - 1) / 2, np.nan)
    trustworthiness, continuity = (np.full(n, np.nan) for _ in range(2))
    trustworthiness[rows], continuity[rows] = 1 - false / worst, 1 - lost / worst
    return Trust(trustworthiness, continuity, rows, near_layout, near_space)


def touches(trust: Trust, label_id: np.ndarray, n_classes: int) -> list[Touch]:
    """Pairs of classes that touch in the layout and not in the full dimension, the most misleading first.

    Two classes touch where at least a tenth of the smaller one's neighbours are of the other.

    Args:
        trust: what was measured of the layout.
        label_id: shape (n,).
        n_classes: number of classes.
    """
    here, there = (_links(near, trust.rows, label_id, n_classes) for near in (trust.near_layout, trust.near_space))
    is_false = (here >= _TOUCHING) & (there <= _APART * here)
    pairs = [Touch(int(i), int(j), float(here[i, j]), float(there[i, j])) for i, j in np.argwhere(np.triu(is_false, 1))]
    return sorted(pairs, key=lambda pair: pair.there - pair.here)


def displacement(layout: np.ndarray, before: np.ndarray) -> float:
    """Mean distance that points moved, as a share of the radius of the layout before: its points' root mean square distance
    from their middle. 0 if nothing moved."""
    radius = float(np.sqrt(((before - before.mean(axis=0)) ** 2).sum(axis=1).mean()))
    moved = float(np.linalg.norm(layout - before, axis=1).mean())
    return moved / radius if radius else 0.0


def _excess(nearness: np.ndarray, near: np.ndarray, k: np.ndarray) -> np.ndarray:
    """By how many ranks the given neighbours lie beyond the k nearest, k for each row, summed for each row; ties by column."""
    columns = np.arange(nearness.shape[1])
    total = np.zeros(len(near))
    for chosen in near.T:
        value = np.take_along_axis(nearness, chosen[:, None], axis=1)
        before = (nearness > value).sum(axis=1) + ((nearness == value) & (columns < chosen[:, None])).sum(axis=1)
        total += np.where(chosen == NOBODY, 0, np.maximum(before + 1 - k, 0))
    return total


def _links(near: np.ndarray, rows: np.ndarray, label_id: np.ndarray, n_classes: int) -> np.ndarray:
    """Share of the smaller class's neighbours that are of the other, for each pair of classes, shape (k, k)."""
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (np.repeat(label_id[rows], near.shape[1]), label_id[near].ravel()), (near != NOBODY).ravel())
    total = counts.sum(axis=1)
    share = counts / np.maximum(total, 1)[:, None]
    is_smaller = total[:, None] <= total[None, :]
    return np.where(is_smaller, share, share.T)
