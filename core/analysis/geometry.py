"""How a space lies: how close classes keep together, how far apart they lie, how much of the sphere is used.

Each measure is one value a sample whose mean is the measure. Where a measure is no mean, its value a sample is what the
measure would change by if there were more of that sample (a pseudo-value), so that intervals are had the same way for all.
"""

from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from core.analysis import neighbors
from core.analysis.exchangeable import Exchangeable

_ROUNDING = 1e-6  # a smaller distance is rounding of float32
_OF_THE_LEAST = 2 ** -0.5  # of what leaving out the least of several distances changes: see `_without_the_rival`
_ROWS = 8192  # rows in float64 at a time: 50 MB of 768 dimensions
_COSINES = 2 ** 21  # of samples with units, for chance: 16 MB; of more samples a random draw
_FEWEST, _MOST = 20, 200  # permutations: as many as so many products allow
_PRODUCTS = 2 ** 30


def by_class(vectors: np.ndarray, label_id: np.ndarray, group: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Distances within and between classes, each pair of samples of different groups counted, without looking at pairs one by
    one.

    The distance is 1 − cosine, half the squared Euclidean distance of vectors of length 1; the mean distance to a class is
    one minus the product with the mean of its vectors. Products are exact and sums in one order, so the same vectors have the
    same bits on any machine.

    Args:
        vectors: shape (n, D), float32; their directions count.
        label_id: shape (n,), int.
        group: samples that belong together, shape (n,), which are not counted among each other; None: each alone.

    Returns:
        Each of shape (n,), float64, nan where no other sample of its class, or none of another class, is left outside its
        group. Pseudo-values:
        'intra_distance', mean distance to the others of its class, 0 to 2;
        'inter_distance', mean distance to the samples of other classes, 0 to 2;
        'alignment', mean squared Euclidean distance to the others of its class, 0 to 4 (Wang & Isola, 2020,
        arXiv:2005.10242, with α = 2; every sample counts the same).
        A value a sample: 'silhouette', −1 to 1 (Rousseeuw, 1987, doi:10.1016/0377-0427(87)90125-7), of the classes, not of
        clusters; and 'gallery silhouette', what each sample does to the silhouettes of the others.
    """
    unit = neighbors.unit(vectors)
    n, (names, place, size) = len(unit), np.unique(label_id, return_inverse=True, return_counts=True)
    rows, width = np.arange(n), len(names)
    places, cell = neighbors.cells(place, group)
    is_alone = np.bincount(places)[places] == 1
    means = neighbors.mean_direction(_sums(unit, place, width), size)
    total, count = (unit @ means.T) * size, np.broadcast_to(size, (n, width)).copy()  # cosines with each class: sum, how many
    itself = _products(unit, unit)
    total[rows[is_alone], place[is_alone]] -= itself[is_alone]
    count[rows[is_alone], place[is_alone]] -= 1
    for row, label, cosines, how_many in _own_group(unit, place, cell, places, ~is_alone):
        total[row, label] -= cosines
        count[row, label] -= how_many
    n_others = count[rows, place]
    n_rest = count.sum(axis=1) - n_others
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(count > 0, 1 - total / count, np.nan)
        intra = distance[rows, place]
        inter = np.where(n_rest > 0, 1 - (total.sum(axis=1) - total[rows, place]) / n_rest, np.nan)
    rivals = np.where(np.isnan(distance), np.inf, distance)
    rivals[rows, place] = np.inf
    rival = rivals.argmin(axis=1)
    other = np.where(n_rest > 0, rivals[rows, rival], np.nan)
    larger = np.maximum(intra, other)
    is_point = larger < _ROUNDING  # 0 / 0 where all is one point: neither near nor far
    larger = np.where(is_point, 1.0, larger)
    silhouette = np.where(is_point, 0.0, (other - intra) / larger)

    # What a sample does to the others, to first order: it is one of those that their mean distances are made of.
    def pull(slope: np.ndarray, mean: np.ndarray, towards: np.ndarray) -> np.ndarray:
        """Σ over others of slope × (their distance to the sample − their mean distance) / how many that mean is of."""
        weight = np.nan_to_num(np.where(is_point, 0.0, slope) / np.maximum(count[rows, towards], 1))
        offset = weight * (1 - np.nan_to_num(mean))
        sums = _sums(unit, towards, width, weight)
        found = np.bincount(towards, weights=offset, minlength=width)[place] - _products(unit, sums[place])
        is_own = is_alone & (towards == place)
        found -= np.where(is_own, offset - weight * itself, 0.0)  # it is none of the others
        crowd = np.flatnonzero(~is_alone)  # nor is any of its group
        if len(crowd):
            keys = places[crowd].astype(np.int64) * width
            known, looked_up = np.unique(keys + towards[crowd], return_inverse=True)
            wanted = np.minimum(np.searchsorted(known, keys + place[crowd]), len(known) - 1)
            is_there = known[wanted] == keys + place[crowd]
            own_offset = np.bincount(looked_up, weights=offset[crowd], minlength=len(known))[wanted]
            own_sums = _sums(unit[crowd], looked_up, len(known), weight[crowd])[wanted]
            found[crowd] -= np.where(is_there, own_offset - _products(unit[crowd], own_sums), 0.0)
        return found

    is_near = intra < other
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_intra = np.where(is_near, -1 / larger, -other / larger ** 2)
        slope_other = np.where(is_near, intra / larger ** 2, 1 / larger)
    is_defined = ~np.isnan(silhouette)
    gallery = (pull(np.where(is_defined, slope_intra, 0.0), intra, place)
               + pull(np.where(is_defined, slope_other, 0.0), other, rival))
    n_groups = np.bincount(place[np.unique(cell, return_index=True)[1]], minlength=width)
    change = _without_the_rival(silhouette, intra, rivals, rival, is_defined & (n_groups[rival] == 1))
    gallery += (np.bincount(rival, weights=change, minlength=width) / size)[place]
    of_class = np.bincount(place, weights=np.nan_to_num(intra))[place] / size[place]  # of a class, all or none is defined
    between = inter[~np.isnan(inter)]
    apart = between.mean() if len(between) else 0.0
    return {"intra_distance": 2 * intra - of_class, "alignment": 2 * (2 * intra - of_class),
            "inter_distance": 2 * inter - apart, "silhouette": silhouette,
            "gallery silhouette": gallery}


def _without_the_rival(silhouette: np.ndarray, intra: np.ndarray, rivals: np.ndarray, rival: np.ndarray,
                       is_asked: np.ndarray) -> np.ndarray:
    """How much of each silhouette is due to its rival class being there at all, where that class is one group.

    Without the group the next class is the rival: no mean distance is pulled, the least of several distances is another. The
    square of such a gap is twice the variance of the least one (Rényi, 1953, doi:10.1007/BF02127580: the first two gaps of n
    exponential distances have standard deviations 1 / n and 1 / (n − 1); Efron & Stein, 1981, doi:10.1214/aos/1176345462:
    such a variance is never too small on average), so each gap counts √½ of itself.

    Args:
        silhouette: shape (n,).
        intra: mean distance to the own class, shape (n,).
        rivals: mean distances to classes, infinite where there is none; shape (n, classes).
        rival: the nearest of them, shape (n,).
        is_asked: which samples have a rival class that is one group; shape (n,).

    Returns:
        Shape (n,), 0 where it is not asked and where no other class is left.
    """
    rows = np.flatnonzero(is_asked)
    left = rivals[rows]
    left[np.arange(len(rows)), rival[rows]] = np.inf
    following = left.min(axis=1, initial=np.inf)
    rows, following = rows[np.isfinite(following)], following[np.isfinite(following)]
    furthest = np.maximum(np.maximum(intra[rows], following), _ROUNDING)
    change = np.zeros(len(silhouette))
    change[rows] = _OF_THE_LEAST * (silhouette[rows] - (following - intra[rows]) / furthest)
    return change


def by_permuted_class(vectors: np.ndarray, units: Exchangeable, seed: int = 0) -> dict[str, np.ndarray]:
    """What distances by class would be on average with labels permuted among groups of like size.

    The mean over 20 to 200 permutations, of as many samples as make 2 million pairs with units; the others have their mean.

    Args:
        vectors: shape (n, D), float32; their directions count.
        units: the samples, their labels and groups.
        seed: seed of the permutations and of the draw of samples.

    Returns:
        'silhouette', 'intra_distance', 'inter_distance' and 'alignment' as of `by_class`, each (n,), float64; nan where
        undefined as the labels are.
    """
    unit, n_units, n = neighbors.unit(vectors), len(units.size), len(vectors)
    generator = np.random.default_rng([seed, 9])
    n_asked = min(n, max(1, _COSINES // n_units))
    rows = np.arange(n) if n_asked == n else np.sort(generator.choice(n, n_asked, replace=False))
    n_classes = int(units.label_id.max()) + 1
    n_permutations = int(np.clip(_PRODUCTS // (n_asked * n_units * n_classes), _FEWEST, _MOST))
    group_of_unit = units.of_units(units.group)
    cosines = unit[rows] @ _sums(unit, units.unit, n_units).T
    cosines[group_of_unit == units.group[rows, None]] = 0
    itself = np.arange(len(rows))
    total = {name: np.zeros((2, len(rows))) for name in ("silhouette", "intra_distance", "inter_distance")}  # sum, how many
    for label_id in units.permuted(n_permutations, generator):
        label_of_unit = units.of_units(label_id)
        of_class = np.zeros((n_units, n_classes))
        of_class[np.arange(n_units), label_of_unit] = 1
        own = np.zeros((int(units.group.max()) + 1, n_classes))
        np.add.at(own, (group_of_unit, label_of_unit), units.size)
        count = units.size @ of_class - own[units.group[rows]]
        sums, place = cosines @ of_class, label_id[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(count > 0, 1 - sums / count, np.nan)
            n_rest = count.sum(axis=1) - count[itself, place]
            inter = 1 - (sums.sum(axis=1) - sums[itself, place]) / n_rest
        intra = distance[itself, place]
        rivals = np.where(np.isnan(distance), np.inf, distance)
        rivals[itself, place] = np.inf
        other = np.where(n_rest > 0, rivals.min(axis=1), np.nan)
        larger = np.maximum(intra, other)
        silhouette = np.where(larger < _ROUNDING, 0.0, (other - intra) / np.where(larger < _ROUNDING, 1.0, larger))
        for name, value in (("silhouette", silhouette), ("intra_distance", intra), ("inter_distance", inter)):
            is_defined = np.isfinite(value)
            total[name] += np.where(is_defined, value, 0), is_defined
    result = {}
    for name, (sums, count) in total.items():
        mean = sums / np.where(count > 0, count, np.nan)
        result[name] = np.full(n, mean[count > 0].mean() if (count > 0).any() else np.nan)
        result[name][rows[count > 0]] = mean[count > 0]
    return result | {"alignment": 2 * result["intra_distance"]}


def _own_group(unit: np.ndarray, place: np.ndarray, cell: np.ndarray, places: np.ndarray,
               is_crowd: np.ndarray) -> Iterator[tuple[np.ndarray, int, np.ndarray, int]]:
    """What each group that is more than one sample holds of each class: rows of the group, the class, the sum of their
    cosines with its samples of that class, themselves among them, and how many these are."""
    crowd = np.flatnonzero(is_crowd)
    order = crowd[np.argsort(places[crowd], kind="stable")]
    for group in np.split(order, np.flatnonzero(np.diff(places[order])) + 1):
        for number in np.unique(cell[group]):
            members = group[cell[group] == number]
            mean = neighbors.mean_direction(unit[members].sum(axis=0)[None], np.array([len(members)]))
            yield group, int(place[members[0]]), (unit[group] @ mean[0]) * len(members), len(members)


def _sums(unit: np.ndarray, code: np.ndarray, n_codes: int, weight: np.ndarray | None = None) -> np.ndarray:
    """Sums of the vectors of each code, or of their weighted ones, in the order of the rows; shape (n_codes, D)."""
    result = np.zeros((n_codes, unit.shape[1]))
    order = np.argsort(code, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(code[order])) + 1):
        if len(rows):
            part = unit[rows] if weight is None else unit[rows] * weight[rows, None]
            result[code[rows[0]]] = part.sum(axis=0)
    return result


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products of the vectors in the same rows, each summed in one order; shape (n,)."""
    return np.concatenate([(a[start:start + _ROWS] * b[start:start + _ROWS]).sum(axis=1)
                           for start in range(0, max(1, len(a)), _ROWS)])


def uniformity(kernel: np.ndarray) -> np.ndarray:
    """How evenly vectors spread over the sphere: the logarithm of the mean of exp(−2 × squared distance) over all pairs.

    Wang & Isola, 2020, arXiv:2005.10242, with t = 2. −8 to 0; the lower, the more even; −4 and below is close to even in
    many dimensions.

    Args:
        kernel: mean over the samples outside its group of exp(−2 × squared distance), shape (n,), 0 to 1; nan without any.

    Returns:
        Pseudo-values, shape (n,); their mean is the uniformity; nan where the kernel is.
    """
    if np.isnan(kernel).all():
        return kernel
    mean = np.nanmean(kernel)
    return np.log(mean) + 2 * (kernel - mean) / mean  # each pair holds two samples, so a sample moves the mean twice


def effective_rank(vectors: np.ndarray) -> np.ndarray:
    """How many directions a space really uses: the exponential of the entropy of its singular values' shares.

    Roy & Vetterli (2007), EUSIPCO. The vectors are not centred: 1 if all point the same way. The same vectors give
    the same bits on one machine, on any number of threads; between processors they are the same to about 10⁻⁹, as LAPACK is.

    Args:
        vectors: shape (n, D).

    Returns:
        Pseudo-values, shape (n,); their mean is the effective rank, 1 to min(n, D).
    """
    with threadpool_limits(1):
        return _effective_rank(vectors)


def _effective_rank(vectors: np.ndarray) -> np.ndarray:
    n, width = vectors.shape
    gram = np.zeros((width, width))
    for start in range(0, n, _ROWS):
        part = vectors[start:start + _ROWS].astype(np.float64)
        gram += part.T @ part
    values, directions = np.linalg.eigh(gram / n)
    keep = values > 1e-14 * max(values.max(), np.finfo(float).tiny)
    values, directions = values[keep], directions[:, keep]
    singular = np.sqrt(values)
    share = singular / singular.sum()
    entropy = -(share * np.log(share)).sum()
    rank = np.exp(entropy)
    # d rank / d eigenvalue, through share = σ / Σσ and σ = √λ; an eigenvalue moves by (v·x)² − λ (its first-order change)
    slope = rank * (-(np.log(share) + entropy) / singular.sum()) / (2 * singular)
    moved = np.concatenate([(vectors[start:start + _ROWS].astype(np.float64) @ directions) ** 2 @ slope
                            for start in range(0, n, _ROWS)])
    return rank + moved - slope @ values
