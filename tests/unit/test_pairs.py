"""One pair, one answer: Compare, `main.py compare`, the report, Start and the verdict say the same to the digit."""

import json
import shutil
from pathlib import Path

import pytest

import main
from core.analysis import comparison
from core.analysis.comparison import Difference
from core.experiments import directory
from core.report import gathering
from core.results import pairs
from tests.unit.test_html import Page


def compare(capsys: pytest.CaptureFixture[str], checkpoints: Path, *arguments: object) -> str:
    capsys.readouterr()
    assert main.main(["--checkpoints", str(checkpoints), "compare", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def cells(line: str) -> list[str]:
    """A line of the command line's table, cell by cell."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


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
        title, mean_a, mean_b, gap, interval, answer = cells(line)
        assert row.drop("untrained").tolist() == [title, mean_a, mean_b, f"{gap}  [{interval.replace(' to ', ', ')}]", answer]
        assert gap == f"{100 * item['difference']:+.1f}"
        assert all(text in Page(page).text for text in (mean_a, mean_b, gap, interval, answer))
    assert f"{found['sentence']}." in Page(page).text
    if (a, b) == ("classification", "supcon"):  # the pair of the experiment's own sentence
        verdict = directory.read_json(experiment / "verdict.json")
        assert verdict["sentence"] == found["sentence"]
        assert verdict["comparisons"][0]["differences"] == found["differences"]
        assert found["sentence"] in [item.value for item in screen("start").markdown]


def test_the_draws_are_the_configs_and_of_two_that_differ_the_more(experiment: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(experiment, experiment.with_name("other")))
    for path in (other / "experiment.json", *other.glob("*/run.json")):
        values = directory.read_json(path)
        values["config"]["evaluation"]["bootstrap"] = 300
        directory.write_json(path, values)
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
    assert app.header[0].value == lines[0] and "1 seed," in lines[0]
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
    assert comparison.row(item).answer == answer


def test_every_table_says_so_too(screen, experiment: Path, tmp_path: Path) -> None:
    found = directory.read_json(experiment / "verdict.json")
    item = next(item for item in found["comparisons"][0]["differences"] if item["metric"] != "map_at_r")
    item |= {"low": 0.01, "high": 0.2, "verdict": "cannot tell"}
    directory.write_json(experiment / "verdict.json", found)
    gathering.write(experiment, tmp_path / "report.html")
    assert "cannot tell: not after Holm" in Page(tmp_path / "report.html").text
    drawn = screen("compare", experiment="tiny").dataframe[0].value
    assert "cannot tell: not after Holm" in drawn["can we tell?"].tolist()


def test_two_paths_are_told_apart_by_their_ends() -> None:
    assert pairs._apart(Path("/x/a/space.parquet"), Path("/x/b/space.parquet")) == ("a/space.parquet", "b/space.parquet")
