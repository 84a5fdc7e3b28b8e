"""Each image decoded once: a memory-mapped uint8 array that every run and page shares.

Images are resized and cropped as `core.data.preprocessing` says, which is the start of timm's own evaluation transform; the
last crop to the encoder's input size happens on the device.
"""

import errno
import math
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from core import files
from core.data import processes, reading
from core.data.manifest import Manifest
from core.data.preprocessing import AnyGeometry, RoundedGeometry
from core.data.scan import Progress
from core.data.sources import Source

_CHUNK = 32  # images handed over at a time
_SYNC_SECONDS = 0.3  # between writings to the disk itself


def cache_path(cache: Path, manifest: Manifest, geometry: AnyGeometry | int) -> Path:
    """Path of a dataset's decoded pixels in one geometry; other images, another order or other levels have another path."""
    return cache / f"{manifest.row_key}{manifest.levels.key}-{_geometry(geometry).key}.npy"


def load(manifest: Manifest, source: Source, geometry: AnyGeometry | int, cache: Path,
         progress: Progress | None = None) -> np.ndarray:
    """Opens the decoded images; decodes them first if that has not been done.

    Args:
        manifest: the samples; row i of the result is its sample i.
        source: reads one sample's image.
        geometry: how an image becomes a square; a number is the side of a plain middle square, in pixels.
        cache: folder for decoded datasets.
        progress: called with (done, total) while decoding.

    Returns:
        Pixels, shape (n, S, S, 3), uint8, memory-mapped read-only; S is the geometry's side.

    Raises:
        OSError: if the disk is full or an image has gone since the scan; no half-written file is left.
        InputError: if an image has changed since the scan.
    """
    geometry = _geometry(geometry)
    path = cache_path(cache, manifest, geometry)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            _decode(manifest, source, geometry, path, progress)
    return np.load(path, mmap_mode="r")


def _decode(manifest: Manifest, source: Source, geometry: AnyGeometry, path: Path, progress: Progress | None) -> None:
    shape = (len(manifest), geometry.side, geometry.side, 3)
    _check_space(path.parent, math.prod(shape))
    files.sweep(path.parent)  # what a kill left, as large as this
    with files.replacing(path) as temporary, temporary.open("w+b") as file:
        try:
            start = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape).offset
            files.reserve_space(file.fileno(), start + math.prod(shape))  # a disk too full is noticed before the work
            synced = time.monotonic()
            for done in _filled(manifest, source, geometry, file.name, start):
                if progress:
                    progress(done, len(manifest))
                if time.monotonic() > synced + _SYNC_SECONDS:
                    files.sync_content(file.fileno())  # while the others decode; at the end all would wait for it
                    synced = time.monotonic()
        except OSError as error:
            if error.errno == errno.ENOSPC:
                file.truncate(0)
                _check_space(path.parent, math.prod(shape))  # says how much is lacking
            raise


def _filled(manifest: Manifest, source: Source, geometry: AnyGeometry, file: str, start: int) -> Iterator[int]:
    """Writes each square to its place behind `start`; yields how many are done."""
    samples = list(zip(range(len(manifest)), manifest.sample_id, manifest.digest))
    chunks = [samples[first:first + _CHUNK] for first in range(0, len(samples), _CHUNK)]
    done = 0
    is_deep = manifest.levels.ranges or manifest.levels.is_assumed
    read = partial(source.image, levels=manifest.levels) if is_deep else source.image
    for n in processes.in_parallel(partial(reading.store, read, geometry, file, start), chunks,
                                   in_processes=source.root is not None and len(samples) >= processes.MANY):
        done += n
        yield done


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"decoded images need {needed / 1e9:.2f} GB of disk space, {free / 1e9:.2f} GB are free",
                      str(folder))


def square(image: Image.Image, geometry: AnyGeometry | int) -> np.ndarray:
    """The square that is stored of an image; shape (S, S, 3), uint8. A number for the geometry as in `load`."""
    return np.asarray(_geometry(geometry).square(image))


def _geometry(geometry: AnyGeometry | int) -> AnyGeometry:
    return RoundedGeometry(geometry, geometry) if isinstance(geometry, int) else geometry
