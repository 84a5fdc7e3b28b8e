"""Cross-entropy + SupCon: the weighted sum by hand, and at both ends the very training of the objective that stands there."""

from pathlib import Path

import pytest
import torch

from core import config as configuration
from core.config.objectives import ClassificationConfig, CrossEntropySupConConfig, ObjectiveConfig, SupConConfig
from core.errors import ConfigError
from core.training import checkpoint, objectives
from tests.unit.test_trainer import make_trainer, run_config, train, without_time

FEATURES = torch.randn(12, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABEL_ID = torch.arange(12) % 4
CLASSIFICATION = {"name": "classification", "label_smoothing": 0.1}
SUPCON = {"name": "supcon", "temperature": 0.07, "projection": 16}
BOTH = {"name": "cross_entropy_supcon", "label_smoothing": 0.1, "temperature": 0.07, "projection": 16}


def build(config: ObjectiveConfig) -> objectives.Objective:
    return objectives.build(config, 6, 4, 12, seed=0).double()


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("projection", [None, 5])
def test_it_is_the_weighted_sum_of_both(weight: float, projection: int | None) -> None:
    both = build(CrossEntropySupConConfig(weight=weight, label_smoothing=0.1, projection=projection))
    classification, supcon = build(ClassificationConfig(label_smoothing=0.1)), build(SupConConfig(projection=projection))
    classification.load_state_dict(both.classification.state_dict())
    supcon.load_state_dict(both.supcon.state_dict())
    expected = (1 - weight) * classification(FEATURES, LABEL_ID) + weight * supcon(FEATURES, LABEL_ID)
    assert both(FEATURES, LABEL_ID).item() == pytest.approx(expected.item(), abs=1e-12)
    assert both.collapse_value == pytest.approx((1 - weight) * classification.collapse_value + weight * supcon.collapse_value)


def test_its_head_starts_as_classifications_and_both_readouts_are_there() -> None:
    both = build(CrossEntropySupConConfig(projection=5))
    assert torch.equal(both.classification.head.weight, build(ClassificationConfig()).head.weight)
    assert {name: tuple(values.shape) for name, values in both.read_out(FEATURES).items()} == {
        "logits": (12, 4), "projection": (12, 5)}


def test_it_takes_what_classification_takes_against_classes_of_different_sizes() -> None:
    counts = torch.tensor([40, 10, 5, 5]).numpy()
    made = {weight: objectives.build(CrossEntropySupConConfig(weight=weight, logit_adjustment=1.0), 6, 4, 12, seed=0,
                                     class_counts=counts).double() for weight in (0.0, 0.5)}
    plain = objectives.build(ClassificationConfig(logit_adjustment=1.0), 6, 4, 12, seed=0, class_counts=counts).double()
    assert torch.equal(made[0.0](FEATURES, LABEL_ID), plain(FEATURES, LABEL_ID))
    expected = (plain(FEATURES, LABEL_ID) + build(SupConConfig())(FEATURES, LABEL_ID)) / 2
    assert made[0.5](FEATURES, LABEL_ID).item() == pytest.approx(expected.item(), abs=1e-12)
    with pytest.raises(ConfigError, match="logit_adjustment must be 0 where class_weights is 'balanced'"):
        configuration.parse({"name": "x", "dataset": {"source": "digits"}, "objectives": [
            {**BOTH, "class_weights": "balanced", "logit_adjustment": 1}]})


@pytest.mark.parametrize("weight, alone", [(0, CLASSIFICATION), (1, SUPCON)])
@pytest.mark.parametrize("own, training", [({}, {}), ({}, {"views": 2}), ({}, {"micro_batch": 3}),
                                           ({}, {"optimizer": "sgd"}), ({"order": "shuffled"}, {})])
def test_at_either_end_it_trains_to_the_same_bits(weight: int, alone: dict, own: dict, training: dict, tmp_path: Path) -> None:
    """Weights, heads, optimizer, losses and records, in the checkpoint under the same names."""
    found = []
    for number, objective in enumerate(({**BOTH, "weight": weight}, alone)):
        trainer = make_trainer(run_config(objectives=[{**objective, **own}], **training))
        records = without_time(train(trainer))
        path = tmp_path / f"{number}.safetensors"
        checkpoint.save(path, trainer.state()[0], {})
        found.append((records, checkpoint.load(path)[1]["sha256"]))
    assert found[0] == found[1]
    between = make_trainer(run_config(objectives=[{**BOTH, "weight": 0.5, **own}], **training))
    assert without_time(train(between)) != found[1][0]


@pytest.mark.parametrize("weight, alone", [(0, "classification"), (1, "supcon")])
def test_by_its_name_and_weight_alone_it_is_what_stands_at_that_end_by_name_alone(weight: int, alone: str) -> None:
    found = [without_time(train(make_trainer(run_config(objectives=[objective]))))
             for objective in ({"name": "cross_entropy_supcon", "weight": weight}, {"name": alone})]
    assert found[0] == found[1]


def test_only_with_a_share_of_supcon_it_draws_pairs() -> None:
    """As classification, it takes any shuffled batch and no leaky pool at 0."""
    assert [CrossEntropySupConConfig(weight=weight).draws_pairs for weight in (0, 1e-6, 1)] == [False, True, True]
    one_class = torch.zeros(12, dtype=torch.int64)
    assert build(CrossEntropySupConConfig(weight=0))(FEATURES, one_class) > 0
    with pytest.raises(ValueError, match="a batch must hold at least two classes, got 1"):
        build(CrossEntropySupConConfig(weight=0.5))(FEATURES, one_class)
    for weight, leaks in ((0, ()), (0.5, (configuration.LEAKY_SAMPLER,))):
        assert run_config(objectives=[{**BOTH, "weight": weight}], pool="all").leaks == leaks
