"""Looks: how many verdicts were given on the same question, and whether so many finished seeds make one.

A look is a verdict that someone could have read. An experiment plans its seeds when it is made, and the planned look is the
one at which they have finished; each time seeds are added there is one look more. In between no verdict is given. Verdicts of
earlier experiments that differ in their seeds alone are looks too. Both stand in `experiment.json`: additions in one write
with the seeds that they add, so that a crash neither hides nor invents one; earlier experiments from the beginning, so that to
delete them later hides none. What intervals make of it is `core.analysis.spending`'s.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from core import files
from core.analysis import spending
from core.config import ExperimentConfig
from core.errors import Damaged
from core.experiments.handles import ADDED_SEEDS, DELETE, EARLIER_LOOKS, Experiment
from core.files import Json

_ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth")
_QUESTION = ("split", "encoder", "objectives", "images_per_class", "budget", "training", "tuning")  # of a config


@dataclass(frozen=True)
class Look:
    """Where a comparison of so many seeds stands.

    Attributes:
        number: of the look that it is, 1 for the planned one of a new question; of the next, while seeds are awaited.
        n_awaited: seeds of each arm that must have finished for the next verdict; 0 at a look.
        reason: why it is not the first, in words; empty if it is.
    """

    number: int = 1
    n_awaited: int = 0
    reason: str = ""

    @property
    def is_interim(self) -> bool:
        """Whether planned seeds are unfinished, so that no verdict is given."""
        return self.n_awaited > 0

    @property
    def alpha(self) -> float:
        """How often its intervals may miss."""
        return spending.alpha(self.number)

    @property
    def note(self) -> str:
        """What it does to the intervals, in one sentence; empty for the first."""
        if self.number == 1:
            return ""
        ordinal = f"{_ORDINALS[self.number - 1]} look" if self.number <= len(_ORDINALS) else f"Look {self.number}"
        times = "twice" if self.number == 2 else f"{self.number} times"
        levels = [spending.level_words(alpha) for alpha in (self.alpha, spending.ALPHA)]
        return (f"{ordinal}: {self.reason}, so intervals hold in {levels[0]} of cases, not {levels[1]}, to make up for "
                f"looking {times}")


PLANNED = Look()


def of(experiment: Experiment, n_seeds: int) -> Look:
    """Where a comparison of an experiment's arms stands that both have finished so many seeds.

    Raises:
        Damaged: if what `experiment.json` says of looks cannot be used.
    """
    totals = _totals(experiment)
    n_reached = sum(total <= n_seeds for total in totals)
    is_look = n_reached > 0 and totals[n_reached - 1] == n_seeds
    if is_look or n_reached == len(totals):
        return _look(experiment, n_reached)
    return _look(experiment, n_reached + 1, totals[n_reached])


def upcoming(experiment: Experiment) -> Look:
    """The look that seeds would make if they were added now.

    Raises:
        Damaged: as `of`.
    """
    return _look(experiment, len(_totals(experiment)) + 1)


def of_plan(config: ExperimentConfig, fingerprint: str, experiments: Iterable[Experiment]) -> Look:
    """The look that a new experiment would be; the arguments as of `earlier`."""
    before = earlier(config, fingerprint, experiments)
    return Look(len(before) + 1, reason=_asked_before([each["experiment"] for each in before]))


def write_added(experiment: Experiment, config: ExperimentConfig, seeds: tuple[int, ...]) -> None:
    """Replaces an experiment's config by one with more seeds, and counts the look that they make.

    Args:
        experiment: which one.
        config: its config with the added seeds behind the others.
        seeds: those that are added.
    """
    values = files.read_json(experiment.description_file)
    additions = [*values.get(ADDED_SEEDS, []), {"seeds": list(seeds), "at": time.time()}]
    files.write_json(experiment.description_file, {**values, "config": config.to_json(), ADDED_SEEDS: additions})


def earlier(config: ExperimentConfig, fingerprint: str, experiments: Iterable[Experiment]) -> list[Json]:
    """The looks that other experiments have had at a new experiment's question, for its `experiment.json`.

    They ask the same where all settings that training and test images hang on are the same but for the seeds, and so are the
    images. The same seeds once more give the same numbers, and are no other look.

    Args:
        config: of the new experiment.
        fingerprint: of its samples.
        experiments: those that exist.
    """
    known = [set(config.seeds)]
    found = []
    for experiment in experiments:
        try:
            if not _asks_the_same(experiment.config, config):  # first: a config that has not changed is not read again
                continue
            if experiment.description.get("fingerprint") != fingerprint or not _has_verdict(experiment):
                continue
            seeds = experiment.config.seeds
            for total in _totals(experiment):
                if set(seeds[:total]) not in known:
                    known.append(set(seeds[:total]))
                    found.append({"experiment": experiment.name, "seeds": list(seeds[:total])})
        except (Damaged, FileNotFoundError, AttributeError):
            continue  # what cannot be read shows no verdict either
    return found


def _asks_the_same(a: ExperimentConfig, b: ExperimentConfig) -> bool:
    return all(getattr(a, key) == getattr(b, key) for key in _QUESTION)


def _has_verdict(experiment: Experiment) -> bool:
    """Whether an experiment has, or had before seeds were added, more written down than that no verdict is given yet."""
    if experiment.description.get(ADDED_SEEDS):
        return True
    return any(difference.get("verdict") for pair in experiment.verdict_json["comparisons"]
               for difference in pair.get("differences", []))


def _look(experiment: Experiment, number: int, n_awaited: int = 0) -> Look:
    """The look of a number among the experiment's own, behind those of earlier experiments."""
    before = experiment.description.get(EARLIER_LOOKS, [])
    try:
        names = [str(each["experiment"]) for each in before]
    except (KeyError, TypeError):
        raise Damaged(experiment.description_file, f"must name an experiment in each of {EARLIER_LOOKS}", DELETE) from None
    reasons = [_asked_before(names)] if names else []
    if number > 1:
        reasons.append("seeds were added to those planned")
    return Look(len(before) + number, n_awaited, ", and ".join(reasons))


def _asked_before(names: list[str]) -> str:
    return f"{' and '.join(dict.fromkeys(names))} asked the same before with other seeds" if names else ""


def _totals(experiment: Experiment) -> list[int]:
    """How many seeds of each arm must have finished at each look, the planned one first; rising."""
    seeds, added = experiment.config.seeds, _added(experiment)
    totals = [len(seeds) - sum(len(each) for each in added)]
    for each in added:
        totals.append(totals[-1] + len(each))
    return totals


def _added(experiment: Experiment) -> list[list[int]]:
    """The seeds of each addition."""
    try:
        added = [list(each["seeds"]) for each in experiment.description.get(ADDED_SEEDS, [])]
        flat = [seed for each in added for seed in each]
        is_good = all(added) and len(set(flat)) == len(flat) and set(flat) < set(experiment.config.seeds)
    except (KeyError, TypeError):
        is_good = False
    if not is_good:
        raise Damaged(experiment.description_file, f"must hold some of the experiment's seeds in each of {ADDED_SEEDS}",
                      DELETE)
    return added
