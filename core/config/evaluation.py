"""How a space is scored."""

from typing import Literal

from pydantic import Field, ValidationInfo, model_validator

from core.config.settings import Settings, is_stored


class EvaluationConfig(Settings):
    """How a space is scored, and which 2D layout is stored with it.

    `margin` is the least difference that matters, in points (percent): two arms whose difference surely lies inside it are
    called the same. 0 for none, as in experiments of earlier versions, where none was set beforehand.
    `false_accept` is the share of pairs of different classes, in percent, that a threshold on their similarity is chosen to
    accept on validation.
    `flip` is a fault to measure the worth of: images are mirrored by chance as they are embedded, as the study did.
    """

    kmeans_seeds: int = Field(10, ge=1, le=1000)
    bootstrap: int = Field(2000, ge=100, le=100_000)
    margin: float = Field(1.0, ge=0.0, le=50.0)
    false_accept: float = Field(1.0, ge=0.001, le=50.0)
    neighbors: int = Field(5, ge=1, le=1000)
    normalize: bool = True
    projection: Literal["pca", "umap", "tsne"] = "pca"
    probe: int = Field(500, ge=3, le=10_000)
    flip: bool = False

    @model_validator(mode="before")
    @classmethod
    def _older_has_no_margin(cls, values: object, info: ValidationInfo) -> object:
        if is_stored(info) and isinstance(values, dict) and "margin" not in values:
            return {**values, "margin": 0.0}
        return values
