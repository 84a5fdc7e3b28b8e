"""What changed for each sample from space A to space B: the K-means cluster it lies in, and whether k-NN gets it right.

The same samples in the same rows of both; says who, not why.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Quadrants:
    """Rows of the samples that both spaces get right, only A, only B, or neither; each in order, int64.

    Their sizes are the four cells of McNemar's table (1947, doi:10.1007/BF02295996).
    """

    both: np.ndarray
    only_a: np.ndarray
    only_b: np.ndarray
    neither: np.ndarray

    @property
    def right_a(self) -> int:
        """How many A gets right."""
        return len(self.both) + len(self.only_a)

    @property
    def right_b(self) -> int:
        """How many B gets right."""
        return len(self.both) + len(self.only_b)

    @property
    def n(self) -> int:
        """How many were judged by both."""
        return len(self.both) + len(self.only_a) + len(self.only_b) + len(self.neither)


def quadrants(right_a: np.ndarray, right_b: np.ndarray) -> Quadrants:
    """Who won and who lost.

    Args:
        right_a: 1 where A is right, 0 where it is wrong, nan where it was not judged, shape (n,).
        right_b: the same of B.

    Raises:
        ValueError: if they are of different samples, or a value is neither right nor wrong.
    """
    if right_a.shape != right_b.shape:
        raise ValueError(f"A and B must be of the same samples, got {len(right_a)} and {len(right_b)}")
    judged = ~(np.isnan(right_a) | np.isnan(right_b))
    if not np.isin(np.concatenate([right_a[judged], right_b[judged]]), (0, 1)).all():
        raise ValueError("right or wrong must be 1 or 0 for each sample, got something between")
    a, b = right_a == 1, right_b == 1
    return Quadrants(*(np.flatnonzero(judged & is_in) for is_in in (a & b, a & ~b, ~a & b, ~a & ~b)))


def cell(cluster: np.ndarray, label_id: np.ndarray, label: int, matched: int) -> np.ndarray:
    """Rows of a class's samples that lie in the cluster matched to some class; (m,), int64."""
    return np.flatnonzero((label_id == label) & (cluster == matched))


def moved(cluster_a: np.ndarray, cluster_b: np.ndarray, label_id: np.ndarray, label: int,
          matched: int) -> tuple[np.ndarray, np.ndarray]:
    """A class's samples that came into a cluster from A to B, and those that left it.

    Args:
        cluster_a: matched cluster of each sample in A, shape (n,).
        cluster_b: the same in B.
        label_id: shape (n,).
        label: whose samples.
        matched: the class whose cluster it is.

    Returns:
        Rows that came and rows that left, each int64; their numbers differ by the cell's change.
    """
    a, b = (set(cell(cluster, label_id, label, matched).tolist()) for cluster in (cluster_a, cluster_b))
    return np.array(sorted(b - a), np.int64), np.array(sorted(a - b), np.int64)
