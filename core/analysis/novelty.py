"""Known or unknown: does an image show any of the classes that a gallery holds? By the cosine of its nearest gallery image.

Out-of-distribution detection by the nearest neighbour (Sun et al., 2022, arXiv:2204.06507). Images of unknown classes are
needed to judge a threshold; to choose one, known images of validation are enough.
"""

from dataclasses import dataclass

import numpy as np

from core.analysis import neighbors
from core.analysis.verification import Rate
from core.errors import InputError

KNOWN_ACCEPTED = 0.95  # share of known validation images that a threshold accepts, as is usual in the field (FPR95)


@dataclass(frozen=True, eq=False)
class Novelty:
    """How well one space tells images of known classes from images of unknown ones.

    Attributes:
        threshold: the cosine of the nearest gallery image from which an image is taken as known, −1 to 1; None without
            validation images.
        n_validation, n_known, n_unknown: images that chose it, and that judge it.
        known: 'known_accept' of the threshold and 'known_auroc', what each of the known test images does to them.
        unknown: 'unknown_accept' of the threshold and 'known_auroc', what each of the unknown images does to them.
    """

    threshold: float | None
    n_validation: int
    n_known: int
    n_unknown: int
    known: dict[str, Rate]
    unknown: dict[str, Rate]


def measure(gallery: np.ndarray, validation: np.ndarray, known: np.ndarray, unknown: np.ndarray) -> Novelty:
    """Chooses a threshold that accepts `KNOWN_ACCEPTED` of the validation images, and judges it and the space.

    Args:
        gallery: vectors of labelled images, shape (g, D), float32.
        validation: vectors of other images of the same classes, shape (v, D); may be empty.
        known: those of test images of these classes, shape (n, D).
        unknown: those of images of other classes, shape (m, D).

    Raises:
        InputError: if the gallery, the known or the unknown images are none, or a vector is not finite.
    """
    if not (len(gallery) and len(known) and len(unknown)):
        raise InputError(f"known and unknown images must be compared with a gallery, got {len(known)} and {len(unknown)} "
                         f"images and a gallery of {len(gallery)}")
    if not all(np.isfinite(vectors).all() for vectors in (gallery, validation, known, unknown)):
        raise InputError("vectors to compare must be finite, got NaN or infinity")
    near_known, near_unknown = (_nearest(vectors, gallery) for vectors in (known, unknown))
    threshold = None
    of_known: dict[str, Rate] = {}
    of_unknown: dict[str, Rate] = {}
    if len(validation):
        near = np.sort(_nearest(validation, gallery))
        threshold = float(near[int(np.floor((1 - KNOWN_ACCEPTED) * len(near)))])  # at least 95 % are as near
        of_known["known_accept"], of_unknown["unknown_accept"] = (_share(near >= threshold)
                                                                  for near in (near_known, near_unknown))
    below = _placements(near_known, near_unknown)
    above = 1 - _placements(near_unknown, near_known)
    area = float(below.mean())
    of_known["known_auroc"], of_unknown["known_auroc"] = Rate(area, below - area), Rate(area, above - area)
    return Novelty(threshold, len(validation), len(known), len(unknown), of_known, of_unknown)


def _nearest(vectors: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    return neighbors.nearest(vectors, gallery, 1)[1][:, 0]


def _share(accepted: np.ndarray) -> Rate:
    return Rate(float(accepted.mean()), accepted - accepted.mean())


def _placements(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of the others that lie below each value, equal ones counted one half; the mean over values is the AUROC
    (DeLong et al., 1988, doi:10.2307/2531595)."""
    others = np.sort(others)
    return (np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")) / (2 * len(others))
