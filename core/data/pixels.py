"""Each image decoded once: a memory-mapped uint8 array that every run and page shares.

Images are resized so that the shorter side is `size` and cropped in the middle, which is the start of timm's own
evaluation transform; the last crop to the encoder's input size happens on the device.
"""

import errno
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.lib.format import open_memmap
from PIL import Image, ImageOps

from core.data.manifest import Manifest
from core.data.scan import Progress
from core.data.sources import Source

_CHUNK = 32  # images a thread takes at a time


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
        ValueError: if an image has changed since the scan.
    """
    path = cache_path(cache, manifest, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            _decode(manifest, source, size, path, progress)
    return np.load(path, mmap_mode="r")


def _decode(manifest: Manifest, source: Source, size: int, path: Path, progress: Progress | None) -> None:
    _check_space(path.parent, len(manifest) * size * size * 3)
    handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
    os.close(handle)
    pool = ThreadPoolExecutor(os.cpu_count())  # Pillow releases the GIL while it decodes and resizes
    try:
        pixels = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(manifest), size, size, 3))
        _reserve(Path(temporary))

        def fill(rows: range) -> int:
            for row in rows:
                pixels[row] = square(source.image(manifest.sample_id[row], manifest.digest[row]), size)
            return rows.stop

        for done in pool.map(fill, (range(start, min(start + _CHUNK, len(manifest)))
                                    for start in range(0, len(manifest), _CHUNK))):
            if progress:
                progress(done, len(manifest))
        pixels.flush()
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"decoded images need {needed / 1e9:.2f} GB of disk space, {free / 1e9:.2f} GB are free",
                      str(folder))


def _reserve(path: Path) -> None:
    """Claims a file's disk space before it is filled: writing to mapped memory without disk behind it kills the process."""
    size = path.stat().st_size
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _check_space(path.parent, size)  # says how much is lacking
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
