"""A pair of spaces by its names: which runs stand behind A and B, what they are called, and what is said of them.

The one way to a pair for the command line, Compare and the report, so that all say the same; the numbers are
`core.results.verdict`'s.
"""

from dataclasses import replace
from pathlib import Path

from core import config as configuration
from core.config import arm_label, arm_title
from core.errors import InputError
from core.experiments import looks, store
from core.experiments.handles import Experiment, Run
from core.experiments.looks import PLANNED, Look
from core.results import scoring, verdict
from core.results.repeated import AnyScores
from core.results.result import Pair, Verdict


def common_seeds(experiment: Experiment, label_a: str, label_b: str, images_per_class: int | str,
                 ) -> tuple[list[Run], list[Run]]:
    """The runs of two arms of an experiment, a seed each, at the seeds that both have finished."""
    runs: dict[str, dict[int, Run]] = {label_a: {}, label_b: {}}
    for run in experiment.config.runs():
        label = arm_label(run.objective)
        if label in runs and run.images_per_class == images_per_class and scoring.has_scores(experiment.run(run.name)):
            runs[label][run.seed] = experiment.run(run.name)
    seeds = [seed for seed in runs[label_a] if seed in runs[label_b]]
    return [runs[label_a][seed] for seed in seeds], [runs[label_b][seed] for seed in seeds]


def said(experiment: Experiment, conclusion: Verdict, label_a: str, label_b: str, images_per_class: int | str) -> Pair:
    """A pair of an experiment's arms as its verdict has it; compared now if the verdict lacks it.

    Args:
        experiment: which one.
        conclusion: its verdict, as `verdict.read` gives it.
        label_a, label_b: the arms.
        images_per_class: of both.

    Raises:
        InputError: if the two have no finished seed in common.
    """
    runs_a, runs_b = common_seeds(experiment, label_a, label_b, images_per_class)
    if not runs_a:
        raise InputError(f"arms to report must have finished, got {label_a} and {label_b} at {images_per_class} images per "
                         f"class in {experiment.name!r} with no finished seed in common")
    known = conclusion.pair(label_a, label_b, images_per_class)
    if known is not None and known.differences[0].n_seeds == len(runs_a):
        return known
    a, b = named_apart(scoring.arm_of_runs(runs_a, ""), scoring.arm_of_runs(runs_b, ""))
    return verdict.pair(experiment, a, b, label_a, label_b, images_per_class)


def find(root: Path, name_a: str, name_b: str) -> tuple[AnyScores, AnyScores]:
    """The scores of two names of the command line, named apart.

    Args:
        root: folder of experiments.
        name_a, name_b: each 'experiment/run', 'experiment/arm' such as 'demo/supcon-15', which is all its seeds, or an
            embedding table's file. Of two arms of one experiment, the seeds that both have finished.

    Raises:
        NotFound, InputError: as `scoring.find_scores`.
    """
    arm_a, arm_b = _arm(root, name_a), _arm(root, name_b)
    if arm_a and arm_b and arm_a[0] == arm_b[0] and arm_a[2] == arm_b[2]:
        experiment, label_a, count = arm_a
        runs = common_seeds(experiment, label_a, arm_b[1], count)
        if runs[0]:
            return named_apart(*(scoring.arm_of_runs(side, "") for side in runs))
    return named_apart(scoring.find_scores(root, name_a), scoring.find_scores(root, name_b))


def look(root: Path, names: tuple[str, str], n_seeds: int) -> Look:
    """Where a comparison of two names of the command line stands: the later look where they are arms of two experiments, and
    no verdict where either awaits seeds. Single runs and files are compared as at a planned look.

    Args:
        root: folder of experiments.
        names: of A and B, as `find` takes them.
        n_seeds: seeds of each that are compared.

    Raises:
        Damaged: as `looks.of`.
    """
    arms = [arm for arm in (_arm(root, name) for name in names) if arm]
    return max((looks.of(experiment, n_seeds) for experiment, _, _ in arms), default=PLANNED,
               key=lambda item: (item.is_interim, item.number))


def named_apart(a: AnyScores, b: AnyScores) -> tuple[AnyScores, AnyScores]:
    """The same scores under names for a sentence: the objectives', and whatever else tells the two apart."""
    sides = [_Side(a), _Side(b)]
    names = [side.title for side in sides]
    for part in ("images", "experiment", "seeds"):
        first, second = (getattr(side, part) for side in sides)
        if first != second:
            names = [name + word for name, word in zip(names, (first, second))]
    if names[0] == names[1] and a.files != b.files:
        names = [f"{name} ({end})" for name, end in zip(names, _apart(a.files[0], b.files[0]))]
    return replace(a, name=names[0]), replace(b, name=names[1])


class _Side:
    """What may tell a space from another, each as it would follow its name."""

    def __init__(self, scores: AnyScores) -> None:
        run = configuration.parse_run(scores.config)
        self.title = arm_title(run.objective)
        self.images = " at all images" if run.images_per_class == "all" else f" at {run.images_per_class} images per class"
        file_of = Run(scores.files[0].parent)
        self.experiment = f" of {file_of.experiment.name}" if file_of.scores_file.is_file() else ""
        seeds = scores.settings["seeds"]
        self.seeds = f", seed{'s' if len(seeds) > 1 else ''} {', '.join(str(seed) for seed in seeds)}"


def _apart(a: Path, b: Path) -> tuple[str, str]:
    """Two files by as much of the ends of their paths as tells them apart."""
    for n in range(1, max(len(a.parts), len(b.parts)) + 1):
        ends = ["/".join(path.parts[-n:]) for path in (a, b)]
        if ends[0] != ends[1]:
            return ends[0], ends[1]
    return str(a), str(b)


def _arm(root: Path, name: str) -> tuple[Experiment, str, int | str] | None:
    """Experiment, label and images per class of a name that stands for all seeds of an arm; None for any other name."""
    first, _, rest = name.partition("/")
    if name.endswith(".parquet") or not rest:
        return None
    experiment = store.find(root, first)
    return next(((experiment, arm_label(run.objective), run.images_per_class) for run in experiment.config.runs()
                 if run.name.rpartition("-seed")[0] == rest), None)
