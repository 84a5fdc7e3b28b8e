"""Same or not: against scikit-learn on the explicit pairs, and weights of images; groups, ties, refusals."""

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score, roc_curve

from core.analysis import neighbors, roc, verification
from core.analysis.resampling import bootstrap
from core.analysis.retrieval import Roles
from core.analysis.verification import Images
from core.errors import InputError


def images(seed: int, n: int = 120, n_classes: int = 6, n_groups: int | None = None, roles: Roles | None = None) -> Images:
    """Noisy classes, the same in every split; groups of several classes where there are fewer groups than images."""
    generator = np.random.default_rng(seed)
    label_id = generator.integers(0, n_classes, n)
    centers = np.random.default_rng(99).normal(size=(n_classes, 8))
    vectors = (centers[label_id] + generator.normal(0, 1.5, (n, 8))).astype(np.float32)
    return Images(vectors, label_id, np.arange(n) if n_groups is None else generator.integers(0, n_groups, n), roles)


def explicit(side: Images) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cosine, whether the class is the same, and the rows of every pair."""
    unit, (row, column) = neighbors.unit(side.vectors), np.triu_indices(len(side.vectors), 1)
    keep = side.group[row] != side.group[column]
    if side.roles is not None:
        asks, found = side.roles.is_query, side.roles.is_gallery
        keep &= (asks[row] & found[column]) | (asks[column] & found[row])
    row, column = row[keep], column[keep]
    return (unit[row] * unit[column]).sum(axis=1), side.label_id[row] == side.label_id[column], row, column


ROLES = Roles(np.arange(120) % 3 > 0, np.arange(120) % 4 > 0)


@pytest.mark.parametrize("test", [images(1), images(1, n_groups=40), images(1, roles=ROLES),
                                  images(1, n_groups=70, roles=ROLES)], ids=["alone", "groups", "roles", "both"])
def test_every_number_is_scikit_learns_on_the_explicit_pairs(test: Images) -> None:
    validation = images(2, 80, n_groups=50)
    found = verification.measure(validation, test, 0.05)
    cosine, is_same, _, _ = explicit(validation)
    false_accepts, _, at = roc_curve(is_same, cosine, drop_intermediate=False)
    assert (found.n_pairs, found.n_groups) == ((~is_same).sum(), len(set(validation.group.tolist())))
    assert found.on_validation == pytest.approx(false_accepts[false_accepts <= 0.05].max(), abs=1e-12)
    assert found.threshold <= at[false_accepts <= 0.05].min(), "the lowest that keeps to the rate"
    assert (cosine[~is_same] >= found.threshold - 2 ** -18).mean() > 0.05
    cosine, is_same, _, _ = explicit(test)
    assert (found.n_same, found.n_different) == (is_same.sum(), (~is_same).sum())
    assert found.rates["true_accept"].value == pytest.approx((cosine[is_same] >= found.threshold).mean(), abs=1e-12)
    assert found.rates["false_accept"].value == pytest.approx((cosine[~is_same] >= found.threshold).mean(), abs=1e-12)
    assert found.rates["auroc"].value == pytest.approx(roc_auc_score(is_same, cosine), abs=1e-6)
    false_accepts, true_accepts, _ = roc_curve(is_same, cosine, drop_intermediate=False)
    assert found.equal_error == pytest.approx(
        brentq(lambda rate: 1 - rate - np.interp(rate, false_accepts, true_accepts), 0, 1), abs=1e-6)
    expected = [true_accepts[false_accepts <= rate].max() for rate in roc.CURVE]
    assert found.curve == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("test", [images(1, n_groups=60), images(1, n_groups=90, roles=ROLES)], ids=["groups", "roles"])
def test_what_an_image_does_to_a_rate_is_the_slope_by_its_weight(test: Images) -> None:
    found = verification.measure(images(2, 80), test, 0.05)
    cosine, is_same, row, column = explicit(test)

    def rates(weight: np.ndarray) -> dict[str, float]:
        pairs, is_accepted = weight[row] * weight[column], cosine >= found.threshold
        return {"true_accept": np.average(is_accepted[is_same], weights=pairs[is_same]),
                "false_accept": np.average(is_accepted[~is_same], weights=pairs[~is_same]),
                "auroc": roc_auc_score(is_same, cosine, sample_weight=pairs)}

    for image in range(0, 120, 17):
        more, less = np.ones(120), np.ones(120)
        more[image], less[image] = 1 + 1e-4, 1 - 1e-4
        above, below = rates(more), rates(less)
        for name, rate in found.rates.items():
            assert rate.influence[image] == pytest.approx(120 * (above[name] - below[name]) / 2e-4, abs=2e-4), name
    assert all(abs(rate.influence.mean()) < 1e-12 for rate in found.rates.values())


def test_intervals_are_those_of_pairs_weighted_by_their_images() -> None:
    """Against the bootstrap itself: groups drawn, a pair counted as often as both of its images were, wᵢ wⱼ."""
    test = images(3, 300, n_groups=150)
    rate = verification.measure(images(2, 80), test, 0.05).rates
    threshold = verification.measure(images(2, 80), test, 0.05).threshold
    cosine, is_same, row, column = explicit(test)
    is_accepted, group = cosine >= threshold, np.unique(test.group, return_inverse=True)[1]
    generator, drawn = np.random.default_rng(0), {"true_accept": [], "false_accept": []}
    for _ in range(600):
        times = np.bincount(generator.integers(0, group.max() + 1, group.max() + 1), minlength=group.max() + 1)[group]
        pairs = times[row] * times[column]
        for name, rows in (("true_accept", is_same), ("false_accept", ~is_same)):
            drawn[name].append(np.average(is_accepted[rows], weights=pairs[rows]))
    for name, values in drawn.items():
        ours = bootstrap([(rate[name].value + rate[name].influence)[None]], 2000, 0, test.group)
        assert ours.draws.std() == pytest.approx(np.std(values), rel=0.12), name
        assert ours.mean[0] == pytest.approx(rate[name].value, abs=1e-12)


def test_the_choice_of_the_threshold_moves_the_true_accept_rate() -> None:
    """Against drawing the validation images and choosing anew."""
    validation, test = images(2, 200), images(3, 300)
    found = verification.measure(validation, test, 0.05)
    cosine, is_same, row, column = explicit(validation)
    of_test, test_is_same, _, _ = explicit(test)
    same = np.sort(of_test[test_is_same])
    order = np.flatnonzero(~is_same)[np.argsort(-cosine[~is_same])]
    generator, drawn, expected = np.random.default_rng(0), [], []
    for _ in range(600):
        times = np.bincount(generator.integers(0, 200, 200), minlength=200)
        weights = np.cumsum(times[row[order]] * times[column[order]])
        threshold = cosine[order][np.searchsorted(weights, 0.05 * weights[-1])]
        drawn.append(1 - np.searchsorted(same, threshold) / len(same))
        expected.append(times @ found.choice / 200)
    assert np.corrcoef(drawn, expected)[0, 1] > 0.8
    ours = bootstrap([found.choice[None]], 2000, 0)
    assert ours.draws.std() == pytest.approx(np.std(drawn), rel=0.15)


def test_a_space_that_knows_the_photograph_alone_tells_nothing() -> None:
    """Crops lie around their photograph's random point. Counted, they would verify well; left out, it is at chance."""
    group = np.repeat(np.arange(60), 6)
    generator = np.random.default_rng(0)
    vectors = (generator.normal(size=(60, 16))[group] + 0.3 * generator.normal(size=(360, 16))).astype(np.float32)
    with_groups, alone = (verification.measure(*2 * [Images(vectors, group % 4, own)], 0.01)
                          for own in (group, np.arange(360)))
    assert alone.rates["auroc"].value > 0.52 and alone.rates["true_accept"].value > 0.05
    assert with_groups.rates["auroc"].value == pytest.approx(0.5, abs=0.01)
    assert with_groups.rates["true_accept"].value == pytest.approx(0.01, abs=0.01)


def test_blocks_and_the_order_of_rows_change_no_number() -> None:
    validation, test = images(2, 80), images(1, 1100, n_groups=500)  # more than one block
    whole = verification.measure(validation, test, 0.05)
    cosine, is_same, row, column = explicit(test)
    is_accepted, wrong = cosine >= whole.threshold, whole.rates["false_accept"]
    assert whole.rates["true_accept"].value == is_accepted[is_same].mean() and wrong.value == is_accepted[~is_same].mean()
    excess = (is_accepted[~is_same] - wrong.value) / (~is_same).sum()
    of_each = sum(np.bincount(side[~is_same], excess, 1100) for side in (row, column))
    assert wrong.influence == pytest.approx(1100 * of_each, abs=1e-9)
    order = np.random.default_rng(0).permutation(1100)
    shuffled = verification.measure(validation, Images(test.vectors[order], test.label_id[order], test.group[order]), 0.05)
    for name, rate in whole.rates.items():
        assert rate.value == shuffled.rates[name].value
        assert shuffled.rates[name].influence == pytest.approx(rate.influence[order], abs=1e-9)


def test_ties_are_accepted_together_or_not_at_all() -> None:
    """Four points: pairs of different classes have cosine 0 or 1 alone, of which 1 in 10 is more than 5 %."""
    points = np.eye(4, dtype=np.float32)
    place = np.arange(200) % 4
    label_id = (place + (np.arange(200) < 30)) % 4
    found = verification.measure(*2 * [Images(points[place], label_id, np.arange(200))], 0.05)
    assert found.threshold is None
    assert found.why_not == "more than 5 % of the validation pairs of different classes have the same vector"
    looser = verification.measure(*2 * [Images(points[place], label_id, np.arange(200))], 0.2)
    assert 0 < looser.threshold <= 2 ** -18, "just above the cosine of 0 that is refused"
    cosine, is_same, _, _ = explicit(Images(points[place], label_id, np.arange(200)))
    assert looser.rates["false_accept"].value == pytest.approx((cosine[~is_same] == 1).mean())
    assert looser.rates["auroc"].value == pytest.approx(roc_auc_score(is_same, cosine), abs=1e-12)


def test_a_space_of_one_point_has_no_threshold_and_is_at_chance() -> None:
    same = Images(np.ones((60, 3), np.float32), np.arange(60) % 3, np.arange(60))
    found = verification.measure(same, same, 0.01)
    assert found.threshold is None and "have the same vector" in found.why_not
    assert list(found.rates) == ["auroc"] and found.rates["auroc"].value == 0.5
    assert found.equal_error == pytest.approx(0.5)
    assert (found.rates["auroc"].influence == 0).all() and (found.choice == 0).all()


@pytest.mark.parametrize(("validation", "test", "said"), [
    (images(2, 0), images(1), "validation must have at least 100 pairs of different classes, got 0"),
    (images(2, 12), images(1), "validation must have at least 100 pairs of different classes, got 5"),
    (images(2, 80, n_groups=9), images(1), "validation must have at least 10 groups of images, got 9"),
    (images(2, 80, n_classes=1), images(1), "validation must have at least 100 pairs of different classes, got 0"),
    (images(2, 80), images(1, n_classes=1), "test must have pairs of different classes outside one group, got none"),
    (images(2, 80), images(1, 6, n_groups=1), "test must have pairs of one class outside one group, got none"),
], ids=["no validation", "few pairs", "few groups", "one class to choose", "one class on test", "one group on test"])
def test_what_cannot_be_chosen_or_judged_is_said(validation: Images, test: Images, said: str) -> None:
    found = verification.measure(validation, test, 0.01)
    assert found.threshold is None and np.isnan(found.on_validation) and not found.choice.any()
    assert found.why_not.startswith(said)
    assert set(found.rates) == ({"auroc"} if found.n_same and found.n_different else set())


def test_a_vector_that_is_not_finite_is_refused() -> None:
    bad = images(1)
    bad.vectors[3, 2] = np.nan
    with pytest.raises(InputError, match="vectors to pair must be finite, got NaN or infinity"):
        verification.measure(images(2, 80), bad, 0.01)
