"""Equal tuning: as many trials for every objective, the best on validation taken, and none repeated or lost by a kill."""

import os
import signal
from pathlib import Path

import pytest

from core import files
from core.analysis import table as tables
from core.experiments import planning, preflight, trials
from core.experiments.handles import Experiment, Run
from core.experiments.trials import Trial
from core.jobs import control
from tests.conftest import run_experiment, run_in_process, tiny
from tests.lasting import Hold, assert_same_numbers, lasting, lasting_config, resume_and_finish
from tests.waiting import DEADLINE, until

RATES = [0.0003, 0.003, 0.03]
TUNED = {"seeds": [0], "tuning": {"learning_rates": RATES, "share": 0.5}}
TRAINED = ("classification-15-seed0", "supcon-15-seed0")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment of one seed whose runs tried three learning rates. Read only."""
    return run_in_process(tiny(**TUNED), tmp_path_factory.mktemp("tuned"))


def test_the_best_on_validation_is_taken_and_of_equal_ones_the_first() -> None:
    scores = {0.1: 0.2, 0.2: 0.5, 0.3: None, 0.4: 0.5}
    assert trials.best([Trial(lr, 100, score, 1.0) for lr, score in scores.items()]) == 0.2
    with pytest.raises(FloatingPointError, match=r"got none of tuning\.learning_rates: 0\.1, 0\.3; try lower ones"):
        trials.best([Trial(0.1, 100, None, 1.0), Trial(0.3, 100, None, 1.0)])


def test_every_objective_tries_as_many_rates_on_the_same_images_and_the_untrained_encoder_none(tuned: Path) -> None:
    for name in TRAINED:
        found = trials.read(Run(tuned / name))
        assert [(trial.lr, trial.images_seen) for trial in found] == [(lr, 320) for lr in RATES]
        assert all(0 < trial.validation_map_at_r < 1 for trial in found)
    assert [run.n_trials for run in Experiment(tuned).config.runs()] == [0, 3, 3]
    assert trials.read(Run(tuned / "untrained-15-seed0")) == []


def test_the_choice_stands_in_evaluation_and_table_and_the_configs_stay_alike(tuned: Path) -> None:
    for name in TRAINED:
        found = files.read_json(tuned / name / "evaluation.json")["tuning"]
        scores = {trial["lr"]: trial["validation_map_at_r"] for trial in found["trials"]}
        assert found["lr"] == max(scores, key=scores.get)
        assert tables.read(tuned / name / "embeddings.parquet").metadata["tuning"] == found
        assert Run(tuned / name).alarms == []
    assert files.read_json(tuned / "verdict.json")["comparisons"][0]["confounders"] == []


def test_a_tuned_run_is_the_very_run_with_that_learning_rate(tuned: Path, tmp_path: Path) -> None:
    lr = trials.best(trials.read(Run(tuned / TRAINED[1])))
    plain = run_in_process(tiny(seeds=[0], objectives=["supcon"], training={
        "batch": {"classes": 10, "samples": 8}, "lr": lr}), tmp_path)
    records = [[{key: record[key] for key in ("loss", "lr", "validation_map_at_r", "images_seen")}
                for record in Run(folder / TRAINED[1]).records] for folder in (tuned, plain)]
    assert records[0] == records[1]


def test_a_rate_that_diverges_is_written_down_and_the_run_goes_on(tmp_path: Path) -> None:
    config = tiny(seeds=[0], objectives=["classification"], tuning={"learning_rates": [10, 0.003], "share": 1},
                  training={"batch": {"classes": 10, "samples": 8}, "weight_decay": 1, "optimizer": "sgd"},
                  budget={"images": 8000, "epochs": 2})  # at 10 each step makes a weight -9 times itself
    folder = run_in_process(config, tmp_path)
    found = trials.read(Run(folder / TRAINED[0]))
    assert [trial.validation_map_at_r is None for trial in found] == [True, False], found
    assert Run(folder / TRAINED[0]).status.state == "completed"
    assert files.read_json(folder / TRAINED[0] / "evaluation.json")["tuning"]["lr"] == 0.003


def test_killed_or_stopped_in_a_trial_it_repeats_no_finished_one_and_ends_the_same(tmp_path: Path, hold: Hold) -> None:
    changes = {"tuning": {"learning_rates": RATES, "share": 0.5}, "budget": {"images": 960, "epochs": 2}}
    whole = run_experiment(lasting_config(**changes), tmp_path / "whole")
    hold.at("2 of 3", "classification")
    folder = lasting(tmp_path, **changes)
    run = folder / TRAINED[0]
    hold.wait(folder)
    kept = trials.read(Run(run))
    assert len(kept) == 1
    os.kill(files.read_json(folder / "worker.json")["pid"], signal.SIGKILL)
    until(lambda: not control.is_worker_alive(Experiment(folder)))
    assert 0 < control.progress(Experiment(folder)).share < 0.5
    hold.at("3 of 3", "classification")
    assert control.resume(Experiment(folder).runs, tmp_path / "data", "cpu")
    trainer = hold.wait(folder)
    control.stop(Experiment(folder).runs)
    trainer.resume()
    assert control.wait(Experiment(folder), DEADLINE)
    assert Run(run).status.state == "stopped"
    resume_and_finish(folder, tmp_path / "data")
    assert trials.read(Run(run))[0] == kept[0], "its seconds too: it was not tried again"
    assert_same_numbers(folder, whole)


def test_the_plan_counts_what_trials_cost(experiment: Path) -> None:
    config = tiny(**{**TUNED, "name": "next", "budget": {"images": 640, "epochs": 2}})
    found = preflight.look_ahead(planning.plan(config), experiment.parent)
    plain = preflight.look_ahead(planning.plan(tiny(name="next", seeds=[0])), experiment.parent)
    assert (found.images, found.trial_images) == (640, 3 * 320)
    assert found.seconds == pytest.approx(plain.seconds * (640 + 960) / 640)
