"""Hits of one's own photograph are none: every question of who lies near whom leaves out the query's own group."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core import files, scored_by
from core.analysis import agreement, chance, geometry, metrics, neighbors, retrieval, suggestions
from core.analysis import table as tables
from core.config import SplitConfig
from core.data import split
from core.data.duplicates import Pair
from core.data.manifest import Manifest
from core.experiments.handles import Experiment, Run
from core.results import readouts, scoring, summaries, verdict
from tests import SHARED
from tests.unit.test_retrieval import cosine, on_circle, random_space

DEFUNGI = SHARED / "data" / "defungi"


def slow_values(vectors: np.ndarray, label: np.ndarray, group: np.ndarray) -> dict[str, list[float]]:
    """Musgrave et al., 2020, section 3.2, with a gallery that lacks the query's group; query by query and rank by rank."""
    found = {name: [] for name in retrieval.NAMES}
    for query in range(len(vectors)):
        gallery = [row for row in range(len(vectors)) if group[row] != group[query]]
        gallery.sort(key=lambda row: -cosine(vectors[query], vectors[row]))
        r = sum(label[row] == label[query] for row in gallery)
        hits = [label[row] == label[query] for row in gallery[:r]]
        found["precision_at_1"].append(float(hits[0]) if r else float("nan"))
        found["r_precision"].append(sum(hits) / r if r else float("nan"))
        found["map_at_r"].append(sum(sum(hits[:place + 1]) / (place + 1) for place in range(r) if hits[place]) / r
                                 if r else float("nan"))
    return found


def grouped(seed: int, n: int = 30, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A space of photographs: crops of one lie together, and few of them bear two labels."""
    vectors, label = random_space(seed, n=n, n_classes=n_classes)
    group = np.random.default_rng(seed).integers(0, n // 4, n)
    label = np.where(np.random.default_rng(seed).random(n) < 0.8, group % n_classes, label)
    photographs = random_space(100 + seed, n=n)[0]
    return vectors + 2 * photographs[group] + np.eye(6, dtype=np.float32)[label], label, group


def test_retrieval_without_the_own_group_by_hand() -> None:
    # On a half circle: 0° a (photograph 1), 10° a (1), 30° b (2), 60° a (3), 100° b (2).
    vectors, label, group = on_circle(0, 10, 30, 60, 100), np.array([0, 0, 1, 0, 1]), np.array([1, 1, 2, 3, 2])
    found = retrieval.retrieve(vectors, label, group=group)
    # 0°: 30 b | r = 1, the one at 60.   10°: the same.   60°: 30 b, 100 b | r = 2 (0 and 10).   Both b have no other b left.
    assert found["map_at_r"][[0, 1, 3]].tolist() == found["precision_at_1"][[0, 1, 3]].tolist() == [0, 0, 0]
    assert np.isnan(found["map_at_r"][[2, 4]]).all()
    assert retrieval.n_relevant(label, group)[0].tolist() == [1, 1, 0, 2, 0]
    with_own = retrieval.measure(vectors, label, group).with_own_group["precision_at_1"]
    assert with_own.tolist() == retrieval.retrieve(vectors, label)["precision_at_1"].tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_retrieval_is_what_a_slow_loop_over_other_groups_finds(seed: int) -> None:
    vectors, label, group = grouped(seed)
    found, slow = retrieval.measure(vectors, label, group), slow_values(vectors, label, group)
    euclidean = retrieval.retrieve(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), label, "euclidean", group)
    for name in retrieval.NAMES:
        np.testing.assert_allclose(found.values[name], slow[name], rtol=0, atol=1e-12)
        np.testing.assert_allclose(euclidean[name], slow[name], rtol=0, atol=1e-12)
    assert found.values["map_at_r"].size and np.nanmean(slow["map_at_r"]) < np.nanmean(found.with_own_group["map_at_r"])


@pytest.mark.parametrize("name", ["map_at_r", "r_precision"])
@pytest.mark.parametrize("seed", range(4))
def test_what_a_sample_does_to_others_is_what_leaving_it_out_takes_away(name: str, seed: int) -> None:
    vectors, label, group = grouped(seed, n=26)
    slow, whole = np.zeros(26), slow_values(vectors, label, group)[name]
    for left_out in range(26):
        rows = np.delete(np.arange(26), left_out)
        without = slow_values(vectors[rows], label[rows], group[rows])[name]
        slow[left_out] = sum(whole[row] - value for row, value in zip(rows, without) if not np.isnan(value))
    np.testing.assert_allclose(retrieval.measure(vectors, label, group).gallery[name], slow, atol=1e-9)
    assert np.abs(slow).max() > 0.02


@pytest.mark.parametrize("seed", range(3))
def test_where_each_sample_is_a_group_every_number_is_the_same_to_the_bit(seed: int) -> None:
    vectors, label = random_space(seed, n=60)
    known, known_label = random_space(seed + 9, n=40)
    names = np.array([f"sample {row:02d}" for row in np.random.default_rng(seed).permutation(60)], dtype=object)
    plain = metrics.measure(vectors, label, known, known_label, 4, 5, 2)
    alone = metrics.measure(vectors, label, known, known_label, 4, 5, 2, names)
    for part in ("values", "gallery", "space", "with_own_group", "expected"):
        for name, column in getattr(plain, part).items():
            assert np.array_equal(column, getattr(alone, part)[name], equal_nan=True), (part, name)
    assert np.array_equal(plain.neighbors, alone.neighbors)
    drawn, expected = ({name: column[None] for name, column in part.items()} for part in (plain.values, plain.expected))
    assert chance.of_values(drawn, expected, 200) == chance.of_values(drawn, expected, 200, names)
    assert chance.of_clusters(plain.clusters, label, 4) == chance.of_clusters(plain.clusters, label, 4, group=names)
    assert np.array_equal(agreement.neighborhood_overlap(vectors, vectors[::-1], 5),
                          agreement.neighborhood_overlap(vectors, vectors[::-1], 5, names))


@pytest.mark.parametrize("seed", range(4))
def test_distances_are_those_of_a_slow_loop_over_other_groups(seed: int) -> None:
    vectors, label, group = grouped(seed, n=40)
    unit = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    found = geometry.by_class(vectors, label, group)
    intra, inter, silhouette = (np.full(40, np.nan) for _ in range(3))
    for one in range(40):
        means, left = {}, [other for other in range(40) if group[other] != group[one]]
        for name in set(label.tolist()):
            others = [1 - unit[one] @ unit[other] for other in left if label[other] == name]
            if others:
                means[name] = np.mean(others)
        rest = [1 - unit[one] @ unit[other] for other in left if label[other] != label[one]]
        intra[one], inter[one] = means.get(label[one], np.nan), np.mean(rest)
        rival = min(value for name, value in means.items() if name != label[one])
        silhouette[one] = (rival - intra[one]) / max(rival, intra[one])
    np.testing.assert_allclose(found["silhouette"], silhouette, atol=1e-6)
    assert np.nanmean(found["intra_distance"]) == pytest.approx(np.nanmean(intra), abs=1e-6)
    assert np.nanmean(found["inter_distance"]) == pytest.approx(np.nanmean(inter), abs=1e-6)


def test_what_a_sample_does_to_silhouettes_is_about_what_leaving_it_out_says() -> None:
    vectors, label, group = grouped(1, n=120)
    whole = geometry.by_class(vectors, label, group)
    slow = []
    for left_out in range(120):
        rows = np.delete(np.arange(120), left_out)
        without = geometry.by_class(vectors[rows], label[rows], group[rows])["silhouette"]
        slow.append(np.nansum(whole["silhouette"][rows] - without))
    assert np.corrcoef(slow, whole["gallery silhouette"])[0, 1] > 0.97
    assert np.std(whole["gallery silhouette"]) == pytest.approx(np.std(slow), rel=0.15)


def test_neighbours_overlap_and_doubts_leave_out_the_own_group() -> None:
    vectors, _, group = grouped(2, n=40)
    near, cosines = neighbors.nearest(vectors, vectors, 39, is_same=True, group=group)
    for row in range(40):
        others = sorted((other for other in range(40) if group[other] != group[row]),
                        key=lambda other: -cosine(vectors[row], vectors[other]))
        assert near[row][:len(others)].tolist() == others
        assert (near[row][len(others):] == neighbors.NOBODY).all() and np.isnan(cosines[row][len(others):]).all()
    assert (agreement.neighborhood_overlap(vectors, vectors, 39, group) == 1).all()
    # Two crops of one photograph bear the same wrong label, and confirm each other unless they are left out.
    base = np.repeat(np.eye(2, 3, dtype=np.float32), 6, axis=0) + 0.01 * random_space(0, n=12, width=3)[0]
    base[1] = base[0]
    wrong = np.repeat([0, 1], 6)
    wrong[:2] = 1
    photographs = np.array([0, 0, *range(1, 11)])
    assert suggestions.doubtful_labels(base, base, wrong, 2, 1).rows.tolist() == []
    assert suggestions.doubtful_labels(base, base, wrong, 2, 1, photographs).rows.tolist() == [0, 1]


def test_a_query_with_nobody_left_votes_for_nothing() -> None:
    called, share = neighbors.vote(np.array([[0, 0], [1, 0]]), 2, np.array([[False, False], [True, False]]))
    assert called.tolist() == [-1, 1] and np.isnan(share[0]) and share[1] == 1


def manifest(group: list[str], duplicates: tuple[Pair, ...]) -> Manifest:
    names = np.array([f"{place}.png" for place in range(len(group))], dtype=object)
    return Manifest(sample_id=names, label=names, group=np.array(group, dtype=object), digest=names, picture=names,
                    official=names, split=names, duplicates=duplicates)


def test_the_own_group_holds_copies_and_is_the_group_where_there_are_none() -> None:
    copies = (Pair("1.png", "4.png", "exact"), Pair("2.png", "5.png", "near"))
    plain = manifest(["a", "a", "b", "c", "d", "e"], ())
    assert split.own_groups(plain, SplitConfig()).tolist() == ["a", "a", "b", "c", "d", "e"]
    joined = manifest(["a", "a", "b", "c", "d", "e"], copies)
    assert split.own_groups(joined, SplitConfig()).tolist() == ["a", "a", "b", "c", "a", "b"]
    assert split.own_groups(joined, SplitConfig(near_duplicates=False)).tolist() == ["a", "a", "b", "c", "a", "e"]
    assert split.own_groups(joined, SplitConfig(group="none")).tolist() == ["a", "a", "b", "c", "a", "b"]


def photographs(seed: int, n_photographs: int = 40, n_crops: int = 12, n_classes: int = 5,
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A space that knows the photograph and nothing of the class, one that knows neither; labels and photographs."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_photographs), n_crops)
    label = (np.arange(n_photographs) % n_classes)[group]
    noise = generator.normal(size=(2, len(group), 16))
    knows = generator.normal(size=(n_photographs, 16))[group] + 0.3 * noise[0]
    return knows.astype(np.float32), noise[1].astype(np.float32), label, group


def test_a_space_that_knows_the_photograph_alone_is_at_chance_and_was_not() -> None:
    """Over 60 draws the mean is that of a formula that knows no space; with the own group counted it is nearly perfect."""
    rate: dict[str, list[float]] = {"without": [], "with": [], "level": []}
    for seed in range(60):
        knows, _, label, group = photographs(seed)
        found = retrieval.measure(knows, label, group)
        rate["without"].append(found.values["precision_at_1"].mean())
        rate["with"].append(found.with_own_group["precision_at_1"].mean())
        rate["level"].append(found.expected["precision_at_1"].mean())
    assert np.mean(rate["with"]) > 0.95
    spread = np.std(rate["without"]) / np.sqrt(60)
    assert np.mean(rate["without"]) == pytest.approx(np.mean(rate["level"]), abs=3.5 * spread)


def test_an_old_runs_scores_are_computed_anew_and_an_old_verdict_too(experiment: Path) -> None:
    run = experiment / "supcon-15-seed0"
    before = scoring.read_scores(Run(run))
    arrow = pq.read_table(run / "scores.parquet")
    spoiled = arrow.set_column(arrow.column_names.index("map_at_r"), "map_at_r", [np.ones(len(arrow))])
    pq.write_table(spoiled.replace_schema_metadata({}), run / "scores.parquet")
    assert np.array_equal(scoring.read_scores(Run(run)).values["map_at_r"], before.values["map_at_r"])
    told = files.read_json(experiment / "verdict.json")
    assert told[scored_by.KEY] == scored_by.VERSION
    old = {key: value for key, value in told.items() if key != scored_by.KEY} | {"sentence": "A is better"}
    files.write_json(experiment / "verdict.json", old)
    assert verdict.read(Experiment(experiment)).sentence == told["sentence"]
    assert Experiment(experiment).sentence == f"A is better ({scored_by.EARLIER})"
    assert np.array_equal(pq.read_table(run / "scores.parquet")["map_at_r"].to_numpy(), before.values["map_at_r"][0])
    pq.write_table(spoiled.replace_schema_metadata({}), run / "scores.parquet")
    (run / "embeddings.parquet").unlink()
    with pytest.raises(ValueError, match=r"a query's own group counted; to be scored anew, embeddings\.parquet must exist"):
        scoring.read_scores(Run(run))
    assert readouts.read(Run(run))
    of_readouts = files.read_json(run / "readouts.json")
    files.write_json(run / "readouts.json", {"kmeans_seeds": 3, "readouts": of_readouts["readouts"]})
    assert readouts.read(Run(run)) == [] and readouts.earlier([Run(run)]) == scored_by.EARLIER


def test_a_table_with_groups_counts_what_is_undefined_and_keeps_the_old_number_once(finished: Path, tmp_path: Path) -> None:
    table = tables.read(finished / "supcon-15-seed0" / "embeddings.parquet")
    test = table.split == "test"
    group = table.group.copy()
    group[test] = [f"{label} {row % 3}" for row, label in enumerate(table.label[test])]
    nines = test & (table.label == "9")
    group[nines] = "all nines"
    found = scoring.score(replace(table, group=group))
    alone = scoring.score(table)
    assert np.isnan(found.values["map_at_r"][0]).sum() == nines.sum()
    for name in retrieval.NAMES:
        assert np.array_equal(found.with_own_group[name], alone.values[name])
    told = summaries.evaluation(found, 200)
    assert told["own_group"]["n_undefined"] == nines.sum() and told["own_group"]["n_groups"] == 28
    assert told["own_group"]["counted"]["map_at_r"] == pytest.approx(np.nanmean(alone.values["map_at_r"]))
    assert summaries.evaluation(alone, 200)["own_group"]["counted"] == {}
    json.dumps(told)
    scoring.write_scores(Run(tmp_path), found)
    assert pq.read_table(tmp_path / "scores.parquet")["with_own_group_map_at_r"].to_numpy() == pytest.approx(
        found.with_own_group["map_at_r"][0], nan_ok=True)
    shuffled = replace(table, group=group).rows(np.random.default_rng(0).permutation(len(table)))
    again = scoring.score(shuffled)
    for name, column in found.values.items():
        assert np.array_equal(again.values[name], column, equal_nan=True), name
