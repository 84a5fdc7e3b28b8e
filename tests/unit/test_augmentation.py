"""Augmented and evaluation views, read back from images whose pixel values are their own coordinates."""

import numpy as np
import pytest
import torch

from core.config import AugmentationConfig
from core.training.augmentation import augment, center, draw
from core.training.encoder import DataConfig

STORED = 48
PLAIN = DataConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), image_size=32, crop_pct=1.0)
IMAGENET = DataConfig(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), image_size=6, crop_pct=0.6)


def coordinates(n: int, size: int = STORED) -> torch.Tensor:
    """n equal images whose red is four times the column and green four times the row; (n, size, size, 3), uint8."""
    image = torch.zeros(size, size, 3, dtype=torch.uint8)
    image[:, :, 0] = 4 * torch.arange(size)
    image[:, :, 1] = 4 * torch.arange(size)[:, None]
    return image.expand(n, -1, -1, -1).contiguous()


def windows(images: torch.Tensor, size: int = STORED) -> dict[str, torch.Tensor]:
    """Where each view of `coordinates` was cut, as shares of the image; a mirrored view has a negative width."""
    side = images.shape[-1]
    column, row = images[:, 0] * 255 / 4 + 0.5, images[:, 1] * 255 / 4 + 0.5  # in the stored image
    first, last = side // 4, 3 * side // 4  # well inside: nothing reflected at the border
    steps = last - first
    found = {"width": (column[:, 0, last] - column[:, 0, first]) / steps * side / size,
             "height": (row[:, last, 0] - row[:, first, 0]) / steps * side / size}
    middle = slice(side // 2 - 1, side // 2 + 1)
    found["x"] = column[:, side // 2, middle].mean(dim=1) / size
    found["y"] = row[:, middle, side // 2].mean(dim=1) / size
    return found


def augmented(pixels: torch.Tensor, config: AugmentationConfig, data: DataConfig, generator: torch.Generator) -> torch.Tensor:
    return augment(pixels, draw(len(pixels), config, generator), data)


def view(seed: int = 0, n: int = 300, **settings: object) -> torch.Tensor:
    return augmented(coordinates(n), AugmentationConfig(**settings), PLAIN, torch.Generator().manual_seed(seed))


def test_evaluation_view_is_the_middle_crop_normalised_by_hand() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 10, 10, 3), dtype=np.uint8)
    result = center(torch.from_numpy(pixels), IMAGENET)
    expected = (pixels[:, 2:8, 2:8] / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    np.testing.assert_allclose(result.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)


def test_evaluation_view_takes_the_lower_middle_of_an_odd_difference() -> None:
    result = center(coordinates(1, size=11), IMAGENET)  # 11 − 6 = 5: two pixels before, three after
    red = result[0, 0, 0] * IMAGENET.std[0] + IMAGENET.mean[0]
    torch.testing.assert_close(red * 255 / 4, torch.arange(2.0, 8.0))


def test_evaluation_view_is_the_same_every_time() -> None:
    pixels = coordinates(2)
    first = center(pixels, PLAIN)
    torch.manual_seed(99)
    assert torch.equal(first, center(pixels, PLAIN))


def test_evaluation_view_of_one_image_does_not_depend_on_the_others() -> None:
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (4, 40, 40, 3), dtype=np.uint8))
    assert torch.equal(center(pixels, PLAIN)[2:3], center(pixels[2:3], PLAIN))


@pytest.mark.parametrize("data", [PLAIN, IMAGENET])
def test_views_are_normalised_float32_channels_last(data: DataConfig) -> None:
    pixels = torch.full((5, 40, 40, 3), 51, dtype=torch.uint8)  # 51 / 255 = 0.2 wherever one cuts
    expected = ((0.2 - torch.tensor(data.mean)) / torch.tensor(data.std)).view(1, 3, 1, 1)
    for images in (center(pixels, data), augmented(pixels, AugmentationConfig(), data, torch.Generator().manual_seed(0))):
        assert images.shape == (5, 3, data.image_size, data.image_size)
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(images, expected.expand_as(images).contiguous(), atol=1e-5, rtol=0)


def test_same_generator_seed_gives_the_same_views_and_another_seed_others() -> None:
    assert torch.equal(view(seed=3, jitter=0.3), view(seed=3, jitter=0.3))
    assert not torch.equal(view(seed=3, jitter=0.3), view(seed=4, jitter=0.3))


def test_views_ignore_the_global_generator() -> None:
    torch.manual_seed(1)
    first = view(seed=3, jitter=0.3)
    torch.manual_seed(2)
    assert torch.equal(first, view(seed=3, jitter=0.3))


def test_stored_pixels_are_left_as_they_were() -> None:
    pixels = coordinates(4)
    augmented(pixels, AugmentationConfig(jitter=0.5), PLAIN, torch.Generator().manual_seed(0))
    assert torch.equal(pixels, coordinates(4))


def test_flip_off_never_mirrors() -> None:
    assert (windows(view(flip=False))["width"] > 0).all()


def test_flip_on_mirrors_about_half_and_never_upside_down() -> None:
    found = windows(view(flip=True))
    assert 0.4 < (found["width"] < 0).float().mean() < 0.6
    assert (found["height"] > 0).all()


def test_flip_mirrors_the_same_window() -> None:
    plain, mixed = windows(view(flip=False)), windows(view(flip=True))
    is_mirrored = mixed["width"] < 0
    assert is_mirrored.any() and not is_mirrored.all()
    torch.testing.assert_close(mixed["width"].abs(), plain["width"], atol=1e-4, rtol=0)
    for key in ("height", "x", "y"):
        torch.testing.assert_close(mixed[key], plain[key], atol=1e-4, rtol=0)


def test_window_has_the_share_and_aspect_asked_for_and_stays_inside() -> None:
    found = windows(view(crop_scale=(0.2, 0.6), flip=False))  # up to 0.75 of the area no side is cut
    area, aspect = found["width"] * found["height"], found["width"] / found["height"]
    assert area.min() > 0.2 - 1e-3 and area.max() < 0.6 + 1e-3
    assert area.min() < 0.22 and area.max() > 0.58
    assert aspect.min() > 3 / 4 - 1e-3 and aspect.max() < 4 / 3 + 1e-3
    assert aspect.min() < 0.78 and aspect.max() > 1.28
    for place, side in (("x", "width"), ("y", "height")):
        assert (found[place] - found[side] / 2).min() > -1e-3
        assert (found[place] + found[side] / 2).max() < 1 + 1e-3
        assert found[place].std() > 0.05


def test_whole_area_keeps_one_whole_side_and_only_the_aspect_cuts_the_other() -> None:
    """crop_scale (1, 1) is no identity: an aspect r ≠ 1 leaves a window of 1 × √(1/r) or √r × 1."""
    found = windows(view(crop_scale=(1, 1), flip=False))
    longer, shorter = torch.maximum(found["width"], found["height"]), torch.minimum(found["width"], found["height"])
    torch.testing.assert_close(longer, torch.ones(300), atol=1e-3, rtol=0)
    assert shorter.min() > (3 / 4) ** 0.5 - 1e-3
    assert shorter.min() < 0.88 and shorter.max() > 0.99


def test_whole_area_at_aspect_one_is_the_resized_image() -> None:
    images = view(crop_scale=(1, 1), flip=False, n=2000)
    found = windows(images)
    squarest = (found["width"] / found["height"] - 1).abs().argmin()
    column = (torch.arange(32) + 0.5) * STORED / 32 - 0.5  # centres of 32 pixels over 48
    torch.testing.assert_close(images[squarest, 0, 16] * 255 / 4, column, atol=0.05, rtol=0)
    torch.testing.assert_close(images[squarest, 1, :, 16] * 255 / 4, column, atol=0.05, rtol=0)


def test_each_image_of_a_batch_gets_its_own_window() -> None:
    found = windows(view(n=8, flip=False))
    assert len({round(float(width), 4) for width in found["width"]}) == 8


def test_jitter_scales_brightness_within_its_range() -> None:
    pixels = torch.full((400, 32, 32, 3), 102, dtype=torch.uint8)  # flat: contrast has nothing to change
    settings = AugmentationConfig(jitter=0.5, crop_scale=(1, 1))
    images = augmented(pixels, settings, PLAIN, torch.Generator().manual_seed(0))
    torch.testing.assert_close(images.amax(dim=(1, 2, 3)), images.amin(dim=(1, 2, 3)))
    factor = images[:, 0, 0, 0] / 0.4
    assert factor.min() > 0.5 - 1e-4 and factor.max() < 1.5 + 1e-4
    assert factor.min() < 0.55 and factor.max() > 1.45


def test_jitter_scales_contrast_about_the_mean() -> None:
    pixels = torch.tensor([77, 127], dtype=torch.uint8).repeat_interleave(16).view(1, 1, 32, 1).expand(400, 32, 32, 3)
    settings = AugmentationConfig(jitter=0.5, crop_scale=None, flip=False)
    images = augmented(pixels, settings, PLAIN, torch.Generator().manual_seed(0))  # grey: saturation has nothing to change
    left, right = images[:, 0, 0, 0], images[:, 0, 0, 31]
    brightness = (left + right) / 2 / 0.4  # the mean is scaled by the brightness alone
    contrast = (right - left) / (50 / 255) / brightness
    for factor in (brightness, contrast):
        assert factor.min() > 0.5 - 1e-4 and factor.max() < 1.5 + 1e-4
        assert factor.min() < 0.55 and factor.max() > 1.45
    assert torch.corrcoef(torch.stack([brightness, contrast]))[0, 1].abs() < 0.2


def test_jitter_never_leaves_the_range_of_pixels() -> None:
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(100, 32, 32, 3)
    images = augmented(pixels, AugmentationConfig(jitter=0.9), PLAIN, torch.Generator().manual_seed(0))
    assert images.min() == 0 and images.max() == 1
    assert ((images > 0.01) & (images < 0.99)).any()


def test_no_jitter_keeps_the_values() -> None:
    pixels = torch.full((20, 32, 32, 3), 102, dtype=torch.uint8)
    images = augmented(pixels, AugmentationConfig(jitter=0.0), PLAIN, torch.Generator().manual_seed(0))
    torch.testing.assert_close(images, torch.full_like(images, 0.4))


def test_a_part_of_what_was_drawn_goes_with_the_same_part_of_the_images() -> None:
    pixels = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (7, 48, 48, 3), dtype=np.uint8))
    for settings in (AugmentationConfig(jitter=0.3), AugmentationConfig(crop_scale=None)):
        drawn = draw(7, settings, torch.Generator().manual_seed(0))
        whole = augment(pixels, drawn, PLAIN)
        parts = [augment(pixels[place], drawn.part(place), PLAIN) for place in (slice(0, 3), slice(3, 7))]
        torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)


def test_saturation_moves_colours_towards_or_away_from_their_grey() -> None:
    pixels = torch.tensor([200, 100, 60], dtype=torch.uint8).expand(100, 40, 40, 3).contiguous()
    images = augmented(pixels, AugmentationConfig(jitter=0.5), PLAIN, torch.Generator().manual_seed(0))[:, :, 16, 16]
    spread = (images - images.mean(dim=1, keepdim=True)).abs().sum(dim=1) / images.mean(dim=1)
    assert spread.min() < 0.5 * spread.median() and spread.max() > 1.3 * spread.median()
