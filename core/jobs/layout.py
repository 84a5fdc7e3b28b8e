"""Layouts of one or two spaces with how far they can be believed, computed as a task and kept by content.

The light half (`request`, `state`, `read`, `cancel`) is for pages; the task's process imports what lays out.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from core import files
from core.analysis import projection, trust
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.analysis.trust import Touch
from core.errors import Damaged
from core.jobs import tasks
from core.jobs.tasks import Progress, Report

_FORMAT = 4  # of the files; a change of it or of what is computed makes old ones anew
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


def lay_out(spaces: list[EmbeddingTable], settings: Settings,
            progress: Callable[[float, str], None] | None = None) -> Layouts:
    """Lays out spaces of the same samples, each later one from the first and turned onto it.

    The second starts from the first with the next seed. So does the first when it is laid out again for the noise floor:
    the same space twice moves by the floor.

    Args:
        spaces: one or two, the same sample in the same row.
        settings: which layout.
        progress: called with how many layouts are done, in parts of one, and what is being done; only in a process of its
            own, as `projection.project` has it.
    """
    def project(space: EmbeddingTable, start: np.ndarray | None, n_done: int, name: str) -> np.ndarray:
        if progress:
            progress(n_done, name)
        seed = settings.seed + (start is not None)
        return projection.project(space.embedding, settings.method, seed, start, settings.neighbors, settings.perplexity,
                                  settings.minimum_distance,
                                  (lambda share: progress(n_done + share, name)) if progress else None)

    first = project(spaces[0], None, 0, "laying out A")
    if len(spaces) == 1:
        return Layouts([first])
    second = project(spaces[1], first, 1, "laying out B")
    floor = 0.0  # PCA leaves nothing to chance
    if settings.method != "pca":
        floor = trust.displacement(project(spaces[0], first, 2, "laying out A again, for the noise floor"), first)
    return Layouts([first, second], moved=trust.displacement(second, first), floor=floor)


def measured(layouts: Layouts, spaces: list[EmbeddingTable], most: int = trust.MOST) -> Layouts:
    """The same layouts with how far they can be believed, measured on at most so many points of each."""
    measures = [trust.measure(space.embedding, points, most=most, group=space.group)
                for space, points in zip(spaces, layouts.points)]
    touches = [trust.touches(item, space.label_id, len(space.classes)) for item, space in zip(measures, spaces)]
    return replace(layouts, trustworthiness=[item.trustworthiness for item in measures],
                   continuity=[item.continuity for item in measures], touches=touches)


def key(paths: list[Path], settings: Settings, split: str) -> str:
    """Names layouts by what they are made of: the tables' content, split, method and its parameters."""
    return tasks.key(_FORMAT, [tables.content_sha256(path) for path in paths], settings.used, split)


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
    output = output_of(paths, settings, split, cache)
    tasks.start(_folder(output), "core.jobs.layout", {"output": str(output.resolve()), "settings": asdict(settings),
                                                      "split": split, "tables": [str(path.resolve()) for path in paths]},
                result=output)
    return output


def state(output: Path) -> LayoutState:
    """Whether a layout is being computed, how far it is, and what went wrong."""
    task = tasks.state(_folder(output))
    if task.is_running:
        progress = task.progress or Progress(0, 0, "starting")
        return LayoutState(True, progress.text, progress.share)
    return LayoutState(False, error="" if output.is_file() else task.refused or task.failed)


def cancel(output: Path) -> None:
    """Ends the process that computes a layout, and forgets it."""
    tasks.cancel(_folder(output))


def _folder(output: Path) -> Path:
    """Where the task that makes a layout is heard."""
    return output.with_suffix("")


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
    with np.load(output, allow_pickle=False) as arrays:
        columns = {name: [arrays[key] for key in sorted(arrays.files) if key.startswith(f"{name}_")]
                   for name in ("points", "trustworthiness", "continuity")}
        more = json.loads(str(arrays["more"]))
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


def compute(arguments: dict, report: Report) -> dict:
    """In the process: lays out and measures.

    Args:
        arguments: `output`, the file to write; `settings`, as `Settings` has them; `split`; `tables`, their paths.
        report: called with how many steps are done: layouts, and measuring them all.

    Raises:
        InputError, OSError: if there is nothing to lay out, or a file cannot be read or written.
    """
    settings = Settings(**arguments["settings"])
    spaces = [tables.read(Path(path)) for path in arguments["tables"]]
    if arguments["split"] != "all":
        spaces = [space.of_split(arguments["split"]) for space in spaces]
    spaces = tables.shared_rows(spaces)
    n_layouts = 1 if len(spaces) == 1 else 2 if settings.method == "pca" else 3
    layouts = lay_out(spaces, settings, lambda done, text: report(done, n_layouts + 1, text))
    report(n_layouts, n_layouts + 1, "measuring how far it can be believed")
    write(measured(layouts, spaces), Path(arguments["output"]))
    return {}


if __name__ == "__main__":
    sys.exit(tasks.main(compute))
