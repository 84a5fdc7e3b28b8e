"""The figures that screens and reports share. Plain plotly in, nothing drawn here."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from core.analysis.roc import CURVE
from core.report import palette
from core.visible import visible

if TYPE_CHECKING:  # what computes it takes a second to load
    from core.results.conclusion import Conclusion
    from core.results.result import Curve
    from core.results.same_or_not import Arm

WEBGL_FROM = 5000  # points from which WebGL beats SVG; fewer stay sharp and need no GPU
_MODE_BAR = 34  # pixels at the top for Plotly's buttons, which would else hide the first row and take its clicks
_EMPTY = "rgba(127,127,127,0.06)"  # of a cell: light on light themes, dark on dark ones
_STRONG = 0.6  # share of the scale from which a cell's number needs a colour of its own
_LONGEST = 40  # letters of a name in a legend or on a plot; hovering shows the whole
SELECTED_SIZE = 1.4  # a selected point is larger, as colour alone is not enough


def text_of(text: object, most: int | None = None) -> str:
    """A user's text for Plotly, which reads a subset of HTML, templates and, between dollars, formulas in most of its texts.

    Args:
        text: as it is.
        most: characters after which it is cut with an ellipsis; None for no limit.
    """
    return escape(visible(text, most), quote=False).replace("%{", "&#37;{").replace("$", "&#36;")


def space(layout: np.ndarray, label_id: np.ndarray, classes: tuple[str, ...], sample_id: np.ndarray,
          selected: frozenset[str] = frozenset(), only: int | None = None, hover: np.ndarray | None = None,
          extent: np.ndarray | None = None) -> go.Figure:
    """A 2D layout, a trace a class, its name at its middle; each point carries its sample_id as customdata.

    Args:
        layout: shape (n, 2).
        label_id: shape (n,).
        classes: names along `label_id`.
        sample_id: shape (n,).
        selected: samples to stand out; the rest fades. Empty: nothing fades.
        only: show this class's colour and fade the others; None shows all.
        hover: text shown for each point, shape (n,); None shows the class and sample_id.
        extent: points that must fit too, shape (m, 2), so that two layouts have one scale; None for this layout alone.
    """
    colors = palette.classes(len(classes))
    draw = go.Scattergl if len(layout) >= WEBGL_FROM else go.Scatter
    size = 7 if len(layout) < 1000 else 5 if len(layout) < WEBGL_FROM else 3
    chosen = np.isin(sample_id, list(selected)) if selected else np.zeros(len(sample_id), bool)
    figure = go.Figure()
    for index, name in enumerate(classes):
        mine = np.flatnonzero(label_id == index)
        text = hover[mine] if hover is not None else np.array([text_of(f"{name} · {item}") for item in sample_id[mine]])
        trace = draw(
            x=layout[mine, 0], y=layout[mine, 1], mode="markers", name=text_of(name, _LONGEST),
            customdata=sample_id[mine], text=text, hovertemplate="%{text}<extra></extra>",
            marker={"size": size, "color": colors[index]},
            selected={"marker": {"size": size * SELECTED_SIZE, "opacity": 1.0}}, unselected={"marker": {"opacity": 0.12}})
        if selected:
            trace.selectedpoints = np.flatnonzero(chosen[mine]).tolist()
        elif only is not None and only != index:
            trace.marker.opacity = 0.12
        figure.add_trace(trace)
        if len(mine) and only in (None, index):
            x, y = np.median(layout[mine], axis=0)
            figure.add_annotation(x=x, y=y, text=f"<b>{text_of(name, _LONGEST)}</b>", showarrow=False, yshift=14,
                                  font={"size": 11, "color": "#ffffff"}, bgcolor="rgba(30,30,30,0.7)", borderpad=2)
    fitted = layout if extent is None else extent
    low, high = fitted.min(axis=0), fitted.max(axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-9) * 1.06
    blank = {"visible": False, "showgrid": False, "zeroline": False, "constrain": "domain"}  # else a resize widens the range
    figure.update_layout(
        height=400, margin={"l": 4, "r": 4, "t": 4, "b": 4}, dragmode="lasso", showlegend=False,
        xaxis={**blank, "range": [middle[0] - half, middle[0] + half]},
        yaxis={**blank, "range": [middle[1] - half, middle[1] + half], "scaleanchor": "x"},
        uirevision=f"{middle} {half}")  # a zoom stays while the layout does
    return figure


def curves(series: dict[str, list[dict]], colors: dict[str, str], column: str, title: str,
           height: int = 260) -> go.Figure:
    """A number against images seen, a line a run.

    Args:
        series: name -> records.
        colors: name -> colour.
        column: which number of a record; records without it are left out.
        title: name of the vertical axis, with its unit.
        height: pixels.
    """
    figure = go.Figure()
    for name, records in series.items():
        points = [(record["images_seen"], record[column]) for record in records if record.get(column) is not None]
        figure.add_trace(go.Scatter(x=[x for x, _ in points], y=[y for _, y in points], name=text_of(name),
                                    mode="lines+markers", line={"color": colors[name], "width": 2},
                                    hovertemplate=f"%{{x:,}} images: %{{y:.3f}}<extra>{text_of(name)}</extra>"))
    figure.update_layout(height=height, margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="x unified",
                         xaxis={"title": "images seen", "rangemode": "tozero"}, yaxis={"title": title},
                         legend={"orientation": "h", "yanchor": "bottom", "y": 1.0}, uirevision="curves")
    return figure


def low_data_curve(curve: "Curve", colors: dict[str, str], title: str, height: int = 360) -> go.Figure:
    """A metric against images per class, a line with its interval's band an arm; the floor grey and dashed.

    Args:
        curve: an experiment's.
        colors: label -> colour; the floor has its own.
        title: the metric's name.
        height: pixels.
    """
    x, bands, lines = curve.images, [], []
    for label, points in curve.points.items():
        is_floor, name = label == curve.floor, curve.titles[label]
        color = palette.UNTRAINED if is_floor else colors[label]
        mean, low, high = zip(*((100 * point.mean, 100 * point.low, 100 * point.high) for point in points))
        bands.append(go.Scatter(x=[*x, *reversed(x)], y=[*high, *reversed(low)], fill="toself", mode="lines",
                                line={"width": 0}, fillcolor=_translucent(color), hoverinfo="skip", showlegend=False,
                                legendgroup=label))
        lines.append(go.Scatter(
            x=x, y=mean, name=text_of(name), mode="lines" if is_floor else "lines+markers", legendgroup=label,
            line={"color": color, "width": 2.5, "dash": "dash" if is_floor else "solid"}, marker={"size": 8},
            customdata=np.stack([low, high], axis=1),
            hovertemplate=f"{text_of(name)}: %{{y:.1f}} [%{{customdata[0]:.1f}}, %{{customdata[1]:.1f}}]<extra></extra>"))
    figure = go.Figure([*bands, *lines])  # no band over a line
    for pair in curve.pairs:
        for crossing in pair.crossings if pair.crosses == "yes" else ():
            figure.add_vrect(x0=crossing.low or min(x), x1=crossing.high or max(x), line_width=0,
                             fillcolor=palette.UNTRAINED, opacity=0.12)
            figure.add_vline(x=crossing.at, line={"color": palette.UNTRAINED, "width": 1.5, "dash": "dot"})
    text = [f"all ({n_images:,.0f})" if count == "all" else str(count) for count, n_images in zip(curve.counts, x)]
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="x unified", font={"size": 13},
        xaxis={"title": "training images per class", "type": "log", "tickvals": x, "ticktext": text, "hoverformat": ".0f"},
        yaxis={"title": f"{title}, percent"}, legend={"orientation": "h", "yanchor": "bottom", "y": 1.0},
        uirevision="low-data")
    return figure


def forest(conclusion: "Conclusion", title: str) -> go.Figure:
    """Each dataset's difference with its interval, a line a dataset in the order in which they were named; zero is drawn.

    Orange where B is better and blue where A is, when all datasets are looked at; grey where that cannot be told.

    Args:
        conclusion: of several datasets.
        title: the metric's name.
    """
    colors = {"better": palette.ARM_B, "worse": palette.ARM_A, "cannot tell": palette.UNTRAINED}
    figure = go.Figure()
    for place, (finding, row) in enumerate(zip(conclusion.findings, conclusion.rows)):
        item, color = finding.difference, colors[conclusion.among_all(finding)]
        figure.add_trace(go.Scatter(
            x=[100 * item.difference], y=[place], mode="markers", showlegend=False,
            marker={"color": color, "size": 11, "symbol": "square"},
            error_x={"type": "data", "symmetric": False, "array": [100 * (item.high - item.difference)],
                     "arrayminus": [100 * (item.difference - item.low)], "color": color, "thickness": 2.5, "width": 6},
            hovertemplate=f"{text_of(finding.experiment)}: {row[3]} [{row[4]}]<br>{row[6]} by itself, {row[7]} among all"
                          "<extra></extra>"))
    n = len(conclusion.findings)
    figure.add_vline(x=0, line={"color": palette.UNTRAINED, "width": 1.5, "dash": "dot"})
    figure.update_layout(
        height=90 + 34 * n, margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="closest", font={"size": 13},
        xaxis={"title": f"{text_of(conclusion.name_b)} − {text_of(conclusion.name_a)}, points of {title}", "zeroline": False},
        yaxis={"tickvals": list(range(n)), "range": [n - 0.5, -0.5], "showgrid": False, "zeroline": False,
               "ticktext": [text_of(finding.experiment, _LONGEST) for finding in conclusion.findings]},
        uirevision="forest")
    return figure


def roc(sides: "Sequence[Arm]", colors: Sequence[str], height: int = 360) -> go.Figure:
    """True- against false-accept rates of pairs, the latter on a logarithmic axis: a line an arm, and its rates at the chosen
    thresholds with their intervals.

    Args:
        sides: arms whose curves are defined.
        colors: one each.
        height: pixels.
    """
    figure = go.Figure()
    for side, color in zip(sides, colors):
        name = text_of(side.name, _LONGEST)
        figure.add_trace(go.Scatter(
            x=100 * CURVE, y=[100 * rate for rate in side.curve], name=name, mode="lines", legendgroup=name,
            line={"color": color, "width": 2.5},
            hovertemplate=f"{text_of(side.name)}: %{{y:.1f}} of one class, %{{x:.3g}} of others<extra></extra>"))
        if "true_accept" in side.rates:
            right, wrong = side.rates["true_accept"], side.rates["false_accept"]
            bars = [{"type": "data", "symmetric": False, "array": [100 * (rate.high - rate.mean)],
                     "arrayminus": [100 * (rate.mean - rate.low)], "color": color, "thickness": 1.5, "width": 4}
                    for rate in (right, wrong)]
            figure.add_trace(go.Scatter(
                x=[100 * wrong.mean], y=[100 * right.mean], mode="markers", showlegend=False, legendgroup=name,
                marker={"color": color, "size": 10, "symbol": "diamond"}, error_y=bars[0], error_x=bars[1],
                hovertemplate=f"{text_of(side.name)} at its threshold: %{{y:.1f}} of one class, %{{x:.3g}} of others"
                              "<extra></extra>"))
    if sides:
        figure.add_vline(x=100 * sides[0].false_accept, line={"color": palette.UNTRAINED, "width": 1.5, "dash": "dot"})
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="closest", font={"size": 13},
        xaxis={"title": "accepted of pairs of different classes, percent", "type": "log", "range": [-2, 2.03],
               "tickvals": [0.01, 0.1, 1, 10, 100], "ticktext": ["0.01", "0.1", "1", "10", "100"]},
        yaxis={"title": "accepted of pairs of one class, percent", "range": [0, 101]},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0}, uirevision="roc")
    return figure


def _translucent(color: str) -> str:
    red, green, blue = (int(color[start:start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def confusion(counts: np.ndarray, classes: tuple[str, ...], as_share: bool = True, height: int = 400,
              chosen: tuple[int, int] | None = None, color: str = palette.ARM_A, ink: str | None = None) -> go.Figure:
    """Classes (rows) against matched clusters (columns): shares of the class, or counts.

    Each cell carries its row and column as customdata of a marker that cannot be seen but clicked; `cell_of` reads it.

    Args:
        counts: shape (k, k), samples of class i in the cluster matched to class j.
        classes: names, in the order of both axes.
        as_share: percent of the class's samples instead of counts.
        height: pixels.
        chosen: a cell to frame; None for none.
        color: of a full cell.
        ink: of numbers on faint cells; None for the theme's.

    Classes that neither a sample nor a cluster has, such as held-out ones, are left away.
    """
    (counts,), classes, present = _present((counts,), classes)
    sizes = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.maximum(sizes, 1)
    values = shares if as_share else counts
    text = np.where(counts > 0, np.round(values).astype(int).astype(str), "")
    hover = [[f"<b>{counts[i, j]}</b> of {int(sizes[i, 0])} {text_of(classes[i])} ({shares[i, j]:.0f} %)<br>in the cluster "
              f"matched to {text_of(classes[j])}" for j in range(len(classes))] for i in range(len(classes))]
    scale = [[0, _EMPTY], [1, color]]
    return _matrix(shares, text, hover, counts.sum(axis=1), counts.sum(axis=0), classes, present, scale, (0, 100), height,
                   chosen, ink)


def confusion_or_why_not(counts: np.ndarray, n_samples: int, classes: tuple[str, ...],
                         height: int = 400) -> tuple[go.Figure | None, str]:
    """The confusion of some test images, and a sentence on those in none of its cells; no figure where that is all of them.

    Args:
        counts, classes, height: as of `confusion`.
        n_samples: how many test images there are.
    """
    n_none = n_samples - int(counts.sum())
    said = f"{n_none:,} of {n_samples:,} test images belong to no cluster and are left out of the confusion." if n_none else ""
    return (confusion(counts, classes, height=height) if n_none < n_samples else None), said


def difference(counts_a: np.ndarray, counts_b: np.ndarray, classes: tuple[str, ...], as_share: bool = True,
               height: int = 400, chosen: tuple[int, int] | None = None, ink: str | None = None) -> go.Figure:
    """Confusion of B minus that of A: orange where B has more, blue where A has more, nothing where they agree.

    Blue and orange differ for every kind of colour blindness, and the numbers carry their sign.

    Args:
        counts_a: shape (k, k), samples of class i in A's cluster matched to class j.
        counts_b: the same of B, of the same samples.
        classes: names, in the order of both axes; those that both leave empty are left away.
        as_share: percentage points of the class's samples instead of counts.
        height: pixels.
        chosen: a cell to frame; None for none.
        ink: of numbers on faint cells; None for the theme's.
    """
    (counts_a, counts_b), classes, present = _present((counts_a, counts_b), classes)
    change = counts_b - counts_a
    sizes = counts_a.sum(axis=1)
    values = 100 * change / np.maximum(sizes[:, None], 1)
    shown = np.round(values if as_share else change).astype(int)
    text = np.where(change != 0, np.char.replace(np.char.mod("%+d", shown), "-", "−"), "")
    hover = [[f"<b>{change[i, j]:+d}</b> of {sizes[i]} {text_of(classes[i])} ({values[i, j]:+z.0f} points)<br>in the cluster "
              f"matched to {text_of(classes[j])}:<br>{counts_a[i, j]} in A, {counts_b[i, j]} in B"
              for j in range(len(classes))] for i in range(len(classes))]
    scale = [[0, palette.ARM_A], [0.5, _EMPTY], [1, palette.ARM_B]]
    most = max(float(np.abs(values).max()), 1.0)
    return _matrix(values, text, hover, sizes, counts_b.sum(axis=0) - counts_a.sum(axis=0), classes, present, scale,
                   (-most, most), height, chosen, ink, is_change=True)


def _present(matrices: tuple[np.ndarray, ...],
             classes: tuple[str, ...]) -> tuple[list[np.ndarray], tuple[str, ...], np.ndarray]:
    """The classes that some sample or cluster has: their part of each matrix, their names, and their places among all."""
    total = np.sum(matrices, axis=0)
    present = np.flatnonzero(total.sum(axis=0) + total.sum(axis=1))
    return [counts[np.ix_(present, present)] for counts in matrices], tuple(classes[index] for index in present), present


def _matrix(values: np.ndarray, text: np.ndarray, hover: list[list[str]], row_sizes: np.ndarray, column_sizes: np.ndarray,
            classes: tuple[str, ...], present: np.ndarray, scale: list[list], limits: tuple[float, float], height: int,
            chosen: tuple[int, int] | None, ink: str | None, is_change: bool = False) -> go.Figure:
    n = len(classes)
    longest = max(len(name) for name in classes)
    is_long = longest * n > 45  # names would run into each other if they lay flat
    labels = (105 if is_long and longest > 6 else 60, 60)
    side = max((height - labels[0] - _MODE_BAR - 32) / n, 1)  # of a cell, in pixels, about
    widest = max((len(item) for item in text.ravel()), default=1)
    places = np.arange(n)
    figure = go.Figure(go.Heatmap(z=values, x=places, y=places, hoverinfo="skip", zmin=limits[0], zmax=limits[1],
                                  colorscale=scale, showscale=False, xgap=1, ygap=1))
    is_blue = values / limits[1] > _STRONG if scale[-1][1] == palette.ARM_A else values / limits[1] < -_STRONG
    is_orange = (np.abs(values) / limits[1] > _STRONG) & ~is_blue
    for color, cells in (("#ffffff", is_blue), ("#111111", is_orange), (ink, ~is_blue & ~is_orange)):
        i, j = np.nonzero(cells & (text != ""))
        figure.add_trace(go.Scatter(x=j, y=i, mode="text", text=text[i, j], hoverinfo="skip", showlegend=False,
                                    textfont={"size": max(7, min(12, int(side / (0.6 * max(widest, 1))))), "color": color}))
    rows, columns = np.indices((n, n)).reshape(2, -1)
    figure.add_trace(go.Scatter(  # heat maps cannot be clicked in Streamlit: markers can
        x=columns, y=rows, mode="markers",
        customdata=[f"{row} {column}" for row, column in zip(present[rows], present[columns])],
        text=[hover[i][j] for i, j in zip(rows, columns)], hovertemplate="%{text}<extra></extra>", showlegend=False,
        marker={"symbol": "square", "size": side, "opacity": 0, "color": palette.UNTRAINED},
        selected={"marker": {"opacity": 0}}, unselected={"marker": {"opacity": 0}}))
    if chosen is not None:
        i, j = np.searchsorted(present, chosen)
        figure.add_shape(type="rect", x0=j - 0.5, x1=j + 0.5, y0=i - 0.5, y1=i + 0.5, line={"color": "#CC79A7", "width": 3})
    sign = "%+d" if is_change else "%d"
    ticks = {"showgrid": False, "zeroline": False, "tickmode": "array", "tickvals": places, "constrain": "domain",
             "tickfont": {"size": max(8, min(12, round(side * 0.7)))}, "ticks": ""}
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": _MODE_BAR, "b": 8}, dragmode=False, hovermode="closest",
        clickmode="event+select",
        xaxis={**ticks, "title": {"text": f"matched cluster, {'change of ' if is_change else ''}size", "standoff": 4},
               "range": [-0.5, n - 0.5], "tickangle": -90 if is_long else 0,
               "ticktext": [_tick(name, sign % size, is_long) for name, size in zip(classes, column_sizes)]},
        yaxis={**ticks, "range": [n - 0.5, -0.5], "scaleanchor": "x", "constraintoward": "top",
               "ticktext": [_tick(name, f"{size}", True) for name, size in zip(classes, row_sizes)]},
        # the rows' title, above their names: beside them Plotly draws it over them where both axes share a scale
        title={"text": "class, size", "x": 0, "xref": "container", "xanchor": "left", "y": 1, "yref": "paper",
               "yanchor": "bottom", "pad": {"l": 8, "b": 4}, "font": {"size": 13, "weight": "normal"}})
    return figure


def cell_of(customdata: str | list[str]) -> tuple[int, int]:
    """Row and column of the cell whose marker was clicked. A text, not two numbers: of a list, Streamlit makes a mapping."""
    text = customdata if isinstance(customdata, str) else customdata[0]
    row, column = text.split()
    return int(row), int(column)


def _tick(name: str, size: str, in_one_line: bool) -> str:
    """A class's name, cut where it is long, and its size."""
    short = text_of(name, 16)
    size = size.replace("-", "−")
    return f"{short} <i>({size})</i>" if in_one_line else f"{short}<br><i>{size}</i>"
