"""The timm backbone of a run: architecture, weights, and the data config that its transforms follow.

Builds and loads; does not train, and never reads a pickle that could run code.
"""

import os
import pickle  # for the name of its error alone
import socket
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from core.config import EncoderConfig

HUB_ADDRESS = ("huggingface.co", 443)


@dataclass(frozen=True)
class DataConfig:
    """What the encoder expects of its input. `mean` and `std` are per channel, for pixels in 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int
    crop_pct: float

    @property
    def storage_size(self) -> int:
        """Side of the stored square from which `image_size` is cropped, as in timm's evaluation transform."""
        return max(self.image_size, round(self.image_size / self.crop_pct))


def build(config: EncoderConfig, seed: int) -> tuple[nn.Module, DataConfig]:
    """An encoder that maps images (b, 3, s, s) to pooled features (b, D), with the weights the config names.

    Args:
        config: architecture, weights and input.
        seed: seed of the random weights; without effect on loaded ones.

    Raises:
        ValueError: if timm refuses the options or the weights do not fit the architecture.
        FileNotFoundError: if the weights file is missing.
        ConnectionError: if hub weights are asked for and there is no network.
    """
    from_hub = config.weights == "hub"
    if from_hub and not _reaches_hub():
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported: the cache is still tried
    import timm  # after the line above, for the same reason

    torch.manual_seed(seed)
    options = dict(config.options)
    sized = config.image_size and timm.models.get_pretrained_cfg(config.name, allow_unregistered=True)
    if sized and sized.fixed_input_size:
        options.setdefault("img_size", config.image_size)
    try:
        module = timm.create_model(config.name, pretrained=from_hub, num_classes=0, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        if from_hub:
            raise _no_hub_weights(config, error) from None
        raise ValueError(f"encoder.options must be accepted by timm's {config.name}, got {config.options} "
                         f"({_one_line(error)})") from None
    except OSError as error:  # what huggingface_hub raises when a file is neither cached nor reachable
        raise _no_hub_weights(config, error) from None
    if config.weights not in ("random", "hub"):
        _load(module, Path(config.weights), config.name)

    resolved = timm.data.resolve_model_data_config(module)
    size = config.image_size or resolved["input_size"][-1]
    return module, DataConfig(mean=config.mean or tuple(resolved["mean"]), std=config.std or tuple(resolved["std"]),
                              image_size=size, crop_pct=resolved["crop_pct"])


def feature_width(module: nn.Module, data: DataConfig) -> int:
    """Width D of the pooled features, learnt from one image; timm's `num_features` is another layer's for some.

    Raises:
        ValueError: if the encoder does not take this image size, or gives no vector per image.
    """
    size = data.image_size
    try:
        with torch.inference_mode():
            features = module.eval()(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f"encoder.image_size must suit the encoder, got {size} ({_one_line(error)})") from None
    if features.ndim != 2:
        raise ValueError(f"encoder must give one vector per image, got shape {tuple(features.shape)}")
    return features.shape[1]


def _reaches_hub() -> bool:
    try:
        socket.create_connection(HUB_ADDRESS, timeout=3).close()
    except OSError:
        return False
    return True


def _no_hub_weights(config: EncoderConfig, error: Exception) -> Exception:
    text = _one_line(error)
    if "pretrained" in text.lower():
        return ValueError(f"encoder.weights must not be 'hub' for {config.name}: {text}")
    import timm

    known = timm.models.get_pretrained_cfg(config.name, allow_unregistered=True)
    repository = (known and known.hf_hub_id) or f"timm/{config.name}"
    return ConnectionError(f"encoder.weights 'hub' must be downloadable, but {HUB_ADDRESS[0]} cannot be reached and "
                           f"{config.name} is not in its cache; fetch "
                           f"https://huggingface.co/{repository}/resolve/main/model.safetensors elsewhere, put it in "
                           f"data/weights and add --set encoder.weights=data/weights/model.safetensors, or use 'random'")


def _load(module: nn.Module, path: Path, name: str) -> None:
    state = _read_weights(path)
    counters = tuple(key for key in module.state_dict() if key.endswith("num_batches_tracked"))  # no weights: optional
    expected = {key: value for key, value in module.state_dict().items() if key not in counters}
    classifier = module.pretrained_cfg.get("classifier") or ()
    prefixes = tuple(f"{part}." for part in ([classifier] if isinstance(classifier, str) else classifier))
    state = {key: value for key, value in state.items()
             if key not in counters and (key in expected or not key.startswith(prefixes or ("\0",)))}
    fitting = [key for key, value in state.items() if key in expected and expected[key].shape == value.shape]
    if len(fitting) < len(expected) or len(fitting) < len(state):
        odd = next(iter([key for key in expected if key not in fitting] + [key for key in state if key not in fitting]))
        raise ValueError(f"encoder.weights must fit {name}, got {path} where {len(fitting)} of {len(expected)} tensors "
                         f"fit (for one, {odd!r} does not)")
    module.load_state_dict({**module.state_dict(), **state})


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"encoder.weights must be 'random', 'hub' or a weights file, found none at {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError,
            pickle.UnpicklingError) as error:
        raise ValueError(f"encoder.weights must be a safetensors file or a .pth of tensors alone, got {path} "
                         f"({_one_line(error)[:120]})") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"encoder.weights must hold tensors by name, got {path}")
    return state


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
