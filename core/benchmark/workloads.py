"""What the benchmark times: training and embedding, and the bound of each.

Each is a number of steps to be done on one case. Nothing here looks at a clock.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.config import BudgetConfig, ExperimentConfig, RunConfig
from core.config.objectives import is_drawn
from core.data import pixels as pixel_store
from core.data import sources
from core.data.manifest import Manifest
from core.experiments import planning
from core.training import embed, encoder, normalization, objectives
from core.training.device import placed
from core.training.encoder import DataConfig
from core.training.objectives import Objective
from core.training.trainer import Trainer

EMBED_BATCH = 256  # images per forward pass when embedding


@dataclass(frozen=True, eq=False)
class Case:
    """What is timed: the first trained run of an experiment, its samples, their decoded images (n, S, S, 3), the device.

    `experiment` and `data` are what it was prepared from; another process prepares the same from them.
    """

    experiment: ExperimentConfig
    data: Path
    config: RunConfig
    manifest: Manifest
    pixels: np.ndarray
    data_config: DataConfig
    device: torch.device

    @property
    def rows(self) -> np.ndarray:
        """Rows that are trained on, shape (m,), int64."""
        return self.manifest.training_indices(self.config.images_per_class, self.config.seed)

    def model(self) -> tuple[nn.Module, Objective]:
        """A fresh encoder and objective, with the run's first weights."""
        module, data_config = encoder.build(self.config.encoder, self.config.seed)
        width = encoder.feature_width(module, data_config)
        return module, objectives.build(self.config.objective, width, len(self.manifest.closed_classes),
                                        self.config.training.batch.size, self.config.seed,
                                        class_counts=self.manifest.class_counts(self.rows))

    def trainer(self) -> Trainer:
        """A trainer of the run, before its first step."""
        module, objective = self.model()
        return Trainer(module, objective, self.data_config, self.pixels, self.manifest.label_id, self.rows, self.config,
                       self.device)


@dataclass(frozen=True)
class Subject:
    """Something to be timed.

    Attributes:
        images: images a step works on.
        ready: gets ready, off the clock, and gives the function that does n steps.
        lead_in: steps before the clock starts: memory is fetched again, queues fill.
    """

    images: int
    ready: Callable[[], AbstractContextManager[Callable[[int], None]]]
    lead_in: int = 3


def prepare(config: ExperimentConfig, data: Path, device: torch.device) -> Case:
    """Scans, splits and decodes an experiment's images, or finds them as they were left below `data`.

    Raises:
        InputError, NotFound, Unreachable: what is missing or cannot work, in one sentence.
    """
    plan = planning.plan(config, data)
    run = next(run for run in plan.config.runs() if run.is_trained)
    training = run.training.model_copy(update={"devices": 1})
    run = run.model_copy(update={"training": training, "budget": BudgetConfig(images=10**9, epochs=1)})  # it never ends
    _, data_config = encoder.build(run.encoder, run.seed)
    pixels = pixel_store.load(plan.manifest, sources.open_source(run.dataset), data_config.stored, data / ".pixels")
    return Case(config, data, run, plan.manifest, pixels, data_config, device)


def training(case: Case) -> Subject:
    """Training as the worker does it."""
    trainer = case.trainer()

    def steps(n: int) -> None:
        for _ in range(n):
            trainer.train_step()

    return Subject(case.config.images_per_step, lambda: nullcontext(steps))


def training_bound(case: Case) -> Subject:
    """The same step on one batch that is there already: no images to fetch, nothing read back, no record kept."""
    config, device = case.config, case.device
    module, objective = case.model()
    module, objective = placed(module, device).train(), objective.to(device).train()
    normalization.train(module, config.norm)
    parameters = [*module.parameters(), *objective.parameters()]
    optimizer = build_optimizer(parameters, config, fused=True)
    images, target = _synthetic(config.images_per_step, case), _labels(config).to(device)
    forward = torch.compile(module) if config.training.compile else module

    def steps(n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad(set_to_none=True)
            with _autocast(device):
                features = forward(images)
            objective(features.float(), target).backward()
            optimizer.step()
            objective.remember()

    return Subject(config.images_per_step, lambda: nullcontext(steps))


def embedding(case: Case) -> Subject:
    """Embedding as the worker does it, from the first image again where they do not suffice."""
    module, _ = case.model()

    def steps(n: int) -> None:
        rows = np.resize(np.arange(len(case.manifest)), n * EMBED_BATCH)
        embed.embed(module, case.data_config, case.pixels, rows, case.device, batch_size=EMBED_BATCH)

    return Subject(EMBED_BATCH, lambda: nullcontext(steps))


def embedding_bound(case: Case) -> Subject:
    """The same forward pass of one batch that is there already."""
    module = placed(case.model()[0], case.device).eval()
    images = _synthetic(EMBED_BATCH, case)

    def steps(n: int) -> None:
        with torch.inference_mode(), _autocast(case.device):
            for _ in range(n):
                module(images)

    return Subject(EMBED_BATCH, lambda: nullcontext(steps))


def build_optimizer(parameters: list[nn.Parameter], config: RunConfig, fused: bool | None) -> torch.optim.Optimizer:
    """The optimizer a run names, written plainly: what the trainer adds to it is among what is timed."""
    training = config.training
    shared: dict[str, Any] = {"lr": training.lr, "weight_decay": training.weight_decay, "fused": fused}
    match training.optimizer:
        case "adamw":
            return torch.optim.AdamW(parameters, **shared)
        case "adam":
            return torch.optim.Adam(parameters, **shared)
        case "sgd":
            return torch.optim.SGD(parameters, momentum=0.9, **shared)


def _synthetic(n: int, case: Case) -> torch.Tensor:
    """Normalised images of noise on the device, shape (n, 3, s, s), float32, channels last."""
    size = case.data_config.image_size
    noise = torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))
    return noise.to(case.device, memory_format=torch.channels_last)


def _labels(config: RunConfig) -> torch.Tensor:
    """Labels of a batch as the samplers make them, shape (images per step,), int64."""
    batch = config.training.batch
    if is_drawn(config.objective):
        anchors = torch.arange(batch.size // 3) % 2
        return torch.cat([anchors, anchors, 1 - anchors])
    return torch.arange(batch.classes).repeat_interleave(batch.samples).repeat(config.training.views)


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
