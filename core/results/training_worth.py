"""Whether to train at all: the best arm that was trained against the best encoder that was not.

Which arm is the best of its kind is chosen on validation, as epochs and learning rates are; the difference is measured on the
test images, which chose nothing.
"""

from collections.abc import Callable, Mapping

import numpy as np

from core import config as configuration
from core import files
from core.analysis import statements
from core.analysis.comparison import Difference
from core.analysis.low_data import Count
from core.config import RunConfig, arm_label
from core.config.objectives import UntrainedConfig
from core.experiments.handles import Experiment, Run
from core.results import scoring
from core.results.repeated import AnyScores
from core.results.result import TrainingWorth


def tell(experiment: Experiment, arms: Mapping[str, AnyScores | None], count: Count,
         gain: Callable[[AnyScores, AnyScores], Difference | None], is_open: bool = False) -> TrainingWorth | None:
    """What training is worth at one images-per-class; None before a frozen and a trained arm have finished the same seeds.
    Arms that have not are named in the sentence.

    Args:
        experiment: which one.
        arms: label -> scores over the finished seeds, None before any.
        count: images per class.
        gain: the difference of the second on the first, on the headline's metric.
        is_open: among held-out classes; the arms are chosen as among the others.
    """
    config = experiment.config
    most = max((arm.n_seeds for arm in arms.values() if arm is not None), default=0)
    finished = {label: arm for label, arm in arms.items() if arm is not None and arm.n_seeds == most}
    leaking = {arm_label(objective) for objective in config.objectives if objective.group or objective.pool}
    frozen = [label for label in config.frozen_arms if label in finished]
    trained = [label for label in config.arms if label in finished and label not in leaking]
    if not frozen or not trained:
        return None
    best = [_best(experiment, labels, count, is_open) for labels in (frozen, trained)]
    if None in best:
        return None
    label_frozen, label_trained = (label for label in best if label is not None)
    difference = gain(finished[label_frozen], finished[label_trained])
    if difference is None or not difference.verdict:
        return None
    is_untrained = label_frozen == arm_label(UntrainedConfig())
    sentence = statements.training_sentence(
        difference, "the untrained encoder" if is_untrained else finished[label_frozen].name, finished[label_trained].name,
        len(frozen), len(trained))
    if missing := [label for label in config.all_arms if label not in finished and label not in leaking]:
        sentence += f"; without {' and '.join(missing)}, which {'has' if len(missing) == 1 else 'have'} not finished"
    if leaks := configuration.parse_run(finished[label_trained].config).leaks:
        sentence = f"These numbers are too good, with {' and '.join(leaks)}: {sentence}"
    return TrainingWorth(images_per_class=count, frozen=label_frozen, trained=label_trained, n_frozen=len(frozen),
                         n_trained=len(trained), difference=difference, sentence=sentence)


def _best(experiment: Experiment, labels: list[str], count: Count, is_open: bool) -> str | None:
    """The arm that is best on validation, of equal ones the first; None where one of several has no validation to go by."""
    if len(labels) == 1:
        return labels[0]
    values = [[on_validation(experiment.run(run.name), run) for run in scoring.runs_of_arm(experiment, label, count, is_open)]
              for label in labels]
    if any(value is None for seeds in values for value in seeds):
        return None
    means = [float(np.mean([value for value in seeds if value is not None])) for seeds in values]
    return labels[int(np.argmax(means))]


def on_validation(run: Run, config: RunConfig) -> float | None:
    """By what a finished run is chosen, 0 to 1: MAP@R on validation beyond what images of one group lying together come to.

    Experiments of earlier versions have it of their trained epochs alone, of which the run is the best.
    """
    try:
        told = files.read_json(run.evaluation_file).get("validation")
    except (OSError, ValueError):
        told = None
    if told:
        return max(0.0, float(told["map_at_r"]) - float(told["group_chance"]))
    epochs = [max(0.0, record["validation_map_at_r"] - record.get("validation_group_chance", 0.0))
              for record in run.records if "validation_map_at_r" in record] if config.is_trained else []
    return max(epochs, default=None)
