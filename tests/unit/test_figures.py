"""Figures: what a click, a hover and an eye find in them."""

from html import unescape

import numpy as np
import plotly.graph_objects as go
import pytest

from core.analysis.comparison import Interval
from core.analysis.low_data import Crossing, Pair
from core.report import figures, palette
from core.results.result import Curve

CLASSES = ("cat", "dog", "emu")
LABEL_ID = np.array([1, 0, 2, 1, 0, 1, 2])
SAMPLE_ID = np.array([f"{place}.png" for place in range(7)], dtype=object)
LAYOUT = np.array([[0, 0], [1, 0], [8, 1], [2, 3], [3, 1], [4, 4], [6, 2]], dtype=np.float32)
COUNTS = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 6]])


def space(**settings: object) -> go.Figure:
    return figures.space(LAYOUT, LABEL_ID, CLASSES, SAMPLE_ID, **settings)


def test_each_class_is_a_trace_of_its_points_with_their_sample_ids() -> None:
    figure = space()
    assert [trace.name for trace in figure.data] == list(CLASSES)
    place = {sample_id: tuple(point) for sample_id, point in zip(SAMPLE_ID, LAYOUT.tolist())}
    assert [list(trace.customdata) for trace in figure.data] == [
        ["1.png", "4.png"], ["0.png", "3.png", "5.png"], ["2.png", "6.png"]]
    for trace in figure.data:
        assert [place[sample_id] for sample_id in trace.customdata] == list(zip(trace.x.tolist(), trace.y.tolist()))


def test_selected_points_are_counted_within_their_own_trace() -> None:
    figure = space(selected=frozenset({"3.png", "5.png", "2.png", "not here.png"}))
    assert [list(trace.selectedpoints) for trace in figure.data] == [[], [1, 2], [0]]
    for trace in figure.data:
        assert trace.selected.marker.size > trace.marker.size
        assert trace.unselected.marker.opacity < trace.selected.marker.opacity


def test_nothing_fades_while_nothing_is_selected() -> None:
    for trace in space().data:
        assert trace.selectedpoints is None
        assert trace.marker.opacity is None


def test_only_one_class_keeps_its_colour_and_name() -> None:
    figure = space(only=1)
    assert [trace.marker.opacity for trace in figure.data] == [0.12, None, 0.12]
    assert [note.text for note in figure.layout.annotations] == ["<b>dog</b>"]


def test_name_of_a_class_stands_at_the_median_of_its_points() -> None:
    notes = {note.text: (note.x, note.y) for note in space().layout.annotations}
    assert notes == {"<b>cat</b>": (2.0, 0.5), "<b>dog</b>": (2.0, 3.0), "<b>emu</b>": (7.0, 1.5)}


def test_class_without_points_has_a_trace_and_no_name() -> None:
    figure = figures.space(LAYOUT, LABEL_ID, (*CLASSES, "fox"), SAMPLE_ID)
    assert len(figure.data) == 4 and len(figure.data[3].x) == 0
    assert len(figure.layout.annotations) == 3


def test_class_keeps_its_colour_when_only_some_are_drawn() -> None:
    rows = LABEL_ID != 0
    whole, part = space(), figures.space(LAYOUT[rows], LABEL_ID[rows], CLASSES, SAMPLE_ID[rows])
    colors = [trace.marker.color for trace in whole.data]
    assert len(set(colors)) == 3
    assert [trace.marker.color for trace in part.data] == colors


@pytest.mark.parametrize("layout", [LAYOUT, LAYOUT * [1, 50], LAYOUT * [1, 0] - 1000, np.zeros((7, 2))])
def test_ranges_are_equal_square_and_hold_every_point(layout: np.ndarray) -> None:
    axes = figures.space(layout, LABEL_ID, CLASSES, SAMPLE_ID).layout
    (left, right), (bottom, top) = axes.xaxis.range, axes.yaxis.range
    assert right - left == pytest.approx(top - bottom, rel=1e-6)
    assert right > left
    assert left < layout[:, 0].min() and layout[:, 0].max() < right
    assert bottom < layout[:, 1].min() and layout[:, 1].max() < top
    assert axes.yaxis.scaleanchor == "x"


def test_range_is_the_wider_side_and_six_percent() -> None:
    axes = space().layout
    assert axes.xaxis.range == pytest.approx((4 - 4.24, 4 + 4.24))  # x from 0 to 8
    assert axes.yaxis.range == pytest.approx((2 - 4.24, 2 + 4.24))  # y from 0 to 4


def test_hover_names_class_and_sample_or_says_what_it_is_told() -> None:
    assert list(space().data[0].text) == ["cat · 1.png", "cat · 4.png"]
    told = np.array([f"text {place}" for place in range(7)])
    assert list(space(hover=told).data[1].text) == ["text 0", "text 3", "text 5"]
    assert space().data[0].hovertemplate == "%{text}<extra></extra>"


def test_class_name_is_text_and_no_markup() -> None:
    figure = figures.space(LAYOUT, LABEL_ID, ("<i>cat</i>", "dog & co", "emu"), SAMPLE_ID)
    notes = [note.text for note in figure.layout.annotations]
    assert "<i>" not in "".join(notes)
    assert unescape(notes[0]) == "<b><i>cat</i></b>" and unescape(notes[1]) == "<b>dog & co</b>"


def test_many_points_are_drawn_by_webgl_and_few_are_not() -> None:
    def kind(n: int) -> str:
        ids = np.array([str(place) for place in range(n)])
        return figures.space(np.random.default_rng(0).random((n, 2)), np.zeros(n, int), ("a",), ids).data[0].type

    assert (kind(4999), kind(5000)) == ("scatter", "scattergl")


def test_curves_draw_each_run_over_images_seen_and_leave_out_what_is_missing() -> None:
    points = ((0, None), (60, 2.0), (120, 1.0))
    series = {"a": [{"images_seen": seen, "loss": loss} for seen, loss in points],
              "b": [{"images_seen": 60, "loss": 0.0}]}
    figure = figures.curves(series, {"a": "#111111", "b": "#222222"}, "loss", "loss per epoch")
    first, second = figure.data
    assert (list(first.x), list(first.y)) == ([60, 120], [2.0, 1.0])
    assert (list(second.x), list(second.y)) == ([60], [0.0]), "zero is a value"
    assert [trace.name for trace in figure.data] == ["a", "b"]
    assert [trace.line.color for trace in figure.data] == ["#111111", "#222222"]
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("images seen", "loss per epoch")


def numbers(figure: go.Figure) -> dict[tuple[int, int], str]:
    """What is written in which cell: (row, column) -> text."""
    return {(int(y), int(x)): text for trace in figure.data if trace.type == "scatter" and trace.mode == "text"
            for x, y, text in zip(trace.x, trace.y, trace.text)}


def markers(figure: go.Figure) -> dict[tuple[int, int], tuple[list[int], str]]:
    """What can be clicked and hovered: (row, column) -> customdata and hover."""
    trace = figure.data[-1]
    return {(int(y), int(x)): (list(figures.cell_of(data)), text)
            for x, y, data, text in zip(trace.x, trace.y, trace.customdata, trace.text)}


def test_confusion_colours_by_the_share_of_the_class() -> None:
    figure = figures.confusion(COUNTS, CLASSES)
    np.testing.assert_allclose(figure.data[0].z, [[75, 25, 0], [0, 0, 0], [25, 0, 75]])
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 100)
    assert numbers(figure) == {(0, 0): "75", (0, 1): "25", (2, 0): "25", (2, 2): "75"}


def test_confusion_can_show_counts() -> None:
    assert numbers(figures.confusion(COUNTS, CLASSES, as_share=False)) == {(0, 0): "3", (0, 1): "1", (2, 0): "2", (2, 2): "6"}


@pytest.mark.parametrize("as_share", [True, False])
def test_confusion_hover_says_how_many_of_which_class_in_which_cluster(as_share: bool) -> None:
    hover = {place: text for place, (_, text) in markers(figures.confusion(COUNTS, CLASSES, as_share)).items()}
    assert len(hover) == 9
    assert hover[0, 1] == "<b>1</b> of 4 cat (25 %)<br>in the cluster matched to dog"
    assert hover[2, 2] == "<b>6</b> of 8 emu (75 %)<br>in the cluster matched to emu"
    assert hover[1, 0].startswith("<b>0</b> of 0 dog (0 %)")


def test_every_cell_can_be_clicked_and_says_its_row_and_column() -> None:
    for figure in (figures.confusion(COUNTS, CLASSES), figures.difference(COUNTS, COUNTS, CLASSES)):
        assert all(data == list(place) for place, (data, _) in markers(figure).items())
        assert figure.data[-1].mode == "markers" and figure.data[-1].marker.opacity == 0
        assert all(trace.hoverinfo == "skip" for trace in figure.data[:-1]), "nothing else may take the click"


def test_confusion_rows_are_classes_from_the_top_and_columns_clusters_with_their_sizes() -> None:
    axes = figures.confusion(COUNTS, CLASSES).layout
    assert axes.yaxis.range == (2.5, -0.5) and axes.xaxis.range == (-0.5, 2.5)
    assert list(axes.yaxis.ticktext) == ["cat <i>(4)</i>", "dog <i>(0)</i>", "emu <i>(8)</i>"]
    assert list(axes.xaxis.ticktext) == ["cat<br><i>5</i>", "dog<br><i>1</i>", "emu<br><i>6</i>"]


def test_difference_is_b_minus_a_about_a_zero_in_the_middle() -> None:
    after = np.array([[4, 0, 0], [0, 0, 0], [0, 2, 6]])
    figure = figures.difference(COUNTS, after, CLASSES)
    np.testing.assert_allclose(figure.data[0].z, [[25, -25, 0], [0, 0, 0], [-25, 25, 0]])
    assert figure.data[0].zmin == -figure.data[0].zmax == -25
    (_, low), (middle, _), (_, high) = figure.data[0].colorscale
    assert middle == 0.5 and (low, high) == (figures.palette.ARM_A, figures.palette.ARM_B)
    assert numbers(figure) == {(0, 0): "+25", (0, 1): "−25", (2, 0): "−25", (2, 1): "+25"}
    assert numbers(figures.difference(COUNTS, after, CLASSES, as_share=False))[2, 0] == "−2"
    assert markers(figure)[2, 0][1] == "<b>-2</b> of 8 emu (-25 points)<br>in the cluster matched to cat:<br>2 in A, 0 in B"
    assert list(figure.layout.xaxis.ticktext) == ["cat<br><i>−1</i>", "dog<br><i>+1</i>", "emu<br><i>+0</i>"]


def test_the_chosen_cell_is_framed() -> None:
    frame = figures.confusion(COUNTS, CLASSES, chosen=(2, 0)).layout.shapes[0]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (-0.5, 0.5, 1.5, 2.5)
    assert not figures.confusion(COUNTS, CLASSES).layout.shapes


def test_many_long_names_stand_upright_and_are_cut() -> None:
    names = tuple(f"a breed of many letters {place}" for place in range(37))
    axes = figures.confusion(np.eye(37, dtype=int), names).layout
    assert axes.xaxis.tickangle == -90
    assert axes.xaxis.ticktext[0] == "a breed of many… <i>(1)</i>"
    assert "a breed of many letters 36" in markers(figures.confusion(np.eye(37, dtype=int), names))[36, 36][1]


def _points(*means: float) -> tuple[Interval, ...]:
    return tuple(Interval(mean, mean - 0.02, mean + 0.03, sd=0.0) for mean in means)


def _curve(crosses: str) -> Curve:
    crossing = Crossing(at=4.0, low=3.0, high=None, to_better="b")
    return Curve(
        metric="map_at_r", counts=(2, 15, "all"), images=(2.0, 15.0, 120.0), floor="untrained", above_floor={},
        titles={"untrained": "untrained", "ce": "classification", "con": "SupCon"}, floor_sentence="", left_out=(),
        points={"untrained": _points(0.2, 0.2, 0.2), "ce": _points(0.5, 0.6, 0.7), "con": _points(0.4, 0.7, 0.8)},
        pairs=(Pair("ce", "con", (), (crossing,), crosses, sentence="", crossing_sentence=""),), n_seeds=1, n_samples=9)


def test_low_data_lines_have_their_bands_arms_colours_and_a_dashed_grey_floor() -> None:
    figure = figures.low_data_curve(_curve("cannot tell"), {"ce": palette.ARM_A, "con": palette.ARM_B}, "MAP@R")
    bands, lines = figure.data[:3], figure.data[3:]
    assert [(line.name, line.line.color, line.line.dash) for line in lines] == [
        ("untrained", palette.UNTRAINED, "dash"), ("classification", palette.ARM_A, "solid"),
        ("SupCon", palette.ARM_B, "solid")]
    assert list(lines[2].x) == [2, 15, 120] and list(lines[2].y) == pytest.approx([40, 70, 80])
    assert list(bands[2].x) == [2, 15, 120, 120, 15, 2]
    assert list(bands[2].y) == pytest.approx([43, 73, 83, 78, 68, 38])
    assert bands[1].fillcolor == "rgba(31,111,235,0.18)"
    assert figure.layout.xaxis.type == "log" and list(figure.layout.xaxis.tickvals) == [2, 15, 120]
    assert list(figure.layout.xaxis.ticktext) == ["2", "15", "all (120)"]
    assert not figure.layout.shapes, "a crossing that cannot be told is not drawn"


def test_a_crossing_that_can_be_told_is_a_line_in_its_interval() -> None:
    band, line = figures.low_data_curve(_curve("yes"), {"ce": "#000000", "con": "#ffffff"}, "MAP@R").layout.shapes
    assert (band.x0, band.x1) == (3.0, 120.0), "open to the right: to the end of the curve"
    assert line.x0 == line.x1 == 4.0


def test_classes_without_samples_and_clusters_leave_no_line_in_a_confusion() -> None:
    counts = np.array([[3, 0, 1], [0, 0, 0], [0, 0, 4]])
    drawn = figures.confusion(counts, ("a", "held out", "c"))
    assert [name.partition(" ")[0] for name in drawn.layout.yaxis.ticktext] == ["a", "c"]
    assert [place for place in markers(drawn).values() if place[0] == [2, 2]], "a cell keeps its class's own number"
    assert np.array(drawn.data[0].z).tolist() == [[75.0, 25.0], [0.0, 100.0]]
    other = np.array([[4, 0, 0], [0, 0, 0], [1, 1, 2]])  # here a sample of c lies in the second's cluster: its line stays
    assert len(figures.difference(counts, other, ("a", "b", "c")).data[0].x) == 3
    assert len(figures.difference(counts, counts, ("a", "b", "c")).data[0].x) == 2
