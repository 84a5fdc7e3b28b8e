"""The loop: one encoder, one objective, one budget; yields one record an epoch.

Every random number follows from (seed, step), so a resumed run needs only weights, optimizer and step to go on
exactly. Knows nothing about folders, validation or processes.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from core.config import RunConfig, is_drawn
from core.training.augmentation import augment
from core.training.batches import BatchSampler, TripletSampler
from core.training.encoder import DataConfig
from core.training.objectives import Objective


@dataclass(frozen=True)
class EpochRecord:
    """One line of `records.jsonl`, before validation is added.

    Attributes:
        epoch: 1 to the budget's epochs.
        step: optimizer steps so far.
        images_seen: images so far, views counted.
        loss: mean over the epoch's steps.
        gradient_norm: mean L2 norm over the epoch's steps.
        lr: learning rate of the last step.
        seconds: time spent training in this epoch.
        images_per_second: images seen in this epoch by that time.
    """

    epoch: int
    step: int
    images_seen: int
    loss: float
    gradient_norm: float
    lr: float
    seconds: float
    images_per_second: float


@dataclass
class _Running:
    """Sums since the epoch began; saved with a checkpoint so that a stop in mid-epoch changes no record."""

    loss: float = 0.0
    gradient_norm: float = 0.0
    steps: int = 0
    seconds: float = 0.0


class Trainer:
    """Trains an encoder in place.

    Args:
        encoder: images (b, 3, s, s) -> features (b, D).
        objective: (features, labels) -> loss.
        data: the encoder's input.
        pixels: stored images of the whole dataset, shape (n, S, S, 3), uint8; only `rows` are ever read.
        label_id: labels of the whole dataset, shape (n,), int32.
        rows: rows that may be trained on, shape (m,), int64.
        pool: rows that positives and negatives may be drawn from, shape (k,), int64; `rows` unless a leak was asked for.
        config: budget, batch, optimizer and seed.
        device: where to train.
    """

    def __init__(self, encoder: nn.Module, objective: Objective, data: DataConfig, pixels: np.ndarray,
                 label_id: np.ndarray, rows: np.ndarray, config: RunConfig, device: torch.device,
                 pool: np.ndarray | None = None) -> None:
        self.encoder = encoder.to(device, memory_format=torch.channels_last)
        self.objective = objective.to(device)
        self._data, self._config, self._device = data, config, device
        self._pixels = pixels
        classes = np.unique(label_id[rows])
        self._target = np.searchsorted(classes, label_id)  # label ids of the classes trained on, 0, 1, …
        if pool is not None:
            pool = pool[np.isin(label_id[pool], classes)]
        sampler = TripletSampler if is_drawn(config.objective) else BatchSampler
        self._sampler = sampler(rows, label_id, config.training.batch, config.seed, pool)
        self._parameters = [*self.encoder.parameters(), *self.objective.parameters()]
        self._optimizer = _optimizer(self._parameters, config)
        self._step = 0
        self._running = _Running()

    @property
    def step(self) -> int:
        return self._step

    @property
    def is_done(self) -> bool:
        return self._step >= self._config.n_steps

    def epochs(self, should_stop: Callable[[], bool]) -> Iterator[EpochRecord]:
        """Trains on, yielding a record at each epoch's end; ends early, after a whole step, when asked to stop.

        Raises:
            FloatingPointError: if the loss is no longer a number.
        """
        n_steps, n_epochs = self._config.n_steps, self._config.budget.epochs
        ends = [round(n_steps * epoch / n_epochs) for epoch in range(1, n_epochs + 1)]
        for epoch, end in enumerate(ends, start=1):
            if self._step > end or (self._step == end and self._running.steps == 0):
                continue
            while self._step < end:
                if should_stop():
                    return
                started = time.perf_counter()
                self._train_step()
                self._running.seconds += time.perf_counter() - started
            yield self._finish_epoch(epoch)

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Everything needed to go on exactly: tensors by name, and JSON values."""
        tensors = {f"encoder.{key}": value for key, value in self.encoder.state_dict().items()}
        tensors |= {f"objective.{key}": value for key, value in self.objective.state_dict().items()}
        optimizer = self._optimizer.state_dict()["state"]
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value)
                    for index, values in optimizer.items() for key, value in values.items() if value is not None}
        return tensors, {"step": self._step, "running": asdict(self._running)}

    def load(self, tensors: dict[str, torch.Tensor], values: dict) -> None:
        """Puts back what `state` gave; the sampler is wound forward to the same batch."""
        parts: dict[str, dict] = {"encoder": {}, "objective": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, key = name.partition(".")
            parts[part][key] = tensor
        self.encoder.load_state_dict(parts["encoder"])
        self.objective.load_state_dict(parts["objective"])
        state: dict[int, dict] = {}
        for name, tensor in parts["optimizer"].items():
            index, _, key = name.partition(".")
            like = self._parameters[int(index)]
            if tensor.shape == like.shape:  # in the parameter's own memory format: fused optimizers go by memory order
                tensor = torch.empty_like(like).copy_(tensor)
            state.setdefault(int(index), {})[key] = tensor
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        for _ in range(values["step"] - self._step):
            self._sampler.draw()
        self._step = values["step"]
        self._running = _Running(**values["running"])

    def _train_step(self) -> None:
        seed = self._config.seed * 1_000_003 + self._step  # a prime apart: runs of nearby seeds share no step
        torch.manual_seed(seed)
        rows = self._sampler.draw()
        pixels = torch.from_numpy(np.ascontiguousarray(self._pixels[rows])).to(self._device, non_blocking=True)
        target = torch.from_numpy(self._target[rows]).to(self._device, non_blocking=True)
        images = augment(pixels, self._config.training.augmentation, self._data, torch.Generator().manual_seed(seed))
        lr = _lr_at(self._step, self._config)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self.encoder.train()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            features = self.encoder(images)
        loss = self.objective(features.float(), target)
        loss.backward()
        norm = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        self._optimizer.step()
        self._step += 1
        self._running.loss += loss.item()
        self._running.gradient_norm += norm.item()
        self._running.steps += 1

    def _finish_epoch(self, epoch: int) -> EpochRecord:
        running, self._running = self._running, _Running()
        batch = self._config.images_per_step
        loss = running.loss / running.steps
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss must stay a number, got {loss} in epoch {epoch}; "
                                     f"lower training.lr ({self._config.training.lr:g})")
        return EpochRecord(epoch=epoch, step=self._step, images_seen=self._step * batch, loss=loss,
                           gradient_norm=running.gradient_norm / running.steps, lr=_lr_at(self._step - 1, self._config),
                           seconds=running.seconds, images_per_second=running.steps * batch / running.seconds)


def _optimizer(parameters: list[nn.Parameter], config: RunConfig) -> torch.optim.Optimizer:
    training = config.training
    match training.optimizer:
        case "adamw":
            return torch.optim.AdamW(parameters, lr=training.lr, weight_decay=training.weight_decay, fused=True)
        case "adam":
            return torch.optim.Adam(parameters, lr=training.lr, weight_decay=training.weight_decay, fused=True)
        case "sgd":
            return torch.optim.SGD(parameters, lr=training.lr, momentum=0.9, weight_decay=training.weight_decay, fused=True)


def _lr_at(step: int, config: RunConfig) -> float:
    """Linear warm-up over a share of the steps, then a half cosine to `min_lr` (Loshchilov & Hutter, 2017,
    arXiv:1608.03983)."""
    training = config.training
    warmup = round(training.warmup * config.n_steps)
    if step < warmup:
        return training.lr * (step + 1) / warmup
    share = (step - warmup) / max(1, config.n_steps - warmup)
    return training.min_lr + (training.lr - training.min_lr) * 0.5 * (1 + math.cos(math.pi * share))
