"""Each measure against scikit-learn or a slow loop over pairs; pseudo-values against leaving samples out."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from core.analysis import geometry


def space(seed: int = 0, n: int = 40, width: int = 5, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    label = generator.integers(0, n_classes, n)
    vectors = generator.normal(size=(n, width)) + 2 * np.eye(width)[label]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), label


def pairs(vectors: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Means over samples of means over pairs, one pair at a time."""
    wide, n = vectors.astype(float), len(vectors)
    intra, inter, alignment = [], [], []
    for one in range(n):
        same = [other for other in range(n) if other != one and label[other] == label[one]]
        rest = [other for other in range(n) if label[other] != label[one]]
        intra.append(np.mean([1 - wide[one] @ wide[other] for other in same]))
        inter.append(np.mean([1 - wide[one] @ wide[other] for other in rest]))
        alignment.append(np.mean([((wide[one] - wide[other]) ** 2).sum() for other in same]))
    return {"intra_distance": np.mean(intra), "inter_distance": np.mean(inter), "alignment": np.mean(alignment)}


@pytest.mark.parametrize("seed", range(3))
def test_distances_are_those_of_a_slow_loop(seed: int) -> None:
    vectors, label = space(seed)
    found, slow = geometry.by_class(vectors, label), pairs(vectors, label)
    for name, value in slow.items():
        assert found[name].mean() == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_silhouette_is_scikit_learns(seed: int) -> None:
    vectors, label = space(seed, n_classes=2 + seed)
    theirs = silhouette_samples(vectors.astype(float), label, metric="cosine")
    np.testing.assert_allclose(geometry.by_class(vectors, label)["silhouette"], theirs, atol=1e-5)


def test_a_sample_alone_in_its_class_and_a_class_alone_are_undefined() -> None:
    vectors, label = space(0, n=12)
    label = np.array([0] + [1] * 11)
    found = geometry.by_class(vectors, label)
    assert np.isnan(found["silhouette"]).tolist() == [True] + [False] * 11
    assert np.isnan(found["intra_distance"][0]) and not np.isnan(found["inter_distance"]).any()
    alone = geometry.by_class(vectors, np.zeros(12, int))
    assert np.isnan(alone["inter_distance"]).all() and np.isnan(alone["silhouette"]).all()
    assert not np.isnan(alone["intra_distance"]).any()


def test_one_point_has_no_distances() -> None:
    found = geometry.by_class(np.ones((6, 4), np.float32) / 2, np.array([0, 0, 0, 1, 1, 1]))
    for name in ("intra_distance", "inter_distance", "silhouette", "gallery silhouette"):
        assert np.abs(found[name]).max() < 1e-6


def without_each(measure, vectors: np.ndarray, label: np.ndarray) -> np.ndarray:
    """By how much a measure is higher with each sample than without it, (n − 1) times: the jackknife's influence."""
    n, whole = len(vectors), measure(vectors, label)
    return np.array([(n - 1) * (whole - measure(np.delete(vectors, row, 0), np.delete(label, row))) for row in range(n)])


def kernel(vectors: np.ndarray) -> np.ndarray:
    squared = ((vectors[:, None].astype(float) - vectors[None].astype(float)) ** 2).sum(axis=2)
    weight = np.exp(-2 * squared)
    return (weight.sum(axis=1) - 1) / (len(vectors) - 1)


def test_uniformity_is_that_of_all_pairs() -> None:
    vectors, _ = space()
    wide, total, count = vectors.astype(float), 0.0, 0
    for one in range(len(wide)):
        for other in range(one):
            total, count = total + np.exp(-2 * ((wide[one] - wide[other]) ** 2).sum()), count + 1
    assert geometry.uniformity(kernel(vectors)).mean() == pytest.approx(np.log(total / count), abs=1e-6)


MEASURES = {
    "alignment": (lambda vectors, label: pairs(vectors, label)["alignment"],
                  lambda vectors, label: geometry.by_class(vectors, label)["alignment"]),
    "inter_distance": (lambda vectors, label: pairs(vectors, label)["inter_distance"],
                       lambda vectors, label: geometry.by_class(vectors, label)["inter_distance"]),
    "uniformity": (lambda vectors, _: np.log(kernel(vectors).mean()),
                   lambda vectors, _: geometry.uniformity(kernel(vectors))),
    "effective_rank": (lambda vectors, _: geometry.effective_rank(vectors).mean(),
                       lambda vectors, _: geometry.effective_rank(vectors)),
    "silhouette": (lambda vectors, label: silhouette_samples(vectors.astype(float), label, metric="cosine").mean(),
                   lambda vectors, label: sum(geometry.by_class(vectors, label)[name]
                                              for name in ("silhouette", "gallery silhouette"))),
}


@pytest.mark.parametrize("name", MEASURES)
def test_pseudo_values_are_what_leaving_a_sample_out_says(name: str) -> None:
    measure, pseudo_values = MEASURES[name]
    vectors, label = space(4, n=90)
    slow, found = without_each(measure, vectors, label), pseudo_values(vectors, label)
    found = found - found.mean()
    slow = slow - slow.mean()
    assert np.corrcoef(slow, found)[0, 1] > 0.97
    assert found.std() == pytest.approx(slow.std(), rel=0.1)


def test_effective_rank_is_that_of_its_formula() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 12))
    for part in (vectors, vectors[:5]):
        singular = np.linalg.svd(part, compute_uv=False)
        share = singular / singular.sum()
        expected = np.exp(-sum(value * np.log(value) for value in share))
        assert geometry.effective_rank(part).mean() == pytest.approx(expected, rel=1e-6)
    assert geometry.effective_rank(np.eye(6)).mean() == pytest.approx(6)
    assert geometry.effective_rank(np.ones((9, 4))).mean() == pytest.approx(1, abs=1e-5)
