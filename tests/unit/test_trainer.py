"""The loop: its budget, schedule, arithmetic, and that a stop changes nothing."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core import config as configuration
from core.config import EncoderConfig, RunConfig
from core.training import checkpoint, encoder, objectives
from core.training.encoder import DataConfig
from core.training.trainer import MACHINE_FIELDS, EpochRecord, Trainer

CPU = torch.device("cpu")
DATA = DataConfig(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), image_size=32, crop_pct=0.9)
OBJECTIVES = {
    "classification": {"name": "classification"},
    "triplet random": {"name": "triplet", "mining": "random"},
    "triplet semi-hard": {"name": "triplet", "mining": "semi_hard"},
    "triplet batch-hard": {"name": "triplet", "mining": "batch_hard"},
    "supcon": {"name": "supcon", "projection": 16},
    "cross-entropy + SupCon": {"name": "cross_entropy_supcon", "projection": 16},
    "SINCERE": {"name": "sincere", "projection": 16},
    "sub-centre ArcFace": {"name": "subcenter_arcface"},
    "circle": {"name": "circle"},
    "cross-batch memory": {"name": "cross_batch_memory", "memory": 20},
    "classification shuffled": {"name": "classification", "order": "shuffled"},
    "supcon shuffled": {"name": "supcon", "order": "shuffled"},
}
LABEL_ID = np.repeat(np.arange(4, dtype=np.int32), 12)
ROWS = np.flatnonzero(np.arange(48) % 12 < 8)  # eight of each class; the other sixteen are not for training


class PooledNet(nn.Module):
    """Images to 8 features without batch norm, so that nothing but its parameters changes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                    nn.Linear(8, 8))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class MeanColor(nn.Module):
    """Images to 5 features of their mean colour: flat images train it as a full batch of points would."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.linear = nn.Linear(3, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.linear(images.mean(dim=(2, 3))))


class RecordedPixels:
    """Pixels that remember which rows were read."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.read.extend(np.arange(len(self._pixels))[rows].reshape(-1).tolist())
        return self._pixels[rows]


class WatchedNet(PooledNet):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.shown.append(images.clone())
        return super().forward(images)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 36, 36, 3), dtype=np.uint8)


def run_config(objective: str = "classification", images: int = 80, epochs: int = 4, seed: int = 0,
               batch: tuple[int, int] = (2, 4), objectives: list | None = None, **training: object) -> RunConfig:
    """Ten steps of 2 × 4 images in four epochs, unless told otherwise."""
    experiment = configuration.parse({
        "name": "toy", "dataset": {"source": "digits"}, "objectives": objectives or [OBJECTIVES[objective]], "seeds": [seed],
        "budget": {"images": images, "epochs": epochs},
        "training": {"batch": {"classes": batch[0], "samples": batch[1]}, **training}})
    return next(run for run in experiment.runs() if run.is_trained)


def make_trainer(config: RunConfig, module: nn.Module | None = None, pixels: np.ndarray | RecordedPixels | None = None,
                 label_id: np.ndarray = LABEL_ID, rows: np.ndarray = ROWS) -> Trainer:
    module = module or PooledNet()
    width = encoder.feature_width(module, DATA)
    objective = objectives.build(config.objective, width, len(np.unique(label_id[rows])), config.training.batch.size,
                                 config.seed)
    return Trainer(module, objective, DATA, noise() if pixels is None else pixels, label_id, rows, config, CPU)


def train(trainer: Trainer, stop_at: int | None = None) -> list[EpochRecord]:
    return list(trainer.epochs(lambda: trainer.step == stop_at))


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.state()[0].items()}


def are_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def without_time(records: list[EpochRecord]) -> list[dict]:
    return [{key: value for key, value in asdict(record).items() if key not in MACHINE_FIELDS}
            for record in records]


def test_epochs_cut_the_budget_into_equal_parts() -> None:
    """Ten steps in four epochs end at round(2.5), 5, round(7.5) and 10."""
    records = train(make_trainer(run_config()))
    assert [(record.epoch, record.step, record.images_seen) for record in records] == [
        (1, 2, 16), (2, 5, 40), (3, 8, 64), (4, 10, 80)]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_sees_the_same_number_of_images(objective: str) -> None:
    pixels = RecordedPixels(noise())
    trainer = make_trainer(run_config(objective), pixels=pixels)
    records = train(trainer)
    assert [record.images_seen for record in records] == [16, 40, 64, 80]
    assert len(pixels.read) == 80
    assert trainer.is_done


def test_every_objective_sees_the_same_images_in_the_same_order_unless_its_own_order_is_another() -> None:
    orders: dict[str, list[list[int]]] = {"balanced": [], "shuffled": []}
    for objective in OBJECTIVES:
        pixels, config = RecordedPixels(noise()), run_config(objective)
        train(make_trainer(config, pixels=pixels))
        orders[config.training.batch.order].append(pixels.read)
    assert {order: len(found) for order, found in orders.items()} == {"balanced": len(OBJECTIVES) - 2, "shuffled": 2}
    assert all(order == found[0] for found in orders.values() for order in found)
    assert orders["balanced"][0] != orders["shuffled"][0]
    for start in (0, 32):  # 32 training rows: each once a pass of four steps
        assert sorted(orders["shuffled"][0][start:start + 32]) == ROWS.tolist()


def test_budget_that_is_no_multiple_of_the_batch_is_rounded_up_to_whole_steps() -> None:
    records = train(make_trainer(run_config(images=33, epochs=1)))
    assert [(record.step, record.images_seen) for record in records] == [(5, 40)]


def test_only_training_rows_are_ever_read_and_all_of_them() -> None:
    pixels = RecordedPixels(noise())
    train(make_trainer(run_config(), pixels=pixels))
    assert set(pixels.read) == set(ROWS.tolist())
    assert not set(pixels.read) & set(range(48)) - set(ROWS.tolist())


def test_triplets_drawn_one_by_one_read_training_rows_alone() -> None:
    drawn = {"name": "triplet", "mining": "drawn", "margin": 1.0, "normalize": False}
    config = run_config("triplet", images=60, objectives=[drawn])
    pixels = RecordedPixels(noise())
    records = train(make_trainer(config, pixels=pixels))
    assert set(pixels.read) <= set(ROWS.tolist())
    assert records[-1].images_seen == len(pixels.read) == 60, "two triplets of three images a step"


def test_only_who_asks_for_the_leak_reads_other_rows() -> None:
    config = run_config("supcon", images=400)
    pixels = RecordedPixels(noise())
    pool = np.arange(48)
    objective = objectives.build(config.objective, encoder.feature_width(PooledNet(), DATA), 2, 8, 0)
    trainer = Trainer(PooledNet(), objective, DATA, pixels, LABEL_ID, ROWS, config, CPU, pool)
    train(trainer)
    classes = set(LABEL_ID[ROWS].tolist())
    assert set(pixels.read) == {row for row in range(48) if LABEL_ID[row] in classes}


def test_the_learning_rate_ends_where_it_was_told_to() -> None:
    records = train(make_trainer(run_config(images=800, epochs=1, lr=0.01, min_lr=0.001)))
    assert 0.001 < records[-1].lr < 0.0011


def test_other_rows_change_nothing() -> None:
    others = np.setdiff1d(np.arange(48), ROWS)
    pixels, label_id = noise(), LABEL_ID.copy()
    first = make_trainer(run_config())
    train(first)
    pixels[others], label_id[others] = 255 - pixels[others], 3 - label_id[others]
    second = make_trainer(run_config(), pixels=pixels, label_id=label_id)
    train(second)
    assert are_equal(weights(first), weights(second))


def test_training_rows_do_change_the_weights() -> None:
    pixels = noise()
    first = make_trainer(run_config())
    train(first)
    pixels[ROWS[0]] = 255 - pixels[ROWS[0]]
    second = make_trainer(run_config(), pixels=pixels)
    train(second)
    assert not are_equal(weights(first), weights(second))


def test_classes_are_counted_among_the_training_rows() -> None:
    """Labels 5 and 9 are the first and second class of a head that knows two."""
    label_id = np.where(LABEL_ID == 1, 5, np.where(LABEL_ID == 2, 9, LABEL_ID)).astype(np.int32)
    rows = ROWS[np.isin(label_id[ROWS], (5, 9))]
    trainer = make_trainer(run_config(), label_id=label_id, rows=rows)
    again = make_trainer(run_config(), label_id=np.where(label_id == 9, 1, 0).astype(np.int32), rows=rows)
    assert trainer.objective.head.out_features == 2
    assert without_time(train(trainer)) == without_time(train(again))


def test_learning_rate_warms_up_and_falls_as_half_a_cosine() -> None:
    """Warm-up of 0.3 × 10 = 3 steps: 1/3, 2/3, 1; then ½ (1 + cos(π s / 7)) for s = 0 to 6."""
    records = train(make_trainer(run_config(epochs=10, lr=0.02, warmup=0.3)))
    expected = [0.02 / 3, 0.04 / 3, 0.02, 0.02, 0.0190096887, 0.0162348980, 0.0122252093, 0.0077747907, 0.0037651020,
                0.0009903113]
    assert [record.lr for record in records] == pytest.approx(expected, abs=1e-9)


def test_learning_rate_without_warmup_starts_at_its_full_value() -> None:
    """½ (1 + cos(π s / 4)): 1, 0.853553, 0.5, 0.146447."""
    records = train(make_trainer(run_config(images=32, epochs=4, lr=0.1, warmup=0.0)))
    assert [record.lr for record in records] == pytest.approx([0.1, 0.0853553391, 0.05, 0.0146446609], abs=1e-9)


def slow_updates(points: torch.Tensor, target: torch.Tensor, parameters: list[torch.Tensor], config: RunConfig,
                 lrs: list[float]) -> tuple[list[float], list[float]]:
    """Full-batch training with each optimizer's update written out; returns losses and gradient norms."""
    training = config.training
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    losses, norms = [], []
    for step, lr in enumerate(lrs, start=1):
        weight, bias, head_weight, head_bias = parameters
        loss = F.cross_entropy(torch.tanh(points @ weight.T + bias) @ head_weight.T + head_bias, target)
        gradients = torch.autograd.grad(loss, parameters)
        losses.append(loss.item())
        norms.append(math.sqrt(sum(float((gradient ** 2).sum()) for gradient in gradients)))
        with torch.no_grad():
            for p, gradient, m, v in zip(parameters, gradients, first, second):
                if training.optimizer == "adamw":  # Loshchilov & Hutter (2019), arXiv:1711.05101, algorithm 2
                    p -= lr * training.weight_decay * p
                else:
                    gradient = gradient + training.weight_decay * p
                if training.optimizer == "sgd":
                    m.copy_(0.9 * m + gradient)
                    p -= lr * m
                else:  # Kingma & Ba (2015), arXiv:1412.6980, algorithm 1
                    m.copy_(0.9 * m + 0.1 * gradient)
                    v.copy_(0.999 * v + 0.001 * gradient ** 2)
                    p -= lr * (m / (1 - 0.9 ** step)) / ((v / (1 - 0.999 ** step)).sqrt() + 1e-8)
    return losses, norms


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_losses_gradients_and_weights_are_those_of_the_update_written_out(optimizer: str) -> None:
    """Flat images look the same however they are cut, and a batch of all rows is the same in any order."""
    color = np.random.default_rng(3).integers(0, 256, (48, 1, 1, 3), dtype=np.uint8)
    config = run_config(images=5 * 32, epochs=5, batch=(4, 8), optimizer=optimizer, lr=0.05, warmup=0.4,
                        weight_decay=0.1)
    trainer = make_trainer(config, MeanColor(), np.broadcast_to(color, (48, 36, 36, 3)))
    parameters = [p.detach().clone().requires_grad_() for p in
                  (*trainer.encoder.parameters(), *trainer.objective.parameters())]
    points = torch.from_numpy((color[ROWS, 0, 0] / 255 - 0.5) / 0.25).float()
    lrs = [0.025, 0.05, 0.05, 0.0375, 0.0125]  # two steps of warm-up, then cos 0, π/3 and 2π/3
    losses, norms = slow_updates(points, torch.from_numpy(LABEL_ID[ROWS]).long(), parameters, config, lrs)

    records = train(trainer)
    assert [record.loss for record in records] == pytest.approx(losses, abs=1e-5)
    assert [record.gradient_norm for record in records] == pytest.approx(norms, abs=1e-5)
    for trained, slow in zip((*trainer.encoder.parameters(), *trainer.objective.parameters()), parameters):
        torch.testing.assert_close(trained, slow, atol=1e-5, rtol=0)


def test_record_holds_the_mean_over_its_steps() -> None:
    each = train(make_trainer(run_config(epochs=10)))
    together = train(make_trainer(run_config(epochs=1)))[0]
    assert together.loss == pytest.approx(sum(record.loss for record in each) / 10)
    assert together.gradient_norm == pytest.approx(sum(record.gradient_norm for record in each) / 10)
    assert together.lr == each[-1].lr
    assert together.images_per_second == pytest.approx(80 / together.seconds)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_same_seed_same_training_and_another_seed_another(objective: str) -> None:
    first, again, other = (make_trainer(run_config(objective, seed=seed)) for seed in (5, 5, 6))
    records = [without_time(train(trainer)) for trainer in (first, again, other)]
    assert records[0] == records[1] and are_equal(weights(first), weights(again))
    assert records[0] != records[2] and not are_equal(weights(first), weights(other))


def test_every_step_and_every_seed_shows_other_views_of_the_same_picture() -> None:
    pixels = np.broadcast_to(noise()[:1], (48, 36, 36, 3))
    views = []
    for seed in (0, 1):
        module = WatchedNet()
        trainer = make_trainer(run_config(seed=seed), module, pixels)
        module.shown.clear()  # the one image that told the width
        train(trainer)
        assert [len(images) for images in module.shown] == [8] * 10
        views += [view.numpy().tobytes() for images in module.shown for view in images]
    assert len(set(views)) == 2 * 80


@pytest.mark.parametrize("stop_at", [1, 5, 7])  # before the first epoch's end, at the second's, within the third
@pytest.mark.parametrize("objective", ["classification", "triplet random", "supcon", "classification shuffled"])
def test_stop_and_resume_is_bit_for_bit_the_whole_training(tmp_path: Path, objective: str, stop_at: int) -> None:
    config = run_config(objective)

    def batch_norm_net(seed: int) -> nn.Module:
        return encoder.build(EncoderConfig(name="test_resnet", image_size=32), seed)[0]

    whole = make_trainer(config, batch_norm_net(0))
    expected = train(whole)
    stopped = make_trainer(config, batch_norm_net(0))
    before = train(stopped, stop_at)
    assert stopped.step == stop_at and not stopped.is_done
    checkpoint.save(tmp_path / "last.safetensors", *stopped.state())

    resumed = make_trainer(config, batch_norm_net(99))  # other weights, all of which must be replaced
    resumed.load(*checkpoint.load(tmp_path / "last.safetensors"))
    torch.manual_seed(12345)  # a new process has another state
    after = train(resumed)
    assert (len(before), len(after)) == {1: (0, 4), 5: (2, 2), 7: (2, 2)}[stop_at]
    assert without_time(before + after) == without_time(expected)
    assert are_equal(weights(resumed), weights(whole))
    assert any(name.startswith("optimizer.") for name in weights(whole))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer_resumes_exactly(tmp_path: Path, optimizer: str) -> None:
    config = run_config(optimizer=optimizer, lr=0.01)
    whole, stopped, resumed = make_trainer(config), make_trainer(config), make_trainer(config, PooledNet(seed=9))
    train(whole)
    train(stopped, stop_at=6)
    checkpoint.save(tmp_path / "last.safetensors", *stopped.state())
    resumed.load(*checkpoint.load(tmp_path / "last.safetensors"))
    train(resumed)
    assert are_equal(weights(resumed), weights(whole))


def test_finished_training_has_nothing_left_after_resuming(tmp_path: Path) -> None:
    config = run_config()
    finished, resumed = make_trainer(config), make_trainer(config)
    train(finished)
    checkpoint.save(tmp_path / "last.safetensors", *finished.state())
    resumed.load(*checkpoint.load(tmp_path / "last.safetensors"))
    assert resumed.is_done
    assert train(resumed) == []


def test_stop_before_the_first_step_changes_nothing() -> None:
    trainer = make_trainer(run_config())
    before = weights(trainer)
    assert train(trainer, stop_at=0) == []
    assert trainer.step == 0 and are_equal(before, weights(trainer))


def test_going_on_after_a_stop_in_the_same_process_changes_nothing() -> None:
    """A batch that was drawn ahead of the stop is trained on, not lost."""
    pixels = RecordedPixels(noise())
    whole, stopped = make_trainer(run_config()), make_trainer(run_config(), pixels=pixels)
    assert without_time(train(stopped, stop_at=4) + train(stopped)) == without_time(train(whole))
    assert are_equal(weights(stopped), weights(whole))
    assert len(pixels.read) == 80, "each image once, none ahead of the last step"


def test_loss_that_is_no_number_raises() -> None:
    module = PooledNet()
    with torch.no_grad():
        module.layers[0].weight[0, 0, 0, 0] = math.nan
    trainer = make_trainer(run_config(lr=0.01), module)
    with pytest.raises(FloatingPointError, match=r"the loss must stay a number, got nan in epoch 1; "
                                                 r"lower training.lr \(0.01\)"):
        train(trainer)


@pytest.mark.parametrize("objective", ["classification", "triplet random", "triplet batch-hard", "supcon"])
def test_loss_falls_on_an_easy_problem(objective: str) -> None:
    """Four levels of grey, close to each other."""
    pixels = (noise() // 8 + 90 + 12 * LABEL_ID[:, None, None, None]).astype(np.uint8)
    config = run_config(objective, images=100 * 16, epochs=10, batch=(4, 4), lr=0.01)
    trainer = make_trainer(config, pixels=pixels)
    losses = [record.loss for record in train(trainer)]
    floor = math.log(3) if objective == "supcon" else 0.0  # three equal positives share the probability
    assert losses[-1] - floor < 0.5 * (losses[0] - floor)


def test_batch_that_cannot_be_filled_is_refused() -> None:
    with pytest.raises(ValueError, match=r"training.batch must fit 4 classes of at least 8 samples, got 4 × 9"):
        make_trainer(run_config(batch=(4, 9), epochs=1))


def test_the_largest_seed_trains() -> None:
    """Numbers derived from a seed stay within what torch's generators take."""
    assert all(math.isfinite(record.loss) for record in train(make_trainer(run_config(seed=2**63 - 1))))
