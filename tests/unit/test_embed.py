"""Embedding: one vector a row, the same however the rows are batched."""

import numpy as np
import pytest
import torch
from torch import nn

from core.config import EncoderConfig
from core.training import encoder
from core.training.embed import embed
from core.training.encoder import DataConfig

CPU = torch.device("cpu")
DATA = DataConfig(mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3), image_size=32, crop_pct=0.9)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 36, 36, 3), dtype=np.uint8)
ROWS = np.array([7, 3, 19, 0, 11, 12, 5])


class Colors(nn.Module):
    """Mean red, green and blue: 3 features."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def build(name: str = "test_resnet") -> nn.Module:
    return encoder.build(EncoderConfig(name=name, image_size=32), 0)[0]


def slow(module: nn.Module, row: int) -> np.ndarray:
    """Features of one image, cropped and normalised by hand."""
    image = (PIXELS[row, 2:34, 2:34] / 255 - np.array(DATA.mean)) / np.array(DATA.std)
    with torch.inference_mode():
        return module.eval()(torch.from_numpy(image.transpose(2, 0, 1)[None]).float())[0].numpy()


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_mambaout"])
@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_vectors_are_those_of_one_image_at_a_time_in_the_order_of_the_rows(name: str, batch_size: int) -> None:
    module = build(name)
    expected = np.stack([slow(module, row) for row in ROWS])
    raw = embed(module, DATA, PIXELS, ROWS, CPU, normalize=False, batch_size=batch_size)
    unit = embed(module, DATA, PIXELS, ROWS, CPU, batch_size=batch_size)
    assert raw.dtype == unit.dtype == np.float32
    assert np.abs(expected - expected[0]).max() > 1e-3, "the images must differ"
    np.testing.assert_allclose(raw, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(unit, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_colours_by_hand() -> None:
    pixels = np.broadcast_to(np.array([[51, 102, 153], [255, 0, 0]], np.uint8)[:, None, None], (2, 36, 36, 3))
    data = DataConfig(mean=(0.1, 0.2, 0.3), std=(0.1, 0.1, 0.1), image_size=32, crop_pct=0.9)
    raw = embed(Colors(), data, pixels, np.array([1, 0]), CPU, normalize=False)
    np.testing.assert_allclose(raw, [[9, -2, -3], [1, 2, 3]], atol=1e-4)
    unit = embed(Colors(), data, pixels, np.array([0]), CPU)
    np.testing.assert_allclose(unit, np.array([[1, 2, 3]]) / 14 ** 0.5, atol=1e-5)


def test_the_studys_fault_mirrors_some_images_by_chance_and_each_whole() -> None:
    module = build()
    plain = embed(module, DATA, PIXELS, ROWS, CPU, normalize=False)
    mirrored = embed(module, DATA, PIXELS[:, :, ::-1], ROWS, CPU, normalize=False)
    faulty = [embed(module, DATA, PIXELS, ROWS, CPU, normalize=False, batch_size=size, flip_seed=1) for size in (3, 256)]
    np.testing.assert_allclose(faulty[0], faulty[1], atol=1e-5)
    is_plain, is_mirrored = (np.isclose(faulty[0], other, atol=1e-5).all(axis=1) for other in (plain, mirrored))
    assert (is_plain ^ is_mirrored).all() and is_plain.any() and is_mirrored.any()


def test_vectors_have_length_one_only_when_asked() -> None:
    unit, raw = (embed(build(), DATA, PIXELS, ROWS, CPU, normalize=flag) for flag in (True, False))
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    assert np.abs(np.linalg.norm(raw, axis=1) - 1).min() > 1e-2


def test_encoder_in_training_mode_is_read_as_it_will_be_used_and_left_unchanged() -> None:
    module = build().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert any(name.endswith("running_mean") for name in before)
    vectors = embed(module, DATA, PIXELS, ROWS, CPU)
    assert np.array_equal(vectors, embed(build().eval(), DATA, PIXELS, ROWS, CPU))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_progress_counts_the_rows() -> None:
    seen: list[tuple[int, int]] = []
    embed(Colors(), DATA, PIXELS, ROWS, CPU, batch_size=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 7), (6, 7), (7, 7)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("normalize", [True, False])
def test_diverged_encoder_is_refused(value: float, normalize: bool) -> None:
    module = build()
    with torch.no_grad():
        next(module.parameters()).view(-1)[0] = value
    with pytest.raises(ValueError, match=r"embeddings must be finite, got nan or infinity; the encoder has diverged"):
        embed(module, DATA, PIXELS, ROWS, CPU, normalize=normalize)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_vector_that_is_not_finite_is_enough_to_refuse(value: float) -> None:
    pixels = np.maximum(PIXELS, 1)
    data = DataConfig(mean=(0, 0, 0), std=(1, 1, 1), image_size=32, crop_pct=0.9)
    module = nn.Sequential(Colors(), nn.Threshold(1e-4, value))
    assert np.isfinite(embed(module, data, pixels, ROWS, CPU)).all()
    pixels[11] = 0
    with pytest.raises(ValueError, match="embeddings must be finite"):
        embed(module, data, pixels, ROWS, CPU)


def test_zero_vectors_cannot_be_normalised() -> None:
    pixels = PIXELS.copy()
    pixels[[3, 11]] = 51  # 0.2, the mean: normalised to zero
    data = DataConfig(mean=(0.2, 0.2, 0.2), std=(1.0, 1.0, 1.0), image_size=32, crop_pct=0.9)
    module = nn.Sequential(Colors(), nn.Threshold(1e-4, 0.0))
    with pytest.raises(ValueError, match="embeddings to normalise must not be zero, got 2 zero vectors"):
        embed(module, data, pixels, ROWS, CPU)
    raw = embed(module, data, pixels, ROWS, CPU, normalize=False)
    assert np.flatnonzero((raw == 0).all(axis=1)).tolist() == [1, 4]
