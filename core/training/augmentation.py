"""Stored pixels to encoder input, in batched tensor operations on the device.

Training: per-sample random resized crop, flip, brightness, contrast, saturation. Evaluation: the middle crop, nothing random.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch.nn import functional as F

from core.config import AugmentationConfig
from core.training.encoder import DataConfig

_PART = 4  # images that a CPU's caches hold


@dataclass(frozen=True)
class Drawn:
    """What chance decided for n views; a part of it goes with the same part of their images.

    Attributes:
        window: where each is cut out, as affine maps, shape (n, 2, 3); None for the middle crop. A mirrored one has a
            negative width.
        is_mirrored: shape (n,), bool; None where the window says so, or nothing is mirrored.
        brightness, contrast, saturation: factors, shape (n,); None without jitter.
    """

    window: torch.Tensor | None = None
    is_mirrored: torch.Tensor | None = None
    brightness: torch.Tensor | None = None
    contrast: torch.Tensor | None = None
    saturation: torch.Tensor | None = None

    def part(self, views: slice) -> "Drawn":
        """What was decided for some of the views."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Drawn(**{name: None if value is None else value[views] for name, value in values.items()})


def draw(n: int, config: AugmentationConfig, generator: torch.Generator) -> Drawn:
    """Decides on n views by chance.

    Args:
        n: how many.
        config: what may vary.
        generator: source of every random number, on the CPU so that devices agree.
    """
    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    window = is_mirrored = None
    if config.crop_scale is None:
        is_mirrored = uniform(0, 1) < 0.5 if config.flip else None
    else:
        area = uniform(*config.crop_scale)
        ratio = torch.exp(uniform(math.log(3 / 4), math.log(4 / 3)))  # aspect as in torchvision's RandomResizedCrop
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        x, y = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
        if config.flip:
            width = torch.where(uniform(0, 1) < 0.5, -width, width)
        zero = torch.zeros_like(x)
        window = torch.stack([torch.stack([width, zero, x], 1), torch.stack([zero, height, y], 1)], 1)
    jitter = [uniform(1 - config.jitter, 1 + config.jitter) for _ in range(3)] if config.jitter else [None] * 3
    return Drawn(window, is_mirrored, *jitter)


def augment(pixels: torch.Tensor, drawn: Drawn, data: DataConfig) -> torch.Tensor:
    """One view of each image, as chance decided.

    Args:
        pixels: stored squares, shape (b, S, S, 3), uint8, on the device.
        drawn: what was decided for these b views.
        data: the encoder's size, mean and std.

    Returns:
        Normalised images, shape (b, 3, s, s), float32, channels last.
    """
    if drawn.window is not None:
        columns, rows = _lines(drawn.window.to(pixels.device, non_blocking=True), data.image_size)

    def view(part: slice) -> torch.Tensor:
        here = drawn.part(part)
        if here.window is not None:
            levels = pixels[part].permute(0, 3, 1, 2).float()
            images = F.grid_sample(levels, _grid(columns[part], rows[part]), mode="bilinear", padding_mode="border",
                                   align_corners=False)
        else:
            images = _middle(pixels[part], data).permute(0, 3, 1, 2).float()
            if here.is_mirrored is not None:
                images = torch.where(here.is_mirrored.to(pixels.device).view(-1, 1, 1, 1), images.flip(3), images)
        return _jitter(images, here).permute(0, 2, 3, 1)

    return _normalized(view, pixels, data)


def center(pixels: torch.Tensor, data: DataConfig) -> torch.Tensor:
    """The evaluation view: middle crop, normalised.

    Args:
        pixels: stored squares, shape (b, S, S, 3), uint8.
        data: the encoder's size, mean and std.

    Returns:
        Normalised images, shape (b, 3, s, s), float32, channels last.
    """
    return _normalized(lambda part: _middle(pixels[part], data), pixels, data)


def _normalized(view: Callable[[slice], torch.Tensor], pixels: torch.Tensor, data: DataConfig) -> torch.Tensor:
    """Views of all images, each a part of them at a time, (b, s, s, 3) in levels 0 to 255; normalised, channels last.

    On a CPU a part is what its caches hold, and a row of pixels is one vector: four times as fast as whole batches.
    """
    n, size = len(pixels), data.image_size
    images = torch.empty((n, size, size, 3), device=pixels.device)
    rows = images.view(n, size, 3 * size)
    mean, std = (torch.tensor(values, device=pixels.device).repeat(size) for values in (data.mean, data.std))
    scale, shift = 1 / (255 * std), -mean / std
    step = _PART if pixels.device.type == "cpu" else max(n, 1)
    for start in range(0, n, step):
        part = slice(start, start + step)
        images[part].copy_(view(part))
        torch.addcmul(shift, rows[part], scale, out=rows[part])
    return images.permute(0, 3, 1, 2)


def _lines(window: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns and rows to sample at, as `F.affine_grid` says of windows that are not turned; shape (b, s) each."""
    steps = (2 * torch.arange(size, device=window.device) + 1) / size - 1
    return window[:, 0, :1] * steps + window[:, 0, 2:], window[:, 1, 1:2] * steps + window[:, 1, 2:]


def _grid(columns: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Where to sample, for `F.grid_sample`; shape (b, s, s, 2).

    Columns and rows lie apart in memory: twice as fast to write, and as fast to sample by.
    """
    grid = torch.empty((len(columns), 2, rows.shape[1], columns.shape[1]), device=columns.device)
    grid[:, 0], grid[:, 1] = columns[:, None, :], rows[:, :, None]
    return grid.permute(0, 2, 3, 1)


def _middle(pixels: torch.Tensor, data: DataConfig) -> torch.Tensor:
    offset = data.stored.offset(pixels.shape[1])
    window = slice(offset, offset + data.image_size)
    return pixels[:, window, window]


def _jitter(images: torch.Tensor, drawn: Drawn) -> torch.Tensor:
    if drawn.brightness is None or drawn.contrast is None or drawn.saturation is None:  # all are drawn, or none
        return images
    brightness, contrast, saturation = (factor.to(images.device, non_blocking=True).view(-1, 1, 1, 1)
                                        for factor in (drawn.brightness, drawn.contrast, drawn.saturation))
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * contrast + mean
    grey = images.mean(dim=1, keepdim=True)
    return ((images - grey) * saturation + grey).clamp(0, 255)
