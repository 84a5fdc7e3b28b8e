"""Queries against a gallery: a table that says which images ask and which are found, by which camera, from its columns to the
numbers of a space."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.analysis import chance, metrics, retrieval
from core.analysis import table as tables
from core.analysis.exchangeable import exchangeable
from core.analysis.retrieval import Roles
from core.analysis.table import EmbeddingTable
from core.config import DatasetConfig, ExperimentConfig
from core.data import manifest as manifests
from core.data import sources, split
from core.errors import InputError
from core.experiments import planning
from core.results import scoring, summaries
from tests.conftest import tiny
from tests.unit.test_retrieval import cosine, random_space


def asking(seed: int, n: int = 60, n_classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray, Roles]:
    """Identities seen by five cameras: vectors, identities, own groups (identity and camera), and who asks whom."""
    vectors, label = random_space(seed, n=n, n_classes=n_classes)
    generator = np.random.default_rng(seed)
    camera = generator.integers(0, 5, n)
    vectors = vectors + 1.5 * np.eye(6, dtype=np.float32)[label] + generator.normal(size=(5, 6)).astype(np.float32)[camera]
    return vectors, label, label * 5 + camera, Roles(generator.random(n) < 0.4, generator.random(n) < 0.7)


def slow(vectors: np.ndarray, label: np.ndarray, group: np.ndarray, roles: Roles) -> dict[str, list[float]]:
    """As open-metric-learning defines them: gallery images of the query's own identity and camera are as if they were not
    there; a query without a right answer is left out."""
    found: dict[str, list[float]] = {name: [] for name in retrieval.NAMES}
    for query in range(len(vectors)):
        left = [row for row in np.flatnonzero(roles.is_gallery).tolist() if group[row] != group[query] and row != query]
        left.sort(key=lambda row: -cosine(vectors[query], vectors[row]))
        r = sum(label[row] == label[query] for row in left) if roles.is_query[query] else 0
        hits = [label[row] == label[query] for row in left[:r]]
        mean = sum(sum(hits[:place + 1]) / (place + 1) for place in range(r) if hits[place])
        for name, value in zip(retrieval.NAMES, (float(hits[0]), sum(hits) / r, mean / r) if r else (np.nan,) * 3):
            found[name].append(value)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_queries_find_what_a_slow_loop_over_the_gallery_finds(seed: int) -> None:
    vectors, label, group, roles = asking(seed)
    found, expected = retrieval.measure(vectors, label, group, roles), slow(vectors, label, group, roles)
    for name in retrieval.NAMES:
        np.testing.assert_allclose(found.values[name], expected[name], rtol=0, atol=1e-12)
        plain = retrieval.retrieve(vectors, label, "cosine", group, roles)
        np.testing.assert_allclose(plain[name], expected[name], atol=1e-12)
        assert np.isnan(found.values[name][~roles.is_query]).all() and (found.gallery[name][~roles.is_gallery] == 0).all()
    kept = found.neighbors[found.neighbors >= 0]
    assert roles.is_gallery[kept].all()


def test_queries_and_gallery_agree_with_pytorch_metric_learning_where_no_camera_is_known() -> None:
    torch = pytest.importorskip("torch")
    accuracy_calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    inference = pytest.importorskip("pytorch_metric_learning.utils.inference")
    vectors, label, _, roles = asking(0, n=120)
    roles = Roles(roles.is_query, ~roles.is_query)
    calculator = accuracy_calculator.AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"), k="max_bin_count",
        knn_func=inference.CustomKNN(distances.CosineSimilarity()), device=torch.device("cpu"))
    theirs = calculator.get_accuracy(*(torch.from_numpy(part) for rows in (roles.is_query, roles.is_gallery) for part in (
        vectors[rows].astype(np.float64), label[rows].astype(np.int64))))
    ours = {name: np.nanmean(values) for name, values in retrieval.retrieve(vectors, label, roles=roles).items()}
    for name, their_name in (("precision_at_1",) * 2, ("r_precision",) * 2, ("map_at_r", "mean_average_precision_at_r")):
        assert ours[name] == pytest.approx(theirs[their_name], abs=1e-9)
    assert 0.2 < ours["map_at_r"] < 0.9


@pytest.mark.parametrize("name", ["map_at_r", "r_precision"])
def test_what_a_gallery_image_does_to_the_queries_is_what_leaving_it_out_takes_away(name: str) -> None:
    vectors, label, group, roles = asking(2, n=40, n_classes=3)
    whole, lost = slow(vectors, label, group, roles)[name], np.zeros(40)
    for left_out in np.flatnonzero(roles.is_gallery):
        without = Roles(roles.is_query, roles.is_gallery & (np.arange(40) != left_out))
        lost[left_out] = sum(value - other for value, other in zip(whole, slow(vectors, label, group, without)[name])
                             if not np.isnan(other) and not np.isnan(value))
    np.testing.assert_allclose(retrieval.measure(vectors, label, group, roles).gallery[name], lost, atol=1e-9)


def test_where_every_image_asks_and_is_found_every_number_is_the_same_to_the_bit() -> None:
    vectors, label, group, _ = asking(3)
    both = Roles(np.ones(60, bool), np.ones(60, bool))
    plain = metrics.measure(vectors, label, vectors, label, 4, 5, 2, group)
    asked = metrics.measure(vectors, label, vectors, label, 4, 5, 2, group, roles=both)
    for part in ("values", "gallery", "space", "with_own_group", "expected"):
        for name, column in getattr(plain, part).items():
            assert np.array_equal(column, getattr(asked, part)[name], equal_nan=True), (part, name)


def test_chance_of_queries_is_that_of_permuting_identities_among_cameras() -> None:
    vectors, label, group, roles = asking(5, n=120)
    found = retrieval.measure(vectors, label, group, roles)
    permuted: dict[str, list[float]] = {name: [] for name in retrieval.NAMES}
    for labels in exchangeable(label, group).permuted(1000, np.random.default_rng(0)):
        for name, values in retrieval.retrieve(vectors, labels, group=group, roles=roles).items():
            permuted[name].append(np.nanmean(values))
    for name in retrieval.NAMES:
        mean, spread = np.mean(permuted[name]), np.std(permuted[name]) / 1000 ** 0.5
        assert np.nanmean(found.expected[name]) == pytest.approx(mean, abs=4 * spread + 0.03 * mean)
    group = np.repeat(np.arange(40), 3)  # of one size, so one block: the first is as often right as right ones are there
    of_one_size = retrieval.measure(vectors, (group % 4), group, roles).expected["precision_at_1"]
    relevant, n_left = retrieval.n_relevant(group % 4, group, roles)
    np.testing.assert_allclose(of_one_size, np.where(relevant > 0, relevant / n_left, np.nan), atol=1e-12)
    alone = retrieval.measure(vectors, label, None, roles)
    relevant, n_others = retrieval.n_relevant(label, None, roles)
    assert np.array_equal(alone.expected["map_at_r"], chance.of_retrieval(relevant, n_others)["map_at_r"], equal_nan=True)


def identities(root: Path, header: str = "is_query,is_gallery,camera") -> Path:
    """A table of six identities by three cameras, two images each: of test, the first asks and the second is found."""
    root.mkdir()
    lines = [f"path,label,split,{header}"]
    generator = np.random.default_rng(0)
    for split_name in ("train", "val", "test"):
        for identity in range(6):
            for camera in range(3):
                for number in range(2):
                    name = f"{split_name}-{identity}-{camera}-{number}.png"
                    Image.fromarray(generator.integers(0, 255, (12, 12, 3), np.uint8)).save(root / name)
                    is_query, is_gallery = (number == 0, number == 1) if split_name == "test" else ("", "")
                    lines.append(f"{name},person {identity},{split_name},{is_query},{is_gallery},cam {camera}")
    (root / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / "people.csv"


def of_people(path: Path) -> ExperimentConfig:
    return tiny(name="people", dataset={"source": "table", "root": str(path)}, images_per_class=["all"], seeds=[0],
                training={"batch": {"classes": 3, "samples": 2}})


def test_a_table_of_queries_and_cameras_from_its_columns_to_its_numbers(tmp_path: Path) -> None:
    config = of_people(identities(tmp_path / "images"))
    plan = planning.plan(config)
    found, test = plan.manifest, plan.manifest.indices("test")
    assert found.role is not None and found.camera is not None
    assert sorted(found.role[test].tolist()) == ["gallery"] * 18 + ["query"] * 18
    assert set(found.role[found.indices("train")].tolist()) == {"neither"} and found.camera[0] == "cam 0"
    own = split.own_groups(found, config.split)
    assert len(set(own[test].tolist())) == 18, "an identity by a camera is one group, as a photograph is"
    found.write(tmp_path / "manifest.parquet")
    again = manifests.read(tmp_path / "manifest.parquet")
    assert again.fingerprint == found.fingerprint and np.array_equal(again.role, found.role)
    assert np.array_equal(split.own_groups(again, config.split), own)

    vectors = random_space(0, n=len(found), width=8)[0] + 2 * np.eye(8, dtype=np.float32)[found.label_id]
    run = config.runs()[1]
    space = EmbeddingTable(
        sample_id=found.sample_id, path=found.sample_id, label=found.label, label_id=found.label_id, split=found.split,
        group=own, cluster=np.full(len(found), -1, np.int32), x=vectors[:, 0], y=vectors[:, 1], embedding=vectors,
        role=found.role,
        metadata={"config": run.to_json(), "classes": list(found.classes), "encoder": {}, "fingerprint": found.fingerprint,
                  "normalization": "none", "projection": {"method": "pca"}, "training_samples": None})
    tables.write(space, tmp_path / "space.parquet")
    read = tables.read(tmp_path / "space.parquet")
    assert np.array_equal(read.role, found.role)
    scores = scoring.score(read)
    roles = retrieval.roles_of(scores.role)
    rows = [int(np.flatnonzero(found.sample_id == name)[0]) for name in scores.sample_id]
    expected = slow(vectors[rows], found.label_id[rows], own[rows], roles)
    for name in retrieval.NAMES:
        np.testing.assert_allclose(scores.values[name][0], expected[name], atol=1e-9)
    told = summaries.evaluation(scores, 200)
    assert (told["own_group"]["n_queries"], told["own_group"]["n_gallery"], told["own_group"]["n_undefined"]) == (18, 18, 0)
    json.dumps(told)
    shuffled = scoring.score(read.rows(np.random.default_rng(0).permutation(len(read))))
    assert np.array_equal(shuffled.values["map_at_r"], scores.values["map_at_r"], equal_nan=True)


def scan(path: Path, **dataset: object) -> manifests.Manifest:
    return sources.open_source(DatasetConfig.model_validate({"source": "table", "root": str(path), **dataset})).scan()


def test_columns_of_other_names_are_chosen_and_a_camera_alone_is_still_asked_about(tmp_path: Path) -> None:
    path = identities(tmp_path / "images", "asks,found,sequence")
    with pytest.raises(InputError, match="sequence"):
        scan(path)  # may be a group
    found = scan(path, columns={"is_query": "asks", "is_gallery": "found"})
    assert found.camera is not None and set(found.camera.tolist()) == {"cam 0", "cam 1", "cam 2"}
    plain = scan(path, ignore_columns=["asks", "found", "sequence"])
    assert plain.role is None and plain.camera is None and plain.fingerprint != found.fingerprint
    queries = scan(path, columns={"is_query": "asks"}, ignore_columns=["found", "sequence"])
    assert queries.role is not None and set(queries.role.tolist()) == {"both", "gallery"}, "without is_gallery all are found"


def test_a_word_that_is_no_answer_and_a_test_set_without_answers_are_refused(tmp_path: Path) -> None:
    path = identities(tmp_path / "images")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("True,False", "perhaps,False", 1), encoding="utf-8")
    with pytest.raises(InputError, match="column is_query must say true, false or nothing, got 'perhaps' in row 73"):
        scan(path)
    path.write_text(text.replace("cam 1", "cam 0").replace("cam 2", "cam 0"), encoding="utf-8")
    with pytest.raises(InputError, match=r"test must hold a query \(is_query\) and a gallery image \(is_gallery\) of one"):
        planning.plan(of_people(path))

