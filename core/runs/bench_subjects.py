"""What the benchmark times: training and embedding, the bound of each, and a plain PyTorch pipeline.

Each is a number of steps to be done on one case. Nothing here looks at a clock.
"""

import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from core.config import BudgetConfig, ExperimentConfig, RunConfig, is_drawn
from core.data import pixels as pixel_store
from core.data import sources
from core.data.manifest import Manifest
from core.runs import planning
from core.training import embed, encoder, objectives
from core.training.batches import BatchSampler, TripletSampler
from core.training.encoder import DataConfig
from core.training.trainer import Trainer

EMBED_BATCH = 256  # images per forward pass when embedding

# mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_KEEPS = {_TRIM_THRESHOLD: -1, _TOP_PAD: 256 << 20, _MMAP_THRESHOLD: -1}  # as the worker's environment: freed memory stays
_PAGE, _MOST = 4 << 10, 32 << 20  # glibc never lets the size from which a block is mapped by itself grow beyond 32 MiB


@dataclass(frozen=True, eq=False)
class Case:
    """What is timed: the first trained run of an experiment, its samples, their decoded images (n, S, S, 3), the device."""

    config: RunConfig
    manifest: Manifest
    pixels: np.ndarray
    data_config: DataConfig
    device: torch.device

    @property
    def rows(self) -> np.ndarray:
        """Rows that are trained on, shape (m,), int64."""
        return self.manifest.training_indices(self.config.images_per_class, self.config.seed)

    def model(self) -> tuple[nn.Module, nn.Module]:
        """A fresh encoder and objective, with the run's first weights."""
        module, data_config = encoder.build(self.config.encoder, self.config.seed)
        width = encoder.feature_width(module, data_config)
        return module, objectives.build(self.config.objective, width, len(self.manifest.closed_classes),
                                        self.config.training.batch.size, self.config.seed)

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
        ValueError, FileNotFoundError, ConnectionError: what is missing or cannot work, in one sentence.
    """
    plan = planning.plan(config, data)
    run = next(run for run in plan.config.runs() if run.is_trained)
    training = run.training.model_copy(update={"devices": 1})
    run = run.model_copy(update={"training": training, "budget": BudgetConfig(images=10**9, epochs=1)})  # it never ends
    _, data_config = encoder.build(run.encoder, run.seed)
    pixels = pixel_store.load(plan.manifest, sources.open_source(run.dataset), data_config.storage_size, data / ".pixels")
    return Case(run, plan.manifest, pixels, data_config, device)


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
    module, objective = (part.to(device, memory_format=torch.channels_last).train() for part in case.model())
    parameters = [*module.parameters(), *objective.parameters()]
    optimizer = _optimizer(parameters, config, fused=True)
    images, target = _synthetic(config.images_per_step, case), _labels(config).to(device)
    forward = torch.compile(module) if config.training.compile else module

    def steps(n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad(set_to_none=True)
            with _autocast(device):
                features = forward(images)
            objective(features.float(), target).backward()
            optimizer.step()

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
    module = case.model()[0].to(case.device, memory_format=torch.channels_last).eval()
    images = _synthetic(EMBED_BATCH, case)

    def steps(n: int) -> None:
        with torch.inference_mode(), _autocast(case.device):
            for _ in range(n):
                module(images)

    return Subject(EMBED_BATCH, lambda: nullcontext(steps))


def plain(case: Case) -> Subject:
    """What one writes first: files opened every time, torchvision's transforms, a DataLoader, float32, nothing tuned.

    In a thread of its own, whose memory glibc keeps apart: none of what the worker's ways have kept is there for it, and
    it has nearly as many page faults a step as in a process of its own (measured: 0.7 to 1.1 million against 1.1).
    """
    config, device = case.config, case.device
    module, objective = (part.to(device).train() for part in case.model())
    optimizer = _optimizer([*module.parameters(), *objective.parameters()], config, fused=None)
    largest = _largest_block(module, objective, case)
    dataset = _Files(case)
    sampler = (TripletSampler if is_drawn(config.objective) else BatchSampler)(
        case.rows, case.manifest.label_id, config.training.batch, config.seed)

    @contextmanager
    def ready() -> Iterator[Callable[[int], None]]:
        with _ordinary_process(largest), ThreadPoolExecutor(1) as thread:  # a second team of OpenMP's would slow the others
            order = (np.tile(rows, config.training.views) for rows in sampler)
            batches = iter(DataLoader(dataset, batch_sampler=order, num_workers=os.cpu_count(),
                                      pin_memory=device.type == "cuda"))

            def work(n: int) -> None:
                for _ in range(n):
                    images, target = next(batches)
                    optimizer.zero_grad()
                    features = module(images.to(device, non_blocking=True))
                    objective(features, target.to(device, non_blocking=True)).backward()
                    optimizer.step()

            yield lambda n: thread.submit(work, n).result()
            batches._shutdown_workers()  # or its processes go on and disturb the next turn

    return Subject(config.images_per_step, ready, lead_in=2)  # by then its queue is as full as it stays


class _Files(Dataset):
    """Image files, each decoded anew and turned into a random view."""

    def __init__(self, case: Case) -> None:
        root = sources.open_source(case.config.dataset).root
        self._paths = [root / name for name in case.manifest.sample_id.tolist()]
        self._target = np.searchsorted(np.unique(case.manifest.label_id[case.rows]), case.manifest.label_id)
        data, augmentation = case.data_config, case.config.training.augmentation
        size, scale = data.image_size, augmentation.crop_scale
        crop = ([transforms.RandomResizedCrop(size, scale=scale)] if scale else
                [transforms.Resize(data.storage_size), transforms.CenterCrop(size)])
        self._view = transforms.Compose([*crop, *[transforms.RandomHorizontalFlip()] * augmentation.flip,
                                         transforms.ToTensor(), transforms.Normalize(data.mean, data.std)])

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        with Image.open(self._paths[row]) as image:
            return self._view(image.convert("RGB")), int(self._target[row])


def _largest_block(module: nn.Module, objective: nn.Module, case: Case) -> int:
    """Bytes of the largest tensor that a training step keeps and glibc would still take from its heap."""
    sizes = [_PAGE]

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        objective(module(_synthetic(case.config.images_per_step, case)), _labels(case.config).to(case.device))
    return max(size for size in sizes if size <= _MOST - _PAGE)


@contextmanager
def _ordinary_process(largest: int) -> Iterator[None]:
    """Freed memory goes back and float32 is whole, as in a process that was told nothing; the worker's ways after that.

    There glibc maps a block by itself from the size of the largest such block that was freed, at most 32 MiB, and gives
    back the heap's end from twice that (mallopt(3), M_MMAP_THRESHOLD).
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    mapped_from = largest + _PAGE
    _set_allocator({_TRIM_THRESHOLD: 2 * mapped_from, _TOP_PAD: 128 << 10, _MMAP_THRESHOLD: mapped_from})
    try:
        yield
    finally:
        _set_allocator(_KEEPS)
        torch.set_float32_matmul_precision(precision)


def _set_allocator(values: dict[int, int]) -> None:
    """Tells glibc's allocator what to keep; elsewhere there is nothing to tell."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in values.items():
        libc.mallopt(parameter, value)
    libc.malloc_trim(0)  # both start with what they need and no more


def _optimizer(parameters: list[nn.Parameter], config: RunConfig, fused: bool | None) -> torch.optim.Optimizer:
    training = config.training
    shared = {"lr": training.lr, "weight_decay": training.weight_decay, "fused": fused}
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
