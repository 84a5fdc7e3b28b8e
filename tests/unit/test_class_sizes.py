"""What cross-entropy makes up for where classes differ in size: class weights and logit adjustment, by value and by effect."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from core import config
from core.analysis import fairness
from core.config.objectives import ArcFaceConfig, ClassificationConfig, NormalizedSoftmaxConfig
from core.errors import ConfigError, InputError
from core.results import protocol
from core.training import objectives

COUNTS = np.array([100, 20, 7, 3])
LABELS = [0, 0, 0, 1, 1, 2, 3, 3]


def built(counts: np.ndarray | None = COUNTS, width: int = 6, **parameters: object) -> objectives.Objective:
    return objectives.build(ClassificationConfig(**parameters), width, 4 if counts is None else len(counts), 12, 0,
                            class_counts=counts).double()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(len(LABELS), 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64), torch.tensor(LABELS)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_are_scikit_learns_balanced_in_pytorchs_own_loss(smoothing: float) -> None:
    features, label_id = batch()
    objective = built(class_weights="balanced", label_smoothing=smoothing)
    weight = compute_class_weight("balanced", classes=np.arange(4), y=np.repeat(np.arange(4), COUNTS))
    loss = nn.CrossEntropyLoss(weight=torch.tensor(weight), label_smoothing=smoothing)
    found = objective(features, label_id).item()
    assert found == pytest.approx(loss(objective.head(features), label_id).item(), abs=1e-6)
    assert abs(found - built(label_smoothing=smoothing)(features, label_id).item()) > 0.05


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_logit_adjustment_is_numpys_from_the_papers_formula(tau: float) -> None:
    """Menon et al., 2021, equation 10: ln(1 + Σ_{k≠y} (π_k / π_y)^τ e^{f_k − f_y}), the mean over the batch."""
    features, label_id = batch()
    objective = built(logit_adjustment=tau)
    logits, prior = objective.head(features).detach().numpy(), COUNTS / COUNTS.sum()
    values = [np.log(1 + sum((prior[k] / prior[y]) ** tau * np.exp(row[k] - row[y]) for k in range(4) if k != y))
              for row, y in zip(logits, LABELS)]
    found = objective(features, label_id).item()
    assert found == pytest.approx(np.mean(values), abs=1e-6)
    assert abs(found - built()(features, label_id).item()) > 0.05
    assert torch.equal(objective.read_out(features)["logits"], objective.head(features)), "the readout is not adjusted"


PROXIES = [NormalizedSoftmaxConfig(temperature=0.5), ArcFaceConfig(margin=20, scale=3)]


def with_proxies(config_: NormalizedSoftmaxConfig | ArcFaceConfig, counts: np.ndarray = COUNTS,
                 **parameters: object) -> objectives.Objective:
    return objectives.build(config_.model_copy(update=parameters), 6, len(counts), 12, 0, class_counts=counts).double()


def logits_by_numpy(config_: NormalizedSoftmaxConfig | ArcFaceConfig, objective: objectives.Objective,
                    features: torch.Tensor) -> np.ndarray:
    """Scaled cosines to the proxies, ArcFace's own angle widened; shape (b, K)."""
    rows, proxies = features.numpy(), objective.proxies.W.detach().numpy()
    cosines = rows @ proxies / np.linalg.norm(rows, axis=1)[:, None] / np.linalg.norm(proxies, axis=0)
    if isinstance(config_, NormalizedSoftmaxConfig):
        return cosines / config_.temperature
    own = (np.arange(len(rows)), LABELS)
    angle = np.arccos(cosines[own])
    assert (angle < np.pi - np.radians(config_.margin)).all()
    cosines[own] = np.cos(angle + np.radians(config_.margin))
    return cosines * config_.scale


@pytest.mark.parametrize("config_", PROXIES, ids=lambda item: item.name)
@pytest.mark.parametrize("parameters", [{}, {"class_weights": "balanced"}, {"logit_adjustment": 1.0},
                                        {"logit_adjustment": 0.5}])
def test_proxies_weigh_and_adjust_as_the_formulas_say(config_: NormalizedSoftmaxConfig | ArcFaceConfig,
                                                      parameters: dict) -> None:
    """scikit-learn's balanced weights in the weighted mean of −ln softmax(z)_y; or Menon et al., 2021, equation 10."""
    features, label_id = batch()
    objective = with_proxies(config_, **parameters)
    logits = logits_by_numpy(config_, objective, features)
    logits = logits + parameters.get("logit_adjustment", 0.0) * np.log(COUNTS / COUNTS.sum())
    values = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(LABELS)), LABELS]
    weight = (compute_class_weight("balanced", classes=np.arange(4), y=np.repeat(np.arange(4), COUNTS))[LABELS]
              if "class_weights" in parameters else np.ones(len(LABELS)))
    found = objective(features, label_id).item()
    assert found == pytest.approx((weight * values).sum() / weight.sum(), abs=1e-6)
    if parameters:
        assert abs(found - with_proxies(config_)(features, label_id).item()) > 0.005
    assert set(objective.state_dict()) == {"proxies.W"}, "a checkpoint stays as it was"


@pytest.mark.parametrize("config_", PROXIES, ids=lambda item: item.name)
def test_adjusted_proxies_have_their_own_collapse_value(config_: NormalizedSoftmaxConfig | ArcFaceConfig) -> None:
    """The loss where embeddings and proxies are one vector, in batches in which classes are as frequent as they are."""
    objective = with_proxies(config_, logit_adjustment=1.0)
    with torch.no_grad():
        objective.proxies.W.fill_(1.0)
    label_id = torch.tensor(np.repeat(np.arange(4), COUNTS))
    loss = objective(torch.ones(len(label_id), 6, dtype=torch.float64), label_id).item()
    assert loss == pytest.approx(objective.collapse_value, abs=1e-4)
    assert abs(loss - with_proxies(config_).collapse_value) > 0.3
    even = with_proxies(config_, np.full(4, 9), logit_adjustment=1.0).collapse_value
    assert even == pytest.approx(with_proxies(config_).collapse_value, abs=1e-12)


def test_of_equally_large_classes_both_change_nothing() -> None:
    features, label_id = batch()
    plain = built()(features, label_id).item()
    even = np.full(4, 15)
    for parameters in ({"class_weights": "balanced"}, {"logit_adjustment": 1.0}):
        assert built(even, **parameters)(features, label_id).item() == pytest.approx(plain, abs=1e-6)
        for config_ in PROXIES:
            assert with_proxies(config_, even, **parameters)(features, label_id).item() == pytest.approx(
                with_proxies(config_)(features, label_id).item(), abs=1e-6)


def test_a_checkpoint_of_the_head_stays_as_it_was_and_wrong_counts_are_refused() -> None:
    for parameters in ({}, {"class_weights": "balanced"}, {"logit_adjustment": 1.0}):
        assert set(built(**parameters).state_dict()) == {"head.weight", "head.bias"}
    built(None)
    for counts in (None, COUNTS[:3], np.array([5, 5, 5, 0])):
        with pytest.raises(InputError, match="class_counts must be how many training images each of 4 classes has, got"):
            objectives.build(ClassificationConfig(logit_adjustment=1), 6, 4, 12, 0, class_counts=counts)


def test_both_at_once_are_refused_and_either_is_under_test() -> None:
    def parse(**parameters: object) -> config.ExperimentConfig:
        return config.parse({"name": "x", "dataset": {"source": "digits"}, "objectives": [
            {"name": "classification", **parameters}]})

    with pytest.raises(ConfigError, match=r"logit_adjustment must be 0 where class_weights is 'balanced', .*; got 1"):
        parse(class_weights="balanced", logit_adjustment=1)
    plain, *others = (protocol.of_config(parse(**parameters).runs()[1]) for parameters in (
        {}, {"class_weights": "balanced"}, {"logit_adjustment": 1}))
    for other in others:
        found, = fairness.differences(plain, other)
        assert found.kind == "under test" and found.field in ("objective.class_weights", "objective.logit_adjustment")


def long_tailed_digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    """Pixels of 90, 60, …, 3 training digits a class and of the others to test on, as many of each class."""
    pixels, label = load_digits(return_X_y=True)
    counts = np.array([90, 60, 40, 27, 18, 12, 8, 5, 4, 3])
    generator = np.random.default_rng(0)
    train, test = [], []
    for name, count in enumerate(counts):
        rows = generator.permutation(np.flatnonzero(label == name))
        train.append(rows[:count])
        test.append(rows[90:160])
    train, test = np.concatenate(train), np.concatenate(test)
    scaled = torch.tensor(pixels / 16, dtype=torch.float32)
    return scaled[train], torch.tensor(label[train]), scaled[test], label[test], counts


def test_on_long_tailed_digits_either_finds_more_of_the_rare_classes() -> None:
    """A linear head on pixels in plain passes over all images, in which classes are as frequent as they are."""
    features, label_id, queries, truth, counts = long_tailed_digits()
    balanced, rare = {}, {}
    for name, parameters in (("plain", {}), ("weights", {"class_weights": "balanced"}), ("adjusted", {"logit_adjustment": 1})):
        objective = objectives.build(ClassificationConfig(**parameters), 64, 10, 12, 0, class_counts=counts)
        optimizer = torch.optim.AdamW(objective.parameters(), lr=0.02, weight_decay=0.01)
        for _ in range(150):
            optimizer.zero_grad()
            objective(features, label_id).backward()
            optimizer.step()
        with torch.inference_mode():
            said = objective.read_out(queries)["logits"].argmax(dim=1).numpy()
        balanced[name] = balanced_accuracy_score(truth, said)
        rare[name] = (said == truth)[truth >= 7].mean()
    for name in ("weights", "adjusted"):
        assert balanced[name] > balanced["plain"] + 0.01, balanced
        assert rare[name] > rare["plain"] + 0.05, rare
