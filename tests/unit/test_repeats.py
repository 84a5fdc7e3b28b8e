"""The same images split several times: whole by group in each, the first as without repeats, and what cannot be repeated."""

from dataclasses import replace

import numpy as np
import pytest

from core.config import ExperimentConfig, SplitConfig
from core.data import repeats, split
from core.errors import InputError
from core.experiments import planning, preflight
from tests.conftest import tiny
from tests.unit.test_config import refusal
from tests.unit.test_split import make

CROPS = make(["a"] * 60 + ["b"] * 60, [row // 3 for row in range(120)])
MINIMAL = {"name": "x", "dataset": {"source": "digits"}}


def test_each_split_keeps_groups_whole_and_the_first_is_the_one_without_repeats() -> None:
    config = SplitConfig(repeats=3, seed=4)
    found = repeats.assign(CROPS, config, (0, 1, 2, 5))
    once = split.assign(CROPS, SplitConfig(seed=4), (0, 1, 2, 5))
    assert len(found) == 3 and found[0].split.tolist() == once.split.tolist()
    assert all(np.array_equal(found[0].rank[seed], once.rank[seed]) for seed in once.rank)
    assert [set(manifest.rank) for manifest in found] == [{0, 1, 2, 5}, {1}, {2, 5}]
    assert all(split.prove(manifest).holds for manifest in found)
    tested = [set(manifest.indices("test").tolist()) for manifest in found]
    assert len({frozenset(rows) for rows in tested}) == 3 and all(len(rows) == len(tested[0]) for rows in tested)
    assert all(np.array_equal(a.split, b.split) for a, b in zip(found, repeats.assign(CROPS, config, (0, 1, 2, 5))))
    assert not np.array_equal(found[1].split, repeats.assign(CROPS, SplitConfig(repeats=3, seed=5), (0, 1, 2))[1].split)


def test_one_split_is_what_the_split_alone_makes() -> None:
    [found] = repeats.assign(CROPS, SplitConfig(), (0, 1))
    assert np.array_equal(found.split, split.assign(CROPS, SplitConfig(), (0, 1)).split)


def test_held_out_classes_are_the_same_in_all() -> None:
    manifest = make([label for label in "abcd" for _ in range(40)])
    found = repeats.assign(manifest, SplitConfig(repeats=4, held_out_classes=2), (0, 1, 2, 3))
    assert len({manifest.closed_classes for manifest in found}) == 1 and len(found[0].closed_classes) == 2


def test_an_added_seed_is_drawn_on_its_own_split() -> None:
    config = SplitConfig(repeats=2)
    grown = repeats.with_more_seeds(repeats.assign(CROPS, config, (0, 1)), config, (2, 3))
    larger = repeats.assign(CROPS, config, (0, 1, 2, 3))
    assert [set(manifest.rank) for manifest in grown] == [{0, 1, 2, 3}, {1, 3}]
    assert all(np.array_equal(a.rank[seed], b.rank[seed]) for a, b in zip(grown, larger) for seed in b.rank)


def test_what_the_dataset_gives_once_is_not_repeated() -> None:
    official = replace(CROPS, official=np.array((["train"] * 40 + ["test"] * 20) * 2, dtype=object))
    with pytest.raises(InputError, match=r"split\.repeats must be 1 where the dataset gives its own split \(set "
                                         r"split\.official: false to draw splits\), got 2"):
        repeats.assign(official, SplitConfig(repeats=2), (0, 1))
    assert len(repeats.assign(official, SplitConfig(repeats=2, official=False), (0, 1))) == 2
    asking = replace(CROPS, role=np.array(["query", "gallery"] * 60, dtype=object))
    with pytest.raises(InputError, match=r"split\.repeats must be 1 where a table says who asks and who is found"):
        repeats.assign(asking, SplitConfig(repeats=2), (0, 1))


@pytest.mark.parametrize(("changes", "message"), [
    ({"split": {"repeats": 4}},
     "split.repeats must be at most the number of seeds, 3, as seed s trains on split s mod R, got 4"),
    ({"split": {"repeats": 2}, "seeds": [0, 2, 4]},
     "seeds must fall on each of the 2 splits (split.repeats), as seed s trains on split s mod 2, got none on split 1"),
    ({"split": {"repeats": 2}, "objectives": ["supcon", {"name": "supcon", "group": "none"}]},
     "split.repeats must be 1 where an objective asks for a split of its own (group), got 2"),
    ({"split": {"repeats": 0}}, "split.repeats must be"),
])
def test_a_config_that_cannot_be_is_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    assert refusal({**MINIMAL, **changes}).startswith(message)


def test_a_class_too_small_for_one_of_the_splits_is_refused() -> None:
    config = tiny(split={"repeats": 2}, images_per_class=[400])
    with pytest.raises(InputError, match="images_per_class must be at most the smallest class's training images"):
        planning.plan(config)


def test_a_run_knows_its_split() -> None:
    config: ExperimentConfig = tiny(split={"repeats": 2}, seeds=[0, 1, 4, 7])
    assert {(run.seed, run.repeat) for run in config.runs()} == {(0, 0), (1, 1), (4, 0), (7, 1)}
    assert {run.repeat for run in tiny().runs()} == {0}


def test_the_plan_says_what_the_verdict_will_hold_for() -> None:
    checked = planning.plan(tiny(split={"repeats": 2}, seeds=[0, 1, 2]))
    assert len(checked.repeats) == 1
    assert preflight.look_ahead(checked, None).gap_sentence == (
        "3 seeds on 2 splits, each tested on about 361 test images: the verdict will hold for images like these, not for one "
        "split alone; two splits say little of how far splits differ")
