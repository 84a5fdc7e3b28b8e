"""Two spaces of the same samples: paired differences with intervals, and what they allow one to say.

Never 'better' without an interval that excludes zero.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

from core.analysis.fairness import SettingDifference
from core.analysis.metrics import METRICS

Values = dict[str, np.ndarray]  # metric -> (seeds, samples), 0..1, nan where undefined
_CHUNK = 200  # bootstrap draws at a time: 200 × 100,000 samples are 160 MB


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval, all in the metric's unit (0 to 1); `sd` over seeds, 0 with one."""

    mean: float
    low: float
    high: float
    sd: float


@dataclass(frozen=True)
class Difference:
    """B − A on one metric, in the metric's unit (0 to 1), with its 95 % interval.

    `verdict` is 'better', 'worse' or 'cannot tell', said of B. `settles_at` is about how many test samples would
    bring a gap this large out of doubt; None when it is already decided, or no gap to speak of.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    verdict: str
    n_seeds: int
    n_samples: int
    settles_at: int | None

    def to_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """B against A on every metric. `n_dropped` test samples stand in one of them only and were left out; `settings` are those
    in which they differ, and `confounders` name the unfair ones; the leaks of each are in words, and `is_worth_of_leak` says
    that they alone set B and A apart."""

    name_a: str
    name_b: str
    differences: tuple[Difference, ...]
    confounders: tuple[str, ...]
    n_dropped: int
    sentence: str
    settings: tuple[SettingDifference, ...] = ()
    leaks_a: tuple[str, ...] = ()
    leaks_b: tuple[str, ...] = ()
    is_worth_of_leak: bool = False

    def to_json(self) -> dict:
        return {"a": self.name_a, "b": self.name_b, "sentence": self.sentence, "n_dropped": self.n_dropped,
                "confounders": list(self.confounders), "settings": [item.to_json() for item in self.settings],
                "leaks_a": list(self.leaks_a), "leaks_b": list(self.leaks_b),
                "is_worth_of_leak": self.is_worth_of_leak, "differences": [item.to_json() for item in self.differences]}


def interval(values: np.ndarray, n_bootstrap: int, seed: int = 0, group: np.ndarray | None = None) -> Interval:
    """Mean over samples and seeds with a bootstrap interval over both.

    Args:
        values: shape (seeds, samples), 0 to 1, nan where undefined.
        n_bootstrap: draws.
        seed: seed of the draws.
        group: samples that are drawn together, such as crops of one photograph, shape (samples,); None: each alone.

    Raises:
        ValueError: if no sample has a value.
    """
    defined, group = _defined(values, group)
    draws = _bootstrap(defined, group, n_bootstrap, seed)
    low, high = np.quantile(draws, [0.025, 0.975])
    over_seeds = defined.mean(axis=1)
    sd = float(over_seeds.std(ddof=1)) if len(over_seeds) > 1 else 0.0
    return Interval(mean=float(defined.mean()), low=float(low), high=float(high), sd=sd)


def difference(metric: str, a: np.ndarray, b: np.ndarray, n_bootstrap: int, seed: int = 0,
               group: np.ndarray | None = None) -> Difference:
    """Paired difference B − A with a hierarchical bootstrap: seeds are drawn, then samples, the same for both.

    Samples of one group are drawn together (a cluster bootstrap: Field & Welsh, 2007,
    doi:10.1111/j.1467-9868.2007.00593.x): twenty crops of one photograph are not twenty photographs.

    Args:
        metric: its key in `METRICS`.
        a: values of A, shape (seeds, samples), the same samples and seeds as B's.
        b: values of B, shape (seeds, samples).
        n_bootstrap: draws.
        seed: seed of the draws.
        group: samples that are drawn together, shape (samples,); None: each alone.

    Raises:
        ValueError: if shapes differ or no sample has a value.
    """
    if a.shape != b.shape:
        raise ValueError(f"A and B must have the same seeds and samples, got {a.shape} and {b.shape}")
    paired, group = _defined(b - a, group)
    draws = _bootstrap(paired, group, n_bootstrap, seed)
    return _judge(metric, float(np.nanmean(a)), float(np.nanmean(b)), float(paired.mean()), draws, paired.shape)


def unpaired_difference(metric: str, a: np.ndarray, b: np.ndarray, n_bootstrap: int, seed: int = 0,
                        group_a: np.ndarray | None = None, group_b: np.ndarray | None = None) -> Difference:
    """B − A where the two were tested on different samples: each is drawn on its own, so the interval is wider.

    Args:
        metric: its key in `METRICS`.
        a: values of A, shape (seeds, samples).
        b: values of B, shape (seeds, other samples).
        n_bootstrap: draws.
        seed: seed of the draws.
        group_a: samples of A that are drawn together, shape (samples,); None: each alone.
        group_b: the same for B.

    Raises:
        ValueError: if no sample of one of them has a value.
    """
    defined_a, group_a = _defined(a, group_a)
    defined_b, group_b = _defined(b, group_b)
    draws = (_bootstrap(defined_b, group_b, n_bootstrap, seed + 1) - _bootstrap(defined_a, group_a, n_bootstrap, seed))
    shape = (min(len(a), len(b)), min(defined_a.shape[1], defined_b.shape[1]))
    mean_a, mean_b = float(defined_a.mean()), float(defined_b.mean())
    return _judge(metric, mean_a, mean_b, mean_b - mean_a, draws, shape)


def _judge(metric: str, a: float, b: float, gap: float, draws: np.ndarray, shape: tuple[int, int]) -> Difference:
    low, high = (float(value) for value in np.quantile(draws, [0.025, 0.975]))
    verdict = "better" if low > 0 else "worse" if high < 0 else "cannot tell"
    n_seeds, n_samples = shape
    settles_at = None
    if verdict == "cannot tell" and abs(gap) > 1e-9:
        reach = gap - low if gap > 0 else high - gap  # the side of the interval that crosses zero
        settles_at = math.ceil(n_samples * (reach / abs(gap)) ** 2)  # it shrinks with √n
    return Difference(metric=metric, a=a, b=b, difference=gap, low=low, high=high, verdict=verdict, n_seeds=n_seeds,
                      n_samples=n_samples, settles_at=settles_at)


def draws(values: np.ndarray, n_bootstrap: int, seed: int = 0, group: np.ndarray | None = None) -> np.ndarray:
    """The bootstrap's means behind `interval`, for what else follows from them; shape (n_bootstrap,).

    The same seed, number of seeds and groups draw the same, so draws of several values of one set of samples belong
    together. Arguments and `Raises` as `interval`.
    """
    return _bootstrap(*_defined(values, group), n_bootstrap, seed)


def compare(a: Values, b: Values, n_bootstrap: int, group: np.ndarray | None = None) -> list[Difference]:
    """Paired differences on every metric both spaces have, in the order of `METRICS`."""
    return [difference(metric, a[metric], b[metric], n_bootstrap, group=group) for metric in METRICS
            if metric in a and metric in b]


def sentence(result: Difference, name_a: str, name_b: str, confounders: tuple[str, ...] = (), warning: str = "") -> str:
    """What a difference allows one to say, in one sentence with its interval; unfairness and leaks first."""
    title = METRICS[result.metric].title
    seeds = _seeds(result)
    low, high = 100 * result.low, 100 * result.high
    if result.verdict == "cannot tell":
        text = (f"cannot tell {name_b} from {name_a} on {title}: {100 * result.b:.1f} against {100 * result.a:.1f} "
                f"(difference 95 % {low:+.1f} to {high:+.1f}; {seeds})")
        if result.settles_at is not None and result.settles_at <= 100 * result.n_samples:
            text += f"; about {_round_up(result.settles_at):,} test images would settle a gap this large"
    else:
        sign = 1 if result.verdict == "better" else -1
        low, high = sorted((sign * low, sign * high))
        text = (f"{name_b} is {result.verdict} than {name_a} on {title} by {abs(100 * result.difference):.1f} points "
                f"(95 % {low:.1f} to {high:.1f}; {seeds})")
    unfair = unfair_words(confounders)
    text = "; ".join(part for part in (warning, unfair, text) if part)
    return first_up(text)


def unfair_words(confounders: tuple[str, ...]) -> str:
    """That a comparison is not fair and why, in words; nothing for a fair one."""
    verb = "differs" if len(confounders) == 1 else "differ"
    return f"not a fair comparison: {', '.join(confounders)} {verb}" if confounders else ""


def first_up(text: str) -> str:
    """A sentence's first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def worth_sentence(result: Difference, leak: str, name: str) -> str:
    """What a leak is worth, in one sentence: A is the clean arm, B the same arm with the leak."""
    title = METRICS[result.metric].title
    low, high = 100 * result.low, 100 * result.high
    if result.verdict == "cannot tell":
        text = (f"cannot tell what {leak} is worth to {name} on {title}: {100 * result.b:.1f} with it against "
                f"{100 * result.a:.1f} without (difference 95 % {low:+.1f} to {high:+.1f}; {_seeds(result)})")
    else:
        text = (f"{leak} is worth {100 * result.difference:+.1f} points of {title} to {name} "
                f"(95 % {low:+.1f} to {high:+.1f}; {_seeds(result)})")
    return first_up(text)


def _seeds(result: Difference) -> str:
    return f"{result.n_seeds} {'seed' if result.n_seeds == 1 else 'seeds'}, {result.n_samples:,} test images"


def _defined(values: np.ndarray, group: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The samples that have a value, and for each the number of its group."""
    keep = ~np.isnan(values).any(axis=0)
    if not keep.any():
        raise ValueError("a metric must be defined for at least one sample, got none (classes of one test image?)")
    names = np.arange(keep.sum()) if group is None else group[keep].astype(str)
    return values[:, keep], np.unique(names, return_inverse=True)[1]


def _bootstrap(values: np.ndarray, group: np.ndarray, n_bootstrap: int, seed: int) -> np.ndarray:
    """Means of draws with replacement: seeds first, then whole groups of samples, the same in every seed; (draws,)."""
    generator = np.random.default_rng([seed, 4])
    n_seeds, n_groups = len(values), int(group.max()) + 1
    size = np.bincount(group)
    total = np.stack([np.bincount(group, weights=row) for row in values])
    means = np.empty(n_bootstrap)
    for start in range(0, n_bootstrap, _CHUNK):
        count = min(_CHUNK, n_bootstrap - start)
        drawn_seeds = generator.integers(n_seeds, size=(count, n_seeds))
        drawn_groups = generator.integers(n_groups, size=(count, n_groups))
        over_seeds = total[drawn_seeds].mean(axis=1) if n_seeds > 1 else np.broadcast_to(total, (count, n_groups))
        sums = np.take_along_axis(over_seeds, drawn_groups, axis=1).sum(axis=1)
        means[start:start + count] = sums / size[drawn_groups].sum(axis=1)
    return means


def _round_up(count: int) -> int:
    digits = 10 ** max(0, len(str(count)) - 2)
    return -(-count // digits) * digits
