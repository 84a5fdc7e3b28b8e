"""What a comparison of two spaces, or a space, is: a page to send to someone. An experiment's report is `experiment.py`'s."""

from pathlib import Path

import plotly.graph_objects as go

from core import scored_by
from core.analysis import clustering
from core.analysis.comparison import Comparison
from core.analysis.metrics import METRICS
from core.analysis.statements import first_up, head, macro_sentence, row, unfair_words
from core.analysis.table import EmbeddingTable
from core.errors import InputError
from core.quantities import percent
from core.report import figures, page


def write_comparison(comparison: Comparison, tables: list[EmbeddingTable], path: Path) -> None:
    """Writes a comparison of two spaces: the sentence, every metric, both layouts and both confusions.

    Args:
        comparison: B against A.
        tables: the two spaces, A first; of an arm, one seed's.
        path: the .html file.
    """
    unfair = [f"{side}: {sentence}" for side, table in zip("AB", tables) if (sentence := _leaks(table))]
    if comparison.confounders:
        unfair.append(f"{first_up(unfair_words(comparison.confounders))}.")
    spaces = [table.of_split("test") for table in tables]
    confusions, without = zip(*(_confusion(space) for space in spaces))
    names = [f"A · {comparison.name_a}", f"B · {comparison.name_b}"]
    page.write("comparison.html", {
        "comparison": comparison, "unfair": unfair, "names": names,
        "head": ["percent", *names, *head(comparison.differences[0].alpha)[3:]],
        "row": row, "metrics": METRICS, "macro": macro_sentence(comparison),
        "layouts": [_layout(space) for space in spaces], "confusions": confusions,
        "without_cluster": [f"{side}: {said}" for side, said in zip("AB", without) if said]}, path)


def write_space(table: EmbeddingTable, name: str, path: Path) -> None:
    """Writes one space: its numbers, layout and confusion on test images.

    Args:
        table: the space.
        name: what to call it.
        path: the .html file.

    Raises:
        InputError: if the table says nothing of its numbers.
    """
    test, evaluation = table.of_split("test"), table.metadata.get("evaluation")
    if evaluation is None:
        raise InputError(f"a space to report must have 'evaluation' in its metadata, got none in {name}")
    rows = [[METRICS[key].title if key in METRICS else key,
             percent(item["mean"]), f"{percent(item['low'])} to {percent(item['high'])}"]
            for key, item in evaluation["metrics"].items()]
    confusion, without = _confusion(test)
    page.write("space.html", {
        "name": name, "space": table, "n_test": len(test), "rows": rows, "leaks": _leaks(table),
        "earlier": scored_by.earlier(evaluation),
        "figures": [_layout(test), confusion], "without_cluster": without}, path)


def _leaks(table: EmbeddingTable) -> str:
    leaks = table.metadata.get("leaks", [])
    return f"leaks: {' and '.join(leaks)}; its numbers are too good." if leaks else ""


def _layout(table: EmbeddingTable) -> go.Figure:
    return figures.space(table.layout, table.label_id, table.classes, table.sample_id)


def _confusion(table: EmbeddingTable) -> tuple[go.Figure | None, str]:
    counts = clustering.confusion(table.cluster, table.label_id, len(table.classes))
    return figures.confusion_or_why_not(counts, len(table), table.classes)
