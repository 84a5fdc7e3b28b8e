"""How alike two spaces are, whichever is better: neighbours in common, and whether the whole arrangement is the same.

Full dimension only; rows of both are the same samples in the same order.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from core.analysis import neighbors
from core.errors import InputError

_ROWS = 8192  # rows in float64 at a time: 50 MB of 768 dimensions


def neighborhood_overlap(a: np.ndarray, b: np.ndarray, k: int, group: np.ndarray | None = None,
                         names: np.ndarray | None = None) -> np.ndarray:
    """Share of each sample's k nearest outside its own group, by cosine, that are the same in both spaces.

    Args:
        a: shape (n, D), float32.
        b: shape (n, E), float32, the same samples.
        k: how many neighbours; all others if there are fewer.
        group: samples of which none is another's neighbour, shape (n,); None: each alone.
        names: sample_id, in whose order equally near ones stand, shape (n,); None: in that of the rows.

    Returns:
        Shape (n,), float64, 0 to 1; nan where no neighbour is left. Unrelated spaces share about k / (n − 1).

    Raises:
        ValueError: if they differ in their number of samples, or there are fewer than two.
    """
    _check(a, b)
    return shared_neighbors(*(neighbors.nearest(space, space, k, True, group, names)[0] for space in (a, b)))


def shared_neighbors(near_a: np.ndarray, near_b: np.ndarray) -> np.ndarray:
    """Share of the neighbours that stand in both lists, row by row.

    Args:
        near_a: rows of neighbours, `neighbors.NOBODY` where there are fewer than k, shape (n, k), int.
        near_b: the same in the other space, shape (n, k), int.

    Returns:
        Shape (n,), float64, 0 to 1; nan where there are none.
    """
    shared = np.zeros(near_a.shape[0])
    for column in near_a.T:
        shared += (column != neighbors.NOBODY) & (column[:, None] == near_b).any(axis=1)
    count = (near_a != neighbors.NOBODY).sum(axis=1)
    return shared / np.where(count > 0, count, np.nan)


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """How alike the arrangement of all samples is, whatever way it is turned or scaled as a whole.

    Linear centered kernel alignment, Kornblith et al., 2019, arXiv:1905.00414: |BᵀA|² / (|AᵀA| |BᵀB|) of centred vectors. The
    same bits on any number of threads; between processors the same to about 10⁻¹².

    Args:
        a: shape (n, D), float32.
        b: shape (n, E), float32, the same samples.

    Returns:
        0 to 1; 1 for the same arrangement. With fewer samples than dimensions it is high for any two spaces.

    Raises:
        InputError: if they differ in their number of samples, or all vectors of one are the same.
    """
    _check(a, b)
    with threadpool_limits(1):
        return _linear_cka(a, b)


def _linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    mean_a, mean_b = a.mean(axis=0, dtype=np.float64), b.mean(axis=0, dtype=np.float64)
    both, of_a, of_b = (np.zeros((rows, columns)) for rows, columns in
                        ((a.shape[1], b.shape[1]), (a.shape[1],) * 2, (b.shape[1],) * 2))
    for start in range(0, len(a), _ROWS):
        part_a, part_b = a[start:start + _ROWS] - mean_a, b[start:start + _ROWS] - mean_b
        both += part_a.T @ part_b
        of_a += part_a.T @ part_a
        of_b += part_b.T @ part_b
    size = np.linalg.norm(of_a) * np.linalg.norm(of_b)
    if size < 1e-20 * max(1, len(a)):
        raise InputError("spaces must have vectors that differ to be compared, got one where all are the same")
    return float(np.linalg.norm(both) ** 2 / size)


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"two spaces must hold the same samples, two or more, got {len(a)} and {len(b)}")
