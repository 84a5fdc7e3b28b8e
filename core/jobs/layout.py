"""Layouts of one or two spaces with how far they can be believed, computed in a process of their own and kept by content.

The light half (`request`, `state`, `read`, `cancel`) is for pages; the process itself imports what lays out.
"""

import hashlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from core import files
from core.analysis import projection, trust
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.analysis.trust import Touch
from core.errors import Damaged
from core.experiments import directory
from core.jobs import control

_FORMAT = 3  # of the files; a change of it or of what is computed makes old ones anew
_USES = {"pca": (), "tsne": ("perplexity", "seed"), "umap": ("neighbors", "minimum_distance", "seed")}


@dataclass(frozen=True)
class Settings:
    """Which layout, with the parameters of its method; those of others are ignored."""

    method: projection.Method = "pca"
    neighbors: int = 15
    minimum_distance: float = 0.1
    perplexity: float = 30.0
    seed: int = 0

    @property
    def used(self) -> dict[str, float | str]:
        """The method and the parameters it heeds."""
        return {"method": self.method, **{name: getattr(self, name) for name in _USES[self.method]}}


@dataclass(frozen=True, eq=False)
class Layouts:
    """Layouts of spaces, in the order of their tables, and what is known of them.

    Attributes:
        points: of each space, shape (n, 2), float32.
        trustworthiness: of each space, shape (n,), float64; nan where not measured; none before `measured`.
        continuity: the same.
        touches: of each space, the pairs of classes that touch in the layout alone.
        moved: how far points lie in the second from where they lie in the first, as a share of the radius; None for one.
        floor: the same where the second is the first space again, laid out with the second's seed and start: what the
            layout moves by itself; None for one.
    """

    points: list[np.ndarray]
    trustworthiness: list[np.ndarray] = field(default_factory=list)
    continuity: list[np.ndarray] = field(default_factory=list)
    touches: list[list[Touch]] = field(default_factory=list)
    moved: float | None = None
    floor: float | None = None


@dataclass(frozen=True)
class LayoutState:
    """Where a layout stands: `phase` in words and `share` done, 0 to 1, while it is computed; `error` if it failed."""

    is_running: bool
    phase: str = ""
    share: float = 0.0
    error: str = ""


def lay_out(spaces: list[EmbeddingTable], settings: Settings, begin: Callable[[str], None] | None = None,
            verbose: bool = False) -> Layouts:
    """Lays out spaces of the same samples, each later one from the first and turned onto it.

    The second starts from the first with the next seed. So does the first when it is laid out again for the noise floor:
    the same space twice moves by the floor.

    Args:
        spaces: one or two, the same sample in the same row.
        settings: which layout.
        begin: told the name of each layout before it is computed.
        verbose: print the methods' own iterations.
    """
    def project(space: EmbeddingTable, start: np.ndarray | None, name: str) -> np.ndarray:
        if begin:
            begin(name)
        seed = settings.seed + (start is not None)
        return projection.project(space.embedding, settings.method, seed, start, settings.neighbors, settings.perplexity,
                                  settings.minimum_distance, verbose)

    first = project(spaces[0], None, "laying out A")
    if len(spaces) == 1:
        return Layouts([first])
    second = project(spaces[1], first, "laying out B")
    floor = 0.0  # PCA leaves nothing to chance
    if settings.method != "pca":
        floor = trust.displacement(project(spaces[0], first, "laying out A again, for the noise floor"), first)
    return Layouts([first, second], moved=trust.displacement(second, first), floor=floor)


def measured(layouts: Layouts, spaces: list[EmbeddingTable], most: int = trust.MOST) -> Layouts:
    """The same layouts with how far they can be believed, measured on at most so many points of each."""
    found = [trust.measure(space.embedding, points, most=most) for space, points in zip(spaces, layouts.points)]
    touches = [trust.touches(item, space.label_id, len(space.classes)) for item, space in zip(found, spaces)]
    return replace(layouts, trustworthiness=[item.trustworthiness for item in found],
                   continuity=[item.continuity for item in found], touches=touches)


def key(paths: list[Path], settings: Settings, split: str) -> str:
    """Names layouts by what they are made of: the tables' content, split, method and its parameters."""
    content = [_content(path) for path in paths]
    return hashlib.sha256(json.dumps([_FORMAT, content, settings.used, split], sort_keys=True).encode()).hexdigest()[:16]


def output_of(paths: list[Path], settings: Settings, split: str, cache: Path) -> Path:
    """The file that layouts lie in once they are computed."""
    return cache / f"{key(paths, settings, split)}.npz"


def request(paths: list[Path], settings: Settings, split: str, cache: Path) -> Path:
    """Starts laying out tables in a process of its own, unless that is done or under way.

    Args:
        paths: embedding tables, one or two.
        settings: which layout.
        split: which samples; 'all' for all.
        cache: folder for layouts.

    Returns:
        The file the layouts will lie in; `read` reads it.
    """
    cache.mkdir(parents=True, exist_ok=True)
    output = output_of(paths, settings, split, cache)
    if not output.is_file() and not state(output).is_running:
        with output.with_suffix(".log").open("wb") as log:
            process = control.start_module("core.jobs.layout", [str(output.resolve()), json.dumps(asdict(settings)), split,
                                                                *(str(path.resolve()) for path in paths)], log)
        directory.write_json(output.with_suffix(".json"), {**process, "method": settings.method})
    return output


def state(output: Path) -> LayoutState:
    """Whether a layout is being computed, how far it is, and what went wrong."""
    process = _process(output)
    if process is None:
        return LayoutState(is_running=False)
    try:
        log = output.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        log = ""
    if _is_running(process):
        return LayoutState(True, *_progress(log, process.get("method", "pca")))
    lines = log.strip().splitlines()
    return LayoutState(False, error="" if output.is_file() else lines[-1] if lines else "its process was ended")


def cancel(output: Path) -> None:
    """Ends the process that computes a layout, and forgets it."""
    process = _process(output)
    if process is None:  # cancelled by another session
        return
    control.kill(process["pid"], process["pid_created"], process.get("pid_started", ""))
    output.with_suffix(".json").unlink(missing_ok=True)


def _process(output: Path) -> dict | None:
    """What is written down of the process that computes a layout; None if nothing is, or nothing that can be used."""
    try:
        process = directory.read_json(output.with_suffix(".json"))
    except (FileNotFoundError, Damaged):
        return None
    return process if {"pid", "pid_created"} <= process.keys() else None


def _is_running(process: dict) -> bool:
    return control.is_alive(process["pid"], process["pid_created"], process.get("pid_started", ""))


def read(output: Path) -> Layouts:
    """What a process computed.

    Raises:
        Damaged: if the file cannot be read; it is removed, so that the layout is computed again.
    """
    try:
        return files.read(output, _read, "a layout")
    except Damaged as error:
        output.unlink(missing_ok=True)
        raise Damaged(output, error.what, "it was removed; open the page again and it is computed anew") from None


def _read(output: Path) -> Layouts:
    with np.load(output, allow_pickle=False) as found:
        columns = {name: [found[key] for key in sorted(found.files) if key.startswith(f"{name}_")]
                   for name in ("points", "trustworthiness", "continuity")}
        more = json.loads(str(found["more"]))
    return Layouts(**columns, touches=[[Touch(**item) for item in pairs] for pairs in more["touches"]], moved=more["moved"],
                   floor=more["floor"])


def write(layouts: Layouts, output: Path) -> None:
    """Keeps layouts, whole or not at all."""
    columns = {f"{name}_{number}": item for name in ("points", "trustworthiness", "continuity")
               for number, item in enumerate(getattr(layouts, name))}
    more = {"touches": [[asdict(item) for item in pairs] for pairs in layouts.touches], "moved": layouts.moved,
            "floor": layouts.floor}
    with files.replacing(output) as temporary, temporary.open("wb") as file:
        np.savez(file, **columns, more=np.array(json.dumps(more)))


def _content(path: Path) -> str:
    """A table's own checksum: the same wherever it lies."""
    return files.read(path, lambda file: json.loads(pq.read_schema(file).metadata[b"duet"])["content_sha256"],
                      "an embedding table")


def _progress(log: str, method: projection.Method) -> tuple[str, float]:
    """What is being done and the share that is done, from what the process printed."""
    begun = list(re.finditer(r"^step (\d+) of (\d+): (.+)$", log, re.MULTILINE))
    if not begun:
        return "starting", 0.0
    number, total = (int(begun[-1][place]) for place in (1, 2))
    is_layout = begun[-1][3].startswith("laying out")
    within = projection.progress(method, log[begun[-1].end():], has_start=number > 0) if is_layout else 0.0
    return begun[-1][3], (number + within) / total


def main(arguments: list[str]) -> None:
    """Entry point of `python -m core.jobs.layout OUTPUT SETTINGS SPLIT TABLE…`."""
    output, asked, split, *paths = arguments
    settings = Settings(**json.loads(asked))
    spaces = [tables.read(Path(path)) for path in paths]
    if split != "all":
        spaces = [space.of_split(split) for space in spaces]
    spaces = tables.shared_rows(spaces)
    total = 1 + (1 if len(spaces) == 1 else 2 if settings.method == "pca" else 3)
    number = 0

    def begin(what: str) -> None:
        nonlocal number
        print(f"\nstep {number} of {total}: {what}", flush=True)
        number += 1

    layouts = lay_out(spaces, settings, begin, verbose=True)
    begin("measuring how far it can be believed")
    write(measured(layouts, spaces), Path(output))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # what a method prints of its iterations is read while it works
    main(sys.argv[1:])
