"""Losses against slow loops written from each paper's formula, on small random batches."""

import math
from itertools import product

import pytest
import torch

from core.config import ClassificationConfig, SupConConfig, TripletConfig, UntrainedConfig
from core.training import objectives

TRAINED = [ClassificationConfig(), ClassificationConfig(label_smoothing=0.1), TripletConfig(mining="random"),
           TripletConfig(mining="semi_hard"), TripletConfig(mining="batch_hard"), SupConConfig(),
           SupConConfig(projection=4)]
EVEN = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
UNEVEN = [0, 0, 1, 1, 1, 1, 2, 3, 3]  # class 2 stands there once: no positive for it


def batch(labels: list[int], seed: int, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(labels), width, generator=generator), torch.tensor(labels)


def loss_of(config: ClassificationConfig | TripletConfig | SupConConfig, features: torch.Tensor,
            label_id: torch.Tensor, seed: int = 0) -> torch.Tensor:
    objective = objectives.build(config, features.shape[1], int(label_id.max()) + 1, len(features), seed)
    return objective(features, label_id)


def unit(vectors: list[list[float]]) -> list[list[float]]:
    return [[value / math.sqrt(sum(v * v for v in vector)) for value in vector] for vector in vectors]


def distances(features: torch.Tensor, normalize: bool) -> list[list[float]]:
    vectors = unit(features.tolist()) if normalize else features.tolist()
    return [[math.dist(one, other) for other in vectors] for one in vectors]


def triplets(labels: list[int]) -> list[tuple[int, int, int]]:
    places = range(len(labels))
    return [(a, p, n) for a, p, n in product(places, places, places)
            if a != p and labels[a] == labels[p] and labels[a] != labels[n]]


def mean_of_positive(values: list[float]) -> float:
    positive = [value for value in values if value > 0]
    assert positive, "a batch with nothing to learn proves nothing"
    return sum(positive) / len(positive)


def slow_semi_hard(features: torch.Tensor, labels: list[int], margin: float, normalize: bool) -> float:
    """Schroff et al. (2015), section 3.2: negatives farther than the positive, but within the margin."""
    d = distances(features, normalize)
    return mean_of_positive([margin + d[a][p] - d[a][n] for a, p, n in triplets(labels)
                             if d[a][p] < d[a][n] < d[a][p] + margin])


def slow_batch_hard(features: torch.Tensor, labels: list[int], margin: float, normalize: bool) -> float:
    """Hermans et al. (2017), equation 5: each anchor's farthest positive and nearest negative."""
    d = distances(features, normalize)
    values = []
    for a, label in enumerate(labels):
        positives = [d[a][p] for p in range(len(labels)) if labels[p] == label and p != a]
        negatives = [d[a][n] for n in range(len(labels)) if labels[n] != label]
        if positives and negatives:
            values.append(margin + max(positives) - min(negatives))
    return mean_of_positive(values)


def slow_supcon(features: torch.Tensor, labels: list[int], temperature: float) -> float:
    """Khosla et al. (2020), equation 2 (L_out), averaged over the anchors that have a positive."""
    z = unit(features.tolist())
    similarity = [[sum(a * b for a, b in zip(one, other)) / temperature for other in z] for one in z]
    values = []
    for i, label in enumerate(labels):
        others = [a for a in range(len(labels)) if a != i]
        positives = [p for p in others if labels[p] == label]
        if positives:
            denominator = sum(math.exp(similarity[i][a]) for a in others)
            values.append(-sum(math.log(math.exp(similarity[i][p]) / denominator) for p in positives) / len(positives))
    return sum(values) / len(values)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("labels", [EVEN, UNEVEN])
def test_classification_is_cross_entropy_with_label_smoothing(smoothing: float, labels: list[int]) -> None:
    """Szegedy et al. (2016), arXiv:1512.00567, section 7: (1 − ε) on the class, ε spread over all K."""
    features, label_id = batch(labels, seed=1)
    objective = objectives.build(ClassificationConfig(label_smoothing=smoothing), 6, 4, len(labels), seed=0)
    weight, bias = objective.head.weight.tolist(), objective.head.bias.tolist()
    total = 0.0
    for vector, label in zip(features.tolist(), labels):
        logits = [sum(w * v for w, v in zip(row, vector)) + b for row, b in zip(weight, bias)]
        log_share = [value - math.log(sum(math.exp(other) for other in logits)) for value in logits]
        target = [smoothing / 4 + (1 - smoothing) * (k == label) for k in range(4)]
        total -= sum(t * s for t, s in zip(target, log_share))
    assert objective(features, label_id).item() == pytest.approx(total / len(labels), abs=1e-5)


@pytest.mark.parametrize("labels", [EVEN, UNEVEN])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("margin", [0.2, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_semi_hard_triplets(labels: list[int], normalize: bool, margin: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    config = TripletConfig(mining="semi_hard", margin=margin, normalize=normalize)
    assert loss_of(config, features, label_id).item() == pytest.approx(
        slow_semi_hard(features, labels, margin, normalize), abs=1e-5)


@pytest.mark.parametrize("labels", [EVEN, UNEVEN])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("margin", [0.2, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_batch_hard_triplets(labels: list[int], normalize: bool, margin: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    config = TripletConfig(mining="batch_hard", margin=margin, normalize=normalize)
    assert loss_of(config, features, label_id).item() == pytest.approx(
        slow_batch_hard(features, labels, margin, normalize), abs=1e-5)


def test_batch_of_sixty_is_computed_as_exactly_as_a_small_one() -> None:
    """From 26 vectors on, torch.cdist takes another way, through a matrix product."""
    labels = [place // 12 for place in range(60)]
    features, label_id = batch(labels, seed=5, width=64)
    assert loss_of(TripletConfig(mining="batch_hard"), features, label_id).item() == pytest.approx(
        slow_batch_hard(features, labels, 0.2, True), abs=1e-5)
    assert loss_of(TripletConfig(mining="semi_hard"), features, label_id).item() == pytest.approx(
        slow_semi_hard(features, labels, 0.2, True), abs=1e-5)
    assert loss_of(SupConConfig(), features, label_id).item() == pytest.approx(
        slow_supcon(features, labels, 0.1), abs=1e-5)


def test_random_triplets_by_hand() -> None:
    """Anchors 0 and 1 have one positive and one negative to choose from; 2 has no positive. √(3² + 4²) = 5."""
    features, label_id = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    config = TripletConfig(mining="random", margin=2.0, normalize=False)
    expected = ((2 + 5 - 1) + (2 + 5 - math.sqrt(18))) / 2
    assert loss_of(config, features, label_id).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_random_triplets_are_a_fair_draw_of_all(normalize: bool) -> None:
    """With a margin beyond every distance each triplet counts, so draws average to the mean over all triplets."""
    features, label_id = batch(EVEN, seed=7)
    d = distances(features, normalize)
    everyone = [50 + d[a][p] - d[a][n] for a, p, n in triplets(EVEN)]
    objective = objectives.build(TripletConfig(mining="random", margin=50.0, normalize=normalize), 6, 4, 12, seed=0)
    torch.manual_seed(0)
    drawn = torch.stack([objective(features, label_id) for _ in range(1000)])
    assert drawn.mean().item() == pytest.approx(sum(everyone) / len(everyone), abs=0.03)
    assert drawn.std() > 0.05


def test_random_triplets_follow_from_the_torch_seed() -> None:
    features, label_id = batch(EVEN, seed=7)
    objective = objectives.build(TripletConfig(mining="random", margin=50.0), 6, 4, 12, seed=0)
    torch.manual_seed(3)
    first = objective(features, label_id)
    second = objective(features, label_id)
    torch.manual_seed(3)
    assert torch.equal(first, objective(features, label_id))
    assert not torch.equal(first, second)


def test_triplet_loss_is_zero_when_every_negative_is_beyond_the_margin() -> None:
    features = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0], [9.1, 0.0]])
    for mining in ("random", "semi_hard", "batch_hard"):
        config = TripletConfig(mining=mining, margin=1.0, normalize=False)
        assert loss_of(config, features, torch.tensor([0, 0, 1, 1])).item() == 0


@pytest.mark.parametrize("labels", [EVEN, UNEVEN])
@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_supcon(labels: list[int], temperature: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    assert loss_of(SupConConfig(temperature=temperature), features, label_id).item() == pytest.approx(
        slow_supcon(features, labels, temperature), abs=1e-5)


def test_supcon_with_a_projection_is_the_loss_of_what_the_two_layers_make() -> None:
    features, label_id = batch(EVEN, seed=2)
    objective = objectives.build(SupConConfig(projection=4), 6, 4, 12, seed=0)
    first, second = objective.projection[0], objective.projection[2]
    hidden = (features @ first.weight.T + first.bias).clamp(min=0)
    projected = (hidden @ second.weight.T + second.bias).detach()
    assert projected.shape == (12, 4)
    assert objective(features, label_id).item() == pytest.approx(slow_supcon(projected, EVEN, 0.1), abs=1e-5)


def test_supcon_without_a_projection_has_nothing_to_train() -> None:
    assert list(objectives.build(SupConConfig(), 6, 4, 12, seed=0).parameters()) == []


@pytest.mark.parametrize("config", [TripletConfig(mining="semi_hard"), TripletConfig(mining="batch_hard"),
                                    SupConConfig()])
def test_scale_and_order_do_not_matter_on_the_sphere(config: TripletConfig | SupConConfig) -> None:
    features, label_id = batch(UNEVEN, seed=3)
    loss = loss_of(config, features, label_id).item()
    order = torch.randperm(len(UNEVEN), generator=torch.Generator().manual_seed(0))
    assert loss > 0
    assert loss_of(config, 7.5 * features, label_id).item() == pytest.approx(loss, abs=1e-5)
    assert loss_of(config, features[order], label_id[order]).item() == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("mining", ["semi_hard", "batch_hard"])
def test_scale_matters_for_triplets_off_the_sphere(mining: str) -> None:
    features, label_id = batch(EVEN, seed=3)
    config = TripletConfig(mining=mining, normalize=False)
    assert abs(loss_of(config, 3 * features, label_id).item() - loss_of(config, features, label_id).item()) > 1e-3


@pytest.mark.parametrize("mining", ["random", "semi_hard", "batch_hard"])
@pytest.mark.parametrize("normalize", [True, False])
def test_equal_features_give_the_margin(mining: str, normalize: bool) -> None:
    config = TripletConfig(mining=mining, margin=0.3, normalize=normalize)
    objective = objectives.build(config, 8, 4, 12, seed=0)
    assert objective.collapse_value == 0.3
    assert objective(torch.ones(12, 8), torch.tensor(EVEN)).item() == pytest.approx(0.3, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 2.0])
def test_equal_features_give_the_log_of_the_others_for_supcon(temperature: float) -> None:
    objective = objectives.build(SupConConfig(temperature=temperature), 8, 4, 12, seed=0)
    assert objective.collapse_value == pytest.approx(2.397895, abs=1e-6)  # ln 11
    assert objective(torch.ones(12, 8), torch.tensor(EVEN)).item() == pytest.approx(objective.collapse_value, abs=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_equal_logits_give_the_log_of_the_classes_for_classification(smoothing: float) -> None:
    objective = objectives.build(ClassificationConfig(label_smoothing=smoothing), 8, 4, 12, seed=0)
    torch.nn.init.zeros_(objective.head.bias)
    assert objective.collapse_value == pytest.approx(1.386294, abs=1e-6)  # ln 4
    assert objective(torch.zeros(12, 8), torch.tensor(EVEN)).item() == pytest.approx(objective.collapse_value, abs=1e-5)


@pytest.mark.parametrize("config", TRAINED)
def test_loss_is_a_scalar_whose_gradient_reaches_every_image_and_parameter(
        config: ClassificationConfig | TripletConfig | SupConConfig) -> None:
    features, label_id = batch(EVEN, seed=11)
    features.requires_grad_()
    objective = objectives.build(config, 6, 4, 12, seed=0)
    loss = objective(features, label_id)
    assert loss.shape == ()
    loss.backward()
    assert torch.isfinite(features.grad).all()
    assert (features.grad.norm(dim=1) > 0).all()
    assert all(parameter.grad.norm() > 0 for parameter in objective.parameters())


@pytest.mark.parametrize("config", TRAINED)
def test_gradient_step_on_the_features_lowers_the_loss(
        config: ClassificationConfig | TripletConfig | SupConConfig) -> None:
    features, label_id = batch(EVEN, seed=12)
    features.requires_grad_()
    objective = objectives.build(config, 6, 4, 12, seed=0)
    torch.manual_seed(0)
    before = objective(features, label_id)
    before.backward()
    torch.manual_seed(0)
    assert objective((features - 0.01 * features.grad).detach(), label_id) < before


@pytest.mark.parametrize("config", TRAINED)
def test_batch_of_one_class_is_refused(config: ClassificationConfig | TripletConfig | SupConConfig) -> None:
    objective = objectives.build(config, 6, 4, 6, seed=0)
    with pytest.raises(ValueError, match="a batch must hold at least two classes, got 1"):
        objective(torch.randn(6, 6), torch.full((6,), 2))


@pytest.mark.parametrize("config", TRAINED)
def test_batch_with_no_class_twice_is_refused(config: ClassificationConfig | TripletConfig | SupConConfig) -> None:
    objective = objectives.build(config, 6, 4, 4, seed=0)
    with pytest.raises(ValueError, match="must hold some class at least twice, got 4 samples of as many classes"):
        objective(torch.randn(4, 6), torch.arange(4))


@pytest.mark.parametrize("config", [ClassificationConfig(), SupConConfig(projection=4)])
def test_same_seed_same_head_and_another_seed_another(config: ClassificationConfig | SupConConfig) -> None:
    first, again, other = (torch.cat([parameter.flatten() for parameter in
                                      objectives.build(config, 6, 4, 12, seed).parameters()]) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_untrained_is_no_objective_to_build() -> None:
    with pytest.raises(ValueError, match="objective must be one that trains, got 'untrained'"):
        objectives.build(UntrainedConfig(), 6, 4, 12, seed=0)
