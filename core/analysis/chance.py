"""What a metric would be if the space knew nothing of the classes: permuted labels, at this n and these classes.

K-means accuracy is matched to the labels it is then scored by, so its chance level lies well above 1 / classes.
"""

from dataclasses import dataclass

import numpy as np

from core.analysis import clustering, neighbors, retrieval
from core.analysis.resampling import bootstrap

_PERMUTATIONS = 200


@dataclass(frozen=True)
class Chance:
    """`level` is the metric's mean over permuted labels, in its own unit; `is_at_chance` that the space cannot be told from
    that: its value is not above what 39 of 40 permutations reach, or its 95 % interval's lower end is not above the level."""

    level: float
    is_at_chance: bool


def of_kmeans(clusters: np.ndarray, label_id: np.ndarray, n_classes: int, seed: int = 0,
              group: np.ndarray | None = None) -> Chance:
    """Chance of K-means accuracy: the clusterings are kept, the labels permuted and the clusters matched to them anew.

    Groups are permuted whole: a space that knows the photograph and nothing of the class puts the crops of one into one
    cluster, and where they bear one label by chance, they do so together.

    Args:
        clusters: clusterings of the same samples, shape (clusterings, n), int.
        label_id: shape (n,), int.
        n_classes: number of classes, and of clusters.
        seed: seed of the permutations.
        group: samples whose labels stay together, shape (n,); None: each alone.
    """
    places, _ = neighbors.cells(label_id, group)
    order = np.argsort(places, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(places[order])) + 1)
    generator = np.random.default_rng([seed, 6])

    def accuracy(labels: np.ndarray) -> float:
        found = [clustering.match(cluster, labels, n_classes)[cluster] == labels for cluster in clusters]
        return float(np.mean(found))

    def permute() -> np.ndarray:
        if len(members) == len(label_id):
            return generator.permutation(label_id)
        labels = np.empty_like(label_id)
        labels[order] = np.concatenate([label_id[members[place]] for place in generator.permutation(len(members))])
        return labels

    permuted = [accuracy(permute()) for _ in range(_PERMUTATIONS)]
    is_at_chance = accuracy(label_id) <= np.quantile(permuted, 0.975)
    return Chance(float(np.mean(permuted)), bool(is_at_chance))


def of_retrieval(values: dict[str, np.ndarray], label_id: np.ndarray, n_draws: int,
                 group: np.ndarray | None = None) -> dict[str, Chance]:
    """Chance of MAP@R, R-Precision and P@1, by formula: what a query expects of a ranking in which labels are permuted.

    With R of the N samples outside its group relevant, rank i is relevant with chance R / N, and i − 1 before it expect
    (i − 1)(R − 1)/(N − 1) given that; so MAP@R expects 1/N Σᵢ (1 + (i − 1)(R − 1)/(N − 1)) / i over i = 1 … R.

    Args:
        values: 'map_at_r', 'r_precision' and 'precision_at_1', each (seeds, n), nan where undefined.
        label_id: shape (n,), int.
        n_draws: draws of the bootstrap that says how far off chance the values are.
        group: samples that are drawn together, of which none finds another, shape (n,); None: each alone.
    """
    relevant, n_others = retrieval.n_relevant(label_id, group)
    n_others = np.maximum(n_others, 1)
    ranks = np.arange(1, max(relevant.max(), 1) + 1)
    first = np.cumsum(1 / ranks)[np.maximum(relevant, 1) - 1]  # Σ 1/i, and Σ (i − 1)/i = R − Σ 1/i
    expected = {"map_at_r": (first + (relevant - first) * (relevant - 1) / np.maximum(n_others - 1, 1)) / n_others,
                "r_precision": relevant / n_others, "precision_at_1": relevant / n_others}
    found = bootstrap([values[name] - level for name, level in expected.items()], n_draws, 0, group)
    return {name: Chance(float(level[relevant > 0].mean()), bool(found.low[place] <= 0))
            for place, (name, level) in enumerate(expected.items())}
