"""Experiment files: what is accepted, what every refusal says, and what a config expands to."""

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core import config
from core.config import ExperimentConfig, experiment_file
from core.errors import ConfigError

MINIMAL = {"name": "x", "dataset": {"source": "digits"}}


def parse(**values):
    return config.parse({**MINIMAL, **values})


def refusal(values) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(values)
    return str(caught.value)


def write(folder, text):
    path = folder / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_two_lines_are_enough_and_the_defaults_are_the_protocols():
    experiment = config.parse(MINIMAL)
    assert experiment.split.fractions == (0.7, 0.1, 0.2)
    assert experiment.seeds == (0, 1, 2)
    assert experiment.images_per_class == ("all",)
    assert experiment.arms == ("classification", "supcon")
    assert experiment.evaluation.kmeans_seeds == 10
    assert experiment.evaluation.bootstrap == 2000


@pytest.mark.parametrize("values, where, allowed", [
    ({"nope": 1}, "'nope'", "images_per_class, seeds"),
    ({"split": {"nope": 1}}, "'split.nope'", "fractions, seed"),
    ({"training": {"batch": {"size": 3}}}, "'training.batch.size'", "classes, samples"),
    ({"training": {"augmentation": {"blur": 3}}}, "'training.augmentation.blur'", "crop_scale, flip, jitter"),
])
def test_an_unknown_key_is_named_with_the_keys_allowed_there(values, where, allowed):
    message = refusal({**MINIMAL, **values})
    assert message.startswith(f"unknown key {where}; allowed here: ")
    assert allowed in message


def test_an_unknown_key_is_what_is_reported_when_other_things_are_wrong_too():
    assert refusal({**MINIMAL, "seeds": [], "split": {"sed": 1}}).startswith("unknown key 'split.sed'")


@pytest.mark.parametrize("values, message", [
    ({"objectives": "triplet"}, 'objectives must be a list, got "triplet"'),
    ({"objectives": []}, "objectives must list at least one, got none"),
    ({"seeds": []}, "seeds must list at least one, got none"),
    ({"images_per_class": []}, "images_per_class must list at least one, got none"),
    ({"images_per_class": [0]}, "images_per_class.0 must be a whole number from 1 or 'all', got 0"),
    ({"images_per_class": [15, -1]}, "images_per_class.1 must be a whole number from 1 or 'all', got -1"),
    ({"images_per_class": [1.5]}, "images_per_class.0 must be a whole number from 1 or 'all', got 1.5"),
    ({"images_per_class": [True]}, "images_per_class.0 must be a whole number from 1 or 'all', got True"),
    ({"images_per_class": ["every"]}, "images_per_class.0 must be a whole number from 1 or 'all', got 'every'"),
    ({"split": {"fractions": [0.5, 0.5, 0.5]}},
     "split.fractions must be three positive shares that add up to 1, got [0.5, 0.5, 0.5]"),
    ({"split": {"fractions": [0.9, 0, 0.1]}},
     "split.fractions must be three positive shares that add up to 1, got [0.9, 0.0, 0.1]"),
    ({"training": {"augmentation": {"crop_scale": [0.9, 0.1]}}},
     "training.augmentation.crop_scale must be two shares, 0 < low ≤ high ≤ 1, got [0.9, 0.1]"),
    ({"training": {"augmentation": {"crop_scale": [0, 1]}}},
     "training.augmentation.crop_scale must be two shares, 0 < low ≤ high ≤ 1, got [0.0, 1.0]"),
    ({"dataset": {"source": "folder"}},
     "dataset.root must name the folder of class folders when source is 'folder', got none"),
    ({"dataset": {"source": "digits", "root": "x"}},
     "dataset.root, group_by and max_per_class must be absent when source is 'digits' (they belong to files)"),
    ({"dataset": {"source": "folder", "root": "x", "group_by": "photo"}},
     "dataset.group_by must hold exactly one (…) that captures the group, got 'photo' with 0"),
    ({"dataset": {"source": "folder", "root": "x", "group_by": "(a)(b)"}},
     "dataset.group_by must hold exactly one (…) that captures the group, got '(a)(b)' with 2"),
    ({"training": {"lr": True}}, "training.lr must be a number, got true; YAML reads yes and on so"),
    ({"budget": {"epochs": True}}, "budget.epochs must be a whole number, got true; YAML reads yes and on so"),
    ({"seeds": [0, True]}, "seeds.1 must be a whole number, got true; YAML reads yes and on so"),
    ({"split": {"fractions": [True, 0.5, 0.5]}}, "split.fractions.0 must be a number, got true; YAML reads yes and on so"),
    ({"split": None}, "split must be a group of settings, got null"),
    ({"dataset": 3}, "dataset must be a group of settings, got 3"),
    ({"name": 3}, "name must be string, got 3"),
])
def test_a_refusal_is_one_sentence_with_parameter_range_and_value(values, message):
    assert refusal({**MINIMAL, **values}) == message


@pytest.mark.parametrize("values, where, got", [
    ({"seeds": [-1]}, "seeds.0", "-1"),
    ({"seeds": [0.5]}, "seeds.0", "0.5"),
    ({"seeds": 3}, "seeds", "3"),
    ({"split": {"seed": -1}}, "split.seed", "-1"),
    ({"budget": {"images": 0}}, "budget.images", "0"),
    ({"budget": {"epochs": 1001}}, "budget.epochs", "1001"),
    ({"training": {"lr": 0}}, "training.lr", "0"),
    ({"training": {"lr": float("nan")}}, "training.lr", "NaN"),
    ({"training": {"lr": float("inf")}}, "training.lr", "Infinity"),
    ({"training": {"warmup": 1}}, "training.warmup", "1"),
    ({"training": {"batch": {"classes": 1}}}, "training.batch.classes", "1"),
    ({"training": {"batch": {"samples": 1}}}, "training.batch.samples", "1"),
    ({"training": {"optimizer": "lion"}}, "training.optimizer", '"lion"'),
    ({"training": {"augmentation": {"jitter": 1}}}, "training.augmentation.jitter", "1"),
    ({"encoder": {"image_size": 8}}, "encoder.image_size", "8"),
    ({"encoder": {"image_size": 2000}}, "encoder.image_size", "2000"),
    ({"evaluation": {"bootstrap": 99}}, "evaluation.bootstrap", "99"),
    ({"evaluation": {"kmeans_seeds": 0}}, "evaluation.kmeans_seeds", "0"),
    ({"evaluation": {"projection": "3d"}}, "evaluation.projection", '"3d"'),
    ({"evaluation": {"probe": 2}}, "evaluation.probe", "2"),
    ({"dataset": {"source": "pets"}}, "dataset.source", '"pets"'),
])
def test_a_value_out_of_range_is_named_with_what_it_got(values, where, got):
    message = refusal({**MINIMAL, **values})
    assert message.startswith(f"{where} must be ")
    assert message.endswith(f", got {got}")


@pytest.mark.parametrize("std", [[0, 0, 0], [0.5, 0.5, 0], [-1, 1, 1]])
def test_a_standard_deviation_that_cannot_divide_is_refused(std):
    assert refusal({**MINIMAL, "encoder": {"std": std}}).startswith("encoder.std")


def test_a_mistyped_encoder_is_answered_with_the_close_ones():
    message = refusal({**MINIMAL, "encoder": {"name": "resnt50"}})
    assert message.startswith("encoder.name must be one of timm's encoders (close: resnet50")
    assert message.endswith("got 'resnt50'")


def test_a_pretrained_tag_is_part_of_an_encoders_name():
    assert parse(encoder={"name": "convnext_tiny.fb_in22k"}).encoder.name == "convnext_tiny.fb_in22k"


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "a b", "a\n", "ä", "-a", "x" * 65, "a\\b"])
def test_a_name_that_is_not_one_folder_is_refused(name):
    assert refusal({**MINIMAL, "name": name}).startswith("name must be 1 to 64 letters, digits")
    label = [{"name": "triplet", "label": name}]
    if name:  # an empty label is no label
        assert repr(name) in refusal({**MINIMAL, "objectives": label})


@pytest.mark.parametrize("name", ["a", "demo", "Fungi_2.few-15", "x" * 64, "0"])
def test_a_name_that_is_one_folder_is_kept(name):
    assert config.check_name(name) == name
    assert parse(name=name).name == name


@pytest.mark.parametrize("key, values, twice", [
    ("seeds", [0, 1, 0], "'0'"),
    ("images_per_class", [15, "all", 15], "'15'"),
    ("images_per_class", ["all", "all"], "'all'"),
    ("objectives", ["triplet", "supcon", "triplet"], "'triplet'"),
    ("objectives", [{"name": "triplet", "label": "a"}, {"name": "supcon", "label": "a"}], "'a'"),
    ("objectives", ["triplet", {"name": "supcon", "label": "triplet"}], "'triplet'"),
])
def test_the_same_thing_listed_twice_is_refused(key, values, twice):
    message = refusal({**MINIMAL, key: values})
    assert message.startswith(f"{key} must be different from each other, got {twice} twice")


def test_the_same_objective_twice_is_allowed_under_two_labels():
    objectives = ["triplet", {"name": "triplet", "label": "triplet-wide", "margin": 0.5}]
    assert parse(objectives=objectives).arms == ("triplet", "triplet-wide")


def test_the_label_of_the_added_arm_is_taken():
    message = refusal({**MINIMAL, "objectives": [{"name": "triplet", "label": "untrained"}]})
    assert message == "objectives must not use the label 'untrained': that arm is always added"


@pytest.mark.parametrize("values, message", [
    ({"dataset": {"source": "digits"}}, "name must be given, got nothing"),
    ({"name": "x"}, "dataset must be given, got nothing"),
    ([], "an experiment must be a mapping of keys to values, got list"),
    (None, "an experiment must be a mapping of keys to values, got NoneType"),
])
def test_what_is_missing_is_named(values, message):
    assert refusal(values) == message


def test_a_config_cannot_be_changed_after_it_was_checked():
    experiment = config.parse(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        experiment.seeds = (1,)
    with pytest.raises(ValidationError, match="frozen"):
        experiment.training.batch.classes = 1


def test_runs_are_every_combination_with_the_untrained_arm_first():
    objectives = ["triplet", {"name": "supcon", "label": "sc"}]
    experiment = parse(objectives=objectives, images_per_class=[5, "all"], seeds=[3, 1])
    assert [run.name for run in experiment.runs()] == [
        "untrained-5-seed3", "triplet-5-seed3", "sc-5-seed3", "untrained-5-seed1", "triplet-5-seed1", "sc-5-seed1",
        "untrained-all-seed3", "triplet-all-seed3", "sc-all-seed3",
        "untrained-all-seed1", "triplet-all-seed1", "sc-all-seed1"]
    assert [run.is_trained for run in experiment.runs()[:3]] == [False, True, True]


def test_every_run_of_an_experiment_gets_the_same_settings():
    experiment = parse(budget={"images": 77, "epochs": 1}, split={"seed": 9})
    assert len(experiment.runs()) == 9
    for run in experiment.runs():
        assert (run.budget, run.split, run.training) == (experiment.budget, experiment.split, experiment.training)


@pytest.mark.parametrize("images, classes, samples, steps", [
    (10_000, 5, 12, 167),  # 166.7
    (600, 5, 12, 10),
    (601, 5, 12, 11),
    (1, 5, 12, 1),
])
def test_steps_are_the_budget_over_the_batch_rounded_up(images, classes, samples, steps):
    batch = {"classes": classes, "samples": samples}
    experiment = parse(budget={"images": images, "epochs": 1}, training={"batch": batch})
    assert experiment.training.batch.size == classes * samples
    assert {run.n_steps for run in experiment.runs()} == {steps}


def test_more_epochs_than_steps_are_refused():
    assert parse(budget={"images": 600, "epochs": 10}).runs()[0].n_steps == 10
    assert refusal({**MINIMAL, "budget": {"images": 600, "epochs": 11}}) == (
        "budget.epochs must be at most the 10 steps that budget.images allows in batches of 60, got 11")


def full() -> ExperimentConfig:
    return config.parse({
        "name": "fungi-few", "dataset": {"source": "folder", "root": "ä b", "group_by": r"(.*)_[0-9]+\.jpg"},
        "encoder": {"name": "mobilenetv2_035", "options": {"pad_type": "same", "bn_eps": 0.001, "flag": True},
                    "mean": [0.5, 0.5, 0.5], "std": [0.1, 0.2, 0.3], "image_size": 128},
        "objectives": ["classification", {"name": "triplet", "mining": "batch_hard", "margin": 0.3, "label": "hard"},
                       {"name": "supcon", "temperature": 0.07, "projection": 128}],
        "images_per_class": [5, 15, "all"], "seeds": [4, 2], "training": {"lr": 0.1 + 0.2}})


def test_a_config_written_as_yaml_reads_back_equal(tmp_path):
    assert experiment_file.load(write(tmp_path, full().to_yaml())) == full()


def test_a_config_and_its_runs_read_back_equal_from_json():
    assert config.parse(json.loads(json.dumps(full().to_json()))) == full()
    for run in full().runs():
        assert config.parse_run(json.loads(json.dumps(run.to_json()))) == run


def test_a_run_file_of_another_version_is_refused():
    values = full().runs()[0].to_json() | {"gpu": 1}
    with pytest.raises(ConfigError, match=r"^unknown key 'gpu'"):
        config.parse_run(values)


def test_absolute_paths_are_found_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = parse(dataset={"source": "folder", "root": "images/../mine"}, encoder={"weights": "w.safetensors"})
    absolute = experiment.with_absolute_paths()
    assert absolute.dataset.root == str(tmp_path / "mine")
    assert absolute.encoder.weights == str(tmp_path / "w.safetensors")


@pytest.mark.parametrize("weights", ["random", "hub"])
def test_weights_that_are_no_file_stay_words(weights):
    assert parse(encoder={"weights": weights}).with_absolute_paths().encoder.weights == weights


@pytest.mark.parametrize("text", ["split: {seed: {2024-01-01: 1}}", "2024-01-01: 3", "1: 2", "split: {1: 2}",
                                  "seeds: [2024-01-01]", "name: 2024-01-01"])
def test_yaml_values_that_json_does_not_know_are_refused_and_no_crash(text):
    values = {**MINIMAL, **yaml.safe_load(text)}
    assert refusal(values)


def places(values, prefix=()):
    for key, value in values.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from places(value, (*prefix, key))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["all", "triplet", "digits", "folder"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=5) | st.sampled_from(["name", "label", "seed"]), inner, max_size=3),
    max_leaves=6)


@settings(deadline=None, max_examples=300)
@given(place=st.sampled_from(sorted(places(config.parse(MINIMAL).to_json()))), value=JSON_VALUES)
def test_any_value_anywhere_makes_a_config_or_one_line(place, value):
    values = config.parse(MINIMAL).to_json()
    inside = values
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    try:
        experiment = config.parse(values)
    except ConfigError as error:
        assert str(error)
        assert "\n" not in str(error)
    else:
        assert config.parse(experiment.to_json()) == experiment


def test_an_arm_may_leak_and_its_runs_say_so():
    experiment = config.parse({**MINIMAL, "objectives": [
        "classification", {"name": "classification", "group": "none"}, {"name": "supcon", "pool": "all"}]})
    assert experiment.arms == ("classification", "classification-random-split", "supcon-leaky-sampler")
    runs = {run.name.partition("-all")[0]: run for run in experiment.runs() if run.seed == 0}
    assert {name: run.leaks for name, run in runs.items()} == {
        "untrained": (), "classification": (), "classification-random-split": (config.RANDOM_SPLIT,),
        "supcon-leaky-sampler": (config.LEAKY_SAMPLER,)}
    assert runs["classification-random-split"].split.group == "none" and runs["classification"].split.group == "whole"
    assert runs["supcon-leaky-sampler"].training.pool == "all" and runs["classification"].training.pool == "train"


def test_a_leak_of_the_whole_experiment_reaches_only_those_who_draw_pairs():
    experiment = config.parse({**MINIMAL, "training": {"pool": "all"}, "objectives": ["classification", "triplet"]})
    assert {run.objective.name: run.leaks for run in experiment.runs()} == {
        "untrained": (), "classification": (), "triplet": (config.LEAKY_SAMPLER,)}


def test_an_arm_may_have_its_own_order_of_batches():
    experiment = config.parse({**MINIMAL, "objectives": [
        "classification", {"name": "classification", "order": "shuffled"},
        {"name": "supcon", "order": "shuffled", "group": "none"}, {"name": "triplet", "mining": "drawn"}]})
    assert experiment.arms == ("classification", "classification-shuffled", "supcon-shuffled-random-split", "triplet")
    assert [config.arm_title(objective) for objective in experiment.objectives] == [
        "classification", "classification with shuffled batches", "SupCon with shuffled batches and a random split", "triplet"]
    runs = [run for run in experiment.runs() if run.seed == 0 and run.is_trained]
    assert [run.training.batch.order for run in runs] == ["balanced", "shuffled", "shuffled", "balanced"]
    assert {(run.images_per_step, run.n_steps) for run in runs} == {(60, 167)}
    whole = config.parse({**MINIMAL, "training": {"batch": {"order": "shuffled"}}, "objectives": [
        "classification", {"name": "supcon", "order": "balanced"}]})
    assert whole.arms == ("classification", "supcon-balanced")
    assert [run.training.batch.order for run in whole.runs() if run.seed == 0 and run.is_trained] == ["shuffled", "balanced"]


def test_batches_of_an_earlier_version_were_balanced():
    stored = config.parse(MINIMAL).to_json()
    del stored["training"]["batch"]["order"]
    for objective in stored["objectives"]:
        del objective["order"]
    found = config.parse(stored, stored=True)
    assert {run.training.batch.order for run in found.runs()} == {"balanced"}
    assert found == config.parse(MINIMAL)


@pytest.mark.parametrize("values, message", [
    ({"training": {"batch": {"order": "random"}}}, "training.batch.order must be 'balanced' or 'shuffled', got \"random\""),
    ({"objectives": [{"name": "triplet", "mining": "drawn", "order": "shuffled"}]},
     "objectives.0.order must be absent when triplets are drawn one by one (mining: drawn)"),
    ({"objectives": ["classification", {"name": "supcon", "pool": "all", "order": "shuffled"}]},
     "objectives.1.order must be 'balanced' where the sampler draws from every split (pool: all)"),
    ({"objectives": ["classification", "supcon"], "training": {"pool": "all", "batch": {"order": "shuffled"}}},
     "training.batch.order must be 'balanced' where the sampler draws from every split (pool: all)"),
    ({"dataset": {"source": "table"}}, "root must name a CSV or Parquet file with the columns path and label"),
    ({"dataset": {"source": "oxford_pet"}}, "root must name the folder that holds the dataset when source is 'oxford_pet'"),
    ({"dataset": {"source": "table", "root": "x", "group_by": "(a)"}}, "group_by must be absent when source is 'table'"),
    ({"dataset": {"source": "folder", "root": "x", "download": True}}, "download must be false unless source is 'oxford_pet'"),
    ({"training": {"batch": {"samples": 1}}}, "training.batch.samples must be at least 2 unless training.views is 2"),
    ({"images_per_class": [1, 5], "training": {"batch": {"fit": True}}},
     "images_per_class must be at least 2 unless training.views is 2, where the other view of an image is its positive"),
    ({"images_per_class": [1], "objectives": [{"name": "triplet", "mining": "drawn"}]},
     "images_per_class must be at least 2 when triplets are drawn one by one (mining: drawn): a positive is another image"),
    ({"images_per_class": [1], "training": {"views": 2}, "objectives": ["supcon", {"name": "supcon", "pool": "all"}]},
     "images_per_class must be at least 2 where the sampler draws from every split (pool: all)"),
    ({"tuning": {"learning_rates": [0.1]}}, "tuning.learning_rates must be two or more, different from each other, got [0.1]"),
    ({"tuning": {"learning_rates": [0.1, 0.1]}}, "tuning.learning_rates must be two or more, different from each other"),
    ({"tuning": {"learning_rates": [0.1, 0.2], "share": 0}}, "tuning.share must be greater than 0, got 0"),
    ({"tuning": {"rates": [0.1, 0.2]}}, "unknown key 'tuning.rates'; allowed here: learning_rates, share"),
    ({"tuning": {"learning_rates": [0.1, 0.01]}, "training": {"lr": 0.1, "min_lr": 0.05}},
     "tuning.learning_rates must be at least training.min_lr, 0.05, got 0.01"),
    ({"training": {"lr": 0.001, "min_lr": 0.01}}, "training.min_lr must be at most training.lr, 0.001, got 0.01"),
])
def test_what_cannot_go_together_is_refused(values, message):
    assert message in refusal({**MINIMAL, **values})


def test_a_trial_is_a_share_of_the_budget_and_every_trained_run_has_as_many():
    experiment = parse(images_per_class=[2, "all"], budget={"images": 1000, "epochs": 4},
                       training={"batch": {"classes": 10, "samples": 10, "fit": True}, "lr": 0.5},
                       tuning={"learning_rates": [0.1, 0.01, 0.001], "share": 0.25})
    assert {(run.is_trained, run.n_trials) for run in experiment.runs()} == {(False, 0), (True, 3)}
    few, all_images = (next(run for run in experiment.runs() if run.is_trained and run.images_per_class == count)
                       for count in (2, "all"))
    trial = all_images.trial(0.01)
    assert (trial.training.lr, trial.budget.images, trial.budget.epochs, trial.n_trials) == (0.01, 250, 1, 0)
    assert trial.seed == all_images.seed and trial.training.batch == all_images.training.batch
    assert all_images.n_images == 1000 + 3 * 300, "three steps of a hundred each"
    assert few.n_images == 1000 + 3 * 260, "thirteen of twenty"
    assert all_images.with_lr(0.01).training.lr == 0.01 and all_images.training.lr == 0.5


@pytest.mark.parametrize("values, message", [
    ({"split": {"held_out_classes": [1, 2]}}, "split.held_out_classes must be a whole number or a list of texts, got [1, 2]"),
    ({"split": {"held_out_classes": ["a", 2]}},
     'split.held_out_classes must be a whole number or a list of texts, got ["a", 2]'),
    ({"split": {"held_out_classes": "a"}}, 'split.held_out_classes must be a whole number or a list of texts, got "a"'),
    ({"split": {"held_out_classes": 1.5}}, "split.held_out_classes must be a whole number or a list of texts, got 1.5"),
    ({"encoder": {"options": {"pad": [1]}}},
     "encoder.options.pad must be true or false or a whole number or a number or text, got [1]"),
    ({"split": {"fractions": [0.5, 0.5]}}, "split.fractions must be a list of 3 numbers, got [0.5, 0.5]"),
    ({"split": {"fractions": ["a", 0.1, 0.2]}}, 'split.fractions.0 must be a number, got "a"'),
    ({"training": {"augmentation": {"crop_scale": [1]}}},
     "training.augmentation.crop_scale must be a list of 2 numbers, got [1]"),
    ({"images_per_class": [[1]]}, "images_per_class.0 must be a whole number from 1 or 'all', got [1]"),
    ({"seeds": ["a"]}, 'seeds.0 must be a whole number, got "a"'),
    ({"objectives": [3]}, "objectives.0 must be an objective's name or a mapping with a 'name', got 3"),
])
def test_a_refusal_names_the_key_as_it_stands_in_the_file(values, message):
    assert refusal({**MINIMAL, **values}) == message


@pytest.mark.parametrize("seed", [2**63, 2**64, 10**5000], ids=["63 bits", "64 bits", "5000 digits"])
@pytest.mark.parametrize("where", ["seeds.0", "split.seed"])
def test_a_seed_that_no_generator_takes_is_refused(where, seed):
    values = {"seeds": [seed]} if where == "seeds.0" else {"split": {"seed": seed}}
    message = refusal({**MINIMAL, **values})
    assert message.startswith(f"{where} must be a whole number from 0 to {2**63 - 1}, what the random generators take, got ")
    assert len(message) < 200
    assert parse(seeds=[2**63 - 1], split={"seed": 2**63 - 1}).seeds == (2**63 - 1,)


@pytest.mark.parametrize("key, values", [("mean", [123.7, 116.3, 103.5]), ("std", [58.4, 57.1, 57.4]), ("mean", [-0.1, 0, 0])])
def test_mean_and_std_of_pixels_in_0_to_255_are_refused(key, values):
    message = refusal({**MINIMAL, "encoder": {key: values}})
    assert message.startswith(f"encoder.{key} must be three numbers from 0 to 1, for pixels in 0..1, got [")
    assert ("divide those of pixels in 0..255 by 255" in message) == (max(values) > 1)
    assert parse(encoder={key: [0, 0.5, 1] if key == "mean" else [1 / 255, 0.5, 1]})


@pytest.mark.parametrize("weights", ["", "  "])
def test_weights_of_no_name_are_refused(weights):
    """As the page gives them where a file is chosen and none is named."""
    assert refusal({**MINIMAL, "encoder": {"weights": weights}}) == (
        f"encoder.weights must be 'random', 'bundled', 'hub' or the path of a weights file, got {weights!r}")


@pytest.mark.parametrize("option", ["drop_rate", "drop_path_rate", "attn_drop_rate", "drop_path", "attn_drop"])
@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, True, "0.5"])
def test_rates_of_what_is_dropped_are_bounded(option, rate):
    assert refusal({**MINIMAL, "encoder": {"options": {option: rate}}}) == (
        f"encoder.options must have {option} from 0 to below 1, got {rate!r}")
    config.parse({**MINIMAL, "encoder": {"options": {option: 0.5}}})
    config.parse({**MINIMAL, "encoder": {"options": {option: rate}}}, stored=True)


@pytest.mark.parametrize("option", ["num_classes", "pretrained", "checkpoint_path", "in_chans", "features_only"])
def test_options_that_are_not_the_architectures_are_refused(option):
    assert refusal({**MINIMAL, "encoder": {"options": {option: 3}}}).startswith(f"encoder.options must not set {option}: ")


def test_what_an_earlier_version_accepted_still_opens():
    values = {**MINIMAL, "seeds": [2**64], "encoder": {"mean": [123.7, 116.3, 103.5], "options": {"in_chans": 3}}}
    assert config.parse(values, stored=True).seeds == (2**64,)
    values = {**MINIMAL, "objectives": [{"name": "supcon", "temperature": 1e-4}, "classification"]}
    assert config.parse(values, stored=True).objectives[0].temperature == 1e-4
    assert "objectives.0.temperature must be at least 0.001" in refusal(values)


def test_a_margin_is_a_new_experiments_alone() -> None:
    new = config.parse(MINIMAL)
    assert new.evaluation.margin == 1.0
    stored = new.to_json()
    assert config.parse(stored, stored=True).evaluation.margin == 1.0
    del stored["evaluation"]["margin"]
    assert config.parse(stored, stored=True).evaluation.margin == 0.0, "none was set before its results were seen"
