"""Stored pixels to encoder input, in batched tensor operations on the device.

Training: per-sample random resized crop, flip, brightness and contrast. Evaluation: the middle crop, nothing random.
"""

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from core.config import AugmentationConfig
from core.training.encoder import DataConfig


def augment(pixels: torch.Tensor, config: AugmentationConfig, data: DataConfig,
            generator: torch.Generator) -> torch.Tensor:
    """One random view of each image.

    Args:
        pixels: stored squares, shape (b, S, S, 3), uint8, on the device.
        config: what may vary.
        data: the encoder's size, mean and std.
        generator: source of every random number, on the CPU so that devices agree.

    Returns:
        Normalised images, shape (b, 3, s, s), float32, channels last.
    """
    n = len(pixels)

    def uniform(low: float, high: float) -> torch.Tensor:
        return (torch.rand(n, generator=generator) * (high - low) + low).to(pixels.device)

    size = data.image_size
    if config.crop_scale is None:
        images = _middle(pixels, data)
        if config.flip:
            images = torch.where((uniform(0, 1) < 0.5).view(-1, 1, 1, 1), images.flip(3), images)
        return _normalize(_jitter(images, config, uniform), data)
    images = _to_float(pixels)
    area = uniform(*config.crop_scale)
    ratio = torch.exp(uniform(math.log(3 / 4), math.log(4 / 3)))  # aspect as in torchvision's RandomResizedCrop
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    x, y = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
    if config.flip:
        width = torch.where(uniform(0, 1) < 0.5, -width, width)
    zero = torch.zeros_like(x)
    affine = torch.stack([torch.stack([width, zero, x], 1), torch.stack([zero, height, y], 1)], 1)
    grid = F.affine_grid(affine, [n, 3, size, size], align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return _normalize(_jitter(images, config, uniform), data)


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


def _jitter(images: torch.Tensor, config: AugmentationConfig, uniform: Callable[[float, float], torch.Tensor]) -> torch.Tensor:
    if not config.jitter:
        return images
    brightness = uniform(1 - config.jitter, 1 + config.jitter).view(-1, 1, 1, 1)
    contrast = uniform(1 - config.jitter, 1 + config.jitter).view(-1, 1, 1, 1)
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * contrast + mean).clamp(0, 1)


def _to_float(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


def _normalize(images: torch.Tensor, data: DataConfig) -> torch.Tensor:
    mean = torch.tensor(data.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(data.std, device=images.device).view(1, 3, 1, 1)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)
