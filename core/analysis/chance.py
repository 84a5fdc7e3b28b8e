"""What a metric would be if the space knew nothing of the classes: permuted labels, at this n and these classes.

K-means accuracy is matched to the labels it is then scored by, so its chance level lies well above 1 / classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.analysis import clustering, neighbors, retrieval
from core.analysis.resampling import bootstrap, contributions

_PERMUTATIONS = 200


@dataclass(frozen=True)
class Chance:
    """`level` is the metric's mean over permuted labels, in its own unit; `is_at_chance` that the space does not differ
    from it: its value is not above what 39 of 40 permutations reach, or its 95 % interval's lower end not above the level."""

    level: float
    is_at_chance: bool


def of_kmeans(clusters: np.ndarray, label_id: np.ndarray, n_classes: int, seed: int = 0,
              group: np.ndarray | None = None) -> Chance:
    """Chance of K-means accuracy: the clusterings are kept, the labels permuted and the clusters matched to them again.

    Labels are permuted as `permuted_labels` does, photograph by photograph: a space that knows the photograph and nothing of
    the class puts all crops of one into one cluster, and all of them have the label of their photograph.

    Args:
        clusters: clusterings of the same samples, shape (clusterings, n), int.
        label_id: shape (n,), int.
        n_classes: number of classes, and of clusters.
        seed: seed of the permutations.
        group: samples whose labels stay together, shape (n,); None: each alone.
    """
    generator = np.random.default_rng([seed, 6])

    def accuracy(labels: np.ndarray) -> float:
        is_right = [clustering.match(cluster, labels, n_classes)[cluster] == labels for cluster in clusters]
        return float(np.mean(is_right))

    permuted = [accuracy(labels) for labels in permuted_labels(label_id, group, _PERMUTATIONS, generator)]
    is_at_chance = accuracy(label_id) <= np.quantile(permuted, 0.975)
    return Chance(float(np.mean(permuted)), bool(is_at_chance))


def permuted_labels(label_id: np.ndarray, group: np.ndarray | None, n_permutations: int,
                    generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Permuted labels, as if the space had nothing to do with them.

    The samples of one group and class are permuted as one unit: all of them receive the label of another unit, whatever its
    size. A photograph is labelled once, not crop by crop, so photographs can be exchanged and crops of one photograph cannot
    (exchangeable units of a nested design: Anderson & ter Braak, 2003, doi:10.1080/00949650215733). Each label keeps its
    number of units; its number of samples varies a little, since units differ in size. Exchanging only units of one size
    would keep both numbers, but a unit of a size of its own would always keep its label.

    Args:
        label_id: shape (n,), int.
        group: samples whose labels stay together, shape (n,); None: each alone.
        n_permutations: how many.
        generator: where they are drawn from.

    Yields:
        Labels of the samples, shape (n,), int.
    """
    _, cell = neighbors.cells(label_id, group)
    label_of_cell = np.empty(int(cell.max()) + 1, label_id.dtype)
    label_of_cell[cell] = label_id
    for _ in range(n_permutations):
        yield (generator.permutation(label_id) if len(label_of_cell) == len(label_id)
               else generator.permutation(label_of_cell)[cell])


def of_retrieval(values: dict[str, np.ndarray], label_id: np.ndarray, n_draws: int,
                 group: np.ndarray | None = None) -> dict[str, Chance]:
    """Chance of MAP@R, R-Precision and P@1, by formula: what a query expects of a ranking in which labels are permuted.

    With R of the N samples outside its group relevant, rank i is relevant with chance R / N, and i − 1 before it expect
    (i − 1)(R − 1)/(N − 1) given that; so MAP@R expects 1/N Σᵢ (1 + (i − 1)(R − 1)/(N − 1)) / i over i = 1 … R.

    With groups this level is slightly too low for MAP@R, which counts pairs of hits: crops of one photograph share their
    label, and where they lie together they hit together. On six crops of each DeFungi photograph a space that knows the
    photograph alone lies 0.3 points above the formula (`test_photograph_space`). How much depends on the ranking, which is
    not at hand here. A hit at rank i with c of its group among the i − 1 before it expects at most 1 + c + (i − 1
    − c)(R − 1)/(N − 1) hits up to there. So for groups of S samples of one class each the level lies higher by at most 1/N
    Σᵢ min(i − 1, S − 1)(N − R)/(N − 1) / i. P@1 and R-Precision count no pairs: their levels hold.

    Args:
        values: 'map_at_r', 'r_precision' and 'precision_at_1', each (seeds, n): contributions (`resampling.contributions`), or
            values that are nan where undefined.
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
    columns = []
    for name, level in expected.items():
        is_drawn = ~np.isnan(values[name]).any(axis=0)  # images without a query too, where values are contributions
        column = np.full(values[name].shape, np.nan)
        level = np.where(relevant > 0, level, np.nan)[is_drawn]
        column[:, is_drawn] = values[name][:, is_drawn] - contributions(level[None])
        columns.append(column)
    differences = bootstrap(columns, n_draws, 0, group)
    return {name: Chance(float(level[relevant > 0].mean()), bool(differences.low[column_index] <= 0))
            for column_index, (name, level) in enumerate(expected.items())}
