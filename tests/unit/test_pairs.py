"""One pair, one answer: Compare, `main.py compare`, the report, Start and the verdict say the same to the digit."""

import argparse
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import main
from core import config as configuration
from core import files
from core.analysis import statements
from core.analysis.comparison import Difference
from core.cli import follow
from core.experiments.handles import Experiment, Run
from core.report import gathering
from core.results import pairs, result, scoring, verdict
from tests.conftest import TINY
from tests.unit.test_html import Page

Said = tuple[str, list[list[str]]]  # a pair's sentence, and its table: metric, A, B, B − A, interval, can we tell?


def compare(capsys: pytest.CaptureFixture[str], checkpoints: Path, *arguments: object) -> str:
    capsys.readouterr()
    assert main.main(["--checkpoints", str(checkpoints), "compare", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def cells(line: str) -> list[str]:
    """A line of the command line's table, cell by cell."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def on_compare(app: AppTest) -> Said:
    drawn = app.dataframe[0].value.drop(columns="untrained")
    rows = [[title, a, b, *re.fullmatch(r"(\S+)  \[(.*)\]", gap).groups(), outperforms, answer]
            for title, a, b, gap, outperforms, answer in drawn.itertuples(index=False)]
    return app.header[0].value.replace("\\", ""), [[*row[:4], row[4].replace(", ", " to "), *row[5:]] for row in rows]


def on_command_line(printed: str) -> Said:
    lines = printed.splitlines()
    assert cells(lines[1]) == list(statements.HEAD)
    return lines[0], [row for row in map(cells, lines[3:]) if len(row) == 7]


def on_a_page(path: Path) -> Said:
    """What a report of an experiment, or that of `compare --output`, says under 'Every metric'."""
    page = path.read_text(encoding="utf-8")
    lines = page.partition("<h2>Every metric</h2>")[2].partition("</table>")[0].split("<tr>")[2:]
    rows = [[unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<td[^>]*>(.*?)</td>", line)] for line in lines]
    return (unescape(re.search("<h1>(.*?)</h1>", page).group(1)),
            [[row[0], *row[-6:]] for row in rows])  # an experiment's has the untrained encoder's column too


def in_the_verdict(folder: Path, a: str, b: str) -> Said:
    pair = result.read(Experiment(folder)).pair(a, b, 15)
    return f"{pair.sentence}.", [statements.row(item).cells for item in pair.differences]


def decided(folder: Path) -> None:
    """Writes down an experiment's verdict anew."""
    result.write(Experiment(folder), verdict.decide(Experiment(folder)))


def with_holm_against_an_interval(folder: Path) -> None:
    """Gives SupCon the scores of the classifier, but for 1-NN, which is right of nothing but 20 images in its space:
    the interval leaves out zero, and no p-value of 200 draws holds among nine metrics."""
    for seed in (0, 1):
        a, b = (folder / f"{label}-15-seed{seed}" for label in ("classification", "supcon"))
        scores = scoring.read_scores(Run(a))
        for run, is_right in ((a, 0), (b, 1)):
            right = np.zeros_like(scores.values["knn_1"])
            right[:, :20] = is_right
            scoring.write_scores(Run(run), replace(scores, values={**scores.values, "knn_1": right}))
    decided(folder)


def with_a_leak(folder: Path) -> None:
    """Has SupCon's runs say that they drew their batches from every split."""
    leaky = {"name": "supcon", "label": "supcon", "pool": "all"}
    config = configuration.parse({**TINY, "objectives": ["classification", leaky]})
    for path, values in ((folder / "experiment.json", config.to_json()),
                         *((folder / run.name / "run.json", run.to_json()) for run in config.runs())):
        files.write_json(path, files.read_json(path) | {"config": values})
    decided(folder)


@pytest.mark.parametrize("prepare, sign", [
    (decided, "2 seeds"), (with_holm_against_an_interval, "cannot tell: not after Holm"),
    (with_a_leak, "Supcon has a sampler that draws from every split: its numbers are too good; not a fair")])
def test_compare_command_line_report_and_verdict_say_the_same_words_and_digits(
        screen: Callable[..., AppTest], experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
        prepare: Callable[[Path], None], sign: str) -> None:
    prepare(experiment)
    report, page = tmp_path / "report.html", tmp_path / "page.html"
    gathering.write(Experiment(experiment), report)
    printed = compare(capsys, experiment.parent, "tiny/classification-15", "tiny/supcon-15", "--output", page)
    said = in_the_verdict(experiment, "classification", "supcon")
    assert len(said[1]) == 9 and sign in str(said)
    assert on_command_line(printed) == said
    assert on_a_page(report) == said
    assert on_a_page(page) == said
    assert on_compare(screen("compare", experiment="tiny")) == said
    follow.conclude(Experiment(experiment), argparse.Namespace(json=False))
    assert f"15 images per class: {said[0]}" in capsys.readouterr().out


@pytest.mark.parametrize("a, b", [("classification", "supcon"), ("supcon", "classification"), ("untrained", "supcon")])
def test_command_line_page_report_and_verdict_agree_to_the_digit(
        screen, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], a: str, b: str) -> None:
    names = f"tiny/{a}-15", f"tiny/{b}-15"
    page = tmp_path / "report.html"
    lines = compare(capsys, experiment.parent, *names, "--output", page).splitlines()
    found = json.loads(compare(capsys, experiment.parent, *names, "--json"))
    app = screen("compare", experiment="tiny", a=a, b=b)
    assert app.header[0].value == lines[0] == f"{found['sentence']}."
    drawn = app.dataframe[0].value
    assert f"A · {a}" in drawn and f"B · {b}" in drawn and cells(lines[1])[1:3] == ["A", "B"]
    assert any("200 draws" in item.value for item in app.caption) and "200 bootstrap draws" in lines[-1]
    for line, (_, row), item in zip(lines[3:], drawn.iterrows(), found["differences"], strict=False):
        title, mean_a, mean_b, gap, interval, outperforms, answer = cells(line)
        assert row.drop("untrained").tolist() == [title, mean_a, mean_b, f"{gap}  [{interval.replace(' to ', ', ')}]",
                                                  outperforms, answer]
        assert gap == f"{100 * item['difference']:+.1f}"
        assert all(text in Page(page).text for text in (mean_a, mean_b, gap, interval, outperforms, answer))
    assert f"{found['sentence']}." in Page(page).text
    if (a, b) == ("classification", "supcon"):  # the pair of the experiment's own sentence
        verdict = files.read_json(experiment / "verdict.json")
        assert verdict["sentence"] == found["sentence"]
        assert verdict["comparisons"][0]["differences"] == found["differences"]
        assert found["sentence"] in [item.value for item in screen("start").markdown]


def test_the_draws_are_the_configs_and_of_two_that_differ_the_more(experiment: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(experiment, experiment.with_name("other")))
    for path in (other / "experiment.json", *other.glob("*/run.json")):
        values = files.read_json(path)
        values["config"]["evaluation"]["bootstrap"] = 300
        files.write_json(path, values)
    found = json.loads(compare(capsys, experiment.parent, "tiny/supcon-15", "other/supcon-15", "--json"))
    assert (found["n_bootstrap"], found["draws_note"]) == (300, "B's evaluation.bootstrap; A's is 200")
    assert (found["a"], found["b"]) == ("SupCon of tiny", "SupCon of other")
    again = json.loads(compare(capsys, experiment.parent, "other/supcon-15", "tiny/supcon-15", "--json"))
    assert (again["n_bootstrap"], again["draws_note"]) == (300, "A's evaluation.bootstrap; B's is 200")
    same = json.loads(compare(capsys, experiment.parent, "tiny/classification-15", "tiny/supcon-15", "--json"))
    assert (same["n_bootstrap"], same["draws_note"]) == (200, "")


def test_names_tell_apart_what_differs(experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def names(*arguments: object) -> tuple[str, str]:
        found = json.loads(compare(capsys, experiment.parent, *arguments, "--json"))
        return found["a"], found["b"]

    assert names("tiny/classification-15-seed0", "tiny/supcon-15-seed0") == ("classification", "SupCon")
    assert names("tiny/supcon-15-seed0", "tiny/supcon-15-seed1") == ("SupCon, seed 0", "SupCon, seed 1")
    files = [experiment / f"{name}-15-seed0" / "embeddings.parquet" for name in ("classification", "supcon")]
    assert names(*files) == ("classification", "SupCon")
    copies = [Path(shutil.copy(files[1], tmp_path / f"{name}.parquet")) for name in ("first", "second")]
    assert names(*copies) == ("SupCon (first.parquet)", "SupCon (second.parquet)")


def test_arms_are_compared_at_the_seeds_that_both_have_finished(screen, experiment: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    (experiment / "supcon-15-seed1" / "scores.parquet").unlink()
    (experiment / "supcon-15-seed1" / "embeddings.parquet").unlink()
    (experiment / "verdict.json").unlink()
    lines = compare(capsys, experiment.parent, "tiny/classification-15", "tiny/supcon-15").splitlines()
    app = screen("compare", experiment="tiny")
    assert app.header[0].value == lines[0] and "1 of 2 planned seeds" in lines[0]
    drawn = app.dataframe[0].value.set_index("metric")
    for line in lines[3:3 + len(drawn)]:
        title, mean_a, mean_b, *_ = cells(line)
        assert drawn.loc[title, ["A · classification", "B · supcon"]].tolist() == [mean_a, mean_b]


@pytest.mark.parametrize("low, high, verdict, answer", [
    (0.01, 0.19, "cannot tell", "cannot tell: not after Holm"), (-0.01, 0.19, "cannot tell", "cannot tell"),
    (-0.19, -0.01, "cannot tell", "cannot tell: not after Holm"), (0.01, 0.19, "better", "B is better"),
    (-0.19, -0.01, "worse", "A is better")])
def test_a_row_says_that_holm_overruled_its_interval(low: float, high: float, verdict: str, answer: str) -> None:
    item = Difference("precision_at_1", a=0.5, b=0.6, difference=0.1, low=low, high=high, verdict=verdict, n_seeds=1,
                      n_samples=50, settles_at=None)
    assert statements.row(item).answer == answer


def test_every_table_says_so_too(screen, experiment: Path, tmp_path: Path) -> None:
    found = files.read_json(experiment / "verdict.json")
    item = next(item for item in found["comparisons"][0]["differences"] if item["metric"] != "map_at_r")
    item |= {"low": 0.01, "high": 0.2, "verdict": "cannot tell"}
    files.write_json(experiment / "verdict.json", found)
    gathering.write(Experiment(experiment), tmp_path / "report.html")
    assert "cannot tell: not after Holm" in Page(tmp_path / "report.html").text
    drawn = screen("compare", experiment="tiny").dataframe[0].value
    assert "cannot tell: not after Holm" in drawn["can we tell?"].tolist()


def test_two_paths_are_told_apart_by_their_ends() -> None:
    assert pairs._apart(Path("/x/a/space.parquet"), Path("/x/b/space.parquet")) == ("a/space.parquet", "b/space.parquet")
