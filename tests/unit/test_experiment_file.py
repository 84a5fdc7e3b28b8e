"""Experiment files: what YAML and overrides become, what is refused by its path, and the files that ship."""

import pytest

from core.config import experiment_file
from core.errors import ConfigError
from tests import PROJECT


def write(folder, text):
    path = folder / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_overrides_replace_and_create_and_are_yaml(tmp_path):
    path = write(tmp_path, "name: x\ndataset: {source: digits}\nbudget: {images: 5, epochs: 1}\n")
    experiment = experiment_file.load(path, ("budget.images=7", "training.batch.classes=3", "seeds=[4, 5]", "name=y",
                                    "objectives=[{name: triplet, margin: 0.5}]"))
    assert (experiment.budget.images, experiment.budget.epochs) == (7, 1)
    assert experiment.training.batch.classes == 3
    assert experiment.seeds == (4, 5)
    assert experiment.name == "y"
    assert experiment.objectives[0].margin == 0.5


def test_an_override_of_a_group_that_stands_at_two_places_changes_one(tmp_path):
    path = write(tmp_path, "name: x\ndataset: {source: digits}\nsplit: &as_usual {}\ntraining: {batch: *as_usual}\n"
                           "evaluation: *as_usual\n")
    changed = experiment_file.load(path, ("training.batch.samples=7", "evaluation.neighbors=3"))
    usual = experiment_file.load(path)
    assert (changed.training.batch.samples, changed.evaluation.neighbors) == (7, 3)
    assert changed.split == usual.split


@pytest.mark.parametrize("override, message", [
    ("name", "--set must be key.sub=value, got 'name'"),
    ("=1", "--set must be key.sub=value, got '=1'"),
    ("seeds=[", "--set seeds must be a YAML value, got '['"),
    ("name.sub=1", "--set name.sub: 'name' must be a group of settings, got 'x'"),
    ("nope=1", "unknown key 'nope'"),
    ("a..b=1", "unknown key 'a'"),
    ("budget.images=many", "budget.images must be "),
    ("name=2024-13-45", "--set name must be a YAML value, got '2024-13-45'"),
])
def test_a_bad_override_is_refused(tmp_path, override, message):
    path = write(tmp_path, "name: x\ndataset: {source: digits}\n")
    with pytest.raises(ConfigError) as caught:
        experiment_file.load(path, (override,))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text", ["name: [", "a: b: c", "{[1]: 2, ", "\t- x", "name: \x01", "name: 2024-13-45"])
def test_a_file_that_is_not_yaml_is_refused_by_its_path(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        experiment_file.load(path)
    assert str(caught.value).startswith(f"{path} must be YAML, got: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text, kind", [("", "NoneType"), ("- a", "list"), ("hello", "str")])
def test_a_file_that_is_no_mapping_is_refused_by_its_path(tmp_path, text, kind):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=f"must hold a mapping of keys to values, got {kind}$"):
        experiment_file.load(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match="must be YAML"):
        experiment_file.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"found none at .*absent.yaml"):
        experiment_file.load(tmp_path / "absent.yaml")
    with pytest.raises(FileNotFoundError, match="found none at"):
        experiment_file.load(tmp_path)


STUDY = sorted((PROJECT / "configs").glob("*_config.yaml"))


@pytest.mark.parametrize("path", STUDY, ids=lambda path: path.stem)
def test_the_studys_settings(path):
    found = experiment_file.load(path)
    training, is_triplet = found.training, "contra" in path.stem
    assert found.encoder.name == "convnext_tiny.fb_in22k" and found.encoder.weights == "hub"
    assert (training.optimizer, training.lr, training.min_lr, training.weight_decay) == ("adam", 5e-5, 5e-6, 1e-6)
    assert (found.encoder.image_size, training.warmup) == (224, 0.1)
    assert training.augmentation.crop_scale is None and training.augmentation.flip and training.augmentation.jitter == 0
    [objective] = found.objectives
    run = found.runs()[1]
    if is_triplet:
        assert (objective.margin, objective.normalize, objective.mining) == (1.0, False, "drawn")
        assert run.images_per_step == 3 * 64
    else:
        assert run.images_per_step == (32 if "ld_micro" in path.stem else 128)
    assert found.images_per_class == ((15,) if path.stem.startswith("ld") else ("all",))
    assert found.dataset.source == ("oxford_pet" if "pet" in path.stem else "defungi")
    assert not run.leaks


def test_the_study_is_eight_files_and_two_fair_experiments():
    assert len(STUDY) == 8
    pets, fungi = experiment_file.load_all(STUDY[0].with_name("study.yaml"))
    assert pets.images_per_class == fungi.images_per_class == (15, "all") and pets.arms == fungi.arms
    assert len(pets.seeds) == 3 and not any(run.leaks for run in (*pets.runs(), *fungi.runs()))
    with pytest.raises(ConfigError, match="must hold one experiment, got 2: study-pet, study-micro"):
        experiment_file.load(STUDY[0].with_name("study.yaml"))
