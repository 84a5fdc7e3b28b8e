"""What commands print, and where they may write."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from core.errors import InputError, NotFound
from core.visible import visible


def say(text: str, file: TextIO | None = None) -> None:
    """Prints a line; a name in it can neither steer the terminal nor begin another line."""
    print(visible(text), file=file or sys.stdout)


def aligned(lines: list[list[str]], to_left: tuple[int, ...]) -> str:
    """Lines of cells as a table, the first line its head; the named columns to the left, the others to the right."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["  ".join(cell.ljust(width) if place in to_left else cell.rjust(width)
                      for place, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]
    text.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(text)


def check_output(path: Path, suffixes: tuple[str, ...], option: str = "--output") -> None:
    """Refuses a file that cannot be written before any work is done.

    Raises:
        InputError: if its name ends otherwise, or a folder lies there.
        NotFound: if the folder it would lie in does not exist.
    """
    if path.suffix not in suffixes:
        raise InputError(f"{option} must end in {' or '.join(suffixes)}, got {path}")
    if path.is_dir():
        raise InputError(f"{option} must be a file, got the folder {path}")
    if not path.parent.is_dir():
        raise NotFound(f"{option} must lie in a folder that exists, got {path}")


def on_bar(bar: tqdm) -> Callable[[int, int], None]:
    """A callback that moves a progress bar; takes how much is done, and of how much."""
    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return progress
