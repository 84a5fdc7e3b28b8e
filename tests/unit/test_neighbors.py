"""Nearest neighbours against slow loops, and votes that agree with the k-NN that is reported."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis import metrics, neighbors, parts


def slow(queries: np.ndarray, reference: np.ndarray, k: int, is_same: bool) -> list[list[int]]:
    found = []
    for place, query in enumerate(queries):
        cosines = [(-(query @ other) / np.linalg.norm(query) / np.linalg.norm(other), row)
                   for row, other in enumerate(reference) if not (is_same and row == place)]
        found.append([row for _, row in sorted(cosines)[:k]])
    return found


@pytest.mark.parametrize("is_same", [False, True])
def test_nearest_is_what_a_slow_loop_finds(is_same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_NUMBERS", 200)  # several chunks
    generator = np.random.default_rng(0)
    reference = generator.normal(size=(40, 5)).astype(np.float32)
    queries = reference if is_same else generator.normal(size=(23, 5)).astype(np.float32)
    rows, cosines = neighbors.nearest(queries, reference, 6, is_same)
    assert rows.tolist() == slow(queries, reference, 6, is_same)
    for query, row, cosine in zip(queries, rows, cosines):
        expected = [query @ reference[item] / np.linalg.norm(query) / np.linalg.norm(reference[item]) for item in row]
        np.testing.assert_allclose(cosine, expected, atol=1e-6)


def test_more_neighbours_than_there_are_gives_all_and_none_is_refused() -> None:
    vectors = np.eye(3, dtype=np.float32)
    assert neighbors.nearest(vectors, vectors, 9, is_same=True)[0].shape == (3, 2)
    with pytest.raises(ValueError, match="at least one sample to be near to, got 0"):
        neighbors.nearest(vectors[:1], vectors[:1], 3, is_same=True)


def test_votes_by_hand_and_a_tie_goes_to_the_nearer() -> None:
    called, share = neighbors.vote(np.array([[0, 1, 1], [2, 0, 1], [1, 2, 2]]), 3)
    assert called.tolist() == [1, 2, 2]
    assert share == pytest.approx([2 / 3, 1 / 3, 2 / 3])


def test_votes_agree_with_the_reported_k_nn() -> None:
    generator = np.random.default_rng(3)
    vectors, known = generator.normal(size=(2, 80, 4)).astype(np.float32)
    label_id, known_label_id = generator.integers(0, 4, (2, 80))
    called, _ = neighbors.vote(known_label_id[neighbors.nearest(vectors, known, 5)[0]], 4)
    np.testing.assert_array_equal(called == label_id, metrics.knn_correct(vectors, label_id, known, known_label_id, 5) == 1)


@settings(deadline=None, max_examples=200)
@given(rows=st.lists(st.lists(st.integers(0, 3), min_size=24, max_size=24), min_size=1, max_size=4),
       k=st.integers(1, 30))
def test_largest_is_a_stable_sort_cut_at_k(rows, k):
    similarity = np.array(rows, float)
    slow = [sorted(range(24), key=lambda place: (-row[place], place))[:k] for row in similarity]
    assert neighbors.largest(similarity, k).tolist() == slow


@pytest.mark.parametrize("k", [1, 20, 300, 1999])
@pytest.mark.parametrize("kind", ["numbers", "ties", "all equal", "sampled ones large", "sampled ones small"])
def test_largest_of_wide_rows_are_those_of_a_stable_sort(kind: str, k: int) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(3, 4001)).astype(np.float32)
    if kind == "ties":
        rows = generator.integers(0, 6, (3, 4001)).astype(np.float32)
    elif kind == "all equal":
        rows[:] = 1
    elif kind.startswith("sampled"):
        rows[:, ::neighbors._THIN] += 9 if kind.endswith("large") else -9
    assert np.array_equal(neighbors.largest(rows, k), np.argsort(-rows, axis=1, kind="stable")[:, :k])
