"""Layouts of one or two spaces, computed in a process of their own and kept by content.

The light half (`request`, `state`, `read`, `cancel`) is for pages; the process itself imports what lays out.
"""

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.analysis import projection
from core.analysis import table as tables
from core.runs import directory, jobs


@dataclass(frozen=True)
class LayoutState:
    """Where a layout stands: `phase` in words while it is computed; `error` if it failed."""

    is_running: bool
    phase: str = ""
    error: str = ""


def key(paths: list[Path], method: projection.Method, split: str, seed: int = 0) -> str:
    """Names a layout by what it is made of: the tables' content, method, split and seed."""
    stamps = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths]
    return hashlib.sha256(json.dumps([stamps, method, split, seed]).encode()).hexdigest()[:16]


def request(paths: list[Path], method: projection.Method, split: str, cache: Path) -> Path:
    """Starts laying out tables in a process of its own, unless that is done or under way.

    Args:
        paths: embedding tables; each later one's layout starts from the first's and is turned onto it.
        method: which layout.
        split: which samples.
        cache: folder for layouts.

    Returns:
        The file the layouts will lie in; `read` reads it.
    """
    cache.mkdir(parents=True, exist_ok=True)
    output = cache / f"{key(paths, method, split)}.npz"
    if not output.is_file() and not state(output).is_running:
        with output.with_suffix(".log").open("wb") as log:
            process = jobs.start_module("core.runs.layout", [str(output.resolve()), method, split,
                                                             *(str(path.resolve()) for path in paths)], log)
        directory.write_json(output.with_suffix(".json"), process)
    return output


def state(output: Path) -> LayoutState:
    """Whether a layout is being computed, how far it is, and what went wrong."""
    try:
        process = directory.read_json(output.with_suffix(".json"))
    except FileNotFoundError:
        return LayoutState(is_running=False)
    log = output.with_suffix(".log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = log[-1] if log else "starting"
    if jobs.is_alive(process["pid"], process["pid_created"]):
        return LayoutState(is_running=True, phase=last)
    return LayoutState(is_running=False, error="" if output.is_file() else last)


def cancel(output: Path) -> None:
    """Ends the process that computes a layout, and forgets it."""
    process = directory.read_json(output.with_suffix(".json"))
    jobs.kill(process["pid"], process["pid_created"])
    output.with_suffix(".json").unlink(missing_ok=True)


def read(output: Path) -> list[np.ndarray]:
    """The layouts in the order of their tables, each of shape (n, 2), float32."""
    with np.load(output, allow_pickle=False) as found:
        return [found[name] for name in sorted(found.files)]


def main(arguments: list[str]) -> None:
    """Entry point of `python -m core.runs.layout OUTPUT METHOD SPLIT TABLE…`."""
    output, method, split, *paths = arguments
    layouts: dict[str, np.ndarray] = {}
    first: np.ndarray | None = None
    spaces = tables.shared_rows([tables.read(Path(path)).of_split(split) for path in paths])
    for number, space in enumerate(spaces):
        print(f"laying out space {number + 1} of {len(paths)}", flush=True)
        layout = projection.project(space.embedding, method, start=first)
        first = layout if first is None else first
        layouts[f"layout_{number}"] = layout
    temporary = Path(output).with_suffix(".tmp.npz")
    np.savez(temporary, **layouts)
    os.replace(temporary, output)


if __name__ == "__main__":
    main(sys.argv[1:])
