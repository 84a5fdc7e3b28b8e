"""Cross-batch memory: against slow loops and the library's own, and that it is part of what a checkpoint holds."""

import math
from pathlib import Path

import pytest
import torch
from pytorch_metric_learning import distances, losses

from core.config.objectives import CrossBatchMemoryConfig
from core.training import checkpoint, objectives
from core.training.cross_batch_memory import Memory
from core.training.trainer import Trainer
from tests.slow_losses import slow_memory
from tests.unit.test_trainer import are_equal, make_trainer, run_config, train, weights, without_time

CONTRASTIVE = {"name": "cross_batch_memory", "memory": 20}
SUPCON = {**CONTRASTIVE, "loss": "supcon"}


def some_batches(n: int, size: int = 8, width: int = 6) -> list[tuple[torch.Tensor, list[int]]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(size, width, generator=generator, dtype=torch.float64),
             [(place + step) % 3 for place in range(size)]) for step in range(n)]


def build(config: CrossBatchMemoryConfig, width: int = 6) -> objectives.Objective:
    return objectives.build(config, width, 3, 8, seed=0).double()


@pytest.mark.parametrize("size", [2, 8, 11, 20, 500])
@pytest.mark.parametrize("loss, value", [("contrastive", 0.5), ("contrastive", 0.0), ("supcon", 0.1), ("supcon", 1.0)])
def test_each_batch_is_compared_with_the_newest_embeddings(size: int, loss: str, value: float) -> None:
    """Smaller than a batch, as large, no multiple of it, and never full."""
    batches = some_batches(6)
    objective = build(CrossBatchMemoryConfig(loss=loss, memory=size, **{
        "margin" if loss == "contrastive" else "temperature": value}))
    for number, (features, labels) in enumerate(batches, start=1):
        found = objective(features, torch.tensor(labels)).item()
        assert found == pytest.approx(slow_memory(batches[:number], size, loss, value), abs=1e-9)
        objective.remember()


@pytest.mark.parametrize("size", [8, 20, 500])
@pytest.mark.parametrize("loss", ["contrastive", "supcon"])
def test_it_is_the_librarys_own_whose_queue_no_checkpoint_would_hold(size: int, loss: str) -> None:
    """Value and gradient, step by step."""
    inner = (losses.ContrastiveLoss(pos_margin=1, neg_margin=0.5, distance=distances.CosineSimilarity())
             if loss == "contrastive" else losses.SupConLoss(temperature=0.1))
    library, objective = losses.CrossBatchMemory(inner, 6, size), build(CrossBatchMemoryConfig(loss=loss, memory=size))
    for features, labels in some_batches(6):
        mine, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
        own = objective(mine, torch.tensor(labels))
        # the library keeps what it is given; its distance scales to length 1 at each look
        other = library(theirs, torch.tensor(labels))
        own.backward()
        other.backward()
        objective.remember()
        assert own.item() == pytest.approx(other.item(), abs=1e-9)
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-9) and mine.grad.any()
    assert not any("idx" in name or "filled" in name for name in library.state_dict())


def test_a_batch_is_kept_once_however_often_its_loss_is_computed() -> None:
    """Where memory runs out in a step, the step's loss is computed again."""
    (first, labels), (second, _), *_ = some_batches(2)
    once, twice = build(CrossBatchMemoryConfig()), build(CrossBatchMemoryConfig())
    once(first, torch.tensor(labels))
    twice(second, torch.tensor(labels))
    twice(first, torch.tensor(labels))
    for objective in (once, twice):
        objective.remember()
        objective.remember()
    assert are_equal(once.state_dict(), twice.state_dict())
    assert int((once.memory.label_id >= 0).sum()) == 8


def test_before_its_start_each_batch_is_alone() -> None:
    batches = some_batches(4)
    late, never = build(CrossBatchMemoryConfig(start=2)), build(CrossBatchMemoryConfig(memory=2))
    now = build(CrossBatchMemoryConfig())
    for number, (features, labels) in enumerate(batches):
        values = [objective(features, torch.tensor(labels)).item() for objective in (late, never, now)]
        assert (values[0] == pytest.approx(values[1], abs=1e-12)) == (number < 3), number
        assert (values[2] == pytest.approx(values[1], abs=1e-12)) == (number == 0), number
        for objective in (late, never, now):
            objective.remember()
    assert late(*map(torch.as_tensor, batches[0])).item() == pytest.approx(
        slow_memory([*batches[2:], batches[0]], 1024, "contrastive", 0.5), abs=1e-9)


def test_it_holds_no_more_than_there_are_training_images() -> None:
    """Beyond that it would compare images with their own former selves; the collapse value follows."""
    counts = torch.tensor([10, 20, 10]).numpy()
    objective = objectives.build(CrossBatchMemoryConfig(loss="supcon"), 6, 3, 8, seed=0, class_counts=counts)
    assert objective.memory.label_id.shape == (40,) and objective.memory.embeddings.shape == (40, 6)
    assert objective.collapse_value == pytest.approx(math.log(39))


@pytest.mark.parametrize("loss", ["contrastive", "supcon"])
def test_a_full_memory_of_one_point_gives_the_collapse_value(loss: str) -> None:
    objective = build(CrossBatchMemoryConfig(loss=loss, memory=20))
    point = torch.ones(8, 6, dtype=torch.float64)
    for _ in range(3):
        objective(point, torch.arange(8) % 3)
        objective.remember()
    assert objective(point, torch.arange(8) % 3).item() == pytest.approx(objective.collapse_value, rel=1e-9)


def test_the_memory_is_no_parameter_and_no_head() -> None:
    objective = build(CrossBatchMemoryConfig())
    assert list(objective.parameters()) == [] and objective.read_out(torch.ones(2, 6)) == {}
    assert objective.head_state() == {}
    assert {name: tuple(values.shape) for name, values in objective.state_dict().items()} == {
        "memory.embeddings": (1024, 6), "memory.label_id": (1024,), "memory.n_batches": ()}


def test_a_memory_joined_with_a_batch_ends_in_it_and_stays_as_it_was() -> None:
    memory = Memory(3, 1)
    for number in range(4):
        memory.add(torch.tensor([[float(number)]]), torch.tensor([number]))
    before = {name: values.clone() for name, values in memory.state_dict().items()}
    known, label_id = memory.joined(torch.tensor([[8.0], [9.0]]), torch.tensor([8, 9]))
    assert known.flatten().tolist() == label_id.tolist() == [3, 8, 9]
    assert are_equal(before, memory.state_dict())
    assert memory.embeddings.flatten().tolist() == [1, 2, 3]


@pytest.mark.parametrize("objective", [CONTRASTIVE, SUPCON, {**CONTRASTIVE, "start": 3}, {**CONTRASTIVE, "memory": 1024}])
@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_a_training_resumed_from_its_file_goes_on_to_the_same_bits(objective: dict, stop_at: int, tmp_path: Path) -> None:
    config = run_config(objectives=[objective])
    whole = make_trainer(config)
    records = without_time(train(whole))
    first = make_trainer(config)
    before = without_time(train(first, stop_at=stop_at))
    checkpoint.save(tmp_path / "last.safetensors", *first.state())
    second: Trainer = make_trainer(config)
    second.load(*checkpoint.load(tmp_path / "last.safetensors"))
    assert [*before, *without_time(train(second))] == records
    assert are_equal(weights(whole), weights(second))


def test_micro_batches_and_memory_that_runs_out_change_no_loss() -> None:
    plain, cached = (make_trainer(run_config(objectives=[SUPCON], micro_batch=size)) for size in (None, 3))
    tight = make_trainer(run_config(objectives=[SUPCON]))
    losses_of = [[record.loss for record in train(trainer)] for trainer in (plain, cached)]
    backward, n_calls = tight._backward, 0

    def once_too_much(*arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal n_calls
        n_calls += 1
        found = backward(*arguments)
        if n_calls == 5:  # after the loss, as where the second pass of a micro-batch is too much
            raise torch.OutOfMemoryError
        return found

    tight._backward = once_too_much
    losses_of.append([record.loss for record in train(tight)])
    assert losses_of[1] == pytest.approx(losses_of[0], abs=1e-5)
    assert losses_of[2] == pytest.approx(losses_of[0], abs=1e-5)
    assert n_calls == 11 and are_equal({"n": plain.objective.memory.n_batches}, {"n": tight.objective.memory.n_batches})
