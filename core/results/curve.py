"""An experiment's low-data curve: which runs make its points, and the curve in numbers and words.

Reads what finished runs left behind; the analysis itself is `core.analysis.low_data`'s.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from core.analysis import low_data, spending
from core.analysis.comparison import Values
from core.analysis.metrics import HEADLINE
from core.config import ExperimentConfig, RunConfig, arm_label, arm_title
from core.config.objectives import UntrainedConfig
from core.experiments import looks
from core.experiments.handles import Experiment, Run
from core.results.result import Curve
from core.results.scoring import has_scores


class ArmScores(Protocol):
    """What `scoring.arm_of_runs` gives."""

    @property
    def split(self) -> np.ndarray | None: ...

    @property
    def group(self) -> np.ndarray: ...

    @property
    def has_groups(self) -> bool: ...

    @property
    def levels(self) -> dict[str, float]: ...

    def drawn(self, rows: np.ndarray | None = None) -> Values: ...

    def defined(self, rows: np.ndarray | None = None) -> dict[str, np.ndarray]: ...


def draw(experiment: Experiment, scores_of: Callable[[list[Run], str], ArmScores]) -> Curve | None:
    """The curve of an experiment over its images per class.

    A point needs every arm at its images per class, and as many seeds as the fullest point has: while an experiment runs,
    points appear as they are complete. Arms that leak on their own are left out; where the whole experiment leaks, the
    sentences say so first.

    Args:
        experiment: which one.
        scores_of: reads the scores of runs that are completed.

    Returns:
        The curve; None before there are two points.
    """
    config = experiment.config
    shown = [UntrainedConfig(), *(item for item in config.objectives if not (item.group or item.pool))]
    titles = {arm_label(item): arm_title(item) for item in shown}
    seeds = {count: _finished_seeds(experiment, config, count, set(titles)) for count in config.images_per_class}
    most = max((len(finished) for finished in seeds.values()), default=0)
    complete = [count for count, finished in seeds.items() if most and len(finished) == most]
    if len(complete) < 2 or len(titles) < 2:
        return None
    by_name = {(arm_label(run.objective), run.images_per_class, run.seed): experiment.run(run.name) for run in config.runs()}
    scores = {label: {count: scores_of([by_name[label, count, seed] for seed in seeds[count]], label) for count in complete}
              for label in titles}
    first = next(iter(scores.values()))[complete[0]]
    has_levels = first.has_groups and all(HEADLINE in item.levels for arm in scores.values() for item in arm.values())
    look = looks.of(experiment, most)
    curve = low_data.curve(
        HEADLINE, {label: {count: item.drawn()[HEADLINE] for count, item in arm.items()} for label, arm in scores.items()},
        _images(experiment, config, complete), spending.enough(config.evaluation.bootstrap, look.number), first.group, titles,
        floor=arm_label(UntrainedConfig()), n_defined=int(first.defined()[HEADLINE].sum()),
        margin=config.evaluation.margin / 100, alpha=look.alpha, split=first.split,
        levels={label: {count: item.levels[HEADLINE] for count, item in arm.items()} for label, arm in scores.items()}
        if has_levels else None)
    if look.is_interim:
        curve = low_data.without_verdicts(curve, look.n_awaited)
    leaks = sorted({leak for run in config.runs() if arm_label(run.objective) in titles for leak in run.leaks})
    if leaks:
        warning = f"These numbers are too good, with {' and '.join(leaks)}: "
        curve = replace(curve, pairs=tuple(replace(pair, sentence=warning + pair.sentence) for pair in curve.pairs))
    return Curve(**vars(curve), titles=titles, floor_sentence=low_data.floor_sentence(curve, titles),
                 left_out=tuple(count for count in config.images_per_class if count not in complete))


def _finished_seeds(experiment: Experiment, config: ExperimentConfig, count: int | str, labels: set[str]) -> list[int]:
    """Seeds whose runs at this images-per-class are all completed."""
    def is_finished(run: RunConfig) -> bool:
        return has_scores(experiment.run(run.name))

    runs = [run for run in config.runs() if run.images_per_class == count and arm_label(run.objective) in labels]
    return [seed for seed in config.seeds if all(is_finished(run) for run in runs if run.seed == seed)]


def _images(experiment: Experiment, config: ExperimentConfig, counts: Sequence[int | str]) -> dict[int | str, float]:
    """Images per class as numbers; 'all' is the mean over classes."""
    images = {count: float(count) for count in counts if count != "all"}
    if "all" in counts:
        manifest = experiment.manifest()
        images["all"] = len(manifest.training_indices("all", config.seeds[0])) / len(manifest.closed_classes)
    return images
