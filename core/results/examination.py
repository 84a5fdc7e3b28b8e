"""What is damaged in an experiment's folder: every file read once, each finding in one sentence. Mends nothing.

For a screen or command that came upon something it cannot use, and for a run whose results may have to be made anew;
what lists experiments reads less (`overview`).
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from core import files
from core.errors import Damaged
from core.experiments import film, selections, trials
from core.experiments.handles import RESUME, Experiment, Run
from core.experiments.status import State
from core.results import readouts, result

Where = TypeVar("Where")


def examine(experiment: Experiment) -> list[Damaged]:
    """Everything in an experiment's folder that cannot be used, the experiment's own files first."""
    try:
        config = experiment.config
    except Damaged as error:
        return [error]
    manifests = [partial(experiment.manifest, repeat=number) for number in range(config.split.repeats)]
    damage = _raised(*manifests, lambda: _if_there(result.read, experiment),
                     lambda: selections.read(experiment), lambda: _if_there(files.read_json, experiment.worker_file))
    for run in config.runs():
        damage += run_files(experiment.run(run.name))
    return damage


def run_files(run: Run) -> list[Damaged]:
    """Everything in a run's folder that cannot be used."""
    damage = _raised(lambda: run.config, lambda: run.status)
    if damage:
        return damage
    damage += [_lines(run.folder / name, count) for name, count in run.bad_lines.items()]
    damage += filter(None, [trials.damage(run)])
    for path in run.snapshots.values():
        damage += _raised(partial(film.read_frame, path))
    if run.status.state == State.COMPLETED:
        damage += results(run)
    return damage


def results(run: Run) -> list[Damaged]:
    """What a completed run left behind and cannot be used: embeddings, scores, numbers, weights."""
    from core.results import scoring

    def scores(path: Path) -> None:
        scoring.parse_scores(run)

    damage = _raised(lambda: scoring.read_embeddings(run),
                     lambda: files.read(run.scores_file, scores, "a table of scores"),
                     lambda: files.read_json(run.evaluation_file), lambda: readouts.read(run))
    if run.config.is_trained:
        damage += _raised(lambda: files.read(run.best_checkpoint, _weights, "a file of weights"))
    return [Damaged(error.path, error.what, RESUME) for error in damage]


def _weights(path: Path) -> None:
    """Refuses a safetensors file that is cut; its checksum is `checkpoint.load`'s to verify."""
    size = path.stat().st_size
    with path.open("rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
        if n_header > size:
            raise ValueError(f"a head of {n_header:,} bytes in a file of {size:,}")
        header = json.loads(file.read(n_header))
    n_content = max((item["data_offsets"][1] for name, item in header.items() if name != "__metadata__"), default=0)
    if 8 + n_header + n_content != size:
        raise ValueError(f"{size:,} bytes where {8 + n_header + n_content:,} were written")


def _lines(path: Path, count: int) -> Damaged:
    return Damaged(path, f"must hold a JSON object in each line, got {count} that cannot be used", "the others are used")


def _if_there(reader: Callable[[Where], object], where: Where) -> None:
    try:
        reader(where)
    except FileNotFoundError:
        return


def _raised(*readers: Callable[[], object]) -> list[Damaged]:
    """What readers say of the files they cannot read; a file that is missing is damage too."""
    damage = []
    for reader in readers:
        try:
            reader()
        except Damaged as error:
            damage.append(error)
        except OSError as error:
            what = f"must be a file that can be read, got: {error.strerror or error}"
            damage.append(Damaged(Path(error.filename or "?"), what, RESUME))
    return damage
