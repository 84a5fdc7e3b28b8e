"""Stored images on their way to the device: all of them there where they fit, else a batch at a time."""

import mmap

import numpy as np
import torch

RESIDENT_SHARE = 0.5  # of the device's free memory that stored images may take


class Images:
    """Some of a dataset's stored images, read as batches on the device.

    Args:
        pixels: stored images of the whole dataset, shape (n, S, S, 3), uint8.
        rows: those that may be asked for, shape (m,), int64.
        device: where they are needed.
        is_resident: keep them all on a GPU that has room for them; not worth it for what is read once.
    """

    def __init__(self, pixels: np.ndarray, rows: np.ndarray, device: torch.device, is_resident: bool = True) -> None:
        self._pixels, self._device = pixels, device
        self._resident: torch.Tensor | None = None
        if is_resident and device.type == "cuda":
            n_bytes = len(rows) * int(np.prod(pixels.shape[1:]))
            if n_bytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
                rows = np.sort(rows)
                self._place = np.full(len(pixels), -1, np.int64)
                self._place[rows] = np.arange(len(rows))
                self._resident = torch.from_numpy(np.ascontiguousarray(pixels[rows])).to(device)

    def take(self, rows: np.ndarray) -> torch.Tensor:
        """The images of some rows, in order; shape (b, S, S, 3), uint8, on the device."""
        if self._resident is not None:
            index = torch.from_numpy(self._place[rows]).to(self._device, non_blocking=True)
            return self._resident.index_select(0, index)
        batch = torch.from_numpy(np.ascontiguousarray(self._pixels[rows]))
        return batch.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else batch

    def expect(self, rows: np.ndarray) -> None:
        """Has the disk read what is not in memory yet of the images of some rows, without waiting for it."""
        if self._resident is None and isinstance(self._pixels, np.memmap) and isinstance(self._pixels.base, mmap.mmap):
            n_bytes = self._pixels[0].nbytes
            first = self._pixels.offset % mmap.ALLOCATIONGRANULARITY  # the map begins with the page that holds the first byte
            for row in rows.tolist():
                start = first + row * n_bytes
                page = start % mmap.PAGESIZE
                self._pixels.base.madvise(mmap.MADV_WILLNEED, start - page, n_bytes + page)
