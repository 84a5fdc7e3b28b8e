"""The stored squares against timm's own evaluation transform, level by level."""

from functools import cache

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform

from core.config import EncoderConfig
from core.data import pixels, preprocessing
from core.training import encoder
from core.training.augmentation import center
from core.training.encoder import DataConfig

# Width and height: plain photographs, odd ones, smaller and larger than the view, strips, lines, exact sizes.
SHAPES = [(500, 375), (375, 500), (333, 500), (201, 77), (77, 201), (97, 96), (96, 96), (160, 160), (224, 224), (256, 256),
          (109, 110), (110, 109), (64, 64), (13, 11), (1, 1), (2, 1), (1, 7), (900, 60), (60, 900), (1200, 17), (17, 1200),
          (1, 300), (300, 1), (225, 224), (224, 225), (641, 640)]
STRIPS = [(1, 2000), (2000, 1), (3, 3001), (3001, 2)]  # stretched whole they take hundreds of megabytes
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@cache
def noise(width: int, height: int) -> Image.Image:
    """Smooth colours under noise, so that every pixel's place and every filter's weights can be told."""
    generator = np.random.default_rng([width, height])
    columns, rows = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    levels = 255 * np.stack([columns, rows, (columns + rows) / 2], axis=2) + generator.normal(0, 40, (height, width, 3))
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def data_config(size: int, crop_pct: float = 0.875, interpolation: str = "bicubic", crop_mode: str = "center") -> DataConfig:
    return DataConfig(mean=MEAN, std=STD, image_size=size, crop_pct=crop_pct, interpolation=interpolation, crop_mode=crop_mode)


def view(image: Image.Image, data: DataConfig) -> np.ndarray:
    """What an encoder sees of an image, as levels; shape (s, s, 3), uint8."""
    square = pixels.square(image, data.stored)
    first = data.stored.offset(len(square))
    return square[first:first + data.image_size, first:first + data.image_size]


def of_timm(image: Image.Image, data: DataConfig) -> np.ndarray:
    """The same of timm's own transform, before it normalises."""
    return create_transform(**data.timm(), is_training=False, normalize=False)(image).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [96, 160, 224])
@pytest.mark.parametrize("crop_pct", [0.875, 0.95, 1.0, 1.15, 0.9, 0.888])
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_view_is_timms_level_by_level(size: int, crop_pct: float, crop_mode: str, interpolation: str) -> None:
    data = data_config(size, crop_pct, interpolation, crop_mode)
    for shape in SHAPES:
        if crop_mode == "border" and round(min(shape) * data.stored.resized / max(shape)) == 0:
            continue  # timm fails: it would resize to a side of no pixels
        image = noise(*shape)
        assert np.array_equal(view(image, data), of_timm(image, data)), shape


@pytest.mark.parametrize("size", [96, 224])
@pytest.mark.parametrize("shape", STRIPS)
def test_a_strip_is_timms_level_by_level_without_being_held_whole(size: int, shape: tuple[int, int]) -> None:
    image = noise(*shape)
    assert np.array_equal(view(image, data_config(size)), of_timm(image, data_config(size)))


@pytest.mark.parametrize("shape", [(1, 11_000), (22_000, 2)])
def test_a_longer_strip_is_near(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    image, data = noise(*shape), data_config(96)
    near = view(image, data)
    monkeypatch.setattr(preprocessing, "_LONGEST", 2 ** 40)
    assert np.abs(near.astype(int) - view(image, data)).max() <= 1


def test_a_line_of_a_hundred_million_pixels_takes_no_memory_to_speak_of() -> None:
    image = Image.new("RGB", (20_000_000, 1), (9, 8, 7))
    assert (view(image, data_config(96)) == (9, 8, 7)).all()


@pytest.mark.parametrize("crop_pct, resized", [(0.875, 109), (0.9, 106), (0.95, 101), (1.0, 96), (1.15, 83)])
def test_the_resized_side_is_rounded_down(crop_pct: float, resized: int) -> None:
    assert data_config(96, crop_pct).stored.resized == resized
    assert data_config(96, crop_pct).storage_size == max(96, resized)


@pytest.mark.parametrize("size", [32, 97])
def test_the_encoders_input_is_timms_as_near_as_float32_allows(size: int) -> None:
    data = data_config(size)
    for shape in SHAPES:
        image = noise(*shape)
        ours = center(torch.from_numpy(pixels.square(image, data.stored)[None].copy()), data)[0]
        torch.testing.assert_close(ours.contiguous(), create_transform(**data.timm(), is_training=False)(image), atol=2e-6,
                                   rtol=0)


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv2_035", "mobilenetv3_small_050", "xcit_nano_12_p16_224",
                                  "vit_tiny_patch16_224", "resnet18", "convnext_atto", "efficientnet_lite0"])
def test_data_config_is_the_models_own(name: str) -> None:
    module, data = encoder.build(EncoderConfig(name=name), seed=0)
    resolved = timm.data.resolve_model_data_config(module)
    assert {key: tuple(value) if isinstance(value, list) else value for key, value in data.timm().items()} == resolved


def test_every_crop_and_filter_of_timms_encoders_is_known() -> None:
    for name in timm.list_models():
        config = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
        if config is not None:
            resolved = timm.data.resolve_data_config(pretrained_cfg=config.to_dict())
            preprocessing.timm_geometry(96, resolved["crop_pct"], resolved["interpolation"], resolved["crop_mode"],
                                        resolved["mean"])


@pytest.mark.parametrize("changes, message", [
    ({"crop_mode": "corner"}, "crop_mode must be one of center, squash, border, got 'corner'"),
    ({"interpolation": "random"}, "interpolation must be one of nearest, .*, got 'random'"),
])
def test_what_timm_does_not_evaluate_with_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ = data_config(96, **changes).stored


def test_an_older_experiments_squares_are_as_they_were() -> None:
    data = DataConfig(mean=MEAN, std=STD, image_size=96, crop_pct=0.875, geometry="rounded")
    assert (data.storage_size, data.stored.key, data.stored.offset(110)) == (110, "110", 7)
    image = noise(201, 77)
    whole = image.resize((287, 110), Image.Resampling.BICUBIC)
    assert np.array_equal(pixels.square(image, data.stored), np.asarray(whole)[:, 88:198])
    assert not np.array_equal(view(image, data), view(image, data_config(96)))


def test_geometries_never_share_a_file() -> None:
    configs = [data_config(size, crop_pct, interpolation, crop_mode) for size in (96, 101) for crop_pct in (0.95, 1.0)
               for interpolation in ("bicubic", "bilinear") for crop_mode in ("center", "squash", "border")]
    keys = {data.stored.key for data in configs} | {preprocessing.rounded_geometry(96, 0.95).key}
    assert len(keys) == len({data.stored for data in configs}) + 1
