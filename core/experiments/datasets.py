"""On which dataset an experiment stands, and whether several stand on different ones; cheap enough to ask on every screen."""

import time
from collections.abc import Sequence
from pathlib import Path

from core.errors import Damaged
from core.experiments.handles import Experiment
from core.unchanged import SETTLED, Stamp, Unchanged, stamp

_MOST = 5_000  # experiments remembered
_fingerprints: Unchanged[str] = Unchanged(_MOST)
_of_roots: dict[Path, tuple[Stamp, dict[Path, str]]] = {}


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


def are_several(experiments: Sequence[Experiment]) -> bool:
    """Whether at least two of the experiments have a verdict written down and stand on different datasets.

    Args:
        experiments: of one folder of experiments. While no name in it changes, no experiment's file is looked at again.
    """
    if len(experiments) < 2:
        return False
    known, first = _known(experiments[0].root), ""
    for experiment in experiments:
        found = known.get(experiment.folder)
        if found is None:
            found = known[experiment.folder] = fingerprint(experiment)
        if found and found != first and experiment.verdict_file.is_file():
            if first:
                return True
            first = found
    return False


def _known(root: Path) -> dict[Path, str]:
    """Fingerprints by folder, for as long as no experiment of a root is made, renamed or deleted."""
    changed = stamp(root)
    kept = _of_roots.get(root)
    if kept is None or kept[0] != changed or time.time_ns() - changed[0] < SETTLED:
        kept = _of_roots[root] = changed, {}
    return kept[1]
