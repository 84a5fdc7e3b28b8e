"""An experiment's result as values and as verdict.json: its layout, its schema, files of other versions and damaged ones."""

import argparse
import json
from pathlib import Path

import pytest

import main
from core import files, scored_by
from core.analysis.comparison import ClassDifference, Difference
from core.cli import follow
from core.errors import Damaged
from core.experiments.handles import Experiment
from core.results import result, verdict

DIFFERENCE = ["metric", "a", "b", "difference", "low", "high", "verdict", "n_seeds", "n_samples", "settles_at", "p_value",
              "p_holm", "seeds_decide", "sd_a", "sd_b", "equivalence",
              "outperforming", "by_chance", "alpha"]
COMPARISON = ["a", "b", "sentence", "n_dropped", "n_bootstrap", "draws_note", "confounders", "settings", "leaks_a", "leaks_b",
              "is_worth_of_leak", "look", "look_note", "differences", "space", "mcnemar", "per_class", "macro"]


def written(experiment: Path) -> dict:
    return json.loads((experiment / "verdict.json").read_text())


def change(experiment: Path, **values: object) -> None:
    files.write_json(experiment / "verdict.json", written(experiment) | values)


def test_the_file_has_the_layout_that_every_version_has_written(finished: Path) -> None:
    values = written(finished)
    assert list(values) == ["schema", "scored_by", "rows", "comparisons", "sentence", "curve", "training_worth", "open_rows",
                            "open_comparisons", "open_training_worth"]
    assert values["schema"] == 4 and values["scored_by"] == scored_by.VERSION
    assert list(values["rows"][0]) == [
        "objective", "images_per_class", "leaks", "n_seeds", "n_test", "own_group", "metrics", "macro", "space",
        "against_untrained", "not_improved", "unchanged", "chance", "probe"]
    told = values["comparisons"][0]
    assert list(told) == ["images_per_class", "label_a", "label_b", *COMPARISON, "agreement"]
    assert list(told["differences"][0]) == list(told["space"][0]) == DIFFERENCE
    assert list(told["per_class"][0]) == ["label", *DIFFERENCE]
    assert list(told["mcnemar"][0]) == ["metric", "only_a", "only_b", "p_value", "p_any_seed"]
    assert list(told["settings"][0]) == ["field", "name", "a", "b", "kind", "why"]


def test_what_is_written_is_read_to_the_same_values_and_back(finished: Path) -> None:
    found = result.read(Experiment(finished))
    assert found == verdict.decide(Experiment(finished)) and found.is_current
    assert json.dumps(result.to_json(found), indent=1) == (finished / "verdict.json").read_text()
    pair = found.pair("classification", "supcon", 15)
    assert isinstance(pair.differences[0], Difference) and isinstance(pair.per_class[0], ClassDifference)
    assert found.pair("supcon", "classification", 15) is None and found.open_pair("classification", "supcon", 15) is None
    assert [row.objective for row in found.arms(15)] == ["untrained", "classification", "supcon"] and found.arms(5) == ()


def test_compare_json_has_a_pairs_keys_and_values(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("tiny/classification-15", "tiny/supcon-15")
    assert main.main(["--checkpoints", str(finished.parent), "compare", *names, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == COMPARISON
    assert found == {key: value for key, value in written(finished)["comparisons"][0].items() if key in COMPARISON}


def test_run_json_is_the_file_beside_the_states(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert follow.conclude(Experiment(finished), argparse.Namespace(json=True)) == 0
    found = json.loads(capsys.readouterr().out)
    assert {key: found[key] for key in written(finished)} == written(finished)
    assert list(found)[:3] == ["experiment", "states", "schema"]


def test_a_file_without_a_schema_is_read_as_it_is_and_judged_anew(experiment: Path) -> None:
    values = written(experiment)
    del values["schema"]
    for row in values["rows"]:
        del row["unchanged"]
    for item in values["comparisons"][0]["differences"]:
        del item["sd_a"], item["sd_b"], item["equivalence"], item["outperforming"], item["by_chance"]
    files.write_json(experiment / "verdict.json", values | {"sentence": "As written down"})
    found = result.read(Experiment(experiment))
    assert found.sentence == "As written down" and found.rows[0].unchanged == "" and not found.is_current
    assert found.comparisons[0].differences[0].sd_a is None and found.comparisons[0].differences[0].equivalence is None
    assert verdict.read(Experiment(experiment)) == verdict.decide(Experiment(experiment))


def test_a_file_of_the_first_version_is_printed_and_decided_anew(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = written(experiment)
    kept = {"rows": ("objective", "images_per_class", "n_seeds", "n_test", "metrics"),
            "comparisons": ("images_per_class", "a", "b", "sentence", "n_dropped", "confounders", "differences")}
    files.write_json(experiment / "verdict.json", {"sentence": values["sentence"], **{
        name: [{key: item[key] for key in keys} for item in values[name]] for name, keys in kept.items()}})
    assert not result.read(Experiment(experiment)).is_current
    assert result.to_json(verdict.read(Experiment(experiment))) == values
    assert follow.conclude(Experiment(experiment), argparse.Namespace(json=False)) == 0
    assert f"15 images per class: {values['sentence']}." in capsys.readouterr().out


@pytest.mark.parametrize("schema", [5, "1", None])
def test_a_file_of_a_higher_schema_is_said_to_be_of_a_newer_version(experiment: Path, schema: object) -> None:
    before = result.read(Experiment(experiment))
    change(experiment, schema=schema, sentence="Of another kind")
    for reader in (result.read, lambda handle: handle.verdict_json, lambda handle: handle.sentence):
        with pytest.raises(Damaged, match=rf"newer Duet \(schema {schema}; this one reads up to 4\); update Duet") as caught:
            reader(Experiment(experiment))
        assert caught.value.is_newer
    assert verdict.read(Experiment(experiment)) == before, "decided anew"


@pytest.mark.parametrize("values, words", [
    ({"comparisons": [{"sentence": "x"}]}, "must hold a verdict, got under comparisons.0.images_per_class: Field required"),
    ({"rows": [{}]}, "must hold a verdict, got under rows.0.objective: Field required"),
    ({"curve": 3}, "must hold a verdict, got under curve"),
    ({"rows": "none"}, "must hold rows, comparisons, sentence, got"),
])
def test_a_damaged_file_says_where_and_is_decided_anew(experiment: Path, values: dict, words: str) -> None:
    before = result.read(Experiment(experiment))
    change(experiment, **values)
    with pytest.raises(Damaged, match=words) as caught:
        result.read(Experiment(experiment))
    assert caught.value.remedy == "Compare makes it anew" and not caught.value.is_newer
    assert verdict.read(Experiment(experiment)) == before
