"""What is damaged in an experiment's folder: every file read once, each finding in one sentence. Mends nothing.

For a screen or command that came upon something it cannot use, and for a run whose results may have to be made anew;
what lists experiments reads less (`overview`).
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from core import files
from core.errors import Damaged
from core.experiments import directory, filenames, film, selections, trials
from core.experiments.directory import RESUME
from core.results import readouts, result


def examine(folder: Path) -> list[Damaged]:
    """Everything in an experiment's folder that cannot be used, the experiment's own files first."""
    try:
        config = directory.read_config(folder)
    except Damaged as error:
        return [error]
    found = _raised(lambda: directory.read_manifest(folder), lambda: _if_there(result.read, folder),
                    lambda: selections.read(folder), lambda: _if_there(files.read_json, folder / filenames.WORKER))
    for run in config.runs():
        found += run_files(folder / run.name)
    return found


def run_files(run: Path) -> list[Damaged]:
    """Everything in a run's folder that cannot be used."""
    found = _raised(lambda: directory.read_run(run), lambda: directory.read_status(run))
    if found:
        return found
    found += [_lines(run / name, count) for name, count in directory.bad_lines(run).items()]
    found += filter(None, [trials.damage(run)])
    for path in directory.snapshots(run).values():
        found += _raised(partial(film.read_frame, path))
    if directory.read_status(run).state == "completed":
        found += results(run)
    return found


def results(run: Path) -> list[Damaged]:
    """What a completed run left behind and cannot be used: embeddings, scores, numbers, weights."""
    from core.results import scoring

    def scores(path: Path) -> None:
        scoring.parse_scores(run, path.name)

    found = _raised(lambda: scoring.read_embeddings(run),
                    lambda: files.read(run / filenames.SCORES, scores, "a table of scores"),
                    lambda: files.read_json(run / filenames.EVALUATION), lambda: readouts.read(run))
    if directory.read_run(run).is_trained:
        found += _raised(lambda: files.read(run / filenames.BEST, _weights, "a file of weights"))
    return [Damaged(error.path, error.what, RESUME) for error in found]


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


def _if_there(reader: Callable[[Path], object], path: Path) -> None:
    try:
        reader(path)
    except FileNotFoundError:
        return


def _raised(*readers: Callable[[], object]) -> list[Damaged]:
    """What readers say of the files they cannot read; a file that is missing is damage too."""
    found = []
    for reader in readers:
        try:
            reader()
        except Damaged as error:
            found.append(error)
        except OSError as error:
            what = f"must be a file that can be read, got: {error.strerror or error}"
            found.append(Damaged(Path(error.filename or "?"), what, RESUME))
    return found
