"""What an experiment is: one frozen, validated description that YAML, page and worker share.

Bad values raise `ConfigError` here, in front of the user. Knows nothing about files of images, folders of
runs or torch; whether the data can carry the plan is checked by `core.data.split.check_plan`.
"""

import math
import re
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from core import bounded_yaml, encoders, files
from core.errors import ConfigError, InputError, ParameterError
from core.files import Json
from core.objectives import (
    OBJECTIVES,
    AnyObjective,
    ClassificationConfig,
    ListedObjective,
    Objective,
    SupConConfig,
    UntrainedConfig,
    is_drawn,
)
from core.preprocessing import GeometryName
from core.wording import cut, describe, shown

RANDOM_SPLIT = "a random split"
LEAKY_SAMPLER = "a sampler that draws from every split"
_MOST_SAID = 1000  # letters of a refusal
MOST_SEED = 2**63 - 1
MOST_SEEDS, MOST_OBJECTIVES, MOST_COUNTS, MOST_RUNS = 1000, 100, 100, 10_000
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _is_images_per_class(value: object) -> object:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise InputError(f"must be a whole number from 1 or 'all', got {value!r}")


ImagesPerClass = Annotated[int | Literal["all"], BeforeValidator(_is_images_per_class)]


def _is_stored(info: ValidationInfo) -> bool:
    """Whether the values come from an experiment's folder: what an earlier version accepted still opens."""
    return bool(info.context and info.context.get("stored"))


def _fits_generator(value: int, info: ValidationInfo) -> int:
    if value > MOST_SEED and not _is_stored(info):
        raise InputError(f"must be a whole number from 0 to {MOST_SEED}, what the random generators take, got {shown(value)}")
    return value


Seed = Annotated[int, Field(ge=0), AfterValidator(_fits_generator)]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class DatasetConfig(_Config):
    """Where the images come from; every source but the digits needs a `root`, a folder or, for 'table', a file.

    `group_by` is a regular expression over the path that captures the group. `classes` says of a folder in whose class folders
    more folders lie which are the classes: those at the top, or those that hold the images ('leaf'). Classes of fewer images
    than `min_per_class` are left out; `max_per_class` takes no more images of a class than that, whole groups first.
    `download` fetches Oxford-IIIT Pet where it is missing. Of a table, `columns` says which column is the path, label, group
    or split where its name does not, and `ignore_columns` which are none of them although they look so. `levels` is
    the level of white in images of more than 8 bits; 'auto' takes what the dataset's files reach, rounded up to whole bits.
    """

    source: Literal["digits", "folder", "table", "oxford_pet", "defungi"] = "digits"
    root: str | None = None
    group_by: str | None = Field(None, max_length=1000)
    classes: Literal["top", "leaf"] | None = None
    min_per_class: int | None = Field(None, ge=2)
    max_per_class: int | None = Field(None, ge=2)
    download: bool = False
    columns: dict[Literal["path", "label", "group", "split"], str] = {}
    ignore_columns: tuple[str, ...] = Field((), max_length=1000)
    levels: Literal["auto", 255, 1023, 4095, 16383, 65535] = "auto"

    @field_validator("columns")
    @classmethod
    def _columns_differ(cls, value: dict[str, str]) -> dict[str, str]:
        role_of: dict[str, str] = {}
        for role, name in value.items():
            other = role_of.setdefault(name.strip().casefold(), role)
            if other != role:
                raise InputError(f"must differ: one column cannot be both {other} and {role}, got {name!r}")
        return value

    @field_validator("group_by")
    @classmethod
    def _group_by_compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                n_groups = re.compile(value).groups
            except re.error as error:
                raise InputError(f"must be a regular expression, got {value!r} ({error})") from None
            if n_groups != 1:
                raise InputError(f"must hold exactly one (…) that captures the group, got {value!r} with {n_groups}")
        return value

    @model_validator(mode="after")
    def _root_where_needed(self) -> "DatasetConfig":
        if self.source != "digits" and not self.root:
            what = {"folder": "the folder of class folders", "table": "a CSV or Parquet file with the columns path and label"}
            raise ParameterError("root",
                                 f"must name {what.get(self.source, 'the folder that holds the dataset')} when source is "
                                 f"{self.source!r}, got none")
        if self.source == "digits" and (self.root or self.group_by or self.max_per_class):
            raise ParameterError("root, group_by and max_per_class",
                                 "must be absent when source is 'digits' (they belong to files)")
        if self.source == "digits" and self.min_per_class:
            raise ParameterError("min_per_class", f"must be absent when source is 'digits', got {self.min_per_class}")
        if self.classes and self.source != "folder":
            raise ParameterError("classes",
                                 f"must be absent unless source is 'folder', got {self.classes!r} for {self.source!r}")
        if self.min_per_class and self.max_per_class and self.min_per_class > self.max_per_class:
            raise ParameterError("min_per_class",
                                 f"must be at most max_per_class, {self.max_per_class}, got {self.min_per_class}")
        if self.group_by and self.source == "table":
            raise ParameterError("group_by", "must be absent when source is 'table': its column group names the groups")
        for key in ("columns", "ignore_columns"):
            if getattr(self, key) and self.source != "table":
                raise ParameterError(key, f"must be absent unless source is 'table', got {getattr(self, key)!r} for "
                                 f"{self.source!r}")
        if self.download and self.source != "oxford_pet":
            raise ParameterError("download", f"must be false unless source is 'oxford_pet', got true for {self.source!r}")
        return self


class SplitConfig(_Config):
    """Shares of train, validation and test, drawn by group and stratified by class.

    `held_out_classes`, names or how many the seed draws, are never trained on: their images are an open set, to be retrieved
    among each other. `official` keeps the split a source gives; `near_duplicates` keeps near copies of a picture on one
    side, as exact ones always are. `group: none` is a leak: images are dealt one by one, and crops of one photograph stand
    on both sides.
    """

    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    seed: Seed = 0
    official: bool = True
    near_duplicates: bool = True
    group: Literal["whole", "none"] = "whole"
    held_out_classes: int | tuple[str, ...] = 0

    @field_validator("held_out_classes")
    @classmethod
    def _holds_out_two_or_none(cls, value: int | tuple[str, ...]) -> int | tuple[str, ...]:
        count = value if isinstance(value, int) else len(set(value))
        if count < 0 or count == 1 or (not isinstance(value, int) and count != len(value)):
            raise InputError(f"must be two or more classes, by names that differ or by how many, or 0 for none, got {value!r}")
        return value

    @field_validator("fractions")
    @classmethod
    def _fractions_add_up(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) <= 0 or abs(sum(value) - 1) > 1e-6:
            raise InputError(f"must be three positive shares that add up to 1, got {list(value)}")
        return value


# Arguments of timm.create_model that say what an encoder takes and gives, or where its weights come from.
_NOT_OPTIONS = frozenset({"num_classes", "in_chans", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay",
                          "checkpoint_path", "cache_dir", "features_only", "out_indices", "scriptable", "exportable",
                          "no_jit"})


class EncoderConfig(_Config):
    """A timm backbone. `weights` is 'random', 'hub' (timm's pretrained weights) or a local file's path; `mean` and `std` are
    for pixels in 0..1; `options` are keyword arguments of the architecture. `geometry` is how images are resized and cropped
    for evaluation: as timm does, or 'rounded', as experiments did before."""

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
        if _is_stored(info) and isinstance(values, dict) and "geometry" not in values:
            return {**values, "geometry": "rounded"}
        return values

    @field_validator("weights")
    @classmethod
    def _names_something(cls, value: str) -> str:
        if not value.strip():
            raise InputError(f"must be 'random', 'hub' or the path of a weights file, got {value!r}")
        return value

    @field_validator("options")
    @classmethod
    def _options_are_the_architectures(cls, value: dict[str, bool | int | float | str],
                                       info: ValidationInfo) -> dict[str, bool | int | float | str]:
        if (own := _NOT_OPTIONS & value.keys()) and not _is_stored(info):
            raise InputError(f"must not set {', '.join(sorted(own))}: Duet sets what goes in and comes out of an encoder, and "
                             f"encoder.weights its weights")
        return value

    @field_validator("mean", "std")
    @classmethod
    def _are_of_pixels_in_0_to_1(cls, value: tuple[float, float, float] | None,
                                 info: ValidationInfo) -> tuple[float, float, float] | None:
        if value is None:
            return value
        if info.field_name == "std" and min(value) <= 0:
            raise InputError(f"must be three numbers above 0, got {list(value)}")
        if not _is_stored(info) and (min(value) < 0 or max(value) > 1):
            advice = "; divide those of pixels in 0..255 by 255" if max(value) > 1 else ""
            raise InputError(f"must be three numbers from 0 to 1, for pixels in 0..1, got {list(value)}{advice}")
        return value

    @field_validator("name")
    @classmethod
    def _is_a_timm_encoder(cls, value: str) -> str:
        if not encoders.is_known(value):
            raise InputError(f"must be one of timm's encoders (close: {', '.join(encoders.closest(value))}), got {value!r}")
        return value


class BudgetConfig(_Config):
    """The same for every objective: images seen (views counted), cut into `epochs` equal parts.

    After each part the encoder is scored on validation and a snapshot of the probe samples is kept.
    """

    images: int = Field(10_000, ge=1, le=10**15)
    epochs: int = Field(10, ge=1, le=1000)


class BatchConfig(_Config):
    """Every batch holds `classes` × `samples` different images, whatever the objective.

    With `fit`, runs of fewer images per class than `samples` take all that a class has: a smaller batch, the same for
    every objective, and more steps, as the budget is images. Without it such runs are refused.
    """

    classes: int = Field(5, ge=2)
    samples: int = Field(12, ge=1)
    fit: bool = False

    @property
    def size(self) -> int:
        return self.classes * self.samples

    def fitted(self, images_per_class: int | Literal["all"]) -> "BatchConfig":
        """The batch that runs of so many images per class take."""
        if not self.fit or images_per_class == "all" or images_per_class >= self.samples:
            return self
        return self.model_copy(update={"samples": images_per_class})


class AugmentationConfig(_Config):
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


class TrainingConfig(_Config):
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


class TuningConfig(_Config):
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


class EvaluationConfig(_Config):
    """How a space is scored, and which 2D layout is stored with it.

    `flip` is a fault to measure the worth of: images are mirrored by chance as they are embedded, as the study did.
    """

    kmeans_seeds: int = Field(10, ge=1, le=1000)
    bootstrap: int = Field(2000, ge=100, le=100_000)
    neighbors: int = Field(5, ge=1, le=1000)
    normalize: bool = True
    projection: Literal["pca", "umap", "tsne"] = "pca"
    probe: int = Field(500, ge=3, le=10_000)
    flip: bool = False


class RunConfig(_Config):
    """One objective, one images-per-class, one seed: everything the worker needs to know."""

    experiment: str
    objective: AnyObjective
    images_per_class: ImagesPerClass
    seed: int
    dataset: DatasetConfig
    split: SplitConfig
    encoder: EncoderConfig
    budget: BudgetConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    tuning: TuningConfig | None = None

    @property
    def name(self) -> str:
        """Folder name: objective, images per class, seed."""
        return f"{arm_label(self.objective)}-{self.images_per_class}-seed{self.seed}"

    @property
    def norm(self) -> Literal["frozen", "trained"]:
        """What becomes of running statistics in normalisation layers; as `parse` resolved it."""
        return self.training.norm or ("trained" if self.encoder.weights == "random" else "frozen")

    @property
    def is_trained(self) -> bool:
        return not isinstance(self.objective, UntrainedConfig)

    @property
    def leaks(self) -> tuple[str, ...]:
        """What of the test images this run may have seen, in words; nothing unless it was asked for."""
        found = []
        if self.split.group == "none":
            found.append(RANDOM_SPLIT)
        if self.training.pool == "all" and self.objective.draws_pairs:
            found.append(LEAKY_SAMPLER)
        return tuple(found)

    @property
    def images_per_step(self) -> int:
        """Images an optimizer step sees, views counted; whole triplets where they are drawn one by one."""
        size = self.training.batch.size
        return (size // 3 * 3 if is_drawn(self.objective) else size) * self.training.views

    @property
    def n_steps(self) -> int:
        """Optimizer steps that fit the budget; at least one, rounded up."""
        return -(-self.budget.images // self.images_per_step)

    @property
    def n_trials(self) -> int:
        """Learning rates this run tries before it trains; 0 without tuning."""
        return len(self.tuning.learning_rates) if self.tuning and self.is_trained else 0

    @property
    def n_images(self) -> int:
        """Images that this run's training and its trials see, views counted; whole steps."""
        return (self.n_steps + sum(self.trial(lr).n_steps for lr in self.learning_rates)) * self.images_per_step

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return self.tuning.learning_rates if self.tuning and self.n_trials else ()

    def with_lr(self, lr: float) -> "RunConfig":
        """The same run with a learning rate that is settled, so without trials."""
        return self.model_copy(update={"training": self.training.model_copy(update={"lr": lr}), "tuning": None})

    def trial(self, lr: float) -> "RunConfig":
        """The short run that tries a learning rate: its share of the budget, in one epoch."""
        assert self.tuning, "trials belong to a run that is tuned"
        images = math.ceil(self.budget.images * self.tuning.share)
        return self.with_lr(lr).model_copy(update={"budget": BudgetConfig(images=images, epochs=1)})

    def to_json(self) -> Json:
        return self.model_dump(mode="json")


class ExperimentConfig(_Config):
    """One YAML file: a dataset, a split, an encoder, a budget, and what to run."""

    name: str
    dataset: DatasetConfig
    split: SplitConfig = SplitConfig()
    encoder: EncoderConfig = EncoderConfig()
    objectives: tuple[ListedObjective, ...] = Field((ClassificationConfig(), SupConConfig()), max_length=MOST_OBJECTIVES)
    images_per_class: tuple[ImagesPerClass, ...] = Field(("all",), max_length=MOST_COUNTS)
    seeds: tuple[Seed, ...] = Field((0, 1, 2), max_length=MOST_SEEDS)
    budget: BudgetConfig = BudgetConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tuning: TuningConfig | None = None

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, value: str) -> str:
        if fault := _name_fault(value):
            raise InputError(fault)
        return value

    @field_validator("objectives", "images_per_class", "seeds")
    @classmethod
    def _listed_once(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        if not value:
            raise InputError("must list at least one, got none")
        labels = [arm_label(item) if isinstance(item, Objective) else str(item) for item in value]
        advice = " (give one a label of its own)" if isinstance(value[0], Objective) else ""
        for label in labels:
            if fault := _name_fault(label):
                raise InputError(f"must have labels that can be folders: a label {fault}")
            if label == "untrained":
                raise InputError("must not use the label 'untrained': that arm is always added")
            if labels.count(label) > 1:
                raise InputError(f"must be different from each other, got {label!r} twice{advice}")
        return value

    @model_validator(mode="after")
    def _runs_are_bounded(self) -> "ExperimentConfig":
        count = (len(self.objectives) + 1) * len(self.images_per_class) * len(self.seeds)
        if count > MOST_RUNS:
            raise ParameterError("objectives × images_per_class × seeds",
                                 f"must make at most {MOST_RUNS:,} runs, the untrained "
                                 f"encoder's among them, got {count:,}")
        return self

    @model_validator(mode="after")
    def _drawn_triplets_have_one_view(self) -> "ExperimentConfig":
        if self.training.views > 1 and any(is_drawn(objective) for objective in self.objectives):
            raise ParameterError("training.views", f"must be 1 when triplets are drawn one by one (mining: drawn), got "
                             f"{self.training.views}")
        return self

    @model_validator(mode="after")
    def _one_image_of_a_class_has_two_views(self) -> "ExperimentConfig":
        if 1 in self.images_per_class:
            if any(is_drawn(objective) for objective in self.objectives):
                raise ParameterError("images_per_class",
                                     "must be at least 2 when triplets are drawn one by one (mining: drawn): a "
                                     "positive is another image; got 1")
            if "all" in {self.training.pool, *(objective.pool for objective in self.objectives)}:
                raise ParameterError("images_per_class",
                                     "must be at least 2 where the sampler draws from every split (pool: all): "
                                     "half of each class's samples come from there; got 1")
            if self.training.views == 1:
                raise ParameterError("images_per_class",
                                     "must be at least 2 unless training.views is 2, where the other view of an "
                                     "image is its positive, got 1")
        return self

    @model_validator(mode="after")
    def _an_epoch_has_a_step(self) -> "ExperimentConfig":
        fewest = min(self.runs(), key=lambda run: run.n_steps)
        if self.budget.epochs > fewest.n_steps:
            raise ParameterError("budget.epochs",
                                 f"must be at most the {fewest.n_steps} steps that budget.images allows in batches "
                                 f"of {fewest.training.batch.size}, got {self.budget.epochs}")
        return self

    @model_validator(mode="after")
    def _tried_rates_end_above_the_last(self) -> "ExperimentConfig":
        if self.tuning and min(self.tuning.learning_rates) < self.training.min_lr:
            raise ParameterError("tuning.learning_rates", f"must be at least training.min_lr, {self.training.min_lr:g}, got "
                             f"{min(self.tuning.learning_rates):g}")
        return self

    @property
    def arms(self) -> tuple[str, ...]:
        """Labels of the objectives in order: A, B, …"""
        return tuple(arm_label(objective) for objective in self.objectives)

    def runs(self) -> list[RunConfig]:
        """Every run, in the order they are worked through: those that train in step stand together."""
        shared = {key: getattr(self, key) for key in ("dataset", "encoder", "budget", "evaluation", "tuning")}
        return [RunConfig(experiment=self.name, objective=objective, images_per_class=count, seed=seed,
                          split=self.split_of(objective), training=self._training_of(objective, count), **shared)
                for count in self.images_per_class for seed in self.seeds
                for objective in (UntrainedConfig(), *self.objectives)]

    def split_of(self, objective: Objective) -> SplitConfig:
        """The split of one arm: the experiment's, unless the arm asks for a leak."""
        return self.split if objective.group is None else self.split.model_copy(update={"group": objective.group})

    def _training_of(self, objective: Objective, images_per_class: int | Literal["all"]) -> TrainingConfig:
        changes: dict[str, object] = {"batch": self.training.batch.fitted(images_per_class)}
        return self.training.model_copy(update=changes if objective.pool is None else {**changes, "pool": objective.pool})

    def with_absolute_paths(self) -> "ExperimentConfig":
        """The same experiment, its dataset folder and weights file found from anywhere.

        Raises:
            InputError: if one of them can be no path.
        """
        dataset, encoder = self.dataset, self.encoder
        if dataset.root is not None:
            dataset = dataset.model_copy(update={"root": str(files.absolute(dataset.root, "dataset.root"))})
        if encoder.weights not in ("random", "hub"):
            encoder = encoder.model_copy(update={"weights": str(files.absolute(encoder.weights, "encoder.weights"))})
        return self.model_copy(update={"dataset": dataset, "encoder": encoder})

    def to_json(self) -> Json:
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        return bounded_yaml.dump(self.to_json())


AnyConfig = TypeVar("AnyConfig", ExperimentConfig, RunConfig)
AnyModel = TypeVar("AnyModel", bound=BaseModel)


def arm_label(objective: Objective) -> str:
    """An objective's name in tables, folders and legends: its own label, or the objective's name and its leaks."""
    suffix = f"{'-random-split' if objective.group else ''}{'-leaky-sampler' if objective.pool else ''}"
    return objective.label or f"{objective.name}{suffix}"


def arm_title(objective: Objective) -> str:
    """An objective's name in a sentence."""
    if objective.label:
        return objective.label
    leaks = [words for words, is_on in ((RANDOM_SPLIT, objective.group), (LEAKY_SAMPLER, objective.pool)) if is_on]
    return objective.word + (f" with {' and '.join(leaks)}" if leaks else "")


def check_name(value: str) -> str:
    """Refuses a name that could not be one folder.

    Raises:
        ConfigError: if it is empty, too long, or holds anything but letters, digits, '.', '_' and '-'.
    """
    if fault := _name_fault(value):
        raise ConfigError(f"a name {fault}")
    return value


def _name_fault(value: object) -> str:
    """What is wrong with a name; '' if it is one."""
    if isinstance(value, str) and NAME_PATTERN.fullmatch(value):
        return ""
    return f"must be 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit, got {value!r}"


def parse(values: object, stored: bool = False) -> ExperimentConfig:
    """Validates a mapping read from YAML, JSON or a form.

    Args:
        values: the mapping.
        stored: whether it comes from an experiment's folder, maybe an earlier version's: what that version took for granted
            holds, and a value that it accepted is not refused.

    Raises:
        ConfigError: one sentence for the first thing that is wrong.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"an experiment must be a mapping of keys to values, got {type(values).__name__}")
    return _with_norm(_validated(ExperimentConfig, values, stored), is_old=stored)


def parse_run(values: object) -> RunConfig:
    """A `RunConfig` from the JSON a run folder holds.

    Raises:
        ConfigError: if the file was written by hand or by another version.
    """
    return _with_norm(_validated(RunConfig, values, stored=True), is_old=True)


def parse_dataset(values: Json) -> DatasetConfig:
    """A `DatasetConfig` from what a form holds.

    Raises:
        ConfigError: naming the field, what it must be and what it got.
    """
    return _validated(DatasetConfig, values, stored=False)


def _validated(model: type[AnyModel], values: object, stored: bool) -> AnyModel:
    """The values as a model; `stored` as of `parse`. Raises ConfigError in the project's own words."""
    try:
        return model.model_validate(values, context={"stored": stored})
    except ValidationError as error:
        raise ConfigError(cut(describe(error, model, OBJECTIVES), _MOST_SAID)) from None


def _with_norm(config: AnyConfig, is_old: bool) -> AnyConfig:
    """The config with `training.norm` resolved, so that it stands in every file and comparison.

    A stored config without it is of a version that trained every encoder's statistics.
    """
    if config.training.norm is not None:
        return config
    norm = "trained" if is_old or config.encoder.weights == "random" else "frozen"
    return config.model_copy(update={"training": config.training.model_copy(update={"norm": norm})})
