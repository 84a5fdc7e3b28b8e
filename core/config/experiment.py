"""An experiment: one frozen, validated description that YAML, page and worker share.

Knows nothing of files of images, folders of runs or torch.
"""

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from core import files
from core.config import bounded_yaml
from core.config.baselines import ListedBaseline
from core.config.dataset import DatasetConfig, SplitConfig
from core.config.encoder import EncoderConfig
from core.config.evaluation import EvaluationConfig
from core.config.names import arm_label, name_fault
from core.config.objectives import ClassificationConfig, ListedObjective, Objective, SupConConfig, UntrainedConfig, is_drawn
from core.config.refusals import describe
from core.config.run import ImagesPerClass, RunConfig
from core.config.settings import Seed, Settings, is_stored
from core.config.training import BatchConfig, BudgetConfig, TrainingConfig, TuningConfig
from core.errors import InputError, ParameterError
from core.files import Json

MOST_SEEDS, MOST_OBJECTIVES, MOST_BASELINES, MOST_COUNTS, MOST_RUNS = 1000, 100, 100, 100, 10_000


class ExperimentConfig(Settings):
    """One YAML file: a dataset, a split, an encoder, a budget, and what to run."""

    name: str
    dataset: DatasetConfig
    split: SplitConfig = SplitConfig()
    encoder: EncoderConfig = EncoderConfig()
    objectives: tuple[ListedObjective, ...] = Field((ClassificationConfig(), SupConConfig()), max_length=MOST_OBJECTIVES)
    baselines: tuple[ListedBaseline, ...] = Field((), max_length=MOST_BASELINES)
    images_per_class: tuple[ImagesPerClass, ...] = Field(("all",), max_length=MOST_COUNTS)
    seeds: tuple[Seed, ...] = Field((0, 1, 2), max_length=MOST_SEEDS)
    budget: BudgetConfig = BudgetConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tuning: TuningConfig | None = None

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, value: str) -> str:
        if fault := name_fault(value):
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
            if fault := name_fault(label):
                raise InputError(f"must have labels that can be folders: a label {fault}")
            if label == "untrained":
                raise InputError("must not use the label 'untrained': that arm is always added")
            if labels.count(label) > 1:
                raise InputError(f"must be different from each other, got {label!r} twice{advice}")
        return value

    @model_validator(mode="after")
    def _runs_are_bounded(self) -> "ExperimentConfig":
        count = len(self.all_arms) * len(self.images_per_class) * len(self.seeds)
        if count > MOST_RUNS:
            raise ParameterError("objectives × images_per_class × seeds",
                                 f"must make at most {MOST_RUNS:,} runs, the untrained "
                                 f"encoder's among them, got {count:,}")
        return self

    @model_validator(mode="after")
    def _baselines_can_be(self, info: ValidationInfo) -> "ExperimentConfig":
        for number, baseline in enumerate(self.baselines):
            if fault := name_fault(baseline.arm):
                raise ParameterError(f"baselines.{number}.label", fault)
            if baseline.arm in self.all_arms[:number + 1] or baseline.arm in self.arms:
                raise ParameterError(f"baselines.{number}.label", f"must be no other arm's, got {baseline.arm!r} twice")
            try:
                baseline.encoder(self.encoder, is_stored(info))
            except ValidationError as error:
                parameter, _, what = describe(error, EncoderConfig, {}).removeprefix("experiment ").partition(" ")
                raise ParameterError(f"baselines.{number}.{parameter}", what) from None
        return self

    @model_validator(mode="after")
    def _every_split_has_a_seed(self) -> "ExperimentConfig":
        repeats = self.split.repeats
        if repeats > len(self.seeds):
            raise ParameterError("split.repeats", f"must be at most the number of seeds, {len(self.seeds)}, as seed s trains "
                                 f"on split s mod R, got {repeats}")
        if lacking := set(range(repeats)) - {seed % repeats for seed in self.seeds}:
            raise ParameterError("seeds", f"must fall on each of the {repeats} splits (split.repeats), as seed s trains on "
                                 f"split s mod {repeats}, got none on split {min(lacking)}")
        if repeats > 1 and any(objective.group for objective in self.objectives):
            raise ParameterError("split.repeats", "must be 1 where an objective asks for a split of its own (group), got "
                                 f"{repeats}")
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
    def _a_leaky_sampler_is_balanced(self) -> "ExperimentConfig":
        for objective in self.objectives:
            batch = self.batch_of(objective, "all")
            if batch.order == "shuffled" and "all" in (self.training.pool, objective.pool) and (
                    objective.draws_pairs and not is_drawn(objective)):
                raise ParameterError(self.where_order_stands(objective),
                                     "must be 'balanced' where the sampler draws from every split (pool: all): half of each "
                                     "class's samples come from there; got 'shuffled'")
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

    @property
    def frozen_arms(self) -> tuple[str, ...]:
        """Labels of what is not trained: the encoder as it starts, then the baselines."""
        return arm_label(UntrainedConfig()), *(baseline.arm for baseline in self.baselines)

    @property
    def all_arms(self) -> tuple[str, ...]:
        """Labels of every arm, those that are not trained first."""
        return self.frozen_arms + self.arms

    @property
    def most_images_per_class(self) -> ImagesPerClass:
        """The most images per class that are asked for, at which the verdict's sentence is; 'all' is the most."""
        return max(self.images_per_class, key=lambda count: float("inf") if count == "all" else float(count))

    def runs(self) -> list[RunConfig]:
        """Every run, in the order they are worked through: those that train in step stand together."""
        shared = {key: getattr(self, key) for key in ("dataset", "budget", "evaluation", "tuning")}
        arms: list[tuple[Objective, EncoderConfig]] = [
            (UntrainedConfig(), self.encoder),
            *((baseline.objective, baseline.encoder(self.encoder)) for baseline in self.baselines),
            *((objective, self.encoder) for objective in self.objectives)]
        return [RunConfig(experiment=self.name, objective=objective, encoder=encoder, images_per_class=count, seed=seed,
                          split=self.split_of(objective), training=self._training_of(objective, count), **shared)
                for count in self.images_per_class for seed in self.seeds for objective, encoder in arms]

    def split_of(self, objective: Objective) -> SplitConfig:
        """The split of one arm: the experiment's, unless the arm asks for a leak."""
        return self.split if objective.group is None else self.split.model_copy(update={"group": objective.group})

    def batch_of(self, objective: Objective, images_per_class: ImagesPerClass) -> BatchConfig:
        """The batch of one arm: the experiment's, in the arm's own order if it asks for one."""
        batch = self.training.batch.fitted(images_per_class)
        return batch if objective.order is None else batch.model_copy(update={"order": objective.order})

    def where_order_stands(self, objective: Objective) -> str:
        """The parameter that an arm's order of batches comes from, for a refusal."""
        return "training.batch.order" if objective.order is None else f"objectives.{self.objectives.index(objective)}.order"

    def _training_of(self, objective: Objective, images_per_class: ImagesPerClass) -> TrainingConfig:
        changes: dict[str, object] = {"batch": self.batch_of(objective, images_per_class)}
        return self.training.model_copy(update=changes if objective.pool is None else {**changes, "pool": objective.pool})

    def with_absolute_paths(self) -> "ExperimentConfig":
        """The same experiment, its dataset folder, weights files and tables found from anywhere.

        Raises:
            InputError: if one of them can be no path.
        """
        dataset, encoder = self.dataset, self.encoder
        if dataset.root is not None:
            dataset = dataset.model_copy(update={"root": str(files.absolute(dataset.root, "dataset.root"))})
        if encoder.weights_file is not None:
            encoder = encoder.model_copy(update={"weights": str(files.absolute(encoder.weights, "encoder.weights"))})
        return self.model_copy(update={"dataset": dataset, "encoder": encoder, "baselines": tuple(
            baseline.with_absolute_paths(f"baselines.{number}") for number, baseline in enumerate(self.baselines))})

    def to_json(self) -> Json:
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        return bounded_yaml.dump(self.to_json())
