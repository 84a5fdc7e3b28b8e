"""Which learning rates a run tried before it trained, how each did on validation, and which was taken.

Reads and writes `trials.json` in the run's folder; trains nothing.
"""

from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path

from core import files, scored_by
from core.config import RunConfig, arm_label
from core.errors import Damaged
from core.experiments.handles import Experiment, Run
from core.files import Json
from core.unchanged import Unchanged

SELECTED_ON = "validation MAP@R"


@dataclass(frozen=True)
class Trial:
    """One learning rate, tried.

    Attributes:
        lr: the learning rate.
        images_seen: by this trial, views counted.
        validation_map_at_r: at its end, 0 to 1; None if it diverged.
        seconds: it took.
        group_chance: what of its MAP@R comes of images of one group lying together; left out of account where rates are
            chosen. 0 where each image is a group of its own, and in files of versions that did not know it.
    """

    lr: float
    images_seen: int
    validation_map_at_r: float | None
    seconds: float
    group_chance: float = 0.0


_trials: Unchanged[tuple[Trial, ...]] = Unchanged(5_000)


def read(run: Run) -> list[Trial]:
    """A run's finished trials, in the order they were tried; none where nothing is tuned, none is finished, or the file cannot
    be read: then `damage` says why, and they are tried again."""
    try:
        return _read(run)
    except Damaged:
        return []


def damage(run: Run) -> Damaged | None:
    """What is wrong with a run's trials, if anything."""
    try:
        _read(run)
    except Damaged as error:
        return Damaged(error.path, error.what, "the trials are made again when the run is resumed")
    return None


def are_of_earlier_version(run: Run) -> bool:
    """Whether a run has trials that were scored by other rules than today's."""
    return bool(read(run)) and not scored_by.is_current(files.read_json(run.trials_file))


def discard(run: Run) -> None:
    """Removes a run's trials, so that all of them are made again."""
    run.trials_file.unlink(missing_ok=True)


def _read(run: Run) -> list[Trial]:
    try:
        return list(_trials.read(run.trials_file, lambda path: files.read(path, _parse, "a run's trials"), missing=()))
    except FileNotFoundError:
        return []


def _parse(path: Path) -> tuple[Trial, ...]:
    trials = tuple(Trial(**trial) for trial in files.read_json(path)["trials"])
    for trial in trials:
        for value in (trial.lr, trial.images_seen, trial.seconds, trial.validation_map_at_r or 0.0, trial.group_chance):
            float(value)  # text and lists are no numbers
    return trials


def add(run: Run, trial: Trial) -> None:
    """Keeps a finished trial; the file is replaced whole, so a trial is there or has to be tried again."""
    files.write_json(run.trials_file, {scored_by.KEY: scored_by.VERSION, "selected_on": SELECTED_ON,
                                      "trials": [asdict(item) for item in (*read(run), trial)]})


def best(trials: list[Trial]) -> float:
    """The learning rate of the best trial on validation; of equal ones the first.

    Raises:
        FloatingPointError: if every trial diverged.
    """
    finite = [(max(0.0, trial.validation_map_at_r - trial.group_chance), trial) for trial in trials
              if trial.validation_map_at_r is not None]
    if not finite:
        tried = ", ".join(f"{trial.lr:g}" for trial in trials)
        raise FloatingPointError(f"a learning rate must keep the loss a number, got none of tuning.learning_rates: {tried}; "
                                 "try lower ones")
    return max(finite, key=itemgetter(0))[1].lr


def summary(run: Run, n_trials: int) -> Json | None:
    """What a tuned run's evaluation and table hold: the learning rate taken, the trials, and on what it was chosen.

    Returns:
        JSON; None without tuning, or while its `n_trials` trials are not all finished or all diverged.
    """
    trials = read(run)
    if not n_trials or len(trials) < n_trials or all(trial.validation_map_at_r is None for trial in trials):
        return None
    shown = ["lr", "images_seen", "validation_map_at_r"]  # not the seconds: the same run has the same evaluation
    if any(trial.group_chance for trial in trials):
        shown.append("group_chance")
    return {"lr": best(trials), "selected_on": SELECTED_ON,
            "trials": [{name: getattr(trial, name) for name in shown} for trial in trials]}


def sentence(experiment: Experiment, runs: list[RunConfig]) -> str:
    """How the learning rates of some runs were chosen, arm by arm; nothing without tuning."""
    chosen: dict[str, list[str]] = {}
    for run in runs:
        if tuning := summary(experiment.run(run.name), run.n_trials):
            chosen.setdefault(arm_label(run.objective), []).append(f"{tuning['lr']:g}")
    if not chosen:
        return ""
    counts = {run.n_trials for run in runs if run.is_trained}
    each = f"{counts.pop()} trials each" if len(counts) == 1 else "not as many trials each"
    taken = "; ".join(f"{label} {', '.join(rates)}" for label, rates in chosen.items())
    return f"Learning rates were chosen on validation, {each}, seed by seed: {taken}."
