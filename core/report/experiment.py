"""The report of an experiment: what was asked, what may be said, how it was found out, and how to do it again.

Turns what `core.report.gathering` gathered into one page; computes no number of its own.
"""

import base64
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.analysis import clustering, comparison
from core.analysis.comparison import HEAD, Interval
from core.analysis.metrics import METRICS
from core.analysis.table import EmbeddingTable
from core.quantities import percent
from core.report import figures, page, palette
from core.report.page import markup, markup_lines
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
        images_per_class: of the pair that is drawn.
        seed: whose spaces are drawn.
        comparison: the pair.
        others: the other pairs.
        rows: every arm at that images-per-class, untrained first.
        curve: the low-data curve; None with one images-per-class.
        open_pair: the same pair among held-out classes; None where none was held out.
        open_rows: every arm among them.
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
    images_per_class: int | str
    seed: int
    comparison: Pair
    others: tuple[Pair, ...]
    rows: tuple[Arm, ...]
    curve: Curve | None
    open_pair: Pair | None
    open_rows: tuple[Arm, ...]
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
    parts = [_answer(report), _fairness(report), _metrics(report), _curve(report), _open_set(report), _spaces(report),
             _confusion(report), _examples(report), _readouts(report), _protocol(report), _limits(report),
             _reproduction(report)]
    page.write(f"{report.name}: {report.title_b} against {report.title_a}", "".join(parts), path)


def _names(report: Report) -> tuple[str, str]:
    return f"A · {markup(report.title_a)}", f"B · {markup(report.title_b)}"


def _count(count: int | str) -> str:
    return "all images" if count == "all" else f"{count} images per class"


def _answer(report: Report) -> str:
    others = "".join(f"<li>{_count(item.images_per_class).capitalize()}: {markup(item.sentence)}.</li>"
                     for item in report.others)
    than = "no training" if report.title_a == "untrained" else f"training by {report.title_a}"
    return (f"<p class='note'>{markup(report.name)} · Does training by {markup(report.title_b)} give better embeddings than "
            f"{markup(than)}?</p><h1>{markup(report.comparison.sentence)}.</h1>"
            f"<p>With {_count(report.images_per_class)}.</p>{f'<ul>{others}</ul>' if others else ''}"
            + _not_improved(report.rows, report.comparison))


def _not_improved(rows: tuple[Arm, ...], told: Pair) -> str:
    """Which of both arms training has not made better than the untrained encoder, and which export it unchanged."""
    return "".join(f"<p><b>{markup(said)}.</b></p>" for row in rows
                   if row.objective in (told.label_a, told.label_b)
                   for said in (row.not_improved, row.unchanged) if said)


def _fairness(report: Report) -> str:
    pair = report.comparison
    leaks = [f"{place} has {' and '.join(words)}: its numbers are too good."
             for place, words in (("A", pair.leaks_a), ("B", pair.leaks_b)) if words]
    if pair.confounders:
        leaks.append(f"{comparison.first_up(comparison.unfair_words(pair.confounders))}.")
    said = "".join(f"<p class='unfair'>{markup(text)}</p>" for text in leaks) or (
        "<p>Fair: the same encoder, first weights, split, images, batches, budget and evaluation; only what is under test "
        "differs.</p>")
    rows = [[markup(item.name), f"<code>{markup(item.field)}</code>", markup(item.a), markup(item.b),
             markup(item.kind) + (f": {markup(item.why)}" if item.why else "")] for item in pair.settings]
    head = ["setting", "", *_names(report), "judged"]
    return f"<h2>Is the comparison fair?</h2>{said}{page.table(head, rows, is_words=True)}"


def _metrics(report: Report) -> str:
    floor: dict[str, Interval] = next((row.metrics for row in report.rows if row.objective == "untrained"), {})
    first = report.comparison.differences[0]
    seeds, drawn = ("one seed", "images alone") if first.n_seeds == 1 else (
        f"mean over {first.n_seeds} seeds", "seeds and images")
    n_test = max(item.n_samples for item in report.comparison.differences)  # retrieval's are queries with an answer
    note = (f"<p class='note'>Percent of {n_test:,} test images, {seeds}; 95 % intervals by bootstrap over "
            f"{drawn}.</p>")
    meanings = "".join(f"<li><b>{markup(METRICS[item.metric].title)}</b>: {markup(METRICS[item.metric].meaning)}</li>"
                       for item in report.comparison.differences)
    return (f"<h2>Every metric</h2>{_differences(report.comparison, _names(report), floor)}{note}"
            f"<details><summary>What each metric says</summary><ul>{meanings}</ul></details>")


def _differences(told: Pair, names: tuple[str, str], floor: dict[str, Interval]) -> str:
    """A pair's metrics as a table, with the untrained encoder's where they are given."""
    rows = []
    for item in told.differences:
        title, *cells = comparison.row(item).cells
        below = [percent(floor[item.metric].mean) if item.metric in floor else "–"] if floor else []
        rows.append([f"<span title='{markup(METRICS[item.metric].meaning)}'>{markup(title)}</span>", *below, *cells])
    return page.table([HEAD[0], *(["untrained"] if floor else []), *names, *HEAD[3:]], rows)


def _spaces(report: Report) -> str:
    extent = np.concatenate(report.layouts)
    drawn = tuple(figures.space(layout, space.label_id, space.classes, space.sample_id, extent=extent)
                  for layout, space in zip(report.layouts, report.spaces))
    method = report.spaces[0].metadata["projection"]["method"].upper()
    return (f"<h2>Both spaces, test images</h2>{page.pair(_names(report), drawn)}<p class='note'>{markup(method)} of seed "
            f"{report.seed}, B turned onto A; for looking: every number is from the full dimension.</p>")


def _confusion(report: Report) -> str:
    matrices = [clustering.confusion(space.cluster, space.label_id, len(space.classes)) for space in report.spaces]
    classes = report.spaces[0].classes
    height = max(400, 14 * len(classes) + 90)
    drawn = tuple(figures.confusion(matrix, classes, height=height) for matrix in matrices)
    return (f"<h2>K-means clusters against classes, percent of the class</h2>{page.pair(_names(report), drawn)}"
            f"<h3>Difference, B − A</h3>{page.figure(figures.difference(matrices[0], matrices[1], classes, height=height))}")


def _examples(report: Report) -> str:
    def grid(examples: list[Example]) -> str:
        return "<div class='images'>" + "".join(
            f"<figure><img alt='{markup(item.label)}' "
            f"src='data:image/jpeg;base64,{base64.b64encode(item.jpeg).decode()}'>"
            f"<figcaption>{markup(item.label)}<br>{markup(item.said)}</figcaption></figure>"
            if item.jpeg else f"<figure><figcaption>{markup(item.sample_id)}: its file has gone</figcaption></figure>"
            for item in examples) + "</div>"

    none = "<p class='note'>None.</p>"
    return (f"<h2>Won: only B's nearest neighbours are right</h2>{grid(report.won) if report.won else none}"
            f"<h2>Lost: only A's are</h2>{grid(report.lost) if report.lost else none}")


def _curve(report: Report) -> str:
    if report.curve is None:
        return ""
    colors = dict(zip(report.arms, palette.arms(len(report.arms))))
    drawn = figures.low_data_curve(report.curve, colors, METRICS[report.curve.metric].title)
    said = "".join(f"<p>{markup(item.sentence)}. {markup(item.crossing_sentence)}.</p>" for item in report.curve.pairs)
    return f"<h2>With fewer images</h2>{said}{page.figure(drawn)}<p class='note'>{markup(report.curve.floor_sentence)}.</p>"


def _open_set(report: Report) -> str:
    told = report.open_pair
    if told is None:
        return ""
    return (f"<h2>Classes it never saw</h2><p><b>{markup(told.sentence)}.</b></p>"
            f"{_not_improved(report.open_rows, told)}{_differences(told, _names(report), {})}<p class='note'>Held-out classes "
            f"have no training images, so k-NN and the probe have nothing to learn from.</p>")


def _readouts(report: Report) -> str:
    if not report.readouts:
        return ""
    names = list(dict.fromkeys(readouts.name_of(item) for row in report.readouts for item in row["readouts"]))
    rows = []
    for metric in readouts.CELLS:
        for row in report.readouts:
            cells = {readouts.name_of(item): percent(item[metric]["mean"]) for item in row["readouts"]}
            rows.append([markup(METRICS[metric].title), markup(row["objective"]), *(cells.get(name, "–") for name in names)])
    return (f"<h2>The same readout, all ways</h2>{page.table(['metric', 'arm', *map(markup, names)], rows)}"
            f"<p class='note'>Percent of test images, means over seeds, without intervals. Every comparison on this page is "
            f"of the pooled features.</p>")


def _protocol(report: Report) -> str:
    rows = [[markup(name), markup(value)] for name, value in report.protocol.items()]
    return (f"<h2>How it was found out</h2>{page.table(['', ''], rows, is_words=True)}<p>Checkpoints are chosen on validation "
            f"images. {markup(report.openings)} {markup(report.trials)}</p>")


def _limits(report: Report) -> str:
    return f"<h2>What this does not show</h2><ul>{''.join(f'<li>{markup(text)}</li>' for text in report.limits)}</ul>"


def _reproduction(report: Report) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (f"<h2>Do it again</h2><pre>{markup_lines(report.command)}</pre><p class='note'>{markup(versions)}</p>"
            f"<pre class='config'>{markup_lines(report.config)}</pre>")
