"""Scores from disk and back, what is drawn of them, and what an evaluation says; on spaces of a real experiment."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core import files
from core.analysis import table as tables
from core.analysis.metrics import GALLERY, METRICS, SPACE_METRICS
from core.experiments.handles import Experiment, Run
from core.results import scoring, verdict
from core.results.scores import Scores


def same(one: Scores, other: Scores) -> bool:
    parts = [(one.values, other.values), (one.gallery, other.gallery), (one.space, other.space)]
    return all(np.array_equal(a[name], b[name], equal_nan=True) for a, b in parts for name in a) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("sample_id", "group", "label", "label_id", "clusters", "neighbors"))


def test_scores_come_back_from_disk_as_they_were(finished: Path) -> None:
    run = finished / "supcon-15-seed0"
    fresh = scoring.score(tables.read(run / "embeddings.parquet"))
    kept = scoring.read_scores(Run(run))
    assert same(fresh, kept)
    assert list(kept.values) == list(METRICS) and list(kept.space) == list(SPACE_METRICS) and set(kept.gallery) == set(GALLERY)
    assert kept.clusters.shape == (1, 2, len(kept.sample_id)) and kept.files == (run / "embeddings.parquet",)


def test_scores_of_an_earlier_version_are_computed_anew(experiment: Path) -> None:
    run = experiment / "supcon-15-seed0"
    whole = scoring.read_scores(Run(run))
    arrow = pq.read_table(run / "scores.parquet")
    pq.write_table(arrow.select(["sample_id", "group", "map_at_r", "kmeans_accuracy"]), run / "scores.parquet")
    assert same(scoring.read_scores(Run(run)), whole)
    assert verdict.decide(Experiment(experiment)).sentence


def test_what_is_drawn_has_the_metrics_mean(finished: Path) -> None:
    scores = scoring.read_scores(Run(finished / "supcon-15-seed0"))
    rows = np.flatnonzero(scores.label == scores.label[0])
    for kept in (None, rows):
        for name, column in scores.drawn(kept).items():
            part = scores.values[name] if kept is None else scores.values[name][:, kept]
            assert np.nanmean(column) == pytest.approx(np.nanmean(part), abs=1e-12)
    assert scores.drawn()["map_at_r"].std() > 1.1 * scores.values["map_at_r"].std()


def test_an_evaluation_says_chance_classes_and_how_far_kmeans_differs(finished: Path) -> None:
    found = files.read_json(finished / "supcon-15-seed0" / "evaluation.json")
    scores = scoring.read_scores(Run(finished / "supcon-15-seed0"))
    assert {"map_at_r", "kmeans_accuracy"} <= set(found["chance"])
    assert not any(item["is_at_chance"] for item in found["chance"].values())
    assert found["chance"]["kmeans_accuracy"]["level"] > 0.1
    assert [item["label"] for item in found["per_class"]] == list("0123456789")
    three = scores.label == "3"
    assert found["per_class"][3]["map_at_r"] == pytest.approx(scores.values["map_at_r"][0, three].mean())
    assert found["kmeans"]["n_seeds"] == 2
    assert found["kmeans"]["mean"] == pytest.approx(found["metrics"]["kmeans_accuracy"]["mean"])


def test_seeds_tested_on_other_samples_are_refused(finished: Path, experiment: Path) -> None:
    run = experiment / "supcon-15-seed1"
    arrow = pq.read_table(run / "scores.parquet")
    pq.write_table(arrow.slice(1), run / "scores.parquet")
    with pytest.raises(ValueError, match="seeds must be tested on the same samples"):
        scoring.scores_of_runs([Run(experiment / "supcon-15-seed0"), Run(run)], "supcon")
