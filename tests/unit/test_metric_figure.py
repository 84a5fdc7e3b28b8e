"""The picture of every metric: what an eye finds in it is what the table says."""

from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
import pytest

from core.analysis import statements
from core.experiments.handles import Experiment
from core.report import metric_figure, palette
from core.results import result
from core.results.result import Pair, Verdict


@pytest.fixture(scope="module")
def told(finished: Path) -> tuple[Verdict, Pair]:
    found = result.read(Experiment(finished))
    return found, found.pair("classification", "supcon", 15)


def drawn(found: Verdict, pair: Pair) -> go.Figure:
    return metric_figure.draw(pair, found.arms(15), (pair.label_a, pair.label_b))


def test_each_line_has_both_arms_untrained_and_permuted_labels_where_the_table_has_them(told: tuple[Verdict, Pair]) -> None:
    found, pair = told
    figure = drawn(*told)
    traces = {trace.name: trace for trace in figure.data if trace.name}
    rows = {row.objective: row for row in found.arms(15)}
    assert list(traces) == ["untrained", "permuted labels", "A · classification", "B · supcon"]
    for line, item in enumerate(pair.differences):
        assert traces["A · classification"].x[line] == pytest.approx(100 * item.a)
        assert traces["B · supcon"].x[line] == pytest.approx(100 * item.b)
        assert traces["untrained"].x[line] == pytest.approx(100 * rows["untrained"].metrics[item.metric].mean)
        chance = rows["supcon"].chance.get(item.metric)
        assert traces["permuted labels"].x[line] == (None if chance is None else pytest.approx(100 * chance.level))


def test_each_interval_ends_where_the_tables_does_and_says_why_one_cannot_tell(told: tuple[Verdict, Pair]) -> None:
    _, pair = told
    figure = drawn(*told)
    intervals = [trace for trace in figure.data if not trace.name]
    assert len(intervals) == len(pair.differences)
    for line, (trace, item) in enumerate(zip(intervals, pair.differences)):
        assert trace.y == (line,) and trace.xaxis == "x2"
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(100 * item.high)
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(100 * item.low)
    assert list(figure.layout.yaxis2.ticktext) == [statements.row(item).answer for item in pair.differences]


def test_the_margin_is_a_band_about_zero_in_the_differences(told: tuple[Verdict, Pair]) -> None:
    figure = drawn(*told)
    [band] = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    [zero] = [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert (band.x0, band.x1, band.xref, zero.x0, zero.xref) == (-1, 1, "x2", 0, "x2")


@pytest.mark.parametrize(("verdict", "color"), [("better", palette.ARM_B), ("worse", palette.ARM_A),
                                                ("cannot tell", palette.UNTRAINED), ("same", palette.UNTRAINED)])
def test_a_difference_has_the_colour_of_the_better_arm(told: tuple[Verdict, Pair], verdict: str, color: str) -> None:
    found, pair = told
    changed = replace(pair, differences=tuple(replace(item, verdict=verdict) for item in pair.differences))
    assert {trace.marker.color for trace in drawn(found, changed).data if not trace.name} == {color}
