"""Same or not: do two images show the same class? Pairs of images, by the cosine of their vectors.

A pair is accepted where its cosine is at least a threshold, which is chosen on other images than it is judged by. No image is
paired with itself or with one of its own group, by the rule of `retrieval`. Pairs are never kept: they are counted block by
block.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from core.analysis import neighbors, parts, roc
from core.analysis.retrieval import Roles
from core.analysis.roc import Roc
from core.errors import InputError

LEAST_GROUPS = 10  # of the images that choose a threshold: of fewer, one group moves it by a tenth or more


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one split.

    Attributes:
        vectors: shape (n, D), float32.
        label_id: shape (n,), int.
        group: images of which no two make a pair, shape (n,).
        roles: which ask and which are found: of a pair one asks and the other is found. None: every image does both.
    """

    vectors: np.ndarray
    label_id: np.ndarray
    group: np.ndarray
    roles: Roles | None = None


@dataclass(frozen=True, eq=False)
class Rate:
    """A share with what each image does to it.

    Attributes:
        value: 0 to 1.
        influence: by how much it is higher with one more of each image, times n; shape (n,), float64, mean 0.
    """

    value: float
    influence: np.ndarray


@dataclass(frozen=True, eq=False)
class Verification:
    """How well one space tells whether two test images show the same class.

    Attributes:
        threshold: the cosine from which a pair is accepted, −1 to 1; None if none can be chosen.
        why_not: why none can be, in words; else empty.
        n_pairs: pairs of validation images of different classes.
        n_groups: groups of validation images.
        on_validation: the share of those pairs that the threshold accepts; nan without one.
        n_same, n_different: pairs of test images of one class and of two.
        rates: 'true_accept' and 'false_accept' of the threshold, 'auroc', of test images; those that are defined.
        choice: what each validation image does to the true-accept rate by moving the threshold, as `Rate.influence`;
            shape (validation images,); zeros without a threshold.
        equal_error: EER of test images; nan if undefined.
        curve: `Roc.curve` of test images, shape (points,); empty if undefined.
    """

    threshold: float | None
    why_not: str
    n_pairs: int
    n_groups: int
    on_validation: float
    n_same: int
    n_different: int
    rates: dict[str, Rate]
    choice: np.ndarray
    equal_error: float
    curve: np.ndarray


def measure(validation: Images, test: Images, false_accept: float) -> Verification:
    """Chooses a threshold on validation images and judges it, and the space, by pairs of test images.

    The threshold is the lowest of `roc`'s levels at which at most `false_accept` of the validation pairs of different classes
    are accepted. What a validation image does to the test's true-accept rate is its influence on the false-accept rate that
    was aimed at, times the slope of the curve there (Woodruff, 1952, doi:10.1080/01621459.1952.10483443, for quantiles).

    Args:
        validation: images that choose.
        test: images that judge.
        false_accept: share of pairs of different classes to accept, above 0 and below 1.
    """
    with threadpool_limits(1):  # `parts` has a block for each core
        judged = count(test)
        chooses = count(validation)
        n_groups = len(set(validation.group.tolist()))
        level, why_not = _choose(chooses, n_groups, judged, false_accept)
        rates = _rates(test, judged, level) if judged.is_defined else {}
        choice, on_validation = np.zeros(len(validation.vectors)), float("nan")
        if level is not None:
            of_choice = _rates(validation, chooses, level)["false_accept"]
            on_validation, choice = of_choice.value, -_slope(chooses, judged, false_accept) * of_choice.influence
    return Verification(
        threshold=None if level is None else roc.cosine_at(level), why_not=why_not, n_pairs=chooses.n_negative,
        n_groups=n_groups, on_validation=on_validation, n_same=judged.n_positive, n_different=judged.n_negative,
        rates=rates, choice=choice, equal_error=judged.equal_error if judged.is_defined else float("nan"),
        curve=judged.curve() if judged.is_defined else np.zeros(0))


def count(images: Images) -> Roc:
    """All pairs by their cosine: those of one class, and those of different classes; each once."""
    positive, negative = (np.zeros(roc.N_LEVELS, np.int64) for _ in range(2))
    if len(images.vectors) < 2:
        return Roc(positive, negative)
    unit, own = _prepared(images)

    def work(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        level, is_same = _block(images, unit, own, rows)
        same = np.bincount(level[is_same] + 1, minlength=roc.N_LEVELS + 1)[1:]
        return same, np.bincount(level.reshape(-1) + 1, minlength=roc.N_LEVELS + 1)[1:] - same

    for same, different in parts.at_once([partial(work, rows) for rows in parts.of_rows(len(unit), len(unit))]):
        positive += same
        negative += different
    return Roc(positive // 2, negative // 2)  # each was seen from both sides


def _prepared(images: Images) -> tuple[np.ndarray, neighbors.OwnGroups]:
    if not np.isfinite(images.vectors).all():
        raise InputError("vectors to pair must be finite, got NaN or infinity")
    return neighbors.unit(images.vectors), neighbors.own_groups(images.group)


def _block(images: Images, unit: np.ndarray, own: neighbors.OwnGroups, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels of some images with all, `roc.LEFT_OUT` where they make no pair, and whether their class is the same; each of
    shape (len(rows), n)."""
    cosine = unit[rows] @ unit.T
    own.leave_out(cosine, rows)
    if images.roles is not None:
        asks, found = images.roles.is_query, images.roles.is_gallery
        cosine[~((asks[rows, None] & found) | (found[rows, None] & asks))] = -np.inf
    return roc.levels(cosine), images.label_id[rows, None] == images.label_id


def _choose(chooses: Roc, n_groups: int, judged: Roc, false_accept: float) -> tuple[int | None, str]:
    """The level of the threshold; None with the reason, in words."""
    if not judged.is_defined:
        kinds = "one class" if judged.n_positive == 0 else "different classes"
        return None, f"test must have pairs of {kinds} outside one group, got none"
    least = math.ceil(1 / false_accept)
    if chooses.n_negative < least:
        return None, f"validation must have at least {least:,} pairs of different classes, got {chooses.n_negative:,}"
    if n_groups < LEAST_GROUPS:
        return None, f"validation must have at least {LEAST_GROUPS} groups of images, got {n_groups}"
    level = chooses.threshold(false_accept)
    if level is None:
        return None, f"more than {100 * false_accept:g} % of the validation pairs of different classes have the same vector"
    return level, ""


def _slope(chooses: Roc, judged: Roc, false_accept: float) -> float:
    """By how much the test's true-accept rate grows with the rate that is aimed at on validation: between half of it and twice
    it."""
    low, high = (chooses.threshold(rate) for rate in (false_accept / 2, min(1.0, 2 * false_accept)))
    low, high = (roc.N_LEVELS if level is None else level for level in (low, high))
    width = chooses.false_accept(high) - chooses.false_accept(low)
    return (judged.true_accept(high) - judged.true_accept(low)) / width if width > 0 else 0.0


def _rates(images: Images, counted: Roc, level: int | None) -> dict[str, Rate]:
    """The rates of images with what each image does to them; without those of a threshold where there is none.

    A rate of pairs, each weighted by the weights of its two images, is Σ wᵢ wⱼ aᵢⱼ / Σ wᵢ wⱼ. Its derivative by wᵢ at equal
    weights is 2 Σⱼ (aᵢⱼ − rate) / all pairs, seen from both sides; of the area, aᵢⱼ is the pair's placement, and both kinds of
    pairs add to it.
    """
    unit, own = _prepared(images)
    n = len(unit)
    of_positive, of_negative = (np.append(placement, 0.0) for placement in counted.placements)  # last: of what is left out
    least = roc.N_LEVELS if level is None else level

    def work(rows: np.ndarray) -> np.ndarray:
        """For each row, of its pairs of one class and of different classes: how many, how many accepted, their placements."""
        levels, is_same = _block(images, unit, own, rows)
        row = np.nonzero(is_same)[0]
        same = levels[is_same]

        def of_each(values: np.ndarray) -> np.ndarray:
            return np.bincount(row, values, len(rows))

        return np.stack([
            of_each(same >= 0), (levels >= 0).sum(axis=1) - of_each(same >= 0),
            of_each(same >= least), (levels >= least).sum(axis=1) - of_each(same >= least),
            of_each(of_positive[same]), of_negative[levels].sum(axis=1) - of_each(of_negative[same])])

    sums = list(parts.at_once([partial(work, rows) for rows in parts.of_rows(n, n)]))
    same, different, right, wrong, above, below = np.concatenate(sums, axis=1)
    rates = {"auroc": (counted.area, [(above, same), (below, different)])}
    if level is not None:
        rates |= {"true_accept": (counted.true_accept(level), [(right, same)]),
                  "false_accept": (counted.false_accept(level), [(wrong, different)])}
    return {name: Rate(value, np.sum([2 * n * (upper - value * lower) / lower.sum() for upper, lower in sides], axis=0))
            for name, (value, sides) in rates.items()}
