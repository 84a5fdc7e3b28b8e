"""On which dataset an experiment stands, and whether several stand on different ones; cheap enough to ask on every screen."""

from collections.abc import Iterable

from core.errors import Damaged
from core.experiments.handles import Experiment
from core.unchanged import Unchanged

_MOST = 5_000  # experiments remembered
_fingerprints: Unchanged[str] = Unchanged(_MOST)


def fingerprint(experiment: Experiment) -> str:
    """Of the samples that an experiment was laid out with, as its manifest has it: the same for the same images, labels and
    groups, however they are split; '' if it cannot be read. Read again only if its file has changed."""
    def of_file(_: object) -> str:
        found = experiment.description.get("fingerprint", "")
        return found if isinstance(found, str) else ""

    try:
        return _fingerprints.read(experiment.description_file, of_file)
    except (Damaged, OSError):
        return ""


def are_several(experiments: Iterable[Experiment]) -> bool:
    """Whether at least two of the experiments have a verdict written down and stand on different datasets."""
    first = ""
    for experiment in experiments:
        found = fingerprint(experiment)
        if found and found != first and experiment.verdict_file.is_file():
            if first:
                return True
            first = found
    return False
