"""What training is measured against: encoders that stay as they are, and tables of another's vectors.

Builds and reads nothing; `core.training.encoder` and `core.data.vectors` do.
"""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from core import files
from core.config import bundled
from core.config.encoder import NAMED_WEIGHTS, EncoderConfig
from core.config.objectives import FrozenConfig
from core.config.settings import Settings
from core.errors import InputError, ParameterError

_TABLES, _WEIGHTS = (".parquet",), (".safetensors", ".pth", ".pt", ".bin")
_OF_ENCODER = ("name", "weights", "options", "mean", "std", "image_size")
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class BaselineConfig(Settings):
    """A frozen encoder, or a table of vectors, scored beside the arms that are trained.

    `name` is any timm encoder's, by itself at its own image size and with its pretrained weights; without it, the
    experiment's encoder with other `weights`. `table` is a Parquet file with a vector for each image of the dataset
    (`core.data.vectors`), from any encoder. `label` is what the arm is called.
    """

    label: str | None = None
    name: str | None = Field(None, max_length=200)
    weights: str | None = None
    options: dict[str, bool | int | float | str] | None = Field(None, max_length=100)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    image_size: int | None = Field(None, ge=16, le=1024)
    table: str | None = None

    @model_validator(mode="after")
    def _is_an_encoder_or_a_table(self) -> "BaselineConfig":
        of_encoder = [key for key in _OF_ENCODER if getattr(self, key) is not None]
        if self.table is not None and of_encoder:
            raise ParameterError(of_encoder[0], "must be absent where a table gives the vectors")
        if self.table is None and self.name is None and self.weights is None:
            raise InputError("must name an encoder, weights or a table, got none of the three")
        return self

    @property
    def arm(self) -> str:
        """The arm's label: its own, or made of the name of the table, the weights file or the encoder."""
        if self.label is not None:
            return self.label
        file = self.table or (None if self.weights in (None, *NAMED_WEIGHTS) else self.weights)
        text = Path(file).stem if file else self.name or self.weights
        return _NO_NAME.sub("-", text or "").strip("-._")[:64] or "baseline"

    @property
    def objective(self) -> FrozenConfig:
        """What its runs have in place of an objective."""
        return FrozenConfig(label=self.arm, table=self.table)

    def with_absolute_paths(self, where: str) -> "BaselineConfig":
        """The same, its files found from anywhere; `where` is the parameter that it stands at.

        Raises:
            InputError: if one of them can be no path.
        """
        changes: dict[str, str] = {}
        if self.weights is not None and self.weights not in NAMED_WEIGHTS:
            changes["weights"] = str(files.absolute(self.weights, f"{where}.weights"))
        if self.table is not None:
            changes["table"] = str(files.absolute(self.table, f"{where}.table"))
        return self.model_copy(update=changes)

    def encoder(self, of_experiment: EncoderConfig, stored: bool = True) -> EncoderConfig:
        """The encoder that it is; the experiment's own for a table, which has none.

        Args:
            of_experiment: the encoder that is trained.
            stored: as of `parsing.parse`.

        Raises:
            pydantic.ValidationError: if there can be no such encoder.
        """
        if self.table is not None:
            return of_experiment
        given: dict[str, Any] = {key: getattr(self, key) for key in _OF_ENCODER if getattr(self, key) is not None}
        kept = of_experiment.model_dump() if self.name is None else {
            "weights": "bundled" if self.name in bundled.ENCODERS else "hub", "geometry": "timm"}
        return EncoderConfig.model_validate({**kept, **given}, context={"stored": stored})


def _from_text(value: object) -> object:
    """A baseline named by a text alone: a table's or a weights file's path by its ending, else an encoder's name."""
    if not isinstance(value, str):
        return value
    kinds = (("table", _TABLES), ("weights", _WEIGHTS))
    return {next((key for key, endings in kinds if value.lower().endswith(endings)), "name"): value}


ListedBaseline = Annotated[BaselineConfig, BeforeValidator(_from_text)]
