"""The timm backbone of a run: architecture, weights, and the data config that its transforms follow.

Builds; does not train. `core.training.weights` reads files of weights.
"""

import logging
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from core.config import EncoderConfig
from core.config.encoder import GeometryName
from core.data.preprocessing import AnyGeometry, rounded_geometry, timm_geometry
from core.errors import InputError, Unreachable
from core.training import bundled, weights
from core.wording import failure, one_line

log = logging.getLogger("duet")
HUB_ADDRESS = ("huggingface.co", 443)
# What timm's encoders answer to options or images that they cannot take.
_REFUSALS = (TypeError, ValueError, AssertionError, RuntimeError, LookupError, AttributeError, ArithmeticError, ImportError)


@dataclass(frozen=True)
class DataConfig:
    """What the encoder expects of its input; the names are timm's.

    Attributes:
        mean, std: per channel, for pixels in 0..1.
        image_size: side of the input, in pixels.
        crop_pct: `image_size` over the side that is resized to before the crop.
        interpolation: the resizing's filter.
        crop_mode: 'center', 'squash' or 'border'.
        geometry: 'timm', or 'rounded' for experiments that are older than it.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int
    crop_pct: float
    interpolation: str = "bicubic"
    crop_mode: str = "center"
    geometry: GeometryName = "timm"

    @property
    def stored(self) -> AnyGeometry:
        """How an image becomes the stored square from which `image_size` is cropped."""
        if self.geometry == "rounded":
            return rounded_geometry(self.image_size, self.crop_pct)
        return timm_geometry(self.image_size, self.crop_pct, self.interpolation, self.crop_mode, self.mean)

    @property
    def storage_size(self) -> int:
        """Side of the stored square."""
        return self.stored.side

    def timm(self) -> dict[str, object]:
        """The evaluation transform as `timm.data.create_transform(**…, is_training=False)` takes it; JSON values."""
        return {"input_size": [3, self.image_size, self.image_size], "interpolation": self.interpolation,
                "mean": list(self.mean), "std": list(self.std), "crop_pct": self.crop_pct, "crop_mode": self.crop_mode}


def build(config: EncoderConfig, seed: int) -> tuple[nn.Module, DataConfig]:
    """An encoder that maps images (b, 3, s, s) to pooled features (b, D), with the weights the config names.

    Args:
        config: architecture, weights and input.
        seed: seed of the random weights; without effect on loaded ones.

    Raises:
        InputError: if timm refuses the options or the weights do not fit the architecture.
        NotFound: if the weights file is missing, or the package of bundled weights.
        Unreachable: if hub weights are asked for and there is no network.
    """
    from_hub = config.weights == "hub"
    if from_hub and not _reaches_hub():
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported: the cache is still tried
    import timm  # after the line above, for the same reason

    torch.manual_seed(seed)
    options = timm_options(config)
    try:
        module = timm.create_model(config.name, pretrained=from_hub, num_classes=0, **options)
    except _REFUSALS as error:
        if from_hub:
            raise _no_hub_weights(config, error) from None
        raise InputError(f"encoder.options must be accepted by timm's {config.name}, got {config.options} "
                         f"({failure(error)})") from None
    except OSError as error:  # what huggingface_hub raises when a file is neither cached nor reachable
        raise _no_hub_weights(config, error) from None
    if config.weights == "bundled":
        bundled.load(module, config.name)
    if config.weights_file is not None and (note := weights.load(module, config.weights_file, config.name)):
        log.info("weights of %s: %s", config.weights, note)

    resolved = timm.data.resolve_model_data_config(module)
    size = config.image_size or resolved["input_size"][-1]
    data = DataConfig(mean=config.mean or tuple(resolved["mean"]), std=config.std or tuple(resolved["std"]), image_size=size,
                      crop_pct=resolved["crop_pct"], geometry=config.geometry)
    if config.geometry == "timm":  # the other geometry is bicubic and centred, whatever timm says
        data = replace(data, interpolation=resolved["interpolation"], crop_mode=resolved["crop_mode"])
    try:
        _ = data.stored
    except InputError as error:
        raise InputError(f"encoder.name must be an encoder whose evaluation transform is known, got {config.name} "
                         f"({error})") from None
    return module, data


def timm_options(config: EncoderConfig) -> dict[str, Any]:
    """What `timm.create_model` needs besides the name: the config's options, and the size where an encoder's is fixed."""
    import timm

    options: dict[str, Any] = dict(config.options)
    sized = config.image_size and timm.models.get_pretrained_cfg(config.name, allow_unregistered=True)
    if sized and sized.fixed_input_size:
        options.setdefault("img_size", config.image_size)
    return options


def describe(config: EncoderConfig, data: DataConfig, normalize: bool) -> dict[str, object]:
    """What rebuilds an encoder's vectors with timm alone, for the metadata of tables and weights; JSON values.

    `timm.create_model(name, num_classes=0, **options)` is the architecture,
    `timm.data.create_transform(**data_config, is_training=False)` its input.
    """
    return {"encoder": {"name": config.name, "options": timm_options(config), **asdict(data)}, "data_config": data.timm(),
            "readout": "pooled features", "normalization": "l2" if normalize else "none"}


def feature_width(module: nn.Module, data: DataConfig) -> int:
    """Width D of the pooled features, learnt from one image; timm's `num_features` is another layer's for some.

    Raises:
        InputError: if the encoder does not take this image size, or gives no vector per image.
    """
    size = data.image_size
    try:
        with torch.inference_mode():
            features = module.eval()(torch.zeros(1, 3, size, size))
    except _REFUSALS as error:
        raise InputError(f"encoder.image_size must suit the encoder, got {size} ({failure(error)})") from None
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        shape = f"shape {tuple(features.shape)}" if isinstance(features, torch.Tensor) else f"a {type(features).__name__}"
        raise InputError(f"encoder must give one vector per image, got {shape}")
    return features.shape[1]


def check(config: EncoderConfig) -> None:
    """Builds an encoder and embeds one image, so that an encoder no run could use is refused before any run starts.

    Random weights are built on torch's meta device, which takes no memory for them; encoders that cannot be built there are
    built as usual.

    Raises:
        InputError, NotFound, Unreachable: as `build` and `feature_width`; InputError if features are no numbers.
    """
    if config.weights == "random":
        with suppress(InputError), torch.device("meta"):
            feature_width(*build(config, seed=0))
            return
    module, data = build(config, seed=0)
    feature_width(module, data)
    size = data.image_size
    pixels = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (data.mean, data.std))
    with torch.inference_mode():
        features = module((pixels - mean) / std)
    if not torch.isfinite(features).all():
        raise InputError(f"encoder.weights, mean and std must give features that are numbers, got NaN or infinity from "
                         f"{config.weights}")


def _reaches_hub() -> bool:
    try:
        socket.create_connection(HUB_ADDRESS, timeout=3).close()
    except OSError:
        return False
    return True


def _no_hub_weights(config: EncoderConfig, error: Exception) -> Exception:
    text = one_line(error)
    if "pretrained" in text.lower():
        return InputError(f"encoder.weights must not be 'hub' for {config.name}: {text}")
    import timm

    known = timm.models.get_pretrained_cfg(config.name, allow_unregistered=True)
    repository = (known and known.hf_hub_id) or f"timm/{config.name}"
    return Unreachable(f"encoder.weights 'hub' must be downloadable, but {HUB_ADDRESS[0]} cannot be reached and "
                           f"{config.name} is not in its cache; fetch "
                           f"https://huggingface.co/{repository}/resolve/main/model.safetensors elsewhere, put it in "
                           f"data/weights and add --set encoder.weights=data/weights/model.safetensors, or use 'random'")
