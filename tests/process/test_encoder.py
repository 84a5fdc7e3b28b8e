"""Encoders: weights that fit are loaded, all others refused, and no file can run code."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from core.config import EncoderConfig
from core.training import encoder
from tests import PROJECT
from tests.waiting import DEADLINE

NAME = "test_resnet"


def build(weights: str | Path = "random", name: str = NAME, seed: int = 0, **settings: object) -> nn.Module:
    module, _ = encoder.build(EncoderConfig(name=name, weights=str(weights), **settings), seed)
    return module


def state_of(name: str = NAME, seed: int = 7, n_classes: int = 0) -> dict[str, torch.Tensor]:
    """Weights as timm would save them, with a classifier if it has classes."""
    import timm

    torch.manual_seed(seed)
    return timm.create_model(name, num_classes=n_classes).state_dict()


def is_loaded(module: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


def features_of(module: nn.Module, size: int = 32) -> torch.Tensor:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return module.eval()(images)


def test_random_weights_follow_from_the_seed() -> None:
    first = build(seed=3).state_dict()
    assert is_loaded(build(seed=3), first)
    assert not is_loaded(build(seed=4), first)


def test_safetensors_weights_round_trip(tmp_path: Path) -> None:
    state = state_of()
    save_file(state, tmp_path / "weights.safetensors")
    loaded = build(tmp_path / "weights.safetensors")
    assert is_loaded(loaded, state)
    assert not is_loaded(build(), state), "the saved weights must not be the random ones"
    assert torch.equal(features_of(loaded), features_of(build(tmp_path / "weights.safetensors", seed=5)))


@pytest.mark.parametrize("nested", [False, True])
def test_pth_of_tensors_is_loaded(tmp_path: Path, nested: bool) -> None:
    state = state_of()
    torch.save({"state_dict": state, "epoch": 3} if nested else state, tmp_path / "weights.pth")
    assert is_loaded(build(tmp_path / "weights.pth"), state)


@pytest.mark.parametrize("name", [NAME, "test_convnext", "test_vit"])
def test_classifier_in_the_file_is_dropped(tmp_path: Path, name: str) -> None:
    state = state_of(name, n_classes=10)
    assert len(state) == len(state_of(name)) + 2, "a weight and a bias more"
    save_file(state, tmp_path / "weights.safetensors")
    assert is_loaded(build(tmp_path / "weights.safetensors", name), state)


def test_half_precision_file_is_loaded_as_float32(tmp_path: Path) -> None:
    state = {key: value.half() if value.is_floating_point() else value for key, value in state_of().items()}
    save_file(state, tmp_path / "weights.safetensors")
    loaded = build(tmp_path / "weights.safetensors").state_dict()
    floating = [key for key, value in state.items() if value.is_floating_point()]
    assert all(loaded[key].dtype == torch.float32 for key in floating)
    assert all(torch.equal(loaded[key], state[key].float()) for key in floating)


def test_batch_norm_counters_may_be_missing(tmp_path: Path) -> None:
    state = {key: value for key, value in state_of().items() if not key.endswith("num_batches_tracked")}
    assert len(state) < len(state_of())
    save_file(state, tmp_path / "weights.safetensors")
    loaded = build(tmp_path / "weights.safetensors").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_weights_of_another_encoder_are_refused_with_the_counts(tmp_path: Path) -> None:
    own = {key: value for key, value in state_of().items() if not key.endswith("num_batches_tracked")}
    foreign = state_of("test_convnext")
    fitting = sum(key in own and own[key].shape == value.shape for key, value in foreign.items())
    assert fitting < len(own)
    save_file(foreign, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=rf"encoder.weights must fit {NAME}, got .*weights.safetensors where "
                                         rf"{fitting} of {len(own)} tensors fit"):
        build(tmp_path / "weights.safetensors")


def test_one_missing_tensor_is_refused_by_name(tmp_path: Path) -> None:
    state = state_of()
    del state["conv1.0.weight"]
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=r"'conv1.0.weight' does not"):
        build(tmp_path / "weights.safetensors")


def test_one_tensor_of_another_shape_is_refused_by_name(tmp_path: Path) -> None:
    state = state_of()
    state["conv1.0.weight"] = state["conv1.0.weight"][:, :1].contiguous()
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=r"'conv1.0.weight' does not"):
        build(tmp_path / "weights.safetensors")


def test_one_tensor_too_many_is_refused_by_name(tmp_path: Path) -> None:
    save_file({**state_of(), "neck.weight": torch.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=r"'neck.weight' does not"):
        build(tmp_path / "weights.safetensors")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"must be 'random', 'hub' or a weights file, found none at"):
        build(tmp_path / "none.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_cut_file_is_refused(tmp_path: Path, share: float, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(state_of(), path)
    else:
        save_file(state_of(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(ValueError, match=r"encoder.weights must be a safetensors file or a \.pth of tensors alone"):
        build(path)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self._trace),)


@pytest.mark.parametrize("file_name", ["weights.pth", "weights.pt", "weights.bin", "weights", "weights.safetensors"])
@pytest.mark.parametrize("is_plain", [False, True])
def test_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, file_name: str, is_plain: bool) -> None:
    trace, path = tmp_path / "it_ran", tmp_path / file_name
    content = {**state_of(), "extra": Malicious(trace)}
    if is_plain:
        path.write_bytes(pickle.dumps(content, protocol=2))  # the one torch.load expects
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"encoder.weights must be a safetensors file or a \.pth of tensors alone"):
        build(path)
    assert not trace.exists()


def test_the_malicious_pickle_would_have_run(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Malicious(tmp_path / "it_ran")))
    assert (tmp_path / "it_ran").exists()


@pytest.mark.parametrize("content", [[1, 2], {"conv1.0.weight": 3.0}, torch.zeros(2)])
def test_pth_that_holds_no_tensors_by_name_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"encoder.weights must hold tensors by name, got"):
        build(tmp_path / "weights.pth")


WITHOUT_NETWORK = """
import sys
from core.config import EncoderConfig
from core.training import encoder
encoder.HUB_ADDRESS = ("127.0.0.1", 1)  # where nobody listens
try:
    encoder.build(EncoderConfig(name=sys.argv[1], weights="hub"), 0)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("name, answer", [
    (NAME, "Unreachable encoder.weights 'hub' must be downloadable, but 127.0.0.1 cannot be reached and "
           "test_resnet is not in its cache; fetch "
           "https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors elsewhere, put it in "
           "data/weights and add --set encoder.weights=data/weights/model.safetensors, or use 'random"),
    ("botnet50ts_256", "InputError encoder.weights must not be 'hub' for botnet50ts_256: No pretrained weights exist")])
def test_hub_weights_without_network_are_refused_saying_what_to_do(tmp_path: Path, name: str, answer: str) -> None:
    """In a process of its own: whether the hub is asked is settled when its library is imported."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_"))}
    environment |= {"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONWARNINGS": "ignore"}
    result = subprocess.run([sys.executable, "-c", WITHOUT_NETWORK, name], cwd=PROJECT, env=environment, text=True,
                            capture_output=True, timeout=DEADLINE, check=True)
    assert result.stdout.startswith(answer)


@pytest.mark.parametrize("name, width", [(NAME, 96), ("test_convnext", 64), ("test_vit", 64), ("test_mambaout", 256)])
def test_feature_width_is_that_of_the_features(name: str, width: int) -> None:
    module, data = encoder.build(EncoderConfig(name=name, image_size=32), 0)
    assert encoder.feature_width(module, data) == width
    assert features_of(module).shape == (2, width)


def test_feature_width_is_not_what_timm_says_for_mambaout() -> None:
    assert build(name="test_mambaout", image_size=32).num_features != 256


def test_image_size_reaches_an_encoder_of_fixed_size() -> None:
    module, data = encoder.build(EncoderConfig(name="vit_tiny_patch16_224", image_size=48), 0)
    assert data.image_size == 48
    assert encoder.feature_width(module, data) == 192
    with pytest.raises(AssertionError, match=r"Input height \(224\) doesn't match model \(48\)"):
        features_of(module, 224)


def test_image_size_that_the_encoder_does_not_take_is_refused() -> None:
    module, data = encoder.build(EncoderConfig(name="test_vit", image_size=40), 0)  # patches of 16 pixels
    with pytest.raises(ValueError, match=r"encoder.image_size must suit the encoder, got 40"):
        encoder.feature_width(module, data)


def test_encoder_without_one_vector_per_image_is_refused() -> None:
    module, data = encoder.build(EncoderConfig(name=NAME, image_size=32, options={"global_pool": ""}), 0)
    with pytest.raises(ValueError, match=r"encoder must give one vector per image, got shape \(1, 96, "):
        encoder.feature_width(module, data)


def test_options_that_timm_refuses_are_named() -> None:
    with pytest.raises(ValueError, match=r"encoder.options must be accepted by timm's test_resnet, got \{'wings': 2\}"):
        build(options={"wings": 2})


def test_input_is_the_encoders_own_unless_the_config_says_otherwise() -> None:
    _, own = encoder.build(EncoderConfig(name="test_mambaout"), 0)
    assert own.mean == (0.485, 0.456, 0.406) and own.std == (0.229, 0.224, 0.225)
    assert (own.image_size, own.crop_pct) == (160, 1.0)
    given = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "image_size": 64}
    _, changed = encoder.build(EncoderConfig(name="test_mambaout", **given), 0)
    assert (changed.mean, changed.std, changed.image_size) == tuple(given.values())


@pytest.mark.parametrize("size, crop_pct, stored", [(224, 0.875, 256), (224, 1.0, 224), (32, 0.95, 33), (96, 0.875, 109)])
def test_stored_square_is_the_crop_divided_by_its_share(size: int, crop_pct: float, stored: int) -> None:
    data = encoder.DataConfig(mean=(0, 0, 0), std=(1, 1, 1), image_size=size, crop_pct=crop_pct)
    assert data.storage_size == stored
