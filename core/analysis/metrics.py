"""How good one space is: every metric in the full dimension, sample by sample, so that two spaces can be paired.

Similarity is the cosine. Rows are queries; a query never finds itself.
"""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from core.analysis.clustering import matched_kmeans

_CHUNK = 1024  # queries at a time: 1024 × 100,000 similarities are 0.4 GB


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is called and read."""

    title: str
    meaning: str


METRICS: dict[str, MetricInfo] = {
    "map_at_r": MetricInfo("MAP@R", "Mean average precision over a query's R nearest, R being the number of other "
                           "samples of its class (Musgrave et al., 2020). 0 to 1, best 1. Sees the order of all "
                           "neighbours; undefined for a class with one sample."),
    "precision_at_1": MetricInfo("P@1", "Share of samples whose nearest neighbour has the same class. 0 to 1, best 1. "
                                 "Misses everything beyond the first neighbour."),
    "r_precision": MetricInfo("R-Precision", "Share of the R nearest that have the query's class. 0 to 1, best 1. "
                              "Misses their order."),
    "knn_accuracy": MetricInfo("k-NN", "Share of test samples that their nearest training samples classify rightly. "
                               "0 to 1, best 1. Misses how far apart the classes lie."),
    "kmeans_accuracy": MetricInfo("K-means", "Share of samples whose K-means cluster, matched to a class one to one, is "
                                  "their class. 0 to 1, best 1. Spaces of very different quality can all score 1."),
}
HEADLINE = "map_at_r"


def retrieval(vectors: np.ndarray, label_id: np.ndarray) -> dict[str, np.ndarray]:
    """Leave-one-out retrieval within one set of samples (Musgrave et al., 2020, arXiv:2003.08505).

    Args:
        vectors: shape (n, D), float32; cosine is used, so length does not matter.
        label_id: shape (n,), int.

    Returns:
        'precision_at_1', 'r_precision' and 'map_at_r', each of shape (n,), float64, 0 to 1; nan where the class has
        no other sample.

    Raises:
        ValueError: if there are fewer than two samples.
    """
    n = len(vectors)
    if n < 2:
        raise ValueError(f"retrieval must have at least 2 samples, got {n}")
    unit = _unit(vectors)
    n_relevant = np.bincount(label_id)[label_id] - 1
    deepest = max(1, int(n_relevant.max()))
    result = {name: np.full(n, np.nan) for name in ("precision_at_1", "r_precision", "map_at_r")}
    for start in range(0, n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, n))
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        hit = label_id[nearest(similarity, deepest)] == label_id[rows, None]
        r = n_relevant[rows]
        within = np.arange(deepest) < r[:, None]
        defined = r > 0
        precision = np.cumsum(hit, axis=1) / np.arange(1, deepest + 1)
        divisor = np.where(defined, r, 1)
        result["precision_at_1"][rows[defined]] = hit[defined, 0]
        result["r_precision"][rows[defined]] = ((hit & within).sum(axis=1) / divisor)[defined]
        result["map_at_r"][rows[defined]] = ((precision * (hit & within)).sum(axis=1) / divisor)[defined]
    return result


def knn_correct(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
                k: int) -> np.ndarray:
    """Whether the k most similar reference samples outvote the others rightly; ties go to the nearer class.

    Args:
        vectors: queries, shape (n, D), float32.
        label_id: their labels, shape (n,).
        reference: labelled samples, shape (m, D), float32.
        reference_label_id: their labels, shape (m,).
        k: how many vote; all of them if there are fewer.

    Returns:
        1.0 where right, 0.0 where wrong, shape (n,), float64.
    """
    k = min(k, len(reference))
    n_classes = int(max(label_id.max(), reference_label_id.max())) + 1
    queries, known = _unit(vectors), _unit(reference)
    predicted = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _CHUNK):
        similarity = queries[start:start + _CHUNK] @ known.T
        voters = reference_label_id[nearest(similarity, k)]
        rows = np.arange(len(voters))[:, None]
        votes = np.zeros((len(voters), n_classes), dtype=np.int64)
        np.add.at(votes, (rows, voters), 1)
        deciding = votes[rows, voters].argmax(axis=1)  # of the classes with most votes, the one whose voter is nearest
        predicted[start:start + _CHUNK] = voters[rows[:, 0], deciding]
    return (predicted == label_id).astype(np.float64)


def kmeans_correct(vectors: np.ndarray, label_id: np.ndarray, n_classes: int, n_seeds: int) -> np.ndarray:
    """Whether each sample's matched K-means cluster is its class, seed by seed; shape (n_seeds, n), float64."""
    return np.stack([(matched_kmeans(vectors, label_id, n_classes, seed)[0] == label_id).astype(np.float64)
                     for seed in range(n_seeds)])


def per_sample(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
               n_classes: int, neighbors: int, kmeans_seeds: int) -> dict[str, np.ndarray]:
    """Every metric of `METRICS`, one value a test sample (0 to 1, nan where undefined).

    Args:
        vectors: test samples, shape (n, D), float32.
        label_id: their labels, shape (n,).
        reference: training samples for k-NN, shape (m, D), float32.
        reference_label_id: their labels, shape (m,).
        n_classes: number of classes.
        neighbors: k of k-NN.
        kmeans_seeds: K-means runs whose mean is taken.

    Returns:
        Metric name -> shape (n,), float64.
    """
    with threadpool_limits(1):  # sums in one order, whatever the process: the same table gives the same bits
        values = retrieval(vectors, label_id)
        values["knn_accuracy"] = knn_correct(vectors, label_id, reference, reference_label_id, neighbors)
        values["kmeans_accuracy"] = kmeans_correct(vectors, label_id, n_classes, kmeans_seeds).mean(axis=0)
    return {name: values[name] for name in METRICS}


def effective_rank(vectors: np.ndarray) -> float:
    """How many directions a space really uses: the exponential of the entropy of its singular values' shares.

    Roy & Vetterli (2007), EUSIPCO. Of the vectors as they are, not centred: 1 if all point the same way.

    Args:
        vectors: shape (n, D).

    Returns:
        1 to min(n, D).
    """
    wide = vectors.astype(np.float64)
    gram = wide @ wide.T if len(wide) < wide.shape[1] else wide.T @ wide
    singular = np.sqrt(np.linalg.eigvalsh(gram).clip(min=0))
    share = singular / singular.sum()
    share = share[share > 1e-12]
    return float(np.exp(-(share * np.log(share)).sum()))


def nearest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest values of each row, largest first, equal ones by column; shape (n, k), int64."""
    k = min(k, similarity.shape[1])
    if k >= similarity.shape[1] // 2:
        return np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    chosen = np.sort(np.argpartition(-similarity, k - 1, axis=1)[:, :k], axis=1)
    values = np.take_along_axis(similarity, chosen, axis=1)
    found = np.take_along_axis(chosen, np.argsort(-values, axis=1, kind="stable"), axis=1)
    is_tied = (similarity >= values.min(axis=1, keepdims=True)).sum(axis=1) > k  # equal at the edge: which is arbitrary
    found[is_tied] = np.argsort(-similarity[is_tied], axis=1, kind="stable")[:, :k]
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
