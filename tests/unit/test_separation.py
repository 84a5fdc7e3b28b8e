"""What is claimed of the split: copies alone where no groups are given, groups where they are, and what names suggest."""

from dataclasses import replace

import numpy as np
import pytest

from core.config import DatasetConfig, SplitConfig
from core.data import census, separation, sources, split
from core.data.manifest import Manifest, Unreadable
from tests import SHARED

DEFUNGI = SHARED / "data" / "defungi"


def manifest(paths: list[str], groups: list[str] | None = None) -> Manifest:
    names = np.array(paths, dtype=object)
    empty = np.array([""] * len(paths), dtype=object)
    samples = Manifest(sample_id=names, label=np.array([path.partition("/")[0] for path in paths], dtype=object),
                       group=np.array(groups or paths, dtype=object), digest=names, picture=names, official=empty, split=empty)
    return split.assign(samples, SplitConfig(), (0,))


def crops(n_photos: int = 8, name: str = "p{photo}_{crop}.jpg") -> list[str]:
    return [f"{label}/{name.format(photo=photo, crop=crop)}" for label in ("a", "b") for photo in range(n_photos)
            for crop in range(4)]


def test_without_groups_only_copies_are_claimed_and_names_suggest_the_expression():
    samples = manifest(crops())
    assert separation.sentence(samples) == (
        "copies that were found are kept on one side of the split; no groups are given, so crops or frames of one photograph "
        "may be on two")
    found = separation.suggestion(samples)
    assert (found.group_by, found.n_groups) == (r"(.*)_[0-9]+\.[^./]+$", 16)
    sides = {}
    for path, side in zip(samples.sample_id, samples.split):
        sides.setdefault(path.rpartition("_")[0], set()).add(side)
    assert found.n_across == sum(len(names) > 1 for names in sides.values()) > 0
    assert f"dataset.group_by={found.group_by} would make 16 groups, of which {found.n_across} are on two sides" in (
        separation.advice(samples))


def test_with_groups_nothing_is_advised():
    groups = [path.rpartition("_")[0] for path in crops()]
    samples = manifest(crops(), groups)
    assert separation.sentence(samples) == "no group and no copy that was found is on two sides of the split"
    assert separation.advice(samples) == ""


def test_images_without_a_group_among_others_are_counted():
    groups = [path.rpartition("_")[0] for path in crops()]
    groups[:3] = crops()[:3]
    assert "no groups are given for 3 images, so" in separation.sentence(manifest(crops(), groups))


def test_a_split_that_ignores_groups_says_what_is_on_two_sides():
    groups = [path.rpartition("_")[0] for path in crops()]
    samples = split.assign(replace(manifest(crops(), groups)), SplitConfig(group="none"), (0,))
    assert "groups, 0 images and 0 pictures are on two sides of the split" in separation.sentence(samples)
    assert not separation.is_separate(samples)


@pytest.mark.parametrize("name, expected", [
    ("p{photo}-{crop}.png", r"(.*)-[0-9]+\.[^./]+$"), ("p{photo}_crop{crop}.png", "(.*)[_-](?i:"),
    ("p{photo} ({crop}).png", "(.*) ?")])
def test_other_ways_to_number_crops_are_known(name, expected):
    found = separation.suggestion(manifest(crops(name=name)))
    assert found.group_by.startswith(expected) and found.n_groups == 16
    DatasetConfig(source="folder", root="x", group_by=found.group_by)


@pytest.mark.parametrize("name", ["img_{photo}{crop}.jpg", "{photo}{crop}.jpg", "p{photo}_x{crop}y.jpg"])
def test_images_that_are_merely_numbered_suggest_nothing(name):
    samples = manifest(crops(name=name))
    assert separation.suggestion(samples) is None
    assert "dataset.group_by, a regular expression over the path, or a column group" in separation.advice(samples)


@pytest.mark.skipif(not DEFUNGI.is_dir(), reason="DeFungi is not here")
def test_fungi_without_groups_are_told_from_their_photographs(tmp_path):
    config = DatasetConfig(source="folder", root=str(DEFUNGI))
    samples = split.assign(sources.open_source(config).scan(), SplitConfig(), (0,))
    found = separation.suggestion(samples)
    assert found.n_groups == 422 and found.n_across > 300
    grouped = sources.open_source(config.model_copy(update={"group_by": found.group_by})).scan()
    assert separation.sentence(split.assign(grouped, SplitConfig(), (0,))).startswith("no group and no copy")


def test_what_is_not_among_the_samples_is_said_in_lines():
    samples = replace(manifest(crops()), remarks=("The folders train and test are taken as the split.",),
                      unreadable=(Unreadable("a/x.heic", "HEIC is not read"),), other_files={".txt": 3, "hidden": 1},
                      without_images=("empty",), small_classes={"rare": 1, "rarer": 1})
    assert census.lines(samples) == [
        "The folders train and test are taken as the split.", "2 classes left out for having too few images: rare 1, rarer 1.",
        "1 folder without an image: empty.", "Files that are no images, not read: 3 .txt, 1 hidden.",
        "left out a/x.heic: HEIC is not read"]


def test_samples_left_out_for_their_group_are_named():
    samples = manifest(crops())
    samples = replace(samples, split=np.array(["none", "none", *["test"] * (len(samples) - 2)], dtype=object))
    assert census.lines(samples) == [
        "2 images left out of every split, since their group or picture stands in the dataset's own test or validation split "
        f"or among held-out classes: {samples.sample_id[0]}, {samples.sample_id[1]}."]
