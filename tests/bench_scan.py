"""How fast images are scanned and decoded, as ratios to plain Pillow taken in the same run, in turn.

    python -m tests.bench_scan FOLDER

Plain Pillow: one file after another on one core, opened and brought to RGB; for the second ratio also resized to the
stored square. The target is 0.9 × the number of cores.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from core.config import DatasetConfig
from core.data import pixels, sources

SIZE = 146  # stored side for an encoder of 128 px with a crop of 0.875


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="a folder of class folders")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    source = sources.open_source(DatasetConfig(source="folder", root=str(options.folder)))
    manifest = source.scan()
    paths = [options.folder / name for name in manifest.sample_id.tolist()]

    def plain(path: Path) -> Image.Image:
        with Image.open(path) as image:
            return image.convert("RGB")

    def decode_anew(folder: Path) -> None:
        pixels.load(manifest, source, SIZE, folder)

    found: dict[str, list[float]] = {name: [] for name in ("plain", "scan", "again", "plain square", "decode")}
    for _ in range(options.rounds):
        folder = Path(tempfile.mkdtemp())
        found["plain"].append(timed(lambda: [plain(path) for path in paths]))
        found["scan"].append(timed(lambda folder=folder: source.scan(cache=folder)))
        found["again"].append(timed(lambda folder=folder: source.scan(cache=folder)))
        found["plain square"].append(timed(lambda: [pixels.square(plain(path), SIZE) for path in paths]))
        found["decode"].append(timed(lambda folder=folder: decode_anew(folder)))
        shutil.rmtree(folder)
    seconds = {name: statistics.median(values) for name, values in found.items()}
    n_cores = os.cpu_count()
    print(f"{len(paths):,} images, {n_cores} cores, medians of {options.rounds}")
    print(f"scan ÷ plain Pillow: {seconds['plain'] / seconds['scan']:.2f} ({len(paths) / seconds['scan']:,.0f} images/s)")
    print(f"decode to stored squares ÷ the same by plain Pillow: {seconds['plain square'] / seconds['decode']:.2f} "
          f"({len(paths) / seconds['decode']:,.0f} images/s)")
    both = (seconds["plain"] + seconds["plain square"]) / (seconds["scan"] + seconds["decode"])
    print(f"both ÷ both: {both:.2f}; target {0.9 * n_cores:.1f}")
    print(f"second scan: {seconds['again']:.2f} s")


if __name__ == "__main__":
    main()
