"""Thresholds of runs: kept and found again, their intervals, what is said of two arms, on the command line and on Compare."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import main
from core import config as configuration
from core import files
from core.analysis import table as tables
from core.analysis.resampling import bootstrap
from core.analysis.table import EmbeddingTable
from core.config import parse
from core.errors import ConfigError, Damaged, InputError
from core.experiments.handles import Experiment, Run
from core.inference import exports
from core.results import same_or_not, scoring, thresholds
from core.results.thresholds import Thresholds
from tests.conftest import TINY, said_of_itself


def drawn(seed: int, noise: float = 0.5, n: int = 240, per_group: int = 1, n_unknown: int = 0,
          **evaluation: object) -> EmbeddingTable:
    """A table of four classes: half train, a quarter each validation and test, and images of a fifth class, held out."""
    generator = np.random.default_rng(seed)
    label_id = np.append(np.arange(n) % 4, np.full(n_unknown, 4)).astype(np.int32)
    vectors = (3 * np.eye(5, 8)[label_id] + generator.normal(0, 1 + noise, (n + n_unknown, 8))).astype(np.float32)
    names = np.array([f"{row:04d}" for row in range(len(label_id))], dtype=object)
    split = np.append(np.array(["train", "train", "validation", "test"])[np.arange(n) // 4 % 4], ["open"] * n_unknown)
    group = np.array([f"g{row // (16 * per_group)}-{row % 16}" for row in range(len(label_id))], dtype=object)
    config = parse({**TINY, "evaluation": {**TINY["evaluation"], **evaluation}}).runs()[0].to_json()
    blank = np.zeros(len(label_id), np.float32)
    return EmbeddingTable(names, names, label_id.astype(str).astype(object), label_id, split.astype(object), group,
                          np.full(len(label_id), -1, np.int32), blank, blank, vectors,
                          {**said_of_itself("01234"), "config": config})


def test_what_is_kept_is_found_again(finished: Path, tmp_path: Path) -> None:
    run = Experiment(finished).run("supcon-15-seed0")
    kept, made = thresholds.read(run), thresholds.make(scoring.read_space(run))
    assert thresholds.is_kept(run)
    assert (kept.rates, kept.same_or_not, kept.false_accept) == (made.rates, made.same_or_not, 0.01)
    for name, values in made.influence.items():
        np.testing.assert_array_equal(kept.influence[name], values)
    assert set(kept.split.tolist()) == {"test", "validation"} and list(kept.sample_id) == sorted(kept.sample_id)


@pytest.mark.parametrize("spoilt", ["gone", "half", "of another version"])
def test_what_cannot_be_read_is_made_anew_from_the_embeddings(experiment: Path, spoilt: str) -> None:
    run = Experiment(experiment).run("supcon-15-seed0")
    before, content = thresholds.read(run), run.thresholds_file.read_bytes()
    if spoilt == "gone":
        run.thresholds_file.unlink()
    elif spoilt == "half":
        run.thresholds_file.write_bytes(content[:len(content) // 2])
    else:
        arrow = pq.read_table(run.thresholds_file)
        said = {**json.loads(arrow.schema.metadata[b"duet"]), "version": 0}
        pq.write_table(arrow.replace_schema_metadata({"duet": json.dumps(said)}), run.thresholds_file)
    assert not thresholds.is_kept(run)
    assert thresholds.read(run).rates == before.rates
    assert thresholds.is_kept(run), "and kept"


def test_without_embeddings_there_are_none(experiment: Path) -> None:
    run = Experiment(experiment).run("supcon-15-seed0")
    run.thresholds_file.unlink()
    run.embeddings_file.unlink()
    with pytest.raises(InputError, match="must be completed to have thresholds"):
        thresholds.read(run)


def test_the_encoder_takes_its_threshold_along(finished: Path, tmp_path: Path) -> None:
    run = Experiment(finished).run("supcon-15-seed0")
    exports.write(run, tmp_path / "space.parquet")
    of_table = tables.read_header(tmp_path / "space.parquet")[0]["evaluation"]["thresholds"]
    assert of_table == files.read_json(run.evaluation_file)["thresholds"] == exports.thresholds_of(run)
    said, kept = of_table["same_or_not"], thresholds.read(run)
    assert said["threshold"] == kept.same_or_not.threshold and of_table["similarity"] == "cosine"
    assert (said["chosen_on"], said["chosen_for"]) == ("validation", {"false_accept": 0.01})
    assert said["validation"]["false_accept"] <= 0.01 and said["validation"]["n_groups"] >= 100
    rate = said["test"]["true_accept"]
    assert rate["low"] < rate["mean"] == kept.rates["true_accept"] < rate["high"]
    assert "known_or_unknown" not in of_table


def test_rates_are_means_over_seeds_and_the_difference_is_theirs() -> None:
    a, b = ([thresholds.make(drawn(seed, noise)) for seed in seeds] for seeds, noise in ((range(4), 0.5), (range(4, 8), 0.0)))
    compared = same_or_not.compare("A", a, "B", b, 300)
    for name in thresholds.OF_PAIRS:
        means = [np.mean([space.rates[name] for space in side]) for side in (a, b)]
        assert compared.a.rates[name].mean == pytest.approx(means[0])
        assert compared.differences[name].mean == pytest.approx(means[1] - means[0])
        assert compared.differences[name].low < means[1] - means[0] < compared.differences[name].high
    assert compared.a.curve == pytest.approx(np.mean([space.same_or_not.curve for space in a], axis=0))
    assert compared.differences["true_accept"].low > 0, "B is much less noisy"


def test_a_difference_knows_that_validation_chose_the_thresholds() -> None:
    a, b = thresholds.make(drawn(0, 0.5)), thresholds.make(drawn(1, 0.5))
    whole = same_or_not.compare("A", [a], "B", [b], 2000).differences["true_accept"]
    fixed = [replace(space, influence={**space.influence, "choice": np.where(
        np.isnan(space.influence["choice"]), np.nan, 0.0)}) for space in (a, b)]
    narrow = same_or_not.compare("A", fixed[:1], "B", fixed[1:], 2000).differences["true_accept"]
    assert whole.high - whole.low > 1.05 * (narrow.high - narrow.low)
    assert same_or_not.compare("A", [a], "B", [a], 300).differences["true_accept"].high == 0, "an arm is like itself"


def test_a_later_look_is_wider() -> None:
    a, b = [thresholds.make(drawn(0))], [thresholds.make(drawn(1))]
    first, second = (same_or_not.compare("A", a, "B", b, 500, look) for look in (1, 2))
    assert "(95 % " in same_or_not.pair_sentences(first)[-1] and "(98.75 % " in same_or_not.pair_sentences(second)[-1]
    assert second.differences["auroc"].high > first.differences["auroc"].high


@pytest.mark.parametrize(("other", "said"), [
    ([1, 2], "A has 1 seeds and B 2"), ("rate", "A's thresholds are for 1 % and B's for 5 %"),
    ("images", "A and B have different validation or test images, or group them differently"),
    ("groups", "A and B have different validation or test images, or group them differently")])
def test_why_there_is_no_difference_is_said(other: object, said: str) -> None:
    b = {"rate": lambda: [thresholds.make(drawn(1, false_accept=5))], "images": lambda: [thresholds.make(drawn(1, n=256))],
         "groups": lambda: [thresholds.make(drawn(1, per_group=2))]}
    compared = same_or_not.compare("A", [thresholds.make(drawn(0))], "B", b[other]() if isinstance(other, str) else [
        thresholds.make(drawn(seed)) for seed in other], 300)
    assert compared.differences == {} and said in same_or_not.pair_sentences(compared)[-1]


def test_seeds_that_were_tested_on_different_images_are_refused() -> None:
    with pytest.raises(InputError, match="seeds must be tested on the same images to share thresholds, got others"):
        same_or_not.arm("A", [thresholds.make(drawn(0)), thresholds.make(drawn(1, n=256))], 300)


def with_rate(value: float, n_groups: int) -> Thresholds:
    """A space whose every test pair is accepted, or none."""
    space = thresholds.make(drawn(0))
    rows = np.arange(n_groups)
    return replace(space, rates={"true_accept": value}, influence={"true_accept": np.zeros(n_groups)},
                   sample_id=space.sample_id[rows], group=space.sample_id[rows], split=np.full(n_groups, "test", object))


def test_no_error_at_all_is_no_certainty() -> None:
    """Of 60 groups 30 pairs share none: 0 of 30 allows up to 11.6 % (Clopper & Pearson)."""
    none, every = (thresholds.rate_intervals([with_rate(value, 60)], 300)["true_accept"] for value in (0.0, 1.0))
    assert (none.low, none.high) == (0.0, pytest.approx(0.1157, abs=1e-4))
    assert (every.low, every.high) == (pytest.approx(0.8843, abs=1e-4), 1.0)


def test_intervals_of_rare_errors_are_skewed_and_never_below_nothing() -> None:
    found = thresholds.rate_intervals([thresholds.make(drawn(0))], 2000)["false_accept"]
    assert 0 < found.low < found.mean < found.high
    assert found.high - found.mean > 1.3 * (found.mean - found.low)


def test_known_and_unknown_are_told_where_classes_are_held_out() -> None:
    space = thresholds.make(drawn(0, 0.0, n_unknown=40))
    assert set(thresholds.OF_IMAGES) <= space.rates.keys()
    assert (space.known_or_unknown.n_unknown, space.known_or_unknown.n_classes) == (40, 1)
    found = same_or_not.compare("A", [space], "B", [thresholds.make(drawn(1, 0.5, n_unknown=40))], 300)
    sentences = same_or_not.unknown_sentences(found)
    assert " of the images of 1 held-out class, at a threshold of 0." in sentences[0] and "; its AUROC is " in sentences[0]
    assert sentences[-1] == same_or_not.NO_UNKNOWN_VALIDATION
    assert "known_auroc" in found.differences and len(same_or_not.rows(found)) == 8
    values, rows = space.drawn("known_auroc")
    assert values.mean() == pytest.approx(space.rates["known_auroc"]) and set(space.split[rows]) == {"test", "open"}
    assert thresholds.summary(space, 300)["known_or_unknown"]["chosen_for"] == {"known_accept": 0.95}


def test_the_interval_of_an_area_over_two_splits_is_delongs() -> None:
    """DeLong et al., 1988: the variances of the placements, each over its own number of images."""
    space = thresholds.make(drawn(0, 0.5, n=480, n_unknown=40))
    change, values = space.influence["known_auroc"], space.drawn("known_auroc")[0]
    variance = sum(change[space.split == split].var(ddof=1) / n for split, n in (("test", 120), ("open", 40)))
    assert bootstrap([values[None]], 4000, 0).draws.std() == pytest.approx(np.sqrt(variance), rel=0.06)


def test_too_few_validation_images_are_said_in_place_of_a_number() -> None:
    table = drawn(0)
    few = table.rows((table.split != "validation") | (np.arange(len(table)) < 16))
    compared = same_or_not.compare("A", [thresholds.make(few)], "B", [thresholds.make(drawn(1))], 300)
    assert same_or_not.pair_sentences(compared)[0] == (
        "A has no threshold for pairs: validation must have at least 100 pairs of different classes, got 6")
    assert "auroc" in compared.a.rates and "true_accept" not in compared.a.rates
    assert same_or_not.rows(compared)[0][1] == "–"


@pytest.mark.parametrize("value", [0, -1, 51, "x"])
def test_a_rate_that_cannot_be_aimed_at_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.false_accept must be"):
        parse({**TINY, "evaluation": {"false_accept": value}})


def test_an_experiment_of_an_earlier_version_has_the_rate_that_is_usual(finished: Path) -> None:
    stored = Experiment(finished).description["config"]
    assert stored["evaluation"].pop("false_accept") == 1.0
    assert configuration.parse(stored, stored=True).evaluation.false_accept == 1.0


def test_the_command_line_says_what_compare_says(experiment: Path, capsys: pytest.CaptureFixture) -> None:
    names = ["tiny/classification-15", "tiny/supcon-15"]
    assert main.main(["--checkpoints", str(experiment.parent), "thresholds", *names]) == 0
    printed = capsys.readouterr().out
    runs = [[Run(experiment / f"{name}-15-seed{seed}") for seed in (0, 1)] for name in ("classification", "supcon")]
    compared = same_or_not.compare("classification", [thresholds.read(run) for run in runs[0]], "SupCon",
                                   [thresholds.read(run) for run in runs[1]], 200)
    for sentence in (*same_or_not.pair_sentences(compared), *same_or_not.unknown_sentences(compared)):
        assert f"{sentence}.\n" in printed
    assert main.main(["--checkpoints", str(experiment.parent), "thresholds", *names, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["differences"]["true_accept"]["mean"] == compared.differences["true_accept"].mean
    assert len(said["a"]["curve"]) == len(said["curve_false_accept"])
    file = str(experiment / "supcon-15-seed0" / "embeddings.parquet")
    assert main.main(["--checkpoints", str(experiment.parent), "thresholds", file, "tiny/supcon-15-seed0", "--json"]) == 0
    of_file = json.loads(capsys.readouterr().out)
    assert of_file["differences"]["true_accept"]["mean"] == 0


def test_compare_shows_them_folded(screen, experiment: Path) -> None:
    app = screen("compare", experiment="tiny")
    assert "Same or not" in [item.label for item in app.expander]
    said = [item.value for item in app.markdown]
    assert any(text.startswith("SupCon accepts ") and text.endswith(
        "chosen on validation to accept 1 % of pairs of different classes.") for text in said)
    assert any(text.startswith("On test pairs of one class B accepts ") for text in said)
    table = next(item.value for item in app.dataframe if "percent" in item.value.columns)
    assert table["percent"].tolist() == ["threshold (cosine)", "pairs of one class accepted",
                                         "pairs of different classes accepted", "AUROC of pairs", "equal error rate"]


def test_compare_counts_an_earlier_versions_pairs_when_asked(screen, experiment: Path) -> None:
    for run in Experiment(experiment).runs:
        run.thresholds_file.unlink()
    app = screen("compare", experiment="tiny")
    assert not any("chosen on validation to accept" in item.value for item in app.markdown)
    assert not list(experiment.glob("*/thresholds.parquet")), "nothing is counted unasked"
    next(button for button in app.button if button.label == "Count all pairs of images").click().run()
    assert not app.exception
    assert any("chosen on validation to accept 1 %" in item.value for item in app.markdown)
    assert len(list(experiment.glob("*/thresholds.parquet"))) == 4


def test_damaged_embeddings_of_an_earlier_version_are_said(experiment: Path) -> None:
    run = Experiment(experiment).run("supcon-15-seed0")
    run.thresholds_file.unlink()
    run.embeddings_file.write_bytes(run.embeddings_file.read_bytes()[:200])
    with pytest.raises(Damaged):
        thresholds.read(run)


@pytest.mark.parametrize(("right", "low", "high"), [((0, 3), 0.0, 5.7), ((359, 360), 98.1, 100.0), ((0, 0, 2), 0.0, 1.0)])
def test_a_rare_rate_of_few_seeds_has_an_end_near_the_bootstraps(right: tuple[int, ...], low: float, high: float) -> None:
    """In percent, of 360 independent images; on the scale of log odds alone the far end was at 99.9, 0.2 and 11.9."""
    columns = np.stack([np.repeat([1.0, 0.0], [number, 360 - number]) for number in right])
    drawn = bootstrap([columns], 2000, 0, np.arange(360).astype(str))
    ends = thresholds._ends(float(columns.mean()), float(drawn.low[0]), float(drawn.high[0]), 360)
    assert 100 * np.array(ends) == pytest.approx([low, high], abs=0.3)
