"""Two spaces of the same samples: paired differences with intervals, and what they allow one to say.

Never 'better' without an interval that excludes zero.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

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
    """B against A on every metric. `n_dropped` test samples stand in one of them only and were left out."""

    name_a: str
    name_b: str
    differences: tuple[Difference, ...]
    confounders: tuple[str, ...]
    n_dropped: int
    sentence: str

    def to_json(self) -> dict:
        return {"a": self.name_a, "b": self.name_b, "sentence": self.sentence, "n_dropped": self.n_dropped,
                "confounders": list(self.confounders), "differences": [item.to_json() for item in self.differences]}


def interval(values: np.ndarray, n_bootstrap: int, seed: int = 0) -> Interval:
    """Mean over samples and seeds with a bootstrap interval over both.

    Args:
        values: shape (seeds, samples), 0 to 1, nan where undefined.
        n_bootstrap: draws.
        seed: seed of the draws.

    Raises:
        ValueError: if no sample has a value.
    """
    defined = _defined(values)
    draws = _bootstrap(defined, n_bootstrap, seed)
    low, high = np.quantile(draws, [0.025, 0.975])
    over_seeds = defined.mean(axis=1)
    sd = float(over_seeds.std(ddof=1)) if len(over_seeds) > 1 else 0.0
    return Interval(mean=float(defined.mean()), low=float(low), high=float(high), sd=sd)


def difference(metric: str, a: np.ndarray, b: np.ndarray, n_bootstrap: int, seed: int = 0) -> Difference:
    """Paired difference B − A with a hierarchical bootstrap: seeds are drawn, and samples are drawn, the same for both.

    Args:
        metric: its key in `METRICS`.
        a: values of A, shape (seeds, samples), the same samples and seeds as B's.
        b: values of B, shape (seeds, samples).
        n_bootstrap: draws.
        seed: seed of the draws.

    Raises:
        ValueError: if shapes differ or no sample has a value.
    """
    if a.shape != b.shape:
        raise ValueError(f"A and B must have the same seeds and samples, got {a.shape} and {b.shape}")
    paired = _defined(b - a)
    draws = _bootstrap(paired, n_bootstrap, seed)
    low, high = (float(value) for value in np.quantile(draws, [0.025, 0.975]))
    gap = float(paired.mean())
    verdict = "better" if low > 0 else "worse" if high < 0 else "cannot tell"
    n_seeds, n_samples = paired.shape
    settles_at = None
    if verdict == "cannot tell" and abs(gap) > 1e-9:
        settles_at = math.ceil(n_samples * ((high - low) / 2 / abs(gap)) ** 2)  # an interval shrinks with √n
    return Difference(metric=metric, a=float(np.nanmean(a)), b=float(np.nanmean(b)), difference=gap, low=low, high=high,
                      verdict=verdict, n_seeds=n_seeds, n_samples=n_samples, settles_at=settles_at)


def compare(a: Values, b: Values, n_bootstrap: int) -> list[Difference]:
    """Paired differences on every metric both spaces have, in the order of `METRICS`."""
    return [difference(metric, a[metric], b[metric], n_bootstrap) for metric in METRICS if metric in a and metric in b]


def sentence(result: Difference, name_a: str, name_b: str, confounders: tuple[str, ...] = ()) -> str:
    """What a difference allows one to say, in one sentence with its interval; unfairness first."""
    title = METRICS[result.metric].title
    seeds = f"{result.n_seeds} {'seed' if result.n_seeds == 1 else 'seeds'}, {result.n_samples:,} test images"
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
    if confounders:
        text = f"not a fair comparison: {', '.join(confounders)} differ; {text}"
    return text[0].upper() + text[1:]


def confounders(a: dict, b: dict) -> tuple[str, ...]:
    """Settings other than objective and seed in which two resolved run configs differ, as dotted names."""
    ignored = {"experiment", "objective", "seed"}
    flat_a, flat_b = _flatten(a), _flatten(b)
    return tuple(key for key in sorted(flat_a.keys() | flat_b.keys())
                 if key.partition(".")[0] not in ignored and flat_a.get(key) != flat_b.get(key))


def _flatten(values: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _defined(values: np.ndarray) -> np.ndarray:
    defined = values[:, ~np.isnan(values).any(axis=0)]
    if defined.size == 0:
        raise ValueError("a metric must be defined for at least one sample, got none (classes of one test image?)")
    return defined


def _bootstrap(values: np.ndarray, n_bootstrap: int, seed: int) -> np.ndarray:
    """Means of draws with replacement, seeds first, then samples (the same images stand in every seed); (draws,)."""
    generator = np.random.default_rng([seed, 4])
    n_seeds, n_samples = values.shape
    means = np.empty(n_bootstrap)
    for start in range(0, n_bootstrap, _CHUNK):
        count = min(_CHUNK, n_bootstrap - start)
        drawn_seeds = generator.integers(n_seeds, size=(count, n_seeds))
        drawn_samples = generator.integers(n_samples, size=(count, n_samples))
        over_seeds = values[drawn_seeds].mean(axis=1) if n_seeds > 1 else np.broadcast_to(values, (count, n_samples))
        means[start:start + count] = np.take_along_axis(over_seeds, drawn_samples, axis=1).mean(axis=1)
    return means


def _round_up(count: int) -> int:
    digits = 10 ** max(0, len(str(count)) - 2)
    return -(-count // digits) * digits
