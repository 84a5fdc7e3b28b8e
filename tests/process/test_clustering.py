"""K-means and its matching to classes, against worked examples and brute force."""

import os
import subprocess
import sys
import warnings
from itertools import permutations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from core.analysis import clustering
from tests import PROJECT

CORNERS = np.array([[0, 0], [10, 0], [0, 10]], np.float32)


def blobs(n_each=8, seed=0):
    generator = np.random.default_rng(seed)
    label = np.repeat(np.arange(3, dtype=np.int32), n_each)
    return (CORNERS[label] + generator.normal(0, 0.5, (3 * n_each, 2))).astype(np.float32), label


def partition(cluster) -> set:
    return {frozenset(np.flatnonzero(cluster == name).tolist()) for name in set(cluster.tolist())}


def test_kmeans_on_a_line_by_hand():
    vectors = np.array([[0], [1], [2], [10], [11], [12]], np.float32)
    cluster, centers = clustering.kmeans(vectors, 2, seed=0)
    assert partition(cluster) == {frozenset({0, 1, 2}), frozenset({3, 4, 5})}
    assert sorted(centers[:, 0].tolist()) == [1, 11]
    assert (cluster.dtype, cluster.shape, centers.shape) == (np.int32, (6,), (2, 1))


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_finds_separate_blobs_from_any_seed_order_and_scale(seed):
    vectors, label = blobs()
    order = np.random.default_rng(seed).permutation(len(vectors))
    assert partition(clustering.kmeans(vectors, 3, seed)[0]) == partition(label)
    assert partition(clustering.kmeans(vectors[order], 3, seed)[0]) == partition(label[order])
    assert partition(clustering.kmeans(1000 * vectors + 7, 3, seed)[0]) == partition(label)


def test_kmeans_is_the_same_for_the_same_seed():
    vectors = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)
    first, again = (clustering.kmeans(vectors, 5, seed=3) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


CLUSTERED = """
import sys, numpy
from core.analysis import clustering
generator = numpy.random.default_rng(5)
vectors = generator.normal(size=(500, 64)).astype("float32")
cluster, centers = clustering.kmeans(vectors, 12, seed=0)
numpy.savez(sys.argv[1], cluster=cluster, centers=centers, nearest=clustering.nearest_center(vectors[::-1], centers))
"""


@pytest.mark.parametrize("environment", [
    {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}, {"OPENBLAS_CORETYPE": "Prescott"}], ids=["threads", "processor"])
def test_kmeans_hangs_neither_on_threads_nor_on_the_processors_last_bits(environment, tmp_path):
    """Many vectors lie about as near to several centres."""
    found = []
    for number, changes in enumerate(({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, environment)):
        output = tmp_path / f"{number}.npz"
        subprocess.run([sys.executable, "-c", CLUSTERED, str(output)], cwd=PROJECT, check=True, env={**os.environ, **changes})
        found.append(np.load(output))
    assert np.array_equal(found[0]["cluster"], found[1]["cluster"])
    assert np.array_equal(found[0]["nearest"], found[1]["nearest"])
    if "OMP_NUM_THREADS" in environment:
        assert np.array_equal(found[0]["centers"], found[1]["centers"])
    else:
        np.testing.assert_allclose(found[0]["centers"], found[1]["centers"], rtol=1e-6, atol=1e-9)


def test_kmeans_of_fewer_samples_than_clusters_is_refused():
    with pytest.raises(ValueError, match="K-means with 3 clusters must have at least as many samples, got 2"):
        clustering.kmeans(CORNERS[:2], 3, seed=0)


def test_kmeans_of_a_collapsed_space_stays_in_range():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says that it found one point
        cluster, centers = clustering.kmeans(np.ones((6, 3), np.float32), 2, seed=0)
    assert set(cluster.tolist()) <= {0, 1}
    assert (centers == 1).all()


def test_confusion_counts_classes_in_rows_and_clusters_in_columns():
    found = clustering.confusion(np.array([0, 1, 1, 2, 2, 2]), np.array([0, 0, 1, 1, 1, 2]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 2], [0, 0, 1]]


def test_matching_by_hand():
    # cluster 0 holds classes 1, 1, 2; cluster 1 holds 0; cluster 2 holds 1, 1, 1, 2.
    # Cluster 2 as class 1 (3) and cluster 0 as class 2 (1) and cluster 1 as class 0 (1): 5 of 8, the most there is.
    cluster = np.array([0, 0, 0, 1, 2, 2, 2, 2])
    label = np.array([1, 1, 2, 0, 1, 1, 1, 2])
    assert clustering.match(cluster, label, 3).tolist() == [2, 0, 1]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_matching_agrees_as_much_as_the_best_of_all_namings(k):
    generator = np.random.default_rng(k)
    for _ in range(30):
        cluster, label = generator.integers(0, k, (2, 40))
        naming = clustering.match(cluster, label, k)
        assert sorted(naming.tolist()) == list(range(k))
        best = max(sum(naming_[c] == y for c, y in zip(cluster, label)) for naming_ in permutations(range(k)))
        assert (naming[cluster] == label).sum() == best


def test_matching_names_clusters_that_hold_nothing_too():
    assert sorted(clustering.match(np.array([1, 1]), np.array([2, 2]), 4).tolist()) == [0, 1, 2, 3]
    assert clustering.match(np.array([1, 1]), np.array([2, 2]), 4)[1] == 2


def test_matched_clusters_are_the_classes_of_separate_blobs():
    vectors, label = blobs()
    for names in permutations(range(3)):
        renamed = np.array(names, np.int32)[label]
        cluster, centers = clustering.matched_kmeans(vectors, renamed, 3, seed=0)
        assert cluster.tolist() == renamed.tolist()
        assert cluster.dtype == np.int32
        for name in range(3):
            assert np.allclose(centers[name], vectors[renamed == name].mean(axis=0), atol=1e-5)


def test_matched_centres_stand_in_the_order_of_the_clusters():
    vectors = np.random.default_rng(2).normal(size=(80, 5)).astype(np.float32)
    label = np.random.default_rng(3).integers(0, 4, 80).astype(np.int32)
    cluster, centers = clustering.matched_kmeans(vectors, label, 4, seed=0)
    assert clustering.nearest_center(vectors, centers).tolist() == cluster.tolist()


def test_the_nearest_centre_is_the_one_a_slow_loop_finds():
    generator = np.random.default_rng(4)
    vectors, centers = generator.normal(size=(50, 6)), generator.normal(size=(7, 6))
    slow = []
    for vector in vectors:
        distances = [sum((a - b) ** 2 for a, b in zip(vector, center)) for center in centers]
        slow.append(distances.index(min(distances)))
    assert clustering.nearest_center(vectors, centers).tolist() == slow


def test_centres_of_different_length_are_compared_by_distance_and_not_by_direction():
    centers = np.array([[1, 0], [100, 0]], np.float32)
    assert clustering.nearest_center(np.array([[2, 0], [80, 0]], np.float32), centers).tolist() == [0, 1]


@pytest.mark.parametrize("seed", range(4))
def test_agreement_with_the_classes_is_scikit_learns(seed):
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 4, 120)
    cluster = np.where(generator.random(120) < 0.6, label, generator.integers(0, 4, 120))
    ami = adjusted_mutual_info_score(label, cluster)
    assert clustering.rand_index(cluster, label, 4).mean() == pytest.approx(adjusted_rand_score(label, cluster))
    assert clustering.mutual_information(cluster, label, 4, ami).mean() == pytest.approx(ami)


@pytest.mark.parametrize("name", ["ari", "ami"])
def test_pseudo_values_of_agreement_are_what_leaving_a_sample_out_says(name):
    generator = np.random.default_rng(8)
    label = generator.integers(0, 4, 300)
    cluster = np.where(generator.random(300) < 0.6, label, generator.integers(0, 4, 300))
    measure = {"ari": adjusted_rand_score, "ami": adjusted_mutual_info_score}[name]
    whole = measure(label, cluster)
    slow = np.array([299 * (whole - measure(np.delete(label, row), np.delete(cluster, row))) for row in range(300)])
    found = (clustering.rand_index(cluster, label, 4) if name == "ari"
             else clustering.mutual_information(cluster, label, 4, whole)) - whole
    assert np.corrcoef(found, slow)[0, 1] > 0.99
    assert found.std() == pytest.approx(slow.std(), rel=0.05)


def test_agreement_where_there_is_nothing_to_disagree_on():
    label = np.zeros(5, int)
    assert clustering.rand_index(label, label, 1).tolist() == [1] * 5
    assert clustering.mutual_information(label, label, 1, 1.0).tolist() == [1] * 5
    perfect = np.array([0, 0, 1, 1, 2])
    assert clustering.rand_index(perfect, perfect, 3) == pytest.approx(np.ones(5))


def test_many_vectors_cluster_as_well_from_a_part_as_from_all() -> None:
    generator = np.random.default_rng(0)
    vectors = (generator.normal(0, 1, (12, 16))[generator.integers(0, 12, 30_000)] * 0.6
               + generator.normal(0, 1, (30_000, 16))).astype(np.float32)
    cluster, centers = clustering.kmeans(vectors, 12, seed=0)
    again, _ = clustering.kmeans(vectors, 12, seed=0)
    whole = KMeans(12, n_init=10, random_state=0).fit(vectors)
    assert np.array_equal(cluster, again)
    inertia = ((vectors - centers[cluster]) ** 2).sum()
    assert inertia == pytest.approx(whole.inertia_, rel=0.005)
