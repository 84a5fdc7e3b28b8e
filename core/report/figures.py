"""The figures that screens and reports share. Plain plotly in, nothing drawn here."""

from html import escape

import numpy as np
import plotly.graph_objects as go

from core.report import palette

WEBGL_FROM = 5000  # points from which WebGL beats SVG; fewer stay sharp and need no GPU
SELECTED_SIZE = 1.4  # a selected point is larger, as colour alone is not enough


def space(layout: np.ndarray, label_id: np.ndarray, classes: tuple[str, ...], sample_id: np.ndarray,
          selected: frozenset[str] = frozenset(), only: int | None = None, hover: np.ndarray | None = None,
          height: int = 400, extent: np.ndarray | None = None) -> go.Figure:
    """A 2D layout, a trace a class, its name at its middle; each point carries its sample_id as customdata.

    Args:
        layout: shape (n, 2).
        label_id: shape (n,).
        classes: names along `label_id`.
        sample_id: shape (n,).
        selected: samples to stand out; the rest fades. Empty: nothing fades.
        only: show this class's colour and fade the others; None shows all.
        hover: text shown for each point, shape (n,); None shows the class and sample_id.
        height: pixels.
        extent: points that must fit too, shape (m, 2), so that two layouts have one scale; None for this layout alone.
    """
    colors = palette.classes(len(classes))
    draw = go.Scattergl if len(layout) >= WEBGL_FROM else go.Scatter
    size = 7 if len(layout) < 1000 else 5 if len(layout) < WEBGL_FROM else 3
    chosen = np.isin(sample_id, list(selected)) if selected else np.zeros(len(sample_id), bool)
    figure = go.Figure()
    for index, name in enumerate(classes):
        mine = np.flatnonzero(label_id == index)
        text = hover[mine] if hover is not None else np.array([f"{name} · {item}" for item in sample_id[mine]])
        trace = draw(
            x=layout[mine, 0], y=layout[mine, 1], mode="markers", name=name, customdata=sample_id[mine], text=text,
            hovertemplate="%{text}<extra></extra>", marker={"size": size, "color": colors[index]},
            selected={"marker": {"size": size * SELECTED_SIZE, "opacity": 1.0}}, unselected={"marker": {"opacity": 0.12}})
        if selected:
            trace.selectedpoints = np.flatnonzero(chosen[mine]).tolist()
        elif only is not None and only != index:
            trace.marker.opacity = 0.12
        figure.add_trace(trace)
        if len(mine) and only in (None, index):
            x, y = np.median(layout[mine], axis=0)
            figure.add_annotation(x=x, y=y, text=f"<b>{escape(name)}</b>", showarrow=False, yshift=14,
                                  font={"size": 11, "color": "#ffffff"}, bgcolor="rgba(30,30,30,0.7)", borderpad=2)
    fitted = layout if extent is None else extent
    low, high = fitted.min(axis=0), fitted.max(axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-9) * 1.06
    blank = {"visible": False, "showgrid": False, "zeroline": False, "constrain": "domain"}  # else a resize widens the range
    figure.update_layout(
        height=height, margin={"l": 4, "r": 4, "t": 4, "b": 4}, dragmode="lasso", showlegend=False,
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
        figure.add_trace(go.Scatter(x=[x for x, _ in points], y=[y for _, y in points], name=name,
                                    mode="lines+markers", line={"color": colors[name], "width": 2},
                                    hovertemplate=f"%{{x:,}} images: %{{y:.3f}}<extra>{name}</extra>"))
    figure.update_layout(height=height, margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="x unified",
                         xaxis={"title": "images seen", "rangemode": "tozero"}, yaxis={"title": title},
                         legend={"orientation": "h", "yanchor": "bottom", "y": 1.0}, uirevision="curves")
    return figure


def low_data_curve(curve: dict, colors: dict[str, str], title: str, height: int = 360) -> go.Figure:
    """A metric against images per class, a line with its interval's band an arm; the floor grey and dashed.

    Args:
        curve: JSON of a `core.analysis.low_data.Curve` with its 'titles'.
        colors: label -> colour; the floor has its own.
        title: the metric's name.
        height: pixels.
    """
    figure = go.Figure()
    x = curve["images"]
    for label, points in curve["points"].items():
        is_floor, name = label == curve["floor"], curve["titles"][label]
        color = palette.UNTRAINED if is_floor else colors[label]
        mean, low, high = ([100 * point[key] for point in points] for key in ("mean", "low", "high"))
        figure.add_trace(go.Scatter(x=[*x, *reversed(x)], y=[*high, *reversed(low)], fill="toself", mode="lines",
                                    line={"width": 0}, fillcolor=_translucent(color), hoverinfo="skip", showlegend=False,
                                    legendgroup=label))
        figure.add_trace(go.Scatter(
            x=x, y=mean, name=name, mode="lines" if is_floor else "lines+markers", legendgroup=label,
            line={"color": color, "width": 2.5, "dash": "dash" if is_floor else "solid"}, marker={"size": 8},
            customdata=np.stack([low, high], axis=1),
            hovertemplate=f"{escape(name)}: %{{y:.1f}} [%{{customdata[0]:.1f}}, %{{customdata[1]:.1f}}]<extra></extra>"))
    for pair in curve["pairs"]:
        for crossing in pair["crossings"] if pair["crosses"] == "yes" else ():
            figure.add_vrect(x0=crossing["low"] or min(x), x1=crossing["high"] or max(x), line_width=0,
                             fillcolor=palette.UNTRAINED, opacity=0.12)
            figure.add_vline(x=crossing["at"], line={"color": palette.UNTRAINED, "width": 1.5, "dash": "dot"})
    text = [f"all ({place:,.0f})" if count == "all" else str(count) for count, place in zip(curve["counts"], x)]
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="x unified", font={"size": 13},
        xaxis={"title": "training images per class", "type": "log", "tickvals": x, "ticktext": text, "hoverformat": ".0f"},
        yaxis={"title": f"{title}, percent"}, legend={"orientation": "h", "yanchor": "bottom", "y": 1.0},
        uirevision="low-data")
    return figure


def _translucent(color: str) -> str:
    red, green, blue = (int(color[place:place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def confusion(counts: np.ndarray, classes: tuple[str, ...], as_share: bool = True, height: int = 400) -> go.Figure:
    """Classes (rows) against matched clusters (columns): shares of the class, or counts.

    Args:
        counts: shape (k, k), samples of class i in the cluster matched to class j.
        classes: names, in the order of both axes.
        as_share: percent of the class's samples instead of counts.
        height: pixels.
    """
    sizes = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.maximum(sizes, 1)
    values = shares if as_share else counts
    text = np.where(counts > 0, np.round(values).astype(int).astype(str), "") if len(classes) <= 20 else None
    hover = [[f"{counts[i, j]} of {int(sizes[i, 0])} {classes[i]} ({shares[i, j]:.0f} %)<br>in the cluster matched to "
              f"{classes[j]}" for j in range(len(classes))] for i in range(len(classes))]
    figure = go.Figure(go.Heatmap(
        z=shares, x=list(classes), y=list(classes), text=text, texttemplate=None if text is None else "%{text}",
        customdata=hover, hovertemplate="%{customdata}<extra></extra>", zmin=0, zmax=100, colorscale="Blues",
        showscale=False, xgap=1, ygap=1))
    return _square(figure, height)


def difference(counts_a: np.ndarray, counts_b: np.ndarray, classes: tuple[str, ...], height: int = 400) -> go.Figure:
    """Where B's confusion holds more of a class than A's (orange), and where less (blue), in points of the class.

    Args:
        counts_a: A's confusion, shape (k, k).
        counts_b: B's, shape (k, k).
        classes: names, in the order of both axes.
        height: pixels.
    """
    share_a, share_b = (100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) for counts in (counts_a, counts_b))
    points = share_b - share_a
    text = np.where(np.abs(points) >= 0.5, np.vectorize("{:+.0f}".format)(points), "") if len(classes) <= 20 else None
    hover = [[f"{classes[i]} in the cluster matched to {classes[j]}:<br>A {share_a[i, j]:.0f} %, B {share_b[i, j]:.0f} %"
              for j in range(len(classes))] for i in range(len(classes))]
    reach = max(1.0, float(np.abs(points).max()))
    figure = go.Figure(go.Heatmap(
        z=points, x=list(classes), y=list(classes), text=text, texttemplate=None if text is None else "%{text}",
        customdata=hover, hovertemplate="%{customdata}<extra></extra>", zmin=-reach, zmax=reach, showscale=False, xgap=1,
        ygap=1, colorscale=[[0, palette.ARM_A], [0.5, "#ffffff"], [1, palette.ARM_B]]))
    return _square(figure, height)


def _square(figure: go.Figure, height: int) -> go.Figure:
    """A matrix of classes against clusters, its cells square."""
    return figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis={"title": "matched cluster", "type": "category", "constrain": "domain", "showgrid": False},
        yaxis={"title": "class", "type": "category", "autorange": "reversed", "scaleanchor": "x", "constrain": "domain",
               "showgrid": False})
