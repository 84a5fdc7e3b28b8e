"""Stored images on their way to the device: the very rows that are asked for, and the disk told in time."""

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from core.training.images import Images
from tests.waiting import until

CPU = torch.device("cpu")
ROWS = np.array([511, 0, 37])  # the last image, the first, and one that begins in the middle of a page


@pytest.fixture
def stored(tmp_path: Path) -> np.memmap:
    """512 images of 60 × 60, on disk."""
    path = tmp_path / "pixels.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (512, 60, 60, 3), np.uint8))
    return np.load(path, mmap_mode="r")


def pages_in_memory(pixels: np.memmap, rows: np.ndarray) -> float:
    """Share of the pages of some rows that the system holds in memory."""
    n_pages = -(-(pixels.offset + pixels.nbytes) // mmap.PAGESIZE)
    held = (ctypes.c_ubyte * n_pages)()
    start = ctypes.c_void_p(pixels.ctypes.data - pixels.offset)
    assert ctypes.CDLL(None, use_errno=True).mincore(start, ctypes.c_size_t(n_pages * mmap.PAGESIZE), held) == 0
    size, first = pixels[0].nbytes, pixels.offset + rows * pixels[0].nbytes
    asked = [page for place in first for page in range(place // mmap.PAGESIZE, (place + size - 1) // mmap.PAGESIZE + 1)]
    return float(np.mean([held[page] & 1 for page in asked]))


def test_images_are_taken_in_the_order_asked_for(stored: np.memmap) -> None:
    images = Images(stored, np.arange(512), CPU)
    assert np.array_equal(images.take(ROWS).numpy(), stored[ROWS])


def test_expecting_images_fetches_them_and_no_others_from_the_disk(stored: np.memmap) -> None:
    file = os.open(stored.filename, os.O_RDONLY)
    os.fsync(file)
    stored._mmap.madvise(mmap.MADV_DONTNEED)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)
    if pages_in_memory(stored, np.arange(512)) > 0.5:
        pytest.skip("this file system keeps everything in memory")
    Images(stored, np.arange(512), CPU).expect(ROWS)
    until(lambda: pages_in_memory(stored, ROWS) == 1, seen=lambda: pages_in_memory(stored, ROWS))
    assert pages_in_memory(stored, np.arange(100, 400)) < 0.5


def test_images_that_are_in_memory_anyway_can_be_expected_too() -> None:
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    images = Images(pixels, np.arange(4), CPU)
    images.expect(np.array([3]))
    assert images.take(np.array([3])).shape == (1, 8, 8, 3)
