"""Experiments at a glance, each for itself: what Start and `list` say of one, damaged or not, read again only if it changed.

Never raises for what lies on disk: an experiment that cannot be read is one that is damaged.
"""

from dataclasses import dataclass

from core import files
from core.config import ExperimentConfig, RunConfig
from core.errors import Damaged
from core.experiments import handles, trials
from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus, State
from core.jobs import control, device_queue
from core.jobs.control import Progress
from core.unchanged import Unchanged
from core.visible import printable

_MOST = 5_000  # experiments remembered
_ENDED = (State.COMPLETED, State.FAILED, State.STOPPED, State.DAMAGED)


@dataclass(frozen=True)
class Overview:
    """An experiment at a glance.

    Attributes:
        experiment: which one.
        name: its name, as it can be shown.
        state: of the whole, as `control.progress` has it; 'damaged' if the experiment itself cannot be read.
        progress: where it stands; None if it cannot be read.
        runs: name -> state; empty if it cannot be read.
        sentence: its verdict's; empty before there is one.
        is_leaky: whether any of its runs leaks.
        damage: what is wrong, a sentence each with what can be done.
        remark: why a completed experiment has no sentence, and how it comes to one; else empty.
    """

    experiment: Experiment
    name: str
    state: State
    progress: Progress | None
    runs: dict[str, State]
    sentence: str = ""
    is_leaky: bool = False
    damage: tuple[str, ...] = ()
    remark: str = ""

    @property
    def is_readable(self) -> bool:
        """Whether it can be opened; else it can only be deleted."""
        return self.progress is not None


_remembered: Unchanged[Overview] = Unchanged(_MOST)


def read(experiment: Experiment) -> Overview:
    """An experiment at a glance; of one that has ended, what is remembered unless one of its files changed."""
    key = str(experiment.folder)
    known = _remembered.recall(key)
    if known and known[1].state in _ENDED and known[0] == experiment.stamps(known[1].runs):
        return known[1]
    try:
        config = experiment.config
        before = experiment.stamps(run.name for run in config.runs())
        overview = _look(experiment, config)
    except Damaged as error:
        before, overview = experiment.stamps([]), _unreadable(experiment, str(error.path.name), error)
    except OSError as error:
        before, overview = experiment.stamps([]), _unreadable(experiment, "", Damaged(
            experiment.folder, f"must be a folder that can be read, got: {error.strerror or error}", handles.DELETE))
    _remembered.keep(key, before, overview)
    return overview


def position(overview: Overview) -> int | None:
    """How many experiments an experiment waits for; None if it does not wait."""
    return device_queue.position(overview.experiment) if overview.state in control.UNFINISHED else None


def _look(experiment: Experiment, config: ExperimentConfig) -> Overview:
    configs = config.runs()
    runs: dict[str, State] = {}
    damage: list[str] = []
    for each in configs:
        run = experiment.run(each.name)
        status = control.derived_status(run)
        runs[each.name] = status.state
        damage += _of_run(run, each, status)
    if what := files.cut_or_foreign(experiment.manifest_file):
        damage.insert(0, f"{experiment.manifest_file.name} {what}; {handles.DELETE}; finished runs can still be explored and "
                         "exported")
    progress = control.progress(experiment, config)
    sentence, remark = "", ""
    try:
        sentence = experiment.sentence
    except FileNotFoundError:
        if progress.state == State.COMPLETED:
            remark = "no verdict is written down; Compare decides one"  # lost or not written yet: it is made of the scores
    except Damaged as error:
        damage.append(f"{experiment.verdict_file.name} {error.what}; {error.remedy}")
    return Overview(experiment, printable(experiment.name), progress.state, progress, runs, sentence,
                    any(each.leaks for each in configs), tuple(damage), remark)


def _of_run(run: Run, config: RunConfig, status: RunStatus) -> list[str]:
    """What is wrong with a run, as far as it shows without reading its results."""
    if status.state == State.DAMAGED:
        return [f"{run.name}/{status.message}; {handles.RESUME}"]
    damage = []
    try:
        run.check(config)
    except Damaged as error:
        damage.append(f"{run.name}/{run.config_file.name} {error.what}; {error.remedy}")
    if status.state == State.COMPLETED:
        results = [run.embeddings_file, run.scores_file]
        if config.is_trained:
            results.append(run.best_checkpoint)
        damage += [f"{run.name}/{path.name} {what}; {handles.RESUME}" for path in results
                   if (what := files.cut_or_foreign(path))]
    if damaged := trials.damage(run):
        damage.append(f"{run.name}/{damaged.path.name} {damaged.what}; {damaged.remedy}")
    damage += [f"{run.name}/{name} must hold a JSON object in each line, got {count} that cannot be used; the others are used"
               for name, count in run.bad_lines.items()]
    return damage


def _unreadable(experiment: Experiment, name: str, error: Damaged) -> Overview:
    sentence = f"{name} {error.what}{f'; {error.remedy}' if error.remedy else ''}".strip()
    return Overview(experiment, printable(experiment.name), State.DAMAGED, None, {}, damage=(sentence,))
