"""Scores from disk and back, arms joined by sample, and everything a comparison holds; on spaces of a real experiment."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.analysis import agreement
from core.analysis import table as tables
from core.analysis.metrics import GALLERY, METRICS, SHORT, SPACE_METRICS
from core.runs import directory, verdict
from core.runs.verdict import Scores


def same(one: Scores, other: Scores) -> bool:
    parts = [(one.values, other.values), (one.gallery, other.gallery), (one.space, other.space)]
    return all(np.array_equal(a[name], b[name], equal_nan=True) for a, b in parts for name in a) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("sample_id", "group", "label", "label_id", "clusters", "neighbors"))


def test_scores_come_back_from_disk_as_they_were(finished: Path) -> None:
    run = finished / "supcon-15-seed0"
    fresh = verdict.score(tables.read(run / "embeddings.parquet"))
    kept = verdict.read_scores(run)
    assert same(fresh, kept)
    assert list(kept.values) == list(METRICS) and list(kept.space) == list(SPACE_METRICS) and set(kept.gallery) == set(GALLERY)
    assert kept.clusters.shape == (1, 2, len(kept.sample_id)) and kept.files == (run / "embeddings.parquet",)


def test_scores_of_an_earlier_version_are_computed_anew(experiment: Path) -> None:
    run = experiment / "supcon-15-seed0"
    whole = verdict.read_scores(run)
    arrow = pq.read_table(run / "scores.parquet")
    pq.write_table(arrow.select(["sample_id", "group", "map_at_r", "kmeans_accuracy"]), run / "scores.parquet")
    assert same(verdict.read_scores(run), whole)
    assert verdict.decide(experiment)["sentence"]


def test_what_is_drawn_has_the_metrics_mean(finished: Path) -> None:
    scores = verdict.read_scores(finished / "supcon-15-seed0")
    rows = np.flatnonzero(scores.label == scores.label[0])
    for kept in (None, rows):
        for name, column in scores.drawn(kept).items():
            part = scores.values[name] if kept is None else scores.values[name][:, kept]
            assert np.nanmean(column) == pytest.approx(np.nanmean(part), abs=1e-12)
    assert scores.drawn()["map_at_r"].std() > 1.1 * scores.values["map_at_r"].std()


def test_only_shared_samples_are_compared_and_the_rest_counted(finished: Path) -> None:
    a, b = (verdict.arm(finished, label, 15) for label in ("classification", "supcon"))
    n = len(a.sample_id)
    order = np.random.default_rng(0).permutation(n)[: n - 20]
    fewer = replace(b, **{name: getattr(b, name)[order] for name in ("sample_id", "group", "label", "label_id")},
                    **{name: {key: column[:, order] for key, column in getattr(b, name).items()}
                       for name in ("values", "gallery", "space")},
                    clusters=b.clusters[:, :, order], neighbors=b.neighbors[:, order])
    found, whole = verdict.compare(a, fewer, 300), verdict.compare(a, b, 300)
    assert found.n_dropped == 20 and whole.n_dropped == 0
    assert found.differences[0].n_samples == n - 20
    kept = np.isin(a.sample_id, fewer.sample_id)
    assert found.differences[0].difference == pytest.approx(
        (b.values["map_at_r"] - a.values["map_at_r"])[:, kept].mean(), abs=1e-9)


def test_a_comparison_holds_all_it_should_and_stays_small(finished: Path) -> None:
    a, b = (verdict.arm(finished, label, 15) for label in ("classification", "supcon"))
    found = json.loads(json.dumps(verdict.compare(a, b, 300).to_json()))
    assert [item["metric"] for item in found["differences"]] == list(METRICS)
    assert all(item["p_value"] <= item["p_holm"] for item in found["differences"])
    assert [item["metric"] for item in found["space"]] == list(SPACE_METRICS)
    assert {item["metric"] for item in found["mcnemar"]} == {"precision_at_1", "knn_1", "knn_accuracy", "knn_20"}
    assert all(len(item["p_value"]) == 2 for item in found["mcnemar"])
    assert {(item["label"], item["metric"]) for item in found["per_class"]} == {
        (label, metric) for label in "0123456789" for metric in SHORT}
    assert len(json.dumps(found)) < 40_000


def test_agreement_is_that_of_the_embeddings(finished: Path) -> None:
    a, b = (verdict.arm(finished, label, 15) for label in ("classification", "supcon"))
    alike = verdict.agree(a, b)
    spaces = [tables.read(finished / f"{label}-15-seed1" / "embeddings.parquet").of_split("test").embedding
              for label in ("classification", "supcon")]
    overlap = agreement.neighborhood_overlap(*spaces, k=10)
    order = np.argsort(a.sample_id.astype(str), kind="stable")
    assert verdict.overlap(a, b)[1] == pytest.approx(overlap[order])
    assert alike["overlap"][1] == pytest.approx(overlap.mean())
    assert alike["cka"][1] == pytest.approx(agreement.linear_cka(*spaces))
    assert alike["neighbors"] == 10 and alike["overlap_by_chance"] == pytest.approx(10 / (len(order) - 1))
    assert directory.read_json(finished / "verdict.json")["comparisons"][0]["agreement"] == alike


def test_an_evaluation_says_chance_classes_and_how_far_kmeans_differs(finished: Path) -> None:
    found = directory.read_json(finished / "supcon-15-seed0" / "evaluation.json")
    scores = verdict.read_scores(finished / "supcon-15-seed0")
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
        verdict.scores_of_runs([experiment / "supcon-15-seed0", run], "supcon")
