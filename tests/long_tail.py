"""Long-tailed copies of datasets: as many images of class k of K as most · (fewest / most)^(k / (K − 1)), rounded, for k = 0 …
(exponential imbalance: Cui et al., 2019, arXiv:1901.05555, section 5.1; Cao et al., 2019, arXiv:1906.07413)."""

import csv
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

Range = tuple[int, int]  # images of the most frequent class, and of the rarest


def exponential(sizes: Range, n_classes: int) -> np.ndarray:
    """How many images each class has, the most frequent first; shape (n_classes,), int."""
    most, fewest = sizes
    return np.rint(most * (fewest / most) ** (np.arange(n_classes) / (n_classes - 1))).astype(int)


def digits(folder: Path) -> Path:
    """Writes scikit-learn's digits below a folder: 90 to 5 training and 60 to 12 test images a class; returns the table."""
    by_class: dict[str, list[Path]] = defaultdict(list)
    folder.mkdir(parents=True)
    levels, labels = load_digits(return_X_y=True)
    for number, (row, label) in enumerate(zip(levels.reshape(-1, 8, 8), labels)):
        path = folder / f"{label}-{number}.png"
        Image.fromarray((row * 255 / 16).astype(np.uint8)).save(path)
        by_class[str(label)].append(path)
    return _table(folder, by_class, {"train": (90, 5), "validation": (8, 8), "test": (60, 12)})


def pets(images: Path, folder: Path) -> Path:
    """Copies a sample of ten pets a breed: 6 to 2 training images a breed, two of each to validate and two to test, breeds in
    the order of their names; returns the table."""
    by_class: dict[str, list[Path]] = defaultdict(list)
    folder.mkdir(parents=True)
    for path in sorted(images.glob("*.jpg")):
        by_class[path.stem.rpartition("_")[0]].append(Path(shutil.copy(path, folder)))
    return _table(folder, by_class, {"train": (6, 2), "validation": (2, 2), "test": (2, 2)})


def _table(folder: Path, by_class: dict[str, list[Path]], sizes: dict[str, Range]) -> Path:
    generator = np.random.default_rng(0)
    lines = []
    for rank, (label, paths) in enumerate(sorted(by_class.items())):
        shuffled = iter(generator.permutation(np.array(paths, dtype=object)))
        for split, ends in sizes.items():
            count = exponential(ends, len(by_class))[rank]
            lines += [(next(shuffled).name, label, split) for _ in range(count)]
    table = folder / "long_tail.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *lines])
    return table
