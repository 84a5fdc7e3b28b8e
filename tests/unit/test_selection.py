"""By what an epoch and a learning rate are chosen: MAP@R on validation, less what knowing the photograph alone adds to it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from core.analysis import retrieval
from core.experiments import planning, trials
from core.experiments.handles import Run
from core.experiments.trials import Trial
from core.jobs.recorder import Recorder
from core.jobs.workplace import Answers, Workplace
from core.training import checkpoint
from core.training.encoder import DataConfig
from core.training.objectives import Objective
from core.training.trainer import EpochRecord
from tests.conftest import tiny

PIXELS, INPUT = np.zeros((1, 8, 8, 3), np.uint8), DataConfig((0.5,) * 3, (0.5,) * 3, 8, 1.0)


def test_the_criterion_is_what_is_left_of_map_at_r_without_what_groups_add() -> None:
    assert Answers(0.4, 0.9, 0.1).criterion == pytest.approx(0.3)
    assert Answers(0.02, 0.0, 0.1).criterion == 0.0, "never below nothing: -1 stands for no epoch yet"
    tried = [Trial(0.1, 100, 0.40, 1.0, 0.06), Trial(0.2, 100, 0.38, 1.0, 0.01), Trial(0.3, 100, None, 1.0)]
    assert trials.best(tried) == 0.2
    assert trials.best([Trial(0.1, 100, 0.40, 1.0), Trial(0.2, 100, 0.38, 1.0)]) == 0.1


def test_where_each_image_is_alone_groups_add_nothing_to_the_bit() -> None:
    generator = np.random.default_rng(0)
    vectors, label_id = generator.normal(size=(60, 8)).astype(np.float32), generator.integers(0, 3, 60)
    plain = retrieval.retrieve(vectors, label_id)
    for group in (None, np.arange(60), np.array([f"{row}" for row in range(60)], dtype=object)):
        values, group_chance = retrieval.retrieve_with_chance(vectors, label_id, group)
        assert group_chance == 0.0 and all(np.array_equal(values[name], plain[name], equal_nan=True) for name in plain)


def test_validation_of_one_group_a_class_asks_training_images() -> None:
    """Found by others of its own photograph, an encoder that knows the photograph alone would be perfect there."""
    config = tiny(seeds=[0], images_per_class=[15])
    run_config = next(run for run in config.runs() if run.is_trained)
    manifest = planning.plan(config).manifest
    group = manifest.group.copy()
    asks_itself = Workplace(manifest, PIXELS, INPUT, torch.device("cpu")).validation(run_config)
    assert asks_itself.gallery is None and asks_itself.all_rows.tolist() == manifest.indices("validation").tolist()
    rows = manifest.indices("validation")
    group[rows] = [f"all of {label}" for label in manifest.label[rows]]
    place = Workplace(replace(manifest, group=group), PIXELS, INPUT, torch.device("cpu"))
    asked = place.validation(run_config)
    assert asked.has_groups and asked.gallery is not None
    assert set(asked.gallery.tolist()) == set(manifest.training_indices(15, 0).tolist()), "15 of each class, fewer than 50"
    of_all = place.validation(run_config.model_copy(update={"images_per_class": "all"})).gallery
    assert of_all is not None and np.bincount(manifest.label_id[of_all]).tolist() == [50] * 10
    found = []
    for seed in range(20):  # a point for each photograph: validation's photographs are none of training's
        points = np.random.default_rng(seed).normal(size=(len(manifest) + 10, 8)).astype(np.float32)
        vectors = points[asked.all_rows]
        vectors[:len(rows)] = points[-10:][manifest.label_id[rows]]
        answers = place.answers(vectors, asked)
        assert answers.group_chance == 0.0
        found.append(answers.precision_at_1)
    assert np.mean(found) == pytest.approx(0.1, abs=3.5 * np.std(found, ddof=1) / np.sqrt(20))


class Scripted(Workplace):
    """A workplace whose validation says what a test wants, epoch by epoch."""

    def say(self, answers: list[Answers]) -> "Scripted":
        object.__setattr__(self, "script", iter(answers))
        return self

    def vectors(self, *_: object) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(len(self.manifest.indices("validation")), 4)).astype(np.float32)

    def answers(self, *_: object) -> Answers:
        return next(self.script)  # type: ignore[attr-defined]


def test_an_epoch_that_only_knows_the_photograph_better_is_not_the_best(tmp_path: Path) -> None:
    """Epoch 1 has the highest MAP@R, and all of what it has more than epoch 0 is its groups'; epoch 2 has learnt something."""
    config = tiny(seeds=[0])
    run_config = next(run for run in config.runs() if run.is_trained)
    manifest = planning.plan(config).manifest
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    place = Scripted(manifest, PIXELS, INPUT,
                     torch.device("cpu")).say([Answers(0.30, 0.5, 0.01), Answers(0.36, 0.5, 0.08), Answers(0.34, 0.5, 0.02)])
    trainer = SimpleNamespace(encoder=nn.Linear(2, 2), objective=Objective(), state=lambda: ({}, {"step": 0}), is_done=False)
    recorder = Recorder(run, run_config, trainer, place, lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
    recorder.add_beginning()
    best = []
    for epoch in (1, 2):
        recorder.add(EpochRecord(epoch=epoch, step=epoch, images_seen=epoch), 0.0)
        best.append(checkpoint.load(run.best_checkpoint)[1]["epoch"])
    assert best == [0, 2]
    assert checkpoint.load(run.best_checkpoint)[1]["validation_map_at_r"] == 0.34, "what is shown is MAP@R itself"
