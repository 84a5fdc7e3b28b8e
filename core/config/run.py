"""One run: an objective, a number of images per class, a seed, and all that they share with the experiment's others."""

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator

from core.config.dataset import DatasetConfig, SplitConfig
from core.config.encoder import EncoderConfig
from core.config.evaluation import EvaluationConfig
from core.config.names import LEAKY_SAMPLER, RANDOM_SPLIT, arm_label
from core.config.objectives import AnyObjective, FrozenConfig, UntrainedConfig, is_drawn
from core.config.settings import Settings
from core.config.training import BudgetConfig, TrainingConfig, TuningConfig
from core.errors import InputError
from core.files import Json


def _is_images_per_class(value: object) -> object:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise InputError(f"must be a whole number from 1 or 'all', got {value!r}")


ImagesPerClass = Annotated[int | Literal["all"], BeforeValidator(_is_images_per_class)]


class RunConfig(Settings):
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
    def repeat(self) -> int:
        """Which of the repeated splits it trains and is tested on, from 0."""
        return self.seed % self.split.repeats

    @property
    def norm(self) -> Literal["frozen", "trained"]:
        """What becomes of running statistics in normalisation layers; as `parse` resolved it."""
        return self.training.norm or ("trained" if self.encoder.weights == "random" else "frozen")

    @property
    def is_trained(self) -> bool:
        return not isinstance(self.objective, UntrainedConfig | FrozenConfig)

    @property
    def table(self) -> str | None:
        """The table that its vectors come from; None where its encoder makes them."""
        return self.objective.table if isinstance(self.objective, FrozenConfig) else None

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
