"""Every metric against worked examples, slow loops from the papers' formulas, and another library."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis import comparison, metrics

RETRIEVAL = ("precision_at_1", "r_precision", "map_at_r")


def on_circle(*degrees) -> np.ndarray:
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def random_space(seed, n=40, width=6, n_classes=4):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, width)).astype(np.float32), generator.integers(0, n_classes, n).astype(np.int32)


def cosine(one, other) -> float:
    one, other = one.astype(float), other.astype(float)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def slow_retrieval(vectors, label) -> dict[str, list[float]]:
    """Musgrave et al., 2020, arXiv:2003.08505, section 3.2, query by query and rank by rank."""
    found = {name: [] for name in RETRIEVAL}
    for query in range(len(vectors)):
        others = [row for row in range(len(vectors)) if row != query]
        others.sort(key=lambda row: -cosine(vectors[query], vectors[row]))
        r = sum(label[row] == label[query] for row in others)
        if r == 0:
            for name in RETRIEVAL:
                found[name].append(float("nan"))
            continue
        total = 0.0
        for rank in range(1, r + 1):
            if label[others[rank - 1]] == label[query]:
                total += sum(label[row] == label[query] for row in others[:rank]) / rank
        found["precision_at_1"].append(float(label[others[0]] == label[query]))
        found["r_precision"].append(sum(label[row] == label[query] for row in others[:r]) / r)
        found["map_at_r"].append(total / r)
    return found


def slow_knn(vectors, label, known, known_label, k) -> list[float]:
    right = []
    for vector, truth in zip(vectors, label):
        nearest = sorted(range(len(known)), key=lambda row: -cosine(vector, known[row]))[:k]
        votes = [known_label[row] for row in nearest]
        most = max(votes.count(name) for name in votes)
        tied = [name for name in votes if votes.count(name) == most]
        if len(set(tied)) == 1:
            right.append(float(tied[0] == truth))
        else:
            right.append(None)  # a tie: told apart in tests of its own
    return right


def test_retrieval_by_hand():
    # On a half circle: 0° a, 10° a, 30° b, 60° a, 100° b.
    found = metrics.retrieval(on_circle(0, 10, 30, 60, 100), np.array([0, 0, 1, 0, 1]))
    # 0°: 10 a, 30 b | r = 2: hits 1, 0 -> (1/1) / 2.        10°: 0 a, 30 b -> the same.
    # 30°: 10 a | r = 1 -> 0.      60°: 30 b, 100 b | r = 2 (40° to 100, 50° to 10) -> 0.      100°: 60 a | r = 1 -> 0.
    assert found["precision_at_1"].tolist() == [1, 1, 0, 0, 0]
    assert found["r_precision"].tolist() == [0.5, 0.5, 0, 0, 0]
    assert found["map_at_r"].tolist() == [0.5, 0.5, 0, 0, 0]


def test_map_at_r_weighs_the_order_that_r_precision_ignores():
    # The query at 0° has two others of its class (r = 2). Their rank is 1 and 3, or 2 and 3.
    first = metrics.retrieval(on_circle(0, 10, 20, 30), np.array([0, 0, 1, 0]))
    second = metrics.retrieval(on_circle(0, 10, 20, 30), np.array([0, 1, 0, 0]))
    assert first["r_precision"][0] == second["r_precision"][0] == 0.5
    assert first["map_at_r"][0] == 0.5  # (1/1) / 2
    assert second["map_at_r"][0] == 0.25  # (1/2) / 2


def test_classes_that_point_their_own_ways_are_perfect():
    found = metrics.retrieval(on_circle(0, 1, 2, 120, 121, 240, 241), np.array([0, 0, 0, 1, 1, 2, 2]))
    assert all(found[name].tolist() == [1] * 7 for name in RETRIEVAL)


@pytest.mark.parametrize("seed", range(6))
def test_retrieval_is_what_a_slow_loop_finds(seed):
    vectors, label = random_space(seed, n=30, n_classes=2 + seed)
    found, slow = metrics.retrieval(vectors, label), slow_retrieval(vectors, label)
    for name in RETRIEVAL:
        assert found[name].shape == (30,)
        np.testing.assert_allclose(found[name], slow[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_retrieval_agrees_with_pytorch_metric_learning(seed):
    torch = pytest.importorskip("torch")
    accuracy_calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    inference = pytest.importorskip("pytorch_metric_learning.utils.inference")
    vectors, label = random_space(seed, n=80, n_classes=5)
    vectors[:, 0] += label  # so that the scores are not all near chance
    calculator = accuracy_calculator.AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"), k="max_bin_count",
        knn_func=inference.CustomKNN(distances.CosineSimilarity()), device=torch.device("cpu"))
    theirs = calculator.get_accuracy(torch.from_numpy(vectors.astype(np.float64)),
                                     torch.from_numpy(label.astype(np.int64)))
    ours = {name: values.mean() for name, values in metrics.retrieval(vectors, label).items()}
    assert ours["precision_at_1"] == pytest.approx(theirs["precision_at_1"], abs=1e-9)
    assert ours["r_precision"] == pytest.approx(theirs["r_precision"], abs=1e-9)
    assert ours["map_at_r"] == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-9)
    assert 0.1 < ours["map_at_r"] < 0.9


def test_a_sample_alone_in_its_class_has_no_score_and_stays_among_the_neighbours():
    found = metrics.retrieval(on_circle(0, 10, 15), np.array([0, 1, 0]))
    for name in RETRIEVAL:
        assert np.isnan(found[name]).tolist() == [False, True, False]
        assert found[name][[0, 2]].tolist() == [0, 0]  # the one at 10° is nearer to both than they are to each other


def test_retrieval_where_every_class_has_one_sample_is_undefined_everywhere():
    found = metrics.retrieval(on_circle(0, 10, 20), np.array([0, 1, 2]))
    assert all(np.isnan(found[name]).all() for name in RETRIEVAL)


@pytest.mark.parametrize("n", [0, 1])
def test_retrieval_of_fewer_than_two_samples_is_refused(n):
    with pytest.raises(ValueError, match=f"retrieval must have at least 2 samples, got {n}"):
        metrics.retrieval(np.ones((n, 3), np.float32), np.zeros(n, int))


@pytest.mark.parametrize("seed", range(4))
def test_retrieval_does_not_depend_on_order_length_turn_or_label_numbers(seed):
    vectors, label = random_space(seed)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(vectors))
    lengths = generator.uniform(0.01, 100, (len(vectors), 1)).astype(np.float32)
    turn = np.linalg.qr(generator.normal(size=(6, 6)))[0].astype(np.float32)
    plain = metrics.retrieval(vectors, label)
    for name in RETRIEVAL:
        assert np.array_equal(metrics.retrieval(vectors[order], label[order])[name], plain[name][order])
        assert np.array_equal(metrics.retrieval(vectors * lengths, label)[name], plain[name])
        assert np.array_equal(metrics.retrieval(vectors @ turn, label)[name], plain[name])
        assert np.array_equal(metrics.retrieval(vectors, (label * 7 + 3) % 11)[name], plain[name])
    assert 0 < plain["map_at_r"].mean() < 1


def test_queries_beyond_one_chunk_are_scored_like_the_first():
    vectors, label = random_space(0, n=1100, width=4, n_classes=30)
    tail = np.arange(1000, 1100)
    found = metrics.retrieval(vectors, label)
    front = np.concatenate([tail, np.arange(1000)])
    again = metrics.retrieval(vectors[front], label[front])
    for name in RETRIEVAL:
        assert np.array_equal(found[name][tail], again[name][:100], equal_nan=True)
    assert np.nanmean(found["map_at_r"][1024:]) > 0


def test_knn_by_hand():
    known, known_label = on_circle(0, 10, 20, 90, 100), np.array([0, 0, 1, 1, 1])
    right = metrics.knn_correct(on_circle(5, 5, 95, 17), np.array([0, 1, 1, 0]), known, known_label, k=3)
    assert right.tolist() == [1, 0, 1, 1]  # at 17°: 20 b, 10 a, 0 a -> a
    assert metrics.knn_correct(on_circle(17), np.array([1]), known, known_label, k=1).tolist() == [1]
    assert right.dtype == np.float64


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_knn_is_what_a_slow_loop_finds(k):
    vectors, label = random_space(k, n=60, width=4, n_classes=3)
    known, known_label = random_space(k + 100, n=50, width=4, n_classes=3)
    slow = slow_knn(vectors, label, known, known_label, k)
    untied = [place for place, value in enumerate(slow) if value is not None]
    found = metrics.knn_correct(vectors, label, known, known_label, k)
    assert len(untied) > 20
    assert [found[place] for place in untied] == [slow[place] for place in untied]
    assert {slow[place] for place in untied} == {0.0, 1.0}


@pytest.mark.parametrize("order, wins", [("ab", "a"), ("ba", "b"), ("aabb", "a"), ("abab", "a"), ("bbaa", "b"),
                                         ("cabab", "a")])
def test_a_tie_goes_to_the_nearer_class(order, wins):
    for names in ({"a": 0, "b": 1, "c": 2}, {"a": 2, "b": 1, "c": 0}):
        known = on_circle(*range(10, 10 + 10 * len(order), 10))
        known_label = np.array([names[name] for name in order])
        query, truth = on_circle(0), np.array([names[wins]])
        assert metrics.knn_correct(query, truth, known, known_label, len(order)).tolist() == [1]


@pytest.mark.parametrize("order", ["abba", "abbac", "baab"])
def test_a_tie_does_not_depend_on_the_numbers_of_the_classes(order):
    known, right = on_circle(*range(10, 10 + 10 * len(order), 10)), []
    for names in ({"a": 0, "b": 1, "c": 2}, {"a": 1, "b": 0, "c": 2}):
        known_label = np.array([names[name] for name in order])
        right.append(metrics.knn_correct(on_circle(0), np.array([names["a"]]), known, known_label, len(order)).tolist())
    assert right[0] == right[1]


@pytest.mark.parametrize("nearer, farther", [(70, 71), (71, 70)])
def test_a_tie_far_from_the_query_goes_to_the_nearer_class_too(nearer, farther):
    known_label = np.array([*range(60), nearer, farther, nearer, farther])  # one vote each of sixty others before them
    known = on_circle(*np.linspace(1, 90, 64))
    assert metrics.knn_correct(on_circle(0), np.array([nearer]), known, known_label, k=64).tolist() == [1]


def test_more_voters_than_there_are_samples_means_all_of_them():
    known, known_label = on_circle(0, 80, 90), np.array([0, 1, 1])
    assert metrics.knn_correct(on_circle(1), np.array([1]), known, known_label, k=50).tolist() == [1]


def test_many_voters_are_still_counted_by_head():
    known = on_circle(*np.linspace(1, 90, 999))
    known_label = np.array([0] * 499 + [1] * 500)  # the farther class has one vote more
    assert metrics.knn_correct(on_circle(0), np.array([1]), known, known_label, k=1000).tolist() == [1]


@settings(deadline=None, max_examples=200)
@given(rows=st.lists(st.lists(st.integers(0, 3), min_size=24, max_size=24), min_size=1, max_size=4),
       k=st.integers(1, 30))
def test_nearest_is_a_stable_sort_cut_at_k(rows, k):
    similarity = np.array(rows, float)
    slow = [sorted(range(24), key=lambda place: (-row[place], place))[:k] for row in similarity]
    assert metrics.nearest(similarity, k).tolist() == slow


def test_kmeans_of_separate_classes_is_all_right_and_of_two_swapped_labels_not():
    generator = np.random.default_rng(0)
    label = np.repeat(np.arange(3), 10)
    vectors = (np.eye(3)[label] * 9 + generator.normal(0, 0.1, (30, 3))).astype(np.float32)
    assert metrics.kmeans_correct(vectors, label, 3, n_seeds=4).tolist() == [[1.0] * 30] * 4
    swapped = label.copy()
    swapped[[0, 29]] = label[[29, 0]]
    found = metrics.kmeans_correct(vectors, swapped, 3, n_seeds=2)
    assert found.shape == (2, 30)
    assert np.flatnonzero(found[0] == 0).tolist() == [0, 29]


def test_all_metrics_of_a_space_are_the_ones_announced():
    vectors, label = random_space(5, n=40, n_classes=3)
    known, known_label = random_space(6, n=50, n_classes=3)
    found = metrics.per_sample(vectors, label, known, known_label, n_classes=3, neighbors=5, kmeans_seeds=3)
    assert list(found) == list(metrics.METRICS)
    assert metrics.HEADLINE in found
    for name, values in found.items():
        low, high = metrics.METRICS[name].bounds
        assert values.shape == (40,)
        assert values.dtype == np.float64
        assert ((values >= low) & (values <= high)).all()
    assert np.array_equal(found["knn_accuracy"], metrics.knn_correct(vectors, label, known, known_label, 5))
    assert np.array_equal(found["kmeans_accuracy"], metrics.kmeans_correct(vectors, label, 3, 3).mean(axis=0))
    assert np.array_equal(found["map_at_r"], metrics.retrieval(vectors, label)["map_at_r"])


def test_a_collapsed_space_is_scored_and_not_called_good():
    label = np.repeat(np.arange(4), 10)
    label = np.random.default_rng(0).permutation(label)
    vectors = np.ones((40, 5), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # K-means says that it found one point
        found = metrics.per_sample(vectors, label, vectors, label, n_classes=4, neighbors=5, kmeans_seeds=2)
    for values in found.values():
        assert np.isfinite(values).all()
        assert values.mean() < 0.5


def brute_gallery(vectors, label, name) -> np.ndarray:
    """By how much the sum of all queries' values is higher with each sample in the gallery: each left out in turn."""
    found = []
    whole = slow_retrieval(vectors, label)[name]
    for left_out in range(len(vectors)):
        kept = [row for row in range(len(vectors)) if row != left_out]
        without = slow_retrieval(vectors[kept], label[kept])[name]
        found.append(sum(whole[row] - value for row, value in zip(kept, without) if not np.isnan(value)))
    return np.array(found)


@pytest.mark.parametrize("name", ["map_at_r", "r_precision"])
@pytest.mark.parametrize("seed", range(3))
def test_what_a_sample_does_as_one_that_is_found_is_what_leaving_it_out_takes_away(name, seed):
    vectors, label = random_space(seed, n=25, n_classes=2 + seed)
    vectors[:, 0] += label
    found = metrics.measure(vectors, label, vectors, label, n_classes=2 + seed, neighbors=5, kmeans_seeds=1).gallery[name]
    slow = brute_gallery(vectors, label, name)
    slow -= slow[np.bincount(label)[label] > 1].mean()
    np.testing.assert_allclose(found, slow, atol=1e-9)
    assert np.abs(slow).max() > 0.05


def test_galleries_of_one_class_and_of_pairs_by_hand():
    vectors = on_circle(0, 10, 100, 110)
    alike = metrics.measure(vectors, np.zeros(4, int), vectors, np.zeros(4, int), 1, neighbors=1, kmeans_seeds=1).gallery
    assert alike["map_at_r"].tolist() == alike["r_precision"].tolist() == [0] * 4
    assert alike["precision_at_1"].tolist() == [0] * 4
    # Pairs at right places: without its partner a query is none; without one of the other pair nothing changes.
    paired = metrics.measure(vectors, np.array([0, 0, 1, 1]), vectors, np.array([0, 0, 1, 1]), 2, 1, 1).gallery
    assert paired["map_at_r"].tolist() == [0] * 4


def test_what_a_sample_does_to_p_at_1_is_what_a_quarter_of_the_gallery_says():
    vectors, label = random_space(1, n=24, n_classes=2)
    vectors[:, 0] += label
    found = metrics.measure(vectors, label, vectors, label, 2, neighbors=5, kmeans_seeds=1).gallery["precision_at_1"]
    generator, with_it, without = np.random.default_rng(0), np.zeros(24), np.zeros(24)
    similarity = [[cosine(one, other) for other in vectors] for one in vectors]
    for query in range(24):
        order = sorted((row for row in range(24) if row != query), key=lambda row: -similarity[query][row])
        for _ in range(4000):
            there = [row for row in order if generator.random() < 0.25]
            if there:
                first, second = there[0], (there[1] if len(there) > 1 else there[0])
                with_it[first] += (label[first] == label[query]) / 4000
                without[first] += (label[second] == label[query]) / 4000
    slow = with_it - without
    assert np.corrcoef(found, slow)[0, 1] > 0.98
    assert found.std() == pytest.approx(slow.std(), rel=0.1)


def test_several_k_at_once_are_each_by_itself():
    vectors, label = random_space(1, n=50, n_classes=3)
    known, known_label = random_space(2, n=70, n_classes=3)
    found = metrics.per_sample(vectors, label, known, known_label, 3, neighbors=7, kmeans_seeds=1)
    for name, k in (("knn_1", 1), ("knn_accuracy", 7), ("knn_20", 20)):
        assert np.array_equal(found[name], metrics.knn_correct(vectors, label, known, known_label, k))


def test_the_probe_is_a_softmax_regression_on_standardised_vectors():
    vectors, label = random_space(3, n=60, n_classes=3)
    known, known_label = random_space(4, n=90, n_classes=3)
    vectors[:, 0] += 2 * label
    known[:, 0] += 2 * known_label
    mean, sd = known.mean(axis=0), known.std(axis=0)
    train, test = ((part - mean) / sd for part in (known, vectors))
    weights, bias, truth = np.zeros((6, 3)), np.zeros(3), np.eye(3)[known_label]
    for _ in range(5000):  # plain gradient descent on mean cross-entropy + |w|² / 2n
        logits = train @ weights + bias
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        weights -= 0.3 * (train.T @ (share - truth) + weights) / 90
        bias -= 0.3 * (share - truth).mean(axis=0)
    slow = (test @ weights + bias).argmax(axis=1) == label
    found = metrics.probe_correct(vectors, label, known, known_label)
    assert (found == slow).mean() > 0.98
    assert 0.5 < found.mean() < 1


def test_a_probe_that_saw_one_class_always_says_it():
    assert metrics.probe_correct(np.eye(3, dtype=np.float32), np.array([1, 0, 1]), np.eye(3, dtype=np.float32),
                                 np.array([1, 1, 1])).tolist() == [1, 0, 1]


def test_neighbours_are_kept_nearest_first():
    vectors, label = random_space(2, n=30)
    found = metrics.measure(vectors, label, vectors, label, 4, 5, 1).neighbors
    for row in range(30):
        others = [other for other in range(30) if other != row]
        others.sort(key=lambda other: -cosine(vectors[row], vectors[other]))
        assert found[row].tolist() == others[:metrics.N_NEIGHBORS]
    assert np.array_equal(found[:, :4], metrics.neighbors(vectors, 4))


def test_the_same_bits_on_one_core_and_on_several(monkeypatch):
    vectors, label = random_space(0, n=1500, width=16, n_classes=5)
    several = metrics.measure(vectors, label, vectors, label, 5, 5, 2)
    monkeypatch.setattr(metrics.os, "sched_getaffinity", lambda _: {0}, raising=False)
    alone = metrics.measure(vectors, label, vectors, label, 5, 5, 2)
    for part in ("values", "gallery", "space"):
        for name, column in getattr(several, part).items():
            assert np.array_equal(column, getattr(alone, part)[name], equal_nan=True), name
    assert np.array_equal(several.clusters, alone.clusters)


def toy_space(width: float) -> tuple[np.ndarray, np.ndarray]:
    """Three classes on a circle, each evenly over a share of its third: after Musgrave et al., 2020, figure 3."""
    label = np.repeat([0, 1, 2], 200)
    angle = (label + 0.5 * width * np.tile(np.linspace(-1, 1, 200), 3)) * 2 * np.pi / 3
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32), label


def test_spaces_that_kmeans_takes_for_equals_are_told_apart_by_map_at_r():
    found = [metrics.measure(*toy_space(width), *toy_space(width), 3, 5, 3) for width in (0.985, 0.9, 0.55)]
    assert min(item.values["kmeans_accuracy"].mean() for item in found) > 0.99
    assert [item.values["map_at_r"].mean() for item in found] == pytest.approx([0.68, 0.76, 0.99], abs=0.02)
    for worse, better in pairwise(found):
        a, b = ({name: (item.values[name] + item.gallery.get(name, 0))[None] for name in ("map_at_r", "kmeans_accuracy")}
                for item in (worse, better))
        assert [item.verdict for item in comparison.compare(a, b, 2000)] == ["better", "cannot tell"]
    assert "0.68, 0.76 and 0.99" in metrics.WHY_NOT_KMEANS_ALONE


def test_effective_rank_is_that_of_its_formula() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 12))
    for part in (vectors, vectors[:5]):
        singular = np.linalg.svd(part, compute_uv=False)
        share = singular / singular.sum()
        assert metrics.effective_rank(part) == pytest.approx(np.exp(-sum(value * np.log(value) for value in share)), rel=1e-6)
    assert metrics.effective_rank(np.ones((9, 4))) == pytest.approx(1, abs=1e-5)
    assert metrics.effective_rank(np.eye(6)) == pytest.approx(6)
