"""A run's loss is told how many training images each class really has."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from core.jobs import execution
from core.training import encoder
from tests.conftest import tiny
from tests.process.test_earlier_version import laid_out


@pytest.mark.parametrize("held_out", [0, 2])
def test_a_run_weighs_its_own_training_images_and_trains(tmp_path: Path, held_out: int) -> None:
    _, config, place = laid_out(tiny(
        seeds=[0], images_per_class=["all"], objectives=[{"name": "classification", "class_weights": "balanced"}],
        split={"held_out_classes": held_out}, training={"batch": {"classes": 8, "samples": 8}, "lr": 0.003},
        budget={"images": 256, "epochs": 2}), tmp_path)
    trainer = execution._trainer(encoder.build(config.encoder, 0)[0], config, place)
    labels = place.manifest.label_id[place.manifest.training_indices("all", 0)]
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    assert len(expected) == 10 - held_out and expected.std() > 0
    assert trainer.objective._sizes.weight.numpy() == pytest.approx(expected, abs=1e-6)
    record = next(iter(trainer.epochs(lambda: False)))
    assert 0 < record.loss < 10
