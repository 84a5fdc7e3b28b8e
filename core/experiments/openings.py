"""How often the test set was opened: a line for each time, kept in the experiment.

An opening is a trained encoder's scoring of the test samples, held-out classes among them. It is written down, and is on
the disk, before they are scored, so that a crash may count one that did not come to its end but never hides one. Not
counted are encoders that are not trained, which nothing was chosen for, and reading kept vectors or scores again, as
Compare, the report and `compare` do.
"""

import time
from collections import Counter
from dataclasses import asdict, dataclass

from core import json_lines
from core.experiments.handles import Experiment, Run

_KEYS: json_lines.Keys = {"run": str, "why": str, "when": (int, float)}
END_OF_RUN = "end of the run"
AGAIN = "end of the run once more: it was interrupted, or its results were gone"


@dataclass(frozen=True)
class Opening:
    """One opening of the test set.

    Attributes:
        run: whose encoder was scored.
        why: 'end of the run', or that it is the same run's end once more.
        when: s since 1970.
    """

    run: str
    why: str
    when: float


def openings(experiment: Experiment) -> list[Opening]:
    """Every opening in an experiment, in order; one a trained run unless a run's end was interrupted or repeated."""
    lines = json_lines.read(experiment.openings_file, _KEYS).good
    return [Opening(line["run"], line["why"], line["when"]) for line in lines]


def sentence(experiment: Experiment) -> str:
    """How often the test set was opened, and by how many runs more than once."""
    times = Counter(opening.run for opening in openings(experiment))
    n, repeated = times.total(), sum(count > 1 for count in times.values())
    n_bad = json_lines.read(experiment.openings_file, _KEYS).n_bad
    lines = f"line{'s' if n_bad > 1 else ''} of {experiment.openings_file.name}"
    lost = f" {n_bad} {lines} cannot be read and may be an opening each." if n_bad else ""
    if not n:
        return lost.strip()
    often = {1: "once", 2: "twice"}.get(n, f"{n} times")
    by = "by one trained run" if len(times) == 1 else f"by {len(times)} trained runs"
    each = f"; {repeated} of them more than once" if repeated else (", once each" if len(times) > 1 else "")
    return f"The test set was opened {often}, {by}{each}.{lost}"


def add(run: Run) -> None:
    """Counts an opening by a run; call it before the test samples are scored."""
    is_first = all(opening.run != run.name for opening in openings(run.experiment))
    opening = Opening(run.name, END_OF_RUN if is_first else AGAIN, time.time())
    json_lines.append(run.experiment.openings_file, asdict(opening))
