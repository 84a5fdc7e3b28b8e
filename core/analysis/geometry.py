"""How a space lies: how close classes keep together, how far apart they lie, how much of the sphere is used.

Each measure is one value a sample whose mean is the measure. Where a measure is no mean, its value a sample is what the
measure would change by if there were more of that sample (a pseudo-value), so that intervals are had the same way for all.
"""

import numpy as np

_ROUNDING = 1e-6  # float32 tells no smaller distance from none
_ROWS = 8192  # rows in float64 at a time: 50 MB of 768 dimensions


def by_class(unit: np.ndarray, label_id: np.ndarray) -> dict[str, np.ndarray]:
    """Distances within and between classes, each pair of samples counted, without looking at pairs one by one.

    The distance is 1 − cosine, half the squared Euclidean distance of vectors of length 1; the mean distance to a class is
    one minus the product with the sum of its vectors.

    Args:
        unit: shape (n, D), float32, length 1.
        label_id: shape (n,), int.

    Returns:
        Each of shape (n,), float64, nan where the class has no other sample, or there is no other class. Pseudo-values:
        'intra_distance', mean distance to the others of its class, 0 to 2;
        'inter_distance', mean distance to the samples of other classes, 0 to 2;
        'alignment', mean squared Euclidean distance to the others of its class, 0 to 4 (Wang & Isola, 2020,
        arXiv:2005.10242, with α = 2; every sample counts the same).
        A value a sample: 'silhouette', −1 to 1 (Rousseeuw, 1987, doi:10.1016/0377-0427(87)90125-7), of the classes, not of
        clusters; and 'gallery silhouette', what each sample does to the silhouettes of the others.
    """
    n, (names, place, size) = len(unit), np.unique(label_id, return_inverse=True, return_counts=True)
    is_member = np.zeros((n, len(names)), unit.dtype)
    is_member[np.arange(n), place] = 1
    product = (unit @ (is_member.T @ unit).T).astype(np.float64)  # (n, classes): with the sum of each class's vectors
    rows, n_others, n_rest = np.arange(n), size[place] - 1, n - size[place]
    itself = np.einsum("nd,nd->n", unit, unit, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        intra = np.where(n_others > 0, 1 - (product[rows, place] - itself) / n_others, np.nan)
        inter = np.where(n_rest > 0, 1 - (product.sum(axis=1) - product[rows, place]) / n_rest, np.nan)
        distance = 1 - product / size
    distance[rows, place] = np.inf
    rival = distance.argmin(axis=1)
    other = distance[rows, rival] if len(names) > 1 else np.full(n, np.nan)
    larger = np.maximum(intra, other)
    is_point = larger < _ROUNDING  # 0 / 0 where all is one point: neither near nor far
    larger = np.where(is_point, 1.0, larger)
    silhouette = np.where(is_point, 0.0, (other - intra) / larger)

    # What a sample does to the others, to first order: it is one of those that their mean distances are made of.
    def pull(slope: np.ndarray, mean: np.ndarray, towards: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """Σ over others of slope × (their distance to the sample − their mean distance) / how many that mean is of."""
        weight = np.nan_to_num(np.where(is_point, 0.0, slope) / np.maximum(counted, 1))
        towards_class = np.zeros((n, len(names)))
        towards_class[rows, towards] = weight
        sums = towards_class.T.astype(unit.dtype) @ unit
        total = np.bincount(towards, weights=weight * (1 - np.nan_to_num(mean)), minlength=len(names))
        return total[place] - np.einsum("nd,nd->n", unit, sums[place], dtype=np.float64)

    is_near = intra < other
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_intra = np.where(is_near, -1 / larger, -other / larger ** 2)
        slope_other = np.where(is_near, intra / larger ** 2, 1 / larger)
    own = pull(slope_intra, intra, place, n_others)
    itself = np.where(is_point, 0.0, slope_intra) * (1 - intra - itself) / np.maximum(n_others, 1)
    own -= np.nan_to_num(itself)  # it is none of the others
    gallery = own + pull(slope_other, other, rival, size[rival])
    within, between = np.nan_to_num(intra), np.nan_to_num(inter)
    of_class = np.bincount(place, weights=within)[place] / size[place]
    return {"intra_distance": 2 * intra - of_class, "alignment": 2 * (2 * intra - of_class),
            "inter_distance": 2 * inter - between.mean(), "silhouette": silhouette, "gallery silhouette": gallery}


def uniformity(kernel: np.ndarray) -> np.ndarray:
    """How evenly vectors spread over the sphere: the logarithm of the mean of exp(−2 × squared distance) over all pairs.

    Wang & Isola, 2020, arXiv:2005.10242, with t = 2. −8 to 0; the lower, the more even; −4 and below is close to even in
    many dimensions.

    Args:
        kernel: mean over the other samples of exp(−2 × squared distance), shape (n,), 0 to 1.

    Returns:
        Pseudo-values, shape (n,); their mean is the uniformity.
    """
    mean = kernel.mean()
    return np.log(mean) + 2 * (kernel - mean) / mean  # each pair holds two samples, so a sample moves the mean twice


def effective_rank(vectors: np.ndarray) -> np.ndarray:
    """How many directions a space really uses: the exponential of the entropy of its singular values' shares.

    Roy & Vetterli (2007), EUSIPCO. Of the vectors as they are, not centred: 1 if all point the same way.

    Args:
        vectors: shape (n, D).

    Returns:
        Pseudo-values, shape (n,); their mean is the effective rank, 1 to min(n, D).
    """
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
