"""What the thresholds of two arms allow one to say: same or not, known or unknown. For looking: the verdict is MAP@R's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from core import config as configuration
from core.analysis import spending
from core.analysis import table as tables
from core.analysis.comparison import Interval
from core.analysis.novelty import KNOWN_ACCEPTED
from core.analysis.resampling import bootstrap
from core.analysis.roc import CURVE as CURVE
from core.analysis.spending import ALPHA, level_words
from core.analysis.statements import first_up
from core.errors import InputError
from core.experiments.handles import Run
from core.results import pairs, thresholds, verdict
from core.results.repeated import AnyScores, Repeated
from core.results.thresholds import KnownOrUnknown, SameOrNot, Thresholds

SEVERAL_SPLITS = ("thresholds must be of one split: on several (split.repeats) each seed has validation images of its own; "
                  "compare runs of one seed")
NOT_ASKED = "For orientation only: the verdict rests on MAP@R"
NO_UNKNOWN_VALIDATION = "No threshold can be chosen for a wanted share of unknown images, as validation has none"
NO_HELD_OUT = "Known or unknown is not measured: no class is held out (split.held_out_classes)"
TITLES = {
    "true_accept": "pairs of one class accepted", "false_accept": "pairs of different classes accepted",
    "auroc": "AUROC of pairs",
    "known_accept": "known images accepted", "unknown_accept": "unknown images accepted",
    "known_auroc": "AUROC of known images"}


@dataclass(frozen=True)
class Arm:
    """An arm's thresholds over its seeds.

    Attributes:
        name: what to call it.
        false_accept: share of validation pairs of different classes that was aimed at, 0 to 1.
        same_or_not, known_or_unknown: of each seed; of the second None where no class is held out.
        rates: name of `TITLES` -> mean and 95 % interval at these thresholds, of test images; those that are defined.
        curve: mean true-accept rate at each of the false-accept rates of `roc.CURVE`; empty if undefined.
    """

    name: str
    false_accept: float
    same_or_not: tuple[SameOrNot, ...]
    known_or_unknown: tuple[KnownOrUnknown, ...]
    rates: dict[str, Interval]
    curve: tuple[float, ...]

    @property
    def why_not(self) -> str:
        """Why there is no threshold for pairs, in words; else empty."""
        return next((item.why_not for item in self.same_or_not if item.why_not), "")


@dataclass(frozen=True)
class Compared:
    """Two arms' thresholds.

    Attributes:
        a, b: the arms.
        differences: rate -> B − A with its interval; of `TITLES`, those that both have.
        why_no_difference: why there are none, in words; else empty.
        alpha: how often their intervals may miss.
        warning: which arms leak, in words; else empty.
    """

    a: Arm
    b: Arm
    differences: dict[str, Interval] = field(default_factory=dict)
    why_no_difference: str = ""
    alpha: float = ALPHA
    warning: str = ""


def arm(name: str, spaces: Sequence[Thresholds], n_bootstrap: int) -> Arm:
    """An arm's thresholds from those of its seeds.

    Raises:
        InputError: if the seeds were not tested on the same images.
    """
    for other in spaces[1:]:
        if not np.array_equal(other.sample_id, spaces[0].sample_id):
            raise InputError(f"seeds must be tested on the same images to share thresholds, got others among those of {name}")
    return Arm(name, spaces[0].false_accept, tuple(space.same_or_not for space in spaces),
               tuple(space.known_or_unknown for space in spaces if space.known_or_unknown),
               thresholds.rate_intervals(list(spaces), n_bootstrap),
               tuple(np.mean([space.same_or_not.curve for space in spaces], axis=0).tolist()))


def compare(name_a: str, a: Sequence[Thresholds], name_b: str, b: Sequence[Thresholds], n_bootstrap: int,
            look: int = 1) -> Compared:
    """Two arms, a space a seed, and the paired differences of their rates.

    The difference of true-accept rates is over seeds, test images and validation images, which are drawn too, as they chose
    the thresholds; that of the other rates is over seeds and test images.

    Args:
        name_a, name_b: what to call them.
        a, b: their spaces.
        n_bootstrap: draws.
        look: which look their comparison is at, 1 for the planned one; later ones have wider intervals.

    Raises:
        InputError: as `arm`.
    """
    why, alpha = _why_no_difference(a, b), spending.alpha(look)
    n_draws = spending.enough(n_bootstrap, look)
    differences = {} if why else {name: _difference(name, a, b, n_draws, alpha)
                                  for name in TITLES if all(name in space.rates for space in (*a, *b))}
    return Compared(arm(name_a, a, n_bootstrap), arm(name_b, b, n_bootstrap), differences, why, alpha)


def find(root: Path, name_a: str, name_b: str) -> Compared:
    """The thresholds of two names of the command line.

    Args:
        root: folder of experiments.
        name_a, name_b: as `pairs.find` takes them.

    Raises:
        NotFound, InputError: as `pairs.find` and `arm`.
    """
    a, b = pairs.find(root, name_a, name_b)
    look = pairs.look(root, (name_a, name_b), len(a.files))
    compared = compare(a.name, _spaces(a), b.name, _spaces(b), verdict.draws(a, b)[0], look.number)
    leaks_a, leaks_b = (configuration.parse_run(side.config).leaks for side in (a, b))
    return replace(compared, warning=verdict.leak_warning(a.name, leaks_a, b.name, leaks_b))


def _spaces(scores: AnyScores) -> list[Thresholds]:
    """Those of runs as they are kept, those of other files made now.

    Raises:
        InputError: of an arm on several splits, whose seeds have validation images of their own.
    """
    if isinstance(scores, Repeated):
        raise InputError(SEVERAL_SPLITS)
    runs = [(path, Run(path.parent)) for path in scores.files]
    return [thresholds.read(run) if run.scores_file.is_file() else thresholds.make(tables.read(path)) for path, run in runs]


def _why_no_difference(a: Sequence[Thresholds], b: Sequence[Thresholds]) -> str:
    first, second = a[0], b[0]
    if len(a) != len(b):
        return f"A has {len(a)} seeds and B {len(b)}"
    if first.false_accept != second.false_accept:
        return f"A's thresholds are for {_percent(first.false_accept)} and B's for {_percent(second.false_accept)}"
    if not all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ("sample_id", "split", "group")):
        return "A and B have different validation or test images, or group them differently"
    return ""


def _difference(rate: str, a: Sequence[Thresholds], b: Sequence[Thresholds], n_draws: int, alpha: float) -> Interval:
    (of_a, group), (of_b, _) = (thresholds.column(list(side), rate, has_choice=rate == "true_accept") for side in (a, b))
    drawn = bootstrap([of_b - of_a], n_draws, 0, group, arms=[(of_a, of_b)], alpha=alpha)
    low, high = np.clip([drawn.low[0], drawn.high[0]], -1, 1)
    gaps = (of_b - of_a).mean(axis=1)
    return Interval(float(drawn.mean[0]), float(low), float(high), float(gaps.std(ddof=1)) if len(gaps) > 1 else 0.0)


def pair_sentences(compared: Compared) -> list[str]:
    """What the thresholds of both arms do with pairs of test images, a sentence each, and the difference."""
    said = [*filter(None, [first_up(compared.warning)]), *(_of_pairs(item) for item in (compared.a, compared.b))]
    if (gap := compared.differences.get("true_accept")) is not None:
        more, low, high = (f"{100 * value:+z.1f}" for value in (gap.mean, gap.low, gap.high))
        said.append(f"On test pairs of one class B accepts {more} points more than A ({level_words(compared.alpha)} {low} to "
                    f"{high}, the choice of the thresholds included)")
    elif compared.why_no_difference:
        said.append(f"No difference is given: {compared.why_no_difference}")
    return said


def unknown_sentences(compared: Compared) -> list[str]:
    """What both arms take for known and unknown, a sentence each; why none can be told where no class is held out."""
    said = [_of_images(item) for item in (compared.a, compared.b) if item.known_or_unknown]
    return [*said, NO_UNKNOWN_VALIDATION] if said else [NO_HELD_OUT]


def rows(compared: Compared) -> list[list[str]]:
    """The table under `head`: a row for the thresholds and for each rate."""
    lines = [["threshold (cosine)", *(_thresholds([item.threshold for item in side.same_or_not])
                                      for side in (compared.a, compared.b)), "–"]]
    for name, title in TITLES.items():
        cells = [_cell(side.rates[name]) if name in side.rates else "–" for side in (compared.a, compared.b)]
        gap = compared.differences.get(name)
        if cells != ["–", "–"]:
            lines.append([title, *cells, "–" if gap is None else
                          f"{100 * gap.mean:+z.1f}  [{100 * gap.low:+z.1f}, {100 * gap.high:+z.1f}]"])
        if name == "auroc" and cells != ["–", "–"]:
            lines.append(["equal error rate", *(_equal_error(side) for side in (compared.a, compared.b)), "–"])
    return lines


def head(compared: Compared) -> list[str]:
    """What stands above `rows`."""
    return ["percent", "A", "B", f"B − A, {level_words(compared.alpha)} interval"]


def _of_pairs(side: Arm) -> str:
    if side.why_not:
        return f"{side.name} has no threshold for pairs: {side.why_not}"
    values = [item.threshold for item in side.same_or_not]
    return (f"{side.name} accepts {_share(side.rates['true_accept'])} of test pairs of one class and "
            f"{_share(side.rates['false_accept'])} of test pairs of different classes, at {_thresholds_words(values)}, chosen "
            f"on validation to accept {_percent(side.false_accept)} of pairs of different classes")


def _of_images(side: Arm) -> str:
    single = side.known_or_unknown[0]
    of_area = f"its AUROC is {_share(side.rates['known_auroc'])}"
    if single.threshold is None:
        return f"{side.name} has no threshold for unknown images, as there are no validation images; {of_area}"
    values = [item.threshold for item in side.known_or_unknown]
    return (f"{side.name} takes {_share(side.rates['known_accept'])} of test images for known, and "
            f"{_share(side.rates['unknown_accept'])} of the images of {single.n_classes} held-out "
            f"class{'' if single.n_classes == 1 else 'es'}, at {_thresholds_words(values)} on the cosine to the nearest "
            f"training image, chosen to accept {_percent(KNOWN_ACCEPTED)} of validation images; {of_area}")


def _thresholds_words(values: Sequence[float | None]) -> str:
    if len(values) == 1:
        return f"a threshold of {_thresholds(values)}"
    several = _thresholds(values)
    return f"thresholds of {several} (one per seed)" if " to " in several else f"a threshold of {several} in each seed"


def _thresholds(values: Sequence[float | None]) -> str:
    """The thresholds of all seeds, from the lowest on; a dash where a seed has none."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return "–"
    low, high = (_cosine(value, max(known)) for value in (min(known), max(known)))
    return low if low == high else f"{low} to {high}"


def _cosine(value: float, highest: float) -> str:
    """A cosine with as many decimals as two digits of the highest one's distance to 1 take, at least two."""
    decimals = 2 if highest >= 1 else min(6, max(2, 1 + math.ceil(-math.log10(1 - highest))))
    return f"{value:.{decimals}f}"


def _share(item: Interval) -> str:
    """A rate with its interval: '62.0 % (55.1 to 68.4)'."""
    decimals = _decimals(item.mean)
    return f"{100 * item.mean:.{decimals}f} % ({100 * item.low:.{decimals}f} to {100 * item.high:.{decimals}f})"


def _cell(item: Interval) -> str:
    decimals = _decimals(item.mean)
    return f"{100 * item.mean:.{decimals}f} [{100 * item.low:.{decimals}f}, {100 * item.high:.{decimals}f}]"


def _decimals(share: float) -> int:
    return 2 if share < 0.01 else 1


def _equal_error(side: Arm) -> str:
    values = [item.equal_error for item in side.same_or_not if item.equal_error is not None]
    return f"{100 * sum(values) / len(values):.1f}" if values else "–"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
