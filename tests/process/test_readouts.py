"""The same readout, all ways: heads as by hand, cells as the run's own numbers, the rows of a table over seeds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from core import files
from core.analysis import metrics, retrieval
from core.analysis import table as tables
from core.config.objectives import OBJECTIVES
from core.experiments.handles import Experiment, Run
from core.results import readouts, scoring
from core.training import checkpoint, objectives
from tests.conftest import run_in_process, tiny

FEATURES = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment whose arms have each readout: logits, projection, cosines, none."""
    config = tiny(name="projected", seeds=[0, 1], objectives=[
        "classification", {"name": "supcon", "projection": 16}, "arcface", {"name": "triplet"}])
    return run_in_process(config, tmp_path_factory.mktemp("projected"))


def built(name: str, **parameters: object) -> nn.Module:
    return objectives.build(OBJECTIVES[name](**parameters), 8, 3, 12, seed=1).requires_grad_(False)


def test_logits_and_projection_are_a_forward_by_hand() -> None:
    classification = built("classification")
    weight, bias = classification.head.weight, classification.head.bias
    by_hand = torch.tensor([[sum(float(x[d] * weight[k, d]) for d in range(8)) + float(bias[k]) for k in range(3)]
                            for x in FEATURES])
    assert torch.allclose(classification.read_out(FEATURES)["logits"], by_hand, atol=1e-5)

    first, _, second = (supcon := built("supcon", projection=4)).projection
    for x, found in zip(FEATURES, supcon.read_out(FEATURES)["projection"]):
        hidden = [max(0.0, float(first.weight[j] @ x + first.bias[j])) for j in range(8)]
        expected = [float(second.weight[k] @ torch.tensor(hidden) + second.bias[k]) for k in range(4)]
        assert torch.allclose(found, torch.tensor(expected), atol=1e-5)


@pytest.mark.parametrize(("name", "proxy"), [
    ("normalized_softmax", lambda item, k: item.proxies.W[:, k]), ("arcface", lambda item, k: item.proxies.W[:, k]),
    ("proxy_anchor", lambda item, k: item.proxies.proxies[k])])
def test_proxies_are_read_out_as_plain_cosines(name: str, proxy: object) -> None:
    objective = built(name)
    found = objective.read_out(FEATURES)["logits"]
    assert found.shape == (6, 3)
    for row, x in enumerate(FEATURES):
        for k in range(3):
            own = proxy(objective, k)
            assert float(found[row, k]) == pytest.approx(float(x @ own / (x.norm() * own.norm())), abs=1e-5)


def test_of_several_proxies_a_class_the_nearest_is_read_out() -> None:
    objective = built("subcenter_arcface", sub_centers=2)
    found = objective.read_out(FEATURES)["logits"]
    assert found.shape == (6, 3)
    for row, x in enumerate(FEATURES):
        for k in range(3):
            centers = objective.proxies.W[:, 2 * k:2 * k + 2].T
            assert float(found[row, k]) == pytest.approx(
                max(float(x @ center / (x.norm() * center.norm())) for center in centers), abs=1e-5)


@pytest.mark.parametrize(("name", "parameters"), [("supcon", {}), ("triplet", {}), ("multi_similarity", {}), ("sincere", {}),
                                                  ("circle", {}), ("cross_batch_memory", {})])
def test_an_objective_without_a_head_has_no_other_readout(name: str, parameters: dict) -> None:
    assert built(name, **parameters).read_out(FEATURES) == {}


def slow_map_at_r(vectors: np.ndarray, label_id: np.ndarray) -> np.ndarray:
    """Musgrave et al., 2020, by loops, on Euclidean distance."""
    values = []
    for i in range(len(vectors)):
        others = [j for j in range(len(vectors)) if j != i]
        others.sort(key=lambda j: float(((vectors[i] - vectors[j]) ** 2).sum()))
        r = sum(label_id[j] == label_id[i] for j in others)
        hits = [label_id[j] == label_id[i] for j in others[:r]]
        values.append(sum(sum(hits[:place + 1]) / (place + 1) for place in range(r) if hits[place]) / r)
    return np.array(values)


def test_raw_vectors_are_searched_by_euclidean_distance_even_far_from_the_origin() -> None:
    generator = np.random.default_rng(3)
    label_id = np.repeat(np.arange(4), 8)
    vectors = (generator.normal(size=(4, 5))[label_id] + generator.normal(size=(32, 5)) + 300).astype(np.float32)
    found = retrieval.retrieve(vectors, label_id, "euclidean")["map_at_r"]
    assert found == pytest.approx(slow_map_at_r(vectors.astype(np.float64), label_id), abs=1e-9)
    assert abs(found.mean() - retrieval.retrieve(vectors, label_id)["map_at_r"].mean()) > 0.005
    queries, known = vectors[::2], vectors[1::2]
    nearest = ((queries[:, None] - known[None]).astype(np.float64) ** 2).sum(axis=2).argmin(axis=1)
    right = metrics.knn_correct(queries, label_id[::2], known, label_id[1::2], 1, "euclidean")
    assert right.tolist() == (label_id[1::2][nearest] == label_id[::2]).astype(float).tolist()


def test_pooled_at_length_1_has_the_runs_own_numbers(projected: Path) -> None:
    for run in Experiment(projected).runs:
        pooled = next(item for item in readouts.read(run) if item.place == "pooled" and item.is_unit)
        kept = files.read_json(run.folder / "evaluation.json")["metrics"]
        for name in ("knn_accuracy", "probe_accuracy", "map_at_r"):
            assert pooled.scores[name] == pytest.approx(kept[name]["mean"], abs=1e-12), (run.name, name)
        test = tables.read(run.folder / "embeddings.parquet").of_split("test")
        test = test.rows(np.argsort(test.sample_id.astype(str), kind="stable"))  # the order in which scores are computed
        by_seed = metrics.kmeans_correct(test.embedding, test.label_id, 10, readouts.KMEANS_SEEDS)
        assert pooled.scores["kmeans_accuracy"] == pytest.approx(by_seed.mean(), abs=1e-12)
        scores = scoring.read_scores(run)
        of_two = (scores.clusters[0] == scores.label_id).mean(axis=1)
        assert by_seed.mean(axis=1)[:2] == pytest.approx(of_two, abs=1e-12)


def test_a_runs_logits_are_its_head_on_its_pooled_features(projected: Path) -> None:
    run = projected / "arcface-15-seed0"  # cosines do not mind the length, so the kept vectors of length 1 are enough
    table = tables.read(run / "embeddings.parquet")
    table = table.rows(np.argsort(table.sample_id.astype(str), kind="stable"))  # the order in which scores are computed
    proxies = checkpoint.load(run / "head.safetensors")[0]["proxies.W"].numpy().T
    cosines = table.embedding @ (proxies / np.linalg.norm(proxies, axis=1, keepdims=True)).T
    test, train = table.split == "test", np.isin(table.sample_id, table.metadata["training_samples"])
    found = next(item for item in readouts.read(Run(run)) if item.place == "logits" and not item.is_unit)
    validation = table.split == "validation"
    expected = readouts.score(cosines[test], table.label_id[test], cosines[train], table.label_id[train], "logits", False, 5,
                              validation=(cosines[validation], table.label_id[validation]))
    for name, value in expected.scores.items():
        assert found.scores[name] == pytest.approx(value, abs=0.01), name  # one of 361 images may fall to the other side


def test_each_arm_has_the_readouts_it_can_have_and_no_stand_in(projected: Path) -> None:
    rows = {row["objective"]: row for row in readouts.rows(Experiment(projected), Experiment(projected).config, 15)}
    assert {label: [readouts.name_of(item) for item in row["readouts"]] for label, row in rows.items()} == {
        "untrained": ["pooled, length 1", "pooled, raw"], "triplet": ["pooled, length 1", "pooled, raw"],
        "classification": ["pooled, length 1", "pooled, raw", "logits, length 1", "logits, raw"],
        "supcon": ["pooled, length 1", "pooled, raw", "projection, length 1", "projection, raw"],
        "arcface": ["pooled, length 1", "pooled, raw", "logits, length 1", "logits, raw"]}
    runs = [readouts.read(Run(projected / f"supcon-15-seed{seed}")) for seed in (0, 1)]
    values = [next(item for item in found if item.place == "projection" and item.is_unit).scores["map_at_r"] for found in runs]
    cell = next(item for item in rows["supcon"]["readouts"] if item["place"] == "projection" and item["is_unit"])["map_at_r"]
    assert rows["supcon"]["n_seeds"] == 2
    assert cell["mean"] == pytest.approx(sum(values) / 2)
    assert cell["sd"] == pytest.approx(abs(values[0] - values[1]) / 2 ** 0.5)


def test_the_best_encoder_still_loads_without_the_head(projected: Path) -> None:
    import timm

    run = projected / "classification-15-seed0"
    timm.create_model("test_resnet", num_classes=0).load_state_dict(load_file(run / "best.safetensors"))
    assert set(load_file(run / "head.safetensors")) == {"head.weight", "head.bias"}
    epochs = [checkpoint.load(run / name)[1]["epoch"] for name in ("best.safetensors", "head.safetensors")]
    assert epochs[0] == epochs[1]
    assert not (projected / "triplet-15-seed0" / "head.safetensors").exists()
