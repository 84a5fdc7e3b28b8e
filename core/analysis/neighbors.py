"""Who lies nearest to whom, by cosine and in the full dimension, and what those neighbours vote.

Chunked, so that many queries against many samples need little memory; knows no splits and no files.
"""

import numpy as np

from core.analysis import metrics

_CHUNK = 25_000_000  # similarities at a time: 0.1 GB


def nearest(queries: np.ndarray, reference: np.ndarray, k: int, is_same: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar reference samples of each query, nearest first.

    Args:
        queries: shape (n, D), float32.
        reference: shape (m, D), float32.
        k: how many; all there are if fewer.
        is_same: whether both are the same samples, of which none is its own neighbour.

    Returns:
        Rows of the reference, shape (n, k), int64, and their cosines, shape (n, k), float32.

    Raises:
        ValueError: if there is nobody to be near to.
    """
    k = min(k, len(reference) - is_same)
    if k < 1:
        raise ValueError(f"there must be at least one sample to be near to, got {len(reference) - is_same}")
    queries, reference = unit(queries), unit(reference)
    rows = np.empty((len(queries), k), dtype=np.int64)
    cosines = np.empty((len(queries), k), dtype=np.float32)
    size = max(1, _CHUNK // len(reference))
    for start in range(0, len(queries), size):
        chunk = slice(start, min(start + size, len(queries)))
        similarity = queries[chunk] @ reference.T
        if is_same:
            similarity[np.arange(len(similarity)), np.arange(chunk.start, chunk.stop)] = -np.inf
        rows[chunk] = metrics.nearest(similarity, k)
        cosines[chunk] = np.take_along_axis(similarity, rows[chunk], axis=1)
    return rows, cosines


def vote(labels: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """What neighbours call a sample, and how many of them do; ties go to the nearer class, as in `metrics.knn_correct`.

    Args:
        labels: the neighbours' labels, nearest first, shape (n, k), int.
        n_classes: number of classes.

    Returns:
        The class with most votes, shape (n,), int64, and its share of them, shape (n,), float64, 0 to 1.
    """
    rows = np.arange(len(labels))[:, None]
    votes = np.zeros((len(labels), n_classes), dtype=np.int64)
    np.add.at(votes, (rows, labels), 1)
    deciding = votes[rows, labels].argmax(axis=1)
    called = labels[rows[:, 0], deciding].astype(np.int64)
    return called, votes[rows[:, 0], called] / labels.shape[1]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, shape (n, D); a zero vector stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
