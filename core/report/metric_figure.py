"""Every metric of a comparison as a picture: both arms on their scale, and the difference with its interval about zero."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.analysis import statements
from core.analysis.metrics import METRICS
from core.report import palette
from core.report.figures import text_of

if TYPE_CHECKING:  # what computes them takes a second to load
    from core.analysis.comparison import Difference
    from core.results.result import Arm, Pair

_LINE = 30  # pixels a metric
_COLORS = {"better": palette.ARM_B, "worse": palette.ARM_A}


def draw(compared: "Pair", rows: "Sequence[Arm]", names: tuple[str, str]) -> go.Figure:
    """A line a metric. Left, in percent: A, B, and as ticks the untrained encoder and the level of permuted labels. Right: the
    difference with its interval, the band inside which a difference does not matter, and whether one can tell, or why not.

    Args:
        compared: A and B.
        rows: the verdict's, at their images-per-class.
        names: what A and B are called.
    """
    of_arm = {row.objective: row for row in rows}
    items = compared.differences
    told = [statements.row(item) for item in items]
    lines = list(range(len(items)))
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.03, column_widths=[0.45, 0.55])
    ticks = [("untrained", "line-ns-open", [_mean(of_arm.get("untrained"), item.metric) for item in items]),
             ("permuted labels", "x-thin-open", [_chance(of_arm.get(compared.label_b), item.metric) for item in items])]
    for name, symbol, values in ticks:
        figure.add_trace(_points(name, values, lines, {"symbol": symbol, "size": 11, "color": palette.UNTRAINED,
                                                       "line": {"width": 2}}), 1, 1)
    for side, name, color in (("a", names[0], palette.ARM_A), ("b", names[1], palette.ARM_B)):
        values = [getattr(item, side) for item in items]
        figure.add_trace(_points(f"{side.upper()} · {text_of(name)}", values, lines, {"size": 10, "color": color}), 1, 1)
    for line, item, row in zip(lines, items, told):
        figure.add_trace(_interval(line, item, row), 1, 2)
    margin = items[0].equivalence.margin if items[0].equivalence else 0.0
    if margin:
        figure.add_vrect(x0=-100 * margin, x1=100 * margin, line_width=0, fillcolor=palette.UNTRAINED, opacity=0.18, row=1,
                         col=2)
    figure.add_vline(x=0, line={"color": palette.UNTRAINED, "width": 1.5, "dash": "dot"}, row=1, col=2)
    shown = [value for trace in figure.data if trace.name for value in trace.x if value is not None]  # a silhouette may be < 0
    titles = [METRICS[item.metric].title for item in items]
    figure.update_layout(
        height=86 + _LINE * len(items), margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="closest", font={"size": 13},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0}, uirevision="metrics",
        xaxis={"title": "percent", "range": [min([0.0, *(value - 3 for value in shown)]), 103], "zeroline": False},
        xaxis2={"title": "B − A, points", "zeroline": False},
        yaxis={"tickvals": lines, "ticktext": titles, "range": [len(items) - 0.5, -0.5], "zeroline": False},
        yaxis2={"tickvals": lines, "ticktext": [row.answer for row in told], "side": "right", "showticklabels": True,
                "zeroline": False})
    return figure


def _points(name: str, values: "list[float | None]", lines: list[int], marker: dict[str, object]) -> go.Scatter:
    shown = [None if value is None else 100 * value for value in values]
    return go.Scatter(x=shown, y=lines, name=name, mode="markers", marker=marker, cliponaxis=False,
                      hovertemplate=f"{name}: %{{x:.1f}} %<extra></extra>")


def _interval(line: int, item: "Difference", row: statements.Row) -> go.Scatter:
    color = _COLORS.get(item.verdict, palette.UNTRAINED)
    return go.Scatter(
        x=[100 * item.difference], y=[line], mode="markers", showlegend=False,
        marker={"color": color, "size": 10, "symbol": "square"},
        error_x={"type": "data", "symmetric": False, "array": [100 * (item.high - item.difference)],
                 "arrayminus": [100 * (item.difference - item.low)], "color": color, "thickness": 2.5, "width": 5},
        hovertemplate=f"{row.title}: {row.gap}<br>{row.answer}<extra></extra>")


def _mean(arm: "Arm | None", metric: str) -> float | None:
    return arm.metrics[metric].mean if arm is not None and metric in arm.metrics else None


def _chance(arm: "Arm | None", metric: str) -> float | None:
    return arm.chance[metric].level if arm is not None and metric in arm.chance else None
