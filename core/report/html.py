"""One self-contained page: what a comparison or a space is, to send to someone. No address is asked when it opens."""

from html import escape
from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from core.analysis import clustering
from core.analysis.comparison import Comparison
from core.analysis.metrics import METRICS
from core.analysis.table import EmbeddingTable
from core.report import figures

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}
table{border-collapse:collapse}td,th{padding:.25rem .8rem;border-bottom:1px solid #d0d7de;text-align:right}
td:first-child,th:first-child{text-align:left}.pair{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
.unfair{color:#b42318;font-weight:600}code{background:#f6f8fa;padding:.1rem .3rem}
@media print{.pair,table{break-inside:avoid}}
"""


def write_comparison(comparison: Comparison, tables: list[EmbeddingTable], path: Path) -> None:
    """Writes a comparison of two spaces: the sentence, every metric, both layouts and both confusions.

    Args:
        comparison: B against A.
        tables: the two spaces, A first; of an arm, one seed's.
        path: the .html file.
    """
    rows = "".join(
        f"<tr><td title='{escape(METRICS[item.metric].meaning)}'>{METRICS[item.metric].title}</td><td>{100 * item.a:.1f}</td>"
        f"<td>{100 * item.b:.1f}</td><td>{100 * item.difference:+.1f}</td><td>{100 * item.low:+.1f} to "
        f"{100 * item.high:+.1f}</td><td>{item.verdict}</td></tr>" for item in comparison.differences)
    leaks = "".join(_leaks(table, f"{place}: ") for place, table in zip("AB", tables))
    unfair = leaks + (f"<p class='unfair'>Not a fair comparison: {escape(', '.join(comparison.confounders))} differ.</p>"
              if comparison.confounders else "" if leaks else "<p>Fair: the two differ in objective and seed alone.</p>")
    spaces = [table.of_split("test") for table in tables]
    names = (f"A · {escape(comparison.name_a)}", f"B · {escape(comparison.name_b)}")
    body = (f"<h1>{escape(comparison.sentence)}.</h1>{unfair}"
            f"<h2>Every metric</h2><table><tr><th>percent</th><th>{names[0]}</th><th>{names[1]}</th><th>B − A</th>"
            f"<th>95 % interval</th><th>can we tell?</th></tr>{rows}</table>"
            f"<h2>Both spaces, test images</h2>{_pair(names, [_layout(space) for space in spaces])}"
            f"<h2>K-means clusters against classes, percent of the class</h2>"
            f"{_pair(names, [_confusion(space) for space in spaces])}")
    _write("Comparison of two embeddings", body, path)


def write_space(table: EmbeddingTable, name: str, path: Path) -> None:
    """Writes one space: its numbers, layout and confusion on test images.

    Args:
        table: the space.
        name: what to call it.
        path: the .html file.
    """
    test = table.of_split("test")
    rows = "".join(f"<tr><td>{METRICS[key].title}</td><td>{100 * item['mean']:.1f}</td><td>{100 * item['low']:.1f} to "
                   f"{100 * item['high']:.1f}</td></tr>" for key, item in table.metadata["evaluation"]["metrics"].items())
    body = (f"<h1>{escape(name)}</h1>{_leaks(table)}<p>{len(test):,} test images of {len(table):,}; "
            f"{table.embedding.shape[1]} dimensions; dataset <code>{escape(table.metadata['fingerprint'])}</code>.</p>"
            f"<table><tr><th>percent</th><th>mean</th><th>95 % interval</th></tr>{rows}</table>"
            f"<h2>Layout and K-means confusion</h2>{_pair(('', ''), [_layout(test), _confusion(test)])}")
    _write(name, body, path)


def _leaks(table: EmbeddingTable, place: str = "") -> str:
    leaks = table.metadata.get("leaks", [])
    return f"<p class='unfair'>{place}leaks: {escape(' and '.join(leaks))}; its numbers are too good.</p>" if leaks else ""


def _layout(table: EmbeddingTable) -> go.Figure:
    return figures.space(table.layout, table.label_id, table.classes, table.sample_id)


def _confusion(table: EmbeddingTable) -> go.Figure:
    return figures.confusion(clustering.confusion(table.cluster, table.label_id, len(table.classes)), table.classes)


def _pair(names: tuple[str, str], pair: list[go.Figure]) -> str:
    parts = [f"<div><h3>{name}</h3>{pio.to_html(figure, full_html=False, include_plotlyjs=False)}</div>"
             for name, figure in zip(names, pair)]
    return f"<div class='pair'>{''.join(parts)}</div>"


def _write(title: str, body: str, path: Path) -> None:
    page = (f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
            f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script>"
            f"</head><body>{body}</body></html>")
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)

