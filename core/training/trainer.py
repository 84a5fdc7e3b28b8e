"""The loop: one encoder, one objective, one budget; yields one record an epoch.

Every random number follows from (seed, step), so a resumed run needs only weights, optimizer and step to go on
exactly. A batch may be embedded in micro-batches and by several processes: the loss always sees the whole of it. Knows
nothing about folders, validation or how its process was started.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from core.config import RunConfig
from core.config.objectives import is_drawn
from core.training import augmentation, normalization
from core.training.augmentation import Drawn
from core.training.batches import sampler_of
from core.training.clock import Clock, peak_memory
from core.training.device import placed
from core.training.encoder import DataConfig
from core.training.health import Health, mean_cosine
from core.training.images import Images
from core.training.objectives import Objective
from core.training.ranks import Ranks
from core.wording import is_out_of_memory

_SEEDS = 2**64  # torch takes seeds below
MACHINE_FIELDS = ("seconds", "images_per_second", "compute_share", "memory")  # of a record: no two trainings agree on them


@dataclass(frozen=True)
class EpochRecord:
    """One line of `records.jsonl`, before validation is added; None before the first step.

    Attributes:
        epoch: 1 to the budget's epochs.
        step: optimizer steps so far.
        images_seen: images so far, views counted.
        loss: mean over the epoch's steps.
        gradient_norm: mean L2 norm over the epoch's steps.
        lr: learning rate of the last step.
        seconds: time spent training in this epoch.
        images_per_second: images seen in this epoch by that time.
        compute_share: share of that time in which the model itself computed: forward, loss, backward, optimizer.
        mean_cosine: between all pairs of a batch's embeddings, mean over the epoch's steps; 1 in a collapsed space.
        active_triplets: share of the triplets that taught, mean over the epoch's steps; None without triplets.
        positives_per_anchor: other images of an anchor's class in its batch, mean over the last batch.
        micro_batch: images the encoder took at a time.
        memory: most bytes held so far: by tensors on a GPU, by the process on a CPU.
    """

    epoch: int
    step: int
    images_seen: int
    loss: float | None = None
    gradient_norm: float | None = None
    lr: float = 0.0
    seconds: float = 0.0
    images_per_second: float | None = None
    compute_share: float | None = None
    mean_cosine: float | None = None
    active_triplets: float | None = None
    positives_per_anchor: float | None = None
    micro_batch: int | None = None
    memory: int | None = None


@dataclass
class _Running:
    """Since the epoch began; saved with a checkpoint so that a stop in mid-epoch changes no record."""

    steps: int = 0
    seconds: float = 0.0
    compute: float = 0.0


@dataclass(frozen=True, eq=False)
class _Batch:
    """What one step trains on.

    Attributes:
        seed: of the step's random numbers.
        rows: of the whole batch, shape (b,), int64.
        pixels: this process's part of their images, shape (m, S, S, 3), uint8, on the device.
        drawn: random parameters of that part's views.
    """

    seed: int
    rows: np.ndarray
    pixels: torch.Tensor
    drawn: Drawn


class Trainer:
    """Trains an encoder in place.

    Args:
        encoder: images (b, 3, s, s) -> features (b, D).
        objective: (features, labels) -> loss.
        data: the encoder's input.
        pixels: stored images of the whole dataset, shape (n, S, S, 3), uint8; only `rows` are ever read.
        label_id: labels of the whole dataset, shape (n,), int32.
        rows: rows that may be trained on, shape (m,), int64.
        config: budget, batch, optimizer and seed.
        device: where to train.
        pool: rows that positives and negatives may be drawn from, shape (k,), int64; `rows` unless a leak was asked for.
        ranks: the processes that share each batch.
    """

    def __init__(self, encoder: nn.Module, objective: Objective, data: DataConfig, pixels: np.ndarray,
                 label_id: np.ndarray, rows: np.ndarray, config: RunConfig, device: torch.device,
                 pool: np.ndarray | None = None, ranks: Ranks | None = None) -> None:
        self._ranks = ranks or Ranks()
        if self._ranks.n > 1 and device.type == "cuda" and config.norm == "trained":  # frozen ones share nothing
            encoder = normalization.synchronized(encoder)
        self.encoder = placed(encoder, device)
        self.objective = objective.to(device)
        self._model = torch.compile(self.encoder) if config.training.compile else self.encoder
        self._data, self._config, self._device = data, config, device
        classes = np.unique(label_id[rows])
        self._target = np.searchsorted(classes, label_id)  # label ids of the classes trained on, 0, 1, …
        if pool is not None:
            pool = pool[np.isin(label_id[pool], classes)]
        self._images = Images(pixels, rows if pool is None else np.union1d(rows, pool), device)
        self._sampler = sampler_of(config, rows, label_id, pool)
        self._parameters = [*self.encoder.parameters(), *self.objective.parameters()]
        self._optimizer = _optimizer(self.encoder, self.objective, config)
        self._micro_batch = config.training.micro_batch
        self._clock = Clock(device)
        self._coming: np.ndarray | None = None  # rows of the next step, drawn while the one before it trains
        self._step = 0
        self._running = _Running()
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)  # loss, gradient norm, mean cosine, active triplets
        self._positives = 0.0
        self.health = Health(objective.collapse_value, config.training.lr)

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
                self.train_step()
                if self._step == end:
                    self._running.compute += self._clock.read()
                self._running.seconds += time.perf_counter() - started
            yield self._finish_epoch(epoch)

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Everything needed to go on exactly: tensors by name, and JSON values."""
        tensors = {f"encoder.{key}": value for key, value in self.encoder.state_dict().items()}
        tensors |= {f"objective.{key}": value for key, value in self.objective.state_dict().items()}
        optimizer = self._optimizer.state_dict()["state"]
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value)
                    for index, values in optimizer.items() for key, value in values.items() if value is not None}
        self._running.compute += self._clock.read()
        return tensors, {"step": self._step, "running": asdict(self._running), "sums": self._sums.tolist(),
                         "micro_batch": self._micro_batch}

    def load(self, tensors: dict[str, torch.Tensor], values: dict) -> None:
        """Puts back what `state` gave, before the first step; the sampler is wound forward to the same batch."""
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
        self.health.go_on_from(self._step)
        self._running = _Running(**values["running"])
        self._sums = torch.tensor(values["sums"], dtype=torch.float64, device=self._device)
        self._micro_batch = values["micro_batch"]

    def train_step(self) -> None:
        """One step of the optimizer.

        Raises:
            torch.OutOfMemoryError, RuntimeError: if a single image at a time is too much for the device's memory.
        """
        batch = self._next_batch()
        target = torch.from_numpy(self._target[batch.rows]).to(self._device, non_blocking=True)
        if not self.encoder.training:
            normalization.train(self.encoder, self._config.norm)  # a walk through all its modules
        while True:
            self._optimizer.zero_grad(set_to_none=True)
            try:
                features, loss = self._backward(batch, target)
                break
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                self._halve_micro_batch(len(batch.pixels), error)
        with self._clock.measure():
            self._ranks.add_up(p.grad for p in self.encoder.parameters() if p.grad is not None)
            norm = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
            self._set_lr()
            self._optimizer.step()
            self.objective.remember()
        self._step += 1
        self._running.steps += 1
        self._positives = _positives_per_anchor(self._target[batch.rows]) if not is_drawn(self._config.objective) else 1.0
        self._take_in(loss, features, norm)

    def _next_batch(self) -> _Batch:
        """This step's batch; starts reading the next one's images."""
        training = self._config.training
        rows = self._draw_rows() if self._coming is None else self._coming
        if self._step + 1 < self._config.n_steps:
            self._coming = self._draw_rows()
            self._images.expect(self._mine(self._coming))
        seed = self._config.seed * 1_000_003 + self._step  # a prime apart: runs of nearby seeds share no step
        drawn = augmentation.draw(len(rows), training.augmentation, torch.Generator().manual_seed(seed % _SEEDS))
        return _Batch(seed, rows, self._images.take(self._mine(rows)), drawn.part(self._ranks.share(len(rows))))

    def _draw_rows(self) -> np.ndarray:
        return np.tile(self._sampler.draw(), self._config.training.views)

    def _mine(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of a batch."""
        return rows[self._ranks.share(len(rows))]

    def _backward(self, batch: _Batch, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of the whole batch's loss, with the encoder's activations of one micro-batch at a time.

        More than one micro-batch are embedded twice, first without gradients: gradient caching (Gao et al., 2021,
        arXiv:2101.06983). Batch normalisation that is trained then sees micro-batches, as it would on as many devices.

        Returns:
            Features of the whole batch, shape (b, D), and the loss, a scalar.
        """
        n = len(batch.pixels)
        size = min(self._micro_batch or n, n)
        parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]

        def embed(part: slice) -> torch.Tensor:
            images = augmentation.augment(batch.pixels[part], batch.drawn.part(part), self._data)
            self._set_seed((batch.seed * self._ranks.n + self._ranks.rank) * 1009 + part.start)  # the same at either time
            with self._clock.measure(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
                return self._model(images).float()

        if len(parts) == 1:
            own = embed(parts[0])
        else:
            with torch.no_grad(), _statistics_kept(self.encoder):
                own = torch.cat([embed(part) for part in parts])
            own.requires_grad_()
        with self._clock.measure():
            self._set_seed(batch.seed)
            features = self._ranks.gather(own, len(target))
            loss = self.objective(features, target)
            loss.backward()
        if len(parts) > 1:
            gradient = own.grad
            assert gradient is not None, "of what the loss was made of"
            for part in parts:
                again = embed(part)
                with self._clock.measure():
                    again.backward(gradient[part])
        return features.detach(), loss.detach()

    def _set_seed(self, seed: int) -> None:
        """As `torch.manual_seed`, which seeds GPUs too and takes half a millisecond for it even where there is none."""
        (torch.default_generator if self._device.type == "cpu" else torch).manual_seed(seed % _SEEDS)

    def _halve_micro_batch(self, n: int, error: RuntimeError) -> None:
        size = min(self._micro_batch or n, n)
        if not is_out_of_memory(error) or size == 1 or self._ranks.n > 1:  # the others would wait for this step for ever
            raise error
        self._micro_batch = -(-size // 2)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _set_lr(self) -> None:
        lr = _lr_at(self._step, self._config)
        for group in self._optimizer.param_groups:
            group["lr"] = lr * group["factor"]

    def _take_in(self, loss: torch.Tensor, features: torch.Tensor, norm: torch.Tensor) -> None:
        active = self.objective.active
        cosine = mean_cosine(features)
        numbers = torch.stack([loss, norm.detach(), cosine, torch.as_tensor(
            math.nan if active is None else active, device=loss.device, dtype=loss.dtype)])
        self._sums += numbers.double()
        self.health.look(*numbers)

    def _finish_epoch(self, epoch: int) -> EpochRecord:
        running, self._running = self._running, _Running()
        loss, norm, cosine, active = (self._sums / running.steps).tolist()
        self._sums = torch.zeros_like(self._sums)
        self._ranks.decide(self._check, loss, epoch)  # else two whose sums differ in the last bit might not agree
        batch = self._config.images_per_step
        return EpochRecord(
            epoch=epoch, step=self._step, images_seen=self._step * batch, loss=loss, gradient_norm=norm,
            lr=_lr_at(self._step - 1, self._config), seconds=running.seconds,
            images_per_second=running.steps * batch / running.seconds, compute_share=running.compute / running.seconds,
            mean_cosine=cosine, active_triplets=None if math.isnan(active) else active, positives_per_anchor=self._positives,
            micro_batch=min(self._micro_batch or batch, batch), memory=_peak_memory(self._device))

    def _check(self, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss must stay a number, got {loss} in epoch {epoch}; "
                                     f"lower training.lr ({self._config.training.lr:g})")


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch normalisation works as in training, but does not update its running statistics."""
    layers: list[Any] = [layer for layer in normalization.layers(module) if hasattr(layer, "momentum")]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta):
            layer.momentum = momentum


def _positives_per_anchor(target: np.ndarray) -> float:
    counts = np.bincount(target)
    return float((counts * (counts - 1)).sum() / len(target))


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory()


def _optimizer(encoder: nn.Module, objective: Objective, config: RunConfig) -> torch.optim.Optimizer:
    training = config.training
    groups = [{"params": [*encoder.parameters()], "factor": 1.0}]
    if own := [*objective.parameters()]:
        groups.append({"params": own, "factor": objective.lr_factor})
    match training.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=training.lr, weight_decay=training.weight_decay, fused=True)
        case "adam":
            return torch.optim.Adam(groups, lr=training.lr, weight_decay=training.weight_decay, fused=True)
        case "sgd":
            return torch.optim.SGD(groups, lr=training.lr, momentum=0.9, weight_decay=training.weight_decay, fused=True)


def _lr_at(step: int, config: RunConfig) -> float:
    """Linear warm-up over a share of the steps, then a half cosine to `min_lr` (Loshchilov & Hutter, 2017,
    arXiv:1608.03983)."""
    training = config.training
    warmup = round(training.warmup * config.n_steps)
    if step < warmup:
        return training.lr * (step + 1) / warmup
    share = (step - warmup) / max(1, config.n_steps - warmup)
    return training.min_lr + (training.lr - training.min_lr) * 0.5 * (1 + math.cos(math.pi * share))
