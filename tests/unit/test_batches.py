"""Batches: their shape, who may be in them, and how evenly everyone gets a turn."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import BatchConfig
from core.training.batches import BalancedSampler, ShuffledSampler, TripletSampler, sampler_of
from core.training.ranks import Ranks
from tests.conftest import tiny


def dataset(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Training rows with gaps between them, in no order, and their labels (not 0, 1, 2, …)."""
    generator = np.random.default_rng(seed)
    rows = generator.permutation(5 * sum(sizes))[:sum(sizes)].astype(np.int64)
    return rows, np.repeat(3 + 2 * np.arange(len(sizes), dtype=np.int32), sizes)


def spread(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows, and labels of a whole dataset in which all others have label 0."""
    label_id = np.zeros(rows.max() + 1, np.int32)
    label_id[rows] = labels
    return rows, label_id


def batches(sizes: list[int], classes: int, samples: int, count: int, seed: int = 0) -> np.ndarray:
    sampler = BalancedSampler(*spread(*dataset(sizes)), BatchConfig(classes=classes, samples=samples), seed)
    return np.stack(list(islice(sampler, count)))


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[int], int, int, int]:
    samples = draw(st.integers(2, 5))
    sizes = draw(st.lists(st.integers(samples, 12), min_size=2, max_size=6))
    return sizes, draw(st.integers(2, len(sizes))), samples, draw(st.integers(0, 5))


@settings(deadline=None, max_examples=60)
@given(plans())
def test_every_batch_is_classes_by_samples_of_different_given_rows(plan: tuple[list[int], int, int, int]) -> None:
    sizes, classes, samples, seed = plan
    rows, label_id = dataset(sizes)
    label_of = dict(zip(rows.tolist(), label_id.tolist()))
    drawn = batches(sizes, classes, samples, count=20, seed=seed)
    assert drawn.shape == (20, classes * samples)
    assert drawn.dtype == np.int64
    for batch in drawn.tolist():
        assert set(batch) <= set(label_of)
        assert len(set(batch)) == len(batch)
        labels = [label_of[row] for row in batch]
        assert all(len(set(labels[start:start + samples])) == 1 for start in range(0, len(batch), samples))
        assert sorted(Counter(labels).values()) == [samples] * classes


@settings(deadline=None, max_examples=60)
@given(plans())
def test_turns_within_a_class_are_never_more_than_one_apart(plan: tuple[list[int], int, int, int]) -> None:
    """Nobody is drawn a third time before everyone of the class was drawn twice, at any moment."""
    sizes, classes, samples, seed = plan
    rows, label_id = dataset(sizes)
    turns = {row: 0 for row in rows.tolist()}
    for batch in batches(sizes, classes, samples, count=40, seed=seed).tolist():
        for row in batch:
            turns[row] += 1
        for label in set(label_id.tolist()):
            of_class = [turns[row] for row in rows[label_id == label].tolist()]
            assert max(of_class) - min(of_class) <= 1


@settings(deadline=None, max_examples=60)
@given(plans())
def test_turns_of_classes_are_never_more_than_one_apart(plan: tuple[list[int], int, int, int]) -> None:
    sizes, classes, samples, seed = plan
    rows, label_id = dataset(sizes)
    label_of = dict(zip(rows.tolist(), label_id.tolist()))
    turns = Counter({label: 0 for label in set(label_id.tolist())})
    for batch in batches(sizes, classes, samples, count=30, seed=seed).tolist():
        turns.update(label_of[row] for row in batch[::samples])
        assert max(turns.values()) - min(turns.values()) <= 1


def test_whole_passes_draw_every_row_equally_often() -> None:
    drawn = batches([6, 6, 6], classes=3, samples=2, count=9)  # 3 batches are one pass over 18 rows
    for passes in (1, 2, 3):
        counts = Counter(drawn[:3 * passes].reshape(-1).tolist())
        assert len(counts) == 18
        assert set(counts.values()) == {passes}


def test_whole_passes_where_a_class_does_not_divide_into_batches() -> None:
    drawn = batches([5, 5], classes=2, samples=3, count=5)  # 5 batches × 3 = three turns for each of 5
    counts = Counter(drawn.reshape(-1).tolist())
    assert len(counts) == 10
    assert set(counts.values()) == {3}


def test_order_differs_from_pass_to_pass() -> None:
    drawn = batches([12, 12], classes=2, samples=12, count=2)
    assert sorted(drawn[0].tolist()) == sorted(drawn[1].tolist())
    assert drawn[0].tolist() != drawn[1].tolist()


def test_same_seed_same_batches_and_another_seed_others() -> None:
    first = batches([7, 9, 8], classes=2, samples=3, count=10, seed=4)
    assert np.array_equal(first, batches([7, 9, 8], classes=2, samples=3, count=10, seed=4))
    assert not np.array_equal(first, batches([7, 9, 8], classes=2, samples=3, count=10, seed=5))


def test_batches_do_not_follow_from_global_seeds() -> None:
    np.random.seed(0)
    first = batches([7, 9], classes=2, samples=3, count=5)
    np.random.seed(1)
    assert np.array_equal(first, batches([7, 9], classes=2, samples=3, count=5))


def test_a_class_exactly_as_large_as_its_share_is_allowed() -> None:
    drawn = batches([4, 9], classes=2, samples=4, count=6)
    rows, label_id = dataset([4, 9])
    smaller = set(rows[label_id == 3].tolist())
    assert all(smaller <= set(batch) for batch in drawn.tolist())


def test_too_few_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"training.batch must fit 2 classes of at least 6 samples, got 3 × 2"):
        batches([6, 8], classes=3, samples=2, count=1)


def test_a_class_too_small_for_its_share_is_refused() -> None:
    with pytest.raises(ValueError, match=r"training.batch must fit 3 classes of at least 4 samples, got 2 × 5"):
        batches([9, 4, 9], classes=2, samples=5, count=1)


def pool_case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows to train on, labels of the dataset, and a pool of rows beyond those: ten more of each of three classes."""
    label_id = np.repeat([0, 1, 2], 20).astype(np.int32)
    rows = np.concatenate([np.arange(label * 20, label * 20 + 10) for label in range(3)])
    return rows, label_id, np.arange(60)


def test_a_leaky_pool_fills_half_of_each_class_and_nothing_else_does() -> None:
    rows, label_id, pool = pool_case()
    leaky = BalancedSampler(rows, label_id, BatchConfig(classes=3, samples=4), 0, pool)
    seen = set()
    for batch in islice(leaky, 50):
        assert len(set(batch.tolist())) == 12
        for start in range(0, 12, 4):
            assert set(batch[start:start + 2].tolist()) <= set(rows.tolist()), "the first half is of the training rows"
            assert len(set(label_id[batch[start:start + 4]].tolist())) == 1
        seen |= set(batch.tolist())
    assert seen == set(pool.tolist())
    clean = BalancedSampler(rows, label_id, BatchConfig(classes=3, samples=4), 0)
    assert set(np.concatenate(list(islice(clean, 50))).tolist()) == set(rows.tolist())


@pytest.mark.parametrize("is_leaky", [False, True])
def test_triplets_are_anchor_positive_negative(is_leaky: bool) -> None:
    rows, label_id, pool = pool_case()
    sampler = TripletSampler(rows, label_id, BatchConfig(classes=3, samples=8), 0, pool if is_leaky else None)
    partners = set()
    anchors = []
    for batch in islice(sampler, 60):
        anchor, positive, negative = batch.reshape(3, 8)
        assert (label_id[anchor] == label_id[positive]).all() and (anchor != positive).all()
        assert (label_id[anchor] != label_id[negative]).all()
        anchors += anchor.tolist()
        partners |= {*positive.tolist(), *negative.tolist()}
    assert set(Counter(anchors).values()) == {16}, "480 anchors of 30 rows, each in turn"
    assert partners == set((pool if is_leaky else rows).tolist())


def test_the_same_seed_draws_the_same_triplets() -> None:
    rows, label_id, _ = pool_case()
    drawn = [np.stack(list(islice(TripletSampler(rows, label_id, BatchConfig(classes=3, samples=4), seed), 5)))
             for seed in (0, 0, 1)]
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])


def test_triplets_need_two_classes_of_two() -> None:
    rows, label_id, _ = pool_case()
    with pytest.raises(ValueError, match="triplets must be drawn from at least two classes of two samples"):
        TripletSampler(rows[:10], label_id, BatchConfig(classes=2, samples=3), 0)


LONG_TAIL = [60, 25, 5, 2]


def shuffled(n_rows: int, size: int, count: int, seed: int = 0) -> np.ndarray:
    """Batches of the rows 0, 3, 6, …, shape (count, size)."""
    return np.stack(list(islice(ShuffledSampler(3 * np.arange(n_rows), size, seed), count)))


@settings(deadline=None, max_examples=100)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 5))
def test_a_shuffled_pass_draws_each_row_once_and_no_batch_holds_one_twice(n_rows: int, size: int, seed: int) -> None:
    size = min(n_rows, size)
    drawn = shuffled(n_rows, size, count=30, seed=seed)
    assert drawn.shape == (30, size) and drawn.dtype == np.int64
    assert all(len(set(batch)) == size for batch in drawn.tolist())
    stream = drawn.reshape(-1)
    for start in range(0, len(stream) - n_rows + 1, n_rows):
        assert sorted(stream[start:start + n_rows].tolist()) == (3 * np.arange(n_rows)).tolist()


def test_shuffled_classes_come_as_often_as_they_have_images_and_balanced_ones_equally_often() -> None:
    rows, label_id = spread(*dataset(LONG_TAIL))
    natural = label_id[np.concatenate(list(islice(ShuffledSampler(rows, 8, 0), 23)))]  # 184 images are two passes over 92
    assert np.bincount(natural)[[3, 5, 7, 9]].tolist() == [120, 50, 10, 4]
    balanced = batches(LONG_TAIL, classes=4, samples=2, count=23)
    assert np.bincount(label_id[balanced.reshape(-1)])[[3, 5, 7, 9]].tolist() == [46, 46, 46, 46]


def test_shuffled_passes_differ_and_follow_from_the_seed_alone() -> None:
    first = shuffled(12, 12, count=2)
    assert first[0].tolist() != first[1].tolist() and sorted(first[0]) == sorted(first[1])
    np.random.seed(3)
    assert np.array_equal(first, shuffled(12, 12, count=2))
    assert not np.array_equal(first, shuffled(12, 12, count=2, seed=1))


def test_a_shuffled_order_is_no_order_of_classes() -> None:
    """Of 2000 batches, each row stands in each place about equally often: no cell beyond five standard deviations."""
    drawn = np.stack([ShuffledSampler(np.arange(6), 6, seed).draw() for seed in range(2000)])
    found = np.array([[(drawn[:, place] == row).sum() for row in range(6)] for place in range(6)])
    assert abs(found - 2000 / 6).max() < 5 * (2000 * 5 / 36) ** 0.5


def test_a_shuffled_batch_larger_than_the_training_images_is_refused() -> None:
    assert sorted(shuffled(6, 6, count=1)[0].tolist()) == [0, 3, 6, 9, 12, 15]
    with pytest.raises(ValueError, match="must hold at most the 6 training images where they are shuffled, got 7"):
        shuffled(6, 7, count=1)


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 7])
def test_processes_draw_the_same_shuffled_batch_and_share_it_without_overlap(n_ranks: int) -> None:
    samplers = [ShuffledSampler(np.arange(92), 30, 5) for _ in range(n_ranks)]
    for _ in range(10):
        parts = []
        for rank, sampler in enumerate(samplers):
            ranks = Ranks()
            ranks.rank, ranks.n = rank, n_ranks
            parts.append(sampler.draw()[ranks.share(30)])
        together = np.concatenate(parts)
        assert len(together) == 30 == len(set(together.tolist()))


def test_a_run_takes_the_order_that_its_arm_or_its_experiment_asks_for() -> None:
    rows, label_id = spread(*dataset([20] * 10))
    config = tiny(objectives=["classification", {"name": "supcon", "order": "shuffled"},
                              {"name": "triplet", "mining": "drawn"}])
    kinds = [type(sampler_of(run, rows, label_id)) for run in config.runs()[1:4]]
    assert kinds == [BalancedSampler, ShuffledSampler, TripletSampler]
    batch = {**config.to_json()["training"]["batch"], "order": "shuffled"}
    config = tiny(objectives=["classification", {"name": "supcon", "order": "balanced"},
                              {"name": "triplet", "mining": "drawn"}], training={"batch": batch})
    kinds = [type(sampler_of(run, rows, label_id)) for run in config.runs()[1:4]]
    assert kinds == [ShuffledSampler, BalancedSampler, TripletSampler]
