"""What a metric would be if the space knew nothing of the classes: labels permuted among groups of like size.

A space that knows the photograph and nothing of the class is at this level too, whatever the metric: crops of one photograph
keep one label (`core.analysis.exchangeable`). So the level is the space's own. K-means accuracy, matched to the labels it is
then scored by, lies well above 1 / classes, and higher where clusters are made of whole photographs.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from core.analysis import clustering
from core.analysis.exchangeable import Exchangeable, exchangeable
from core.analysis.resampling import bootstrap, contributions

_PERMUTATIONS = 200
OF_CLUSTERS = ("kmeans_accuracy", "ari", "ami")


@dataclass(frozen=True)
class Chance:
    """`level` is the metric's mean over permuted labels, in its own unit; `is_at_chance` that the space does not differ
    from it: its value is not better than what 39 of 40 permutations reach, or its 95 % interval's worse end not better than
    the level."""

    level: float
    is_at_chance: bool


def of_clusters(clusters: np.ndarray, label_id: np.ndarray, n_classes: int, seed: int = 0,
                group: np.ndarray | None = None) -> dict[str, Chance]:
    """Chance of K-means accuracy, ARI and AMI: the clusterings are kept, the labels permuted and the clusters matched to them
    again.

    ARI and AMI are 0 for labels permuted sample by sample; a clustering of whole photographs lies above, since crops of
    one photograph agree in cluster and label. What AMI takes off for chance is held at that of the labels as they are.

    Args:
        clusters: clusterings of the same samples, shape (clusterings, n), int.
        label_id: shape (n,), int.
        n_classes: number of classes, and of clusters.
        seed: seed of the permutations.
        group: samples that belong together, shape (n,); None: each alone.
    """
    generator = np.random.default_rng([seed, 6])
    taken_off = []
    for cluster in clusters:
        information, entropy = _information(clustering.confusion(cluster, label_id, n_classes))
        adjusted = float(adjusted_mutual_info_score(label_id, cluster))
        is_whole = adjusted >= 1 - 1e-12 or entropy - information < 1e-12  # 0 / 0: then nothing is taken off
        taken_off.append(0.0 if is_whole else (information - adjusted * entropy) / (1 - adjusted))

    def measure(labels: np.ndarray) -> tuple[float, float, float]:
        n_right, rand, mutual = 0, [], []
        for cluster, by_chance in zip(clusters, taken_off):
            table = clustering.confusion(cluster, labels, n_classes)
            n_right += int(table[clustering.matching(table), np.arange(n_classes)].sum())
            rand.append(clustering.adjusted_rand(table))
            information, entropy = _information(table)
            mutual.append((information - by_chance) / (entropy - by_chance) if entropy > by_chance else 1.0)
        return n_right / clusters.size, float(np.mean(rand)), float(np.mean(mutual))

    permuted = np.array([measure(labels) for labels in
                         exchangeable(label_id, group).permuted(_PERMUTATIONS, generator)])
    reached = np.quantile(permuted, 0.975, axis=0)
    return {name: Chance(float(np.mean(permuted[:, index])), bool(value <= reached[index]))
            for index, (name, value) in enumerate(zip(OF_CLUSTERS, measure(label_id)))}


def _information(table: np.ndarray) -> tuple[float, float]:
    """Mutual information of the rows and the columns of a table of counts, and the mean of their entropies, in nats."""
    shares = table / table.sum()
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)

    def entropy(part: np.ndarray) -> float:
        part = part[part > 0]
        return float(-(part * np.log(part)).sum())

    of_both = entropy(rows) + entropy(columns)
    return of_both - entropy(shares.reshape(-1)), of_both / 2


def of_values(values: dict[str, np.ndarray], expected: dict[str, np.ndarray], n_draws: int, group: np.ndarray | None = None,
              low_is_best: tuple[str, ...] = ()) -> dict[str, Chance]:
    """Chance of metrics that are a mean over samples, from what each sample's value would be on average with permuted labels.

    Args:
        values: metric -> (seeds, n): contributions (`resampling.contributions`), or values that are nan where undefined.
        expected: metric -> (seeds, n): the same with permuted labels, nan where undefined.
        n_draws: draws of the bootstrap that says how far off chance the values are.
        group: samples that are drawn together, shape (n,); None: each alone.
        low_is_best: metrics of which a lower value is better.

    Returns:
        Of each metric that has both and is defined for some sample.
    """
    names = [name for name in values if name in expected and not np.isnan(expected[name]).any(axis=0).all()]
    columns = []
    for name in names:
        is_drawn = ~np.isnan(values[name]).any(axis=0)  # images without a query too, where values are contributions
        column = np.full(values[name].shape, np.nan)
        column[:, is_drawn] = values[name][:, is_drawn] - contributions(expected[name][:, is_drawn])
        columns.append(column)
    if not names:
        return {}
    differences = bootstrap(columns, n_draws, 0, group)
    return {name: Chance(mean_level(expected[name]), bool(
        differences.high[index] >= 0 if name in low_is_best else differences.low[index] <= 0))
        for index, name in enumerate(names)}


def mean_level(expected: np.ndarray) -> float:
    """The level of a metric from its samples', shape (seeds, n), nan where undefined."""
    of_seeds = np.array([row[~np.isnan(row)].mean() for row in expected])
    return float(of_seeds[0] + (of_seeds - of_seeds[0]).mean())  # the mean of equal numbers is that number, to the bit


def of_retrieval(relevant: np.ndarray, n_others: np.ndarray) -> dict[str, np.ndarray]:
    """What MAP@R, R-Precision and P@1 of each query expect where each sample is a group of its own, whatever the ranking.

    With R of the N others relevant, rank i is relevant with chance R / N, and i − 1 before it expect (i − 1)(R − 1)/(N − 1)
    given that; so MAP@R expects 1/N Σᵢ (1 + (i − 1)(R − 1)/(N − 1)) / i over i = 1 … R.

    Args:
        relevant: R of each query, shape (n,), int.
        n_others: N of each query, shape (n,), int.

    Returns:
        'map_at_r', 'r_precision' and 'precision_at_1', each (n,), nan where R is 0.
    """
    n_others = np.maximum(n_others, 1)
    ranks = np.arange(1, max(relevant.max(), 1) + 1)
    first = np.cumsum(1 / ranks)[np.maximum(relevant, 1) - 1]  # Σ 1/i, and Σ (i − 1)/i = R − Σ 1/i
    expected = {"map_at_r": (first + (relevant - first) * (relevant - 1) / np.maximum(n_others - 1, 1)) / n_others,
                "r_precision": relevant / n_others, "precision_at_1": relevant / n_others}
    return {name: np.where(relevant > 0, level, np.nan) for name, level in expected.items()}


def of_ranking(near: np.ndarray, rows: np.ndarray, relevant: np.ndarray, units: Exchangeable) -> dict[str, np.ndarray]:
    """What MAP@R, R-Precision and P@1 of some queries expect of their rankings, where labels are permuted among units.

    Rank i, of block s, is relevant with chance p = Rₛ / Nₛ, of the Nₛ samples of the block outside the query's group the Rₛ
    of its class. MAP@R counts pairs of hits, Σᵢ 1/i Σ_{j ≤ i} P(i and j hit) / R: an earlier rank j of the same unit hits
    where i hits; one of another unit with chance p of its block, which is (Rₛ − z) / (Nₛ − z) in the block of i, whose unit
    holds z samples. So crops of one photograph that lie together hit together, and the level is higher the more of them do.
    With units of one sample this is `of_retrieval`'s.

    Args:
        near: rows of the nearest samples outside the query's group, nearest first, shape (q, depth), depth ≥ R.
        rows: the queries, shape (q,).
        relevant: R of each, shape (q,), int; held fixed, though it varies a little where units of a block differ in size.
        units: all samples.

    Returns:
        As `of_retrieval`, each (q,).
    """
    at_first = np.zeros(len(rows), np.int64)
    is_within = np.arange(1, near.shape[1] + 1) <= relevant[:, None]
    rank, block = np.arange(1, near.shape[1] + 1), units.block[near]
    n_left, n_relevant = _left(rows, units)
    share = n_relevant / np.maximum(n_left, 1)
    hit = np.take_along_axis(share, block, axis=1)
    size = units.size[units.unit[near]]
    left, right = (np.take_along_axis(counts, block, axis=1) - size for counts in (n_left, n_relevant))
    of_own_block = np.maximum(right, 0) / np.maximum(left, 1)
    earlier = _earlier_of_same(units.unit[near])
    before = 1 + earlier * (1 - of_own_block)
    for number in range(units.n_blocks):
        is_of_block = block == number
        n_before = np.cumsum(is_of_block, axis=1) - is_of_block
        before += n_before * np.where(is_of_block, of_own_block, share[:, number, None])
    n = np.maximum(relevant, 1)
    expected = {"map_at_r": (hit * before / rank * is_within).sum(axis=1) / n,
                "r_precision": (hit * is_within).sum(axis=1) / n, "precision_at_1": hit[np.arange(len(rows)), at_first]}
    return {name: np.where(relevant > 0, level, np.nan) for name, level in expected.items()}


def _left(rows: np.ndarray, units: Exchangeable) -> tuple[np.ndarray, np.ndarray]:
    """How many samples each block holds outside the query's own group, and how many of them of its class; (q, blocks)."""
    n_left = units.counts.sum(axis=1) - units.of_groups()[units.group[rows]]
    n_relevant = units.counts.T[units.label_id[rows]].copy()
    n_relevant[np.arange(len(rows)), units.block[rows]] -= units.size[units.unit[rows]]
    return n_left, n_relevant


def _earlier_of_same(unit: np.ndarray) -> np.ndarray:
    """How many of those before each in its row are of the same unit, shape (q, depth)."""
    order = np.argsort(unit, axis=1, kind="stable")
    in_order = np.take_along_axis(unit, order, axis=1)
    places = np.broadcast_to(np.arange(unit.shape[1]), unit.shape)
    is_first = np.ones(unit.shape, bool)
    is_first[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    result = np.empty(unit.shape, np.int64)
    np.put_along_axis(result, order, places - np.maximum.accumulate(np.where(is_first, places, 0), axis=1), axis=1)
    return result


def of_answers(called: np.ndarray, units: Exchangeable) -> np.ndarray:
    """How often each sample's label would be the class it is called, with labels permuted: that class's share of its block.

    Args:
        called: class that something says each sample has, shape (n,), int; the training samples' classes may be more.
        units: all samples.

    Returns:
        Shape (n,), float64, 0 to 1.
    """
    counts = units.counts
    is_known = (called >= 0) & (called < counts.shape[1])
    return np.where(is_known, counts[units.block, np.where(is_known, called, 0)], 0) / counts.sum(axis=1)[units.block]
