"""Retrieval within one set of samples: what each finds, and what each does to the others as one that is found.

Musgrave et al., 2020, arXiv:2003.08505. A query never finds itself or its own group: crops of its own photograph would answer
for it.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from core.analysis import chance, macro, neighbors, parts
from core.analysis.exchangeable import exchangeable
from core.errors import InputError

NAMES = ("precision_at_1", "r_precision", "map_at_r")
N_NEIGHBORS = 10  # nearest samples that are kept of each, for the overlap of two spaces


@dataclass(frozen=True, eq=False)
class Roles:
    """Which samples ask and which are found, each of shape (n,), bool."""

    is_query: np.ndarray
    is_gallery: np.ndarray


def roles_of(role: np.ndarray) -> Roles:
    """Roles from names, 'query', 'gallery', 'both' or 'neither', shape (n,), str."""
    names = role.astype(str)
    return Roles(*(np.isin(names, (name, "both")) for name in ("query", "gallery")))


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Retrieval among n samples.

    Attributes:
        values: metric of `NAMES` -> shape (n,), float64, 0 to 1; nan where no other sample of the class is left.
        gallery: metric of `NAMES` -> shape (n,), float64: by how much the sum of all values is higher with this sample among
            those that are found.
        gallery_by_class: the same of the sum of all values, each times its `macro.weights`.
        kernel: mean over the gallery of exp(−2 × squared distance) on the unit sphere, shape (n,), float64, 0 to 1; nan where
            it is empty.
        neighbors: rows of the nearest, nearest first, shape (n, `N_NEIGHBORS` or n − 1), int64; `neighbors.NOBODY` where
            fewer are left.
        with_own_group: the values with samples of the query's own group counted; the same where each is a group of its own.
        expected: the values on average with labels permuted among groups of like size, in this ranking
            (`core.analysis.chance`).
    """

    values: dict[str, np.ndarray]
    gallery: dict[str, np.ndarray]
    gallery_by_class: dict[str, np.ndarray]
    kernel: np.ndarray
    neighbors: np.ndarray
    with_own_group: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]


def measure(vectors: np.ndarray, label_id: np.ndarray, group: np.ndarray | None = None,
            roles: Roles | None = None) -> Retrieval:
    """Every retrieval metric, by cosine; arguments and `Raises` as of `retrieve`. The same bits on any number of cores,
    but for the kernel, which exp rounds: between processors it is the same to 10⁻¹⁴."""
    with threadpool_limits(1):  # `parts` has a block for each core
        unit = neighbors.unit(vectors)
        return _search(unit, unit, label_id, group, roles, has_all=True, has_chance=True)


def retrieve(vectors: np.ndarray, label_id: np.ndarray, distance: neighbors.Distance = "cosine",
             group: np.ndarray | None = None, roles: Roles | None = None) -> dict[str, np.ndarray]:
    """How well each sample finds its class among the samples that are not of its own group.

    Args:
        vectors: shape (n, D), float32.
        label_id: shape (n,), int.
        distance: 'cosine', to which length does not matter, or 'euclidean'.
        group: samples that belong together, such as crops of one photograph, shape (n,): none finds another. None: each
            alone, so that a query leaves out itself.
        roles: which samples ask, and which are found; None: every sample does both.

    Returns:
        'precision_at_1', 'r_precision' and 'map_at_r', each of shape (n,), float64, 0 to 1; nan where no other sample of
        the class is left, and of samples that do not ask.

    Raises:
        InputError: if there are fewer than two samples.
    """
    queries, known = neighbors.sides(vectors, vectors, distance)
    return _search(queries, known, label_id, group, roles, has_all=False).values


def retrieve_with_chance(vectors: np.ndarray, label_id: np.ndarray,
                         group: np.ndarray | None = None) -> tuple[dict[str, np.ndarray], float]:
    """`retrieve` by cosine, and by how much MAP@R is higher in this space because samples of one group lie together, whatever
    it knows of the classes: its chance level less that of samples that are each alone. What is chosen by MAP@R is chosen by
    what is left without it. 0 where each sample is alone."""
    unit = neighbors.unit(vectors)
    found = _search(unit, unit, label_id, group, None, has_all=False, has_chance=True)
    relevant, n_left = n_relevant(label_id, group)
    alone = chance.of_retrieval(relevant, n_left)["map_at_r"]
    return found.values, float(np.nanmean(found.expected["map_at_r"] - alone)) if (relevant > 0).any() else 0.0


def n_relevant(label_id: np.ndarray, group: np.ndarray | None = None,
               roles: Roles | None = None) -> tuple[np.ndarray, np.ndarray]:
    """For each query, how many samples outside its own group have its class (R), and how many there are of any class; each of
    shape (n,), int64.

    Args:
        label_id: shape (n,), int.
        group: as of `retrieve`.
        roles: as of `retrieve`; R of a sample that does not ask is 0.
    """
    places, cell = neighbors.cells(label_id, group)
    if roles is not None:
        of_class, of_cell, of_group = (np.bincount(numbers, weights=roles.is_gallery).astype(np.int64)[numbers]
                                       for numbers in (label_id, cell, places))
        return np.where(roles.is_query, of_class - of_cell, 0), int(roles.is_gallery.sum()) - of_group
    return (np.bincount(label_id)[label_id] - np.bincount(cell)[cell],
            len(label_id) - np.bincount(places)[places])


def _search(queries: np.ndarray, known: np.ndarray, label_id: np.ndarray, group: np.ndarray | None, roles: Roles | None,
            has_all: bool, has_chance: bool = False) -> Retrieval:
    """One pass over all pairs of the same samples as queries and as known ones, whose products fall as their distance grows;
    without `has_all`, galleries, kernel and the values with the own group are void, without `has_chance` what chance
    expects."""
    n = len(queries)
    if n < 2:
        raise InputError(f"retrieval must have at least 2 samples, got {n}")
    relevant, n_left = n_relevant(label_id, group, roles)
    own = neighbors.own_groups(np.arange(n) if group is None else group)
    itself, n_of_class = neighbors.own_groups(np.arange(n)), n_relevant(label_id, None, roles)[0]
    is_grouped = int(own.size.max()) > 1
    has_groups = has_all and is_grouped
    n_kept = min(N_NEIGHBORS, n - 1)
    deepest = min(n - 1, max(n_kept, 16 * has_all, int(relevant.max()) + has_all))
    values, with_own_group = ({name: np.full(n, np.nan) for name in NAMES} for _ in range(2))
    kernel, nearest = np.full(n, np.nan), np.empty((n, n_kept), np.int64)
    units = exchangeable(label_id, group, None if roles is None else roles.is_gallery) if has_chance and is_grouped else None
    expected = chance.of_retrieval(relevant, n_left) if has_chance else {}

    def score(near: np.ndarray, is_left: np.ndarray, rows: np.ndarray, r: np.ndarray, into: dict[str, np.ndarray],
              has_pulls: bool) -> list[tuple[np.ndarray, np.ndarray]]:
        hit = (label_id[near] == label_id[rows, None]) & is_left
        scores, pulls = _query(hit, is_left, r, has_pulls)
        for name, column in zip(NAMES, scores):
            into[name][rows[r > 0]] = column[r > 0]
        return pulls

    def work(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        similarity = queries[rows] @ known.T
        itself.leave_out(similarity, rows)
        if roles is not None:
            similarity[:, ~roles.is_gallery] = -np.inf
        if has_groups:
            near = neighbors.largest(similarity, min(n - 1, max(1, int(n_of_class.max()))))
            score(near, np.ones(near.shape, bool), rows, n_of_class[rows], with_own_group, has_pulls=False)
        own.leave_out(similarity, rows)
        near = neighbors.largest(similarity, deepest)
        is_left = np.arange(deepest) < n_left[rows, None]
        pulls = score(near, is_left, rows, relevant[rows], values, has_all)
        nearest[rows] = np.where(is_left, near, neighbors.NOBODY)[:, :n_kept]
        if units is not None:
            for name, level in chance.of_ranking(near, rows, relevant[rows], units).items():
                expected[name][rows] = level
        if has_all:
            similarity -= 1  # exp(−2 |x − y|²) = exp(4 cos − 4); what is left out is exp(−∞) = 0
            similarity *= 4
            count = np.where(n_left[rows] > 0, n_left[rows], np.nan)
            kernel[rows] = np.exp(similarity, out=similarity).sum(axis=1) / count
            for of_found, of_missed in pulls:
                of_found[relevant[rows] == 0], of_missed[relevant[rows] == 0] = 0, 0
        return rows, near, pulls

    # Query by query in their order, whatever the blocks: a class's members lose the second, but for those of the query's own
    # group, who are none of its gallery.
    _, cell = neighbors.cells(label_id, group)
    weight = macro.weights(label_id, relevant > 0) if (relevant > 0).any() else np.zeros(n)
    counts = [np.ones(n)] if (weight == 1).all() else [np.ones(n), weight]  # classes of one size: both are the same
    of_near, of_class, of_cell = (np.zeros((len(counts), len(NAMES), size)) for size in (n, int(label_id.max()) + 1, n))
    for rows, near, pulls in parts.at_once([partial(work, rows) for rows in parts.of_rows(n, n)]):
        for metric, (of_found, of_missed) in enumerate(pulls):
            for kind, count in enumerate(counts):
                found = of_found if kind == 0 else of_found * count[rows, None]
                np.add.at(of_near[kind, metric], near.reshape(-1), found.reshape(-1))
                np.add.at(of_class[kind, metric], label_id[rows], of_missed * count[rows])
                np.add.at(of_cell[kind, metric], cell[rows], of_missed * count[rows])
    galleries = [{name: of_class[kind, metric, label_id] - of_cell[kind, metric, cell] + of_near[kind, metric]
                  for metric, name in enumerate(NAMES)} for kind in range(len(counts))] if has_all else [{}]
    if roles is not None:
        galleries = [{name: np.where(roles.is_gallery, pull, 0.0) for name, pull in gallery.items()} for gallery in galleries]
    return Retrieval(values, galleries[0], galleries[-1], kernel, nearest, with_own_group if has_groups else values,
                     expected)


def _query(hit: np.ndarray, is_left: np.ndarray, r: np.ndarray,
           has_all: bool) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    """Retrieval metrics of queries, and how much each would lose without one sample of the gallery.

    Args:
        hit: whether each of the nearest is of the query's class, nearest first, shape (q, depth), one more than r if it can.
        is_left: whether there is one, or all that the query may find stand before, shape (q, depth).
        r: how many others of its class the query may find, shape (q,).
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
    # only other sample goes is no query any more; its value is not changed.
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
        (_pull_of_first(hit, is_left), np.zeros(q)),
        pull(precision, np.broadcast_to(own_precision[:, None], hit.shape),
             np.broadcast_to(other_precision[:, None], hit.shape), missed_precision, is_within),
        pull(mean, without_own, without_other, missed_mean, is_within)]


def _pull_of_first(hit: np.ndarray, is_left: np.ndarray) -> np.ndarray:
    """By how much P@1 is higher with the sample at each place, had only a random quarter of the gallery been there.

    Which sample is nearest is decided by two others as much as by itself, and taking each away in turn counts such chance
    twice (Efron & Stein, 1981, doi:10.1214/aos/1176345462): intervals would be half as wide again. In a thinner gallery a
    sample is nearest to about as many queries, but which ones is averaged.

    Args:
        hit: whether each of the nearest is of the query's class, nearest first, shape (q, depth).
        is_left: whether there is one, shape (q, depth).
    """
    result = np.zeros(hit.shape)
    looked_at = min(hit.shape[1], 16)  # the chance that no quarter holds any of them: 1 in 100
    n_there = np.maximum(is_left[:, :looked_at].sum(axis=1), 1)
    following = hit[:, :looked_at].sum(axis=1) / n_there  # what is nearest if none of the nearer ones is there
    for column in range(looked_at - 1, -1, -1):
        there = is_left[:, column]
        result[there, column] = (0.25 * 0.75 ** column * (hit[:, column] - following))[there]
        following = np.where(there, 0.25 * hit[:, column] + 0.75 * following, following)
    return result
