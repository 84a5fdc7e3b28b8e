"""Differences, intervals and what they allow one to say, on cases worked out by hand and on known distributions."""

import math
from dataclasses import replace

import numpy as np
import pytest

from core.analysis import comparison, resampling, statements
from core.analysis.comparison import Difference, Equivalence
from core.analysis.metrics import METRICS, SHORT
from core.analysis.resampling import Bootstrap

NAN = float("nan")


def of(*rows) -> np.ndarray:
    return np.array(rows, float)


def test_values_that_never_vary_have_an_interval_of_no_width():
    found = comparison.interval(np.full((3, 20), 0.25), 500)
    assert (found.mean, found.low, found.high, found.sd) == (0.25, 0.25, 0.25, 0)


def test_one_sample_says_nothing_of_the_others():
    found = comparison.interval(of([0.7]), 500)
    assert (found.mean, found.low, found.high, found.sd) == (0.7, 0, 1, 0)


def test_two_samples_make_three_possible_means():
    found = comparison.interval(of([0, 1]), 2000)  # 0, 0.5, 1 with chance 1/4, 1/2, 1/4, spread for so few, cut at 0 and 1
    assert (found.mean, found.low, found.high, found.sd) == (0.5, 0, 1, 0)


def test_few_groups_are_spread_by_what_they_hold_too_low():
    draws = resampling.bootstrap([of([0, 1])], 2000, seed=0).draws[:, 0]
    stretch = math.sqrt(2) * 12.706 / 1.960  # √(G / (G − 1)), and t against normal with one degree of freedom
    shares = [np.mean(np.abs(draws - mean) < 1e-3) for mean in (0.5 - 0.5 * stretch, 0.5, 0.5 + 0.5 * stretch)]
    assert np.abs(np.array(shares) - [0.25, 0.5, 0.25]).max() < 0.04


def test_two_seeds_that_disagree_make_the_interval_however_many_samples_there_are():
    found = comparison.interval(np.stack([np.zeros(1000), np.ones(1000)]), 2000)
    assert (found.mean, found.low, found.high) == (0.5, 0, 1)
    assert found.sd == pytest.approx(math.sqrt(0.5))


def test_the_same_images_are_drawn_in_every_seed():
    values = of(*[[0, 1]] * 50)  # fifty seeds that agree say no more about two images than one does
    found = comparison.interval(values, 2000)
    assert (found.low, found.high, found.sd) == (0, 1, 0)


def test_the_sd_is_over_the_means_of_the_seeds():
    assert comparison.interval(of([0.1, 0.3], [0.5, 0.7], [0.8, 1.0]), 100).sd == pytest.approx(
        math.sqrt(((0.2 - 1.7 / 3) ** 2 + (0.6 - 1.7 / 3) ** 2 + (0.9 - 1.7 / 3) ** 2) / 2))


def test_an_interval_of_many_samples_is_the_normal_one():
    values = np.random.default_rng(0).uniform(0, 1, (1, 2000))
    found = comparison.interval(values, 4000)
    half = 1.96 * values.std() / math.sqrt(2000)
    assert found.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_four_times_the_samples_halve_the_interval():
    few = np.tile([0.0, 1.0], 50)[None]
    small, large = (comparison.interval(np.tile(few, times), 3000) for times in (1, 4))
    assert (small.high - small.low) / (large.high - large.low) == pytest.approx(2, abs=0.2)


def test_the_interval_holds_the_truth_about_nineteen_times_in_twenty():
    generator = np.random.default_rng(1)
    held = []
    for trial in range(300):
        found = comparison.interval((generator.random((1, 120)) < 0.7).astype(float), 400, seed=trial)
        held.append(found.low <= 0.7 <= found.high)
    assert 0.90 <= np.mean(held) <= 0.985


def test_two_equal_spaces_are_rarely_told_apart():
    generator = np.random.default_rng(2)
    verdicts = []
    for trial in range(200):
        a, b = generator.random((2, 3, 100))
        verdicts.append(comparison.difference("map_at_r", a, b, 300, seed=trial).verdict)
    assert np.mean([verdict != "cannot tell" for verdict in verdicts]) < 0.1


def test_samples_without_a_value_are_left_out():
    with_gap = comparison.interval(of([0, NAN, 1, 1], [0, 1, 1, NAN]), 500)
    assert with_gap == comparison.interval(of([0, 1], [0, 1]), 500)


@pytest.mark.parametrize("values", [of([NAN, NAN]), of([NAN, 1], [1, NAN]), np.empty((1, 0))])
def test_a_metric_that_no_sample_has_is_refused(values):
    with pytest.raises(ValueError, match="a metric must be defined for at least one sample, got none"):
        comparison.interval(values, 100)
    with pytest.raises(ValueError, match="a metric must be defined for at least one sample, got none"):
        comparison.difference("map_at_r", values, values, 100)


def test_samples_of_one_group_are_one_draw():
    photographs = np.random.default_rng(0).random((1, 10))
    crops, group = np.repeat(photographs, 20, axis=1), np.repeat([f"photograph{index}" for index in range(10)], 20)
    few, many = comparison.interval(photographs, 1000), comparison.interval(crops, 1000, group=group)
    assert (many.mean, many.low, many.high) == pytest.approx((few.mean, few.low, few.high))
    alone = comparison.interval(crops, 1000)
    assert (many.high - many.low) > 2 * (alone.high - alone.low)


def test_one_group_of_everything_says_nothing_of_other_groups():
    found = comparison.interval(of([0, 1, 1, 1]), 300, group=np.array(["g"] * 4))
    assert (found.low, found.mean, found.high) == (0, 0.75, 1)


def test_groups_of_one_are_no_groups():
    values = np.random.default_rng(1).random((2, 8))
    assert comparison.interval(values, 300, group=np.array(list("abcdefgh"))) == comparison.interval(values, 300)


def test_a_drawn_group_counts_by_its_samples():
    draws = resampling.bootstrap([of([0, 0, 0, 1])], 4000, 0, np.array(["a", "a", "a", "b"])).draws[:, 0]
    stretch = math.sqrt(2) * 12.706 / 1.960
    means = [0.25 + (mean - 0.25) * stretch for mean in (0, 0.25, 1)]  # aa, ab or ba, bb
    shares = [np.mean(np.abs(draws - mean) < 1e-3) for mean in means]
    assert np.abs(np.array(shares) - [0.25, 0.5, 0.25]).max() < 0.03


def test_a_sample_without_a_value_leaves_its_group():
    values, group = of([0, NAN, 1, 0.5]), np.array(["a", "b", "c", "a"])
    left = comparison.interval(of([0, 1, 0.5]), 300, group=np.array(["a", "c", "a"]))
    assert comparison.interval(values, 300, group=group) == left


def test_a_gain_in_one_photograph_is_no_gain_however_many_crops_it_has():
    a, group = np.full((1, 300), 0.5), np.repeat(["p", "q", "r"], 100)
    b = a + np.where(group == "p", 0.3, 0.0)
    assert comparison.difference("map_at_r", a, b, 500).verdict == "better"
    grouped = comparison.difference("map_at_r", a, b, 500, group=group)
    assert grouped.verdict == "cannot tell"
    assert grouped.low < 0 < grouped.high
    assert comparison.compare({"map_at_r": a}, {"map_at_r": b}, 500, group) == [grouped]


def test_the_same_seed_draws_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(0).random((1, 37))
    assert comparison.interval(values, 300) == comparison.interval(values, 300, seed=0)
    assert comparison.interval(values, 300).low != comparison.interval(values, 300, seed=1).low


def test_more_draws_than_are_drawn_at_a_time_still_count():
    values = np.random.default_rng(0).random((2, 50))
    found = [comparison.interval(values, count) for count in (199, 200, 201, 1000)]
    assert len({item.low for item in found}) == 4
    assert all(item.low < item.mean < item.high for item in found)


def test_a_constant_gain_is_better_however_noisy_the_images_are():
    a = np.tile(np.random.default_rng(0).random(10) * 0.5, (3, 1))
    found = comparison.difference("map_at_r", a, a + 0.125, 500)
    assert (found.low, found.difference, found.high) == pytest.approx((0.125, 0.125, 0.125))
    assert (found.verdict, found.settles_at) == ("better", None)
    assert (found.n_seeds, found.n_samples) == (3, 10)
    assert (found.a, found.b) == pytest.approx((a.mean(), a.mean() + 0.125))


def test_the_other_way_round_everything_is_mirrored():
    a, b = np.random.default_rng(3).random((2, 3, 60))
    b = 0.7 * b + 0.3
    there, back = comparison.difference("map_at_r", a, b, 1000), comparison.difference("map_at_r", b, a, 1000)
    assert there.verdict == "better"
    assert back.verdict == "worse"
    assert (back.difference, back.low, back.high) == pytest.approx((-there.difference, -there.high, -there.low), abs=4e-3)
    assert (back.a, back.b) == (there.b, there.a)


def test_no_difference_at_all_cannot_be_told_and_never_settles():
    a = np.tile(np.random.default_rng(0).random(30), (2, 1))
    found = comparison.difference("map_at_r", a, a.copy(), 300)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert (found.verdict, found.settles_at, found.seeds_decide) == ("cannot tell", None, False)


def test_seeds_of_two_arms_are_not_taken_as_pairs():
    a = np.tile(np.linspace(0.2, 0.6, 3)[:, None], (1, 40))  # seeds differ, images and the gap do not
    found = comparison.difference("map_at_r", a, a + 0.1, 2000)
    half = 2.776 * math.sqrt(2 * 0.04 / 3)  # t of Welch's four degrees of freedom, √(sd²/3 + sd²/3)
    assert (found.low, found.high) == pytest.approx((0.1 - half, 0.1 + half), abs=0.002)
    assert found.verdict == "cannot tell" and found.seeds_decide


def test_seeds_that_contradict_each_other_cannot_be_told():
    a = np.full((2, 500), 0.5)
    b = np.stack([np.full(500, 0.9), np.full(500, 0.2)])
    found = comparison.difference("map_at_r", a, b, 1000)
    reach = 12.706 * math.sqrt(((0.4 - 0.05) ** 2 + (-0.3 - 0.05) ** 2) / 2)  # t with one degree of freedom, by √2 seeds
    assert reach > 1 and (found.low, found.high) == (-1, 1)  # no difference can be larger than 1
    assert found.verdict == "cannot tell"
    assert found.seeds_decide and found.settles_at is None


def test_the_number_of_samples_that_would_settle_it_by_hand():
    # Eight of b's ten are 0.1 better and two 0.3 worse: gap 0.02. Of ten drawn, five or more are misses in 3.3 % and
    # six or more in 0.6 %, so the draws' 2.5 % is (5 × 0.1 − 5 × 0.3) / 10 = −0.1, six gaps below. Ten samples are few:
    # √(10 / 9) × 2.262 / 1.960 further, with t of nine degrees of freedom. So 6² × 10 samples times that squared.
    a, b = np.full((1, 10), 0.5), of([0.6] * 8 + [0.2] * 2)
    found = comparison.difference("map_at_r", a, b, 5000)
    assert found.verdict == "cannot tell"
    assert found.difference == pytest.approx(0.02)
    further = math.sqrt(10 / 9) * 2.2622 / 1.9600
    assert (found.low, found.high) == pytest.approx((0.02 - 0.12 * further, 0.02 + 0.08 * further), abs=1e-4)
    assert found.settles_at == pytest.approx(360 * further ** 2, abs=2)
    mirrored = comparison.difference("map_at_r", b, a, 5000)
    assert mirrored.settles_at == pytest.approx(360 * further ** 2, abs=2)


def test_what_would_settle_a_gap_is_never_less_than_what_did_not():
    a, b = of([0] * 19 + [1]), of([1 / 6] * 19 + [0])  # one bad miss pulls the interval over zero, on one side
    found = comparison.difference("map_at_r", a, b, 2000)
    assert found.verdict == "cannot tell"
    assert found.settles_at is None or found.settles_at > 20


def test_spaces_of_different_shape_are_refused():
    with pytest.raises(ValueError, match=r"A and B must have the same seeds and samples, got \(1, 3\) and \(2, 3\)"):
        comparison.difference("map_at_r", np.zeros((1, 3)), np.zeros((2, 3)), 100)


def test_every_metric_both_have_is_compared_in_the_agreed_order():
    values = {name: np.random.default_rng(place).random((1, 20)) for place, name in enumerate(reversed(METRICS))}
    found = comparison.compare(values, values, 100)
    assert [item.metric for item in found] == list(METRICS)
    less = {name: column for name, column in values.items() if name != "knn_accuracy"}
    assert [item.metric for item in comparison.compare(less, values, 100)] == [
        name for name in METRICS if name != "knn_accuracy"]


def with_p(metric: str, p_value: float, verdict: str = "better") -> Difference:
    return replace(BETTER, metric=metric, p_value=p_value, p_holm=p_value, verdict=verdict)


def test_a_verdict_holds_after_holm_but_for_the_question_asked_beforehand():
    raw = [with_p(metric, p) for metric, p in (("map_at_r", 0.04), ("precision_at_1", 0.001), ("r_precision", 0.02),
                                               ("knn_accuracy", 0.3))]
    found = comparison.hold(raw)
    assert [item.p_holm for item in found] == pytest.approx([0.08, 0.004, 0.06, 0.3])
    assert [item.verdict for item in found] == ["better", "better", "cannot tell", "cannot tell"]
    assert [item.p_value for item in found] == [0.04, 0.001, 0.02, 0.3]


def test_a_headline_that_cannot_be_told_stays_so_after_holm():
    found = comparison.hold([with_p("map_at_r", 0.06, "cannot tell"), with_p("knn_1", 0.001, "worse")])
    assert [item.verdict for item in found] == ["cannot tell", "worse"]


def test_differences_of_the_whole_space_have_an_interval_and_no_verdict():
    a = {"alignment": np.full((1, 20), 0.4), "effective_rank": np.linspace(3, 5, 20)[None]}
    b = {"alignment": np.full((1, 20), 0.3), "effective_rank": np.linspace(4, 5, 20)[None]}
    alignment, rank = comparison.compare_space(a, b, 300)
    assert (alignment.low, alignment.high, alignment.verdict) == (pytest.approx(-0.1), pytest.approx(-0.1), "")
    assert rank.difference == pytest.approx(0.5)
    assert rank.low < 0.5 < rank.high


def test_differences_by_class_are_those_of_its_samples_and_corrected_over_classes():
    generator = np.random.default_rng(0)
    a, b = ({metric: generator.random((1, 60)) for metric in SHORT} for _ in range(2))
    b["map_at_r"] = np.where(np.arange(60) < 30, a["map_at_r"] + 0.2, a["map_at_r"])
    b["precision_at_1"][:, 30:] = np.nan
    names = np.arange(60)
    classes = {label: ({metric: column[:, rows] for metric, column in a.items()},
                       {metric: column[:, rows] for metric, column in b.items()}, names[rows])
               for label, rows in (("bolete", slice(0, 30)), ("amanita", slice(30, 60)))}
    found = comparison.compare_classes(classes, 500)
    assert [item.label for item in found] == ["bolete"] * 6 + ["amanita"] * 5
    by_metric = {(item.label, item.metric): item for item in found}
    assert ("amanita", "precision_at_1") not in by_metric
    bolete, amanita = by_metric["bolete", "map_at_r"], by_metric["amanita", "map_at_r"]
    assert (bolete.difference, bolete.verdict, bolete.n_samples) == (pytest.approx(0.2), "better", 30)
    assert (amanita.difference, amanita.verdict) == (0, "cannot tell")
    assert bolete.p_holm == pytest.approx(2 * bolete.p_value)
    assert (found[0].label, found[0].metric) == ("bolete", "map_at_r")


def test_images_needed_leave_out_what_seeds_would_still_differ_by():
    generator = np.random.default_rng(4)
    seeds = np.array([-0.02, 0.0, 0.02])[:, None]
    a = generator.normal(0.5, 0.3, 80) + np.zeros((3, 1))
    noise = generator.normal(0, 0.4, 80)
    b = a + 0.05 + noise - noise.mean() + seeds
    found = comparison.difference("map_at_r", a, b, 4000)
    assert found.verdict == "cannot tell" and not found.seeds_decide
    reach = found.difference - found.low
    assert found.settles_at > math.ceil(80 * (reach / found.difference) ** 2), "more than if the images were all"


BETTER = Difference(metric="map_at_r", a=0.5, b=0.5746, difference=0.0746, low=0.051, high=0.0984, verdict="better",
                    n_seeds=3, n_samples=1478, settles_at=None)
WORSE = replace(BETTER, a=0.5746, b=0.5, difference=-0.0746, low=-0.0984, high=-0.051, verdict="worse", n_seeds=1)
UNSURE = replace(BETTER, metric="kmeans_accuracy", a=0.5667, b=0.6667, difference=0.1, low=-0.1, high=0.3,
                 verdict="cannot tell", n_seeds=1, n_samples=30, settles_at=119)


def test_the_sentence_for_better():
    assert statements.sentence(BETTER, "classification", "SupCon") == (
        "SupCon is better than classification on MAP@R by 7.5 points (95 % 5.1 to 9.8; 3 seeds, 1,478 test images), "
        "for this split")


def test_the_sentence_for_worse_counts_its_points_from_zero_up():
    assert statements.sentence(WORSE, "classification", "triplet") == (
        "Triplet is worse than classification on MAP@R by 7.5 points (95 % 5.1 to 9.8; 1 seed, 1,478 test images), "
        "for this split; another seed may well say otherwise")


def test_the_sentence_for_cannot_tell_says_what_would_settle_it():
    assert statements.sentence(UNSURE, "classification", "triplet") == (
        "Cannot tell triplet from classification on K-means: 66.7 against 56.7 "
        "(difference 95 % -10.0 to +30.0; 1 seed, 30 test images), for this split; about 120 test images would "
        "settle a gap this large")


def test_the_sentence_for_seeds_that_differ_too_much_asks_for_seeds():
    text = statements.sentence(replace(UNSURE, settles_at=None, seeds_decide=True, n_seeds=3), "a", "b")
    assert text.endswith("3 seeds, 30 test images), for this split; more seeds would be needed to settle a gap this large")


@pytest.mark.parametrize("settles_at", [None, 3001])
def test_nothing_is_said_about_a_gap_that_no_sensible_number_would_settle(settles_at):
    text = statements.sentence(replace(UNSURE, settles_at=settles_at), "a", "b")
    assert text.endswith("(difference 95 % -10.0 to +30.0; 1 seed, 30 test images), for this split")


@pytest.mark.parametrize("settles_at, said", [(31, "31"), (101, "110"), (119, "120"), (1501, "1,600"), (3000, "3,000")])
def test_the_number_that_would_settle_it_is_rounded_up_to_two_digits(settles_at, said):
    text = statements.sentence(replace(UNSURE, settles_at=settles_at), "a", "b")
    assert text.endswith(f"; about {said} test images would settle a gap this large")


@pytest.mark.parametrize("result", [BETTER, WORSE, UNSURE])
def test_the_sentence_for_an_unfair_comparison_says_so_first(result):
    fair = statements.sentence(result, "a", "b")
    unfair = statements.sentence(result, "a", "b", ("budget.images", "split.seed"))
    assert unfair == f"Not a fair comparison: budget.images, split.seed differ; {fair[0].lower()}{fair[1:]}"


def test_the_sentence_for_the_same_names_the_margin():
    same = replace(UNSURE, difference=0.001, a=0.5667, b=0.5677, low=-0.004, high=0.006, verdict="same", n_seeds=3,
                   equivalence=Equivalence(0.01, 0.01, 0.01))
    assert statements.sentence(same, "classification", "triplet") == (
        "Triplet and classification are the same within 1 point on K-means: 56.8 against 56.7 "
        "(difference 95 % -0.4 to +0.6; 3 seeds, 30 test images), for this split")
    assert statements.row(same).answer == "same within 1 point"
    assert statements.row(replace(same, equivalence=Equivalence(0.025, 0.01, 0.01))).answer == "same within 2.5 points"
    assert statements.worth_sentence(same, "a random split", "SupCon") == (
        "A random split is worth less than 1 point of K-means to SupCon "
        "(difference 95 % -0.4 to +0.6; 3 seeds, 30 test images), for this split")


def test_same_is_said_where_the_interval_lies_inside_the_margin_and_nowhere_else():
    generator = np.random.default_rng(6)
    verdicts = []
    for trial in range(150):
        a = generator.random((3, 400))
        b = a + generator.uniform(-0.06, 0.06) + generator.normal(0, generator.uniform(0.02, 0.4), 400)
        found, without = (comparison.difference("map_at_r", a, b, 1000, seed=trial, margin=margin) for margin in (0.03, 0.0))
        is_inside = found.low > -0.03 and found.high < 0.03
        assert found.verdict == ("same" if is_inside else without.verdict) and without.verdict != "same"
        assert (found.equivalence.p_value < 0.05) == is_inside or abs(found.equivalence.p_value - 0.05) < 0.02
        assert (found.low, found.high, found.p_value) == (without.low, without.high, without.p_value)
        assert without.equivalence is None and found.equivalence.margin == 0.03
        verdicts.append(found.verdict)
    assert set(verdicts) == {"better", "worse", "same", "cannot tell"}


def test_a_difference_of_nothing_at_all_is_the_same_within_any_margin():
    a = np.tile(np.random.default_rng(7).random(50), (3, 1))  # as where every seed exports the encoder before training
    assert comparison.difference("map_at_r", a, a, 500, margin=1e-6).verdict == "same"
    assert comparison.difference("map_at_r", a, a, 500).verdict == "cannot tell"


def test_images_needed_count_for_the_answer_that_comes_first():
    generator = np.random.default_rng(8)
    a = generator.random((1, 300))
    noise = generator.normal(0, 0.3, 300)
    b = a + noise - noise.mean() + 0.002
    found, without = (comparison.difference("map_at_r", a, b, 4000, margin=margin) for margin in (0.03, 0.0))
    assert found.verdict == without.verdict == "cannot tell"
    assert without.settles_at > 50_000, "two thousandths take that many to be called a difference"
    expected = 300 * ((found.high - found.difference) / (0.03 - 0.002)) ** 2
    assert found.settles_at == pytest.approx(expected, rel=0.15)


def test_the_same_on_a_metric_that_was_not_asked_for_must_hold_after_holm():
    item = replace(UNSURE, metric="precision_at_1", verdict="same", low=-0.01, high=0.009, p_value=0.9,
                   equivalence=Equivalence(0.012, 0.03, 0.03))
    sure = replace(item, equivalence=Equivalence(0.012, 0.001, 0.001))
    headline = replace(item, metric="map_at_r")
    assert [found.verdict for found in comparison.hold([headline, item, sure])] == ["same", "cannot tell", "same"]
    assert statements.row(comparison.hold([headline, item, sure])[1]).answer == "cannot tell: not after Holm"
    shifted = replace(item, low=0.001, p_value=0.0005)
    assert comparison.correct([shifted, item])[0].verdict == "better", "it leaves out zero, which holds"


def test_better_is_never_said_of_an_interval_that_holds_zero():
    generator = np.random.default_rng(5)
    verdicts = []
    for trial in range(150):
        a = generator.random((3, 25))
        b = (a + generator.normal(generator.uniform(-0.25, 0.25), 0.3, a.shape)).clip(0, 1)
        found = comparison.difference("map_at_r", a, b, 200, seed=trial)
        expected = "better" if found.low > 0 else "worse" if found.high < 0 else "cannot tell"
        assert found.verdict == expected
        assert found.low <= found.difference <= found.high
        assert (found.p_value < 0.05) == (found.verdict != "cannot tell") or abs(found.p_value - 0.05) < 0.02
        assert f" {found.verdict} " in statements.sentence(found, "a", "b").replace("Cannot", " cannot")
        verdicts.append(found.verdict)
    assert set(verdicts) == {"better", "worse", "cannot tell"}


def test_what_rounds_to_zero_has_no_minus() -> None:
    row = statements.row(replace(UNSURE, a=0.2, b=0.2, difference=-0.0002, low=-0.0004, high=0.0))
    assert (row.difference, row.low, row.high) == ("+0.0", "+0.0", "+0.0")


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("group", [None, np.array(["one"] * 6)], ids=["one image", "one photograph"])
def test_one_image_or_one_photograph_tells_nothing_apart(seeds: int, group: np.ndarray | None) -> None:
    generator = np.random.default_rng(0)
    n = 1 if group is None else len(group)
    a, b = generator.uniform(0, 0.2, (seeds, n)), generator.uniform(0.8, 1, (seeds, n))
    found = comparison.difference("map_at_r", a, b, 500, group=group)
    assert (found.verdict, found.low, found.high, found.settles_at) == ("cannot tell", -1.0, 1.0, None)
    assert found.p_value > 0.9
    alone = comparison.interval(b, 500, group=group)
    assert (alone.low, alone.high) == (0.0, 1.0)


def test_a_class_of_one_image_is_not_better_among_others() -> None:
    generator = np.random.default_rng(1)
    few, many = ({"map_at_r": generator.uniform(0, 0.2, (1, n))} for n in (1, 40))
    better = [{"map_at_r": values["map_at_r"] + 0.5} for values in (few, many)]
    found = comparison.compare_classes({"few": (few, better[0], np.array(["x"])),
                                        "many": (many, better[1], np.arange(40).astype(str))}, 500)
    assert {item.label: item.verdict for item in found} == {"few": "cannot tell", "many": "better"}


def test_a_gap_that_chance_levels_explain_decides_nothing() -> None:
    """B is higher by 0.3 everywhere: by 0.2 of it, by all of it, or by more than it where chance does so much."""
    generator = np.random.default_rng(0)
    a = generator.normal(0.4, 0.05, (1, 200))
    b = a + 0.3 + generator.normal(0, 0.1, (1, 200))
    found = {by_chance: comparison.difference("kmeans_accuracy", a, b, 1000, by_chance=by_chance)
             for by_chance in (0.0, 0.2, 0.3, 0.4, -0.2)}
    assert {by_chance: item.verdict for by_chance, item in found.items()} == {
        0.0: "better", 0.2: "better", 0.3: "cannot tell", 0.4: "cannot tell", -0.2: "better"}
    assert found[0.3].p_value > 0.2 > 0.05 > found[0.2].p_value and found[-0.2].p_value == found[0.0].p_value
    assert found[0.3].difference == found[0.0].difference and found[0.3].low == found[0.0].low
    assert statements.row(found[0.3]).answer == "cannot tell: within what chance levels explain"
    assert statements.row(comparison.hold([found[0.2]])[0]).answer == "B is better"
    mirrored = comparison.difference("kmeans_accuracy", b, a, 1000, by_chance=-0.3)
    assert mirrored.verdict == "cannot tell"
    assert statements.row(mirrored).answer == "cannot tell: within what chance levels explain"
    assert statements.sentence(mirrored, "A", "B").endswith("; the chance levels of the two spaces may explain the gap")
    assert comparison.difference("kmeans_accuracy", b, a, 1000, by_chance=-0.2).verdict == "worse"
    assert found[0.3].settles_at is None, "no number of images takes a gap of chance out of doubt"


def test_of_all_that_chance_explains_the_largest_p_value_counts() -> None:
    draws = np.random.default_rng(1).normal(0.3, 0.1, (2000, 1))
    of_draws = Bootstrap(np.array([0.3]), draws, np.zeros(1))
    for explained in (-0.3, 0.0, 0.1, 0.25, 0.5):
        nulls = np.linspace(min(0.0, explained), max(0.0, explained), 101)
        slow = max(min(1.0, 2 * (min((draws <= null).sum(), (draws >= null).sum()) + 1) / 2001) for null in nulls)
        assert of_draws.p_beyond(explained)[0] == pytest.approx(slow, abs=0.02)
    assert of_draws.p_beyond(0.0)[0] == of_draws.p_value[0]
