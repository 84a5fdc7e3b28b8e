"""Where to look first: what changed most between two spaces, and labels that both of them contradict.

Full dimension only; suggests, decides nothing. Rows of both spaces are the same samples in the same order.
"""

from dataclasses import dataclass

import numpy as np

from core.analysis import agreement, clustering, neighbors


@dataclass(frozen=True)
class ChangedPair:
    """Two classes: how many of their samples lie in the other's cluster in A and in B."""

    label: int
    other: int
    in_a: int
    in_b: int


@dataclass(frozen=True, eq=False)
class Doubts:
    """Samples whose label both spaces contradict with one voice, the most certain first.

    Attributes:
        rows: shape (m,), int64.
        called: the class both spaces would have it, shape (m,), int64.
        confidence: mean share of the votes for that class less that for the label, of both spaces, shape (m,), −1 to 1.
    """

    rows: np.ndarray
    called: np.ndarray
    confidence: np.ndarray


def changed_pairs(cluster_a: np.ndarray, cluster_b: np.ndarray, label_id: np.ndarray, n_classes: int) -> list[ChangedPair]:
    """Pairs of classes by how much more, or less, they are confused in B than in A; the largest change first.

    Args:
        cluster_a: matched cluster of each sample in A, shape (n,).
        cluster_b: the same in B.
        label_id: shape (n,).
        n_classes: number of classes.
    """
    a, b = (clustering.confusion(cluster, label_id, n_classes) for cluster in (cluster_a, cluster_b))
    a, b = a + a.T, b + b.T
    pairs = [ChangedPair(int(i), int(j), int(a[i, j]), int(b[i, j])) for i, j in zip(*np.triu_indices(n_classes, 1))
             if a[i, j] != b[i, j]]
    return sorted(pairs, key=lambda pair: -abs(pair.in_b - pair.in_a))


def moved_neighborhoods(a: np.ndarray, b: np.ndarray, k: int, group: np.ndarray | None = None,
                        names: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Samples by how few of their k nearest they kept from A to B, the most changed first.

    Args:
        a: vectors of A, shape (n, D), float32.
        b: vectors of B, shape (n, E), float32.
        k: how many neighbours.
        group: samples of which none is another's neighbour, shape (n,); None: each alone.
        names: sample_id, in whose order equal ones stand, shape (n,); None: in that of the rows.

    Returns:
        Rows of the samples that have neighbours, shape (m,), int64, and the share each kept, shape (m,), 0 to 1.
    """
    overlap = agreement.neighborhood_overlap(a, b, k, group, names)
    order = np.arange(len(overlap)) if names is None else np.argsort(names.astype(str), kind="stable")
    rows = order[np.argsort(overlap[order], kind="stable")]
    rows = rows[~np.isnan(overlap[rows])]
    return rows, overlap[rows]


def doubtful_labels(a: np.ndarray, b: np.ndarray, label_id: np.ndarray, n_classes: int, k: int,
                    group: np.ndarray | None = None, names: np.ndarray | None = None) -> Doubts:
    """Likely label errors: the nearest others in both spaces call a sample something else, and the same.

    Leave-one-out k-NN, each of the k nearest with one vote, is Wilson's editing rule (1972, doi:10.1109/TSMC.1972.4309137),
    here asked of two spaces that must agree. Samples of its own group, which likely bear the same wrong label, have no vote. A
    space that was trained on a wrong label may have learnt it: such errors are found less often.

    Args:
        a: vectors of A, shape (n, D), float32.
        b: vectors of B, shape (n, E), float32.
        label_id: shape (n,), int.
        n_classes: number of classes.
        k: how many vote.
        group: samples of which none votes for another, shape (n,); None: each alone.
        names: sample_id, in whose order equal ones stand, shape (n,); None: in that of the rows.
    """
    called, confidence = [], np.zeros(len(label_id))
    for vectors in (a, b):
        near, _ = neighbors.nearest(vectors, vectors, k, True, group, names)
        voters, is_voter = label_id[near], near != neighbors.NOBODY
        name, share = neighbors.vote(voters, n_classes, is_voter)
        called.append(name)
        agreeing = ((voters == label_id[:, None]) & is_voter).sum(axis=1) / np.maximum(is_voter.sum(axis=1), 1)
        confidence += (share - agreeing) / 2
    doubted = np.flatnonzero((called[0] == called[1]) & (called[0] != label_id) & (called[0] >= 0))
    if names is not None:
        doubted = doubted[np.argsort(names[doubted].astype(str), kind="stable")]
    rows = doubted[np.argsort(-confidence[doubted], kind="stable")]
    return Doubts(rows, called[0][rows], confidence[rows])
