"""What each objective may be set to, what every refusal says, and that file, docs/usage.md and config list the same ones."""

import json
import math
import re
from pathlib import Path

import pytest

from core import config
from core.config import arm_label, arm_title, experiment_file
from core.config.objectives import (
    OBJECTIVES,
    ArcFaceConfig,
    Objective,
    ProxyAnchorConfig,
    SupConConfig,
    TripletConfig,
    UntrainedConfig,
    is_drawn,
)
from core.errors import ConfigError
from tests import PROJECT

NAMES = ("classification, normalized_softmax, arcface, triplet, supcon, multi_similarity, proxy_anchor, cross_entropy_supcon, "
         "sincere, subcenter_arcface, circle, cross_batch_memory")
USAGE = PROJECT / "docs" / "usage.md"
EVERY_PARAMETER = """
name: every
dataset: {source: digits}
objectives:
  - {name: classification, label_smoothing: 0.1, class_weights: balanced}
  - {name: classification, label: adjusted, logit_adjustment: 1}
  - {name: normalized_softmax, temperature: 0.1, lr_factor: 10, class_weights: balanced}
  - {name: normalized_softmax, label: adjusted-proxies, logit_adjustment: 1}
  - {name: arcface, margin: 20, scale: 30, lr_factor: 2, class_weights: balanced}
  - {name: arcface, label: adjusted-arcface, logit_adjustment: 0.5}
  - {name: triplet, label: study, mining: drawn, margin: 1.0, normalize: false, p: 1, average: all}
  - {name: triplet, label: random, mining: random}
  - {name: triplet, label: batch-hard, mining: batch_hard}
  - {name: triplet, mining: semi_hard, pool: all}
  - {name: supcon, temperature: 0.07, projection: 128}
  - {name: multi_similarity, alpha: 1, beta: 40, base: 1, epsilon: 0.2}
  - {name: proxy_anchor, margin: 0.2, alpha: 16, lr_factor: 50, group: none}
  - {name: cross_entropy_supcon, weight: 0.5, label_smoothing: 0.1, class_weights: balanced, temperature: 0.2, projection: 64}
  - {name: cross_entropy_supcon, label: adjusted-both, logit_adjustment: 1}
  - {name: sincere, temperature: 0.07, projection: 128}
  - {name: subcenter_arcface, margin: 20, scale: 30, lr_factor: 2, sub_centers: 5, class_weights: none, logit_adjustment: 0.25}
  - {name: circle, margin: 0.25, scale: 128}
  - {name: cross_batch_memory, loss: supcon, memory: 4096, start: 1000, margin: 0.4, temperature: 0.07}
"""


def only_run(objective: str | dict, **values: dict) -> config.RunConfig:
    """The first run that trains."""
    return config.parse({"name": "x", "dataset": {"source": "digits"}, "objectives": [objective], **values}).runs()[1]


def refusal(*objectives: str | dict) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse({"name": "x", "dataset": {"source": "digits"}, "objectives": list(objectives)})
    return str(caught.value)


def test_every_objective_and_parameter_is_reached_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "every.yaml"
    path.write_text(EVERY_PARAMETER, encoding="utf-8")
    experiment = experiment_file.load(path)
    assert {objective.name for objective in experiment.objectives} == set(OBJECTIVES)
    own = {(objective.name, field) for objective in experiment.objectives
           for field in objective.model_fields_set - Objective.model_fields.keys()}
    assert own == {(name, field) for name, model in OBJECTIVES.items()
                   for field in model.model_fields.keys() - Objective.model_fields.keys()}
    path.write_text(experiment.to_yaml(), encoding="utf-8")
    assert experiment_file.load(path) == experiment
    assert [config.parse_run(json.loads(json.dumps(run.to_json()))) for run in experiment.runs()] == experiment.runs()


def test_every_objective_is_reached_by_its_name_alone() -> None:
    experiment = config.parse({"name": "x", "dataset": {"source": "digits"}, "objectives": list(OBJECTIVES)})
    assert ", ".join(experiment.arms) == NAMES
    assert [type(objective) for objective in experiment.objectives] == list(OBJECTIVES.values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_says_what_it_is_and_every_parameter_what_it_does(name: str) -> None:
    model = OBJECTIVES[name]
    assert model.title and model.word and re.search(r"arXiv:\d{4}\.\d{5}|doi:10\.\d{4,}/", model.paper)
    for field in model.model_fields.keys() - Objective.model_fields.keys():
        assert model.model_fields[field].description.endswith("."), field


def test_the_usage_page_lists_every_objective_with_its_parameters_defaults_and_paper() -> None:
    rows = {row[0].strip("` "): row for row in
            (line.strip("|").split("|") for line in USAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `"))}
    for name, model in OBJECTIVES.items():
        _, parameters, paper, _ = rows[name]
        assert paper.strip() == model.paper
        described = dict(re.findall(r"`(\w+)` ([^,`]+)", parameters))
        for field in model.model_fields.keys() - Objective.model_fields.keys():
            default = model.model_fields[field].default
            shown = f"{default:g}" if type(default) is float else json.dumps(default).strip('"')
            assert described.pop(field).strip() == shown, field
        assert not described


@pytest.mark.parametrize("objective, message", [
    ("contrastive", f"objectives.0 must be one of {NAMES}, got 'contrastive'"),
    ("untrained", f"objectives.0 must be one of {NAMES}, got 'untrained'"),
    ({"margin": 1}, "objectives.0 must be an objective's name or a mapping with a 'name', got {'margin': 1}"),
    ({"name": "triplet", "temperature": 1}, "unknown key 'objectives.0.temperature'; allowed here: "
                                            "label, group, pool, order, name, mining, margin, normalize, p, average"),
    ({"name": "classification", "margin": 1}, "unknown key 'objectives.0.margin'; allowed here: "
                                              "label, group, pool, order, name, class_weights, logit_adjustment, "
                                              "label_smoothing"),
    ({"name": "proxy_anchor", "class_weights": "balanced"}, "unknown key 'objectives.0.class_weights'; allowed here: "
                                                            "label, group, pool, order, name, margin, alpha, lr_factor"),
    ({"name": "arcface", "class_weights": "balanced", "logit_adjustment": 1}, "objectives.0.logit_adjustment must be 0 where "
     "class_weights is 'balanced', as each makes up for the sizes of the classes by itself; got 1"),
    ({"name": "multi_similarity", "lr_factor": 1}, "unknown key 'objectives.0.lr_factor'; allowed here: "
                                                   "label, group, pool, order, name, alpha, beta, base, epsilon"),
])
def test_what_is_no_objective_or_no_parameter_of_it_is_refused(objective: str | dict, message: str) -> None:
    assert refusal(objective) == message


@pytest.mark.parametrize("name, field, value, limit", [
    ("classification", "label_smoothing", -0.1, "greater than or equal to 0"),
    ("classification", "label_smoothing", 1, "less than 1"),
    ("classification", "class_weights", "inverse", "'none' or 'balanced'"),
    ("classification", "logit_adjustment", -1, "greater than or equal to 0"),
    ("classification", "logit_adjustment", 11, "less than or equal to 10"),
    ("normalized_softmax", "temperature", 0, "greater than 0"),
    ("normalized_softmax", "temperature", 1e-300, "at least 0.001"),
    ("normalized_softmax", "temperature", 11, "less than or equal to 10"),
    ("normalized_softmax", "lr_factor", 0, "greater than 0"),
    ("normalized_softmax", "lr_factor", 1001, "less than or equal to 1000"),
    ("arcface", "margin", -1, "greater than or equal to 0"),
    ("arcface", "margin", 91, "less than or equal to 90"),
    ("arcface", "scale", 0, "greater than 0"),
    ("arcface", "scale", 1001, "less than or equal to 1000"),
    ("arcface", "lr_factor", 0, "greater than 0"),
    ("arcface", "lr_factor", 1001, "less than or equal to 1000"),
    ("triplet", "margin", 0, "greater than 0"),
    ("triplet", "margin", 101, "less than or equal to 100"),
    ("triplet", "p", 0.5, "greater than or equal to 1"),
    ("triplet", "p", 11, "less than or equal to 10"),
    ("triplet", "mining", "easy", "'random', 'semi_hard', 'batch_hard' or 'drawn'"),
    ("triplet", "average", "none", "'active' or 'all'"),
    ("supcon", "temperature", 0, "greater than 0"),
    ("supcon", "temperature", 1e-300, "at least 0.001"),
    ("supcon", "temperature", 11, "less than or equal to 10"),
    ("supcon", "projection", 1, "greater than or equal to 2"),
    ("supcon", "projection", 4097, "less than or equal to 4096"),
    ("multi_similarity", "alpha", 0, "greater than 0"),
    ("multi_similarity", "alpha", 1001, "less than or equal to 1000"),
    ("multi_similarity", "beta", 0, "greater than 0"),
    ("multi_similarity", "beta", 1001, "less than or equal to 1000"),
    ("multi_similarity", "base", -1.1, "greater than or equal to -1"),
    ("multi_similarity", "base", 1.1, "less than or equal to 1"),
    ("multi_similarity", "epsilon", 0, "greater than 0"),
    ("multi_similarity", "epsilon", 2.1, "less than or equal to 2"),
    ("proxy_anchor", "margin", -0.1, "greater than or equal to 0"),
    ("proxy_anchor", "margin", 1.1, "less than or equal to 1"),
    ("proxy_anchor", "alpha", 0, "greater than 0"),
    ("proxy_anchor", "alpha", 1001, "less than or equal to 1000"),
    ("proxy_anchor", "lr_factor", 0, "greater than 0"),
    ("proxy_anchor", "lr_factor", 1001, "less than or equal to 1000"),
    ("cross_entropy_supcon", "weight", -0.1, "greater than or equal to 0"),
    ("cross_entropy_supcon", "weight", 1.1, "less than or equal to 1"),
    ("cross_entropy_supcon", "label_smoothing", 1, "less than 1"),
    ("cross_entropy_supcon", "temperature", 1e-300, "at least 0.001"),
    ("sincere", "temperature", 0, "greater than 0"),
    ("sincere", "projection", 1, "greater than or equal to 2"),
    ("subcenter_arcface", "margin", 91, "less than or equal to 90"),
    ("subcenter_arcface", "sub_centers", 0, "greater than or equal to 1"),
    ("subcenter_arcface", "sub_centers", 101, "less than or equal to 100"),
    ("circle", "margin", -0.1, "greater than or equal to 0"),
    ("circle", "margin", 1.1, "less than or equal to 1"),
    ("circle", "scale", 0, "greater than 0"),
    ("circle", "scale", 1001, "less than or equal to 1000"),
    ("cross_batch_memory", "loss", "triplet", "'contrastive' or 'supcon'"),
    ("cross_batch_memory", "memory", 1, "greater than or equal to 2"),
    ("cross_batch_memory", "memory", 1000001, "less than or equal to 1000000"),
    ("cross_batch_memory", "start", -1, "greater than or equal to 0"),
    ("cross_batch_memory", "start", 1000001, "less than or equal to 1000000"),
    ("cross_batch_memory", "margin", -0.1, "greater than or equal to 0"),
    ("cross_batch_memory", "margin", 1, "less than 1"),
    ("cross_batch_memory", "temperature", 1e-300, "at least 0.001"),
])
def test_a_value_out_of_range_is_refused_with_the_range(name: str, field: str, value: float | str, limit: str) -> None:
    assert refusal({"name": name, field: value}) == f"objectives.0.{field} must be {limit}, got {json.dumps(value)}"


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_number_is_without_end(name: str) -> None:
    for field in OBJECTIVES[name].model_fields.keys() - Objective.model_fields.keys():
        for value, words in ((math.nan, "NaN"), (math.inf, "Infinity")):
            message = refusal({"name": name, field: value})
            assert message.startswith(f"objectives.0.{field} must be ") and message.endswith(f", got {words}")


@pytest.mark.parametrize("name", ["classification", "normalized_softmax", "arcface", "proxy_anchor", "subcenter_arcface"])
def test_what_draws_no_pairs_cannot_draw_them_from_every_split(name: str) -> None:
    assert refusal({"name": name, "pool": "all"}) == (
        f"objectives.0.pool must be absent for {name}, which draws no positives and negatives; got 'all'")
    assert only_run(name, training={"pool": "all"}).leaks == ()


@pytest.mark.parametrize("name", ["triplet", "supcon", "multi_similarity", "cross_entropy_supcon", "sincere", "circle",
                                  "cross_batch_memory"])
def test_what_draws_pairs_may_draw_them_from_every_split_and_says_so(name: str) -> None:
    assert only_run({"name": name, "pool": "all"}).leaks == (config.LEAKY_SAMPLER,)


def test_labels_for_folders_and_titles_for_sentences() -> None:
    every = [model() for model in OBJECTIVES.values()]
    assert ", ".join(arm_label(objective) for objective in every) == NAMES
    assert [arm_title(objective) for objective in every] == [
        "classification", "normalised softmax", "ArcFace", "triplet", "SupCon", "multi-similarity", "proxy-anchor",
        "cross-entropy + SupCon", "SINCERE", "sub-centre ArcFace", "circle", "cross-batch memory"]
    assert (arm_label(UntrainedConfig()), arm_title(UntrainedConfig())) == ("untrained", "untrained")
    assert (arm_label(TripletConfig(label="hard")), arm_title(TripletConfig(label="hard"))) == ("hard", "hard")
    assert arm_title(ArcFaceConfig(group="none")) == "ArcFace with a random split"


def test_only_drawn_triplets_are_drawn_one_by_one() -> None:
    assert [is_drawn(objective) for objective in (TripletConfig(mining="drawn"), TripletConfig(), SupConConfig())] == [
        True, False, False]


def test_the_untrained_encoder_has_no_collapse_value() -> None:
    with pytest.raises(TypeError, match="UntrainedConfig has no loss"):
        UntrainedConfig().collapse_value(5, 5, 12)


def test_collapse_values_by_hand() -> None:
    """Five classes of twelve: ln 5, ln 59; at 90° and scale 2 ArcFace's is ln(1 + 4 e²)."""
    assert OBJECTIVES["classification"]().collapse_value(5, 5, 12) == pytest.approx(1.609438, abs=1e-6)
    assert OBJECTIVES["normalized_softmax"]().collapse_value(5, 5, 12) == pytest.approx(1.609438, abs=1e-6)
    assert SupConConfig().collapse_value(5, 5, 12) == pytest.approx(4.077537, abs=1e-6)
    assert OBJECTIVES["cross_entropy_supcon"](weight=0.25).collapse_value(5, 5, 12) == pytest.approx(2.226463, abs=1e-6)
    assert OBJECTIVES["sincere"]().collapse_value(5, 5, 12) == pytest.approx(math.log(49))
    assert OBJECTIVES["circle"](margin=0.5, scale=2).collapse_value(5, 5, 12) == pytest.approx(math.log(1 + 528 * math.e))
    assert OBJECTIVES["cross_batch_memory"](margin=0.3).collapse_value(5, 5, 12) == pytest.approx(0.7)
    assert OBJECTIVES["cross_batch_memory"](loss="supcon").collapse_value(5, 5, 12) == pytest.approx(math.log(1023))
    assert OBJECTIVES["cross_batch_memory"](loss="supcon", memory=2).collapse_value(5, 5, 12) == pytest.approx(math.log(59))
    assert TripletConfig(margin=0.3).collapse_value(5, 5, 12) == 0.3
    assert ArcFaceConfig(margin=90, scale=2).collapse_value(5, 5, 12) == pytest.approx(math.log(1 + 4 * math.exp(2)), abs=1e-9)


def test_collapse_values_at_the_edge_of_the_ranges_are_numbers() -> None:
    """e^1000 and e^2000 are beyond a float."""
    assert ArcFaceConfig(margin=90, scale=1000).collapse_value(5, 5, 12) == pytest.approx(1000 + math.log(4))
    assert OBJECTIVES["subcenter_arcface"](margin=90, scale=1000).collapse_value(5, 5, 12) == pytest.approx(1000 + math.log(4))
    assert OBJECTIVES["circle"](margin=0, scale=1000).collapse_value(5, 5, 12) == pytest.approx(1000 + math.log(528))
    assert OBJECTIVES["circle"](margin=1, scale=1000).collapse_value(5, 5, 12) == 0
    expected = math.log(13) + 2000 + math.log(48)
    assert ProxyAnchorConfig(margin=1, alpha=1000).collapse_value(5, 5, 12) == pytest.approx(expected)
