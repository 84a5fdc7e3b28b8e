"""Held-out classes: never trained on, whole in 'open', proven apart; what cannot be held out is refused in words."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import config
from core.config import ExperimentConfig, SplitConfig
from core.data import held_out, split
from core.data.manifest import LEFT_OUT, OPEN, SPLITS, Manifest, Unreadable
from core.errors import ConfigError
from tests.unit.test_split import make, plain

quick = settings(deadline=None, max_examples=100)


def experiment(**split_fields: object) -> ExperimentConfig:
    return config.parse({"name": "x", "dataset": {"source": "digits"}, "split": split_fields,
                         "training": {"batch": {"classes": 2, "samples": 2}}, "budget": {"images": 40, "epochs": 1}})


def test_held_out_classes_stand_in_open_whole_and_the_others_are_split_as_without_them() -> None:
    manifest = plain({"a": 20, "b": 20, "c": 8, "d": 3})
    found = split.assign(manifest, SplitConfig(held_out_classes=("d", "c")), (0,))
    assert found.closed_classes == ("a", "b")
    assert found.counts(found.indices(OPEN)) == {"a": 0, "b": 0, "c": 8, "d": 3}
    alone = split.assign(plain({"a": 20, "b": 20}), SplitConfig(), (0,))
    assert found.split[:40].tolist() == alone.split.tolist()
    assert found.rank[0][:40].tolist() == alone.rank[0].tolist() and (found.rank[0][40:] == -1).all()
    assert found.closed_counts(found.indices("test")) == {"a": 4, "b": 4}
    assert split.prove(found).holds


def test_a_number_is_drawn_by_the_splits_seed_and_fewer_are_part_of_more() -> None:
    manifest = plain({name: 4 for name in "abcdefgh"})
    chosen = {(seed, count): set(held_out.choose(manifest, SplitConfig(seed=seed, held_out_classes=count)))
              for seed in range(6) for count in (2, 3, 6)}
    for seed in range(6):
        assert [len(chosen[seed, count]) for count in (2, 3, 6)] == [2, 3, 6]
        assert chosen[seed, 2] < chosen[seed, 3] < chosen[seed, 6]
    assert len({frozenset(chosen[seed, 2]) for seed in range(6)}) > 1
    assert held_out.choose(manifest, SplitConfig()) == []


def test_what_belongs_together_with_a_held_out_image_is_left_out_of_the_rest() -> None:
    # Row 0 of class a shares a group with c; row 1 shares that group's picture with row 2, which drags row 2 along.
    labels = [*"aaaaaaaaaa", *"bbbbbbbbbb", *"cccccc", *"dddddd"]
    groups, digests = list(range(32)), list(range(32))
    groups[0] = groups[20] = 100
    groups[1], digests[1], digests[21] = 101, 200, 200
    groups[2] = 101
    found = split.assign(make(labels, groups, digests), SplitConfig(held_out_classes=("c", "d")), (0,))
    assert np.flatnonzero(found.split == LEFT_OUT).tolist() == [0, 1, 2]
    assert (found.split[20:] == OPEN).all()
    assert split.prove(found).holds


def test_an_official_split_is_kept_among_the_classes_that_are_trained_on() -> None:
    official = np.array([*["train"] * 8, *["test"] * 4] * 4, dtype=object)
    manifest = replace(make([name for name in "abcd" for _ in range(12)]), official=official)
    found = split.assign(manifest, SplitConfig(held_out_classes=("b", "d")), (0,))
    assert (found.split[12:24] == OPEN).all() and (found.split[36:] == OPEN).all()
    kept = np.r_[0:12, 24:36]
    assert ((found.split[kept] == "test") == (official[kept] == "test")).all()
    assert set(found.split[kept].tolist()) == set(SPLITS)


def test_a_sampler_that_leaks_draws_no_held_out_image() -> None:
    found = split.assign(plain({"a": 20, "b": 20, "c": 8, "d": 8}), SplitConfig(held_out_classes=2, seed=1), (0,))
    pool = found.leaky_pool(found.training_indices("all", 0))
    assert set(found.split[pool].tolist()) == set(SPLITS)
    assert not np.isin(found.label[pool].astype(str), held_out.choose(found, SplitConfig(held_out_classes=2, seed=1))).any()


@quick
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 150), st.integers(0, 300)), min_size=60, max_size=120),
       st.integers(2, 3), st.integers(0, 3), st.booleans())
def test_whatever_the_groups_the_proof_stays_zero(rows: list[tuple[str, int, int]], count: int, seed: int,
                                                  has_official: bool) -> None:
    manifest = make(*map(list, zip(*rows)))
    if has_official:
        manifest = replace(manifest, official=np.array(["test" if row % 3 else "train" for row in range(len(rows))],
                                                       dtype=object))
    asked = SplitConfig(seed=seed, held_out_classes=count)
    try:
        found = split.assign(manifest, asked, (0, 1))
    except ValueError:  # too few groups of a class
        return
    assert split.prove(found).holds
    is_open = found.split == OPEN
    assert len(set(found.label[is_open].tolist())) == count
    assert is_open.tolist() == np.isin(found.label.astype(str), held_out.choose(found, asked)).tolist()
    for seed_of_run in (0, 1):
        trained = found.training_indices("all", seed_of_run)
        assert not is_open[trained].any()
    shared = [set(column[is_open].tolist()) for column in (found.group, found.picture)]
    for column, inside in zip((found.group, found.picture), shared):
        others = column[~is_open & (found.split != LEFT_OUT)]
        assert not inside & set(others.tolist())


@pytest.mark.parametrize(("asked", "message"), [
    (1, "must be two or more classes, by names that differ or by how many, or 0 for none, got 1"),
    (["a"], "got ('a',)"), (-3, "got -3"), (["a", "a", "b"], "by names that differ"),
])
def test_a_config_refuses_what_cannot_be_an_open_set(asked: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        experiment(held_out_classes=asked)
    assert message in str(error.value) and "split.held_out_classes" in str(error.value)


def with_unreadable(manifest: Manifest, *paths: str) -> Manifest:
    return replace(manifest, unreadable=tuple(Unreadable(path, "cut short") for path in paths))


@pytest.mark.parametrize(("sizes", "asked", "message"), [
    ({"a": 9, "b": 9, "c": 9, "d": 9}, ("c", "dog"),
     "split.held_out_classes must be among the dataset's 4 classes (a, b, c, d), got 'dog'"),
    ({"a": 9, "b": 9, "c": 9}, 2,
     "split.held_out_classes must leave at least 2 of the 3 classes to train on, got 2 held out"),
    ({"a": 9, "b": 9, "c": 9, "d": 1}, ("c", "d"),
     "every held-out class must have at least 2 images to find one another, got 1 in class 'd'"),
    ({"a": 9, "b": 9, "c": 2, "d": 2}, ("c", "d"),
     "held-out classes must have at least 5 images together, got 4 in 2 classes"),
])
def test_a_dataset_that_cannot_carry_it_is_refused(sizes: dict[str, int], asked: object, message: str) -> None:
    with pytest.raises(ValueError) as error:
        split.assign(plain(sizes), SplitConfig(held_out_classes=asked), (0,))
    assert str(error.value) == message


def test_a_class_whose_every_image_is_unusable_is_refused_with_the_reason() -> None:
    broken = with_unreadable(plain({"a": 9, "b": 9, "c": 9}), "images/gone/1.jpg", "images/gone/2.jpg", "images/a/3.jpg")
    with pytest.raises(ValueError, match="got 'gone'; 2 files of it could not be read"):
        split.assign(broken, SplitConfig(held_out_classes=("c", "gone")), (0,))
    groups = [0, 1, 2, 3, *range(10, 19), 0, 1, 2, 3, *range(30, 41)]
    tied = make([*"aaaa", *"bbbbbbbbb", *"cccc", *"dddddd", *"eeeee"], groups)
    with pytest.raises(ValueError, match=r"class 'a' must have at least 3 groups .* got 0 images in 0 groups; 4 more belong "
                                         r"together with images of held-out classes and are left out"):
        split.assign(tied, SplitConfig(held_out_classes=("c", "d")), (0,))


def test_a_plan_needs_batches_of_trained_classes_alone() -> None:
    asked = experiment(held_out_classes=["c", "d"])
    manifest = split.assign(plain({"a": 40, "b": 40, "c": 5, "d": 5}), asked.split, asked.seeds)
    split.check_plan(manifest, asked)
    wide = asked.model_copy(update={"training": asked.training.model_copy(
        update={"batch": asked.training.batch.model_copy(update={"classes": 3})})})
    with pytest.raises(ValueError, match="batch must fit 2 classes"):
        split.check_plan(manifest, wide)
