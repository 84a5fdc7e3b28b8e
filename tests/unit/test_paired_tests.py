"""Exact tests against statsmodels and by hand, and the study's published table."""

import numpy as np
import pytest

from core.analysis import paired_tests

STUDY = ("88.97:1478", "96.01:1478", "85.54:740", "97.43:740", "55.41:222", "82.43:222", "56.67:30", "66.67:30")


@pytest.mark.parametrize("seed", range(4))
def test_mcnemar_is_statsmodels(seed: int) -> None:
    contingency_tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    generator = np.random.default_rng(seed)
    a, b = (generator.random((2, 3, 60)) < 0.8).astype(float)
    found = paired_tests.mcnemar("precision_at_1", a, b)
    for row in range(3):
        table = [[int(((a[row] == x) & (b[row] == y)).sum()) for y in (1, 0)] for x in (1, 0)]
        assert (found.only_a[row], found.only_b[row]) == (table[0][1], table[1][0])
        assert found.p_value[row] == pytest.approx(contingency_tables.mcnemar(table, exact=True).pvalue)
    assert found.p_any_seed == pytest.approx(min(1, 2 * np.median(found.p_value)))


def test_crops_of_one_photograph_have_one_vote() -> None:
    a, b = np.zeros((1, 30)), np.ones((1, 30))
    assert paired_tests.mcnemar("knn_1", a, b).p_value[0] == pytest.approx(2 * 0.5 ** 30)
    grouped = paired_tests.mcnemar("knn_1", a, b, np.repeat(["p", "q", "r"], 10))
    assert (grouped.only_a, grouped.only_b) == ((0,), (3,))
    assert grouped.p_value[0] == pytest.approx(2 * 0.5 ** 3)


def test_nothing_told_apart_is_no_evidence_and_samples_without_a_value_do_not_vote() -> None:
    a = np.array([[1, 0, np.nan]])
    found = paired_tests.mcnemar("knn_1", a, a.copy())
    assert (found.only_a, found.only_b, found.p_value, found.p_any_seed) == ((0,), (0,), (1.0,), 1.0)


def test_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="map_at_r must be right or wrong"):
        paired_tests.mcnemar("map_at_r", np.array([[0.5, 1]]), np.array([[1.0, 1]]))


def test_three_of_the_studys_four_gaps_are_real() -> None:
    counts = [paired_tests.parse_count(text) for text in STUDY]
    assert counts == [(1315, 1478), (1419, 1478), (633, 740), (721, 740), (123, 222), (183, 222), (17, 30), (20, 30)]
    gaps = paired_tests.compare_counts([(*a, *b) for a, b in zip(counts[::2], counts[1::2])])
    assert [gap.verdict for gap in gaps] == ["better", "better", "better", "cannot tell"]
    assert gaps[3].p_value == pytest.approx(0.60, abs=0.005)
    assert max(gap.p_holm for gap in gaps[:3]) < 1e-6


def test_counts_the_other_way_round_are_worse() -> None:
    assert paired_tests.compare_counts([(183, 222, 123, 222)])[0].verdict == "worse"


def test_holm_is_over_the_table() -> None:
    alone, = paired_tests.compare_counts([(20, 100, 33, 100)])
    assert (alone.verdict, alone.p_holm) == ("cannot tell" if alone.p_value >= 0.05 else "better", alone.p_value)
    among = paired_tests.compare_counts([(20, 100, 35, 100), (5, 10, 5, 10)])[0]
    assert among.p_holm == pytest.approx(2 * among.p_value)


@pytest.mark.parametrize(("text", "counts"), [("17/30", (17, 30)), ("100:7", (7, 7)), ("56.7:30", (17, 30)),
                                              ("56.66:30", (17, 30))])
def test_counts_are_read(text: str, counts: tuple[int, int]) -> None:
    assert paired_tests.parse_count(text) == counts


@pytest.mark.parametrize("text", ["", "17", "a/b", "1/2/3", "-1/30", "56.67"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a count must be RIGHT/IMAGES or PERCENT:IMAGES"):
        paired_tests.parse_count(text)


def test_a_percentage_that_no_count_makes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"56\.1 % of 30 images must be a whole number of images, got 16\.83"):
        paired_tests.parse_count("56.1:30")
    with pytest.raises(ValueError, match="counts must be 0 to n right of n ≥ 1 images, got 31 of 30"):
        paired_tests.compare_counts([(31, 30, 1, 30)])
