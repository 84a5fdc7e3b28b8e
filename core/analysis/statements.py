"""What a difference allows one to say: in a sentence, and in a row of a table, in the same words and digits everywhere."""

from dataclasses import astuple, dataclass

from core.analysis import macro
from core.analysis.comparison import Comparison, Difference
from core.analysis.metrics import HEADLINE, METRICS
from core.analysis.spending import level_words
from core.quantities import percent

HEAD = ("metric", "A", "B", "B − A", "95 % interval", "P(B > A)", "can we tell?")  # of `Row.cells` at the planned look
HEAD_OF_OUTPERFORMS = HEAD[5]  # of `Row.outperforms`
HELP_OF_OUTPERFORMS = ("How often one more run of B, with a seed of its own, would beat one more run of A, in percent with "
                       "its 95 % interval. Needs two seeds of each.")


def head(alpha: float) -> tuple[str, ...]:
    """What stands above `Row.cells` of differences whose intervals miss with probability alpha."""
    return *HEAD[:4], f"{level_words(alpha)} interval", *HEAD[5:]


def head_of_gap(alpha: float) -> str:
    """What stands above `Row.gap`."""
    return ", ".join(head(alpha)[3:5])


@dataclass(frozen=True)
class Row:
    """A difference as every table shows it: percent with one decimal, means with their sd over seeds, how often one more run
    of B beats one more of A, and whether one can tell."""

    title: str
    a: str
    b: str
    difference: str
    low: str
    high: str
    outperforms: str
    answer: str

    @property
    def gap(self) -> str:
        """The difference with its interval, for a table that gives both one column."""
        return f"{self.difference}  [{self.low}, {self.high}]"

    @property
    def cells(self) -> list[str]:
        """The row under `HEAD`."""
        return [self.title, self.a, self.b, self.difference, f"{self.low} to {self.high}", self.outperforms, self.answer]


def row(result: Difference) -> Row:
    """A difference in the words and digits of every table: on a screen, on the command line and in a report.

    An interval that would decide and 'cannot tell' stand side by side where Holm's correction is not met, or where the gap may
    be that of the chance levels: the row says so.

    Args:
        result: of `METRICS`.
    """
    answer = {"better": "B is better", "worse": "A is better", "same": f"same within {margin_words(result)}",
              "": "no verdict yet"}.get(result.verdict, "cannot tell")
    margin = result.equivalence.margin if result.equivalence else 0.0
    is_overruled = result.low > 0 or result.high < 0 or (-margin < result.low and result.high < margin)
    if result.verdict == "cannot tell" and is_overruled:
        answer = "cannot tell: within what chance levels explain" if result.may_be_chance else "cannot tell: not after Holm"
    gap, low, high = (f"{100 * value:+z.1f}" for value in (result.difference, result.low, result.high))
    a, b = (percent(mean, sd, result.n_seeds) for mean, sd in ((result.a, result.sd_a), (result.b, result.sd_b)))
    return Row(METRICS[result.metric].title, a, b, gap, low, high, _outperforms(result), answer)


def _outperforms(result: Difference) -> str:
    """How often one more run of B beats one more of A, in percent with its interval; '–' with one seed."""
    if result.outperforming is None:
        return "–"
    probability, low, high = (f"{100 * value:.0f}" for value in astuple(result.outperforming))
    return f"{probability} [{low}, {high}]"


def sentence(result: Difference, name_a: str, name_b: str, confounders: tuple[str, ...] = (), warning: str = "") -> str:
    """What a difference allows one to say, in one sentence with its interval; unfairness and leaks first."""
    title = METRICS[result.metric].title
    seeds, scope = _seeds(result), _scope(result)
    low, high, level = 100 * result.low, 100 * result.high, level_words(result.alpha)
    if result.verdict == "cannot tell":
        text = (f"cannot tell {name_b} from {name_a} on {title}: {100 * result.b:.1f} against {100 * result.a:.1f} "
                f"(difference {level} {low:+z.1f} to {high:+z.1f}; {seeds}){scope}")
        if result.may_be_chance:
            text += "; the chance levels of the two spaces may explain the gap"
        elif result.settles_at is not None and result.settles_at <= 100 * result.n_samples:
            text += f"; about {_round_up(result.settles_at):,} test images would settle a gap this large"
        elif result.seeds_decide:
            text += (f"; more seeds{' and splits' if result.n_splits > 1 else ''} would be needed to settle a gap this large")
    elif result.verdict == "same":
        text = (f"{name_b} and {name_a} are the same within {margin_words(result)} on {title}: {100 * result.b:.1f} against "
                f"{100 * result.a:.1f} (difference {level} {low:+z.1f} to {high:+z.1f}; {seeds}){scope}{_of_one_seed(result)}")
    else:
        sign = 1 if result.verdict == "better" else -1
        low, high = sorted((sign * low, sign * high))
        text = (f"{name_b} is {result.verdict} than {name_a} on {title} by {abs(100 * result.difference):.1f} points "
                f"({level} {low:.1f} to {high:.1f}; {seeds}){scope}{_of_one_seed(result)}")
    return _with_caveats(text, confounders, warning)


def interim_sentence(result: Difference, name_a: str, name_b: str, n_awaited: int, confounders: tuple[str, ...] = (),
                     warning: str = "") -> str:
    """That no verdict is given yet, as planned seeds are unfinished, with the means so far; unfairness and leaks first."""
    title = METRICS[result.metric].title
    return _with_caveats(f"no verdict yet: {result.n_seeds} of {n_awaited} planned seeds "
                         f"{'has' if result.n_seeds == 1 else 'have'} finished ({title} so far: {name_b} "
                         f"{100 * result.b:.1f}, {name_a} {100 * result.a:.1f})", confounders, warning)


def _with_caveats(text: str, confounders: tuple[str, ...], warning: str) -> str:
    return first_up("; ".join(part for part in (warning, unfair_words(confounders), text) if part))


def macro_sentence(compared: Comparison) -> str:
    """What the headline's macro average says, in one sentence; empty where it is that of the images in A and in B but for less
    than `macro.LEAST_TOLD`."""
    of_classes, of_images = (next((item for item in items if item.metric == HEADLINE), None)
                             for items in (compared.macro, compared.differences))
    if of_classes is None or of_images is None or max(
            abs(of_classes.a - of_images.a), abs(of_classes.b - of_images.b)) < macro.LEAST_TOLD:
        return ""
    told = row(of_classes)
    return (f"With each class counted alike (macro), {told.title} is {told.a} for A and {told.b} for B, B − A {told.gap}: "
            f"{told.answer}")


def unfair_words(confounders: tuple[str, ...]) -> str:
    """That a comparison is not fair and why, in words; nothing for a fair one."""
    verb = "differs" if len(confounders) == 1 else "differ"
    return f"not a fair comparison: {', '.join(confounders)} {verb}" if confounders else ""


def first_up(text: str) -> str:
    """A sentence with its first letter in upper case; `str.capitalize` would change the others."""
    return text[:1].upper() + text[1:]


def worth_sentence(result: Difference, leak: str, name: str) -> str:
    """What a leak is worth, in one sentence: A is the clean arm, B the same arm with the leak."""
    title = METRICS[result.metric].title
    low, high, level = 100 * result.low, 100 * result.high, level_words(result.alpha)
    if result.verdict == "cannot tell":
        text = (f"cannot tell what {leak} is worth to {name} on {title}: {100 * result.b:.1f} with it against "
                f"{100 * result.a:.1f} without (difference {level} {low:+z.1f} to {high:+z.1f}; {_seeds(result)})"
                f"{_scope(result)}")
    elif result.verdict == "same":
        text = (f"{leak} is worth less than {margin_words(result)} of {title} to {name} "
                f"(difference {level} {low:+z.1f} to {high:+z.1f}; {_seeds(result)}){_scope(result)}{_of_one_seed(result)}")
    else:
        text = (f"{leak} is worth {100 * result.difference:+z.1f} points of {title} to {name} "
                f"({level} {low:+z.1f} to {high:+z.1f}; {_seeds(result)}){_scope(result)}{_of_one_seed(result)}")
    return first_up(text)


def training_sentence(result: Difference, frozen: str, trained: str, n_frozen: int, n_trained: int) -> str:
    """Whether training pays, in one sentence: A is the best encoder that is not trained, B the best arm that is.

    Args:
        result: B against A.
        frozen, trained: their names.
        n_frozen, n_trained: how many each was chosen from, on validation.
    """
    title, scope = METRICS[result.metric].title, _scope(result) + _of_one_seed(result)
    level, sign = level_words(result.alpha), -1 if result.verdict == "worse" else 1
    low, high = sorted((100 * sign * result.low, 100 * sign * result.high))
    gap = f"by {100 * sign * result.difference:.1f} points ({level} {low:.1f} to {high:.1f}; {_seeds(result)})"
    signed = f"(difference {level} {low:+z.1f} to {high:+z.1f}; {_seeds(result)})"
    several = [f"{n} {kind}" for n, kind in ((n_trained, "trained"), (n_frozen, "frozen")) if n > 1]
    chosen = f"; chosen on validation, as the best of {' and of '.join(several)} arms" if several else ""
    text = {
        "better": f"Training pays: {trained} is better than {frozen} on {title} {gap}",
        "worse": f"Training does not pay: {trained} is worse than {frozen} on {title} {gap}",
        "same": f"Training does not pay: {trained} and {frozen} are the same within {margin_words(result)} on {title} "
                f"{signed}",
        "cannot tell": f"Cannot tell whether training pays: {trained} has {100 * result.b:.1f} on {title} and {frozen} "
                       f"{100 * result.a:.1f} {signed}",
    }[result.verdict]
    return f"{text}{scope}{chosen}"


def _seeds(result: Difference) -> str:
    seeds = "seed" if result.n_seeds == 1 else "seeds"
    images = "image" if result.n_samples == 1 else "images"
    splits = f" on {result.n_splits} splits" if result.n_splits > 1 else ""
    return f"{result.n_seeds} {seeds}{splits}, {result.n_samples:,} test {images}"


def _scope(result: Difference) -> str:
    """Over what a difference holds."""
    return f", for {'images like these' if result.n_splits > 1 else 'this split'}"


def margin_words(result: Difference) -> str:
    """The margin of a difference that was judged by one: '1 point'."""
    points = f"{100 * result.equivalence.margin:.3g}" if result.equivalence else "0"
    return f"{points} point{'' if points == '1' else 's'}"


def _of_one_seed(result: Difference) -> str:
    """A caveat where there is one seed: the interval then covers images alone, so two seeds of one objective mostly differ."""
    return "; another seed may well say otherwise" if result.n_seeds == 1 else ""


def _round_up(count: int) -> int:
    digits = 10 ** max(0, len(str(count)) - 2)
    return -(-count // digits) * digits
