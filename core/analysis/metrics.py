"""How good one space is: every metric in the full dimension, sample by sample, so that two spaces can be paired.

Similarity is the cosine. Rows are queries; a query never finds itself.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from core.analysis import clustering, geometry

_CHUNK = 25_000_000  # similarities at a time: 0.1 GB
_VOTERS = (1, 20)  # k of k-NN beside the k of `EvaluationConfig.neighbors`
N_NEIGHBORS = 10  # nearest test samples that are kept of each, for the overlap of two spaces


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is called and read."""

    title: str
    meaning: str
    bounds: tuple[float, float] = (0.0, 1.0)


METRICS: dict[str, MetricInfo] = {
    "map_at_r": MetricInfo("MAP@R", "Mean average precision over a query's R nearest, R being the number of other "
                           "samples of its class (Musgrave et al., 2020). 0 to 1, best 1. Sees the order of all "
                           "neighbours; undefined for a class with one sample."),
    "precision_at_1": MetricInfo("P@1", "Share of samples whose nearest neighbour has the same class. 0 to 1, best 1. "
                                 "Misses everything beyond the first neighbour; undefined for a class with one sample."),
    "r_precision": MetricInfo("R-Precision", "Share of the R nearest that have the query's class. 0 to 1, best 1. "
                              "Misses their order; undefined for a class with one sample."),
    "knn_accuracy": MetricInfo("k-NN", "Share of test samples that their nearest training samples, five unless set "
                               "otherwise, classify rightly. 0 to 1, best 1. Misses how far apart the classes lie."),
    "probe_accuracy": MetricInfo("probe", "Share of test samples that a logistic regression fitted on the training samples "
                                 "classifies rightly. 0 to 1, best 1. Misses whether classes are clusters: a line between "
                                 "them is enough."),
    "kmeans_accuracy": MetricInfo("K-means", "Share of samples whose K-means cluster, matched to a class one to one, is "
                                  "their class. 0 to 1, best 1; chance is well above 1 / classes. Spaces of very different "
                                  "quality can all score 1: it misses how near the clusters lie."),
    "knn_1": MetricInfo("1-NN", "Share of test samples whose nearest training sample has their class. 0 to 1, best 1. "
                        "One wrong label near by is enough to be wrong."),
    "knn_20": MetricInfo("20-NN", "Share of test samples that their 20 nearest training samples classify rightly. 0 to 1, "
                         "best 1. Misses classes with few training samples, which others outvote."),
    "silhouette": MetricInfo("silhouette", "How much nearer a sample lies to its own class than to the nearest other one, "
                             "as a share of the larger distance (Rousseeuw, 1987), cosine. −1 to 1, best 1. Misses classes "
                             "of several clusters; undefined for a class with one sample.", (-1.0, 1.0)),
}
HEADLINE = "map_at_r"
SHORT = ("map_at_r", "precision_at_1", "r_precision", "knn_accuracy", "probe_accuracy", "kmeans_accuracy")  # for narrow tables

SPACE_METRICS: dict[str, MetricInfo] = {
    "ari": MetricInfo("ARI", "Adjusted Rand index of K-means clusters and classes: agreement on pairs of samples (Hubert & "
                      "Arabie, 1985). −0.5 to 1, best 1, 0 at chance. Large classes weigh most.", (-0.5, 1.0)),
    "ami": MetricInfo("AMI", "Adjusted mutual information of K-means clusters and classes (Vinh et al., 2010). About 0 to 1, "
                      "best 1, 0 at chance. Does not mind a class split into pure clusters much.", (-1.0, 1.0)),
    "effective_rank": MetricInfo("effective rank", "How many directions the vectors use (Roy & Vetterli, 2007). 1 to the "
                                 "dimension; neither end is best: 1 is a collapse, and noise uses all directions.",
                                 (1.0, np.inf)),
    "alignment": MetricInfo("alignment", "Mean squared distance to the others of one's class on the unit sphere (Wang & "
                            "Isola, 2020). 0 to 4, best 0, which a collapsed space has too; undefined for a class with one "
                            "sample.", (0.0, 4.0)),
    "uniformity": MetricInfo("uniformity", "Logarithm of the mean of exp(−2 × squared distance) over all pairs (Wang & "
                             "Isola, 2020). −8 to 0, lower is more evenly spread, which noise is too; 0 is a collapse.",
                             (-8.0, 0.0)),
    "intra_distance": MetricInfo("distance within classes", "Mean cosine distance to the others of one's class. 0 to 2, "
                                 "lower is tighter; to be read against the distance between classes. Half the alignment.",
                                 (0.0, 2.0)),
    "inter_distance": MetricInfo("distance between classes", "Mean cosine distance to the samples of other classes. 0 to 2, "
                                 "higher is farther apart; misses the one class that lies near. Undefined for one class.",
                                 (0.0, 2.0)),
}

WHY_NOT_KMEANS_ALONE = (
    "K-means accuracy alone is never the verdict. It asks whether each class is one clump, and is full marks as soon as it "
    "is, whether the clumps touch or lie far apart: three spaces of the literature all score about 1.00 on it, while MAP@R, "
    "which sees who stands next to whom, tells them apart at 0.68, 0.76 and 0.99 (Musgrave et al., 2020, arXiv:2003.08505, "
    "figure 3). With many classes and few images it is also well above 1 / classes by chance.")


@dataclass(frozen=True, eq=False)
class Measures:
    """All that is known of one space's n test samples.

    Attributes:
        values: metric of `METRICS` -> shape (n,), float64, nan where undefined.
        space: metric of `SPACE_METRICS` -> shape (n,), float64, nan where undefined; pseudo-values whose mean is the metric.
        clusters: K-means clusterings, matched to the classes, shape (kmeans_seeds, n), int32.
        neighbors: rows of the nearest test samples, nearest first, shape (n, `N_NEIGHBORS` or n − 1), int64.
    """

    values: dict[str, np.ndarray]
    space: dict[str, np.ndarray]
    clusters: np.ndarray
    neighbors: np.ndarray


def measure(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
            n_classes: int, neighbors: int, kmeans_seeds: int) -> Measures:
    """Every metric of `METRICS` and `SPACE_METRICS`; the same vectors give the same bits on any number of cores.

    Args:
        vectors: test samples, shape (n, D), float32.
        label_id: their labels, shape (n,).
        reference: training samples for k-NN and probe, shape (m, D), float32.
        reference_label_id: their labels, shape (m,).
        n_classes: number of classes.
        neighbors: k of k-NN.
        kmeans_seeds: K-means runs, each the best of ten initialisations, whose mean is taken.

    Raises:
        ValueError: if there are fewer than two test samples, or fewer than classes.
    """
    with threadpool_limits(1):  # sums in one order, whatever the process
        unit = _unit(vectors)
        clusters = np.stack(_at_once([lambda seed=seed: clustering.matched_kmeans(vectors, label_id, n_classes, seed)[0]
                                      for seed in range(kmeans_seeds)]))
        found = _search(unit, label_id, has_kernel=True)
        ks = (neighbors, *_VOTERS)
        votes = _vote(unit, label_id, _unit(reference), reference_label_id, ks)
        distances = geometry.by_class(unit, label_id)
        values = {**{name: found[name] for name in _RETRIEVAL}, "silhouette": distances["silhouette"],
                  **{name: votes[k] for name, k in zip(("knn_accuracy", "knn_1", "knn_20"), ks)},
                  "probe_accuracy": probe_correct(vectors, label_id, reference, reference_label_id),
                  "kmeans_accuracy": (clusters == label_id).mean(axis=0)}
        space = {"ari": _mean_over(clusters, lambda cluster: clustering.rand_index(cluster, label_id, n_classes)),
                 "ami": _mean_over(clusters, lambda cluster: clustering.mutual_information(
                     cluster, label_id, n_classes, adjusted_mutual_info_score(label_id, cluster))),
                 "effective_rank": geometry.effective_rank(vectors), "uniformity": geometry.uniformity(found["kernel"]),
                 **distances}
    return Measures({name: values[name] for name in METRICS}, {name: space[name] for name in SPACE_METRICS}, clusters,
                    found["neighbors"])


def per_sample(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
               n_classes: int, neighbors: int, kmeans_seeds: int) -> dict[str, np.ndarray]:
    """Every metric of `METRICS`, one value a test sample, shape (n,), float64; as `measure`."""
    return measure(vectors, label_id, reference, reference_label_id, n_classes, neighbors, kmeans_seeds).values


_RETRIEVAL = ("precision_at_1", "r_precision", "map_at_r")


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
    found = _search(_unit(vectors), label_id, has_kernel=False)
    return {name: found[name] for name in _RETRIEVAL}


def neighbors(vectors: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k nearest others by cosine, nearest first; vectors of shape (n, D), result (n, k), int64."""
    return _search(_unit(vectors), np.arange(len(vectors)), has_kernel=False, n_kept=k)["neighbors"]


def _search(unit: np.ndarray, label_id: np.ndarray, has_kernel: bool, n_kept: int = N_NEIGHBORS) -> dict[str, np.ndarray]:
    """One pass over all pairs: retrieval, the nearest of each, and, if asked, the kernel of uniformity."""
    n = len(unit)
    if n < 2:
        raise ValueError(f"retrieval must have at least 2 samples, got {n}")
    n_relevant = np.bincount(label_id)[label_id] - 1
    n_kept = min(n_kept, n - 1)
    deepest = max(n_kept, int(n_relevant.max()))
    result = {**{name: np.full(n, np.nan) for name in _RETRIEVAL}, "kernel": np.full(n, np.nan),
              "neighbors": np.empty((n, n_kept), np.int64)}

    def work(rows: np.ndarray) -> None:
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        near = nearest(similarity, deepest)
        hit = label_id[near] == label_id[rows, None]
        r = n_relevant[rows]
        hit &= np.arange(deepest) < r[:, None]
        defined = r > 0
        precision = np.cumsum(hit, axis=1) / np.arange(1, deepest + 1)
        divisor = np.where(defined, r, 1)
        result["precision_at_1"][rows[defined]] = hit[defined, 0]
        result["r_precision"][rows[defined]] = (hit.sum(axis=1) / divisor)[defined]
        result["map_at_r"][rows[defined]] = ((precision * hit).sum(axis=1) / divisor)[defined]
        result["neighbors"][rows] = near[:, :n_kept]
        if has_kernel:  # exp(−2 |x − y|²) = exp(4 cos − 4); itself is exp(−inf) = 0
            similarity -= 1
            similarity *= 4
            result["kernel"][rows] = np.exp(similarity, out=similarity).sum(axis=1, dtype=np.float64) / (n - 1)

    _at_once([lambda rows=rows: work(rows) for rows in _chunks(n, n)])
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
    return _vote(_unit(vectors), label_id, _unit(reference), reference_label_id, (k,))[k]


def _vote(queries: np.ndarray, label_id: np.ndarray, known: np.ndarray, known_label_id: np.ndarray,
          ks: tuple[int, ...]) -> dict[int, np.ndarray]:
    """`knn_correct` for several k at once."""
    n_classes = int(max(label_id.max(), known_label_id.max())) + 1
    correct = {k: np.empty(len(queries)) for k in ks}

    def work(chunk: np.ndarray) -> None:
        similarity = queries[chunk] @ known.T
        voters = known_label_id[nearest(similarity, max(ks))]
        rows = np.arange(len(chunk))[:, None]
        for k in ks:
            votes = np.zeros((len(chunk), n_classes), dtype=np.int64)
            np.add.at(votes, (rows, voters[:, :k]), 1)
            deciding = votes[rows, voters[:, :k]].argmax(axis=1)  # of the classes with most votes, the one whose voter is
            correct[k][chunk] = voters[rows[:, 0], deciding] == label_id[chunk]  # nearest

    _at_once([lambda chunk=chunk: work(chunk) for chunk in _chunks(len(queries), len(known))])
    return correct


def probe_correct(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray,
                  reference_label_id: np.ndarray) -> np.ndarray:
    """Whether a linear classifier, fitted on the reference samples, is right: logistic regression, each dimension brought
    to mean 0 and sd 1, L2 penalty with C = 1 (scikit-learn's default).

    Args:
        vectors: queries, shape (n, D), float32.
        label_id: their labels, shape (n,).
        reference: labelled samples, shape (m, D), float32.
        reference_label_id: their labels, shape (m,).

    Returns:
        1.0 where right, 0.0 where wrong, shape (n,), float64.
    """
    if len(np.unique(reference_label_id)) == 1:
        return (label_id == reference_label_id[0]).astype(np.float64)
    scaler = StandardScaler().fit(reference)
    model = LogisticRegression(max_iter=1000, tol=1e-3).fit(scaler.transform(reference), reference_label_id)
    return (model.predict(scaler.transform(vectors)) == label_id).astype(np.float64)


def kmeans_correct(vectors: np.ndarray, label_id: np.ndarray, n_classes: int, n_seeds: int) -> np.ndarray:
    """Whether each sample's matched K-means cluster is its class, seed by seed; shape (n_seeds, n), float64."""
    return np.stack([(clustering.matched_kmeans(vectors, label_id, n_classes, seed)[0] == label_id).astype(np.float64)
                     for seed in range(n_seeds)])


def effective_rank(vectors: np.ndarray) -> float:
    """How many directions a space really uses, 1 to min(n, D), as `geometry.effective_rank`; vectors of shape (n, D)."""
    return float(geometry.effective_rank(vectors).mean())


def nearest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest values of each row, largest first, equal ones by column; shape (n, k), int64."""
    n, width = similarity.shape
    k = min(k, width)
    if k >= width // 2:
        return np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    edge = np.partition(similarity, width - k, axis=1)[:, width - k]
    is_chosen = similarity >= edge[:, None]
    is_tied = np.count_nonzero(is_chosen, axis=1) > k  # equal at the edge: which is arbitrary
    is_chosen[is_tied] = False
    is_chosen[is_tied, :k] = True  # a place to stand until they are sorted for themselves
    chosen = np.flatnonzero(is_chosen)
    values = -similarity.reshape(-1)[chosen].reshape(n, k)
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    has_equals = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    order[has_equals] = np.argsort(values[has_equals], axis=1, kind="stable")
    found = np.take_along_axis((chosen % width).reshape(n, k), order, axis=1)
    found[is_tied] = np.argsort(-similarity[is_tied], axis=1, kind="stable")[:, :k]
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def _chunks(n: int, width: int) -> list[np.ndarray]:
    """Rows in parts whose products with `width` others fit in memory; the same parts on every machine."""
    step = max(1, min(1024, _CHUNK // width))
    return [np.arange(start, min(start + step, n)) for start in range(0, n, step)]


def _mean_over(clusters: np.ndarray, pseudo_values: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.mean([pseudo_values(cluster) for cluster in clusters], axis=0)


def _at_once(tasks: list[Callable[[], np.ndarray | None]]) -> list[np.ndarray | None]:
    """The results of independent tasks, as many at once as there are cores, each within one thread."""
    def alone(task: Callable[[], np.ndarray | None]) -> np.ndarray | None:
        with threadpool_limits(1, user_api="openmp"):  # OpenMP counts its threads for each of ours
            return task()

    if len(tasks) == 1:
        return [tasks[0]()]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()) as pool:
        return list(pool.map(alone, tasks))
