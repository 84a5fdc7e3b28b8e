"""How good one space is: every metric in the full dimension, sample by sample, so that two spaces can be paired.

Similarity is the cosine unless asked otherwise. Rows are queries; a query never finds itself or its own group.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score
from threadpoolctl import threadpool_limits

from core.analysis import chance, clustering, geometry, parts, probe, retrieval
from core.analysis import neighbors as nearby
from core.analysis.exchangeable import exchangeable
from core.analysis.probe import ProbeChoice

_VOTERS = (1, 20)  # k of k-NN beside the k of `EvaluationConfig.neighbors`


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is called and read."""

    title: str
    meaning: str
    bounds: tuple[float, float] = (0.0, 1.0)
    is_low_best: bool = False


METRICS: dict[str, MetricInfo] = {
    "map_at_r": MetricInfo("MAP@R", "Mean average precision over a query's R nearest outside its own group, R being the "
                           "number of samples of its class there (Musgrave et al., 2020). 0 to 1, best 1. Sees the order of "
                           "all neighbours; undefined where the class has no sample outside the query's group."),
    "precision_at_1": MetricInfo("P@1", "Share of samples whose nearest neighbour outside their own group has the same class. "
                                 "0 to 1, best 1. Misses everything beyond the first neighbour; undefined where the class has "
                                 "no sample outside the query's group."),
    "r_precision": MetricInfo("R-Precision", "Share of the R nearest outside the query's own group that have its class, R "
                              "being how many of its class are there. 0 to 1, best 1. Misses their order; undefined where "
                              "there is none."),
    "knn_accuracy": MetricInfo("k-NN", "Share of test samples that their nearest training samples, five unless set "
                               "otherwise, classify rightly. 0 to 1, best 1. Misses how far apart the classes lie."),
    "probe_accuracy": MetricInfo("probe", "Share of test samples that a logistic regression fitted on the training samples "
                                 "classifies rightly, its regularisation chosen on validation. 0 to 1, best 1. Misses "
                                 "whether classes are clusters: a line between them is enough."),
    "kmeans_accuracy": MetricInfo("K-means", "Share of samples whose K-means cluster, matched to a class one to one, is "
                                  "their class. 0 to 1, best 1; chance is well above 1 / classes. Spaces of very different "
                                  "quality can all score 1: it misses how near the clusters lie."),
    "knn_1": MetricInfo("1-NN", "Share of test samples whose nearest training sample has their class. 0 to 1, best 1. "
                        "One wrong label near by is enough to be wrong."),
    "knn_20": MetricInfo("20-NN", "Share of test samples that their 20 nearest training samples classify rightly. 0 to 1, "
                         "best 1. Misses classes with few training samples, which others outvote."),
    "silhouette": MetricInfo("silhouette", "How much nearer a sample lies to its own class than to the nearest other one, "
                             "as a share of the larger distance (Rousseeuw, 1987), cosine, samples of its own group left out. "
                             "−1 to 1, best 1. Misses classes of several clusters; undefined where its class has no sample "
                             "outside its group.", (-1.0, 1.0)),
}
HEADLINE = "map_at_r"
GALLERY = (*retrieval.NAMES, "silhouette")  # metrics in which test samples are found by others
SHORT = ("map_at_r", "precision_at_1", "r_precision", "knn_accuracy", "probe_accuracy", "kmeans_accuracy")  # for narrow tables

SPACE_METRICS: dict[str, MetricInfo] = {
    "ari": MetricInfo("ARI", "Adjusted Rand index of K-means clusters and classes: agreement on pairs of samples (Hubert & "
                      "Arabie, 1985). −0.5 to 1, best 1, 0 at chance; more where clusters are whole groups. Large classes "
                      "weigh most.", (-0.5, 1.0)),
    "ami": MetricInfo("AMI", "Adjusted mutual information of K-means clusters and classes (Vinh et al., 2010). About 0 to 1, "
                      "best 1, 0 at chance; more where clusters are whole groups. Does not mind a class split into pure "
                      "clusters much.", (-1.0, 1.0)),
    "effective_rank": MetricInfo("effective rank", "How many directions the vectors use (Roy & Vetterli, 2007). 1 to the "
                                 "dimension; neither end is best: 1 is a collapse, and noise uses all directions.",
                                 (1.0, np.inf)),
    "alignment": MetricInfo("alignment", "Mean squared distance to the others of one's class outside one's own group, on the "
                            "unit sphere (Wang & Isola, 2020). 0 to 4, best 0, which a collapsed space has too; undefined "
                            "where there are none.", (0.0, 4.0), is_low_best=True),
    "uniformity": MetricInfo("uniformity", "Logarithm of the mean of exp(−2 × squared distance) over all pairs of different "
                             "groups (Wang & Isola, 2020). −8 to 0, lower is more evenly spread, which noise is too; 0 is a "
                             "collapse.", (-8.0, 0.0)),
    "intra_distance": MetricInfo("distance within classes", "Mean cosine distance to the others of one's class outside one's "
                                 "own group. 0 to 2, lower is tighter; to be read against the distance between classes. Half "
                                 "the alignment.", (0.0, 2.0), is_low_best=True),
    "inter_distance": MetricInfo("distance between classes", "Mean cosine distance to the samples of other classes outside "
                                 "one's own group. 0 to 2, higher is farther apart; misses the one class that lies near. "
                                 "Undefined for one class.", (0.0, 2.0)),
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
        gallery_by_class: metric of `retrieval.NAMES` -> the same of the sum of all values, each times its `macro.weights`.
        space: metric of `SPACE_METRICS` -> shape (n,), float64, nan where undefined; pseudo-values whose mean is the metric.
        clusters: K-means clusterings, matched to the classes, shape (kmeans_seeds, n), int32.
        neighbors: rows of the nearest test samples, nearest first, shape (n, `retrieval.N_NEIGHBORS` or n − 1), int64;
            `neighbors.NOBODY` where fewer are left.
        with_own_group: metric of `retrieval.NAMES` -> the values with samples of the query's own group counted, shape (n,).
        expected: metric that knows classes, but for `chance.OF_CLUSTERS` -> what its values would be on average with labels
            permuted among groups of like size, shape (n,), float64, nan where undefined.
        probe: how strongly the linear probe is regularised.
    """

    values: dict[str, np.ndarray]
    gallery: dict[str, np.ndarray]
    gallery_by_class: dict[str, np.ndarray]
    space: dict[str, np.ndarray]
    clusters: np.ndarray
    neighbors: np.ndarray
    with_own_group: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    probe: ProbeChoice


def measure(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
            n_classes: int, neighbors: int, kmeans_seeds: int, group: np.ndarray | None = None,
            validation: tuple[np.ndarray, np.ndarray] | None = None, roles: retrieval.Roles | None = None) -> Measures:
    """Every metric of `METRICS` and `SPACE_METRICS`; the same vectors give the same bits on any number of cores.

    On another processor, too, what neighbours, votes and distances decide is the same to the bit. K-means, the probe and the
    effective rank are solved step by step in float64: there what is nearer to a tie than its last bits may fall otherwise.

    Args:
        vectors: test samples, shape (n, D), float32.
        label_id: their labels, shape (n,).
        reference: training samples for k-NN and probe, shape (m, D), float32.
        reference_label_id: their labels, shape (m,).
        n_classes: number of classes.
        neighbors: k of k-NN.
        kmeans_seeds: K-means runs, each the best of ten initialisations, whose mean is taken.
        group: test samples that belong together, shape (n,), which do not find or stand near each other; None: each alone.
        validation: vectors and labels of validation samples, shapes (v, D), float32, and (v,), which choose how strongly the
            probe is regularised; None: there are none.
        roles: which test samples ask and which are found, in retrieval; None: every one does both.

    Raises:
        InputError: if there are fewer than two test samples, or fewer than classes.
    """
    with threadpool_limits(1):  # sums in one order, whatever the process
        clusters = np.stack([cluster for cluster, _ in parts.at_once([
            partial(clustering.matched_kmeans, vectors, label_id, n_classes, seed) for seed in range(kmeans_seeds)])])
        retrieved = retrieval.measure(vectors, label_id, group, roles)
        ks = (neighbors, *_VOTERS)
        votes = _vote(*nearby.sides(vectors, reference, "cosine"), reference_label_id, ks)
        by_probe, choice = probe.call(vectors, reference, reference_label_id, validation)
        called = {**{name: votes[k] for name, k in zip(("knn_accuracy", "knn_1", "knn_20"), ks)},
                  "probe_accuracy": by_probe}
        distances, units = geometry.by_class(vectors, label_id, group), exchangeable(label_id, group)
        values = {**retrieved.values, "silhouette": distances["silhouette"],
                  **{name: (answer == label_id).astype(np.float64) for name, answer in called.items()},
                  "kmeans_accuracy": (clusters == label_id).mean(axis=0)}
        expected = {**retrieved.expected, **{name: chance.of_answers(answer, units) for name, answer in called.items()},
                    **geometry.by_permuted_class(vectors, units)}
        gallery = {**retrieved.gallery, "silhouette": distances["gallery silhouette"]}
        for name, pull in gallery.items():
            is_defined = ~np.isnan(values[name])
            pull -= pull[is_defined].mean() if is_defined.any() else 0.0
        space = {"ari": _mean_over(clusters, lambda cluster: clustering.rand_index(cluster, label_id, n_classes)),
                 "ami": _mean_over(clusters, lambda cluster: clustering.mutual_information(
                     cluster, label_id, n_classes, adjusted_mutual_info_score(label_id, cluster))),
                 "effective_rank": geometry.effective_rank(vectors), "uniformity": geometry.uniformity(retrieved.kernel),
                 **distances}
    return Measures({name: values[name] for name in METRICS}, gallery, retrieved.gallery_by_class,
                    {name: space[name] for name in SPACE_METRICS}, clusters, retrieved.neighbors, retrieved.with_own_group,
                    expected, choice)


def knn_correct(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
                k: int, distance: nearby.Distance = "cosine") -> np.ndarray:
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
    queries, known = nearby.sides(vectors, reference, distance)
    return (_vote(queries, known, reference_label_id, (k,))[k] == label_id).astype(np.float64)


def _vote(queries: np.ndarray, known: np.ndarray, known_label_id: np.ndarray, ks: tuple[int, ...]) -> dict[int, np.ndarray]:
    """The class that the k nearest call each query, for several k at once; each of shape (n,), int64."""
    n_classes = int(known_label_id.max()) + 1
    called = {k: np.empty(len(queries), np.int64) for k in ks}

    def work(chunk: np.ndarray) -> None:
        similarity = queries[chunk] @ known.T
        voters = known_label_id[nearby.largest(similarity, max(ks))]
        for k in ks:
            called[k][chunk] = nearby.vote(voters[:, :k], n_classes)[0]

    for _ in parts.at_once([partial(work, chunk) for chunk in parts.of_rows(len(queries), len(known))]):
        pass
    return called


def kmeans_correct(vectors: np.ndarray, label_id: np.ndarray, n_classes: int, n_seeds: int) -> np.ndarray:
    """Whether each sample's matched K-means cluster is its class, seed by seed; shape (n_seeds, n), float64."""
    return np.stack([(clustering.matched_kmeans(vectors, label_id, n_classes, seed)[0] == label_id).astype(np.float64)
                     for seed in range(n_seeds)])


def _mean_over(clusters: np.ndarray, pseudo_values: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.mean([pseudo_values(cluster) for cluster in clusters], axis=0)
