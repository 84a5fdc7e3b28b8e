"""One question asked of several experiments: what each answers on its own dataset, or why it does not count.

The difference, interval and p-value of an answer are those of the experiment's own verdict. What the answers come to together
is `core.results.conclusion`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.analysis import fairness, statements
from core.analysis.comparison import Difference
from core.analysis.fairness import SettingDifference
from core.analysis.low_data import Count
from core.analysis.metrics import HEADLINE, METRICS
from core.config import ExperimentConfig, arm_label, arm_title
from core.config.objectives import Objective, is_drawn
from core.errors import Damaged, InputError
from core.experiments.handles import Experiment
from core.files import Json
from core.results import pairs, protocol, verdict
from core.wording import failure

_OF_THE_METRIC = ("evaluation.normalize", "evaluation.flip")  # what changes MAP@R itself; the rest of evaluation does not


@dataclass(frozen=True)
class Finding:
    """What one dataset says.

    Attributes:
        experiment: the name under which it counts.
        dataset: fingerprint of its images.
        images_per_class: of the arms that were compared.
        difference: B − A on the headline's metric, as the experiment's own verdict has it.
    """

    experiment: str
    dataset: str
    images_per_class: Count
    difference: Difference


@dataclass(frozen=True)
class LeftOut:
    """An experiment that does not count, and why in words that follow its name."""

    experiment: str
    why: str


@dataclass(frozen=True)
class Answers:
    """What several experiments answer to one question.

    Attributes:
        name_a, name_b: what the arms A and B are called in a sentence.
        findings: a dataset each, in the order in which their experiments were named; two or more.
        left_out: experiments that do not count.
        notes: what differs between the experiments beside their datasets, and images that these share, a sentence each.
        shared: images that datasets share, a sentence each; those of `notes`.
    """

    name_a: str
    name_b: str
    findings: tuple[Finding, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    shared: tuple[str, ...]


class _Question(NamedTuple):
    """The arms that are asked about, and the experiment that asked first."""

    a: Objective
    b: Objective
    experiment: str
    config: ExperimentConfig


class _Answered(NamedTuple):
    """A finding, and what is needed to compare its experiment with the others."""

    finding: Finding
    images: frozenset[str]  # SHA-256 of each
    settings: Json


def ask(experiments: Sequence[Experiment], arms: tuple[str, str] | None = None,
        images_per_class: Count | None = None) -> Answers:
    """What each of several experiments answers, on the headline's metric.

    One dataset counts once: of two experiments that share half of the smaller one's images or more, the first that is named
    counts. An experiment is left out, with its reason, if it is damaged or not finished, does not
    compare the same two objectives with the same parameters, is not a fair comparison, or measures the metric otherwise.

    Args:
        experiments: in the order in which they count; the first that can be read asks the question.
        arms: labels of A and B in the first; None for those of its own verdict.
        images_per_class: of the arms; None for the most that each experiment has, as its verdict.

    Raises:
        InputError: if fewer than two datasets are left, with the reasons.
    """
    question: _Question | None = None
    answered: list[_Answered] = []
    left_out: list[LeftOut] = []
    for experiment in dict.fromkeys(experiments):
        try:
            if question is None:
                question = _question(experiment, arms)
            answered.append(_ask(experiment, question, images_per_class, answered))
        except (InputError, OSError) as error:
            left_out.append(LeftOut(experiment.name, _why(experiment, error)))
    if question is None or len(answered) < 2:
        reasons = "".join(f"; {item.experiment} {item.why}" for item in left_out)
        raise InputError("a conclusion must rest on two datasets or more that answer one question, got "
                         f"{len(answered)}{reasons}")
    shared = _shared_images(answered)
    return Answers(name_a=arm_title(question.a), name_b=arm_title(question.b),
                   findings=tuple(item.finding for item in answered), left_out=tuple(left_out),
                   notes=(*_what_differs(answered), *shared), shared=tuple(shared))


def _question(experiment: Experiment, arms: tuple[str, str] | None) -> _Question:
    config = experiment.config
    objectives = {arm_label(objective): objective for objective in config.objectives}
    if arms is None:
        compared = verdict.pairs_to_compare(config)
        if not compared:
            raise InputError(f"compares no two objectives; it trains {', '.join(objectives)} alone")
        arms = compared[0]
    if arms[0] == arms[1]:
        raise InputError(f"is asked about one arm, {arms[0]!r}; A and B must differ")
    for label in arms:
        if label not in objectives:
            raise InputError(f"has no trained arm {label!r}; its trained arms are {', '.join(objectives)}")
    return _Question(objectives[arms[0]], objectives[arms[1]], experiment.name, config)


def _ask(experiment: Experiment, question: _Question, images_per_class: Count | None,
         before: Sequence[_Answered]) -> _Answered:
    """What an experiment answers; raises InputError with why it does not count, in words that follow its name."""
    config = experiment.config
    label_a, label_b = (_label(config, objective, question) for objective in (question.a, question.b))
    count = images_per_class if images_per_class is not None else config.most_images_per_class
    if count not in config.images_per_class:
        raise InputError(f"was not run at {count} images per class, but at "
                         f"{', '.join(str(item) for item in config.images_per_class)}")
    n_finished = len(pairs.common_seeds(experiment, label_a, label_b, count)[0])
    if n_finished < len(config.seeds):
        raise InputError(f"is not finished: {n_finished} of its {len(config.seeds)} seeds have both arms")
    settings = _settings(config, label_a, count)
    first = question.config
    for item in _otherwise(_settings(first, arm_label(question.a), first.most_images_per_class), settings):
        if item.field in _OF_THE_METRIC:
            raise InputError(f"measures {METRICS[HEADLINE].title} otherwise: {item.name} is {item.b}, in "
                             f"{question.experiment} {item.a}")
    manifest = experiment.manifest()
    images = frozenset(manifest.digest.tolist())
    for other in before:  # a copy of a dataset with a few images more or less has no second vote
        if 2 * len(images & other.images) >= min(len(images), len(other.images)):
            raise InputError(f"has the images of {other.finding.experiment}, which was named first; a dataset counts once")
    pair = pairs.said(experiment, verdict.read(experiment), label_a, label_b, count)
    if leaks := tuple(dict.fromkeys((*pair.leaks_a, *pair.leaks_b))):
        raise InputError(f"has {' and '.join(leaks)}: its numbers are too good")
    if pair.confounders:
        raise InputError(f"is {statements.unfair_words(pair.confounders)}")
    headline = next(item for item in pair.differences if item.metric == HEADLINE)
    return _Answered(Finding(experiment.name, manifest.fingerprint, count, headline), images, settings)


def _label(config: ExperimentConfig, wanted: Objective, question: _Question) -> str:
    """The label of the arm that is trained as wanted, whatever it is called."""
    first = _trained(question.config, wanted)
    exactly = [objective for objective in config.objectives if _trained(config, objective) == first]
    if exactly:
        return arm_label(exactly[0])
    others = [objective for objective in config.objectives if objective.name == wanted.name]
    if not others:
        trained = ", ".join(arm_title(objective) for objective in config.objectives)
        raise InputError(f"does not train {arm_title(wanted)}; it trains {trained}")
    own = _trained(config, others[0])
    what = ", ".join(f"{key.replace('_', ' ')} {own.get(key)}, in {question.experiment} {first.get(key)}"
                     for key in {**own, **first} if own.get(key) != first.get(key))
    raise InputError(f"trains another {arm_title(wanted)}: {what}")


def _trained(config: ExperimentConfig, objective: Objective) -> Json:
    """What an objective is, with the order that its batches have, without what it is called."""
    order = None if is_drawn(objective) else config.batch_of(objective, "all").order
    return {**objective.model_dump(exclude={"label"}), "order": order}


def _settings(config: ExperimentConfig, label: str, images_per_class: Count) -> Json:
    """The settings of an arm, with the objective left out, which is the question's."""
    run = next(run for run in config.runs() if arm_label(run.objective) == label and run.images_per_class == images_per_class)
    values = protocol.of_config(run, config.seeds)
    return {key: value for key, value in values.items() if key not in ("objective", "dataset", "experiment")}


def _otherwise(a: Json, b: Json) -> list[SettingDifference]:
    """The settings in which two experiments differ and that may change the metric's difference."""
    return [item for item in fairness.differences(a, b) if item.kind == "confounder" and (
        not item.field.startswith("evaluation.") or item.field in _OF_THE_METRIC)]


def _what_differs(answered: Sequence[_Answered]) -> list[str]:
    """A sentence that names the settings in which the experiments differ beside their datasets; none if they do not."""
    first, *others = answered
    differences = tuple(item for other in others for item in _otherwise(first.settings, other.settings))
    names = fairness.confounders(differences)
    return [f"The experiments differ in more than their datasets: {', '.join(names)}."] if names else []


def _shared_images(answered: Sequence[_Answered]) -> list[str]:
    """A sentence for each two datasets that have images in common."""
    return [f"{a.finding.experiment} and {b.finding.experiment} share {n:,} image{'' if n == 1 else 's'}."
            for index, a in enumerate(answered) for b in answered[index + 1:] if (n := len(a.images & b.images))]


def _why(experiment: Experiment, error: InputError | OSError) -> str:
    """Why an experiment does not count, in words that follow its name."""
    if not isinstance(error, Damaged):
        return failure(error)
    path = error.path
    inside = path.relative_to(experiment.folder) if path.is_relative_to(experiment.folder) else path
    return f"is damaged: {inside} {error.what}{f'; {error.remedy}' if error.remedy else ''}"
