"""K-means of a space, matched to the classes, and the confusion that results. Full dimension only."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans


def kmeans(vectors: np.ndarray, n_clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """K-means with ten initialisations (Lloyd, 1982, doi:10.1109/TIT.1982.1056489).

    Args:
        vectors: shape (n, D), float32.
        n_clusters: number of clusters k.
        seed: seed of the initialisations.

    Returns:
        Cluster of each vector, shape (n,), int32, and the centres, shape (k, D), float32.

    Raises:
        ValueError: if there are fewer vectors than clusters.
    """
    if len(vectors) < n_clusters:
        raise ValueError(f"K-means with {n_clusters} clusters must have at least as many samples, got {len(vectors)}")
    model = KMeans(n_clusters, n_init=10, random_state=seed).fit(vectors)
    return model.labels_.astype(np.int32), model.cluster_centers_


def match(cluster: np.ndarray, label_id: np.ndarray, n_classes: int) -> np.ndarray:
    """The one-to-one naming of clusters as classes that agrees most (Kuhn, 1955, doi:10.1002/nav.3800020109).

    Args:
        cluster: shape (n,), 0 ≤ cluster < n_classes.
        label_id: shape (n,), 0 ≤ label_id < n_classes.
        n_classes: number of classes, and of clusters.

    Returns:
        Class of each cluster, shape (n_classes,), int32.
    """
    counts = confusion(cluster, label_id, n_classes)
    clusters, classes = linear_sum_assignment(counts.T, maximize=True)
    naming = np.empty(n_classes, dtype=np.int32)
    naming[clusters] = classes
    return naming


def confusion(cluster: np.ndarray, label_id: np.ndarray, n_classes: int) -> np.ndarray:
    """How many samples of each class (row) fell into each cluster (column); shape (n_classes, n_classes), int64."""
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (label_id, cluster), 1)
    return counts


def nearest_center(vectors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Index of the nearest centre (Euclidean) for vectors that took no part in the clustering; shape (n,), int32."""
    distance = (centers ** 2).sum(axis=1) - 2 * vectors @ centers.T
    return distance.argmin(axis=1).astype(np.int32)


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
