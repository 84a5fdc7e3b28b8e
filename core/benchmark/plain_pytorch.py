"""What one writes first: files opened every time, torchvision's transforms, a DataLoader, float32, nothing tuned.

In a fresh process with PyTorch's defaults; it does steps on request, in turn with what else is timed. Beside the others in
their process it would find memory that their allocator kept, and be a fifth faster.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from core import config as configuration
from core.benchmark import workloads
from core.benchmark.workloads import Case, Subject
from core.data import decoding, sources
from core.jobs import tasks
from core.training import normalization
from core.training.batches import sampler_of

_REST = 0  # instead of a number of steps: the processes that read are ended, or they would disturb the others' turns


@contextmanager
def process(case: Case) -> Iterator[Subject]:
    """Starts it and waits until it can begin; it ends with the block. Between turns nothing of it runs.

    Raises:
        ChildProcessError: if it ends before that.
    """
    arguments = [json.dumps(case.experiment.to_json()), "--data", str(case.data), "--device", str(case.device)]
    environment = {name: value for name, value in os.environ.items() if name not in tasks.ENVIRONMENT}
    with subprocess.Popen([sys.executable, "-m", __name__, *arguments], cwd=tasks.PROJECT, env=environment, bufsize=0,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        requests, answers = child.stdin, child.stdout
        assert requests and answers, "both are pipes"

        def steps(n: int) -> None:
            try:
                requests.write(b"%d\n" % n)
                answer = answers.readline()
            except BrokenPipeError:
                answer = b""
            if not answer:
                raise ChildProcessError("the plain pipeline's process has ended")

        @contextmanager
        def ready() -> Iterator[Callable[[int], None]]:
            yield steps
            steps(_REST)

        steps(_REST)  # its start would slow what is timed meanwhile
        yield Subject(case.config.images_per_step, ready, lead_in=2)  # by then its queue is as full as it stays


def _pipeline(case: Case) -> Callable[[int], None]:
    """What does n steps, or rests."""
    config, device = case.config, case.device
    module, objective = (part.to(device).train() for part in case.model())
    normalization.train(module, config.norm)
    optimizer = workloads.build_optimizer([*module.parameters(), *objective.parameters()], config, fused=None)
    order = (np.tile(rows, config.training.views).tolist()
             for rows in sampler_of(config, case.rows, case.manifest.label_id))
    loader = DataLoader(_Files(case), batch_sampler=order, num_workers=os.cpu_count() or 1, pin_memory=device.type == "cuda")
    batches: Any = None  # a loader's iterator while its processes live

    def steps(n: int) -> None:
        nonlocal batches
        if n == _REST:
            if batches is not None:
                batches._shutdown_workers()
            batches = None
        elif batches is None:
            batches = iter(loader)
        for _ in range(n):
            images, target = next(batches)
            optimizer.zero_grad()
            features = module(images.to(device, non_blocking=True))
            objective(features, target.to(device, non_blocking=True)).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return steps


class _Files(Dataset):
    """Image files, each decoded anew and turned into a random view."""

    def __init__(self, case: Case) -> None:
        root = sources.open_source(case.config.dataset).root
        assert root is not None, "of images that are files"
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
        with Image.open(self._paths[row], formats=decoding.FORMATS) as image:
            return self._view(image.convert("RGB")), int(self._target[row])


def main() -> None:
    """Entry point of `python -m core.benchmark.plain_pytorch EXPERIMENT --data DATA --device D`: a number of steps a line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment", type=json.loads)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps = _pipeline(workloads.prepare(configuration.parse(options.experiment), options.data,
                                        torch.device(options.device)))
    try:
        for line in sys.stdin:
            steps(int(line))
            print("done", flush=True)
    except KeyboardInterrupt:  # whoever asked was interrupted too, and says so
        pass


if __name__ == "__main__":
    main()
