"""Datasets to manifests: scikit-learn's digits, and any folder of class folders.

Every file is decoded once while scanning, so a file that cannot be read is named and left out here, never
replaced by another sample later.
"""

import hashlib
import io
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from core.config import DatasetConfig
from core.data.manifest import Manifest, Unreadable

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
MAX_PIXELS = 100_000_000  # larger files are listed as unreadable; Pillow warns of a bomb near here too

# What `decode` and Pillow raise on files that are not what they seem.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, TypeError, IndexError, KeyError, OverflowError,
              ZeroDivisionError, Image.DecompressionBombError)

Progress = Callable[[int, int], None]


class Source(Protocol):
    """Where images come from: scanned once into a manifest, then read sample by sample."""

    def scan(self, progress: Progress | None = None) -> Manifest:
        """All samples, without a split. `progress(done, total)` is called as files are read."""

    def image(self, sample_id: str) -> Image.Image:
        """One sample as an RGB image, upright."""


def open_source(config: DatasetConfig) -> Source:
    """The source a dataset config names.

    Raises:
        FileNotFoundError: if its folder is missing.
    """
    return Digits() if config.source == "digits" else Folder(Path(config.root), config.group_by)


class Digits:
    """scikit-learn's 1,797 handwritten digits, 8 × 8 grey levels, 10 classes (Alpaydin & Kaynak, 1998, UCI)."""

    def scan(self, progress: Progress | None = None) -> Manifest:
        levels, labels = _digits()
        ids = [f"{label}/{index:04d}" for index, label in enumerate(labels)]
        digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in levels]
        return _manifest(ids, [str(label) for label in labels], ids, digests, ())

    def image(self, sample_id: str) -> Image.Image:
        levels, _ = _digits()
        return Image.fromarray(levels[int(sample_id.partition("/")[2])]).convert("RGB")


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # 1 s to import: only when the digits are asked for

    digits = load_digits()
    levels = np.round(digits.images * (255 / 16)).astype(np.uint8)  # 8-bit grey from the set's 0..16
    return levels, digits.target


class Folder:
    """A folder with one folder of images per class.

    Args:
        root: the folder; images may lie deeper inside a class folder.
        group_by: regular expression over the path relative to `root`; its one group names the sample's group.
            None makes every sample a group of its own.
    """

    def __init__(self, root: Path, group_by: str | None = None) -> None:
        if not root.is_dir():
            raise FileNotFoundError(f"dataset.root must be a folder of class folders, found none at {root}")
        self._root = root
        self._group_by = re.compile(group_by) if group_by else None

    def scan(self, progress: Progress | None = None) -> Manifest:
        """Reads every image once.

        Raises:
            ValueError: if there are no images, fewer than two classes, or a path that `group_by` does not match.
        """
        paths = sorted(self._candidates())
        if not paths:
            raise ValueError(f"dataset.root must hold one folder of images per class, found no images in {self._root}")
        done = 0
        digests: dict[str, str] = {}
        unreadable = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow releases the GIL while it decodes
            for path, (digest, reason) in zip(paths, pool.map(self._check, paths)):
                if reason:
                    unreadable.append(Unreadable(path.encode(errors="backslashreplace").decode(), reason))
                else:
                    digests[path] = digest
                done += 1
                if progress:
                    progress(done, len(paths))
        ids = list(digests)
        labels = [path.partition("/")[0] for path in ids]
        if len(set(labels)) < 2:
            found = ", ".join(sorted(set(labels))) or "none readable"
            raise ValueError(f"dataset.root must hold at least two class folders with images, "
                             f"found {found} in {self._root}")
        return _manifest(ids, labels, [self._group(path) for path in ids], list(digests.values()), tuple(unreadable))

    def image(self, sample_id: str) -> Image.Image:
        return decode(self._root.joinpath(*PurePosixPath(sample_id).parts).read_bytes())

    def _candidates(self) -> Iterator[str]:
        for folder in sorted(self._root.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                for path in walk_images(folder):
                    yield path.relative_to(self._root).as_posix()

    def _check(self, path: str) -> tuple[str, str]:
        try:
            path.encode()  # a name that is no text could not be written down
            file = self._root / path
            if not stat.S_ISREG(file.stat().st_mode):
                return "", "not a regular file"
            content = file.read_bytes()
            decode(content)
            return hashlib.sha256(content).hexdigest(), ""
        except UNREADABLE as error:
            return "", reason(error)

    def _group(self, path: str) -> str:
        if self._group_by is None:
            return path
        match = self._group_by.search(path)
        if match is None or match.group(1) is None:
            raise ValueError(f"dataset.group_by must match every path, got no match of "
                             f"{self._group_by.pattern!r} in {path!r}")
        return match.group(1)


def walk_images(folder: Path) -> Iterator[Path]:
    """Files below a folder that are named like images, hidden ones left out; links to folders are not followed."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(parent, name)


def decode(content: bytes) -> Image.Image:
    """An image file's bytes as an upright RGB image.

    Transparency is laid on white, 16-bit levels are scaled to 8 bits, the first frame of an animation is taken.

    Raises:
        OSError: if the bytes are not a whole image.
        ValueError: if there are none, or more pixels than `MAX_PIXELS`.
    """
    if not content:
        raise ValueError("the file is empty")
    try:
        image = Image.open(io.BytesIO(content))
    except OSError:
        raise ValueError("not an image file that can be read") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} × {image.height} pixels are more than {MAX_PIXELS:,}")
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.float32)
        image = Image.fromarray((levels / 257).clip(0, 255).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def reason(error: Exception) -> str:
    """Why a file was left out, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _manifest(ids: list[str], labels: list[str], groups: list[str], digests: list[str],
              unreadable: tuple[Unreadable, ...]) -> Manifest:
    def column(values: list[str]) -> np.ndarray:
        return np.array(values, dtype=object)

    return Manifest(sample_id=column(ids), label=column(labels), group=column(groups), digest=column(digests),
                    split=column([""] * len(ids)), unreadable=unreadable)
