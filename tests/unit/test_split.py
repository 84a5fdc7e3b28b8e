"""Splits: proven, stratified, whole by group and by image, nested when few, and the same for the same seed."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import config
from core.config import BatchConfig, SplitConfig
from core.data import duplicates, split
from core.data.manifest import SPLITS, Manifest

quick = settings(deadline=None, max_examples=150)
TOO_FEW = "must have at least 3 groups to stand in train, validation and test"


def make(labels, groups=None, digests=None) -> Manifest:
    n = len(labels)

    def column(values, prefix):
        values = range(n) if values is None else values
        return np.array([f"{prefix}{value}" for value in values], dtype=object)

    ids, digest = column(None, "s"), column(digests, "d")
    copies = duplicates.exact(dict(zip(ids.tolist(), digest.tolist())))
    empty = np.array([""] * n, dtype=object)
    return Manifest(sample_id=ids, label=column(labels, ""), group=column(groups, "g"), digest=digest, official=empty,
                    picture=column(duplicates.joined(ids.tolist(), [(pair.a, pair.b) for pair in copies]), ""), split=empty,
                    duplicates=tuple(copies))


def plain(sizes: dict[str, int]) -> Manifest:
    return make([name for name, size in sizes.items() for _ in range(size)])


def splits_of(keys, manifest) -> dict:
    found = {}
    for key, name in zip(keys, manifest.split):
        found.setdefault(key, set()).add(name)
    return found


def merged(manifest: Manifest) -> list[set[int]]:
    """Rows that share a group or an image, directly or through others: merge until nothing changes."""
    group, digest = manifest.group, manifest.digest
    blocks = [{row} for row in range(len(manifest))]
    changed = True
    while changed:
        changed = False
        for one in blocks:
            for other in blocks:
                if one is not other and any(group[i] == group[j] or digest[i] == digest[j] for i in one for j in other):
                    one |= other
                    blocks.remove(other)
                    changed = True
                    break
            if changed:
                break
    return blocks


def assert_is_a_split(manifest: Manifest):
    assert set(manifest.split.tolist()) <= set(SPLITS)
    for keys in (manifest.group, manifest.digest):
        assert {len(names) for names in splits_of(keys, manifest).values()} == {1}
    for label, names in splits_of(manifest.label, manifest).items():
        assert names == set(SPLITS), label
    assert split.prove(manifest).holds


@pytest.mark.parametrize("n, expected", [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (7, 1, 2)), (100, (70, 10, 20)),
                                         (200, (140, 20, 40))])
def test_the_shares_are_met_in_every_class(n, expected):
    found = split.assign(plain({"a": n, "b": n}), SplitConfig(), (0,))
    for label in "ab":
        counts = Counter(found.split[found.label == label].tolist())
        assert tuple(counts[name] for name in SPLITS) == expected


def test_shares_are_counted_in_images_and_not_in_groups():
    groups = ["large"] * 70 + [f"small{index // 5}" for index in range(30)]
    found = split.assign(make(["a"] * 100, groups), SplitConfig(), (0,))
    assert [len(found.indices(name)) for name in SPLITS] == [70, 10, 20]
    assert set(found.group[found.indices("train")].tolist()) == {"glarge"}


def test_other_shares_are_met_too():
    found = split.assign(plain({"a": 20, "b": 40}), SplitConfig(fractions=(0.5, 0.25, 0.25)), (0,))
    assert [found.counts(found.indices(name)) for name in SPLITS] == [
        {"a": 10, "b": 20}, {"a": 5, "b": 10}, {"a": 5, "b": 10}]


@quick
@given(sizes=st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=12), min_size=1, max_size=5),
       seed=st.integers(0, 5), fractions=st.sampled_from([(0.7, 0.1, 0.2), (0.98, 0.01, 0.01), (0.01, 0.01, 0.98)]))
def test_three_groups_a_class_always_make_a_split(sizes, seed, fractions):
    labels = [label for label, groups in enumerate(sizes) for size in groups for _ in range(size)]
    groups = [f"{label}.{group}" for label, sizes_ in enumerate(sizes) for group, size in enumerate(sizes_)
              for _ in range(size)]
    assert_is_a_split(split.assign(make(labels, groups), SplitConfig(seed=seed, fractions=fractions), (0,)))


@quick
@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 14), st.integers(0, 40)), min_size=1,
                     max_size=40),
       seed=st.integers(0, 5))
def test_any_tangle_of_groups_and_copies_makes_a_split_or_names_the_class(rows, seed):
    manifest = make(*zip(*rows))
    try:
        found = split.assign(manifest, SplitConfig(seed=seed), (0,))
    except ValueError as error:
        label = str(error).split("'")[1]
        assert str(error).startswith(f"class '{label}' {TOO_FEW}")
        votes = [Counter(manifest.label[list(block)].tolist()).most_common(2) for block in merged(manifest)]
        won = [vote for vote in votes if vote[0][0] == label and (len(vote) == 1 or vote[0][1] > vote[1][1])]
        assert len(won) < 3
    else:
        assert_is_a_split(found)


def test_copies_of_one_image_stay_together_across_groups_and_classes():
    labels = ["a"] * 30 + ["b"] * 30
    digests = [index % 20 for index in range(60)]  # every image three times, twice in one class
    found = split.assign(make(labels, None, digests), SplitConfig(), (0,))
    assert_is_a_split(found)
    assert len(splits_of(found.digest, found)) == 20


def test_a_chain_of_groups_and_copies_is_one_block():
    chain = [("g0", 0), ("g0", 1), ("g1", 1), ("g1", 2), ("g2", 2), ("g2", 3)]  # linked end to end, pair by pair
    groups = [group for group, _ in chain] + [f"x{index}" for index in range(10)]
    digests = [digest for _, digest in chain] + [100 + index for index in range(10)]
    for seed in range(10):
        found = split.assign(make(["a"] * 16, groups, digests), SplitConfig(seed=seed), (0,))
        assert len(set(found.split[:6].tolist())) == 1


def test_a_group_and_an_image_of_the_same_name_are_not_linked():
    groups = [f"{index}" for index in range(6)]
    manifest = make(["a"] * 6, groups, groups)
    named_alike = replace(manifest, group=manifest.digest[[1, 2, 3, 4, 5, 0]])
    assert_is_a_split(split.assign(named_alike, SplitConfig(), (0,)))


@pytest.mark.parametrize("labels, groups, message", [
    ("aaab", None, f"class 'b' {TOO_FEW}, got 1 image in 1 group"),
    ("aaabb", None, f"class 'b' {TOO_FEW}, got 2 images in 2 groups"),
    ("aaaabbb", [0, 0, 1, 1, 2, 3, 4], f"class 'a' {TOO_FEW}, got 4 images in 2 groups"),
])
def test_a_class_of_too_few_groups_is_refused_by_name(labels, groups, message):
    with pytest.raises(ValueError) as caught:
        split.assign(make(labels, groups), SplitConfig(), (0,))
    assert str(caught.value) == message


def test_copies_do_not_count_as_groups():
    with pytest.raises(ValueError, match=r"class 'b' .* got 3 images in 2 groups"):
        split.assign(make("aaabbb", None, [0, 1, 2, 3, 3, 4]), SplitConfig(), (0,))


def test_the_same_seed_makes_the_same_split_and_another_seed_another():
    manifest = plain({"a": 50, "b": 50})
    first, again, other = (split.assign(manifest, SplitConfig(seed=seed), (0,)).split.tolist() for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_the_split_and_a_seeds_subsets_do_not_depend_on_the_other_seeds():
    manifest = plain({"a": 40, "b": 25})
    one = split.assign(manifest, SplitConfig(), (5,))
    many = split.assign(manifest, SplitConfig(), (0, 5, 2))
    assert one.split.tolist() == many.split.tolist()
    assert one.rank[5].tolist() == many.rank[5].tolist()
    assert many.rank[0].tolist() != many.rank[2].tolist()
    assert set(many.rank) == {0, 5, 2}


@quick
@given(sizes=st.lists(st.integers(3, 40), min_size=2, max_size=4), seed=st.integers(0, 3))
def test_subsets_are_nested_balanced_and_inside_the_training_split(sizes, seed):
    manifest = split.assign(plain({f"c{index}": size for index, size in enumerate(sizes)}), SplitConfig(), (seed,))
    train = set(manifest.indices("train").tolist())
    in_train = manifest.counts(manifest.indices("train"))
    assert set(manifest.training_indices("all", seed).tolist()) == train
    smaller = set()
    for count in range(1, max(in_train.values()) + 2):
        chosen = manifest.training_indices(count, seed)
        assert smaller <= set(chosen.tolist()) <= train
        assert manifest.counts(chosen) == {label: min(count, size) for label, size in in_train.items()}
        smaller = set(chosen.tolist())
    assert smaller == train


def test_every_training_image_is_drawn_by_some_seed():
    manifest = split.assign(plain({"a": 20, "b": 20}), SplitConfig(), tuple(range(60)))
    drawn = {row for seed in range(60) for row in manifest.training_indices(3, seed).tolist()}
    assert drawn == set(manifest.indices("train").tolist())


def test_the_proof_counts_what_is_shared():
    manifest = make("aaaaaa", [0, 0, 1, 1, 2, 3], [0, 1, 2, 3, 4, 0])
    names = np.array(["train", "test", "train", "train", "validation", "test"], dtype=object)
    proof = split.prove(replace(manifest, split=names))
    assert (proof.shared_groups, proof.shared_samples) == (1, 1)  # group 0; image 0
    assert not proof.holds
    fair = np.array(["train", "train", "test", "test", "validation", "train"], dtype=object)
    assert split.prove(replace(manifest, split=fair)).holds


def experiment(**values):
    batch = {"classes": 2, "samples": 4}
    return config.parse({"name": "x", "dataset": {"source": "digits"}, "training": {"batch": batch}, **values})


def planned(sizes, **values):
    plan = experiment(**values)
    return split.assign(plain(sizes), plan.split, plan.seeds), plan


def test_with_fit_few_images_take_a_smaller_batch_and_every_objective_the_same():
    batch = {"classes": 2, "samples": 4, "fit": True}
    manifest, plan = planned({"a": 30, "b": 30}, images_per_class=[1, 2, 5, "all"], training={"batch": batch, "views": 2})
    split.check_plan(manifest, plan)
    found = {(run.images_per_class, run.training.batch.classes, run.training.batch.samples) for run in plan.runs()}
    assert found == {(1, 2, 1), (2, 2, 2), (5, 2, 4), ("all", 2, 4)}
    steps = {run.images_per_class: (run.images_per_step, run.n_steps) for run in plan.runs()}
    assert steps == {1: (4, 2500), 2: (8, 1250), 5: (16, 625), "all": (16, 625)}, "the same images, so more steps"


def test_a_plan_that_the_data_carry_is_accepted():
    split.check_plan(*planned({"a": 30, "b": 30}, images_per_class=[4, 21, "all"]))


@pytest.mark.parametrize("sizes, values, message", [
    ({"a": 30, "b": 20}, {"images_per_class": [5, 15]},
     "images_per_class must be at most the smallest class's training images, 14 (class 'b'), got 15"),
    ({"a": 30, "b": 30}, {"training": {"batch": {"classes": 3, "samples": 4}}},
     "training.batch must fit 2 classes of at least 21 training images without duplicates, at most 2 × 21, got 3 × 4; "
     "2 × 4 fits"),
    ({"a": 30, "b": 20}, {"training": {"batch": {"classes": 2, "samples": 15}}},
     "training.batch must fit 2 classes of at least 14 training images without duplicates, at most 2 × 14, got 2 × 15; "
     "2 × 14 fits"),
    ({"a": 30, "b": 30}, {"images_per_class": [3]},
     "training.batch must fit 2 classes of at least 3 training images without duplicates, at most 2 × 3, got 2 × 4; "
     "2 × 3 fits (training.batch.fit: true takes it for such runs alone)"),
    ({"a": 30, "b": 30}, {"training": {"batch": {"classes": 3, "samples": 4, "fit": True}}},
     "training.batch must fit 2 classes of at least 21 training images without duplicates, at most 2 × 21, got 3 × 4; "
     "2 × 4 fits"),
    ({"a": 40, "b": 3}, {}, "every class must have at least 2 training images, got 1 in class 'b'"),
    ({"a": 40, "b": 40}, {"images_per_class": [1]}, "images_per_class must be at least 2 unless training.views is 2"),
    ({"a": 10, "b": 10}, {},
     "validation must hold at least 5 images and two of some class to be scored, got 2 in 2 classes; "
     "raise its share in split.fractions"),
])
def test_a_plan_that_the_data_cannot_carry_is_refused(sizes, values, message):
    with pytest.raises(ValueError) as caught:
        split.check_plan(*planned(sizes, **values))
    assert str(caught.value).startswith(message)


SHUFFLED = {"classes": 2, "samples": 4, "order": "shuffled"}


def test_shuffled_batches_need_no_class_of_many_images():
    manifest, plan = planned({"a": 100, "b": 30, "c": 7}, training={"batch": SHUFFLED | {"samples": 12}},
                             objectives=["classification", "proxy_anchor"])
    split.check_plan(manifest, plan)
    balanced = experiment(training={"batch": {"classes": 2, "samples": 12}})
    with pytest.raises(ValueError, match=r"training.batch must fit 3 classes of at least 5 training images"):
        split.check_plan(manifest, balanced)
    own = experiment(training={"batch": SHUFFLED | {"samples": 12}},
                     objectives=["classification", {"name": "supcon", "order": "balanced"}])
    with pytest.raises(ValueError, match=r"training.batch must fit 3 classes of at least 5 training images"):
        split.check_plan(manifest, own)


def test_a_shuffled_batch_larger_than_all_training_images_is_refused():
    with pytest.raises(ValueError, match=r"must hold at most the 42 training images where they are shuffled, got 2 × 22"):
        split.check_plan(*planned({"a": 30, "b": 30}, training={"batch": SHUFFLED | {"samples": 22}}))


def test_losses_of_pairs_take_shuffled_batches_where_each_surely_holds_one():
    many = {f"{n:02}": 20 for n in range(40)}
    manifest, _ = planned(many)
    for batch, is_enough in (({"classes": 2, "samples": 4}, False), ({"classes": 10, "samples": 3}, True)):
        training = {"batch": batch}
        arm = experiment(training=training, objectives=["classification", {"name": "supcon", "order": "shuffled"}])
        alike = experiment(training={"batch": batch | {"order": "shuffled"}}, objectives=["classification", "supcon"])
        head = experiment(training={"batch": batch | {"order": "shuffled"}}, objectives=["classification", "arcface"])
        split.check_plan(manifest, head)
        for plan, parameter in ((arm, "objectives.1.order"), (alike, "training.batch.order")):
            if is_enough:
                split.check_plan(manifest, plan)
                continue
            with pytest.raises(ValueError) as caught:
                split.check_plan(manifest, plan)
            assert str(caught.value) == (
                f"{parameter} must be 'balanced' for supcon in batches of 8 images, or training.batch larger: about one in 2 "
                "shuffled batches of 40 classes would hold one class alone, or none twice, and teach it nothing; got "
                "'shuffled'")


def test_with_two_views_each_shuffled_image_has_its_positive():
    manifest, _ = planned({f"{n:02}": 20 for n in range(40)})
    training = {"batch": {"classes": 4, "samples": 4, "order": "shuffled"}, "views": 2}
    split.check_plan(manifest, experiment(training=training, objectives=["supcon", "classification"]))


def test_a_plan_in_which_no_image_can_be_found_outside_its_own_group_is_refused():
    plan = experiment()
    photographs = make([*"a" * 24, *"b" * 24, *"c" * 24], groups=[n // 8 for n in range(72)])
    with pytest.raises(ValueError, match=r"test must hold two groups of some class, .* got one group of each of 3"):
        split.check_plan(split.assign(photographs, plan.split, plan.seeds), plan)
    plan = experiment(split={"held_out_classes": ["c", "d"]})
    one_each = make([*"a" * 40, *"b" * 40, *"c" * 6, *"d" * 6], groups=[*range(80), *[80] * 6, *[81] * 6])
    with pytest.raises(ValueError, match="the held-out classes must hold two groups of some class"):
        split.check_plan(split.assign(one_each, plan.split, plan.seeds), plan)


def test_six_photographs_a_class_are_enough_to_test_on_two_of_each():
    plan = experiment()
    photographs = split.assign(make([*"a" * 48, *"b" * 48], groups=[n // 8 for n in range(96)]), plan.split, plan.seeds)
    split.check_plan(photographs, plan)
    for name in SPLITS:
        rows = photographs.indices(name)
        assert len(set(photographs.group[rows].tolist())) == 4, name
    assert split.prove(photographs).holds


def test_a_plan_over_splits_that_share_images_is_refused():
    manifest, plan = planned({"a": 30, "b": 30})
    digest = manifest.digest.copy()
    digest[manifest.indices("test")[0]] = digest[manifest.indices("train")[0]]
    with pytest.raises(ValueError, match=r"^splits must share nothing, got 0 groups, 1 images and 0 pictures shared"):
        split.check_plan(replace(manifest, digest=digest), plan)


@pytest.mark.parametrize("asked, sizes, fitting", [
    ((5, 12), {"a": 20, "b": 20}, (2, 12)),
    ((2, 12), {"a": 20, "b": 7}, (2, 7)),
    ((2, 4), {"a": 20, "b": 7}, (2, 4)),
    ((9, 9), {"a": 2, "b": 3, "c": 4}, (3, 2)),
    ((2, 4), {"a": 1, "b": 9}, (2, 1)),
])
def test_the_fitting_batch_shrinks_to_what_the_classes_fill(asked, sizes, fitting):
    found = split.fitting_batch(BatchConfig(classes=asked[0], samples=asked[1]), sizes)
    assert (found.classes, found.samples) == fitting


def test_few_images_come_from_as_many_groups_as_there_are():
    manifest = make(["a"] * 60 + ["b"] * 60, groups=[n // 6 for n in range(120)])
    divided = split.assign(manifest, SplitConfig(), seeds=(0, 1))
    for seed in (0, 1):
        for label in "ab":
            of_class = divided.label == label
            n_groups = len(set(divided.group[of_class & (divided.split == "train")]))
            few = divided.rank[seed]
            assert len(set(divided.group[of_class & (few >= 0) & (few < n_groups)])) == n_groups
    assert not np.array_equal(divided.rank[0], divided.rank[1])


def test_a_random_split_ignores_groups_and_says_so_in_its_proof():
    manifest = make(["a"] * 60 + ["b"] * 60, groups=[n // 6 for n in range(120)], digests=[n // 2 for n in range(120)])
    divided = split.assign(manifest, SplitConfig(group="none"), seeds=(0,))
    proof = split.prove(divided)
    assert proof.shared_groups > 5 and proof.shared_samples > 5 and proof.shared_pictures > 5
    sizes = [divided.counts(divided.indices(name)) for name in SPLITS]
    assert sizes == [{"a": 42, "b": 42}, {"a": 6, "b": 6}, {"a": 12, "b": 12}]


def with_official(manifest: Manifest, *official: str) -> Manifest:
    return replace(manifest, official=np.array(official, dtype=object))


def test_an_official_split_is_kept_and_validation_drawn_from_its_training_samples():
    official = (["train"] * 20 + ["test"] * 10) * 2
    manifest = with_official(make(["a"] * 30 + ["b"] * 30), *official)
    divided = split.assign(manifest, SplitConfig(), seeds=(0,))
    assert np.array_equal(divided.split == "test", manifest.official == "test")
    assert divided.counts(divided.indices("validation")) == {"a": 3, "b": 3}, "10 of 80 parts of 20: 2.5"
    other = split.assign(manifest, SplitConfig(official=False), seeds=(0,))
    assert not np.array_equal(other.split == "test", manifest.official == "test")


def test_an_official_validation_split_is_kept_too():
    official = ["train", "validation", "test"] * 20
    manifest = with_official(make([*"aabb"] * 15), *official)
    assert split.assign(manifest, SplitConfig(), seeds=(0,)).split.tolist() == official


def test_a_training_copy_of_an_official_test_image_is_left_out():
    digests = [*range(59), 0]  # the last is a copy of the first
    official = ["train"] * 40 + ["test"] * 20
    manifest = with_official(make([*"ab"] * 30, digests=digests), *official)
    divided = split.assign(manifest, SplitConfig(), seeds=(0,))
    assert divided.split[0] == "none" and divided.split[59] == "test"
    assert split.prove(divided).holds and (divided.split == "none").sum() == 1
    assert divided.rank[0][0] == -1, "it is never trained on"


def test_a_class_whose_training_images_stand_in_the_official_test_split_is_said_to_lose_them():
    groups = [*range(50), *range(10)]  # the last ten are of the groups of the first
    official = ["train"] * 50 + ["test"] * 10
    manifest = with_official(make([*"a"] * 10 + [*"b"] * 40 + [*"ab"] * 5, groups=groups), *official)
    with pytest.raises(ValueError, match="got 0 images in 0 groups; 10 more belong together with images of the dataset's own "
                                         "test split and are left out"):
        split.assign(manifest, SplitConfig(), seeds=(0,))


@pytest.mark.parametrize("official, message", [
    (["train"] * 30 + [""] * 30, "must be given for every sample or for none, got 30 of 60 without"),
    (["train"] * 60, "must hold test samples, got none"),
])
def test_half_an_official_split_is_refused(official, message):
    with pytest.raises(ValueError, match=message):
        split.assign(with_official(make([*"ab"] * 30), *official), SplitConfig(), seeds=(0,))


@quick
@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.integers(0, 50),
                               st.sampled_from(["train", "test"])), min_size=1, max_size=60), seed=st.integers(0, 3))
def test_any_official_split_is_kept_with_its_proof_or_refused_by_name(rows, seed):
    labels, groups, digests, official = zip(*rows)
    manifest = with_official(make(labels, groups, digests), *official)
    try:
        divided = split.assign(manifest, SplitConfig(seed=seed), seeds=(0,))
    except ValueError as error:
        assert "class '" in str(error) or "an official split must" in str(error)
        return
    assert split.prove(divided).holds
    assert set(divided.split[manifest.official == "test"]) <= {"test"}
    assert set(divided.split[manifest.official == "train"]) <= {"train", "validation", "none"}


@pytest.mark.parametrize("name", ["validation", "test"])
def test_a_plan_that_is_scored_on_one_class_alone_is_refused(name):
    official = ["train", "validation", "test"] * 40
    labels = ["a" if part == name else "ab"[row // 3 % 2] for row, part in enumerate(official)]
    plan = experiment()
    divided = split.assign(with_official(make(labels), *official), plan.split, plan.seeds)
    with pytest.raises(ValueError, match=f"^{name} must hold images of at least 2 classes to be scored, got only 'a'; add "
                                          f"images of other classes, or set split.official: false"):
        split.check_plan(divided, plan)
