"""The report of an experiment: one page that says what its run folders say, whole and safe to send."""

import re
from pathlib import Path
from typing import NoReturn

import pytest

from core import files
from core.analysis.metrics import METRICS
from core.experiments.handles import Experiment
from core.report import gathering
from tests.unit.test_html import Page


@pytest.fixture(scope="module")
def page(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = tmp_path_factory.mktemp("report") / "report.html"
    gathering.write(Experiment(finished), path)
    assert path.stat().st_size < 5_000_000
    return Page(path)


def test_the_sentence_the_question_and_every_metric_stand_on_it(page: Page, finished: Path) -> None:
    verdict = files.read_json(finished / "verdict.json")
    assert f"{verdict['sentence']}." in page.text
    assert "Does training by SupCon give better embeddings than training by classification?" in page.text
    for item in verdict["comparisons"][0]["differences"]:
        assert METRICS[item["metric"]].title in page.text
        assert f"{100 * item['low']:+.1f} to {100 * item['high']:+.1f}" in page.text


def test_nothing_is_fetched_and_no_image_lies_outside(page: Page) -> None:
    assert not page.names() & {"link", "iframe", "object", "embed", "base", "video", "audio", "source"}
    for tag, attributes in page.tags:
        assert "href" not in attributes and "srcset" not in attributes
        assert tag != "img" or attributes["src"].startswith("data:image/jpeg;base64,")


def test_won_and_lost_are_those_of_the_scores(page: Page, finished: Path) -> None:
    import pyarrow.parquet as pq

    right = {arm: sum(pq.read_table(finished / f"{arm}-15-seed{seed}" / "scores.parquet")["knn_accuracy"].to_numpy()
                      for seed in (0, 1)) for arm in ("classification", "supcon")}
    won, lost = ((right["supcon"] > right["classification"]).sum(), (right["supcon"] < right["classification"]).sum())
    assert won and lost, "the fixture must have some of each"
    assert sum(tag == "img" for tag, _ in page.tags) == min(won, 12) + min(lost, 12)


def test_it_says_what_it_does_not_show_and_how_to_do_it_again(page: Page, finished: Path) -> None:
    kept = files.read_json(finished / "experiment.json")
    assert "What luck of the seed does: with 2 seeds it can hardly be told." in page.text
    assert "each was taken for a group of its own" in page.text
    for part in (kept["fingerprint"], f"torch {kept['versions']['torch']}", "python main.py --config tiny.yaml",
                 Experiment(finished).config.to_yaml().strip()):
        assert part in page.text, part
    assert re.search(r"shared between them: 0 images, 0 groups, 0\s+pictures", page.text)


def test_an_experiment_without_a_pair_is_refused(experiment: Path, tmp_path: Path) -> None:
    for run in Experiment(experiment).runs:
        if run.name.startswith("supcon"):
            (run.folder / "scores.parquet").unlink()
            (run.folder / "embeddings.parquet").unlink()
    (experiment / "verdict.json").unlink()
    with pytest.raises(ValueError, match="must have two finished objectives to compare, got none in 'tiny'"):
        gathering.write(Experiment(experiment), tmp_path / "report.html")
    with pytest.raises(ValueError, match="arms to report must have finished, got untrained and supcon at 15"):
        gathering.write(Experiment(experiment), tmp_path / "report.html", ("untrained", "supcon", 15))


def test_images_that_have_gone_leave_the_report_its_numbers(
        finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> NoReturn:
        raise FileNotFoundError("the folder has gone")

    monkeypatch.setattr(gathering.sources, "open_source", gone)
    gathering.write(Experiment(finished), tmp_path / "report.html")
    assert "its file has gone" in Page(tmp_path / "report.html").text


def test_any_two_arms_can_be_told_of(finished: Path, tmp_path: Path) -> None:
    gathering.write(Experiment(finished), tmp_path / "report.html", ("untrained", "supcon", 15))
    assert "Does training by SupCon give better embeddings than no training?" in Page(tmp_path / "report.html").text


@pytest.mark.parametrize("key, value, said", [
    ("versions", 1e18, "versions not readable in experiment.json"), ("versions", None, "versions not readable"),
    ("versions", {"torch": [2]}, "torch [2]"), ("git_commit", 5, "commit not readable in experiment.json"),
    ("git_commit", [], "dataset "), ("fingerprint", {}, "dataset not readable in experiment.json")])
def test_what_an_experiment_no_longer_tells_of_itself_is_said(experiment: Path, tmp_path: Path, key: str, value: object,
                                                              said: str) -> None:
    kept = files.read_json(experiment / "experiment.json")
    files.write_json(experiment / "experiment.json", {**kept, key: value})
    gathering.write(Experiment(experiment), tmp_path / "report.html")
    assert said in Page(tmp_path / "report.html").text
    del kept[key]
    files.write_json(experiment / "experiment.json", kept)
    gathering.write(Experiment(experiment), tmp_path / "report.html")
