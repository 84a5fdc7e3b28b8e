"""What awaits a plan's runs, counted by hand; time and memory from an experiment that really ran."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.analysis import detectable
from core.experiments import planning, preflight
from tests.conftest import tiny
from tests.images import three_classes


def test_batches_steps_and_passes_are_counted(tmp_path: Path) -> None:
    config = tiny(images_per_class=[5, 15], training={"batch": {"classes": 8, "samples": 4}, "views": 2})
    found = preflight.look_ahead(planning.plan(config), tmp_path)
    assert (found.images_per_step, found.positives, found.negatives) == (64, 7, 56)
    assert (found.most_classes, found.most_samples) == (10, 5)
    assert (found.steps, found.images) == (10, 640)
    assert found.passes == (640 / 150, 640 / 50)
    assert (found.seconds, found.memory, found.measured_on) == (None, None, "")


def test_shuffled_arms_are_told_with_the_positives_they_are_left(tmp_path: Path) -> None:
    assert preflight.look_ahead(planning.plan(tiny()), tmp_path).shuffled_sentence == ""
    arms = [{"name": "classification", "order": "shuffled"}, {"name": "supcon", "order": "shuffled"}]
    config = tiny(objectives=["triplet", *arms], images_per_class=[15], training={"batch": {"classes": 5, "samples": 4}})
    found = preflight.look_ahead(planning.plan(config), tmp_path)
    head, pairs = found.shuffled
    assert (head.name, head.positives, pairs.name) == ("classification", None, "SupCon")
    assert pairs.positives == pytest.approx(19 * 14 / 149), "14 of the 149 others are of its class, 19 are in its batch"
    assert pairs.without == pytest.approx(np.prod([(135 - i) / (149 - i) for i in range(19)]))
    assert found.shuffled_sentence == (
        "Shuffled batches of 20 images for classification, SupCon: each training image once a pass, so that classes come as "
        "often as they have images; an anchor of SupCon finds 1.8 positives on average, 13 % of anchors none")
    assert not found.is_all_shuffled and found.steps == 32, "as many steps as balanced ones"
    many = preflight.look_ahead(planning.plan(tiny(objectives=arms)), tmp_path)
    assert many.is_all_shuffled and many.shuffled_sentence.endswith("SupCon finds 7.4 positives on average"), "none is without"


def test_the_gap_counts_the_images_that_ask(tmp_path: Path) -> None:
    checked = planning.plan(tiny())
    role = np.full(len(checked.manifest), "gallery", dtype=object)
    asking = checked.manifest.indices("test")[:40]
    role[asking] = "query"
    found = preflight.look_ahead(replace(checked, manifest=replace(checked.manifest, role=role)), tmp_path)
    assert (found.n_test, found.n_groups) == (40, 40)
    assert found.gap > preflight.look_ahead(checked, tmp_path).gap


def test_time_and_memory_are_those_of_the_last_experiment_with_this_encoder(experiment: Path) -> None:
    root = experiment.parent
    found = preflight.look_ahead(planning.plan(tiny(name="next", budget={"images": 6400, "epochs": 2})), root)
    assert found.measured_on == "tiny"
    assert found.memory > 1e8
    longer = preflight.look_ahead(planning.plan(tiny(name="next", budget={"images": 12_800, "epochs": 2})), root)
    assert longer.seconds == pytest.approx(2 * found.seconds)
    smaller = tiny(name="next", training={"batch": {"classes": 5, "samples": 8}})
    assert preflight.look_ahead(planning.plan(smaller), root).memory is None, "its steps were larger"
    other = tiny(name="next", encoder={"name": "test_convnext", "image_size": 32})
    assert preflight.look_ahead(planning.plan(other), root).seconds is None


def test_the_gap_that_a_plan_can_find_is_of_its_own_test_images_groups_and_seeds(tmp_path: Path) -> None:
    found = preflight.look_ahead(planning.plan(tiny(images_per_class=["all"], seeds=[0, 1, 2])), tmp_path)
    assert (found.n_seeds, found.n_test, found.n_groups) == (3, 361, 361)
    assert found.gap == detectable.gap(3, np.ones(361, int), detectable.USUAL)
    assert found.gap_sentence.startswith(f"With 361 test images and 3 seeds, a gap of {100 * found.gap:.1f} points of MAP@R ")
    root = three_classes(tmp_path / "images")
    grouped = tiny(dataset={"source": "folder", "root": str(root), "group_by": r"([a-z]+/\d)"}, images_per_class=["all"],
                   training={"batch": {"classes": 3, "samples": 4}})
    ahead = preflight.look_ahead(planning.plan(grouped), tmp_path)
    assert ahead.n_groups < ahead.n_test and f"{ahead.n_test} test images of {ahead.n_groups} groups" in ahead.gap_sentence
    assert ahead.gap > found.gap
    assert replace(ahead, gap=float("inf")).gap_sentence.endswith(f" of {ahead.n_groups} groups tell no two arms apart")


@pytest.mark.parametrize(("n_groups", "asks"), [(5, True), (10, False)])
def test_a_validation_that_finds_nothing_outside_the_own_group_is_told(tmp_path: Path, n_groups: int, asks: bool) -> None:
    config = tiny(dataset={"source": "folder", "root": str(three_classes(tmp_path / "images"))}, images_per_class=["all"],
                  training={"batch": {"classes": 3, "samples": 4}})
    samples = planning.scan(config.dataset)
    groups = np.array([f"{label}-{int(Path(name).stem) % n_groups}" for label, name in zip(samples.label, samples.sample_id)],
                      dtype=object)
    checked = planning.plan(config, scanned=replace(samples, group=groups))
    assert preflight.look_ahead(checked, tmp_path).asks_training == asks
