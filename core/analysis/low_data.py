"""How a comparison changes with fewer images per class: curves with intervals, where they cross, and what that allows one to
say. Every point is of the same test samples.

Intervals and verdicts are `core.analysis.comparison`'s, one a count of images and not joint over the curve.
"""

import math
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from core.analysis import comparison
from core.analysis.comparison import Difference, Interval
from core.analysis.metrics import METRICS
from core.analysis.repeated_splits import bootstrap
from core.analysis.spending import ALPHA, level_words
from core.analysis.statements import first_up, margin_words
from core.errors import InputError

Count = int | str                  # images per class, or 'all'
ArmValues = dict[Count, np.ndarray]  # images per class -> (seeds, samples), 0..1, nan where undefined


@dataclass(frozen=True)
class Crossing:
    """Where the mean curves of A and B meet, in images per class, with its 95 % interval.

    Attributes:
        at: between two neighbouring counts, by a line over the logarithm of images per class.
        low, high: 2.5 and 97.5 percent of the bootstrap's crossings; None where that end lies beyond the curve.
        to_better: which is better beyond it, 'a' or 'b'.
    """

    at: float
    low: float | None
    high: float | None
    to_better: str


@dataclass(frozen=True)
class Pair:
    """B against A along the curve.

    Attributes:
        a, b: labels.
        differences: B − A, one a count.
        crossings: where the means change sides.
        crosses: 'yes' if each is better somewhere, 'no' if one is better at every count, 'same' if they are the same at every
            count, else 'cannot tell'.
        sentence: what the differences support.
        crossing_sentence: where the curves cross, in words.
    """

    a: str
    b: str
    differences: tuple[Difference, ...]
    crossings: tuple[Crossing, ...]
    crosses: str
    sentence: str
    crossing_sentence: str


@dataclass(frozen=True)
class Curve:
    """A metric against images per class.

    Attributes:
        metric: its key in `METRICS`.
        counts: images per class, fewest first, 'all' last.
        images: the same as numbers; for 'all' the mean over classes and seeds.
        points: label -> an interval a count; the floor's too.
        floor: label of the untrained encoder, or None.
        above_floor: label -> verdict on it against the floor, one a count.
        pairs: every other arm against the first.
        n_seeds, n_samples: behind each point.
    """

    metric: str
    counts: tuple[Count, ...]
    images: tuple[float, ...]
    points: dict[str, tuple[Interval, ...]]
    floor: str | None
    above_floor: dict[str, tuple[str, ...]]
    pairs: tuple[Pair, ...]
    n_seeds: int
    n_samples: int


def curve(metric: str, arms: dict[str, ArmValues], images: dict[Count, float], n_bootstrap: int,
          group: np.ndarray | None = None, titles: dict[str, str] | None = None, floor: str | None = None,
          n_defined: int | None = None, margin: float = 0.0, levels: dict[str, dict[Count, float]] | None = None,
          alpha: float = ALPHA, split: np.ndarray | None = None) -> Curve:
    """Points, differences and crossings of several arms.

    Args:
        metric: its key in `METRICS`.
        arms: label -> values at two or more counts; all arms have the same counts, seeds and samples. The first that is
            not the floor is A.
        images: count -> images per class; the real mean for 'all'.
        n_bootstrap: draws.
        group: samples that are drawn together, shape (samples,); None: each alone.
        titles: label -> its name in a sentence; None for the labels.
        floor: which arm is the untrained encoder, if one is.
        n_defined: how many samples have a value of their own, as of `comparison.difference`; None: as many as are not nan.
        margin: the least difference that matters, as there.
        levels: label -> the metric's chance level at each count, where samples form groups; None: the same for all.
        alpha: how often the interval of a difference may miss, as there.
        split: the split that each seed is tested on, as there.

    Raises:
        InputError: if there are fewer than two counts, or arms differ in counts, seeds or samples.
    """
    counts = tuple(sorted(images, key=lambda count: (images[count], count == "all")))
    shapes = {values.shape for arm in arms.values() for values in arm.values()}
    if len(counts) < 2 or len(shapes) != 1 or any(set(arm) != set(counts) for arm in arms.values()):
        got = {label: {count: values.shape for count, values in arm.items()} for label, arm in arms.items()}
        raise InputError(f"a curve must have two or more images per class, and every arm the same ones, seeds and samples, "
                         f"got {got}")
    n_seeds, n_samples = shapes.pop()
    x = tuple(float(images[count]) for count in counts)
    titles = {label: (titles or {}).get(label, label) for label in arms}

    def against(a: str, b: str) -> tuple[Difference, ...]:
        return tuple(comparison.difference(metric, arms[a][count], arms[b][count], n_bootstrap, group=group,
                                           n_samples=n_defined, margin=margin, alpha=alpha, split=split,
                                           by_chance=levels[b][count] - levels[a][count] if levels else 0.0)
                     for count in counts)

    first, *others = (label for label in arms if label != floor)
    pairs = []
    for other in others:
        differences = against(first, other)
        drawn = bootstrap([arms[other][count] - arms[first][count] for count in counts], n_bootstrap, 0, group,
                          split=split).draws.T
        crossings = _crossings(np.array([item.difference for item in differences]), drawn, np.log(x))
        crosses = _crosses(differences)
        pairs.append(Pair(first, other, differences, crossings, crosses,
                          _sentence(differences, counts, x, titles[first], titles[other]),
                          _crossing_sentence(crosses, crossings, titles[first], titles[other])))
    return Curve(
        metric=metric, counts=counts, images=x, floor=floor, pairs=tuple(pairs), n_seeds=n_seeds, n_samples=n_samples,
        points={label: tuple(comparison.interval(arm[count], n_bootstrap, group=group, split=split) for count in counts)
                for label, arm in arms.items()},
        above_floor={} if floor is None else {label: tuple(item.verdict for item in against(floor, label))
                                              for label in (first, *others)})


def without_verdicts(found: Curve, n_awaited: int) -> Curve:
    """The same curve while planned seeds, `n_awaited` at each count, are unfinished: points and intervals alone."""
    said = (f"No verdict on the curve yet: {found.n_seeds} of {n_awaited} planned seeds "
            f"{'has' if found.n_seeds == 1 else 'have'} finished")
    pairs = tuple(replace(pair, differences=tuple(comparison.without_verdict(item) for item in pair.differences),
                          crosses="cannot tell", sentence=said,
                          crossing_sentence="Whether the curves cross is said once all have") for pair in found.pairs)
    return replace(found, pairs=pairs, above_floor={})


def floor_sentence(found: Curve, titles: dict[str, str]) -> str:
    """From how many images per class on each objective is above the untrained encoder; nothing without one."""
    parts = []
    for label, verdicts in found.above_floor.items():
        n_last = next((index for index, verdict in enumerate(reversed(verdicts)) if verdict != "better"), len(verdicts))
        name = titles.get(label, label)
        if n_last == len(verdicts):
            parts.append(f"{name} is above the untrained encoder at every count")
        elif n_last == 0:
            parts.append(f"{name} is not shown to be above the untrained encoder at {_count(found.counts[-1])}")
        else:
            where = f"from {_count(found.counts[-n_last])} on" if n_last > 1 else f"with {_count(found.counts[-1])}"
            parts.append(f"{name} is above the untrained encoder {where}")
    return first_up("; ".join(parts))


def _crossings(means: np.ndarray, drawn: np.ndarray, log_x: np.ndarray) -> tuple[Crossing, ...]:
    """Where the mean difference changes sign, and where it does in each draw.

    Args:
        means: B − A a count, shape (counts,).
        drawn: the same in each draw, shape (counts, draws).
        log_x: logarithm of images per class, increasing, shape (counts,).
    """
    crossings = []
    for index in range(len(means) - 1):
        if means[index] * means[index + 1] >= 0:
            continue
        rises = means[index + 1] > means[index]
        at = _zero(means[index], means[index + 1], log_x[index], log_x[index + 1])
        earliest, latest = _drawn_crossings(drawn if rises else -drawn, log_x, at, index)
        low, high = np.quantile(earliest, 0.025, method="lower"), np.quantile(latest, 0.975, method="higher")
        crossings.append(Crossing(at=math.exp(at), low=math.exp(low) if math.isfinite(low) else None,
                                  high=math.exp(high) if math.isfinite(high) else None, to_better="b" if rises else "a"))
    return tuple(crossings)


def _drawn_crossings(drawn: np.ndarray, log_x: np.ndarray, at: float, index: int) -> tuple[np.ndarray, np.ndarray]:
    """In each draw the rise through zero nearest to `at`, as the earliest and the latest it may be; both (draws,).

    A draw without one lies beyond the curve: left of it if B is ahead around `at` already, right of it if it is not yet;
    on either side where it falls through zero there.
    """
    steps, before, after = np.diff(log_x)[:, None], drawn[:-1], drawn[1:]
    has = (before < 0) & (after >= 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        zeros = np.where(has, log_x[:-1, None] + steps * before / (before - after), np.inf)
    nearest = np.take_along_axis(zeros, np.abs(zeros - at).argmin(axis=0)[None], axis=0)[0]
    is_missing = ~has.any(axis=0)
    is_ahead, is_behind = drawn[index] >= 0, drawn[index + 1] < 0
    earliest = np.where(is_missing & is_ahead, -np.inf, np.where(is_missing, np.inf, nearest))
    latest = np.where(is_missing & is_behind, np.inf, np.where(is_missing, -np.inf, nearest))
    return earliest, latest


def _zero(before: float, after: float, left: float, right: float) -> float:
    return left + (right - left) * before / (before - after)


def _crosses(differences: tuple[Difference, ...]) -> str:
    verdicts = {item.verdict for item in differences}
    if {"better", "worse"} <= verdicts:
        return "yes"
    return "same" if verdicts == {"same"} else "no" if verdicts in ({"better"}, {"worse"}) else "cannot tell"


def _sentence(differences: tuple[Difference, ...], counts: tuple[Count, ...], images: tuple[float, ...], name_a: str,
              name_b: str) -> str:
    """One clause for each stretch of counts with one verdict, each with its intervals."""
    title, level = METRICS[differences[0].metric].title, level_words(differences[0].alpha)
    stretches = [list(stretch) for _, stretch in groupby(range(len(counts)), lambda index: differences[index].verdict)]
    clauses = []
    for number, places in enumerate(stretches):
        mine = [differences[index] for index in places]
        where = _where(places, counts, images)
        low, high = min(item.low for item in mine), max(item.high for item in mine)
        within = f"(difference {level} within {100 * low:+z.1f} to {100 * high:+z.1f})"
        if mine[0].verdict == "cannot tell":
            apart = f"{name_b} from {name_a} on {title} " if number == 0 else ""
            clauses.append(f"{where} one cannot tell {apart}{within}")
        elif mine[0].verdict == "same":
            clauses.append(f"{where} {name_b} and {name_a} are the same within {margin_words(mine[0])} on {title} {within}")
        else:
            sign = 1 if mine[0].verdict == "better" else -1
            least, most = (f"{pick(sign * 100 * item.difference for item in mine):.1f}" for pick in (min, max))
            ends = [sign * 100 * end for item in mine for end in (item.low, item.high)]
            by = least if least == most else f"{least} to {most}"
            than = f"than {name_a} on {title} " if not any(differences[stretch[0]].verdict != "cannot tell"
                                                            for stretch in stretches[:number]) else ""
            clauses.append(f"{where} {name_b} is {mine[0].verdict} {than}by {by} points ({level} within {min(ends):.1f} to "
                           f"{max(ends):.1f})")
    seeds = f"{differences[0].n_seeds} {'seed' if differences[0].n_seeds == 1 else 'seeds'}"
    splits = f" on {differences[0].n_splits} splits" if differences[0].n_splits > 1 else ""
    return f"{first_up('; '.join(clauses))}; {seeds}{splits}, {differences[0].n_samples:,} test images"


def _where(places: list[int], counts: tuple[Count, ...], images: tuple[float, ...]) -> str:
    first, last = counts[places[0]], counts[places[-1]]
    if len(places) == len(counts):
        return f"at every count, from {first} to {f'all ({images[-1]:,.0f})' if last == 'all' else last} images per class,"
    if places[0] == 0:
        return f"with {'up to ' if len(places) > 1 else ''}{_count(last)}"
    if places[-1] == len(counts) - 1:
        return f"from {_count(first)} on" if len(places) > 1 else f"with {_count(first)}"
    return f"with {_count(first)}" if len(places) == 1 else f"from {first} to {_count(last)}"


def _count(count: Count) -> str:
    return "all images" if count == "all" else f"{count} {'image' if count == 1 else 'images'} per class"


def _crossing_sentence(crosses: str, crossings: tuple[Crossing, ...], name_a: str, name_b: str) -> str:
    spots = "; ".join(_spot(item) for item in crossings)
    if crosses == "yes":
        return f"The curves of {name_a} and {name_b} cross at about {spots}"
    if crosses == "no":
        return f"The curves of {name_a} and {name_b} do not cross"
    if crosses == "same":
        return f"Whether the curves of {name_a} and {name_b} cross does not matter: they are the same at every count"
    if crossings:
        return f"Cannot tell whether {name_a} and {name_b} cross: their means do at about {spots}"
    return f"Cannot tell whether {name_a} and {name_b} cross: their means do not, but they cannot be told apart at every count"


def _spot(item: Crossing) -> str:
    low = "below the fewest" if item.low is None else _rounded(item.low)
    high = "beyond all" if item.high is None else _rounded(item.high)
    return f"{_rounded(item.at)} images per class (95 % {low} to {high})"


def _rounded(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"
