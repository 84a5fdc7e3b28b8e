"""Do I need to train at all? Frozen encoders and tables of vectors beside the arms that are trained, in real runs."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from core import files
from core.analysis import metrics
from core.analysis import table as tables
from core.config import EncoderConfig
from core.data import vectors
from core.errors import InputError
from core.experiments import planning
from core.experiments.handles import Experiment
from core.inference import embedding
from core.jobs import more_seeds, overview, series
from core.results import result, scoring, verdict
from core.training import encoder
from core.training.ranks import Ranks
from tests.conftest import opened, run_in_process, tiny

ENCODER = {"name": "test_vit", "weights": "random", "image_size": 32}


@pytest.fixture(scope="module")
def labels() -> tuple[np.ndarray, np.ndarray]:
    """The digits' sample_id and label_id."""
    manifest = planning.scan(tiny().dataset)
    return manifest.sample_id, manifest.label_id


def table(path: Path, ids: np.ndarray, vectors: np.ndarray) -> str:
    """A file as pandas writes it: lists of 64 bits, rows in another order."""
    order = np.random.default_rng(5).permutation(len(ids))
    pd.DataFrame({"id": ids[order], "vector": [row.tolist() for row in vectors[order].astype(np.float64)]}).to_parquet(path)
    return str(path)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, labels: tuple[np.ndarray, np.ndarray]) -> Path:
    """A finished experiment whose table knows every class, beside another frozen encoder. Read only."""
    ids, label_id = labels
    root = tmp_path_factory.mktemp("planted")
    generator = np.random.default_rng(0)
    known = np.eye(10)[label_id] + generator.normal(0, 0.2, (len(ids), 10))
    return run_in_process(tiny(baselines=[ENCODER, table(root / "known.parquet", ids, known)]), root)


def test_a_table_that_knows_the_classes_says_that_training_does_not_pay(planted: Path) -> None:
    told = result.read(Experiment(planted))
    assert [row.objective for row in told.rows] == ["untrained", "test_vit", "known", "classification", "supcon"]
    [worth] = told.training_worth
    assert (worth.frozen, worth.n_frozen, worth.n_trained) == ("known", 3, 2)
    assert worth.difference.verdict == "worse" and worth.difference.high < 0
    assert told.worth_of_training(15).startswith("Training does not pay: ")
    assert " is worse than known on MAP@R by " in worth.sentence
    assert worth.sentence.endswith(", for this split; chosen on validation, as the best of 2 trained and of 3 frozen arms")
    rows = {row.objective: row.metrics["map_at_r"].mean for row in told.rows}
    assert worth.difference.difference == pytest.approx(rows[worth.trained] - rows["known"], abs=1e-12)


def test_a_table_that_knows_nothing_says_what_training_is_worth(tmp_path: Path,
                                                               labels: tuple[np.ndarray, np.ndarray]) -> None:
    noise = table(tmp_path / "noise.parquet", labels[0], np.random.default_rng(1).normal(size=(len(labels[0]), 8)))
    config = tiny(baselines=[noise], objectives=["supcon"], seeds=[0, 1, 2], budget={"images": 3200, "epochs": 2})
    told = result.read(Experiment(run_in_process(config, tmp_path)))
    [worth] = told.training_worth
    assert (worth.frozen, worth.trained, worth.difference.verdict) == ("untrained", "supcon", "better"), worth.sentence
    assert worth.sentence.startswith("Training pays: SupCon is better than the untrained encoder on MAP@R by ")
    assert worth.difference.low > 0


def test_a_tables_scores_are_those_of_its_vectors_and_the_probe_is_scikit_learns(planted: Path) -> None:
    run = Experiment(planted).run("known-15-seed0")
    space = tables.read(run.embeddings_file)
    vectors = pd.read_parquet(planted.parents[1] / "known.parquet").set_index("id")["vector"]
    expected = np.stack(vectors[space.sample_id].to_list()).astype(np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert space.embedding == pytest.approx(expected, abs=1e-6)
    scores = scoring.read_scores(run)
    test = space.of_split("test")
    test = test.rows(np.argsort(test.sample_id.astype(str)))
    known = space.rows(np.isin(space.sample_id, space.metadata["training_samples"]))
    right = metrics.knn_correct(test.embedding, test.label_id, known.embedding, known.label_id, 5)
    assert np.array_equal(scores.values["knn_accuracy"][0], right)
    [choice] = scores.probe
    probe = LogisticRegression(C=choice.c, max_iter=5000, tol=1e-8).fit(known.embedding, known.label_id)
    assert scores.values["probe_accuracy"][0].mean() == pytest.approx(probe.score(test.embedding, test.label_id), abs=0.01)


def test_each_seed_of_a_table_has_the_same_vectors_and_its_own_labelled_images(planted: Path) -> None:
    first, second = (tables.read(Experiment(planted).run(f"known-15-seed{seed}").embeddings_file) for seed in (0, 1))
    assert np.array_equal(first.embedding, second.embedding)
    assert first.metadata["training_samples"] != second.metadata["training_samples"]
    assert first.metadata["encoder"] == second.metadata["encoder"] and "sha256" in first.metadata["encoder"]


def test_a_frozen_encoder_is_embedded_as_by_itself(planted: Path) -> None:
    run = Experiment(planted).run("test_vit-15-seed1")
    module, _, config, digest = embedding.load_encoder(run)
    assert (config.encoder.name, digest) == ("test_vit", None)
    assert tables.read(run.embeddings_file).metadata["encoder"]["name"] == "test_vit"
    assert tables.read(run.embeddings_file).embedding.shape[1] == module.num_features


def test_a_table_embeds_nothing_else_and_says_so(planted: Path) -> None:
    with pytest.raises(InputError, match="tiny/known-15-seed0 must have an encoder to embed with, got the vectors of a table"):
        embedding.load_encoder(Experiment(planted).run("known-15-seed0"))


def test_which_arm_stands_for_its_kind_is_chosen_on_validation(planted: Path, tmp_path: Path) -> None:
    """With other numbers on validation, and the same on test, another arm is taken."""
    experiment = Experiment(Path(shutil.copytree(planted, tmp_path / "tiny")))
    for run in experiment.runs:
        told = files.read_json(run.evaluation_file)
        assert 0 < told["validation"]["map_at_r"] < 1
        if run.name.startswith(("untrained", "classification")):
            files.write_json(run.evaluation_file, {**told, "validation": {"map_at_r": 1.0, "group_chance": 0.0}})
    [worth] = verdict.decide(experiment).training_worth
    assert (worth.frozen, worth.trained) == ("untrained", "classification")
    assert "than the untrained encoder on MAP@R" in worth.sentence or "and the untrained encoder" in worth.sentence


def test_compare_and_the_report_say_whether_training_pays(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUET_CHECKPOINTS", str(planted.parent))
    monkeypatch.setenv("DUET_DATA", str(planted.parents[1] / "data"))
    sentence = result.read(Experiment(planted)).worth_of_training(15)
    app = opened("compare", experiment="tiny")
    assert not app.exception
    shown = " ".join(item.value for item in app.markdown)
    assert sentence.split(":")[0] in shown
    assert [box.value for box in app.selectbox if box.label in ("A", "B")] == ["classification", "supcon"]
    assert sentence in (planted / "report.html").read_text(encoding="utf-8")
    app = opened("compare", experiment="tiny", a="known", b="supcon")
    assert not app.exception and any("was not trained here" in item.value for item in app.caption)


def test_a_table_that_lacks_an_image_is_refused_before_anything_is_laid_out(tmp_path: Path,
                                                                           labels: tuple[np.ndarray, np.ndarray]) -> None:
    path = table(tmp_path / "half.parquet", labels[0][:900], np.ones((900, 4)))
    with pytest.raises(InputError, match=r"baselines\.1\.table: table of vectors must have a vector for each of 1,797"):
        planning.plan(tiny(baselines=["test_vit", path]))
    with pytest.raises(InputError, match=r"baselines\.0\.weights must be 'random', 'hub' or a weights file, found none at"):
        planning.plan(tiny(baselines=["nothing.safetensors"]))


def test_nothing_is_called_damaged_of_an_arm_that_was_not_trained(planted: Path) -> None:
    assert overview.read(Experiment(planted)).damage == ()


def test_an_arm_that_lacks_a_seed_is_named(planted: Path, tmp_path: Path) -> None:
    experiment = Experiment(Path(shutil.copytree(planted, tmp_path / "tiny")))
    for name in ("scores.parquet", "embeddings.parquet"):
        (experiment.folder / "known-15-seed1" / name).unlink()
    [worth] = verdict.decide(experiment).training_worth
    assert worth.frozen != "known" and worth.sentence.endswith("; without known, which has not finished")


def test_a_baseline_that_is_gone_fails_alone_and_other_vectors_are_refused(tmp_path: Path,
                                                                          labels: tuple[np.ndarray, np.ndarray]) -> None:
    """Seeds are added after the table was changed, and trained after the weights file has gone."""
    ids, label_id = labels
    path = table(tmp_path / "t.parquet", ids, np.eye(10)[label_id] + 0.1)
    weights = tmp_path / "w.pth"
    torch.save(encoder.build(EncoderConfig(name="test_vit", image_size=32), 0)[0].state_dict(), weights)
    changes = {"objectives": ["supcon"], "seeds": [0], "budget": {"images": 80, "epochs": 1}}
    of_file = {"name": "test_vit", "weights": str(weights), "image_size": 32}
    folder = run_in_process(tiny(baselines=[path, of_file], **changes), tmp_path)
    more_seeds.add(Experiment(folder), 1)
    table(tmp_path / "t.parquet", ids, np.random.default_rng(0).normal(size=(len(ids), 10)))
    weights.unlink()
    series.work_through(Experiment(folder), tmp_path / "data", "cpu", Ranks())
    states = {run.name: run.status for run in Experiment(folder).runs if run.name.endswith("seed1")}
    assert {name: status.state for name, status in states.items()} == {
        "untrained-15-seed1": "completed", "t-15-seed1": "failed", "w-15-seed1": "failed", "supcon-15-seed1": "completed"}
    assert "must be the one that t-15-seed0 has, got others in" in states["t-15-seed1"].message
    assert "found none at" in states["w-15-seed1"].message
    with pytest.raises(InputError, match=r"baselines\.1\.weights must be"):
        more_seeds.add(Experiment(folder), 1)


def test_a_table_is_read_once_however_often_a_form_plans_and_again_once_it_has_changed(
        tmp_path: Path, labels: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path / "t.parquet", labels[0], np.ones((len(labels[0]), 4)))
    config, scanned = tiny(baselines=[path]), planning.scan(tiny().dataset)
    read, of_samples = [], vectors.of_samples
    monkeypatch.setattr(vectors, "of_samples", lambda *arguments: read.append(1) or of_samples(*arguments))
    for _ in range(3):
        planning.plan(config, scanned=scanned)
    assert len(read) == 1
    table(tmp_path / "t.parquet", labels[0][:9], np.ones((9, 4)))
    with pytest.raises(InputError, match="got none for"):
        planning.plan(config, scanned=scanned)
