"""Who lies nearest to whom, by cosine and in the full dimension, and what those neighbours vote.

Chunked, so that many queries against many samples need little memory; knows no splits and no files.
"""

from typing import Literal

import numpy as np

from core.analysis import parts

Distance = Literal["cosine", "euclidean"]
_THIN = 31  # one value in so many is a sample of a row; odd, for labels often come round in even numbers


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
    for chunk in parts.of_rows(len(queries), len(reference)):
        similarity = queries[chunk] @ reference.T
        if is_same:
            similarity[np.arange(len(chunk)), chunk] = -np.inf
        rows[chunk] = largest(similarity, k)
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


def sides(vectors: np.ndarray, reference: np.ndarray, distance: Distance) -> tuple[np.ndarray, np.ndarray]:
    """Queries and known vectors whose products fall as their distance grows.

    Of the Euclidean, −|q − x|² / 2 = q · x − |x|² / 2 − |q|² / 2, where the last is the same for all that a query sees; in
    float64 and from the middle of all, so that little is lost between large numbers.
    """
    if distance == "cosine":
        return unit(vectors), unit(reference)
    middle = reference.mean(axis=0, dtype=np.float64)
    queries, known = vectors - middle, reference - middle
    return (np.concatenate([queries, np.ones((len(queries), 1))], axis=1),
            np.concatenate([known, -(known ** 2).sum(axis=1, keepdims=True) / 2], axis=1))


def largest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest values of each row, largest first, equal ones by column; shape (n, k), int64."""
    k = min(k, similarity.shape[1])
    found = np.empty((len(similarity), k), np.int64)
    for row, values in enumerate(similarity):
        found[row] = _largest(values, k)
    return found


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
