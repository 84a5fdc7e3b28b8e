"""Each image decoded once: a memory-mapped uint8 array that every run and page shares.

Images are resized so that the shorter side is `size` and cropped in the middle, which is the start of timm's own
evaluation transform; the last crop to the encoder's input size happens on the device.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.lib.format import open_memmap
from PIL import Image, ImageOps

from core.data.manifest import Manifest
from core.data.sources import Source

Progress = Callable[[int, int], None]


def cache_path(cache: Path, manifest: Manifest, size: int) -> Path:
    """Where the decoded pixels of a dataset at one size lie; a changed image changes the fingerprint and so the name."""
    return cache / f"{manifest.fingerprint}-{size}.npy"


def load(manifest: Manifest, source: Source, size: int, cache: Path, progress: Progress | None = None) -> np.ndarray:
    """Opens the decoded images, decoding them first if no one has.

    Args:
        manifest: the samples; row i of the result is its sample i.
        source: reads one sample's image.
        size: side of the stored square, in pixels.
        cache: folder for decoded datasets.
        progress: called with (done, total) while decoding.

    Returns:
        Pixels, shape (n, size, size, 3), uint8, memory-mapped read-only.

    Raises:
        OSError: if the disk is full or an image has gone since the scan; no half-written file is left.
    """
    path = cache_path(cache, manifest, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            _decode(manifest, source, size, path, progress)
    return np.load(path, mmap_mode="r")


def _decode(manifest: Manifest, source: Source, size: int, path: Path, progress: Progress | None) -> None:
    needed = len(manifest) * size * size * 3
    free = os.statvfs(path.parent).f_bavail * os.statvfs(path.parent).f_frsize
    if free < needed:
        raise OSError(f"decoded images need {needed / 1e9:.2f} GB in {path.parent}, {free / 1e9:.2f} GB are free")
    handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        pixels = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(manifest), size, size, 3))
        for row, sample_id in enumerate(manifest.sample_id.tolist()):
            pixels[row] = square(source.image(sample_id), size)
            if progress:
                progress(row + 1, len(manifest))
        pixels.flush()
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def square(image: Image.Image, size: int) -> np.ndarray:
    """Shorter side to `size` (bicubic, antialiased), middle square; shape (size, size, 3), uint8."""
    if max(image.size) > 4 * min(image.size):  # a strip: most of it is cut off anyway, so it is never enlarged whole
        image = ImageOps.fit(image, tuple(min(side, 4 * min(image.size)) for side in image.size))
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + size, top + size)))
