"""The report of an experiment: what was asked, what may be said, how it was found out, and how to do it again.

Turns what `core.report.gathering` gathered into one page; computes no number of its own.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from core.analysis import clustering, probe, statements
from core.analysis.metrics import METRICS
from core.analysis.table import EmbeddingTable
from core.quantities import percent
from core.report import figures, page, palette
from core.results import readouts
from core.results.result import Arm, Curve, Pair


@dataclass(frozen=True)
class Example:
    """A test image that one space gets right and the other wrong.

    Attributes:
        sample_id: which.
        label: its class.
        said: what k-NN makes of it, in words.
        jpeg: its thumbnail; empty if its file has gone.
    """

    sample_id: str
    label: str
    said: str
    jpeg: bytes


@dataclass(frozen=True, eq=False)
class Report:
    """Everything the page of an experiment says, for one pair of arms at one images-per-class.

    Attributes:
        name: the experiment's.
        title_a, title_b: the arms, as they are called in a sentence.
        arms: labels of the experiment's objectives, in order.
        frozen: labels of what was not trained.
        images_per_class: of the pair that is drawn.
        seed: whose spaces are drawn.
        comparison: the pair.
        others: the other pairs.
        rows: every arm at that images-per-class, untrained first.
        curve: the low-data curve; None with one images-per-class.
        open_pair: the same pair among held-out classes; None where none was held out.
        open_rows: every arm among them.
        asked: how many test images ask how many, in words; empty where every one does both.
        training_worth, open_training_worth: whether training pays, in words, among the classes that were trained and among
            those held out; empty where nothing can be said.
        readouts: rows of the table of readouts; empty where there are none.
        spaces: test images of both, the same rows, float32 vectors.
        layouts: their places, B turned onto A, each of shape (n, 2).
        won, lost: examples that only B, or only A, gets right.
        protocol: name -> what it was, in words.
        openings: how often the test images were opened, in words.
        trials: how learning rates were chosen, in words; empty without tuning.
        limits: what this does not show, a sentence each.
        command: how to run it again.
        config: the experiment's file, as YAML.
        versions: name -> version.
    """

    name: str
    title_a: str
    title_b: str
    arms: tuple[str, ...]
    frozen: tuple[str, ...]
    images_per_class: int | str
    seed: int
    comparison: Pair
    others: tuple[Pair, ...]
    rows: tuple[Arm, ...]
    curve: Curve | None
    open_pair: Pair | None
    open_rows: tuple[Arm, ...]
    asked: str
    training_worth: str
    open_training_worth: str
    readouts: list[dict]
    spaces: tuple[EmbeddingTable, EmbeddingTable]
    layouts: tuple[np.ndarray, np.ndarray]
    won: list[Example]
    lost: list[Example]
    protocol: dict[str, str]
    openings: str
    trials: str
    limits: list[str]
    command: str
    config: str
    versions: dict[str, str] = field(default_factory=dict)


def write(report: Report, path: Path) -> None:
    """Writes the report as one self-contained page.

    Args:
        report: what it says.
        path: the .html file.
    """
    classes, extent = report.spaces[0].classes, np.concatenate(report.layouts)
    matrices = [clustering.confusion(space.cluster, space.label_id, len(space.classes)) for space in report.spaces]
    names = [f"A · {report.title_a}", f"B · {report.title_b}"]
    height = max(400, 14 * len(classes) + 90)
    confusions, without = zip(*(figures.confusion_or_why_not(matrix, len(space), classes, height)
                                  for matrix, space in zip(matrices, report.spaces)))
    head, open_head = (statements.head(pair.differences[0].alpha) for pair in (report.comparison,
                                                                               report.open_pair or report.comparison))
    page.write("experiment.html", {
        "report": report, "names": names, "unfair": _unfair(report.comparison),
        "head": [head[0], *names, *head[3:]], "open_head": [open_head[0], *names, *open_head[3:]], "row": statements.row,
        "metrics": METRICS, "percent": percent,
        "macro": statements.macro_sentence(report.comparison),
        "probe": probe.sentence({row.objective: row.probe for row in report.rows}),
        "floor": next((row.metrics for row in report.rows if row.objective == "untrained"), {}),
        "curve": _curve(report), "readouts": _readouts(report),
        "layouts": [figures.space(layout, space.label_id, space.classes, space.sample_id, extent=extent)
                    for layout, space in zip(report.layouts, report.spaces)],
        "confusions": confusions, "without_cluster": [f"{side}: {said}" for side, said in zip("AB", without) if said],
        "confusion_difference": figures.difference(matrices[0], matrices[1], classes, height=height)
        if None not in confusions else None}, path)


def _unfair(pair: Pair) -> list[str]:
    """What makes a comparison unfair, a sentence each."""
    sentences = [f"{side} has {' and '.join(leaks)}: its numbers are too good."
                 for side, leaks in (("A", pair.leaks_a), ("B", pair.leaks_b)) if leaks]
    if pair.confounders:
        sentences.append(f"{statements.first_up(statements.unfair_words(pair.confounders))}.")
    return sentences


def _curve(report: Report) -> go.Figure | None:
    if report.curve is None:
        return None
    colors = dict(zip(report.arms, palette.arms(len(report.arms))))
    return figures.low_data_curve(report.curve, colors, METRICS[report.curve.metric].title)


def _readouts(report: Report) -> list[list[str]]:
    """The table of readouts, its head first: a row for each metric and arm."""
    names = list(dict.fromkeys(readouts.name_of(item) for row in report.readouts for item in row["readouts"]))
    rows = [["metric", "arm", *names]]
    for metric in readouts.metrics_of(report.readouts):
        for row in report.readouts:
            cells = {readouts.name_of(item): percent(item[metric]["mean"]) for item in row["readouts"]}
            rows.append([METRICS[metric].title, row["objective"], *(cells.get(name, "–") for name in names)])
    return rows
