"""TRAIN: the live plan, what cannot work, and a real start."""

import re
from pathlib import Path

from core.runs import directory, jobs


def plan_words(app) -> str:
    return " ".join(item.value for item in app.markdown)


def test_sensible_values_are_already_there(screen) -> None:
    app = screen("train")
    assert app.header[0].value == "Ready to start."
    assert "**12 runs** · 4,000 images each · batch 80 = 10 classes × 8" in plan_words(app)


def test_what_cannot_work_is_said_with_what_would(screen) -> None:
    app = screen("train")
    next(item for item in app.text_input if item.label == "Images per class").set_value("5").run()
    assert "10 × 5 fits" in app.error[0].value
    assert "Start" not in [button.label for button in app.button]


def test_nonsense_is_refused_in_words(screen) -> None:
    app = screen("train")
    next(item for item in app.text_input if item.label == "Seeds").set_value("0, zero").run()
    assert re.search(r"seeds\.1 must be .*integer", app.error[0].value)


def test_start_lays_out_the_experiment_and_goes_to_watch(screen, tmp_path: Path) -> None:
    app = screen("train")
    next(item for item in app.text_input if item.label == "Name").set_value("mine").run()
    next(item for item in app.text_input if item.label == "Images per class").set_value("15").run()
    next(button for button in app.button if button.label == "Start").click().run()
    folder = tmp_path / "checkpoints" / "mine"
    try:
        assert directory.read_config(folder).arms == ("classification", "supcon")
        assert jobs.is_worker_alive(folder)
        assert app.header[0].value.startswith(("Waiting for its turn", "Training"))
    finally:
        jobs.stop(directory.runs(folder))
        assert jobs.wait(folder, 30)
