"""Which epoch a run's best checkpoint is of, and which arms training has left as they began.

The encoder as it begins, epoch 0, is a candidate: a run that only harms it exports it unchanged. Reads what training wrote.
"""

from core import files
from core.config import RunConfig, arm_title
from core.experiments.handles import Experiment, Run
from core.files import Json
from core.unchanged import Unchanged

_values: Unchanged[Json] = Unchanged(5_000)


def epoch(run: Run) -> int | None:
    """The epoch of a run's best checkpoint so far, 0 for the encoder as it began; None where there is none to read."""
    try:
        return _values.read(run.best_values_file, files.read_json, missing={}).get("epoch")
    except (OSError, ValueError, AttributeError):  # not trained, or damaged: whoever needs the weights says so
        return None


def words(run: Run) -> str:
    """The epoch of a run's best checkpoint, in words; nothing where there is none to read."""
    number = epoch(run)
    if number is None:
        return ""
    return f"best: epoch {number}" if number else "best: epoch 0, the encoder before training"


def unchanged(experiment: Experiment, runs: list[RunConfig]) -> str:
    """Which of an arm's finished runs export the encoder as it began, as a sentence; nothing where training helped in all.

    Args:
        experiment: which one.
        runs: the arm's finished runs, a seed each.
    """
    seeds = [run.seed for run in runs if run.is_trained and epoch(experiment.run(run.name)) == 0]
    if not seeds:
        return ""
    which = "" if len(runs) == 1 else (f" in seed {seeds[0]}" if len(seeds) == 1 else
                                       f" in seeds {', '.join(map(str, seeds))}")
    export = "that run exports" if len(seeds) == 1 else "those runs export"
    return (f"Training by {arm_title(runs[0].objective)} gave no epoch better on validation than the encoder before "
            f"it{which}, so {export} that encoder unchanged")
