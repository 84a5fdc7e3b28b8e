"""Equal tuning: as many trials for every objective, the best on validation taken, and none repeated or lost by a kill."""

import os
import signal
from pathlib import Path

import pytest

from core.analysis import table as tables
from core.experiments import directory, planning, preflight, trials
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
        found = trials.read(tuned / name)
        assert [(trial.lr, trial.images_seen) for trial in found] == [(lr, 320) for lr in RATES]
        assert all(0 < trial.validation_map_at_r < 1 for trial in found)
    assert [run.n_trials for run in directory.read_config(tuned).runs()] == [0, 3, 3]
    assert trials.read(tuned / "untrained-15-seed0") == []


def test_the_choice_stands_in_evaluation_and_table_and_the_configs_stay_alike(tuned: Path) -> None:
    for name in TRAINED:
        found = directory.read_json(tuned / name / "evaluation.json")["tuning"]
        scores = {trial["lr"]: trial["validation_map_at_r"] for trial in found["trials"]}
        assert found["lr"] == max(scores, key=scores.get)
        assert tables.read(tuned / name / "embeddings.parquet").metadata["tuning"] == found
        assert directory.read_alarms(tuned / name) == []
    assert directory.read_json(tuned / "verdict.json")["comparisons"][0]["confounders"] == []


def test_a_tuned_run_is_the_very_run_with_that_learning_rate(tuned: Path, tmp_path: Path) -> None:
    lr = trials.best(trials.read(tuned / TRAINED[1]))
    plain = run_in_process(tiny(seeds=[0], objectives=["supcon"], training={
        "batch": {"classes": 10, "samples": 8}, "lr": lr}), tmp_path)
    records = [[{key: record[key] for key in ("loss", "lr", "validation_map_at_r", "images_seen")}
                for record in directory.read_records(folder / TRAINED[1])] for folder in (tuned, plain)]
    assert records[0] == records[1]


def test_a_rate_that_diverges_is_written_down_and_the_run_goes_on(tmp_path: Path) -> None:
    config = tiny(seeds=[0], objectives=["classification"], tuning={"learning_rates": [10, 0.003], "share": 1},
                  training={"batch": {"classes": 10, "samples": 8}, "weight_decay": 1, "optimizer": "sgd"},
                  budget={"images": 8000, "epochs": 2})  # at 10 each step makes a weight -9 times itself
    folder = run_in_process(config, tmp_path)
    found = trials.read(folder / TRAINED[0])
    assert [trial.validation_map_at_r is None for trial in found] == [True, False], found
    assert directory.read_status(folder / TRAINED[0]).state == "completed"
    assert directory.read_json(folder / TRAINED[0] / "evaluation.json")["tuning"]["lr"] == 0.003


def test_killed_or_stopped_in_a_trial_it_repeats_no_finished_one_and_ends_the_same(tmp_path: Path, hold: Hold) -> None:
    changes = {"tuning": {"learning_rates": RATES, "share": 0.5}, "budget": {"images": 960, "epochs": 2}}
    whole = run_experiment(lasting_config(**changes), tmp_path / "whole")
    hold.at("2 of 3", "classification")
    folder = lasting(tmp_path, **changes)
    run = folder / TRAINED[0]
    hold.wait(folder)
    kept = trials.read(run)
    assert len(kept) == 1
    os.kill(directory.read_json(folder / "worker.json")["pid"], signal.SIGKILL)
    until(lambda: not control.is_worker_alive(folder))
    assert 0 < control.progress(folder).share < 0.5
    hold.at("3 of 3", "classification")
    assert control.resume(directory.runs(folder), tmp_path / "data", "cpu")
    trainer = hold.wait(folder)
    control.stop(directory.runs(folder))
    trainer.resume()
    assert control.wait(folder, DEADLINE)
    assert directory.read_status(run).state == "stopped"
    resume_and_finish(folder, tmp_path / "data")
    assert trials.read(run)[0] == kept[0], "its seconds too: it was not tried again"
    assert_same_numbers(folder, whole)


def test_the_plan_counts_what_trials_cost(experiment: Path) -> None:
    config = tiny(**{**TUNED, "name": "next", "budget": {"images": 640, "epochs": 2}})
    found = preflight.look_ahead(planning.plan(config), experiment.parent)
    plain = preflight.look_ahead(planning.plan(tiny(name="next", seeds=[0])), experiment.parent)
    assert (found.images, found.trial_images) == (640, 3 * 320)
    assert found.seconds == pytest.approx(plain.seconds * (640 + 960) / 640)
