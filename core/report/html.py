"""What a comparison of two spaces, or a space, is: a page to send to someone. An experiment's report is `experiment.py`'s."""

from pathlib import Path

import plotly.graph_objects as go

from core import scored_by
from core.analysis import clustering
from core.analysis.comparison import HEAD, Comparison, first_up, row, unfair_words
from core.analysis.metrics import METRICS
from core.analysis.table import EmbeddingTable
from core.quantities import percent
from core.report import figures, page
from core.report.page import markup


def write_comparison(comparison: Comparison, tables: list[EmbeddingTable], path: Path) -> None:
    """Writes a comparison of two spaces: the sentence, every metric, both layouts and both confusions.

    Args:
        comparison: B against A.
        tables: the two spaces, A first; of an arm, one seed's.
        path: the .html file.
    """
    rows = "".join(
        f"<tr><td title='{markup(METRICS[item.metric].meaning)}'>{'</td><td>'.join(row(item).cells)}</td></tr>"
        for item in comparison.differences)
    unfair = "".join(_leaks(table, f"{place}: ") for place, table in zip("AB", tables))
    if comparison.confounders:
        unfair += f"<p class='unfair'>{markup(first_up(unfair_words(comparison.confounders)))}.</p>"
    unfair = unfair or "<p>Fair: only what is under test differs.</p>"
    spaces = [table.of_split("test") for table in tables]
    names = (f"A · {markup(comparison.name_a)}", f"B · {markup(comparison.name_b)}")
    body = (f"<h1>{markup(comparison.sentence)}.</h1>{unfair}"
            f"<h2>Every metric</h2><table><tr><th>percent</th><th>{'</th><th>'.join((*names, *HEAD[3:]))}</th></tr>"
            f"{rows}</table>"
            f"<h2>Both spaces, test images</h2>{page.pair(names, (_layout(spaces[0]), _layout(spaces[1])))}"
            f"<h2>K-means clusters against classes, percent of the class</h2>"
            f"{page.pair(names, (_confusion(spaces[0]), _confusion(spaces[1])))}")
    page.write("Comparison of two embeddings", body, path)


def write_space(table: EmbeddingTable, name: str, path: Path) -> None:
    """Writes one space: its numbers, layout and confusion on test images.

    Args:
        table: the space.
        name: what to call it.
        path: the .html file.
    """
    test = table.of_split("test")
    rows = "".join(f"<tr><td>{METRICS[key].title}</td><td>{percent(item['mean'])}</td><td>{percent(item['low'])} to "
                   f"{percent(item['high'])}</td></tr>" for key, item in table.metadata["evaluation"]["metrics"].items())
    earlier = "" if scored_by.is_current(table.metadata["evaluation"]) else f"<p>These numbers were {scored_by.EARLIER}.</p>"
    body = (f"<h1>{markup(name)}</h1>{_leaks(table)}{earlier}<p>{len(test):,} test images of {len(table):,}; "
            f"{table.embedding.shape[1]} dimensions; dataset <code>{markup(table.metadata['fingerprint'])}</code>.</p>"
            f"<table><tr><th>percent</th><th>mean</th><th>95 % interval</th></tr>{rows}</table>"
            f"<h2>Layout and K-means confusion</h2>{page.pair(('', ''), (_layout(test), _confusion(test)))}")
    page.write(name, body, path)


def _leaks(table: EmbeddingTable, place: str = "") -> str:
    leaks = table.metadata.get("leaks", [])
    return f"<p class='unfair'>{place}leaks: {markup(' and '.join(leaks))}; its numbers are too good.</p>" if leaks else ""


def _layout(table: EmbeddingTable) -> go.Figure:
    return figures.space(table.layout, table.label_id, table.classes, table.sample_id)


def _confusion(table: EmbeddingTable) -> go.Figure:
    return figures.confusion(clustering.confusion(table.cluster, table.label_id, len(table.classes)), table.classes)
