"""An image whose query is undefined, with nothing of its class left outside its own group, is still found by others: the
bootstrap draws it too."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.analysis import chance, geometry, resampling, retrieval
from core.analysis import table as tables
from core.results import scoring, summaries, verdict
from core.results.scores import Scores
from tests.populations import CONFIG

N_GROUPS, N_CROPS, N_COMMON = 48, 3, 3


def measured(vectors: np.ndarray, label_id: np.ndarray, group: np.ndarray) -> Scores:
    """Scores of one space, of what has a gallery alone; k-NN is a stand-in, right of every other sample."""
    found, by_class = retrieval.measure(vectors, label_id, group), geometry.by_class(vectors, label_id, group)
    values = {**found.values, "silhouette": by_class["silhouette"], "knn_accuracy": np.arange(len(label_id)) % 2.0}
    gallery = {**found.gallery, "silhouette": by_class["gallery silhouette"]}
    names = np.array([f"{row:04d}" for row in range(len(label_id))], dtype=object)
    return Scores(name="drawn", sample_id=names, group=group.astype(str).astype(object),
                  label=label_id.astype(str).astype(object), label_id=label_id.astype(np.int32),
                  values={name: column[None] for name, column in values.items()},
                  gallery={name: column[None] for name, column in gallery.items()}, space={},
                  clusters=np.zeros((1, 1, len(names)), np.int32), neighbors=found.neighbors[None].astype(np.int32),
                  config=CONFIG, settings=CONFIG)


def test_set(seed: int, of_rare: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photographs of three crops, drawn one by one: of a common class, or of a class of which there is no other. Half of the
    latter lie where a common class does, and stand before its own; the others lie far from all."""
    generator = np.random.default_rng([seed, 21])
    centers = 3 * np.eye(8)
    is_rare, is_near = generator.random(N_GROUPS) < of_rare, generator.random(N_GROUPS) < 0.5
    common = generator.integers(0, N_COMMON, N_GROUPS)
    label = np.where(is_rare, N_COMMON + np.arange(N_GROUPS), common)
    middle = np.where(is_rare & ~is_near, 7, common)
    spread = np.where(is_rare & is_near, 0.3, 1.0)[:, None]
    photographs = centers[middle] + spread * generator.normal(size=(N_GROUPS, 8))
    group = np.repeat(np.arange(N_GROUPS), N_CROPS)
    return (photographs[group] + 0.3 * generator.normal(size=(len(group), 8))).astype(np.float32), label[group], group


test_set.__test__ = False  # type: ignore[attr-defined]


def without_the_undefined(scores: Scores, name: str) -> np.ndarray:
    """What was drawn before: images without a query left the bootstrap."""
    values = scores.values[name]
    pull = np.where(np.isnan(values), np.nan, scores.gallery[name])
    return values + pull - np.nanmean(pull)


def test_intervals_are_as_wide_as_other_test_sets_make_the_metric() -> None:
    """Half of the photographs have no query, and some of them stand before the common classes' own: which of them are drawn
    decides as much as the queries do. The true spread is that of 150 test sets; its own error is 6 %."""
    truth, after, before = ({name: [] for name in retrieval.NAMES} for _ in range(3))
    for seed in range(150):
        scores = measured(*test_set(seed))
        drawn = scores.drawn()
        for name in retrieval.NAMES:
            truth[name].append(np.nanmean(scores.values[name]))
            if seed < 40:
                found = resampling.bootstrap([drawn[name], without_the_undefined(scores, name)], 300, seed, scores.group)
                for variances, draws in zip((after, before), found.draws.T):
                    variances[name].append(draws.var())
    for name in retrieval.NAMES:
        is_, was = (np.sqrt(np.mean(variances[name])) / np.std(truth[name], ddof=1) for variances in (after, before))
        assert 0.9 < is_ < 1.25, (name, is_)
        assert was < (0.95 if name == "precision_at_1" else 0.8), (name, was)


def test_intervals_of_the_silhouette_too() -> None:
    """A class of one photograph has no query, but is the rival of others as long as it is there."""
    truth, after, before, is_within, was_within = [], [], [], [], []
    for seed in range(200):
        vectors, label_id, group = test_set(seed, of_rare=0.3)
        measured_ = geometry.by_class(vectors, label_id, group)
        silhouette, gallery = measured_["silhouette"], measured_["gallery silhouette"]
        truth.append(np.nanmean(silhouette))
        if seed < 60:
            total = np.bincount(label_id, weights=gallery)
            is_rare = np.isnan(silhouette)
            pulled = gallery - np.where(is_rare, total[label_id] / np.bincount(label_id)[label_id], 0)  # as before
            columns = [resampling.contributions(silhouette[None], each[None]) for each in (gallery, pulled)]
            found = resampling.bootstrap(columns, 300, seed, group)
            for variances, draws in zip((after, before), found.draws.T):
                variances.append(draws.var())
            for within, low, high in zip((is_within, was_within), found.low, found.high):
                within.append((low, high))
    is_, was = (np.sqrt(np.mean(variances)) / np.std(truth, ddof=1) for variances in (after, before))
    assert 0.9 < is_ < 1.35 and was < 0.6, (is_, was)
    covered, were = (np.mean([low <= np.mean(truth) <= high for low, high in within]) for within in (is_within, was_within))
    assert covered > 0.75 and were < 0.65, (covered, were)


def test_what_a_class_of_one_group_does_to_silhouettes_is_what_they_are_without_it() -> None:
    vectors, label_id, group = test_set(5, of_rare=0.3)
    found = geometry.by_class(vectors, label_id, group)
    is_defined = ~np.isnan(found["silhouette"])
    for label in np.unique(label_id[~is_defined]):
        is_other = label_id != label
        without = geometry.by_class(vectors[is_other], label_id[is_other], group[is_other])["silhouette"]
        change = np.sum((found["silhouette"][is_other] - without)[is_defined[is_other]])
        assert found["gallery silhouette"][~is_other].sum() == pytest.approx(change / 2 ** 0.5, abs=1e-6)
    assert np.abs(found["gallery silhouette"][~is_defined]).max() > 1, "some of them are rivals"


def test_without_another_rival_a_silhouette_has_nothing_to_change_to() -> None:
    vectors = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    label_id, group = np.array([0] * 6 + [1] * 3), np.array([0, 1, 2, 3, 4, 5, 6, 6, 6])
    assert np.abs(geometry.by_class(vectors, label_id, group)["gallery silhouette"][6:].sum()) < 1e-6


def test_where_every_query_is_defined_no_bit_is_other() -> None:
    for seed in range(3):
        scores = measured(*test_set(seed, of_rare=0.0))
        for rows in (None, np.arange(0, N_GROUPS * N_CROPS, 2)):
            drawn = scores.drawn(rows)
            for name, column in drawn.items():
                kept = slice(None) if rows is None else rows
                values = scores.values[name][:, kept]
                pull = scores.gallery[name][:, kept] if name in scores.gallery else np.zeros(values.shape)
                assert np.array_equal(column, values + pull - np.nanmean(pull, axis=1, keepdims=True)), name


def test_contributions_by_hand() -> None:
    values, gallery = np.array([[1.0, np.nan, 0.0, np.nan]]), np.array([[0.2, -0.6, 0.0, 0.0]])
    # Mean 0.5 of two of four samples; the gallery's mean is −0.1. Twice: 0.5 + 0.3, −0.5, −0.5 + 0.1, 0.1.
    assert resampling.contributions(values, gallery)[0] == pytest.approx([2.1, -0.5, -0.3, 0.7])
    assert resampling.contributions(values)[0] == pytest.approx([1.5, 0.5, -0.5, 0.5])
    assert np.isnan(resampling.contributions(np.full((2, 3), np.nan), np.ones((2, 3)))).all()
    assert resampling.contributions(values[:, ::2])[0].tolist() == [1, 0]


def test_what_has_no_gallery_is_drawn_as_it_is_and_every_mean_is_the_metrics() -> None:
    scores = measured(*test_set(0))
    assert np.isnan(scores.values["map_at_r"]).sum() > N_GROUPS
    drawn = scores.drawn()
    assert np.array_equal(drawn["knn_accuracy"], scores.values["knn_accuracy"])
    for name in scores.gallery:
        assert not np.isnan(drawn[name]).any()
        assert drawn[name].mean() == pytest.approx(np.nanmean(scores.values[name]), abs=1e-12)
    rare = np.flatnonzero(scores.label_id >= N_COMMON)
    assert np.isnan(scores.drawn(rare)["map_at_r"]).all(), "a class that has no query has no interval"


def test_a_difference_is_of_the_queries_that_are_defined_in_both_and_says_how_many(finished: Path) -> None:
    table = tables.read(finished / "supcon-15-seed0" / "embeddings.parquet")
    nines = table.label == "9"
    grouped = replace(table, group=np.where(nines & (table.split == "test"), "all nines", table.sample_id).astype(object))
    a = scoring.score(grouped)
    b = scoring.score(replace(grouped, embedding=grouped.embedding[:, ::-1] * np.float32(0.5) + grouped.embedding))
    fewer = {name: column.copy() for name, column in b.values.items()}
    fewer["map_at_r"][:, :7] = np.nan
    b = replace(b, values=fewer)
    is_defined = ~np.isnan(a.values["map_at_r"][0]) & ~np.isnan(b.values["map_at_r"][0])
    assert is_defined.sum() < (a.label != "9").sum() < len(a.label)
    found = verdict.compare(a, b, 300)
    headline = found.differences[0]
    assert headline.metric == "map_at_r" and headline.n_samples == is_defined.sum()
    for side, scores in ((headline.a, a), (headline.b, b)):
        assert side == pytest.approx(scores.values["map_at_r"][0, is_defined].mean(), abs=1e-12)
    assert f"{is_defined.sum():,} test images" in found.sentence
    by_metric = {item.metric: item.n_samples for item in found.differences}
    assert by_metric["precision_at_1"] == (a.label != "9").sum() and by_metric["knn_accuracy"] == len(a.label)
    assert "9" not in {item.label for item in found.per_class if item.metric == "map_at_r"}
    assert summaries.own_group_counts(a).n_undefined == (a.label == "9").sum()


def test_chance_is_that_of_the_queries_there_are() -> None:
    scores = measured(*test_set(1))
    relevant, n_others = retrieval.n_relevant(scores.label_id, scores.group)
    level = np.where(relevant > 0, relevant / n_others, np.nan)
    for more, is_at_chance in ((0.0, True), (1e-3, False)):
        values = {name: (resampling.contributions(level[None]) + more if name == "precision_at_1" else scores.drawn()[name])
                  for name in retrieval.NAMES}
        expected = {name: level[None] for name in retrieval.NAMES}
        found = chance.of_values(values, expected, 200, scores.group)["precision_at_1"]
        assert found.level == pytest.approx(np.nanmean(level)) and found.is_at_chance == is_at_chance
        assert found == chance.of_values({**values, "precision_at_1": level[None] + more}, expected, 200,
                                         scores.group)["precision_at_1"], "values that leave out the undefined"
