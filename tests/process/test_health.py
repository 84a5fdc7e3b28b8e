"""Alarms: raised by a training that really collapses, and by none that is well."""

import math

import numpy as np
import pytest
import torch

from core import config as configuration
from core.config import DatasetConfig, SplitConfig
from core.data import pixels, sources, split
from core.training import encoder, objectives
from core.training.health import EVERY, Alarm, Health, mean_cosine
from core.training.trainer import Trainer


def alarms(encoder_config: dict, objective: object, lr: float, n_steps: int, batch: tuple[int, int], seed: int,
           tmp_path_factory: pytest.TempPathFactory) -> list[Alarm]:
    """What a real training on the digits raises in its first steps."""
    config = configuration.parse({
        "name": "health", "dataset": {"source": "digits"}, "encoder": encoder_config, "objectives": [objective],
        "seeds": [seed], "budget": {"images": batch[0] * batch[1] * n_steps, "epochs": 1},
        "training": {"batch": {"classes": batch[0], "samples": batch[1]}, "lr": lr}})
    run = next(run for run in config.runs() if run.is_trained)
    source = sources.open_source(DatasetConfig())
    manifest = split.assign(source.scan(), SplitConfig(), (seed,))
    module, data = encoder.build(config.encoder, seed)
    stored = pixels.load(manifest, source, data.storage_size, tmp_path_factory.getbasetemp() / "pixels")
    objective = objectives.build(run.objective, encoder.feature_width(module, data), len(manifest.classes),
                                 run.images_per_step, seed)
    trainer = Trainer(module, objective, data, stored, manifest.label_id, manifest.indices("train"), run, torch.device("cpu"))
    list(trainer.epochs(lambda: False))
    return trainer.health.fresh_alarms()


def test_batch_hard_at_a_high_rate_raises_the_collapse_alarm_within_50_steps(tmp_path_factory) -> None:
    found = alarms({"name": "test_convnext", "image_size": 64}, {"name": "triplet", "mining": "batch_hard"}, 1e-2, 50, (10, 4),
                   0, tmp_path_factory)
    assert [alarm.kind for alarm in found] == ["collapse"]
    assert found[0].step <= 50
    assert "one point" in found[0].message and "lower training.lr (0.01)" in found[0].message


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("objective", ["classification", "supcon", {"name": "triplet", "mining": "semi_hard"},
                                       {"name": "triplet", "mining": "batch_hard"},
                                       {"name": "triplet", "mining": "random", "normalize": False, "margin": 1.0}])
def test_ten_healthy_runs_raise_none(objective, seed: int, tmp_path_factory) -> None:
    assert alarms({"name": "test_resnet", "image_size": 32}, objective, 3e-3, 60, (10, 8), seed, tmp_path_factory) == []


def look(health: Health, n: int, loss: float = 1.0, norm: float = 1.0, cosine: float = 0.3, active: float = math.nan) -> None:
    for _ in range(n):
        health.look(*torch.tensor([loss, norm, cosine, active]))


def test_a_loss_near_its_collapse_value_alone_is_no_alarm() -> None:
    health = Health(collapse_value=2.3, lr=0.1)
    look(health, 100, loss=2.3)
    assert health.fresh_alarms() == []


def test_embeddings_in_one_point_are_an_alarm_whatever_the_loss() -> None:
    health = Health(collapse_value=2.3, lr=0.1)
    look(health, EVERY)
    look(health, EVERY, loss=30.0, cosine=1.0)
    assert [alarm.kind for alarm in health.fresh_alarms()] == ["collapse"]


def test_exploding_gradients_and_idle_triplets_are_named_once() -> None:
    health = Health(collapse_value=0.2, lr=0.1)
    look(health, 2 * EVERY, active=0.5)
    look(health, EVERY, norm=100.0, active=0.5)
    look(health, 2 * EVERY, active=0.0)
    found = health.fresh_alarms()
    assert [(alarm.kind, alarm.step) for alarm in found] == [("exploding", 3 * EVERY), ("idle", 4 * EVERY)]
    assert "100 times" in found[0].message and "harder mining" in found[1].message
    look(health, EVERY, active=0.0)
    assert health.fresh_alarms() == []


def test_mean_cosine_is_that_of_all_pairs() -> None:
    features = np.random.default_rng(0).normal(size=(9, 5))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = [unit[a] @ unit[b] for a in range(9) for b in range(9) if a != b]
    assert mean_cosine(torch.from_numpy(features)).item() == pytest.approx(np.mean(pairs), abs=1e-6)
    assert mean_cosine(torch.ones(4, 3)).item() == pytest.approx(1)
