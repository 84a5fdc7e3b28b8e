"""Two spaces of the same samples: paired differences with intervals, and what they decide.

Never 'better' without an interval that leaves out zero; never 'same' without one that lies inside a margin set beforehand.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import Field

from core.analysis.fairness import SettingDifference
from core.analysis.metrics import HEADLINE, METRICS, SHORT, SPACE_METRICS
from core.analysis.outperforming import Outperforming, outperforming
from core.analysis.paired_tests import McNemar
from core.analysis.repeated_splits import bootstrap
from core.analysis.resampling import UNKNOWN, Bootstrap, holm
from core.analysis.spending import ALPHA
from core.errors import InputError

Values = dict[str, np.ndarray]  # metric -> (seeds, samples), nan where undefined
NSplits = Annotated[int, Field(exclude_if=lambda number: number == 1)]  # not in JSON where there is one, as ever
Answer = Literal["better", "worse", "same", "cannot tell", ""]  # of B; empty where none is given


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval, all in the metric's unit (0 to 1); `sd` over seeds, 0 with one."""

    mean: float
    low: float
    high: float
    sd: float


@dataclass(frozen=True)
class Equivalence:
    """How sure it is that a difference lies inside a margin, the least difference that matters, in the metric's unit.

    `p_value` is `Bootstrap.p_within`'s, `p_holm` the same, corrected for all metrics that were compared at once.
    """

    margin: float
    p_value: float
    p_holm: float


@dataclass(frozen=True)
class Difference:
    """B − A on one metric, in the metric's unit (0 to 1), with an interval that misses with probability `alpha`: 0.05, and
    less at a look that was not planned (`spending.alpha`).

    `p_value` is that of the same draws; `p_holm` the same, corrected for all metrics that were compared at once (or all
    classes, in a difference of one class). `equivalence` is None where no margin was set.

    `verdict` is said of B: 'same' where the interval lies inside the margin, also if it leaves out zero; else 'better' or
    'worse' where it leaves out zero; else 'cannot tell'; '' while planned seeds are unfinished. `settles_at` is about how
    many test samples would bring a gap this large out of doubt, as a difference or as none that matters; None when it is
    already decided, no gap to speak of, or seeds that differ by so much that no number of images would (`seeds_decide`).
    `sd_a` and `sd_b` are the standard deviations of A and B over seeds, 0 with one; None where an earlier version wrote the
    difference down. `outperforming` is None with one seed, and of classes and whole spaces. `by_chance` is how much higher
    the metric's chance level is in B than in A, where images form groups: a gap between it and 0 tells nothing of classes,
    so verdict and p-value ask for one beyond both. `n_splits` says over how many splits of the same images: with one it holds
    for this split, with more for images like these.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    verdict: Answer
    n_seeds: int
    n_samples: int
    settles_at: int | None
    p_value: float = 1.0
    p_holm: float = 1.0
    seeds_decide: bool = False
    sd_a: float | None = None
    sd_b: float | None = None
    equivalence: Equivalence | None = None
    outperforming: Outperforming | None = None
    by_chance: float = 0.0
    alpha: float = ALPHA
    n_splits: NSplits = 1

    @property
    def may_be_chance(self) -> bool:
        """Whether the interval leaves out zero, but not all that chance levels explain."""
        return 0 < self.low <= self.by_chance or self.by_chance <= self.high < 0

    @property
    def p_over_looks(self) -> float:
        """The p-value, as much larger as the level of this look is smaller than the planned one's."""
        return min(1.0, self.p_value * ALPHA / self.alpha)


@dataclass(frozen=True)
class _OfClass:
    label: str


@dataclass(frozen=True)
class ClassDifference(Difference, _OfClass):
    """B − A on one metric among the samples of one class; `p_holm` and `verdict` are corrected for all classes."""


AnyDifference = TypeVar("AnyDifference", bound=Difference)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """B against A on every metric. `n_dropped` test samples stand in one of them only and were left out; `settings` are those
    in which they differ, and `confounders` name the unfair ones; the leaks of each are in words, and `is_worth_of_leak` says
    that they alone set B and A apart. `look` counts the verdicts that were given on B and A, this one the last, 1 if it is the
    planned one; `look_note` says of a later one what that does to its intervals. `n_bootstrap` is the number of draws behind
    every interval; `draws_note` says whose config it is where A's and B's differ.

    `space` holds the differences on `SPACE_METRICS`, which have an interval and no verdict; `mcnemar` exact tests of what
    single seeds got right; both `mcnemar` and `per_class` are empty where A and B were tested on different samples. `macro`
    holds the differences on the metrics of `SHORT` with each class counted alike; in all others each sample is."""

    name_a: Annotated[str, Field(alias="a")]  # in JSON
    name_b: Annotated[str, Field(alias="b")]
    sentence: str
    n_dropped: int
    n_bootstrap: int = 0
    draws_note: str = ""
    confounders: tuple[str, ...]
    settings: tuple[SettingDifference, ...] = ()
    leaks_a: tuple[str, ...] = ()
    leaks_b: tuple[str, ...] = ()
    is_worth_of_leak: bool = False
    look: int = 1
    look_note: str = ""
    differences: tuple[Difference, ...]
    space: tuple[Difference, ...] = ()
    mcnemar: tuple[McNemar, ...] = ()
    per_class: tuple[ClassDifference, ...] = ()
    macro: tuple[Difference, ...] = ()


def interval(values: np.ndarray, n_bootstrap: int, seed: int = 0, group: np.ndarray | None = None,
             bounds: tuple[float, float] = (0.0, 1.0), split: np.ndarray | None = None) -> Interval:
    """Mean over samples and seeds with a bootstrap interval over both (`resampling.bootstrap`).

    Args:
        values: shape (seeds, samples), nan where undefined.
        n_bootstrap: draws.
        seed: seed of the draws.
        group: samples that are drawn together, such as crops of one photograph, shape (samples,); None: each alone.
        bounds: least and most the mean can be; the interval ends there.
        split: the split that each seed is tested on, shape (seeds,), as of `repeated_splits.bootstrap`; None: one.

    Raises:
        InputError: if no sample has a value.
    """
    return intervals({"": values}, {"": bounds}, n_bootstrap, seed, group, split)[""]


def intervals(values: Values, bounds: dict[str, tuple[float, float]], n_bootstrap: int, seed: int = 0,
              group: np.ndarray | None = None, split: np.ndarray | None = None) -> dict[str, Interval]:
    """`interval` of several metrics of the same samples, which costs little more than one."""
    drawn = bootstrap(list(values.values()), n_bootstrap, seed, group, split=split)
    result = {}
    for index, (name, column) in enumerate(values.items()):
        over_seeds = _of_seeds(column, split)
        sd = float(over_seeds.std(ddof=1)) if len(over_seeds) > 1 else 0.0
        low, high = np.clip([drawn.low[index], drawn.high[index]], *bounds[name])
        result[name] = Interval(mean=float(drawn.mean[index]), low=float(low), high=float(high), sd=sd)
    return result


def difference(metric: str, a: np.ndarray, b: np.ndarray, n_bootstrap: int, seed: int = 0,
               group: np.ndarray | None = None, n_samples: int | None = None, margin: float = 0.0,
               by_chance: float = 0.0, alpha: float = ALPHA, split: np.ndarray | None = None) -> Difference:
    """Paired difference B − A on one metric, by itself: samples are drawn the same for both.

    Args:
        metric: its key in `METRICS`.
        a: values of A, shape (seeds, samples), the same samples and seeds as B's.
        b: values of B, shape (seeds, samples).
        n_bootstrap: draws.
        seed: seed of the draws.
        group: samples that are drawn together, shape (samples,); None: each alone.
        n_samples: how many have a value of their own, where values are contributions (`resampling.contributions`); None: as
            many as are not nan.
        margin: the least difference that matters, 0 to 1; 0 for none.
        by_chance: as of `Difference`.
        alpha: how often the interval may miss.
        split: as of `interval`; the same of A and B.

    Raises:
        InputError: if shapes differ or no sample has a value.
    """
    return _paired({metric: a}, {metric: b}, n_bootstrap, seed, group, {} if n_samples is None else {metric: n_samples},
                   margin, alpha, asks_outperforming=True, by_chance={metric: by_chance}, split=split)[0]


def _paired(a: Values, b: Values, n_bootstrap: int, seed: int, group: np.ndarray | None,
            n_samples: dict[str, int] | None = None, margin: float = 0.0, alpha: float = ALPHA,
            asks_outperforming: bool = False, by_chance: dict[str, float] | None = None,
            split: np.ndarray | None = None) -> list[Difference]:
    """Column by column; `asks_outperforming` fills in how often another run of B would beat another run of A."""
    for name, column in a.items():
        if column.shape != b[name].shape:
            raise InputError(f"A and B must have the same seeds and samples, got {column.shape} and {b[name].shape}")
    drawn = bootstrap([b[name] - column for name, column in a.items()], n_bootstrap, seed, group,
                      arms=[(column, b[name]) for name, column in a.items()], alpha=alpha, split=split)
    result = []
    for index, (name, column) in enumerate(a.items()):
        is_kept = ~np.isnan(b[name] - column)
        of_a, of_b = (_kept(arm, is_kept, split) for arm in (column, b[name]))
        n_kept = int(is_kept.any(axis=0).sum()) if is_repeated(split) else int(is_kept.all(axis=0).sum())
        judged = _judge(name, float(of_a.mean()), float(of_b.mean()), float(drawn.mean[index]), drawn, index,
                        (len(column), (n_samples or {}).get(name, n_kept)), margin, (by_chance or {}).get(name, 0.0))
        judged = replace(judged, sd_a=_sd(of_a), sd_b=_sd(of_b), n_splits=_n_splits(split))
        if asks_outperforming:
            judged = _with_outperforming(judged, drawn.draws[:, index], (len(column), len(column)), seed,
                                         _sd(of_b - of_a) if is_repeated(split) else None)
        result.append(judged)
    return result


def is_repeated(split: np.ndarray | None) -> bool:
    """Whether seeds are tested on several splits; `split` as of `interval`."""
    return _n_splits(split) > 1


def _n_splits(split: np.ndarray | None) -> int:
    return 1 if split is None else len(set(split.tolist()))


def _kept(arm: np.ndarray, is_kept: np.ndarray, split: np.ndarray | None) -> np.ndarray:
    """An arm's values of the samples that count, shape (seeds, kept); over several splits each seed's mean, (seeds, 1)."""
    if is_repeated(split):
        return np.nanmean(np.where(is_kept, arm, np.nan), axis=1, keepdims=True)
    return arm[:, is_kept.all(axis=0)]


def _of_seeds(values: np.ndarray, split: np.ndarray | None) -> np.ndarray:
    """Each seed's mean over its samples that have a value, shape (seeds,)."""
    return _kept(values, ~np.isnan(values), split).mean(axis=1)


def _with_outperforming(item: Difference, gaps: np.ndarray, n_seeds: tuple[int, int], seed: int,
                        sd_of_pairs: float | None = None) -> Difference:
    """The same with how often another run of B would beat another run of A, where each has several seeds; `gaps` as drawn.
    `sd_of_pairs`: over several splits, of B's run less A's on the same one, as both would then be run."""
    if min(n_seeds) < 2 or item.sd_a is None or item.sd_b is None:
        return item
    if sd_of_pairs is not None:
        return replace(item, outperforming=outperforming(item.difference, gaps, sd_of_pairs, 0.0, n_seeds, seed))
    return replace(item, outperforming=outperforming(item.difference, gaps, item.sd_a, item.sd_b, n_seeds, seed))


def _sd(values: np.ndarray) -> float:
    """Over seeds, of the means over samples; 0 with one seed."""
    return float(values.mean(axis=1).std(ddof=1)) if len(values) > 1 else 0.0


def unpaired_difference(metric: str, a: np.ndarray, b: np.ndarray, n_bootstrap: int, seed: int = 0,
                        group_a: np.ndarray | None = None, group_b: np.ndarray | None = None,
                        n_samples: int | None = None, margin: float = 0.0, by_chance: float = 0.0,
                        alpha: float = ALPHA, splits: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
                        ) -> Difference:
    """B − A where the two were tested on different samples: each is drawn on its own, so the interval is wider.

    Args:
        metric: its key in `METRICS`.
        a: values of A, shape (seeds, samples).
        b: values of B, shape (seeds, other samples).
        n_bootstrap: draws.
        seed: seed of the draws.
        group_a: samples of A that are drawn together, shape (samples,); None: each alone.
        group_b: the same for B.
        n_samples: as of `difference`, of the one that has fewer.
        margin, by_chance, alpha: as of `difference`.
        splits: of A and of B, as of `interval`.

    Raises:
        InputError: if no sample of one of them has a value.
    """
    of_a, of_b = (bootstrap([arm], n_bootstrap, number, group, alpha=alpha, split=split)
                  for arm, number, group, split in ((a, seed, group_a, splits[0]), (b, seed + 1, group_b, splits[1])))
    spread_a, spread_b = of_a.draws.var(), of_b.draws.var()
    total = spread_a + spread_b
    share = (of_a.seed_share * spread_a + of_b.seed_share * spread_b) / total if total > 0 else np.zeros(1)
    drawn = Bootstrap(of_b.mean - of_a.mean, of_b.draws - of_a.draws, share, alpha)
    if n_samples is None:
        n_samples = min(_defined(a).shape[1], _defined(b).shape[1])
    shape = (min(len(a), len(b)), n_samples)
    judged = _judge(metric, float(of_a.mean[0]), float(of_b.mean[0]), float(drawn.mean[0]), drawn, 0, shape, margin,
                    by_chance)
    sd_a, sd_b = (_sd(_kept(arm, ~np.isnan(arm), split)) for arm, split in zip((a, b), splits))
    judged = replace(judged, sd_a=sd_a, sd_b=sd_b, n_splits=min(_n_splits(split) for split in splits))
    return _with_outperforming(judged, drawn.draws[:, 0], (len(a), len(b)), seed)


def _judge(metric: str, a: float, b: float, gap: float, drawn: Bootstrap, index: int, shape: tuple[int, int],
           margin: float, by_chance: float) -> Difference:
    low, high = float(drawn.low[index]), float(drawn.high[index])
    verdict = _answer(low, high, margin, by_chance)
    p_value = float(drawn.p_beyond(by_chance)[index])
    equivalence = Equivalence(margin, p_within := float(drawn.p_within(margin)[index]), p_within) if margin else None
    n_seeds, n_samples = shape
    settles_at, seeds_decide = None, False
    reaches = []  # how many times wider the interval is, on one side, than would decide
    if verdict == "cannot tell" and high - low < UNKNOWN:
        if (beyond := max(gap - max(by_chance, 0.0), min(by_chance, 0.0) - gap)) > 1e-9:
            reaches.append((gap - low if gap > 0 else high - gap) / beyond)  # to leave out what chance explains
        if abs(gap) < margin:
            reaches.append(max((high - gap) / (margin - gap), (gap - low) / (margin + gap)))  # to lie inside the margin
    if reaches:
        of_seeds = float(drawn.seed_share[index]) * min(reaches) ** 2
        seeds_decide = of_seeds >= 1  # the images' part shrinks with √n, the seeds' stays
        settles_at = None if seeds_decide else math.ceil(n_samples * (min(reaches) ** 2 - of_seeds) / (1 - of_seeds))
    bounds = (METRICS | SPACE_METRICS)[metric].bounds
    low, high = (float(np.clip(end, bounds[0] - bounds[1], bounds[1] - bounds[0])) for end in (low, high))
    return Difference(metric=metric, a=a, b=b, difference=gap, low=low, high=high, verdict=verdict, n_seeds=n_seeds,
                      n_samples=n_samples, settles_at=settles_at, p_value=p_value, p_holm=p_value,
                      seeds_decide=seeds_decide, equivalence=equivalence, by_chance=by_chance, alpha=drawn.alpha)


def _answer(low: float, high: float, margin: float, by_chance: float) -> Answer:
    """What an interval and a margin (0: none) allow one to say, where a gap between 0 and `by_chance` tells nothing."""
    if -margin < low and high < margin:
        return "same"
    return "better" if low > max(by_chance, 0.0) else "worse" if high < min(by_chance, 0.0) else "cannot tell"


def compare(a: Values, b: Values, n_bootstrap: int, group: np.ndarray | None = None,
            n_samples: dict[str, int] | None = None, margin: float = 0.0,
            by_chance: dict[str, float] | None = None, alpha: float = ALPHA,
            split: np.ndarray | None = None) -> list[Difference]:
    """Paired differences on every metric both spaces have, in the order of `METRICS`; verdicts as `hold`. `n_samples` and
    `by_chance` of a metric, `margin`, `alpha` and `split` as of `difference`."""
    shared = [metric for metric in METRICS if metric in a and metric in b]
    return hold(_paired({metric: a[metric] for metric in shared}, {metric: b[metric] for metric in shared}, n_bootstrap, 0,
                        group, n_samples, margin, alpha, asks_outperforming=True, by_chance=by_chance, split=split))


def compare_space(a: Values, b: Values, n_bootstrap: int, group: np.ndarray | None = None,
                  by_chance: dict[str, float] | None = None, alpha: float = ALPHA,
                  split: np.ndarray | None = None) -> list[Difference]:
    """Paired differences on `SPACE_METRICS`: with an interval, but without a verdict, as few have a best value."""
    return [without_verdict(item) for item in _paired(a, b, n_bootstrap, 0, group, alpha=alpha, by_chance=by_chance,
                                                          split=split)]


def without_verdict(item: AnyDifference) -> AnyDifference:
    """The same difference, of which no more is said than its interval."""
    return replace(item, verdict="", settles_at=None, seeds_decide=False)


def compare_macro(a: Values, b: Values, n_bootstrap: int, group: np.ndarray, n_samples: dict[str, int], margin: float,
                  by_chance: dict[str, float] | None = None, alpha: float = ALPHA,
                  split: np.ndarray | None = None) -> list[Difference]:
    """Paired differences of macro averages, whose values are `macro.contributions`; corrected by Holm over all of them, as
    none of them is the question asked beforehand. Other arguments as of `difference`."""
    shared = [metric for metric in a if metric in b]
    return correct(_paired({metric: a[metric] for metric in shared}, {metric: b[metric] for metric in shared}, n_bootstrap, 0,
                           group, n_samples, margin, alpha, asks_outperforming=True, by_chance=by_chance, split=split))


def compare_classes(classes: dict[str, tuple[Values, Values, np.ndarray]], n_bootstrap: int,
                    by_chance: dict[str, dict[str, float]] | None = None, alpha: float = ALPHA,
                    split: np.ndarray | None = None) -> list[ClassDifference]:
    """Paired differences within each class, on the metrics of `SHORT`; corrected by Holm over the classes, metric by metric.

    Args:
        classes: label -> values of A and of B among its samples, the same samples and seeds, and the samples' groups.
        n_bootstrap: draws.
        by_chance: label -> metric -> as of `difference`.
        alpha, split: as of `difference`.

    Returns:
        Class by class, metric by metric; without the metrics that are undefined of a class.
    """
    differences: dict[str, list[tuple[str, Difference]]] = {metric: [] for metric in SHORT}
    for label, (a, b, group) in classes.items():
        defined = [metric for metric in SHORT if metric in a and metric in b and _has_values(b[metric] - a[metric], split)]
        if defined:
            for item in _paired({metric: a[metric] for metric in defined}, {metric: b[metric] for metric in defined},
                                n_bootstrap, 0, group, alpha=alpha, by_chance=(by_chance or {}).get(label), split=split):
                differences[item.metric].append((label, item))
    held = [ClassDifference(label=label, **vars(corrected)) for items in differences.values()
            for (label, _), corrected in zip(items, correct([item for _, item in items]))]
    order = {label: index for index, label in enumerate(classes)}
    return sorted(held, key=lambda item: (order[item.label], SHORT.index(item.metric)))


def hold(differences: list[Difference]) -> list[Difference]:
    """Verdicts that may be read at once: corrected by Holm over all metrics, but for the headline's.

    MAP@R is the one question that was asked beforehand, so its verdict rests on its own interval, as a primary endpoint's
    does; its corrected p-values stand beside it. Of the others, which are looked at because they are there, one is called
    better, worse or the same only if its interval says so and it holds after Holm among all of them.
    """
    return [replace(corrected, verdict=item.verdict) if item.metric == HEADLINE else corrected
            for item, corrected in zip(differences, correct(differences))]


def correct(differences: list[Difference]) -> list[Difference]:
    """The same with p-values corrected over all of them, and 'cannot tell' where the verdict's is not below their alpha."""
    if not differences:
        return []
    p_holm = holm(np.array([item.p_value for item in differences]))
    p_within = holm(np.array([item.equivalence.p_value if item.equivalence else 1.0 for item in differences]))
    corrected = []
    for item, p, within in zip(differences, p_holm, p_within):
        equivalence = replace(item.equivalence, p_holm=float(within)) if item.equivalence else None
        corrected.append(replace(item, p_holm=float(p), equivalence=equivalence))
    return [replace(item, verdict=_answer_that_holds(item)) for item in corrected]


def _answer_that_holds(item: Difference) -> Answer:
    """The verdict that is left after the correction: of one inside the margin too, whether it leaves out zero."""
    if item.verdict == "same" and item.equivalence and item.equivalence.p_holm < item.alpha:
        return "same"
    otherwise = _answer(item.low, item.high, 0.0, item.by_chance) if item.verdict == "same" else item.verdict
    return otherwise if item.p_holm < item.alpha else "cannot tell"


def _has_values(values: np.ndarray, split: np.ndarray | None) -> bool:
    """Whether some sample has a value; of several splits, on each of them."""
    return bool((~np.isnan(values)).any(axis=1).all()) if is_repeated(split) else _defined(values).shape[1] > 0


def _defined(values: np.ndarray) -> np.ndarray:
    return values[:, ~np.isnan(values).any(axis=0)]
