"""How fast training and embedding are, against what the device alone can do and against a plain PyTorch pipeline.

A process of its own, started by name with the worker's environment. Everything is timed in this one process, round after
round, and what is compared with its bound takes short turns with it within a round: a shared machine changes its pace from
one second to the next. A ratio is taken within a round. Writes nothing but the trace it is asked for.
"""

import argparse
import ctypes
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from core import config as configuration
from core.config import BudgetConfig, DatasetConfig, ExperimentConfig, RunConfig, is_drawn
from core.data import pixels as pixel_store
from core.data import sources
from core.data.manifest import Manifest
from core.runs import planning
from core.runs.worker import resolve_device
from core.training import embed, encoder, objectives
from core.training.batches import BatchSampler, TripletSampler
from core.training.encoder import DataConfig
from core.training.trainer import Trainer
from core.wording import failure

EMBED_BATCH = 256  # images per forward pass when embedding
N_TRACED = 10
_TURN = {"cpu": 0.3, "cuda": 1.5}  # seconds a turn takes at least, or two steps; a GPU's pace is even, its steps are short
_ROUND = 3.0  # seconds each gets in a round, in two turns at least
_KEYS = {"train": "training, end to end", "train_bound": "training, compute only", "plain": "training, plain PyTorch",
         "embed": "embedding, end to end", "embed_bound": "embedding, forward only"}
_GOALS = {"cpu": {"train": 0.95, "plain": 3.5, "embed": 0.95},  # plain: of MobileNetV2-0.35 at 224 px, batch 64
          "cuda": {"train": 0.90, "plain": None, "embed": 0.95}}
_RATIOS = {"train": ("train", "train_bound"), "plain": ("train", "plain"), "embed": ("embed", "embed_bound")}

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


def measure(case: Case, n_rounds: int, progress: Callable[[str], None]) -> dict:
    """Times everything in turn.

    Args:
        case: what to time.
        n_rounds: rounds that count; one more before them does not.
        progress: told what is being done.

    Returns:
        `images_per_second`: medians by name; `ratios`; `left_out`: by name, why something was not timed.
    """
    together = [{"train": _training(case), "train_bound": _training_bound(case)}, {"plain": _plain(case)},
                {"embed": _embedding(case), "embed_bound": _embedding_bound(case)}]
    left_out = {}
    if case.config.dataset.source == "digits":
        left_out["plain"] = "the digits are no files that could be opened"
        del together[1]
    plans = []
    for subjects in together:
        progress(f"warming up: {', '.join(_KEYS[name] for name in subjects)}")
        plans.append(_turns(_speeds(subjects, dict.fromkeys(subjects, 2), 1, case.device), subjects, case.device))
    found: dict[str, list[float]] = {name: [] for subjects in together for name in subjects}
    for number in range(1, n_rounds + 1):
        for subjects, plan in list(zip(together, plans))[::1 if number % 2 else -1]:  # there and back: no drift is favour
            progress(f"round {number} of {n_rounds}: {', '.join(_KEYS[name] for name in subjects)}")
            for name, speed in _speeds(subjects, *plan, case.device).items():
                found[name].append(speed)
    return {"images_per_second": {name: statistics.median(speeds) for name, speeds in found.items()},
            "ratios": ratios(found, case.device.type), "left_out": left_out}


def ratios(speeds: dict[str, list[float]], kind: str) -> dict[str, dict]:
    """Speeds over each other, round by round.

    Args:
        speeds: images/s of each round by name, all of one length.
        kind: 'cpu' or 'cuda', which the goals depend on.

    Returns:
        By name: what is divided (`of`) by what (`to`), the `median` over rounds, `low`, `high` and the `goal`; only of what
        was timed.
    """
    found = {}
    for name, (above, below) in _RATIOS.items():
        if above in speeds and below in speeds:
            each = [a / b for a, b in zip(speeds[above], speeds[below])]
            found[name] = {"of": above, "to": below, "median": statistics.median(each), "low": min(each), "high": max(each),
                           "goal": _GOALS[kind][name]}
    return found


def trace(case: Case, path: Path) -> list[dict]:
    """Writes a profile of ten training steps for chrome://tracing or Perfetto.

    Returns:
        The ten heaviest operators: `name`, `ms` a step by their own, `share` of all, and `calls` a step.
    """
    trainer = _trainer(case)
    for _ in range(3):
        trainer.train_step()
    on_gpu = case.device.type == "cuda"
    activities = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * on_gpu
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(N_TRACED):
            trainer.train_step()
        _synchronize(case.device)
    profile.export_chrome_trace(str(path))
    times = [(item.self_device_time_total if on_gpu else item.self_cpu_time_total, item) for item in profile.key_averages()]
    total = sum(microseconds for microseconds, _ in times)
    heaviest = sorted(times, key=lambda pair: -pair[0])[:10]
    return [{"name": item.key, "ms": microseconds / 1000 / N_TRACED, "share": microseconds / total,
             "calls": item.count / N_TRACED} for microseconds, item in heaviest]


def describe(case: Case) -> dict:
    """The machine and what is timed on it."""
    training = case.config.training
    on_gpu = case.device.type == "cuda"
    return {
        "machine": {"device": torch.cuda.get_device_name(case.device) if on_gpu else platform.machine(),
                    "kind": case.device.type, "cores": os.cpu_count(), "threads": torch.get_num_threads(),
                    "torch": torch.__version__, "python": platform.python_version()},
        "case": {"dataset": case.config.dataset.source, "images": len(case.manifest), "encoder": case.config.encoder.name,
                 "image_size": case.data_config.image_size, "objective": case.config.objective.name,
                 "batch": case.config.images_per_step, "embed_batch": EMBED_BATCH,
                 "precision": "bfloat16 autocast" if on_gpu else "float32", "compile": training.compile},
    }


def _trainer(case: Case) -> Trainer:
    module, objective = case.model()
    return Trainer(module, objective, case.data_config, case.pixels, case.manifest.label_id, case.rows, case.config,
                   case.device)


def _training(case: Case) -> Subject:
    trainer = _trainer(case)

    def steps(n: int) -> None:
        for _ in range(n):
            trainer.train_step()

    return Subject(case.config.images_per_step, lambda: nullcontext(steps))


def _training_bound(case: Case) -> Subject:
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


def _embedding(case: Case) -> Subject:
    module, _ = case.model()

    def steps(n: int) -> None:
        rows = np.resize(np.arange(len(case.manifest)), n * EMBED_BATCH)  # from the start again where they do not suffice
        embed.embed(module, case.data_config, case.pixels, rows, case.device, batch_size=EMBED_BATCH)

    return Subject(EMBED_BATCH, lambda: nullcontext(steps))


def _embedding_bound(case: Case) -> Subject:
    module = case.model()[0].to(case.device, memory_format=torch.channels_last).eval()
    images = _synthetic(EMBED_BATCH, case)

    def steps(n: int) -> None:
        with torch.inference_mode(), _autocast(case.device):
            for _ in range(n):
                module(images)

    return Subject(EMBED_BATCH, lambda: nullcontext(steps))


def _plain(case: Case) -> Subject:
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
        root = _folder(case.config.dataset)
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


def _folder(config: DatasetConfig) -> Path:
    """The folder that sample ids start from."""
    root = Path(config.root or "")
    return root.parent if config.source == "table" else root


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


def _turns(speeds: dict[str, float], subjects: dict[str, Subject], device: torch.device) -> tuple[dict[str, int], int]:
    """Steps of one turn by name, and how many turns each gets in a round, at these speeds in images/s."""
    steps = {name: max(2, math.ceil(_TURN[device.type] * speed / subjects[name].images)) for name, speed in speeds.items()}
    seconds = max(steps[name] * subjects[name].images / speed for name, speed in speeds.items())
    return steps, max(2, round(_ROUND / seconds))


def _speeds(subjects: dict[str, Subject], steps: dict[str, int], n_turns: int, device: torch.device) -> dict[str, float]:
    """Images/s by name, over all turns; who begins changes from turn to turn."""
    seconds = dict.fromkeys(subjects, 0.0)
    with ExitStack() as stack:
        work = {name: stack.enter_context(subject.ready()) for name, subject in subjects.items()}
        for name, subject in subjects.items():
            work[name](subject.lead_in)
        for turn in range(n_turns):
            for name in list(subjects)[::-1 if turn % 2 else 1]:
                _synchronize(device)
                started = time.perf_counter()
                work[name](steps[name])
                _synchronize(device)
                seconds[name] += time.perf_counter() - started
    return {name: n_turns * steps[name] * subjects[name].images / seconds[name] for name in subjects}


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _table(found: dict) -> str:
    machine, case, speeds = found["machine"], found["case"], found["images_per_second"]
    lines = [["what", "images/s", "ratio", "range", "goal", ""]]
    for name, speed in speeds.items():
        ratio = found["ratios"].get(name)
        cells = ["", "", "", ""]
        if ratio:
            goal = "" if ratio["goal"] is None else f"{ratio['goal']:.2f}"
            cells = [f"{ratio['median']:.3f}", f"{ratio['low']:.3f} to {ratio['high']:.3f}", goal,
                     f"{_KEYS[ratio['of']]} ÷ {_KEYS[ratio['to']]}"]
        lines.append([_KEYS[name], f"{speed:,.1f}", *cells])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["  ".join(cell.rjust(width) if 0 < place < 5 else cell.ljust(width)
                      for place, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]
    text.insert(1, "  ".join("─" * width for width in widths[:5]))
    text += [f"left out: {_KEYS[name]} ({reason})" for name, reason in found["left_out"].items()]
    text.append(f"{case['encoder']} at {case['image_size']} px, {case['objective']}, batch {case['batch']}, "
                f"{case['precision']}{', compiled' if case['compile'] else ''}; {case['images']:,} images; medians of "
                f"{found['rounds']} round{'s' if found['rounds'] > 1 else ''}, ratios taken within a round")
    text.append(f"{machine['device']}, {machine['cores']} cores, torch {machine['torch']}, Python {machine['python']}")
    return "\n".join(text)


def _operators(found: list[dict], path: str) -> str:
    lines = [f"{path}: {N_TRACED} training steps; the heaviest operators, ms a step by their own, calls a step"]
    lines += [f"{item['ms']:10.2f}  {100 * item['share']:4.1f} %  {item['calls']:6.0f}  {item['name']}" for item in found]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m core.runs.bench EXPERIMENT --data DATA`; the experiment as JSON. Returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment", type=json.loads)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trace", type=Path)
    options = parser.parse_args(arguments)
    torch.set_float32_matmul_precision("high")
    is_terminal = sys.stderr.isatty()

    def progress(text: str) -> None:
        if is_terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    try:
        case = prepare(configuration.parse(options.experiment), options.data, resolve_device(options.device))
        found = {**describe(case), "rounds": options.rounds, **measure(case, options.rounds, progress)}
        progress("")
        if options.trace:
            found["trace"] = {"file": str(options.trace), "operators": trace(case, options.trace)}
    except (ValueError, FileNotFoundError, ConnectionError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except (OSError, MemoryError, torch.OutOfMemoryError) as error:
        print(f"error: {failure(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    if options.json:
        print(json.dumps(found))
        return 0
    print(_table(found))
    if "trace" in found:
        print(_operators(found["trace"]["operators"], found["trace"]["file"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
