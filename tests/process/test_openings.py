"""Each opening of the test set is counted: one a trained run, and one more for a run's end that had to be repeated."""

import os
import signal
import time
from pathlib import Path

from core import files
from core.experiments import openings
from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus
from core.jobs import control
from core.results import scoring, verdict
from tests.lasting import Hold, lasting, resume_and_finish
from tests.waiting import until

TRAINED = ("classification-15-seed0", "supcon-15-seed0")


def test_there_is_exactly_one_a_trained_run_and_none_of_the_untrained_encoder(finished: Path) -> None:
    found = openings.openings(Experiment(finished))
    assert sorted(item.run for item in found) == sorted(
        run.name for run in Experiment(finished).config.runs() if run.is_trained)
    assert {item.why for item in found} == {openings.END_OF_RUN}
    created = files.read_json(finished / "experiment.json")["created"]
    assert all(created < item.when < time.time() for item in found)


def test_comparing_and_scoring_kept_vectors_again_opens_nothing(experiment: Path) -> None:
    before = openings.openings(Experiment(experiment))
    verdict.decide(Experiment(experiment))
    scoring.scores_of_file(experiment / TRAINED[0] / "embeddings.parquet")
    assert openings.openings(Experiment(experiment)) == before


def test_a_kill_between_scoring_and_completion_is_counted_when_the_end_is_repeated(tmp_path: Path, hold: Hold) -> None:
    hold.at("map_at_r", "supcon", "evaluation.json")
    folder = lasting(tmp_path, budget={"images": 1600, "epochs": 2}, objectives=["supcon"])
    run = folder / TRAINED[1]
    hold.wait(folder)
    os.kill(files.read_json(folder / "worker.json")["pid"], signal.SIGKILL)
    until(lambda: control.derived_status(Run(run)).state == "lost")
    assert [item.why for item in openings.openings(Experiment(folder))] == [openings.END_OF_RUN]
    resume_and_finish(folder, tmp_path / "data")
    assert [(item.run, item.why) for item in openings.openings(Experiment(folder))] == [
        (run.name, openings.END_OF_RUN), (run.name, openings.AGAIN)]


def test_a_run_worked_on_again_counts_again(experiment: Path, tmp_path: Path) -> None:
    run = experiment / TRAINED[0]
    n_before = len(openings.openings(Experiment(experiment)))
    (run / "embeddings.parquet").unlink()
    (run / "last.safetensors").unlink()
    (run / "previous.safetensors").unlink()
    Run(run).write_status(RunStatus("stopped"))
    resume_and_finish(experiment, tmp_path / "data")
    added = openings.openings(Experiment(experiment))[n_before:]
    assert [(item.run, item.why) for item in added] == [(run.name, openings.AGAIN)]


def test_a_half_line_hides_neither_what_was_before_nor_what_comes_after(tmp_path: Path) -> None:
    openings.add(Run(tmp_path / "a"))
    with (tmp_path / "openings.jsonl").open("a") as file:
        file.write('{"run": "b", "wh')
    assert [item.run for item in openings.openings(Experiment(tmp_path))] == ["a"]
    openings.add(Run(tmp_path / "c"))
    assert [item.run for item in openings.openings(Experiment(tmp_path))] == ["a", "c"]
