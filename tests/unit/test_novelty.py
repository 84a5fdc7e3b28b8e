"""Known or unknown: against scikit-learn, a slow loop, ties, and what is refused."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from core.analysis import novelty
from core.errors import InputError


def drawn(seed: int, n: int, place: float = 0.0) -> np.ndarray:
    middle = np.array([place, 1, 0, 0, 0, 0])
    return (middle + np.random.default_rng(seed).normal(size=(n, 6))).astype(np.float32)


def test_area_rates_and_threshold_are_scikit_learns() -> None:
    gallery, validation, known, unknown = drawn(0, 50), drawn(1, 40), drawn(2, 60), drawn(3, 30, -2.0)
    found = novelty.measure(gallery, validation, known, unknown)
    near = {name: cosine_similarity(vectors.astype(float), gallery.astype(float)).max(axis=1)
            for name, vectors in (("validation", validation), ("known", known), ("unknown", unknown))}
    assert (near["validation"] >= found.threshold - 1e-7).sum() == 38, "95 % of 40"
    assert found.threshold == pytest.approx(np.sort(near["validation"])[2], abs=1e-7)
    assert found.known["known_accept"].value == pytest.approx((near["known"] >= found.threshold).mean())
    assert found.unknown["unknown_accept"].value == pytest.approx((near["unknown"] >= found.threshold).mean())
    is_known = np.arange(90) < 60
    assert found.known["known_auroc"].value == pytest.approx(
        roc_auc_score(is_known, np.concatenate([near["known"], near["unknown"]])), abs=1e-12)
    assert (found.n_validation, found.n_known, found.n_unknown) == (40, 60, 30)


def test_what_an_image_does_to_the_area_is_the_slope_by_its_weight() -> None:
    gallery, known, unknown = drawn(0, 50), drawn(2, 60), drawn(3, 30, -1.0)
    found = novelty.measure(gallery, drawn(1, 40), known, unknown)
    both = np.concatenate([known, unknown]).astype(float)
    near = cosine_similarity(both, gallery.astype(float)).max(axis=1)
    for image in (0, 7, 60, 75):
        areas = []
        for step in (1e-4, -1e-4):
            weight = np.ones(90)
            weight[image] += step
            areas.append(roc_auc_score(np.arange(90) < 60, near, sample_weight=weight))
        rate, place, n = (found.known, image, 60) if image < 60 else (found.unknown, image - 60, 30)
        assert rate["known_auroc"].influence[place] == pytest.approx(n * (areas[0] - areas[1]) / 2e-4, abs=1e-5)


def test_equal_ones_count_one_half() -> None:
    point = np.ones((5, 3), np.float32)
    found = novelty.measure(point, point, point, point)
    assert found.known["known_auroc"].value == 0.5 and found.threshold == pytest.approx(1)
    assert found.known["known_accept"].value == found.unknown["unknown_accept"].value == 1


def test_without_validation_there_is_an_area_and_no_threshold() -> None:
    found = novelty.measure(drawn(0, 50), drawn(1, 0), drawn(2, 60), drawn(3, 30))
    assert found.threshold is None and list(found.known) == list(found.unknown) == ["known_auroc"]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="got 60 and 0 images and a gallery of 50"):
        novelty.measure(drawn(0, 50), drawn(1, 40), drawn(2, 60), drawn(3, 0))
    bad = drawn(2, 60)
    bad[0, 0] = np.inf
    with pytest.raises(InputError, match="must be finite"):
        novelty.measure(drawn(0, 50), drawn(1, 40), bad, drawn(3, 30))
