"""How fast images are scanned and decoded, as ratios to plain Pillow taken in the same run, in turn.

    python -m benchmarks.scan FOLDER [--source oxford_pet]

Plain Pillow: one file after another on one core, opened and brought to RGB; for the second ratio also resized to the
stored square. The target is 0.9 × the number of cores. What the cores are worth is measured too: as many processes of plain
Pillow, each with its share of the files, which share nothing and write nothing.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image

from core.config import DatasetConfig
from core.data import pixels, sources

SIZE = 146  # stored side for an encoder of 128 px with a crop of 0.875


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def plain(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def plain_squares(paths: list[Path]) -> None:
    for path in paths:
        pixels.square(plain(path), SIZE)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="dataset.root")
    parser.add_argument("--source", default="folder", help="dataset.source")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    source = sources.open_source(DatasetConfig(source=options.source, root=str(options.folder)))
    manifest = source.scan()
    paths = [options.folder / name for name in manifest.sample_id.tolist()]

    def decode_anew(folder: Path) -> None:
        pixels.load(manifest, source, SIZE, folder)

    n_cores = os.cpu_count()
    found: dict[str, list[float]] = {name: [] for name in ("plain", "scan", "again", "plain square", "decode", "processes")}
    processes = ProcessPoolExecutor(n_cores)
    shares = [paths[start::n_cores] for start in range(n_cores)]
    list(processes.map(plain_squares, [share[:8] for share in shares]))  # they are there
    for _ in range(options.rounds):
        folder = Path(tempfile.mkdtemp())
        found["plain"].append(timed(lambda: [plain(path) for path in paths]))
        found["scan"].append(timed(lambda folder=folder: source.scan(cache=folder)))
        found["again"].append(timed(lambda folder=folder: source.scan(cache=folder)))
        found["plain square"].append(timed(lambda: plain_squares(paths)))
        found["decode"].append(timed(lambda folder=folder: decode_anew(folder)))
        found["processes"].append(timed(lambda: list(processes.map(plain_squares, shares))))
        shutil.rmtree(folder)
    seconds = {name: statistics.median(values) for name, values in found.items()}

    def ratio(slow: str, fast: str) -> str:
        ratios = [a / b for a, b in zip(found[slow], found[fast])]
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"

    print(f"{len(paths):,} images, {n_cores} cores, medians of {options.rounds} rounds, each ratio taken within a round")
    print(f"scan ÷ plain Pillow: {ratio('plain', 'scan')} ({len(paths) / seconds['scan']:,.0f} images/s)")
    print(f"decode to stored squares ÷ the same by plain Pillow: {ratio('plain square', 'decode')} "
          f"({len(paths) / seconds['decode']:,.0f} images/s)")
    found["both plain"] = [a + b for a, b in zip(found["plain"], found["plain square"])]
    found["both"] = [a + b for a, b in zip(found["scan"], found["decode"])]
    print(f"both ÷ both: {ratio('both plain', 'both')}; target {0.9 * n_cores:.1f}")
    print(f"{n_cores} processes of plain Pillow ÷ one, to stored squares: {ratio('plain square', 'processes')}")
    print(f"second scan: {seconds['again']:.2f} s")


if __name__ == "__main__":
    main()
