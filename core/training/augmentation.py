"""Stored pixels to encoder input, in batched tensor operations on the device.

Training: per-sample random resized crop, flip, brightness, contrast, saturation. Evaluation: the middle crop, nothing random.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch.nn import functional as F

from core.config import AugmentationConfig
from core.training.encoder import DataConfig


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

    def part(self, place: slice) -> "Drawn":
        """What was decided for some of the views."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Drawn(**{name: None if value is None else value[place] for name, value in values.items()})


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
    if drawn.window is None:
        images = _middle(pixels, data)
        if drawn.is_mirrored is not None:
            images = torch.where(drawn.is_mirrored.to(pixels.device).view(-1, 1, 1, 1), images.flip(3), images)
    else:
        window = drawn.window.to(pixels.device, non_blocking=True)
        grid = F.affine_grid(window, [len(pixels), 3, data.image_size, data.image_size], align_corners=False)
        images = F.grid_sample(_to_float(pixels), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return _normalize(_jitter(images, drawn), data)


def center(pixels: torch.Tensor, data: DataConfig) -> torch.Tensor:
    """The evaluation view: middle crop, normalised.

    Args:
        pixels: stored squares, shape (b, S, S, 3), uint8.
        data: the encoder's size, mean and std.

    Returns:
        Normalised images, shape (b, 3, s, s), float32, channels last.
    """
    return _normalize(_middle(pixels, data), data)


def _middle(pixels: torch.Tensor, data: DataConfig) -> torch.Tensor:
    offset = (pixels.shape[1] - data.image_size) // 2
    window = slice(offset, offset + data.image_size)
    return _to_float(pixels[:, window, window])


def _jitter(images: torch.Tensor, drawn: Drawn) -> torch.Tensor:
    if drawn.brightness is None:
        return images
    brightness, contrast, saturation = (factor.to(images.device, non_blocking=True).view(-1, 1, 1, 1)
                                        for factor in (drawn.brightness, drawn.contrast, drawn.saturation))
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * contrast + mean
    grey = images.mean(dim=1, keepdim=True)
    return ((images - grey) * saturation + grey).clamp(0, 1)


def _to_float(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


def _normalize(images: torch.Tensor, data: DataConfig) -> torch.Tensor:
    mean = torch.tensor(data.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(data.std, device=images.device).view(1, 3, 1, 1)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)
