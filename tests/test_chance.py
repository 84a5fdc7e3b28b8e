"""Chance levels against permuting labels one at a time, and spaces that know nothing."""

import numpy as np
import pytest

from core.analysis import chance, clustering, metrics, retrieval

RETRIEVAL = ("map_at_r", "r_precision", "precision_at_1")


def noise(seed: int, n: int = 200, n_classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, 12)).astype(np.float32), generator.integers(0, n_classes, n)


def test_chance_of_retrieval_is_that_of_permuted_labels() -> None:
    vectors, label = noise(0, n=60, n_classes=3)
    generator = np.random.default_rng(1)
    permuted = [retrieval.retrieve(vectors, generator.permutation(label)) for _ in range(300)]
    values = {name: column[None] for name, column in retrieval.retrieve(vectors, label).items()}
    for name, found in chance.of_retrieval(values, label, 200).items():
        slow = [np.nanmean(item[name]) for item in permuted]
        assert found.level == pytest.approx(np.mean(slow), abs=4 * np.std(slow) / np.sqrt(300))


def test_chance_of_kmeans_lies_above_one_in_so_many_classes() -> None:
    vectors, label = noise(2, n=60)
    clusters = np.stack([clustering.kmeans(vectors, 5, seed)[0] for seed in range(3)])
    found = chance.of_kmeans(clusters, label, 5)
    generator, slow = np.random.default_rng(9), []
    for _ in range(100):
        labels = generator.permutation(label)
        slow.append(np.mean([(clustering.match(cluster, labels, 5)[cluster] == labels).mean() for cluster in clusters]))
    assert found.level == pytest.approx(np.mean(slow), abs=4 * np.std(slow) / 10)
    assert found.level > 0.25


def test_a_noise_space_reads_at_chance_and_a_space_of_classes_does_not() -> None:
    read = {"kmeans_accuracy": [], "map_at_r": []}
    for seed in range(40):
        vectors, label = noise(seed)
        found = metrics.measure(vectors, label, vectors, label, 5, neighbors=5, kmeans_seeds=3)
        drawn = {name: (found.values[name] + found.gallery[name])[None] for name in RETRIEVAL}
        read["map_at_r"].append(chance.of_retrieval(drawn, label, 500)["map_at_r"].is_at_chance)
        read["kmeans_accuracy"].append(chance.of_kmeans(found.clusters, label, 5).is_at_chance)
    assert min(np.mean(items) for items in read.values()) >= 0.9
    vectors, label = noise(0)
    vectors += 1.0 * np.eye(12)[label].astype(np.float32)
    found = metrics.measure(vectors, label, vectors, label, 5, neighbors=5, kmeans_seeds=3)
    values = {name: found.values[name][None] for name in RETRIEVAL}
    assert not any(item.is_at_chance for item in chance.of_retrieval(values, label, 500).values())
    assert not chance.of_kmeans(found.clusters, label, 5).is_at_chance
