"""Three digits held out in a real experiment: never trained on, scored among themselves, told of apart."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from core import files
from core.analysis import clustering, retrieval
from core.analysis import table as tables
from core.experiments.handles import Experiment
from core.results import result, scoring, verdict
from tests.conftest import run_in_process, tiny


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment that holds out three digits. Read only."""
    config = tiny(name="open", split={"held_out_classes": ["1", "4", "9"]},
                  training={"batch": {"classes": 7, "samples": 8}, "lr": 0.003})
    return run_in_process(config, tmp_path_factory.mktemp("open"))


def test_nothing_of_the_held_out_classes_is_trained_on(held_out: Path) -> None:
    manifest = Experiment(held_out).manifest()
    is_open = np.isin(manifest.label.astype(str), ["1", "4", "9"])
    assert (manifest.split[is_open] == "open").all() and not (manifest.split[~is_open] == "open").any()
    assert load_file(held_out / "classification-15-seed0" / "head.safetensors")["head.weight"].shape[0] == 7
    for run in Experiment(held_out).runs:
        table = tables.read(run.folder / "embeddings.parquet")
        assert set(table.label[np.isin(table.sample_id, table.metadata["training_samples"])].tolist()) == set("0235678")


def in_order_of_names(table: tables.EmbeddingTable) -> tables.EmbeddingTable:
    """As scores are kept, so that they do not hang on a table's order of rows."""
    return table.rows(np.argsort(table.sample_id.astype(str), kind="stable"))


def test_the_closed_test_has_as_many_clusters_as_trained_classes(held_out: Path) -> None:
    for run in Experiment(held_out).runs:
        scores = scoring.read_scores(run)
        assert set(scores.label.tolist()) == set("0235678")
        assert set(scores.clusters.reshape(-1).tolist()) == {0, 2, 3, 5, 6, 7, 8}
        test = in_order_of_names(tables.read(run.folder / "embeddings.parquet").of_split("test"))
        label_id = np.searchsorted([0, 2, 3, 5, 6, 7, 8], test.label_id)
        slow = clustering.matched_kmeans(test.embedding, label_id, 7, seed=0)[0] == label_id
        assert (scores.clusters[0, 0] == scores.label_id).tolist() == slow.tolist()


def test_open_scores_are_retrieval_and_kmeans_among_the_held_out_alone(held_out: Path) -> None:
    for run in Experiment(held_out).runs:
        among = scoring.read_scores(run, is_open=True)
        table = in_order_of_names(tables.read(run.folder / "embeddings.parquet").of_split("open"))
        assert list(among.values) == ["map_at_r", "precision_at_1", "r_precision", "kmeans_accuracy"]
        assert among.sample_id.tolist() == table.sample_id.tolist()
        expected = retrieval.retrieve(table.embedding, table.label_id)
        for name, column in expected.items():
            assert among.values[name][0] == pytest.approx(column, nan_ok=True), name
        assert set(among.clusters.reshape(-1).tolist()) == {1, 4, 9}
        assert set(table.cluster.tolist()) == {1, 4, 9}
        kept = files.read_json(run.folder / "evaluation.json")["open_set"]
        assert kept["n_samples"] == len(table)
        assert kept["metrics"]["map_at_r"]["mean"] == pytest.approx(np.nanmean(expected["map_at_r"]))


def test_open_scores_of_a_version_without_a_metric_are_made_anew(held_out: Path, tmp_path: Path) -> None:
    experiment = Path(shutil.copytree(held_out, tmp_path / "checkpoints" / "open"))
    file = experiment / "supcon-15-seed0" / "open_scores.parquet"
    whole = pq.read_table(file)
    pq.write_table(whole.drop_columns(["r_precision"]), file)  # as if it were a metric added since
    before = verdict.decide(Experiment(held_out)).open_comparisons
    assert verdict.decide(Experiment(experiment)).open_comparisons == before
    assert pq.read_table(file).equals(whole)


def test_the_open_set_has_a_verdict_of_its_own(held_out: Path) -> None:
    found = files.read_json(held_out / "verdict.json")
    assert found == result.to_json(verdict.decide(Experiment(held_out)))
    assert [(row["objective"], row["n_seeds"]) for row in found["open_rows"]] == [
        ("untrained", 2), ("classification", 2), ("supcon", 2)]
    told, = found["open_comparisons"]
    n_open = len(Experiment(held_out).manifest().indices("open"))
    assert told["sentence"].startswith("Among 3 held-out classes: ")
    assert f"{n_open} " in told["sentence"] and told["sentence"] != found["sentence"]
    assert {item["metric"] for item in told["differences"]} == {"map_at_r", "precision_at_1", "r_precision", "kmeans_accuracy"}
    assert {item["n_samples"] for item in told["differences"]} == {n_open}
    assert told["confounders"] == []


def test_without_held_out_classes_there_is_no_open_set(finished: Path) -> None:
    found = verdict.decide(Experiment(finished))
    assert found.open_rows == found.open_comparisons == ()
    assert not list(finished.glob("*/open_scores.parquet"))


def test_the_report_tells_of_it(held_out: Path) -> None:
    page = (held_out / "report.html").read_text(encoding="utf-8")
    assert "Classes it never saw" in page and "Among 3 held-out classes: " in page


@pytest.fixture
def shown(held_out: Path, tmp_path: Path) -> Path:
    """A copy where the screens look."""
    return Path(shutil.copytree(held_out, tmp_path / "checkpoints" / "open"))


def test_data_names_the_held_out_classes_and_counts_them(screen, shown: Path) -> None:
    app = screen("data", experiment="open")
    n_open = len(Experiment(shown).manifest().indices("open"))
    counts = app.dataframe[0].value.set_index("class")
    assert counts["open"].sum() == n_open
    assert counts.loc[["1", "4", "9"], ["train", "validation", "test"]].to_numpy().sum() == 0
    assert counts["all"].sum() == 1797
    said = " ".join(item.value for item in app.markdown)
    assert f"**3 classes are held out**, {n_open:,} images: 1, 4, 9." in said


def test_explore_offers_the_open_set_only_where_there_is_one(screen, shown: Path, experiment: Path) -> None:
    app = screen("explore", experiment="open", run="supcon-15-seed0", split="open")
    picker = next(item for item in app.selectbox if item.label == "Images")
    assert picker.options == ["test", "open", "validation", "train", "all"]
    table = tables.read(shown / "supcon-15-seed0" / "embeddings.parquet").of_split("open")
    share = 100 * np.mean(table.cluster == table.label_id)
    assert app.header[0].value.startswith(f"{share:.1f} % of {len(table)} open images lie in their class's cluster")
    closed = screen("explore", experiment="tiny", run="supcon-15-seed0")
    assert "open" not in next(item for item in closed.selectbox if item.label == "Images").options


def test_compare_tells_of_the_open_set_and_the_readouts(screen, shown: Path) -> None:
    app = screen("compare", experiment="open")
    sentence = files.read_json(shown / "verdict.json")["open_comparisons"][0]["sentence"]
    assert f"**{sentence}.**" in [item.value for item in app.markdown]
    assert "The same readout, all ways" in [item.label for item in app.expander]


def test_train_holds_classes_out_and_says_what_batch_would_fit(screen) -> None:
    app = screen("train")
    next(item for item in app.text_input if item.label == "Held-out classes").set_value("3").run()
    assert "training.batch must fit 7 classes" in app.error[0].value and "7 × 5 fits" in app.error[0].value
    next(item for item in app.number_input if item.label == "Classes per batch").set_value(7).run()
    assert app.header[0].value == "Ready to start."
    assert any("of 3 held-out classes." in item.value for item in app.caption)
    next(item for item in app.text_input if item.label == "Held-out classes").set_value("3, dog").run()
    assert "got 'dog'" in app.error[0].value


def test_the_command_line_prints_the_open_sets_table_and_sentence(shown: Path, capsys: pytest.CaptureFixture) -> None:
    from core.cli import follow

    follow.conclude(Experiment(shown), argparse.Namespace(json=False))
    closed, _, open_set = capsys.readouterr().out.partition("test images, each counted alike; ")
    found = files.read_json(shown / "verdict.json")
    n_open = len(Experiment(shown).manifest().indices("open"))
    assert f"Percent on {n_open} images of held-out classes, among themselves" in open_set
    for rows, printed in ((found["rows"], closed), (found["open_rows"], open_set)):
        row, = (row for row in rows if row["objective"] == "supcon")
        values = [f"{100 * item['mean']:.1f} ± {100 * item['sd']:.1f}" for name, item in row["metrics"].items()
                  if name in ("map_at_r", "kmeans_accuracy")]
        line = next(line for line in printed.splitlines() if line.startswith("supcon "))
        assert all(row["not_improved"] in open_set for row in rows)
        assert all(value in line for value in values)
    assert "probe" in closed and "probe" not in open_set
