"""Whole experiments of the objectives: each improves the encoder it began with; both ends of cross-entropy + SupCon; a
cross-batch memory that is stopped and goes on."""

import json
from pathlib import Path

import pytest
import torch

from core import files
from core.experiments.handles import Experiment, Run
from core.jobs import control
from core.training import checkpoint
from tests.conftest import run_experiment, run_in_process, tiny
from tests.lasting import Hold, assert_same_numbers, assert_same_run, lasting, lasting_config, resume_and_finish
from tests.waiting import DEADLINE

TRAINED = ["cross_entropy_supcon", "sincere", "subcenter_arcface", "circle", "cross_batch_memory",
           {"name": "cross_batch_memory", "loss": "supcon", "label": "supcon-memory"}]
MEMORY = {"name": "cross_batch_memory", "loss": "supcon", "memory": 100}  # filled in the second of twelve steps


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 steps on all digits."""
    config = tiny(name="trained", objectives=TRAINED, images_per_class=["all"], seeds=[0],
                  budget={"images": 2000, "epochs": 1})
    return run_in_process(config, tmp_path_factory.mktemp("trained"))


@pytest.mark.parametrize("arm", [item if isinstance(item, str) else item["label"] for item in TRAINED])
def test_each_improves_the_encoder_that_it_began_with(trained: Path, arm: str) -> None:
    """MAP@R on the test images: 0.21 untrained, 0.31 (sub-centre ArcFace) to 0.45 (cross-entropy + SupCon) were seen."""
    of_arm, untrained = (files.read_json(trained / f"{name}-all-seed0" / "evaluation.json")["metrics"]["map_at_r"]
                         for name in (arm, "untrained"))
    assert of_arm["low"] > untrained["high"] and of_arm["mean"] > 1.3 * untrained["mean"]


def test_what_stands_on_top_of_the_encoder_has_readouts_of_its_own(trained: Path) -> None:
    places = {run.config.objective.label or run.config.objective.name:
              {row["place"] for row in files.read_json(run.folder / "readouts.json")["readouts"]}
              for run in Experiment(trained).runs if run.config.is_trained}
    assert places.pop("cross_entropy_supcon") == places.pop("subcenter_arcface") == {"pooled", "logits"}
    assert set(map(frozenset, places.values())) == {frozenset({"pooled"})}


def test_a_memory_is_kept_in_the_last_checkpoint_and_is_no_head(trained: Path) -> None:
    run = Run(trained / "cross_batch_memory-all-seed0")
    tensors, _ = checkpoint.load(run.last_checkpoint)
    assert tensors["objective.memory.embeddings"].shape == (1024, tensors["objective.memory.embeddings"].shape[1])
    assert (tensors["objective.memory.label_id"] >= 0).all() and int(tensors["objective.memory.n_batches"]) == 25
    torch.testing.assert_close(tensors["objective.memory.embeddings"].norm(dim=1), torch.ones(1024))
    assert not run.head_checkpoint.exists()


def test_both_ends_of_cross_entropy_and_supcon_are_the_runs_of_the_two(tmp_path: Path) -> None:
    """Weights, optimizer, records, films, embeddings and scores."""
    own = {"label_smoothing": 0.1, "logit_adjustment": 1, "temperature": 0.2, "projection": 16}
    both, alone = {"name": "cross_entropy_supcon", **own}, {key: own[key] for key in ("temperature", "projection")}
    folder = run_in_process(tiny(name="ends", seeds=[0], budget={"images": 320, "epochs": 2}, objectives=[
        {**both, "weight": 0, "label": "at-0"}, {**both, "weight": 1, "label": "at-1"},
        {"name": "classification", "label_smoothing": 0.1, "logit_adjustment": 1}, {"name": "supcon", **alone}]), tmp_path)
    for end, name in (("at-0", "classification"), ("at-1", "supcon")):
        assert Run(folder / f"{end}-15-seed0").status.state == "completed"
        assert_same_run(folder / f"{end}-15-seed0", folder / f"{name}-15-seed0")


def test_a_memory_that_is_stopped_and_killed_goes_on_to_the_same_bits(tmp_path: Path, hold: Hold) -> None:
    """Real workers, against one that nothing interrupted."""
    changes = {"objectives": [MEMORY]}
    whole = run_experiment(lasting_config(**changes), tmp_path / "whole")
    hold.at_phase("training, epoch 3", "cross_batch_memory")
    folder = lasting(tmp_path, **changes)
    trainer = hold.wait(folder)
    control.stop(Experiment(folder).runs)
    trainer.resume()
    assert control.wait(Experiment(folder), DEADLINE)
    run = Run(folder / "cross_batch_memory-15-seed0")
    assert run.status.state == "stopped", run.status
    assert json.loads(run.last_checkpoint.with_suffix(".json").read_text())["step"] < 12
    hold.at_phase("training, epoch 5", "cross_batch_memory")
    control.resume(Experiment(folder).runs, tmp_path / "data", "cpu")
    hold.wait(folder).kill()
    assert control.wait(Experiment(folder), DEADLINE)
    resume_and_finish(folder, tmp_path / "data")
    assert_same_numbers(folder, whole)
