"""The low-data curve: points, crossings and sentences worked out by hand, and a slow loop over the draws."""

import math

import numpy as np
import pytest

from core.analysis import comparison, low_data

IMAGES = {2: 2.0, 8: 8.0, "all": 32.0}
N = 400  # bootstrap draws


def constant(*levels: float, n: int = 6) -> dict:
    """Every sample of every seed has the same value, so intervals have no width."""
    return {count: np.full((2, n), level) for count, level in zip(IMAGES, levels)}


def curve(a: dict, b: dict, images: dict = IMAGES, **settings: object) -> low_data.Curve:
    return low_data.curve("map_at_r", {"ce": a, "con": b}, images, N, **settings)


def test_points_are_the_intervals_of_the_comparison_and_counts_go_up() -> None:
    generator = np.random.default_rng(0)
    arms = {name: {count: generator.random((3, 20)) for count in ("all", 8, 2)} for name in ("ce", "con")}
    group = np.arange(20) // 2
    found = curve(arms["ce"], arms["con"], group=group)
    assert found.counts == (2, 8, "all") and found.images == (2, 8, 32)
    assert (found.n_seeds, found.n_samples) == (3, 20)
    for place, count in enumerate(found.counts):
        assert found.points["con"][place] == comparison.interval(arms["con"][count], N, group=group)
        assert found.pairs[0].differences[place] == comparison.difference(
            "map_at_r", arms["ce"][count], arms["con"][count], N, group=group)


@pytest.mark.parametrize("before, after, at", [(-0.1, 0.1, 4.0), (-0.1, 0.3, 2 * 4 ** 0.25), (-0.3, 0.1, 2 * 4 ** 0.75)])
def test_curves_cross_on_a_line_over_the_logarithm(before: float, after: float, at: float) -> None:
    found = curve(constant(0.5, 0.5, 0.5), constant(0.5 + before, 0.5 + after, 0.9)).pairs[0]
    (crossing,) = found.crossings
    assert (crossing.at, crossing.low, crossing.high) == pytest.approx((at, at, at))
    assert (crossing.to_better, found.crosses) == ("b", "yes")
    mirrored = curve(constant(0.5 + before, 0.5 + after, 0.9), constant(0.5, 0.5, 0.5)).pairs[0]
    assert mirrored.crossings[0].at == pytest.approx(at) and mirrored.crossings[0].to_better == "a"


def crossing(drawn: list[tuple[float, float]]) -> low_data.Crossing:
    """The one crossing between 2 and 8 images per class, from the differences at both in each draw; the mean is theirs."""
    columns = np.array(drawn).T
    (found,) = low_data._crossings(columns.mean(axis=1), columns, np.log([2.0, 8.0]))
    return found


def test_the_interval_of_a_crossing_is_that_of_the_draws() -> None:
    """Draws that cross at 3/4, 1/2 and 1/4 of the way, from 2 to 8 a factor of 4."""
    found = crossing([(-0.3, 0.1), (-0.2, 0.2), (-0.1, 0.3)])
    assert (found.low, found.at, found.high) == pytest.approx((2 * 4 ** 0.25, 4.0, 2 * 4 ** 0.75))
    fallen = crossing([(0.3, -0.1), (0.2, -0.2), (0.1, -0.3)])
    assert (fallen.low, fallen.at, fallen.high) == pytest.approx((found.low, found.at, found.high))
    assert (found.to_better, fallen.to_better) == ("b", "a")


def test_two_draws_in_a_hundred_may_lie_anywhere() -> None:
    found = crossing([(-0.2, 0.2)] * 98 + [(-0.3, -0.1), (0.1, 0.3)])
    assert (found.low, found.high) == pytest.approx((4.0, 4.0))


def test_an_interval_is_open_where_draws_do_not_cross() -> None:
    late = crossing([(-0.3, -0.1), (-0.1, 0.5)])  # one is not yet across at 8, one at 1/6 of the way
    assert (late.low, late.at) == pytest.approx((2 * 4 ** (1 / 6), 4.0)) and late.high is None
    early = crossing([(0.1, 0.3), (-0.5, 0.1)])
    assert early.low is None and early.high == pytest.approx(2 * 4 ** (5 / 6))
    either = crossing([(0.1, -0.1), (-0.3, 0.3)])  # one falls where the mean rises: it says nothing of where
    assert either.low is None and either.high is None


def test_a_crossing_that_cannot_be_told_is_said_with_its_interval() -> None:
    b = {2: np.array([[0.0, 0.4, 0.8] * 4]), 8: np.array([[0.2, 0.6, 1.0] * 4])}
    found = curve({count: np.full((1, 12), 0.5) for count in b}, b, {2: 2.0, 8: 8.0}).pairs[0]
    assert found.crosses == "cannot tell"
    assert found.crossing_sentence.startswith("Cannot tell whether ce and con cross: their means do at about 4.0 images per "
                                              "class (95 % ")


def test_draws_that_cross_agree_with_a_slow_loop() -> None:
    generator = np.random.default_rng(1)
    log_x = np.log([1, 2, 5, 15, 50])
    for _ in range(30):
        drawn, place = generator.normal(np.linspace(-0.6, 0.6, 5)[:, None], 0.6, (5, 40)), int(generator.integers(4))
        at = generator.uniform(log_x[place], log_x[place + 1])
        earliest, latest = low_data._drawn_crossings(drawn, log_x, at, place)
        for draw in range(40):
            zeros = [log_x[i] + (log_x[i + 1] - log_x[i]) * drawn[i, draw] / (drawn[i, draw] - drawn[i + 1, draw])
                     for i in range(4) if drawn[i, draw] < 0 <= drawn[i + 1, draw]]
            if zeros:
                expected = [min(zeros, key=lambda zero: abs(zero - at))] * 2
            else:
                expected = [-math.inf if drawn[place, draw] >= 0 else math.inf,
                            math.inf if drawn[place + 1, draw] < 0 else -math.inf]
            assert [earliest[draw], latest[draw]] == pytest.approx(expected)


def test_one_that_is_better_everywhere_does_not_cross() -> None:
    found = curve(constant(0.5, 0.5, 0.5), constant(0.6, 0.7, 0.6)).pairs[0]
    assert (found.crosses, found.crossings) == ("no", ())
    assert found.crossing_sentence == "The curves of ce and con do not cross"
    assert found.sentence == ("At every count, from 2 to all (32) images per class, con is better than ce on MAP@R by 10.0 to "
                              "20.0 points (95 % within 10.0 to 20.0); 2 seeds, 6 test images")


def unsure(level: float, n: int = 6) -> np.ndarray:
    return np.full((2, n), level) + np.where(np.arange(n) % 2, 0.1, -0.1)


@pytest.mark.parametrize("b, sentence, crosses", [
    ({2: np.full((2, 6), 0.6), 8: np.full((2, 6), 0.7), "all": unsure(0.5)},
     "With up to 8 images per class con is better than ce on MAP@R by 10.0 to 20.0 points (95 % within 10.0 to 20.0); with "
     "all images one cannot tell (difference 95 % within -", "cannot tell"),
    ({2: unsure(0.5), 8: unsure(0.5), "all": np.full((2, 6), 0.4)},
     "With up to 8 images per class one cannot tell con from ce on MAP@R (difference 95 % within -", "cannot tell"),
    ({2: np.full((2, 6), 0.4), 8: np.full((2, 6), 0.6), "all": np.full((2, 6), 0.6)},
     "With 2 images per class con is worse than ce on MAP@R by 10.0 points (95 % within 10.0 to 10.0); from 8 images per "
     "class on con is better by 10.0 points", "yes"),
    ({2: unsure(0.5), 8: np.full((2, 6), 0.6), "all": unsure(0.5)},
     "With 2 images per class one cannot tell con from ce on MAP@R (difference", "cannot tell"),
])
def test_the_sentence_says_each_stretch_with_its_intervals(b: dict, sentence: str, crosses: str) -> None:
    found = curve(constant(0.5, 0.5, 0.5), b).pairs[0]
    assert found.sentence.startswith(sentence), found.sentence
    assert found.crosses == crosses


def test_a_gap_that_the_chance_levels_of_a_count_explain_decides_nothing_there() -> None:
    levels = {"ce": {2: 0.20, 8: 0.20, "all": 0.20}, "con": {2: 0.32, 8: 0.21, "all": 0.20}}
    pair = curve(constant(0.5, 0.5, 0.5), constant(0.6, 0.6, 0.6), levels=levels).pairs[0]
    assert [item.verdict for item in pair.differences] == ["cannot tell", "better", "better"]
    assert [item.by_chance for item in pair.differences] == pytest.approx([0.12, 0.01, 0.0])
    without = curve(constant(0.5, 0.5, 0.5), constant(0.6, 0.6, 0.6)).pairs[0]
    assert [item.verdict for item in without.differences] == ["better"] * 3


def test_arms_that_differ_by_less_than_the_margin_are_the_same_and_cross_or_not() -> None:
    arms = {"ce": constant(0.5, 0.5, 0.5), "con": constant(0.503, 0.499, 0.6)}
    found = low_data.curve("map_at_r", arms, IMAGES, N, margin=0.01).pairs[0]
    assert found.sentence == ("With up to 8 images per class con and ce are the same within 1 point on MAP@R (difference 95 % "
                              "within -0.1 to +0.3); with all images con is better by 10.0 points (95 % within 10.0 to 10.0); "
                              "2 seeds, 6 test images")
    assert found.crosses == "cannot tell"
    arms["con"] = constant(0.503, 0.499, 0.501)
    found = low_data.curve("map_at_r", arms, IMAGES, N, margin=0.01).pairs[0]
    assert found.crosses == "same"
    assert found.crossing_sentence == ("Whether the curves of ce and con cross does not matter: they are the same at every "
                                       "count")


def test_the_floor_is_a_line_of_its_own_and_never_an_arm() -> None:
    arms = {"untrained": constant(0.5, 0.5, 0.5), "ce": {**constant(0.6, 0.6, 0.6), 2: unsure(0.5)},
            "con": constant(0.4, 0.6, 0.7), "more": constant(0.4, 0.4, 0.4)}
    found = low_data.curve("map_at_r", arms, IMAGES, N, floor="untrained")
    assert [(pair.a, pair.b) for pair in found.pairs] == [("ce", "con"), ("ce", "more")]
    assert found.above_floor == {"ce": ("cannot tell", "better", "better"), "con": ("worse", "better", "better"),
                                 "more": ("worse", "worse", "worse")}
    assert low_data.floor_sentence(found, {"con": "SupCon"}) == (
        "Ce is above the untrained encoder from 8 images per class on; SupCon is above the untrained encoder from 8 images "
        "per class on; more is not shown to be above the untrained encoder at all images")
    assert low_data.floor_sentence(curve(constant(1, 1, 1), constant(1, 1, 1)), {}) == ""


@pytest.mark.parametrize("arms, images", [
    ({"ce": {2: np.zeros((1, 3))}}, {2: 2.0}),
    ({"ce": constant(0, 0, 0), "con": constant(0, 0, 0, n=7)}, IMAGES),
    ({"ce": constant(0, 0, 0), "con": constant(0, 0)}, IMAGES),
])
def test_arms_that_do_not_match_are_refused(arms: dict, images: dict) -> None:
    with pytest.raises(ValueError, match=r"^a curve must have two or more images per class, and every arm the same ones"):
        low_data.curve("map_at_r", arms, images, N)
