"""Which encoder is trained, with which weights, and what it is given to see.

Builds none; `core.training.encoder` does.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from core.config import bundled, encoder_names
from core.config.settings import Settings, is_stored
from core.errors import InputError

NAMED_WEIGHTS = ("random", "bundled", "hub")  # what `weights` may be but a path
GeometryName = Literal["timm", "rounded"]

# Arguments of timm.create_model that say what an encoder takes and gives, or where its weights come from.
_NOT_OPTIONS = frozenset({"num_classes", "in_chans", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay",
                          "checkpoint_path", "cache_dir", "features_only", "out_indices", "scriptable", "exportable",
                          "no_jit"})


class EncoderConfig(Settings):
    """A timm backbone. `weights` is 'random', 'bundled' (ImageNet's, of an installed package), 'hub' (timm's pretrained
    weights, downloaded) or a local file's path; `mean` and `std` are for pixels in 0..1; `options` are keyword arguments of
    the architecture. `geometry` is how images are resized and cropped for evaluation: as timm does, or 'rounded', as
    experiments did before."""

    name: str = Field("test_convnext", max_length=200)
    weights: str = "random"
    options: dict[str, bool | int | float | str] = Field({}, max_length=100)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    image_size: int | None = Field(None, ge=16, le=1024)
    geometry: GeometryName = "timm"

    @model_validator(mode="before")
    @classmethod
    def _older_has_its_geometry(cls, values: object, info: ValidationInfo) -> object:
        if is_stored(info) and isinstance(values, dict) and "geometry" not in values:
            return {**values, "geometry": "rounded"}
        return values

    @field_validator("weights")
    @classmethod
    def _names_something(cls, value: str) -> str:
        if not value.strip():
            raise InputError(f"must be 'random', 'bundled', 'hub' or the path of a weights file, got {value!r}")
        return value

    @model_validator(mode="after")
    def _has_the_bundled_weights(self) -> "EncoderConfig":
        if self.weights == "bundled" and self.name not in bundled.ENCODERS:
            raise InputError(f"weights must be 'random', 'hub' or a weights file's path for {self.name!r}, got 'bundled', "
                             f"which only {', '.join(bundled.ENCODERS)} have")
        return self

    @property
    def weights_file(self) -> Path | None:
        """The local file that `weights` names; None where it names no file."""
        return None if self.weights in NAMED_WEIGHTS else Path(self.weights)

    @field_validator("options")
    @classmethod
    def _options_are_the_architectures(cls, value: dict[str, bool | int | float | str],
                                       info: ValidationInfo) -> dict[str, bool | int | float | str]:
        if (own := _NOT_OPTIONS & value.keys()) and not is_stored(info):
            raise InputError(f"must not set {', '.join(sorted(own))}: Duet sets what goes in and comes out of an encoder, and "
                             f"encoder.weights its weights")
        for name, rate in value.items() if not is_stored(info) else ():
            if "drop" in name and name.endswith(("drop", "drop_path", "_rate")) and (
                    isinstance(rate, bool | str) or not 0 <= rate < 1):  # timm says so in a step, or not at all
                raise InputError(f"must have {name} from 0 to below 1, got {rate!r}")
        return value

    @field_validator("mean", "std")
    @classmethod
    def _are_of_pixels_in_0_to_1(cls, value: tuple[float, float, float] | None,
                                 info: ValidationInfo) -> tuple[float, float, float] | None:
        if value is None:
            return value
        if info.field_name == "std" and min(value) <= 0:
            raise InputError(f"must be three numbers above 0, got {list(value)}")
        if not is_stored(info) and (min(value) < 0 or max(value) > 1):
            advice = "; divide those of pixels in 0..255 by 255" if max(value) > 1 else ""
            raise InputError(f"must be three numbers from 0 to 1, for pixels in 0..1, got {list(value)}{advice}")
        return value

    @field_validator("name")
    @classmethod
    def _is_a_timm_encoder(cls, value: str) -> str:
        if not encoder_names.is_known(value):
            close = ", ".join(encoder_names.closest(value))
            raise InputError(f"must be one of timm's encoders (close: {close}), got {value!r}")
        return value
