"""Folders of class folders: what their form says of classes and splits, and what is refused with what would work."""

from pathlib import Path

import pytest

from core.config import DatasetConfig, SplitConfig
from core.data import folders, sources, split
from tests.images import encoded, noise
from tests.unit.test_listing import written


def named(root: Path, *folders_: str, each: int = 2) -> Path:
    """Empty files named like images: forms are told from names alone."""
    return written(root, {f"{folder}/{number}.png".lstrip("/"): b"" for folder in folders_ for number in range(each)})


def labels(root: Path, classes: str | None = None) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in folders.read(root, classes).entries:
        found[entry.label] = found.get(entry.label, 0) + 1
    return found


@pytest.mark.parametrize("train, validation, test", [
    ("train", "val", "test"), ("TRAIN", "Valid", "Test"), ("training", "validation", "testing"), ("train", "dev", "test"),
    ("training_set", "validation_set", "test_set"), ("train_images", "val_images", "test-images"), ("train", None, "test"),
    ("seg_train", None, "seg_test"), ("train2017", "val2017", "test2017"), ("01_train", "02_val", "03_test"),
    ("X_train", None, "X_test"), ("PetsTrain", "PetsVal", "PetsTest")])
def test_split_folders_around_class_folders_are_the_official_split(tmp_path, train, validation, test):
    tops = [name for name in (train, validation, test) if name]
    named(tmp_path, *(f"{top}/{label}" for top in tops for label in ("cat", "dog")))
    found = folders.read(tmp_path)
    split_of = {train: "train", validation: "validation", test: "test"}
    assert {entry.label for entry in found.entries} == {"cat", "dog"}
    assert all(entry.official == split_of[entry.path.partition("/")[0]] for entry in found.entries)
    assert all(entry.group == entry.path for entry in found.entries)
    assert found.remarks == (f"The folders {folders._and(tops)} are taken as the split.",)


def test_split_folders_are_kept_as_they_are(tmp_path):
    seeds = iter(range(1000))
    written(tmp_path, {f"{top}/{label}/{number}.png": encoded(noise(next(seeds)), "PNG")
                       for top in ("train", "val", "test") for label in ("cat", "dog") for number in range(4)})
    scanned = sources.open_source(DatasetConfig(source="folder", root=str(tmp_path))).scan()
    manifest = split.assign(scanned, SplitConfig(), (0,))
    assert manifest.counts() == {"cat": 12, "dog": 12}
    assert all(sample_id.startswith({"validation": "val"}.get(part, part)) for sample_id, part in
               zip(manifest.sample_id.tolist(), manifest.split.tolist()))


def test_splits_inside_the_class_folders_are_the_official_split(tmp_path):
    named(tmp_path, "cat/train", "cat/test", "dog/train", "dog/test")
    found = folders.read(tmp_path)
    assert {(entry.label, entry.official) for entry in found.entries} == {
        (label, part) for label in ("cat", "dog") for part in ("train", "test")}


def test_splits_of_longer_names_inside_the_class_folders_are_the_official_split(tmp_path):
    named(tmp_path, "cat/x_train", "cat/x_test", "dog/x_train", "dog/x_test")
    assert {(entry.label, entry.official) for entry in folders.read(tmp_path).entries} == {
        (label, part) for label in ("cat", "dog") for part in ("train", "test")}


def test_splits_inside_class_folders_must_hold_the_same_classes(tmp_path):
    named(tmp_path, "cat/train", "cat/test", "dog/train")
    with pytest.raises(ValueError, match="split folders must hold the same classes, got dog in train and not in test"):
        folders.read(tmp_path)


@pytest.mark.parametrize("places", [("training_set/training_set", "test_set/test_set"), ("train/images", "test/images"),
                                    ("seg_train/seg_train", "seg_test/seg_test")])
def test_a_folder_more_between_split_and_classes_is_looked_through(tmp_path, places):
    named(tmp_path, *(f"{place}/{label}" for place in places for label in ("cat", "dog")))
    assert labels(tmp_path) == {"cat": 4, "dog": 4}


@pytest.mark.parametrize("places, message", [
    (("train", "test"), "and test and train hold images without class folders; put the images"),
    (("train/cat", "train/dog", "test"), "test holds images without class folders; move test away and point dataset.root at"),
    (("train/cat", "train/dog", "test/cat", "test/dog", "extra"), "test and train look like splits, extra does not; move the"),
    (("train/cat", "train/dog", "extra"), "train looks like a split, extra does not"),
    (("train/a", "train/b", "training/a", "training/b", "test/a", "test/b"), "a split, got train and training for train"),
    (("train/cat", "train/dog", "test/cat", "test/dog", "test/bird"), "the same classes, got bird in test and not in train"),
    (("train/cat", "train/dog", "test/cat"), "the same classes, got dog in train and not in test"),
    (("images/cat", "images/dog"), "everything inside images; point one deeper, at"),
    (("data/images/cat", "data/images/dog"), "everything inside data/images; point 2 deeper, at"),
    (("train/cat", "train/dog"), "everything inside train; point one deeper, at"),
    (("outer/train/cat", "outer/train/dog", "outer/test/cat", "outer/test/dog"), "everything inside outer; point one deeper"),
    (("",), "found 2 images beside each other and no class folder in"),
    (("trainA", "trainB", "testA", "testB"), "testA, testB, trainA and trainB hold images without class folders"),
    (("seg_train/a", "seg_train/b", "seg_test/a", "seg_test/b", "seg_pred"), "seg_test and seg_train look like splits"),
    (("bounding_box_train", "bounding_box_test", "query"), "bounding_box_test and bounding_box_train look like splits, query"),
    (("fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog"), "got fold1, fold2 in"),
    (("fold_1", "fold_2", "fold_3"), "which look like parts of one dataset; set dataset.classes: leaf if the folders inside"),
    (("a/x", "a/y", "b/x", "b/y"), "2 classes at the top, 4 at the leaves (a, b; a/x, a/y, b/x, b/y)"),
])
def test_a_form_that_does_not_say_its_classes_is_refused_with_what_would_work(tmp_path, places, message):
    named(tmp_path, *places)
    with pytest.raises(ValueError) as caught:
        folders.read(tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value) and str(caught.value).startswith(("dataset.", "split folders must"))


def test_train_and_val_without_a_test_are_refused_with_what_would_work(tmp_path):
    seeds = iter(range(1000))
    written(tmp_path, {f"{top}/{label}/{number}.png": encoded(noise(next(seeds)), "PNG")
                       for top in ("train", "val") for label in ("cat", "dog") for number in range(6)})
    scanned = sources.open_source(DatasetConfig(source="folder", root=str(tmp_path))).scan()
    with pytest.raises(ValueError, match=r"an official split must hold test samples, got none; set split.official to false"):
        split.assign(scanned, SplitConfig(), (0,))
    drawn = split.assign(scanned, SplitConfig(official=False), (0,))
    assert drawn.counts() == {"cat": 12, "dog": 12}


def test_parts_of_a_dataset_are_put_together_where_the_user_says_so(tmp_path):
    named(tmp_path, "fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog", "fold2/bird")
    assert labels(tmp_path, "leaf") == {"bird": 2, "cat": 4, "dog": 4}
    assert folders.read(tmp_path, "leaf").remarks == ("The folders fold1 and fold2 are taken as parts of one dataset.",)
    assert labels(tmp_path, "top") == {"fold1": 4, "fold2": 6}


@pytest.mark.parametrize("places, message", [
    (("fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog", "fold1"), "of those that lie directly in fold1, which looks like"),
    (("fold1", "fold2"), "of those that lie directly in fold1, which looks like a part"),
    (("fold1/train/cat", "fold1/test/cat", "fold2/train/cat", "fold2/test/dog"), "must hold one split, got one inside each"),
])
def test_parts_that_do_not_say_their_classes_are_refused_also_where_the_leaves_are_meant(tmp_path, places, message):
    named(tmp_path, *places)
    with pytest.raises(ValueError) as caught:
        folders.read(tmp_path, "leaf")
    assert message in str(caught.value)


def test_flat_folders_named_like_splits_are_classes_where_the_user_says_so(tmp_path):
    named(tmp_path, "dev_board", "test_board")
    with pytest.raises(ValueError, match=r"or set dataset\.classes: top if they are classes"):
        folders.read(tmp_path)
    assert labels(tmp_path, "top") == {"dev_board": 2, "test_board": 2}


def test_class_names_that_hold_a_word_of_splits_are_classes(tmp_path):
    named(tmp_path, "train_station", "test_tube", "test_strip", "validation stamp")
    assert labels(tmp_path) == {"test_strip": 2, "test_tube": 2, "train_station": 2, "validation stamp": 2}


def test_a_class_named_like_a_split_beside_others_is_a_class(tmp_path):
    named(tmp_path, "train", "bus", "car")
    assert labels(tmp_path) == {"bus": 2, "car": 2, "train": 2}


def test_the_user_says_which_folders_are_the_classes(tmp_path):
    named(tmp_path, "Felidae/Panthera/leo", "Felidae/Panthera/onca", "Felidae/Felis/catus", "Canidae/Canis/lupus")
    assert labels(tmp_path, "top") == {"Canidae": 2, "Felidae": 6}
    assert labels(tmp_path, "leaf") == {"catus": 2, "leo": 2, "lupus": 2, "onca": 2}
    assert folders.read(tmp_path, "leaf").remarks == (
        "Classes are the innermost folders: 2 classes at the top, 4 at the leaves.",)


def test_leaves_of_one_name_are_told_apart_by_their_path(tmp_path):
    named(tmp_path, "Greek/character01", "Greek/character02", "Latin/character01")
    assert labels(tmp_path, "leaf") == {"Greek/character01": 2, "Greek/character02": 2, "Latin/character01": 2}


def test_split_folders_stand_above_nested_classes_too(tmp_path):
    named(tmp_path, *(f"{top}/{path}" for top in ("train", "test") for path in ("A/x", "A/y", "B/z")))
    with pytest.raises(ValueError, match="2 classes at the top, 3 at the leaves"):
        folders.read(tmp_path)
    assert labels(tmp_path, "leaf") == {"x": 4, "y": 4, "z": 4}
    assert labels(tmp_path, "top") == {"A": 8, "B": 4}
    assert {entry.official for entry in folders.read(tmp_path, "leaf").entries} == {"train", "test"}


def test_one_chain_of_folders_in_a_class_folder_is_no_question(tmp_path):
    named(tmp_path, "cat", "dog/deep/er")
    assert labels(tmp_path) == {"cat": 2, "dog": 2}
    assert folders.read(tmp_path).remarks == ()


def test_images_beside_folders_in_a_class_folder_count_to_it_with_a_word(tmp_path):
    named(tmp_path, "cat", "cat/more", "dog")
    assert labels(tmp_path) == {"cat": 4, "dog": 2}
    assert folders.read(tmp_path).remarks == ("2 images lie in folders inside a class folder and count to it.",)


def test_images_in_no_class_folder_are_named(tmp_path):
    named(tmp_path, "", "train/cat", "train/dog", "test/cat", "test/dog")
    named(tmp_path, "train", each=1)
    found = folders.read(tmp_path)
    assert [(item.path, item.reason) for item in found.left_out] == [
        (path, "lies in no class folder") for path in ("0.png", "1.png", "train/0.png")]
    assert len(found.entries) == 8
