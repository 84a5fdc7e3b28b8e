"""Retrieval, and what a sample does to it as one that is found: worked examples, slow loops, and another library."""

import numpy as np
import pytest

from core.analysis import neighbors, retrieval


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
    found = {name: [] for name in retrieval.NAMES}
    for query in range(len(vectors)):
        others = [row for row in range(len(vectors)) if row != query]
        others.sort(key=lambda row: -cosine(vectors[query], vectors[row]))
        r = sum(label[row] == label[query] for row in others)
        if r == 0:
            for name in retrieval.NAMES:
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


def test_retrieval_by_hand():
    # On a half circle: 0° a, 10° a, 30° b, 60° a, 100° b.
    found = retrieval.retrieve(on_circle(0, 10, 30, 60, 100), np.array([0, 0, 1, 0, 1]))
    # 0°: 10 a, 30 b | r = 2: hits 1, 0 -> (1/1) / 2.        10°: 0 a, 30 b -> the same.
    # 30°: 10 a | r = 1 -> 0.      60°: 30 b, 100 b | r = 2 (40° to 100, 50° to 10) -> 0.      100°: 60 a | r = 1 -> 0.
    assert found["precision_at_1"].tolist() == [1, 1, 0, 0, 0]
    assert found["r_precision"].tolist() == [0.5, 0.5, 0, 0, 0]
    assert found["map_at_r"].tolist() == [0.5, 0.5, 0, 0, 0]


def test_map_at_r_weighs_the_order_that_r_precision_ignores():
    # The query at 0° has two others of its class (r = 2). Their rank is 1 and 3, or 2 and 3.
    first = retrieval.retrieve(on_circle(0, 10, 20, 30), np.array([0, 0, 1, 0]))
    second = retrieval.retrieve(on_circle(0, 10, 20, 30), np.array([0, 1, 0, 0]))
    assert first["r_precision"][0] == second["r_precision"][0] == 0.5
    assert first["map_at_r"][0] == 0.5  # (1/1) / 2
    assert second["map_at_r"][0] == 0.25  # (1/2) / 2


def test_classes_that_point_their_own_ways_are_perfect():
    found = retrieval.retrieve(on_circle(0, 1, 2, 120, 121, 240, 241), np.array([0, 0, 0, 1, 1, 2, 2]))
    assert all(found[name].tolist() == [1] * 7 for name in retrieval.NAMES)


@pytest.mark.parametrize("seed", range(6))
def test_retrieval_is_what_a_slow_loop_finds(seed):
    vectors, label = random_space(seed, n=30, n_classes=2 + seed)
    found, slow = retrieval.retrieve(vectors, label), slow_retrieval(vectors, label)
    for name in retrieval.NAMES:
        assert found[name].shape == (30,)
        np.testing.assert_allclose(found[name], slow[name], rtol=0, atol=1e-12)


def their_scores(*parts: np.ndarray) -> dict[str, float]:
    """What pytorch-metric-learning says of vectors and labels; of queries, and then of what they are asked of, if that is
    another set. Under our names."""
    torch = pytest.importorskip("torch")
    accuracy_calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    inference = pytest.importorskip("pytorch_metric_learning.utils.inference")
    calculator = accuracy_calculator.AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"), k="max_bin_count",
        knn_func=inference.CustomKNN(distances.CosineSimilarity()), device=torch.device("cpu"))
    theirs = calculator.get_accuracy(*(torch.from_numpy(part.astype(np.float64 if part.ndim > 1 else np.int64))
                                       for part in parts))
    return {"precision_at_1": theirs["precision_at_1"], "r_precision": theirs["r_precision"],
            "map_at_r": theirs["mean_average_precision_at_r"]}


def apart(n: int, n_queries: int) -> retrieval.Roles:
    """The first samples ask the others."""
    is_query = np.arange(n) < n_queries
    return retrieval.Roles(is_query, ~is_query)


@pytest.mark.parametrize("seed", range(10))
def test_retrieval_agrees_with_pytorch_metric_learning(seed):
    vectors, label = random_space(seed, n=80, n_classes=5)
    vectors[:, 0] += label  # so that the scores are not all near chance
    ours = {name: values.mean() for name, values in retrieval.retrieve(vectors, label).items()}
    assert ours == pytest.approx(their_scores(vectors, label), abs=1e-9)
    assert 0.1 < ours["map_at_r"] < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_queries_against_a_gallery_agree_with_pytorch_metric_learning(seed):
    vectors, label = random_space(seed, n=110, n_classes=5)
    vectors[:, 0] += label
    found = retrieval.retrieve(vectors, label, roles=apart(110, 40))
    assert all(np.isnan(values[40:]).all() for values in found.values()), "what is found asks nothing"
    ours = {name: values[:40].mean() for name, values in found.items()}
    assert ours == pytest.approx(their_scores(vectors[:40], label[:40], vectors[40:], label[40:]), abs=1e-9)
    assert 0.1 < ours["map_at_r"] < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_a_query_finds_no_gallery_image_of_its_own_group_by_a_slow_loop(seed):
    vectors, label = random_space(seed, n=60, n_classes=3)
    group = np.random.default_rng(seed).integers(0, 12, 60)
    group[3], label[3] = 99, 3  # a class that the gallery lacks, and a group
    n = 20
    found = retrieval.retrieve(vectors, label, group=group, roles=apart(60, n))
    for query in range(n):
        left = [row for row in range(n, 60) if group[row] != group[query]]
        left.sort(key=lambda row: -cosine(vectors[query], vectors[row]))
        r = sum(label[row] == label[query] for row in left)
        hits = [label[row] == label[query] for row in left[:r]]
        mean = sum(sum(hits[:place + 1]) / (place + 1) for place in range(r) if hits[place])
        slow = (float(hits[0]), sum(hits) / r, mean / r) if r else (np.nan,) * 3
        assert [found[name][query] for name in retrieval.NAMES] == pytest.approx(slow, abs=1e-12, nan_ok=True)
    assert np.isnan(found["map_at_r"][3])


def test_a_sample_alone_in_its_class_has_no_score_and_stays_among_the_neighbours():
    found = retrieval.retrieve(on_circle(0, 10, 15), np.array([0, 1, 0]))
    for name in retrieval.NAMES:
        assert np.isnan(found[name]).tolist() == [False, True, False]
        assert found[name][[0, 2]].tolist() == [0, 0]  # the one at 10° is nearer to both than they are to each other


def test_retrieval_where_every_class_has_one_sample_is_undefined_everywhere():
    found = retrieval.retrieve(on_circle(0, 10, 20), np.array([0, 1, 2]))
    assert all(np.isnan(found[name]).all() for name in retrieval.NAMES)


@pytest.mark.parametrize("n", [0, 1])
def test_retrieval_of_fewer_than_two_samples_is_refused(n):
    with pytest.raises(ValueError, match=f"retrieval must have at least 2 samples, got {n}"):
        retrieval.retrieve(np.ones((n, 3), np.float32), np.zeros(n, int))


@pytest.mark.parametrize("seed", range(4))
def test_retrieval_does_not_depend_on_order_length_turn_or_label_numbers(seed):
    vectors, label = random_space(seed)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(vectors))
    lengths = generator.uniform(0.01, 100, (len(vectors), 1)).astype(np.float32)
    turn = np.linalg.qr(generator.normal(size=(6, 6)))[0].astype(np.float32)
    plain = retrieval.retrieve(vectors, label)
    for name in retrieval.NAMES:
        assert np.array_equal(retrieval.retrieve(vectors[order], label[order])[name], plain[name][order])
        assert np.array_equal(retrieval.retrieve(vectors * lengths, label)[name], plain[name])
        assert np.array_equal(retrieval.retrieve(vectors @ turn, label)[name], plain[name])
        assert np.array_equal(retrieval.retrieve(vectors, (label * 7 + 3) % 11)[name], plain[name])
    assert 0 < plain["map_at_r"].mean() < 1


def test_queries_beyond_one_chunk_are_scored_like_the_first():
    vectors, label = random_space(0, n=1100, width=4, n_classes=30)
    tail = np.arange(1000, 1100)
    found = retrieval.retrieve(vectors, label)
    front = np.concatenate([tail, np.arange(1000)])
    again = retrieval.retrieve(vectors[front], label[front])
    for name in retrieval.NAMES:
        assert np.array_equal(found[name][tail], again[name][:100], equal_nan=True)
    assert np.nanmean(found["map_at_r"][1024:]) > 0


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
    found = retrieval.measure(vectors, label).gallery[name]
    slow = brute_gallery(vectors, label, name)
    np.testing.assert_allclose(found, slow, atol=1e-9)
    assert np.abs(slow).max() > 0.05


def test_galleries_of_one_class_and_of_pairs_by_hand():
    vectors = on_circle(0, 10, 100, 110)
    alike = retrieval.measure(vectors, np.zeros(4, int)).gallery
    assert alike["map_at_r"].tolist() == alike["r_precision"].tolist() == [0] * 4
    assert alike["precision_at_1"].tolist() == [0] * 4
    # Pairs at right places: without its partner a query is none; without one of the other pair nothing changes.
    paired = retrieval.measure(vectors, np.array([0, 0, 1, 1])).gallery
    assert paired["map_at_r"].tolist() == [0] * 4


def test_what_a_sample_does_to_p_at_1_is_what_a_quarter_of_the_gallery_says():
    vectors, label = random_space(1, n=24, n_classes=2)
    vectors[:, 0] += label
    found = retrieval.measure(vectors, label).gallery["precision_at_1"]
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


def test_neighbours_are_kept_nearest_first():
    vectors, label = random_space(2, n=30)
    found = retrieval.measure(vectors, label).neighbors
    for row in range(30):
        others = [other for other in range(30) if other != row]
        others.sort(key=lambda other: -cosine(vectors[row], vectors[other]))
        assert found[row].tolist() == others[:retrieval.N_NEIGHBORS]
    assert np.array_equal(found[:, :4], neighbors.nearest(vectors, vectors, 4, is_same=True)[0])
