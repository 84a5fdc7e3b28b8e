"""An encoder over images: one vector per sample, with the deterministic evaluation view unless a fault was asked for."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from core.config import AugmentationConfig
from core.errors import InputError
from core.training.augmentation import augment, center, draw
from core.training.device import placed
from core.training.encoder import DataConfig
from core.training.images import Images


def embed(encoder: nn.Module, data: DataConfig, pixels: np.ndarray, rows: np.ndarray, device: torch.device,
          normalize: bool = True, batch_size: int = 256, progress: Callable[[int, int], None] | None = None,
          flip_seed: int | None = None, is_half: bool = True) -> np.ndarray:
    """Pooled features of some samples, in the order of `rows`.

    Args:
        encoder: images (b, 3, s, s) -> features (b, D).
        data: the encoder's input.
        pixels: stored images, shape (n, S, S, 3), uint8.
        rows: which of them, shape (m,), int64.
        device: where to compute.
        normalize: scale each vector to length 1.
        batch_size: images per forward pass.
        progress: called with (done, total).
        flip_seed: seed of the images that are mirrored, each with a chance of one half; None mirrors none.
        is_half: a GPU computes in bfloat16, which is for watching; vectors that are taken along are float32's.

    Returns:
        Vectors, shape (m, D), float32.

    Raises:
        InputError: if there are no rows, or a vector is not finite, or is zero and was to be normalised.
    """
    if len(rows) == 0:
        raise InputError("rows to embed must be at least one, got none")
    encoder = placed(encoder, device).eval()
    images = Images(pixels, rows, device, is_resident=False)
    drawn = None if flip_seed is None else draw(len(rows), AugmentationConfig(crop_scale=None),
                                                torch.Generator().manual_seed(flip_seed))
    chunks = [rows[start:start + batch_size] for start in range(0, len(rows), batch_size)]
    parts: list[torch.Tensor] = []
    with ThreadPoolExecutor(1) as reader:  # the next images are read while these are embedded
        coming = reader.submit(images.take, chunks[0])
        for number in range(1, len(chunks) + 1):
            batch = coming.result()
            if number < len(chunks):
                coming = reader.submit(images.take, chunks[number])
            with torch.inference_mode(), _precision(device, is_half):
                here = slice((number - 1) * batch_size, number * batch_size)
                view = center(batch, data) if drawn is None else augment(batch, drawn.part(here), data)
                parts.append(encoder(view).float())
            if progress:
                progress(min(number * batch_size, len(rows)), len(rows))
    vectors = torch.cat(parts).cpu().numpy()
    if not np.isfinite(vectors).all():
        raise InputError("embeddings must be finite, got nan or infinity; the encoder has diverged (lower training.lr)")
    return unit(vectors) if normalize else vectors.astype(np.float32)


@contextmanager
def _precision(device: torch.device, is_half: bool) -> Iterator[None]:
    """Computes in bfloat16 on a GPU; or, on any device, in float32 without TF32, which has the 10 bits of a half float."""
    if is_half:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            yield
        return
    cudnn, matmul = torch.backends.cudnn, torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with cudnn.flags(enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic,
                         allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors scaled to length 1; shape (n, D), float32.

    Raises:
        InputError: if one is zero.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    if (length == 0).any():
        raise InputError(f"embeddings to normalise must not be zero, got {(length == 0).sum()} zero vectors")
    return (vectors / length).astype(np.float32)
