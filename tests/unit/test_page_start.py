"""START in every state: what it says, and what its buttons do."""

from pathlib import Path

from core import files
from core.experiments.handles import Experiment
from core.jobs import control
from tests.conftest import put_into
from tests.several_datasets import on_another_dataset


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


def test_one_dataset_offers_no_conclusion(screen, experiment: Path) -> None:
    assert not screen("start").toggle


def test_several_datasets_come_to_one_conclusion(screen, finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    on_another_dataset(finished, root, "pets", (0.01, -0.02, 0.04, 0.5, "cannot tell"))
    fungi, twin = (on_another_dataset(finished, root, name, (0.05, 0.03, 0.07, 0.001, "better")) for name in ("fungi", "twin"))
    twin.manifest_file.write_bytes(fungi.manifest_file.read_bytes())
    put_into(on_another_dataset(finished, root, "running").folder, "failed", kind="disk", message="disk full")
    app = screen("start")
    assert not app.multiselect, "nothing is read before it is asked for"
    app.toggle(key="conclude").set_value(True).run()
    assert set(app.multiselect[0].options) == {"fungi", "pets", "twin"}
    app.multiselect[0].set_value(["fungi"]).run()
    assert not app.get("plotly_chart")
    app.multiselect[0].set_value(["fungi", "twin"]).run()
    assert "got 1; twin has the images of fungi, which was named first" in app.warning[0].value
    app.multiselect[0].set_value(["fungi", "pets", "twin"]).run()
    assert not app.exception and not app.warning
    said = words(app)
    assert "**SupCon is better than classification on at least 1 of 2 datasets by MAP@R (fungi).**" in said
    assert "Left out: twin has the images of fungi, which was named first; a dataset counts once." in said
    assert len(app.get("plotly_chart")) == 1
    table = app.dataframe[-1].value
    assert table["dataset"].tolist() == ["fungi", "pets"]
    assert {"A · classification", "B · SupCon"} <= set(table.columns)
    assert table["among all"].tolist() == ["B is better", "cannot tell"]
    assert "It counts these datasets alone" in app.caption[-1].value
