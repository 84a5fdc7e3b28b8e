"""The linear probe: scikit-learn's logistic regression with the C that validation samples choose, in every space alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core import files, scored_by
from core.analysis import parts, probe
from core.analysis import table as tables
from core.analysis.probe import ProbeChoice
from core.data import split
from core.experiments.handles import Experiment, Run
from core.results import readouts, scoring, verdict


def space(seed: int, n: int, width: int = 30, n_classes: int = 4, gap: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes of one population in dimensions of very different spread, shape (n, width), float32."""
    generator = np.random.default_rng(seed)
    label = np.arange(n) % n_classes
    centers = np.random.default_rng(0).normal(size=(n_classes, width))
    return ((gap * centers[label] + generator.normal(size=(n, width))) * np.logspace(-2, 2, width)).astype(np.float32), label


def right_with(c: float, queries: tuple[np.ndarray, np.ndarray], known: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """What scikit-learn's own pipeline gets right with that C."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    model.fit(known[0].astype(np.float64), known[1])
    return (model.predict(queries[0].astype(np.float64)) == queries[1]).astype(float)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_scikit_learns_with_the_c_that_is_best_on_validation(seed: int) -> None:
    test, known, held_back = space(seed, 200), space(10 + seed, 60), space(20 + seed, 120)
    shares = [right_with(c, held_back, known).mean() for c in probe.GRID]
    best = next(c for c, share in zip(probe.GRID, shares) if share == max(shares))
    found, choice = probe.measure(*test, *known, held_back)
    assert choice == ProbeChoice(best, max(shares), 120)
    assert np.array_equal(found, right_with(best, test, known))
    assert 0.3 < found.mean() < 1 and len(set(shares)) > 2, "C must matter here"


def hidden(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that lie in the small difference of two large dimensions: only large weights tell them apart."""
    generator = np.random.default_rng(seed)
    label, both = np.arange(n) % 2, generator.normal(size=n)
    return np.stack([both, both + 0.05 * (2 * label - 1 + 0.3 * generator.normal(size=n))], axis=1).astype(np.float32), label


def test_spaces_choose_for_themselves_and_ties_go_to_the_stronger_regularisation() -> None:
    """What lies in a small difference asks for a weak one; clean classes are told apart with any, and take the strongest."""
    _, weak = probe.measure(*hidden(1, 50), *hidden(2, 200), hidden(3, 200))
    assert weak.c >= 1 and weak.validation_accuracy > 0.95
    _, strong = probe.measure(*space(1, 50, gap=30.0), *space(2, 60, gap=30.0), space(3, 120, gap=30.0))
    assert strong == ProbeChoice(probe.GRID[0], 1.0, 120) and list(probe.GRID) == sorted(probe.GRID)


def test_test_samples_choose_nothing() -> None:
    known, held_back = space(11, 60), space(21, 120)
    first = probe.measure(*space(1, 200), *known, held_back)[1]
    vectors, label = space(2, 50)
    assert probe.measure(vectors, label[::-1], *known, held_back)[1] == first


def test_without_validation_samples_c_is_1_and_said_to_be() -> None:
    test, known = space(0, 200), space(10, 60)
    none = (known[0][:0], known[1][:0])
    for validation in (None, none):
        found, choice = probe.measure(*test, *known, validation)
        assert choice == ProbeChoice(1.0, None, 0)
        assert np.array_equal(found, right_with(1.0, test, known))
    assert probe.sentence({"supcon": (choice,)}) == (
        "The probe has C = 1 in every space, as there are no validation images to choose it on")


def test_the_sentence_lists_the_choices_seed_by_seed() -> None:
    ten, tenth = ProbeChoice(10.0, 0.9, 1478), ProbeChoice(0.1, 0.8, 1478)
    assert probe.sentence({"untrained": (), "supcon": (ten, tenth), "arcface": (tenth, tenth)}) == (
        "The probe's C, chosen on 1,478 validation images, seed by seed: supcon 10, 0.1; arcface 0.1, 0.1")
    assert probe.sentence({"untrained": ()}) == ""


def test_it_is_a_softmax_regression_on_standardised_vectors() -> None:
    """Against plain gradient descent on mean cross-entropy + |w|² / 2 C n."""
    (vectors, label), (known, known_label), held_back = space(3, 60, 6), space(4, 90, 6), space(5, 90, 6)
    found, choice = probe.measure(vectors, label, known, known_label, held_back)
    mean, sd = known.mean(axis=0), known.std(axis=0)
    train, test = ((part - mean) / sd for part in (known, vectors))
    weights, bias, truth = np.zeros((6, 4)), np.zeros(4), np.eye(4)[known_label]
    for _ in range(20_000):
        logits = train @ weights + bias
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        weights -= 0.3 * (train.T @ (share - truth) + weights / choice.c) / 90
        bias -= 0.3 * (share - truth).mean(axis=0)
    slow = (test @ weights + bias).argmax(axis=1) == label
    assert (found == slow).mean() > 0.98
    assert 0.4 < found.mean() < 1


def test_a_probe_that_saw_one_class_always_says_it() -> None:
    known = np.eye(3, dtype=np.float32), np.array([1, 1, 1])
    found, choice = probe.measure(np.eye(3, dtype=np.float32), np.array([1, 0, 1]), *known, (known[0], np.array([1, 0, 0])))
    assert found.tolist() == [1, 0, 1]
    assert choice == ProbeChoice(1.0, pytest.approx(1 / 3), 3)


def test_the_same_on_one_core_and_on_several(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = space(1, 300), space(2, 400), space(3, 100)
    several = probe.measure(*asked[0], *asked[1], asked[2])
    monkeypatch.setattr(parts.os, "sched_getaffinity", lambda _: {0}, raising=False)
    alone = probe.measure(*asked[0], *asked[1], asked[2])
    assert np.array_equal(several[0], alone[0]) and several[1] == alone[1]


def test_a_space_that_knows_the_photograph_alone_is_at_chance_however_it_is_tuned() -> None:
    """Photographs stay on one side of the split, so a probe that learns them by heart, with any C, knows nothing of others."""
    shares = []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        group = np.repeat(np.arange(60), 5)
        label = generator.integers(0, 4, 60)[group]
        vectors = (generator.normal(size=(60, 40))[group] + 0.1 * generator.normal(size=(300, 40))).astype(np.float32)
        test, known, held_back = (np.isin(group, part) for part in (np.arange(20), np.arange(20, 50), np.arange(50, 60)))
        found, _ = probe.measure(vectors[test], label[test], vectors[known], label[known], (vectors[held_back],
                                                                                           label[held_back]))
        shares.append(found.mean())
        own = probe.measure(vectors[known], label[known], vectors[known], label[known])[0]
        assert own.mean() > 0.9, "what it was fitted on it knows by heart"
    assert np.mean(shares) == pytest.approx(0.25, abs=3.5 * np.std(shares, ddof=1) / np.sqrt(30))


def test_a_runs_scores_say_their_choice_and_its_validation_groups_never_train(finished: Path) -> None:
    experiment = Experiment(finished)
    manifest = experiment.manifest()
    own = split.own_groups(manifest, experiment.config.split)
    sides = [set(own[manifest.indices(name)].tolist()) for name in ("train", "validation", "test")]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    run = experiment.run("supcon-15-seed0")
    kept = scoring.read_scores(run)
    assert [choice.n_validation for choice in kept.probe] == [len(manifest.indices("validation"))]
    table = tables.read(run.embeddings_file)
    known = table.rows(np.isin(table.sample_id, table.metadata["training_samples"]))
    test, held_back = (table.of_split(name) for name in ("test", "validation"))
    row = dict(zip(kept.sample_id.tolist(), kept.values["probe_accuracy"][0].tolist()))
    expected = right_with(kept.probe[0].c, (test.embedding, test.label_id), (known.embedding, known.label_id))
    assert [row[name] for name in test.sample_id.tolist()] == expected.tolist()
    assert right_with(kept.probe[0].c, (held_back.embedding, held_back.label_id), (
        known.embedding, known.label_id)).mean() == kept.probe[0].validation_accuracy
    told = files.read_json(run.evaluation_file)["probe"]
    assert told == [{"c": kept.probe[0].c, "validation_accuracy": kept.probe[0].validation_accuracy,
                     "n_validation": kept.probe[0].n_validation}]
    arm = next(item for item in verdict.read(experiment).arms(15) if item.objective == "supcon")
    assert arm.probe == scoring.arm(experiment, "supcon", 15).probe and len(arm.probe) == arm.n_seeds


def test_a_table_without_validation_samples_is_scored_with_c_1(finished: Path) -> None:
    table = tables.read(finished / "supcon-15-seed0" / "embeddings.parquet")
    split_of = np.where(table.split == "validation", "left out", table.split)
    assert scoring.score(replace(table, split=split_of)).probe == (ProbeChoice(1.0, None, 0),)


def as_untuned(run: Run) -> None:
    """Has a run's scores, readouts and the verdict on it as the version wrote them that took C = 1 in every space."""
    arrow = pq.read_table(run.scores_file)
    spoiled = arrow.set_column(arrow.column_names.index("probe_accuracy"), "probe_accuracy", [np.zeros(len(arrow))])
    pq.write_table(spoiled.replace_schema_metadata({"duet": f'{{"{scored_by.KEY}": 2}}'}), run.scores_file)
    for path in (run.readouts_file, run.experiment.verdict_file):
        files.write_json(path, files.read_json(path) | {scored_by.KEY: 2})


def test_what_an_untuned_version_scored_is_scored_anew_or_shown_as_what_it_is(experiment: Path) -> None:
    run = Experiment(experiment).run("supcon-15-seed0")
    before, sentence = scoring.read_scores(run), Experiment(experiment).sentence
    of_readouts = readouts.read(run)
    as_untuned(run)
    assert Experiment(experiment).sentence == sentence, "the sentence is of MAP@R, which stays"
    found = readouts.read(run)
    assert [set(readouts.CELLS) - set(item.scores) for item in found] == [{"probe_accuracy"}] * len(of_readouts)
    assert readouts.earlier([run]) == scored_by.UNTUNED
    rows = readouts.rows(Experiment(experiment), Experiment(experiment).config, 15)
    assert readouts.metrics_of(rows) == [name for name in readouts.CELLS if name != "probe_accuracy"]
    assert verdict.read(Experiment(experiment)).is_current, "decided anew"
    again = scoring.read_scores(run)
    assert np.array_equal(again.values["probe_accuracy"], before.values["probe_accuracy"]) and again.probe == before.probe
    as_untuned(run)
    run.embeddings_file.unlink()
    with pytest.raises(ValueError, match=r"whose linear probe had C = 1 in every space; to be scored anew"):
        scoring.read_scores(run)
