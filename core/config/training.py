"""How an encoder is trained: budget, batches, augmentation, optimizer, learning rates to try. The same for every objective."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from core.config.settings import Settings
from core.errors import InputError, ParameterError

BatchOrder = Literal["balanced", "shuffled"]


class BudgetConfig(Settings):
    """The same for every objective: images seen (views counted), cut into `epochs` equal parts.

    After each part the encoder is scored on validation and a snapshot of the probe samples is kept.
    """

    images: int = Field(10_000, ge=1, le=10**15)
    epochs: int = Field(10, ge=1, le=1000)


class BatchConfig(Settings):
    """Every batch holds `classes` × `samples` different images, whatever the objective.

    `order` says which. `balanced`: `samples` of each of `classes` classes, every class as often as any other (PK sampling:
    Hermans et al., 2017, arXiv:1703.07737). `shuffled`: the training images in random order, each once a pass, so that
    classes come as often as they have images. A batch that a pass ends in is filled up from the next; none is smaller.

    With `fit`, runs of fewer images per class than `samples` take all that a class has: a smaller batch, the same for
    every objective, and more steps, as the budget is images. Without it such runs are refused.
    """

    classes: int = Field(5, ge=2)
    samples: int = Field(12, ge=1)
    fit: bool = False
    order: BatchOrder = "balanced"

    @property
    def size(self) -> int:
        return self.classes * self.samples

    def fitted(self, images_per_class: int | Literal["all"]) -> "BatchConfig":
        """The batch that runs of so many images per class take."""
        if not self.fit or images_per_class == "all" or images_per_class >= self.samples:
            return self
        return self.model_copy(update={"samples": images_per_class})


class AugmentationConfig(Settings):
    """Random resized crop (share of the area; null for the evaluation's middle crop), horizontal flip, brightness and
    contrast jitter; training only."""

    crop_scale: tuple[float, float] | None = (0.5, 1.0)
    flip: bool = True
    jitter: float = Field(0.0, ge=0, lt=1)

    @field_validator("crop_scale")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 < value[0] <= value[1] <= 1:
            raise InputError(f"must be two shares, 0 < low ≤ high ≤ 1, got {list(value)}")
        return value


class TrainingConfig(Settings):
    """How the encoder is trained; the same for every objective.

    `views` of each image are drawn and counted in the budget. `micro_batch` is how many images the encoder takes at a
    time (null: all): a matter of memory alone, the loss always sees the whole batch. `warmup` is a share of the budget;
    the learning rate ends at `min_lr`. `norm` says whether running statistics of normalisation layers (BatchNorm) stay as
    the weights bring them (`frozen`) or are learnt anew (`trained`); null is `trained` for random weights, `frozen` for all
    others. A checkpoint is saved each epoch and every `save_minutes`. `devices` is how many share each batch. `pool: all` is
    a leak: positives and negatives are drawn from validation and test too, as the study did.
    """

    batch: BatchConfig = BatchConfig()
    views: Literal[1, 2] = 1
    micro_batch: int | None = Field(None, ge=1)
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(3e-4, gt=0, le=10)
    min_lr: float = Field(0.0, ge=0, le=10)
    warmup: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0, le=10)
    norm: Literal["frozen", "trained"] | None = None
    pool: Literal["train", "all"] = "train"
    augmentation: AugmentationConfig = AugmentationConfig()
    compile: bool = False
    devices: int = Field(1, ge=1, le=1024)
    save_minutes: float = Field(5.0, gt=0)
    tensorboard: bool = False

    @model_validator(mode="after")
    def _a_class_stands_twice_in_a_batch(self) -> "TrainingConfig":
        if self.batch.samples * self.views < 2:
            raise ParameterError("batch.samples", "must be at least 2 unless training.views is 2, where the other view of "
                             "an image is its positive, got 1")
        return self

    @field_validator("min_lr")
    @classmethod
    def _is_below_lr(cls, value: float, info: ValidationInfo) -> float:
        if value > info.data.get("lr", value):
            raise InputError(f"must be at most training.lr, {info.data['lr']:g}, got {value:g}")
        return value


class TuningConfig(Settings):
    """Each run first tries these learning rates, each on a `share` of its budget with the same first weights and batches,
    and trains with the one that is best on validation (MAP@R; the first listed of equal ones).

    Every run tries as many, whatever its objective, and on its own: the luck of tuning is part of what differs between
    seeds, and no run waits for another's.
    """

    learning_rates: tuple[Annotated[float, Field(gt=0, le=10)], ...] = Field(max_length=100)
    share: float = Field(0.25, gt=0, le=1)

    @field_validator("learning_rates")
    @classmethod
    def _tried_once(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) < max(2, len(value)):
            raise InputError(f"must be two or more, different from each other, got {list(value)}")
        return value
