"""A run that an earlier version began: what it chose by other rules is scored anew before today's numbers meet it."""

import itertools
import json
from pathlib import Path

import pytest
import torch

from core import files, scored_by
from core.config import ExperimentConfig, RunConfig
from core.data import pixels, sources
from core.experiments import planning, store, trials
from core.experiments.handles import Run
from core.jobs import execution
from core.jobs.execution import Stopped, Workplace
from core.training import checkpoint, encoder
from tests.conftest import tiny
from tests.lasting import assert_same_run

SUPCON = {"seeds": [0], "objectives": ["supcon"], "budget": {"images": 1600, "epochs": 5}}
CLASSIFICATION = {**SUPCON, "objectives": ["classification"]}
ANEW = "scoring the best epoch so far anew"
RATES = [0.0003, 0.003, 0.03]


def laid_out(config: ExperimentConfig, root: Path) -> tuple[Path, RunConfig, Workplace]:
    """A new experiment's trained run, and the place to work on it in this process."""
    checked = planning.plan(config)
    experiment = store.create(checked.config, checked.manifest, root)
    run = next(run for run in checked.config.runs() if run.is_trained)
    _, data = encoder.build(run.encoder, 0)
    images = pixels.load(checked.manifest, sources.open_source(run.dataset), data.stored, root / ".pixels")
    return experiment.folder / run.name, run, Workplace(checked.manifest, images, data, torch.device("cpu"))


def work(run: Path, config: RunConfig, place: Workplace, stop_at: str = "", looks: int = 1) -> list[str]:
    """Works on a run to its end, or until it is stopped: in a phase, when it has looked so many times whether to stop. Returns
    the phases it was in."""
    phases: list[str] = []
    count = itertools.count(1)

    def should_stop() -> bool:
        return bool(stop_at and phases) and stop_at in phases[-1] and next(count) >= looks

    try:
        for _ in execution.execute(Run(run), config, place, should_stop, phases.append):
            pass
    except Stopped:
        phases.append("stopped")
    return phases


def as_of_earlier_version(run: Path, best: float) -> None:
    """Takes the mark off a run's last checkpoint, and has its best epoch scored so."""
    tensors, values = checkpoint.load(Run(run).last_checkpoint)
    assert values.pop(scored_by.KEY) == scored_by.VERSION
    checkpoint.save(Run(run).last_checkpoint, tensors, {**values, "best": best})
    tensors, values = checkpoint.load(Run(run).best_checkpoint)
    checkpoint.save(Run(run).best_checkpoint, tensors, {**values, "validation_map_at_r": best})


@pytest.fixture(scope="module", params=[SUPCON, CLASSIFICATION], ids=["supcon", "classification"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """What an experiment differs in from the tiny one, and its run, never interrupted. Read only."""
    run, config, place = laid_out(tiny(**request.param), tmp_path_factory.mktemp("whole"))
    work(run, config, place)
    assert files.read_json(run / "best.json")["epoch"] > 2, "the test must stop before the best epoch"
    return request.param, run


@pytest.mark.parametrize("phase, looks", [("training, epoch 2", 3), ("scoring epoch 2", 1), ("training, epoch 3", 1)],
                         ids=["in an epoch", "before an epoch is scored", "between epochs"])
def test_the_best_epoch_of_an_earlier_version_is_scored_anew(whole: tuple[dict, Path], tmp_path: Path, phase: str,
                                                             looks: int) -> None:
    changes, other = whole
    run, config, place = laid_out(tiny(**changes), tmp_path)
    assert work(run, config, place, phase, looks)[-1] == "stopped"
    epoch = files.read_json(run / "best.json")["epoch"]
    as_of_earlier_version(run, best=0.999)
    assert work(run, config, place, ANEW)[-2:] == [ANEW, "stopped"]
    assert files.read_json(run / "best.json")["epoch"] == epoch
    assert ANEW in work(run, config, place)
    assert_same_run(run, other)
    assert files.read_json(run / "best.json") == files.read_json(other / "best.json")
    assert checkpoint.load(Run(run).last_checkpoint)[1]["best"] == checkpoint.load(Run(other).last_checkpoint)[1]["best"]


def test_a_run_of_todays_is_not_scored_anew(whole: tuple[dict, Path], tmp_path: Path) -> None:
    changes, other = whole
    run, config, place = laid_out(tiny(**changes), tmp_path)
    assert work(run, config, place, "training, epoch 2", 3)[-1] == "stopped"
    assert ANEW not in work(run, config, place)
    assert_same_run(run, other)


def as_trials_of_earlier_version(run: Path, lr: float) -> None:
    """Takes the mark off a run's trials, and has one rate scored better than any can be."""
    values = json.loads((run / "trials.json").read_text())
    assert values.pop(scored_by.KEY) == scored_by.VERSION
    for trial in values["trials"]:
        trial["validation_map_at_r"] = 0.999 if trial["lr"] == lr else trial["validation_map_at_r"]
    files.write_json(run / "trials.json", values)


def test_trials_of_an_earlier_version_are_made_again_until_training_has_begun(tmp_path: Path) -> None:
    changes = {**SUPCON, "tuning": {"learning_rates": RATES, "share": 0.2}, "budget": {"images": 800, "epochs": 2}}
    other, config, place = laid_out(tiny(**changes), tmp_path / "whole")
    work(other, config, place)
    scores = [trial.validation_map_at_r for trial in trials.read(Run(other))]
    assert trials.best(trials.read(Run(other))) != RATES[0]
    run, config, place = laid_out(tiny(**changes), tmp_path)

    for phase, n_done in (("3 of 3", 2), ("scoring epoch 0", 3)):  # partly made, and all made but nothing trained with
        assert work(run, config, place, phase)[-1] == "stopped"
        assert len(trials.read(Run(run))) == n_done
        as_trials_of_earlier_version(run, RATES[0])
    phases = work(run, config, place, "epoch 2 of 2")
    assert phases[-1] == "stopped" and sum("trying" in phase for phase in phases) == 3
    assert [trial.validation_map_at_r for trial in trials.read(Run(run))] == scores
    values = json.loads((run / "trials.json").read_text())
    files.write_json(run / "trials.json", {key: value for key, value in values.items() if key != scored_by.KEY})
    assert not [phase for phase in work(run, config, place) if "trying" in phase], "training has begun with the chosen rate"
    assert_same_run(run, other)
