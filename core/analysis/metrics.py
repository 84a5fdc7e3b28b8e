"""How good one space is: every metric in the full dimension, sample by sample, so that two spaces can be paired.

Similarity is the cosine unless asked otherwise. Rows are queries; a query never finds itself.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from core.analysis import clustering, geometry

Distance = Literal["cosine", "euclidean"]
_CHUNK = 50_000_000  # similarities at a time: 0.2 GB
_THIN = 31  # one value in so many is a sample of a row; odd, for labels often come round in even numbers
_VOTERS = (1, 20)  # k of k-NN beside the k of `EvaluationConfig.neighbors`
N_NEIGHBORS = 10  # nearest test samples that are kept of each, for the overlap of two spaces

_Result = TypeVar("_Result")


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
_RETRIEVAL = ("precision_at_1", "r_precision", "map_at_r")
GALLERY = (*_RETRIEVAL, "silhouette")  # metrics in which test samples are found by others
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
        gallery: metrics of `METRICS` in which samples are found by others -> shape (n,), float64: by how much the sum of all
            values is higher with this sample among those that are found; less its mean. A value and this are what an image
            that is drawn brings with it.
        space: metric of `SPACE_METRICS` -> shape (n,), float64, nan where undefined; pseudo-values whose mean is the metric.
        clusters: K-means clusterings, matched to the classes, shape (kmeans_seeds, n), int32.
        neighbors: rows of the nearest test samples, nearest first, shape (n, `N_NEIGHBORS` or n − 1), int64.
    """

    values: dict[str, np.ndarray]
    gallery: dict[str, np.ndarray]
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
        clusters = np.stack(list(_at_once([lambda seed=seed: clustering.matched_kmeans(vectors, label_id, n_classes, seed)[0]
                                           for seed in range(kmeans_seeds)])))
        found = _search(unit, label_id, has_all=True)
        ks = (neighbors, *_VOTERS)
        votes = _vote(unit, label_id, _unit(reference), reference_label_id, ks)
        distances = geometry.by_class(unit, label_id)
        values = {**{name: found[name] for name in _RETRIEVAL}, "silhouette": distances["silhouette"],
                  **{name: votes[k] for name, k in zip(("knn_accuracy", "knn_1", "knn_20"), ks)},
                  "probe_accuracy": probe_correct(vectors, label_id, reference, reference_label_id),
                  "kmeans_accuracy": (clusters == label_id).mean(axis=0)}
        gallery = {**{name: found[f"gallery {name}"] for name in _RETRIEVAL}, "silhouette": distances["gallery silhouette"]}
        for name, pull in gallery.items():
            is_defined = ~np.isnan(values[name])
            pull -= pull[is_defined].mean() if is_defined.any() else 0.0
        space = {"ari": _mean_over(clusters, lambda cluster: clustering.rand_index(cluster, label_id, n_classes)),
                 "ami": _mean_over(clusters, lambda cluster: clustering.mutual_information(
                     cluster, label_id, n_classes, adjusted_mutual_info_score(label_id, cluster))),
                 "effective_rank": geometry.effective_rank(vectors), "uniformity": geometry.uniformity(found["kernel"]),
                 **distances}
    return Measures({name: values[name] for name in METRICS}, gallery, {name: space[name] for name in SPACE_METRICS}, clusters,
                    found["neighbors"])


def per_sample(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
               n_classes: int, neighbors: int, kmeans_seeds: int) -> dict[str, np.ndarray]:
    """Every metric of `METRICS`, one value a test sample, shape (n,), float64; as `measure`."""
    return measure(vectors, label_id, reference, reference_label_id, n_classes, neighbors, kmeans_seeds).values


def retrieval(vectors: np.ndarray, label_id: np.ndarray, distance: Distance = "cosine") -> dict[str, np.ndarray]:
    """Leave-one-out retrieval within one set of samples (Musgrave et al., 2020, arXiv:2003.08505).

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
    queries, known = _sides(vectors, vectors, distance)
    found = _search(queries, label_id, has_all=False, known=known)
    return {name: found[name] for name in _RETRIEVAL}


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Retrieval within one set of n samples: `values` as of `retrieval`, `gallery` what each sample does to the others as one
    that is found, and `neighbors` the rows of the nearest; as in `Measures`."""

    values: dict[str, np.ndarray]
    gallery: dict[str, np.ndarray]
    neighbors: np.ndarray


def measure_retrieval(vectors: np.ndarray, label_id: np.ndarray) -> Retrieval:
    """Retrieval alone, of samples without labelled others to learn from; arguments and `Raises` as of `retrieval`."""
    with threadpool_limits(1):  # as in `measure`
        found = _search(_unit(vectors), label_id, has_all=True)
    return Retrieval({name: found[name] for name in _RETRIEVAL}, {name: found[f"gallery {name}"] for name in _RETRIEVAL},
                     found["neighbors"])


def neighbors(vectors: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k nearest others by cosine, nearest first; vectors of shape (n, D), result (n, k), int64."""
    return _search(_unit(vectors), np.arange(len(vectors)), has_all=False, n_kept=k)["neighbors"]


def _search(unit: np.ndarray, label_id: np.ndarray, has_all: bool, n_kept: int = N_NEIGHBORS,
            known: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """One pass over all pairs: retrieval and the nearest of each; if `has_all`, also the kernel of uniformity and, as
    'gallery map_at_r' and so on, what each sample does to the others as one that is found. `known` is the other side of each
    pair, where it is not the same."""
    known = unit if known is None else known
    n = len(unit)
    if n < 2:
        raise ValueError(f"retrieval must have at least 2 samples, got {n}")
    n_relevant = np.bincount(label_id)[label_id] - 1
    n_kept = min(n_kept, n - 1)
    deepest = min(n - 1, max(n_kept, 16 * has_all, int(n_relevant.max()) + has_all))
    result = {**{name: np.full(n, np.nan) for name in _RETRIEVAL}, "kernel": np.full(n, np.nan),
              "neighbors": np.empty((n, n_kept), np.int64)}
    if has_all:
        result |= {f"gallery {name}": np.zeros(n) for name in _RETRIEVAL}

    def work(rows: np.ndarray) -> list[np.ndarray]:
        similarity = unit[rows] @ known.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        near = nearest(similarity, deepest)
        hit = label_id[near] == label_id[rows, None]
        r = n_relevant[rows]
        defined = r > 0
        values, pulls = _query(hit, r, has_all)
        for name, column in zip(_RETRIEVAL, values):
            result[name][rows[defined]] = column[defined]
        result["neighbors"][rows] = near[:, :n_kept]
        if not has_all:
            return []
        similarity -= 1  # exp(−2 |x − y|²) = exp(4 cos − 4); itself is exp(−inf) = 0
        similarity *= 4
        result["kernel"][rows] = np.exp(similarity, out=similarity).sum(axis=1, dtype=np.float64) / (n - 1)
        found = []
        for of_found, of_missed in pulls:
            of_found[~defined], of_missed[~defined] = 0, 0
            to_class = np.bincount(label_id[rows], weights=of_missed, minlength=label_id.max() + 1)[label_id]
            to_class[rows] -= of_missed  # a query is not its own gallery
            found.append(to_class + np.bincount(near.reshape(-1), weights=of_found.reshape(-1), minlength=n))
        return found

    for found in _at_once([lambda rows=rows: work(rows) for rows in _chunks(n, n)]):
        for name, pull in zip(_RETRIEVAL, found):
            result[f"gallery {name}"] += pull
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


def knn_correct(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
                k: int, distance: Distance = "cosine") -> np.ndarray:
    """Whether the k most similar reference samples outvote the others rightly; ties go to the nearer class.

    Args:
        vectors: queries, shape (n, D), float32.
        label_id: their labels, shape (n,).
        reference: labelled samples, shape (m, D), float32.
        reference_label_id: their labels, shape (m,).
        k: how many vote; all of them if there are fewer.
        distance: 'cosine' or 'euclidean'.

    Returns:
        1.0 where right, 0.0 where wrong, shape (n,), float64.
    """
    queries, known = _sides(vectors, reference, distance)
    return _vote(queries, label_id, known, reference_label_id, (k,))[k]


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

    for _ in _at_once([lambda chunk=chunk: work(chunk) for chunk in _chunks(len(queries), len(known))]):
        pass
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


def _sides(vectors: np.ndarray, reference: np.ndarray, distance: Distance) -> tuple[np.ndarray, np.ndarray]:
    """Queries and known vectors whose products fall as their distance grows.

    Of the Euclidean, −|q − x|² / 2 = q · x − |x|² / 2 − |q|² / 2, where the last is the same for all that a query sees; in
    float64 and from the middle of all, so that little is lost between large numbers.
    """
    if distance == "cosine":
        return _unit(vectors), _unit(reference)
    middle = reference.mean(axis=0, dtype=np.float64)
    queries, known = vectors - middle, reference - middle
    return (np.concatenate([queries, np.ones((len(queries), 1))], axis=1),
            np.concatenate([known, -(known ** 2).sum(axis=1, keepdims=True) / 2], axis=1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def _chunks(n: int, width: int) -> list[np.ndarray]:
    """Rows in parts whose products with `width` others fit in memory; the same parts on every machine."""
    step = max(1, min(1024, _CHUNK // width))
    return [np.arange(start, min(start + step, n)) for start in range(0, n, step)]


def _mean_over(clusters: np.ndarray, pseudo_values: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.mean([pseudo_values(cluster) for cluster in clusters], axis=0)


def _at_once(tasks: list[Callable[[], _Result]]) -> Iterator[_Result]:
    """The results of independent tasks in their order, as many at work as there are cores, each within one thread."""
    def alone(task: Callable[[], _Result]) -> _Result:
        with threadpool_limits(1, user_api="openmp"):  # OpenMP counts its threads for each of ours
            return task()

    if len(tasks) == 1:
        yield tasks[0]()
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()) as pool:
        yield from pool.map(alone, tasks)
