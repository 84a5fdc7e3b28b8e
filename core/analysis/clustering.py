"""K-means of a space, matched to the classes, the confusion that results, and how well the two agree. Full dimension only."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans, kmeans_plusplus
from threadpoolctl import threadpool_limits

from core.analysis import neighbors
from core.errors import InputError

_PART = 20_000  # vectors that all ten starts are run on, where there are more
_PART_PER_CLUSTER = 64


def kmeans(vectors: np.ndarray, n_clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """K-means, the best of ten starts (Lloyd, 1982, doi:10.1109/TIT.1982.1056489; k-means++: Arthur & Vassilvitskii, 2007).

    Of more than 20,000 vectors (or 64 a cluster, where that is more) the ten are run to their ends on as many drawn at random,
    from centres of a fifth of these, and the best is run on to its end on all vectors (as the refined starts of Bradley &
    Fayyad, 1998, Proc. 15th ICML).

    In float64 and one thread: the same vectors give the same bits on one machine, on any number of threads. On another
    processor the steps are rounded otherwise in their last bits, 10⁻¹⁶ of a distance, and only vectors as near as that to two
    centres may fall to another cluster.

    Args:
        vectors: shape (n, D), float32.
        n_clusters: number of clusters k.
        seed: seed of the starts.

    Returns:
        Cluster of each vector, shape (n,), int32, and the centres, shape (k, D), float32.

    Raises:
        InputError: if there are fewer vectors than clusters.
    """
    if len(vectors) < n_clusters:
        raise InputError(f"K-means with {n_clusters} clusters must have at least as many samples, got {len(vectors)}")
    vectors = np.ascontiguousarray(vectors)
    with threadpool_limits(1):  # each thread sums its own part, and their number would show
        return _kmeans(vectors, n_clusters, seed)


def _kmeans(vectors: np.ndarray, n_clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    n_part = max(_PART, _PART_PER_CLUSTER * n_clusters)
    points = vectors.astype(np.float64)
    if len(points) <= n_part:
        model = KMeans(n_clusters, n_init=10, random_state=seed, copy_x=False).fit(points)
    else:
        part = np.random.default_rng([seed, 8]).choice(len(points), n_part, replace=False)
        best = KMeans(n_clusters, init=_draw_centers, n_init=10, random_state=seed, copy_x=False).fit(points[np.sort(part)])
        model = KMeans(n_clusters, init=best.cluster_centers_, n_init=1, copy_x=False).fit(points)
    return model.labels_.astype(np.int32), model.cluster_centers_.astype(np.float32)


def _draw_centers(vectors: np.ndarray, n_clusters: int, random_state: np.random.RandomState) -> np.ndarray:
    """First centres of k-means++ among a fifth of the vectors: drawing among all takes longer than the clustering."""
    part = random_state.choice(len(vectors), len(vectors) // 5, replace=False)
    return kmeans_plusplus(vectors[part], n_clusters, random_state=random_state)[0]


def match(cluster: np.ndarray, label_id: np.ndarray, n_classes: int) -> np.ndarray:
    """The one-to-one naming of clusters as classes that agrees most (Kuhn, 1955, doi:10.1002/nav.3800020109).

    Args:
        cluster: shape (n,), 0 ≤ cluster < n_classes.
        label_id: shape (n,), 0 ≤ label_id < n_classes.
        n_classes: number of classes, and of clusters.

    Returns:
        Class of each cluster, shape (n_classes,), int32.
    """
    return matching(confusion(cluster, label_id, n_classes))


def matching(table: np.ndarray) -> np.ndarray:
    """`match` of a confusion, shape (n_classes, n_classes)."""
    clusters, classes = linear_sum_assignment(table.T, maximize=True)
    naming = np.empty(len(table), dtype=np.int32)
    naming[clusters] = classes
    return naming


def confusion(cluster: np.ndarray, label_id: np.ndarray, n_classes: int) -> np.ndarray:
    """How many samples of each class (row) fell into each cluster (column); shape (n_classes, n_classes), int64. A sample of
    cluster -1, which is none, is in no cell."""
    cells = (label_id.astype(np.int64) * n_classes + cluster)[cluster >= 0]
    return np.bincount(cells, minlength=n_classes ** 2).reshape(n_classes, n_classes)


def nearest_center(vectors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Index of the nearest centre (Euclidean) for vectors that took no part in the clustering; shape (n,), int32."""
    queries, known = neighbors.sides(vectors, centers, "euclidean")
    return (queries @ known.T).argmax(axis=1).astype(np.int32)


def matched_kmeans(vectors: np.ndarray, label_id: np.ndarray, n_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """K-means with as many clusters as classes, clusters renamed to the classes they match best.

    Args:
        vectors: shape (n, D), float32.
        label_id: shape (n,), int32.
        n_classes: number of classes.
        seed: seed of K-means.

    Returns:
        Matched cluster of each vector, shape (n,), int32, and the centres in the classes' order, (n_classes, D).
    """
    cluster, centers = kmeans(vectors, n_classes, seed)
    naming = match(cluster, label_id, n_classes)
    ordered = np.empty_like(centers)
    ordered[naming] = centers
    return naming[cluster], ordered


def rand_index(cluster: np.ndarray, label_id: np.ndarray, n_classes: int) -> np.ndarray:
    """How well two partitions agree on pairs of samples, 0 at chance (adjusted Rand index: Hubert & Arabie, 1985,
    doi:10.1007/BF01908075).

    Args:
        cluster: shape (n,), 0 ≤ cluster < n_classes.
        label_id: shape (n,), 0 ≤ label_id < n_classes.
        n_classes: number of classes, and of clusters.

    Returns:
        Pseudo-values, shape (n,); their mean is the index, −0.5 to 1.
    """
    table = confusion(cluster, label_id, n_classes).astype(np.float64)
    rows, columns, n = table.sum(axis=1), table.sum(axis=0), table.sum()
    together, in_rows, in_columns, pairs = _pairs(table)
    chance = in_rows * in_columns / pairs
    most = (in_rows + in_columns) / 2
    if most == chance:  # one class in one cluster, or every sample alone: there is nothing to disagree on
        return np.ones(len(cluster))
    index = (together - chance) / (most - chance)
    # what one sample more in a cell changes, n held fixed: its pairs in the cell, in the class and in the cluster
    d_together, d_rows, d_columns = table[label_id, cluster], rows[label_id], columns[cluster]
    d_chance = (d_rows * in_columns + in_rows * d_columns) / pairs
    d_most = (d_rows + d_columns) / 2
    moved = n * (d_together - d_chance - index * (d_most - d_chance)) / (most - chance)
    return index + moved - moved.mean()


def adjusted_rand(table: np.ndarray) -> float:
    """`rand_index` as one number, of a confusion, shape (n_classes, n_classes)."""
    together, in_rows, in_columns, pairs = _pairs(table.astype(np.float64))
    chance, most = in_rows * in_columns / pairs, (in_rows + in_columns) / 2
    return float((together - chance) / (most - chance)) if most != chance else 1.0


def _pairs(table: np.ndarray) -> tuple[float, float, float, float]:
    """Pairs of samples that stand in one cell, in one row, in one column, and all."""
    together, in_rows, in_columns, pairs = (
        (part * (part - 1) / 2).sum() for part in (table, table.sum(axis=1), table.sum(axis=0), table.sum()))
    return together, in_rows, in_columns, pairs


def mutual_information(cluster: np.ndarray, label_id: np.ndarray, n_classes: int, adjusted: float) -> np.ndarray:
    """How much of the classes the clusters tell, 0 at chance (adjusted mutual information: Vinh et al., 2010, JMLR 11).

    Args:
        cluster: shape (n,), 0 ≤ cluster < n_classes.
        label_id: shape (n,), 0 ≤ label_id < n_classes.
        n_classes: number of classes, and of clusters.
        adjusted: the index, as scikit-learn computes it.

    Returns:
        Pseudo-values, shape (n,); their mean is the index, about 0 to 1. What chance alone gives is held fixed: at a given
        n it depends on the sizes of classes and clusters alone, and little.
    """
    table = confusion(cluster, label_id, n_classes) / len(cluster)
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    pointwise = np.log(table[label_id, cluster] / (rows[label_id] * columns[cluster]))
    most = (-np.log(rows[label_id]) - np.log(columns[cluster])) / 2
    information, entropy = pointwise.mean(), most.mean()
    if entropy - information < 1e-12 or adjusted >= 1 - 1e-12:
        return np.full(len(cluster), adjusted)
    chance = (information - adjusted * entropy) / (1 - adjusted)
    return adjusted + ((pointwise - information) - adjusted * (most - entropy)) / (entropy - chance)
