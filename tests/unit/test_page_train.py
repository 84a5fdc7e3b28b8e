"""TRAIN: the live plan, what cannot work, and a real start."""

import re
from pathlib import Path

import pytest
import yaml

from core import config as configuration
from core import files
from core.config import experiment_file
from core.config.objectives import OBJECTIVES, Objective
from core.experiments.handles import Experiment
from core.jobs import control
from tests import PROJECT
from tests.conftest import put_into
from tests.waiting import DEADLINE


def plan_words(app) -> str:
    return " ".join(item.value for item in app.markdown)


def test_sensible_values_are_already_there(screen) -> None:
    app = screen("train")
    assert app.header[0].value == "Ready to start."
    assert "**16 runs** · 5,000 images each, in 100 steps" in plan_words(app)
    assert "Batch **50** = 10 classes × 5: 4 positives and 45 negatives an anchor" in plan_words(app)


def test_what_cannot_work_is_said_with_what_would(screen) -> None:
    app = screen("train")
    next(item for item in app.text_input if item.label == "Images per class").set_value("4").run()
    assert "10 × 4 fits" in app.error[0].value
    assert "Start" not in [button.label for button in app.button]


def test_nonsense_is_refused_in_words(screen) -> None:
    app = screen("train")
    next(item for item in app.text_input if item.label == "Seeds").set_value("0, zero").run()
    assert re.search(r"seeds\.1 must be a whole number", app.error[0].value)


@pytest.mark.parametrize("label", ["Mean", "Std"])
def test_a_mean_that_is_no_numbers_is_refused_in_words(screen, label: str) -> None:
    app = screen("train")
    next(item for item in app.text_input if item.label == label).set_value("half, a quarter, 0.1").run()
    assert not app.exception
    assert f"encoder.{label.lower()}.0 must be a number, got" in app.error[0].value


@pytest.mark.parametrize("file, source", [("demo", "digits"), ("folder_example", "folder")])
def test_the_form_begins_as_the_shipped_file(screen, image_folder: Path, file: str, source: str) -> None:
    app = screen("train", source=source, **({"root": str(image_folder)} if source == "folder" else {}))
    assert not app.error, [item.value for item in app.error]
    found = configuration.parse(yaml.safe_load(app.code[0].value))
    wanted = experiment_file.load(PROJECT / "configs" / f"{file}.yaml")
    apart = {name for name in type(wanted).model_fields if getattr(found, name) != getattr(wanted, name)}
    assert apart == ({"name"} if source == "digits" else {"name", "dataset", "training"})


def test_bundled_weights_are_the_default_for_photographs_and_offered_where_there_are_some(screen, image_folder: Path) -> None:
    def weights() -> object:
        return next(item for item in app.selectbox if item.label == "Weights")

    app = screen("train", source="folder", root=str(image_folder))
    assert weights().value == "bundled" and weights().options == ["bundled", "random", "hub", "file"]
    next(item for item in app.selectbox if item.label == "Encoder (timm)").set_value("resnet18").run()
    assert weights().value == "random" and weights().options == ["random", "hub", "file"]
    assert not app.error, [item.value for item in app.error]


def test_a_folders_classes_fill_in_what_they_can_once_and_not_over_the_user(screen, image_folder: Path) -> None:
    for label in ("dark", "light"):  # become three classes of twenty images, fourteen of each to train on
        for number, path in enumerate(sorted((image_folder / label).iterdir())):
            folder = image_folder / f"class{number % 3}"
            folder.mkdir(exist_ok=True)
            path.rename(folder / path.name)
        (image_folder / label).rmdir()
    app = screen("train", source="folder", root=str(image_folder))
    fields = {item.label: item for kind in (app.number_input, app.text_input) for item in kind}
    assert (fields["Classes per batch"].value, fields["Samples per class in a batch"].value) == (3, 12)
    assert fields["Images per class"].value == "all"
    assert app.header[0].value == "Ready to start." and not app.error, [item.value for item in app.error]
    fields["Samples per class in a batch"].set_value(20).run()
    assert next(item for item in app.number_input if item.label == "Samples per class in a batch").value == 20
    assert "3 × 14 fits" in app.error[0].value


def test_every_objective_is_offered_with_its_parameters_and_makes_a_plan(screen) -> None:
    app = screen("train")
    chosen = next(item for item in app.multiselect if item.label == "Objectives")
    assert chosen.options == [model.title for model in OBJECTIVES.values()]
    chosen.set_value(list(OBJECTIVES)).run()
    assert not app.exception and not app.error
    assert app.header[0].value == "Ready to start."
    assert f"**{8 * len(OBJECTIVES)} runs**" in plan_words(app)
    keys = {widget.key for kind in (app.number_input, app.selectbox, app.toggle) for widget in kind}
    for name, model in OBJECTIVES.items():
        assert f"{model.paper}" in plan_words(app)
        assert {f"{name}-{field}" for field in model.model_fields.keys() - Objective.model_fields.keys()} <= keys


def test_a_parameter_of_an_objective_reaches_the_plan_and_its_range_is_the_configs(screen) -> None:
    app = screen("train")
    next(item for item in app.multiselect if item.label == "Objectives").set_value(["classification", "proxy_anchor"]).run()
    margin = app.number_input(key="proxy_anchor-margin")
    assert (margin.value, margin.min, margin.max, margin.help) == (
        0.1, 0, 1, OBJECTIVES["proxy_anchor"].model_fields["margin"].description)
    margin.set_value(0.25).run()
    assert "margin: 0.25" in app.code[0].value and "lr_factor: 100.0" in app.code[0].value


def test_a_whole_number_stays_one(screen) -> None:
    app = screen("train")
    next(item for item in app.multiselect if item.label == "Objectives").set_value(
        ["classification", "cross_batch_memory"]).run()
    memory = app.number_input(key="cross_batch_memory-memory")
    assert (memory.value, memory.step, memory.min, memory.max) == (1024, 1, 2, 1_000_000)
    memory.set_value(512).run()
    assert "memory: 512\n" in app.code[0].value and not app.error


def test_start_lays_out_the_experiment_and_goes_to_watch(screen, tmp_path: Path) -> None:
    app = screen("train")
    next(item for item in app.text_input if item.label == "Name").set_value("mine").run()
    next(item for item in app.text_input if item.label == "Images per class").set_value("15").run()
    next(button for button in app.button if button.label == "Start").click().run()
    folder = tmp_path / "checkpoints" / "mine"
    try:
        assert Experiment(folder).config.arms == ("classification", "supcon")
        assert control.is_worker_alive(Experiment(folder))
        assert app.header[0].value.startswith(("Starting", "Waiting for the device", "Training"))
    finally:
        control.stop(Experiment(folder).runs)
        assert control.wait(Experiment(folder), DEADLINE)


def field(app, kind: str, label: str):
    return next(item for item in getattr(app, kind) if item.label == label)


def test_one_button_makes_the_plan_a_low_data_curve(screen) -> None:
    app = screen("train")
    next(button for button in app.button if button.label == "Low-data curve").click().run()
    assert not app.exception and not app.error
    assert field(app, "text_input", "Images per class").value == "1, 2, 5, 15, 50, all"
    words = plan_words(app)
    assert "**48 runs** · 5,000 images each" in words
    assert ("Where images are few the batch is smaller, the same for every objective: 1 per class: 10 × 1, 250 steps; 2 per "
            "class: 10 × 2, 125 steps.") in words
    assert app.header[0].value == "Ready to start."


def test_shuffled_batches_reach_the_plan_and_what_they_hold_is_said(screen) -> None:
    app = screen("train")
    next(item for item in app.multiselect if item.label == "Shuffled batches").set_value(["classification"]).run()
    assert not app.exception and not app.error
    found = configuration.parse(yaml.safe_load(app.code[0].value))
    assert {run.objective.name: run.training.batch.order for run in found.runs() if run.is_trained} == {
        "classification": "shuffled", "supcon": "balanced"}
    assert "Batch **50** = 10 classes × 5" in plan_words(app)
    assert "Shuffled batches of 50 images for classification: each" in plan_words(app)
    next(item for item in app.multiselect if item.label == "Shuffled batches").set_value(["classification", "supcon"]).run()
    assert "Batch **50**" not in plan_words(app) and "an anchor of SupCon finds" in plan_words(app)


def test_learning_rates_to_try_reach_the_plan(screen) -> None:
    app = screen("train")
    field(app, "text_input", "Try learning rates").set_value("0.001, 0.003").run()
    assert "**2 learning rates**, 2,500 images more" in plan_words(app), "25 steps of 50 each, twice"
    field(app, "text_input", "Try learning rates").set_value("0.001, much").run()
    assert "tuning.learning_rates.1 must be" in app.error[0].value


def test_a_curve_after_an_experiment_takes_its_settings_and_starts(screen, experiment: Path, tmp_path: Path) -> None:
    app = screen("train", **{"from": "tiny", "curve": "1"})
    assert field(app, "text_input", "Images per class").value == "1, 2, 5, 15, 50, all"
    assert field(app, "text_input", "Name").value == "tiny-curve"
    assert "as in **tiny**" in plan_words(app)
    next(button for button in app.button if button.label == "Start").click().run()
    folder = tmp_path / "checkpoints" / "tiny-curve"
    try:
        before, after = Experiment(experiment).config, Experiment(folder).config
        assert after.images_per_class == (1, 2, 5, 15, 50, "all") and after.training.views == 2
        same = ("dataset", "split", "encoder", "objectives", "seeds", "budget", "evaluation")
        assert [getattr(after, key) for key in same] == [getattr(before, key) for key in same]
    finally:
        control.stop(Experiment(folder).runs)
        assert control.wait(Experiment(folder), DEADLINE)


@pytest.mark.parametrize("images", [1, 10**15])
def test_the_settings_of_any_experiment_fit_the_form(screen, experiment: Path, images: int) -> None:
    values = files.read_json(experiment / "experiment.json")
    values["config"]["budget"] |= {"images": images, "epochs": 1}
    files.write_json(experiment / "experiment.json", values)
    app = screen("train", **{"from": "tiny"})
    assert next(item for item in app.number_input if item.label == "Images seen, each run").value == images


@pytest.mark.parametrize("state", ["running", "lost", "failed"])
def test_the_next_experiment_may_be_planned_before_the_last_has_finished(screen, experiment: Path, state: str) -> None:
    put_into(experiment, state)
    app = screen("train", **{"from": "tiny", "curve": "1"})
    assert app.header[0].value == "Ready to start."
    assert field(app, "text_input", "Name").value == "tiny-curve"


def test_an_experiment_that_is_gone_is_said_and_the_form_is_there(screen) -> None:
    app = screen("train", **{"from": "nothing"})
    assert "no experiment 'nothing'" in app.error[0].value
    assert app.header[0].value == "Ready to start."


def test_frozen_encoders_are_chosen_or_typed_and_refused_at_their_place(screen) -> None:
    app = screen("train")
    [field] = [item for item in app.multiselect if item.label.startswith("Frozen encoders")]
    field.set_value(["resnet10t", "resnet10t"]).run()
    assert any("baselines.1.label must be no other arm's" in item.value for item in app.error), [e.value for e in app.error]
    [field] = [item for item in app.multiselect if item.label.startswith("Frozen encoders")]
    field.set_value(["tf_efficientnet_lite0"]).run()
    assert not app.error and not app.exception
    said = [item.value.replace("\\", "") for item in app.markdown]
    assert "Training is measured against the untrained encoder and **tf_efficientnet_lite0**." in said, said


def test_several_splits_are_asked_for_beside_the_splits_seed(screen) -> None:
    app = screen("train")
    splits = next(item for item in app.number_input if item.label == "Splits")
    splits.set_value(3).run()
    assert "split:" in app.code[0].value and configuration.parse(yaml.safe_load(app.code[0].value)).split.repeats == 3
    assert any("4 seeds on 3 splits" in item.value and "for images like these" in item.value for item in app.caption)
    next(item for item in app.number_input if item.label == "Splits").set_value(5).run()
    assert "split.repeats must be at most the number of seeds, 4" in app.error[0].value.replace("\\", "")
