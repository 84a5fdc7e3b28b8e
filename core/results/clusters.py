"""The cluster of each image in a run's table: K-means of the test images, begun in the order in which scores are computed.

Knows vectors and the manifest; scores nothing.
"""

import numpy as np

from core.analysis import clustering
from core.data.manifest import OPEN, Manifest


def of_images(vectors: np.ndarray, manifest: Manifest) -> np.ndarray:
    """K-means of the test images, matched to the classes: the first of the clusterings that `scoring.score` has.

    Every other image takes the nearest centre's, and held-out classes are clustered among themselves.

    Args:
        vectors: of every sample of the manifest, shape (n, D), float32.
        manifest: the samples, split.

    Returns:
        Label id of the class that each image's cluster is matched to, shape (n,), int32.
    """
    cluster = np.empty(len(manifest), dtype=np.int32)
    open_rows, test, known = (manifest.indices(name) for name in (OPEN, "test", "train"))
    closed = np.setdiff1d(np.arange(len(manifest)), open_rows)
    for fitted, assigned, labelled in ((test, closed, np.union1d(test, known)), (open_rows, open_rows, open_rows)):
        if len(fitted):
            fitted = by_name(manifest, fitted)
            classes = np.unique(manifest.label_id[labelled])
            label_id = np.searchsorted(classes, manifest.label_id[fitted])
            own, centers = clustering.matched_kmeans(vectors[fitted], label_id, len(classes), seed=0)
            cluster[assigned] = classes[clustering.nearest_center(vectors[assigned], centers)]
            cluster[fitted] = classes[own]
    return cluster


def by_name(manifest: Manifest, rows: np.ndarray) -> np.ndarray:
    """Rows in the order of sample_id: K-means and ties then do not depend on the order of the manifest; shape (m,), int64."""
    return rows[np.argsort(manifest.sample_id[rows].astype(str), kind="stable")]
