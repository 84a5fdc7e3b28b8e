"""Batches larger than the memory: micro-batches that change nothing, and memory that runs out in the middle."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from core import config as configuration
from core.config import EncoderConfig, RunConfig
from core.training import encoder, objectives
from core.training.trainer import Trainer
from tests import PROJECT
from tests.waiting import DEADLINE

LABEL_ID = np.repeat(np.arange(4, dtype=np.int32), 80)


def run_config(objective: object, batch: tuple[int, int], **training: object) -> RunConfig:
    """Two steps of plain SGD, whose update is the gradient itself."""
    experiment = configuration.parse({
        "name": "large", "dataset": {"source": "digits"}, "objectives": [objective], "seeds": [0],
        "budget": {"images": 2 * batch[0] * batch[1] * training.get("views", 1), "epochs": 2},
        "training": {"batch": {"classes": batch[0], "samples": batch[1]}, "optimizer": "sgd", "lr": 0.05, "warmup": 0,
                     **training}})
    return next(run for run in experiment.runs() if run.is_trained)


def make_trainer(objective: object, batch: tuple[int, int] = (4, 64), name: str = "test_convnext", size: int = 32,
                 **training: object) -> Trainer:
    config = run_config(objective, batch, **training)
    module, data = encoder.build(EncoderConfig(name=name, image_size=size), seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (320, data.storage_size, data.storage_size, 3), dtype=np.uint8)
    head = objectives.build(config.objective, encoder.feature_width(module, data), 4, config.images_per_step, 0)
    return Trainer(module, head, data, pixels, LABEL_ID, np.arange(320), config, torch.device("cpu"))


def largest_difference(one: Trainer, other: Trainer) -> float:
    pairs = zip([*one.encoder.parameters(), *one.objective.parameters()],
                [*other.encoder.parameters(), *other.objective.parameters()])
    return max((a - b).abs().max().item() for a, b in pairs)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("objective", ["classification", "supcon", {"name": "triplet", "mining": "batch_hard"}])
def test_micro_batches_of_16_take_the_step_of_the_whole_batch_of_256(objective: object, views: int) -> None:
    batch = (4, 64 // views)
    plain, cached = (make_trainer(objective, batch, micro_batch=size, views=views) for size in (None, 16))
    start = make_trainer(objective, batch, views=views)
    records = [list(trainer.epochs(lambda: False)) for trainer in (plain, cached)]
    assert largest_difference(plain, cached) < 1e-5
    assert largest_difference(plain, start) > 1e-3, "the steps did change the weights"
    assert [record.micro_batch for record in records[0]] == [256, 256]
    assert [record.micro_batch for record in records[1]] == [16, 16]
    np.testing.assert_allclose([record.loss for record in records[0]], [record.loss for record in records[1]], atol=1e-5)


def test_random_depth_is_drawn_the_same_in_both_passes() -> None:
    """Gradients of the second pass belong to the features of the first only if both drop the same paths."""
    trainer = make_trainer("supcon", (4, 8), micro_batch=8)
    seen: list[torch.Tensor] = []

    class Dropping(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            out = nn.functional.dropout(self.inner(images), 0.5, training=True)
            seen.append(out.detach().clone())
            return out

    trainer._model = Dropping(trainer.encoder)
    trainer.train_step()
    assert len(seen) == 8
    for first, second in zip(seen[:4], seen[4:]):
        assert torch.equal(first, second)
    assert not torch.equal(seen[0] == 0, seen[1] == 0), "each micro-batch drops others"


def test_running_statistics_are_taken_once() -> None:
    plain, cached = (make_trainer("supcon", (4, 8), name="test_resnet", micro_batch=size) for size in (None, 32))
    halves = make_trainer("supcon", (4, 8), name="test_resnet", micro_batch=16)
    for trainer in (plain, cached, halves):
        trainer.train_step()
    statistics = [dict(trainer.encoder.named_buffers()) for trainer in (plain, cached, halves)]
    name = next(name for name in statistics[0] if name.endswith("running_mean"))
    assert torch.equal(statistics[0][name], statistics[1][name])
    assert not torch.equal(statistics[0][name], torch.zeros_like(statistics[0][name]))
    # momentum 0.1: after one batch 0.1 of its mean; after two micro-batches, taken once each, about 0.19
    share = statistics[2][name].norm() / statistics[0][name].norm()
    assert 1.5 < share < 2.3


LIMITED = """
import resource, sys
import torch
torch.set_num_threads(1)
from tests.process.test_large_batches import make_trainer
trainer = make_trainer("supcon", (4, 64), size=96)
small = make_trainer("supcon", (4, 2), size=96)
small.train_step()  # whatever is set up once
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
records = list(trainer.epochs(lambda: False))
print([record.micro_batch for record in records], records[-1].loss)
"""


def test_memory_that_runs_out_halves_the_micro_batch_and_the_loss_stays() -> None:
    """A real process with a real limit of its memory."""
    def last_line(megabytes: int) -> str:
        result = subprocess.run([sys.executable, "-c", LIMITED, str(megabytes)], cwd=PROJECT, capture_output=True, text=True,
                                timeout=DEADLINE)
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()[-1]

    free, tight = last_line(100_000), last_line(250)
    micro, _, loss = tight.rpartition(" ")
    assert free.startswith("[256, 256]")
    assert eval(micro)[0] < 256 and 256 % eval(micro)[0] == 0
    assert float(loss) == pytest.approx(float(free.rpartition(" ")[2]), abs=1e-4)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    trainer = make_trainer("supcon", (4, 8))

    def broken(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes do not fit")

    trainer._model = broken
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        trainer.train_step()
