"""One conclusion from several datasets: on how many of them, at least, one arm is better than another, and on how many worse.

Counts datasets and pools nothing: neither a difference nor a mean over datasets is taken. What each dataset answers is
`core.results.same_question`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import TypeAdapter

from core.analysis import partial_conjunction, statements
from core.analysis.metrics import HEADLINE, METRICS
from core.analysis.partial_conjunction import LEVEL, Combination
from core.analysis.spending import level_words
from core.errors import InputError
from core.files import Json
from core.results.same_question import Answers, Finding, LeftOut

HEAD = ("dataset", "A", "B", "B − A", "interval", "p", "by itself", "among all")  # of `Conclusion.rows`
HELP_OF_AMONG_ALL = "Of which datasets it can be said when all are looked at: by Holm, in each direction at 2.5 %."
NOT_COVERED = ("It counts these datasets alone, which must have been chosen before their results were seen. It says neither "
               "by how much one is better nor how often it would be on other datasets.")
_MOST_NAMED = 6  # datasets in a sentence
_ANSWERS = {"better": "B is better", "worse": "A is better"}


@dataclass(frozen=True)
class Direction:
    """One direction, 'better' or 'worse'.

    Attributes:
        count: on how many datasets it is so at least; too high in at most 2.5 % of conclusions.
        p_of_at_least: p-value of 'on fewer than u', for u = 1 to n.
        names: datasets of which it can be said by Holm; no more than `count`, the surest first.
    """

    count: int
    p_of_at_least: tuple[float, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Conclusion:
    """What several datasets allow one to say of B against A.

    Attributes:
        name_a, name_b: what A and B are called in a sentence.
        metric: of `METRICS`, on which they are compared.
        combination: how the datasets' p-values are combined: 'bonferroni' however they depend on each other, 'fisher'
            where they are independent.
        level: how often a conclusion may count too many in one direction or the other; half of it for each.
        findings: a dataset each, in the order in which they were named.
        better, worse: of B.
        left_out: experiments that do not count.
        notes: what else differs between the experiments, and images that they share, a sentence each.
        sentence: the conclusion.
    """

    name_a: str
    name_b: str
    metric: str
    combination: Combination
    level: float
    findings: tuple[Finding, ...]
    better: Direction
    worse: Direction
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    sentence: str

    def among_all(self, finding: Finding) -> Literal["better", "worse", "cannot tell"]:
        """What can be said of one dataset when all are looked at."""
        return ("better" if finding.experiment in self.better.names else
                "worse" if finding.experiment in self.worse.names else "cannot tell")

    @property
    def rows(self) -> list[list[str]]:
        """A line a dataset under `HEAD`, in the words and digits of every table."""
        lines = []
        for finding in self.findings:
            row = statements.row(finding.difference)
            p_value = finding.difference.p_over_looks
            lines.append([finding.experiment, row.a, row.b, row.difference,
                          f"{row.low} to {row.high} ({level_words(finding.difference.alpha)})",
                          "< 0.001" if p_value < 0.001 else f"{p_value:.3f}", row.answer,
                          _ANSWERS.get(self.among_all(finding), "cannot tell")])
        return lines

    @property
    def method(self) -> str:
        """How sure the sentence is, and by which method."""
        how = ("Bonferroni, so datasets may depend on each other" if self.combination == "bonferroni" else
               "Fisher, which takes the datasets as independent")
        level, half = (f"{100 * share:.3g} %" for share in (self.level, self.level / 2))
        return (f"At most {level} of such conclusions count too many datasets, {half} as better and {half} as worse (partial "
                f"conjunction, Dror et al., 2017; {how}).")


def conclude(answers: Answers, combination: Combination = "bonferroni") -> Conclusion:
    """What the answers of several datasets come to.

    Better and worse are two questions with half of `LEVEL` each. A dataset whose own verdict is 'same' counts for neither:
    its p-values are taken as 1. Of the datasets that Holm names, no more are named than are counted.

    Args:
        answers: as `same_question.ask` gives them.
        combination: 'fisher' only if the datasets are independent of each other.

    Raises:
        InputError: if datasets that share images are to be taken as independent.
    """
    if combination == "fisher" and answers.shared:
        raise InputError(f"independent datasets must share no image, got: {' '.join(answers.shared).removesuffix('.')}")
    one_sided = np.array([(1.0, 1.0) if item.difference.verdict == "same" else
                          partial_conjunction.one_sided(item.difference.p_over_looks, item.difference.difference)
                          for item in answers.findings])
    better, worse = (_direction(answers.findings, p_values, combination) for p_values in one_sided.T)
    conclusion = Conclusion(name_a=answers.name_a, name_b=answers.name_b, metric=HEADLINE, combination=combination,
                            level=LEVEL, findings=answers.findings, better=better, worse=worse, left_out=answers.left_out,
                            notes=answers.notes, sentence="")
    return replace(conclusion, sentence=_sentence(conclusion))


def to_json(conclusion: Conclusion) -> Json:
    """A conclusion as JSON, key by key in the order of its fields."""
    values: Json = TypeAdapter(Conclusion).dump_python(conclusion, mode="json")
    return values


def _direction(findings: Sequence[Finding], p_values: np.ndarray, combination: Combination) -> Direction:
    count = partial_conjunction.count(p_values, LEVEL / 2, combination)
    holds = partial_conjunction.which(p_values, LEVEL / 2)
    surest = [index for index in np.argsort(p_values, kind="stable") if holds[index]][:count]
    return Direction(count, tuple(partial_conjunction.p_of_at_least(p_values, combination).tolist()),
                     tuple(findings[index].experiment for index in surest))


def _sentence(conclusion: Conclusion) -> str:
    a, b, better, worse = conclusion.name_a, conclusion.name_b, conclusion.better, conclusion.worse
    n, title = len(conclusion.findings), METRICS[conclusion.metric].title
    if better.count:
        text = f"{b} is better than {a} on at least {better.count} of {n} datasets by {title}{_named(better)}"
        if worse.count:
            text += f" and worse on at least {worse.count}{_named(worse)}"
    elif worse.count:
        text = f"{b} is worse than {a} on at least {worse.count} of {n} datasets by {title}{_named(worse)}"
    else:
        text = f"cannot tell {b} from {a} on any of {n} datasets by {title}"
    same = [item.experiment for item in conclusion.findings if item.difference.verdict == "same"]
    if same:
        own = "its own interval" if len(same) == 1 else "their own intervals"
        text += f"; by {own} the same within the margin on {_list(same)}"
    alone = [item.experiment for item in conclusion.findings if item.difference.n_seeds == 1]
    if alone:
        text += f"; another seed may well say otherwise{'' if len(alone) == n else f' on {_list(alone)}'}"
    return statements.first_up(text)


def _named(direction: Direction) -> str:
    """Which datasets, behind how many; by Fisher there can be more than can be named."""
    if not direction.names:
        return " (which ones cannot be told)"
    among = "" if len(direction.names) == direction.count else "among them "
    return f" ({among}{_list(direction.names)})"


def _list(names: Sequence[str]) -> str:
    """Names as a sentence lists them; of many the first, and how many more."""
    shown = names if len(names) <= _MOST_NAMED else names[:_MOST_NAMED - 1]
    if len(names) > len(shown):
        return f"{', '.join(shown)} and {len(names) - len(shown)} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
