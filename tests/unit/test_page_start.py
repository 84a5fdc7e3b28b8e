"""START in every state: what it says, and what its buttons do."""

from pathlib import Path

from core import files
from core.experiments.handles import Experiment
from core.jobs import control
from tests.conftest import put_into


def words(app) -> str:
    return " ".join(item.value for item in app.markdown)


def test_empty_says_what_to_do_in_one_sentence_and_one_button(screen) -> None:
    app = screen("start")
    assert "Nothing trained yet." in words(app)
    assert [button.label for button in app.button] == ["Run the demo", "New experiment"]


def test_finished_shows_the_sentence(screen, experiment: Path) -> None:
    assert files.read_json(experiment / "verdict.json")["sentence"] in words(screen("start"))


def test_failed_shows_why_and_offers_resume(screen, experiment: Path) -> None:
    put_into(experiment, "failed", kind="disk", message="disk full; free some space, then resume")
    app = screen("start")
    assert "disk full; free some space, then resume" in words(app)
    assert "Resume" in [button.label for button in app.button]


def test_lost_offers_resume_and_delete(screen, experiment: Path) -> None:
    put_into(experiment, "lost")
    app = screen("start")
    assert "Its process is gone: resume, or delete it." in words(app)
    assert {"Resume", "Delete for good"} <= {button.label for button in app.button}


def test_running_shows_progress_and_stop_asks_to_stop(screen, experiment: Path) -> None:
    put_into(experiment, "running", phase="training, epoch 1 of 2")
    app = screen("start")
    assert "run 4 of 6" in words(app)
    app.button(key="stop-tiny").click().run()
    assert all(control.is_stop_requested(run) for run in Experiment(experiment).runs[3:])
    assert not any(control.is_stop_requested(run) for run in Experiment(experiment).runs[:3])


def test_delete_removes_the_experiment(screen, experiment: Path) -> None:
    screen("start").button(key="delete-tiny").click().run()
    assert not experiment.exists()
