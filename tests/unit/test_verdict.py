"""Arms joined by sample, and everything a comparison holds; on spaces of a real experiment."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.analysis import agreement
from core.analysis import table as tables
from core.analysis.metrics import METRICS, SHORT, SPACE_METRICS
from core.experiments.handles import Experiment, Run
from core.results import result, scoring, verdict


def test_only_shared_samples_are_compared_and_the_rest_counted(finished: Path) -> None:
    a, b = (scoring.arm(Experiment(finished), label, 15) for label in ("classification", "supcon"))
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
    a, b = (scoring.arm(Experiment(finished), label, 15) for label in ("classification", "supcon"))
    found = json.loads(json.dumps(result.to_json(verdict.compare(a, b, 300))))
    assert [item["metric"] for item in found["differences"]] == list(METRICS)
    assert all(item["p_value"] <= item["p_holm"] for item in found["differences"])
    assert [item["metric"] for item in found["space"]] == list(SPACE_METRICS)
    assert {item["metric"] for item in found["mcnemar"]} == {"precision_at_1", "knn_1", "knn_accuracy", "knn_20"}
    assert all(len(item["p_value"]) == 2 for item in found["mcnemar"])
    assert {(item["label"], item["metric"]) for item in found["per_class"]} == {
        (label, metric) for label in "0123456789" for metric in SHORT}
    n_differences = sum(len(found[part]) for part in ("differences", "space", "per_class", "macro"))
    assert len(json.dumps(found)) < 512 * n_differences


def test_agreement_is_that_of_the_embeddings(finished: Path) -> None:
    a, b = (scoring.arm(Experiment(finished), label, 15) for label in ("classification", "supcon"))
    alike = verdict.agree(a, b)
    tested = [tables.read(finished / f"{label}-15-seed1" / "embeddings.parquet").of_split("test")
              for label in ("classification", "supcon")]
    spaces = [table.embedding for table in tested]
    overlap = agreement.neighborhood_overlap(*spaces, k=10)
    order = np.argsort(tested[0].sample_id.astype(str), kind="stable")
    assert verdict.overlap(a, b)[1] == pytest.approx(overlap[order])
    assert alike.overlap[1] == pytest.approx(overlap.mean())
    assert alike.cka[1] == pytest.approx(agreement.linear_cka(*spaces))
    assert alike.neighbors == 10 and alike.overlap_by_chance == pytest.approx(10 / (len(order) - 1))
    assert result.read(Experiment(finished)).comparisons[0].agreement == alike


def spoil(experiment: Path, label: str) -> None:
    """Halves the MAP@R of an arm's runs."""
    for run in experiment.glob(f"{label}-*"):
        scores = scoring.read_scores(Run(run))
        for part in (scores.values, scores.gallery):
            part["map_at_r"] = part["map_at_r"] / 2
        scoring.write_scores(Run(run), scores)
    (experiment / "verdict.json").unlink()


def test_training_that_did_not_help_is_said(finished: Path, experiment: Path) -> None:
    spoil(experiment, "supcon")
    for folder in (finished, experiment):
        rows = {row.objective: row for row in verdict.read(Experiment(folder)).rows}
        assert rows["untrained"].against_untrained is None and rows["untrained"].not_improved == ""
        for label in ("classification", "supcon"):
            told, floor, arm = rows[label].against_untrained, rows["untrained"], rows[label]
            assert told.difference == pytest.approx(arm.metrics["map_at_r"].mean - floor.metrics["map_at_r"].mean)
            assert (arm.not_improved == "") == (told.verdict == "better")
    assert rows["supcon"].not_improved.startswith("Cannot tell SupCon from the untrained encoder on MAP@R: ")


def test_an_arm_tested_on_other_images_is_not_held_against_the_untrained_encoder(experiment: Path) -> None:
    for run in experiment.glob("untrained-*"):
        scores = scoring.read_scores(Run(run))
        scoring.write_scores(Run(run), replace(scores, sample_id=np.roll(scores.sample_id, 1)))
    assert [row.against_untrained for row in verdict.decide(Experiment(experiment)).rows] == [None] * 3
