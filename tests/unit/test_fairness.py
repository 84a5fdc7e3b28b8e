"""What two runs' settings say of a comparison: every field judged, nothing overlooked."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import config as configuration
from core.analysis import fairness
from core.analysis import table as tables
from core.config import RunConfig, experiment_file
from core.experiments.handles import Run
from core.results import protocol
from tests.conftest import PROJECT, tiny

FIELDS = sorted(fairness.flatten(protocol.of_config(tiny().runs()[1])))


def judged(a: dict, b: dict) -> dict[str, str]:
    return {item.field: item.kind for item in fairness.differences(a, b)}


def run(objective: int = 1, **changes: object) -> RunConfig:
    return tiny(**changes).runs()[objective]


def test_two_objectives_of_one_experiment_differ_in_what_is_under_test_alone():
    found = fairness.differences(protocol.of_config(run(1)), protocol.of_config(run(2)))
    assert {item.kind for item in found} == {"under test"}
    assert fairness.confounders(found) == ()


def test_a_hand_worked_pair():
    a, b = protocol.of_config(run()), protocol.of_config(run(budget={"images": 1280, "epochs": 2}, training={
        "batch": {"classes": 10, "samples": 16}, "micro_batch": 20, "lr": 0.001}))
    found = {item.field: item for item in fairness.differences(a, b)}
    assert {field: item.kind for field, item in found.items()} == {
        "budget.images": "confounder", "budget.images_seen": "confounder", "training.batch.samples": "confounder",
        "training.batch.size": "confounder", "training.images_per_step": "confounder", "training.lr": "confounder",
        "training.micro_batch": "harmless"}
    assert (found["training.batch.size"].a, found["training.batch.size"].b) == ("80", "160")
    assert fairness.confounders(fairness.differences(a, b)) == (
        "budget", "images seen", "classes × samples", "batch size", "learning rate", "images per step")


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_is_judged_and_what_is_harmless_says_why(field: str):
    a = fairness.flatten(protocol.of_config(run()))
    (item,) = fairness.differences(a, {**a, field: "something else"})
    assert item.kind in ("confounder", "under test", "harmless")
    assert bool(item.why) == (item.kind != "confounder")
    assert item.kind != "confounder" or field in fairness._WORDS or item.name != field, f"people have a word for {field}"


@given(st.text(min_size=1).filter(lambda text: "." not in text))
def test_a_setting_that_nobody_knows_confounds(name: str):
    known = {field.split(".")[0] for field in FIELDS}
    if name not in known:
        assert judged({}, {name: 1}) == {name: "confounder"}


def test_order_of_the_two_does_not_matter_for_the_judgement():
    a = protocol.of_config(run())
    b = protocol.of_config(run(2, split={"seed": 3}, encoder={"name": "test_vit"}))
    assert judged(a, b) == judged(b, a)


def test_the_same_images_in_another_folder_are_harmless_and_other_images_are_not():
    a = {"dataset": {"root": "/here", "content": "abc"}}
    assert judged(a, {"dataset": {"root": "/there", "content": "abc"}}) == {"dataset.root": "harmless"}
    assert judged(a, {"dataset": {"root": "/there", "content": "xyz"}}) == {
        "dataset.root": "confounder", "dataset.content": "confounder"}
    assert judged({"dataset": {"root": "/here"}}, {"dataset": {"root": "/there"}}) == {"dataset.root": "confounder"}


def test_triplets_that_come_whole_are_harmless_and_larger_batches_are_not():
    drawn = {"name": "triplet", "mining": "drawn"}
    config = tiny(objectives=["classification", drawn], training={"batch": {"classes": 10, "samples": 8}})
    a, b = (protocol.of_config(item) for item in config.runs()[1:3])
    found = judged(a, b)
    assert (a["training"]["images_per_step"], b["training"]["images_per_step"]) == (80, 78)
    assert found["training.images_per_step"] == found["budget.images_seen"] == "harmless"
    larger = tiny(objectives=[drawn], training={"batch": {"classes": 10, "samples": 10}}).runs()[1]
    assert judged(a, protocol.of_config(larger))["training.images_per_step"] == "confounder"


def test_the_order_of_batches_is_under_test_where_arms_differ_in_it():
    config = tiny(objectives=["classification", {"name": "classification", "order": "shuffled"}])
    a, b = (protocol.of_config(item) for item in config.runs()[1:3])
    found = {item.field: item for item in fairness.differences(a, b)}
    assert {field: item.kind for field, item in found.items()} == {
        "training.batch.order": "under test", "objective.order": "harmless"}
    order = found["training.batch.order"]
    assert (order.name, order.a, order.b) == ("order of batches", "balanced", "shuffled") and order.why


def test_learning_rates_confound_unless_each_is_the_best_of_as_many():
    a, b = {"training": {"lr": 1e-3}, "tuning": {"trials": 3}}, {"training": {"lr": 1e-4}, "tuning": {"trials": 3}}
    assert judged(a, b) == {"training.lr": "harmless"}
    fewer = {"training": {"lr": 1e-4}, "tuning": {"trials": 2}}
    assert judged(a, fewer) == {"training.lr": "confounder", "tuning.trials": "confounder"}
    assert judged({"training": {"lr": 1e-3}}, {"training": {"lr": 1e-4}}) == {"training.lr": "confounder"}


def test_the_input_that_a_null_stands_for_counts():
    a = {"encoder": {"mean": None}, "input": {"image_size": 32, "mean": [0.5]}}
    b = {"encoder": {"mean": [0.5]}, "input": {"image_size": 32, "mean": [0.5]}}
    assert judged(a, b) == {"encoder.mean": "harmless"}
    other = {"encoder": {"mean": [0.4]}, "input": {"image_size": 32, "mean": [0.4]}}
    assert judged(a, other) == {"encoder.mean": "harmless", "input.mean": "confounder"}
    assert judged({"encoder": {"mean": None}}, {"encoder": {"mean": [0.5]}}) == {"encoder.mean": "confounder"}


def test_the_studys_two_pet_configurations_are_no_fair_comparison():
    """As the study ran them: its own batches, its sampler's pool, evaluation images mirrored, no seed in common."""
    def settings(name: str, seed: int, *overrides: str) -> dict:
        config = experiment_file.load(PROJECT / "configs" / f"pet_convnext_{name}_config.yaml", overrides)
        return protocol.of_config(config.runs()[1], (seed,))

    found = fairness.differences(settings("classi", 0), settings("contra", 1, "training.pool=all", "evaluation.flip=true"))
    assert set(fairness.confounders(found)) >= {"batch size", "images per step", "sampler pool", "augmentation at evaluation",
                                                "seeds"}


def test_finished_runs_tell_seeds_content_width_and_input(finished: Path):
    values = protocol.of_runs([Run(finished / "supcon-15-seed0"), Run(finished / "supcon-15-seed1")])
    alone = protocol.of_table(tables.read(finished / "supcon-15-seed0" / "embeddings.parquet"))
    assert values["seeds"] == [0, 1] and values["encoder"]["width"] > 1 and values["input"]["image_size"] == 32
    assert judged(values, alone) == {"seeds": "confounder"}
    other = protocol.of_runs([Run(finished / "classification-15-seed0"), Run(finished / "classification-15-seed1")])
    assert set(judged(values, other).values()) == {"under test"}


def test_a_config_of_another_version_is_refused(finished: Path):
    with pytest.raises(configuration.ConfigError):
        protocol.of_config(configuration.parse_run({"experiment": "x"}))
