"""Losses against slow loops written from each paper's formula, on small random batches."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import ProxyAnchorLoss

from core.config import BatchConfig
from core.config.objectives import (
    OBJECTIVES,
    ArcFaceConfig,
    CircleConfig,
    ClassificationConfig,
    CrossBatchMemoryConfig,
    CrossEntropySupConConfig,
    MultiSimilarityConfig,
    NormalizedSoftmaxConfig,
    ObjectiveConfig,
    ProxyAnchorConfig,
    SincereConfig,
    SubcenterArcFaceConfig,
    SupConConfig,
    TripletConfig,
    UntrainedConfig,
)
from core.training import objectives
from tests.slow_losses import (
    distances,
    dot,
    mean_of_positive,
    slow_arcface,
    slow_batch_hard,
    slow_circle,
    slow_multi_similarity,
    slow_proxy_anchor,
    slow_semi_hard,
    slow_sincere,
    slow_subcenter_arcface,
    slow_supcon,
    triplets,
    unit,
)

TRAINED = [ClassificationConfig(), ClassificationConfig(label_smoothing=0.1), NormalizedSoftmaxConfig(), ArcFaceConfig(),
           TripletConfig(mining="random"), TripletConfig(mining="semi_hard"), TripletConfig(mining="batch_hard"),
           TripletConfig(mining="semi_hard", margin=1.0, p=1.0, average="all"), SupConConfig(), SupConConfig(projection=4),
           MultiSimilarityConfig(), ProxyAnchorConfig(), CrossEntropySupConConfig(weight=0.0),
           CrossEntropySupConConfig(weight=0.3, label_smoothing=0.1), CrossEntropySupConConfig(projection=4),
           CrossEntropySupConConfig(weight=1.0), SincereConfig(), SincereConfig(projection=4), SubcenterArcFaceConfig(),
           CircleConfig(), CrossBatchMemoryConfig(), CrossBatchMemoryConfig(loss="supcon", memory=12)]
EVEN = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
UNEVEN = [0, 0, 1, 1, 1, 1, 2, 3, 3]  # class 2 stands there once: no positive for it
ABSENT = [0, 0, 0, 3, 3, 1, 1, 1, 1, 1]  # class 2 has a proxy and no sample
THIRDS = [0, 1, 2, 3, 0, 1, 2, 3, 1, 2, 3, 0]  # anchors, their positives, their negatives
EXACT = 1e-9  # in float64


def batch(labels: list[int], seed: int, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(labels), width, generator=generator, dtype=torch.float64), torch.tensor(labels)


def build(config: ObjectiveConfig, width: int = 6, n_classes: int = 4, batch_size: int = 12, seed: int = 0,
          **batch: BatchConfig | int) -> objectives.Objective:
    return objectives.build(config, width, n_classes, batch_size, seed, **batch).double()


def loss_of(config: ObjectiveConfig, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
    return build(config, features.shape[1])(features, label_id)


def proxies_of(objective: objectives.Objective) -> list[list[float]]:
    """One proxy a class; the library keeps some in rows and some in columns."""
    proxies, = objective.parameters()
    return unit((proxies if isinstance(objective.proxies, ProxyAnchorLoss) else proxies.T).tolist())


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("labels", [EVEN, UNEVEN, ABSENT])
def test_classification_is_cross_entropy_with_label_smoothing(smoothing: float, labels: list[int]) -> None:
    """Szegedy et al. (2016), arXiv:1512.00567, section 7: (1 − ε) on the class, ε spread over all K."""
    features, label_id = batch(labels, seed=1)
    objective = build(ClassificationConfig(label_smoothing=smoothing))
    weight, bias = objective.head.weight.tolist(), objective.head.bias.tolist()
    total = 0.0
    for vector, label in zip(features.tolist(), labels):
        logits = [dot(row, vector) + b for row, b in zip(weight, bias)]
        log_share = [value - math.log(sum(math.exp(other) for other in logits)) for value in logits]
        target = [smoothing / 4 + (1 - smoothing) * (k == label) for k in range(4)]
        total -= sum(t * s for t, s in zip(target, log_share))
    assert objective(features, label_id).item() == pytest.approx(total / len(labels), abs=EXACT)


@pytest.mark.parametrize("labels", [EVEN, UNEVEN, ABSENT])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_normalized_softmax(labels: list[int], temperature: float, seed: int) -> None:
    """Zhai & Wu (2019), section 3.1: softmax over the cosines to the classes' weights."""
    features, label_id = batch(labels, seed)
    objective = build(NormalizedSoftmaxConfig(temperature=temperature))
    total = 0.0
    for x, label in zip(unit(features.tolist()), labels):
        shares = [math.exp(dot(x, proxy) / temperature) for proxy in proxies_of(objective)]
        total -= math.log(shares[label] / sum(shares))
    assert objective(features, label_id).item() == pytest.approx(total / len(labels), abs=EXACT)


@pytest.mark.parametrize("labels", [EVEN, UNEVEN, ABSENT])
@pytest.mark.parametrize("margin, scale", [(28.6, 64.0), (60.0, 10.0), (0.0, 30.0), (90.0, 1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_arcface(labels: list[int], margin: float, scale: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    objective = build(ArcFaceConfig(margin=margin, scale=scale))
    expected, n_beyond = slow_arcface(features, labels, proxies_of(objective), margin, scale)
    assert objective(features, label_id).item() == pytest.approx(expected, abs=1e-7)
    assert n_beyond < len(labels)
    assert n_beyond > 0 or margin < 90  # the straight line was tried, too


@pytest.mark.parametrize("labels", [EVEN, UNEVEN])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("margin, p", [(0.2, 2.0), (1.0, 2.0), (0.5, 1.0), (0.5, 3.0)])
@pytest.mark.parametrize("seed", range(4))
def test_semi_hard_triplets(labels: list[int], normalize: bool, margin: float, p: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    config = TripletConfig(mining="semi_hard", margin=margin, normalize=normalize, p=p)
    assert loss_of(config, features, label_id).item() == pytest.approx(
        slow_semi_hard(features, labels, margin, normalize, p), abs=EXACT)


@pytest.mark.parametrize("labels", [EVEN, UNEVEN])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("margin, p", [(0.2, 2.0), (1.0, 2.0), (0.5, 1.0), (0.5, 3.0)])
@pytest.mark.parametrize("seed", range(4))
def test_batch_hard_triplets(labels: list[int], normalize: bool, margin: float, p: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    values = slow_batch_hard(features, labels, margin, normalize, p)
    for average, expected in (("active", mean_of_positive(values)), ("all", sum(values) / len(values))):
        config = TripletConfig(mining="batch_hard", margin=margin, normalize=normalize, p=p, average=average)
        assert loss_of(config, features, label_id).item() == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("margin, p", [(0.2, 2.0), (1.0, 2.0), (1.0, 1.0), (1.0, 3.0)])
def test_drawn_triplets_are_anchors_then_positives_then_negatives(normalize: bool, margin: float, p: float) -> None:
    features, label_id = batch(THIRDS, seed=4)
    d = distances(features, normalize, p)
    values = [max(0, margin + d[a][a + 4] - d[a][a + 8]) for a in range(4)]
    assert min(values) == 0 or margin == 1
    for average, expected in (("active", mean_of_positive(values)), ("all", sum(values) / 4)):
        config = TripletConfig(mining="drawn", margin=margin, normalize=normalize, p=p, average=average)
        assert loss_of(config, features, label_id).item() == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_the_studys_triplet_is_pytorchs_own_averaged_over_all(p: float) -> None:
    features, label_id = batch(THIRDS, seed=5)
    config = TripletConfig(mining="drawn", margin=1.0, normalize=False, p=p, average="all")
    expected = torch.nn.TripletMarginLoss(margin=1.0, p=p, eps=0)(*features.chunk(3))
    assert loss_of(config, features, label_id).item() == pytest.approx(expected.item(), abs=EXACT)


def test_batch_of_sixty_is_computed_as_exactly_as_a_small_one() -> None:
    """In float32, as it trains. From 26 vectors on, torch.cdist takes another way, through a matrix product."""
    labels = [place // 12 for place in range(60)]
    features, label_id = batch(labels, seed=5, width=64)
    hard = mean_of_positive(slow_batch_hard(features, labels, 0.2, True))
    for config, expected in ((TripletConfig(mining="batch_hard"), hard),
                             (TripletConfig(mining="semi_hard"), slow_semi_hard(features, labels, 0.2, True)),
                             (SupConConfig(), slow_supcon(features, labels, 0.1)),
                             (SincereConfig(), slow_sincere(features, labels, 0.1)),
                             (CircleConfig(), slow_circle(features, labels, 0.4, 80)),
                             (MultiSimilarityConfig(), slow_multi_similarity(features, labels, 2, 50, 0.5, 0.1))):
        objective = objectives.build(config, 64, 5, 60, seed=0)
        assert objective(features.float(), label_id).item() == pytest.approx(expected, abs=1e-5)


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
    objective = build(TripletConfig(mining="random", margin=50.0, normalize=normalize))
    torch.manual_seed(0)
    drawn = torch.stack([objective(features, label_id) for _ in range(1000)])
    assert drawn.mean().item() == pytest.approx(sum(everyone) / len(everyone), abs=0.03)
    assert drawn.std() > 0.05


def test_random_triplets_follow_from_the_torch_seed() -> None:
    features, label_id = batch(EVEN, seed=7)
    objective = build(TripletConfig(mining="random", margin=50.0))
    torch.manual_seed(3)
    first = objective(features, label_id)
    second = objective(features, label_id)
    torch.manual_seed(3)
    assert torch.equal(first, objective(features, label_id))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("mining", ["random", "semi_hard", "batch_hard"])
@pytest.mark.parametrize("average", ["active", "all"])
def test_triplet_loss_is_zero_when_every_negative_is_beyond_the_margin(mining: str, average: str) -> None:
    features = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0], [9.1, 0.0]], requires_grad=True)
    objective = build(TripletConfig(mining=mining, margin=1.0, normalize=False, average=average), width=2)
    loss = objective(features, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == 0
    assert not features.grad.any()
    assert objective.active == 0


@pytest.mark.parametrize("mining", ["random", "semi_hard", "batch_hard"])
def test_active_is_the_share_of_triplets_that_teach(mining: str) -> None:
    """Of all triplets with semi-hard mining, of an anchor's one otherwise."""
    features, label_id = batch(UNEVEN, seed=6)
    objective = build(TripletConfig(mining=mining, margin=0.1))
    assert objective.active is None
    objective(features, label_id)
    d = distances(features, normalize=True)
    everyone = [0.1 + d[a][p] - d[a][n] > 0 for a, p, n in triplets(UNEVEN)]
    hard = [value > 0 for value in slow_batch_hard(features, UNEVEN, 0.1, True)]
    if mining == "random":
        assert objective.active * 8 == pytest.approx(round(objective.active * 8), abs=1e-5)  # 8 anchors have a positive
    else:
        expected = everyone if mining == "semi_hard" else hard
        assert objective.active == pytest.approx(sum(expected) / len(expected), abs=1e-6)
    assert 0 < objective.active < 1 or mining == "batch_hard"


@pytest.mark.parametrize("config", [config for config in TRAINED if not isinstance(config, TripletConfig)])
def test_losses_without_triplets_have_no_share_of_them(config: ObjectiveConfig) -> None:
    objective = build(config)
    objective(*batch(EVEN, seed=0))
    assert objective.active is None


@pytest.mark.parametrize("labels", [EVEN, UNEVEN, ABSENT])
@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_supcon(labels: list[int], temperature: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    assert loss_of(SupConConfig(temperature=temperature), features, label_id).item() == pytest.approx(
        slow_supcon(features, labels, temperature), abs=EXACT)


def test_supcon_averages_over_anchors_that_have_learnt_all_too() -> None:
    """In float32 the first two anchors' loss, 2 e^−20, is rounded to 0; the average is still over all four."""
    features, label_id = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]]), torch.tensor([0, 0, 1, 1])
    expected = slow_supcon(features, label_id.tolist(), 0.05)
    assert objectives.build(SupConConfig(temperature=0.05), 2, 2, 4, seed=0)(features, label_id).item() == pytest.approx(
        expected, rel=1e-5)


def test_supcon_with_a_projection_is_the_loss_of_what_the_two_layers_make() -> None:
    features, label_id = batch(EVEN, seed=2)
    objective = build(SupConConfig(projection=4))
    first, second = objective.projection[0], objective.projection[2]
    hidden = (features @ first.weight.T + first.bias).clamp(min=0)
    projected = (hidden @ second.weight.T + second.bias).detach()
    assert projected.shape == (12, 4)
    assert objective(features, label_id).item() == pytest.approx(slow_supcon(projected, EVEN, 0.1), abs=EXACT)


@pytest.mark.parametrize("labels", [EVEN, UNEVEN, ABSENT])
@pytest.mark.parametrize("alpha, beta, base, epsilon", [(2.0, 50.0, 0.5, 0.1), (5.0, 10.0, 1.0, 0.5), (1.0, 3.0, 0.0, 2.0)])
@pytest.mark.parametrize("seed", range(3))
def test_multi_similarity(labels: list[int], alpha: float, beta: float, base: float, epsilon: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    config = MultiSimilarityConfig(alpha=alpha, beta=beta, base=base, epsilon=epsilon)
    assert loss_of(config, features, label_id).item() == pytest.approx(
        slow_multi_similarity(features, labels, alpha, beta, base, epsilon), abs=EXACT)


def test_multi_similarity_of_a_single_pair_each_way_is_not_nothing() -> None:
    """On the circle at 0°, −36.9°, 41.4° and 59.6° only the first anchor has its positive, 0.8, near its nearest negative,
    0.75: the library alone would answer 0.0."""
    angles = torch.deg2rad(torch.tensor([0.0, -36.9, 41.4, 59.6], dtype=torch.float64))
    features, labels = torch.stack([angles.cos(), angles.sin()], dim=1), [0, 0, 1, 1]
    positive, negative = math.cos(math.radians(36.9)), math.cos(math.radians(41.4))
    by_hand = (math.log(1 + math.exp(-2 * (positive - 0.5))) / 2 + math.log(1 + math.exp(50 * (negative - 0.5))) / 50) / 4
    assert slow_multi_similarity(features, labels, 2, 50, 0.5, 0.1) == pytest.approx(by_hand, abs=1e-6)
    assert loss_of(MultiSimilarityConfig(), features, torch.tensor(labels)).item() == pytest.approx(by_hand, abs=1e-6)


def test_multi_similarity_is_zero_when_every_positive_is_nearer_than_every_negative() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]], requires_grad=True)
    loss = build(MultiSimilarityConfig(), width=2)(features, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == 0
    assert not features.grad.any()


@pytest.mark.parametrize("labels", [EVEN, UNEVEN, ABSENT])
@pytest.mark.parametrize("margin, alpha", [(0.1, 32.0), (0.0, 1.0), (0.8, 10.0)])
@pytest.mark.parametrize("seed", range(3))
def test_proxy_anchor(labels: list[int], margin: float, alpha: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    objective = build(ProxyAnchorConfig(margin=margin, alpha=alpha))
    assert objective(features, label_id).item() == pytest.approx(
        slow_proxy_anchor(features, labels, proxies_of(objective), margin, alpha), abs=EXACT)


@pytest.mark.parametrize("labels", [EVEN, UNEVEN, ABSENT])
@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_sincere(labels: list[int], temperature: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    assert loss_of(SincereConfig(temperature=temperature), features, label_id).item() == pytest.approx(
        slow_sincere(features, labels, temperature), abs=EXACT)


def test_sincere_is_supcon_where_no_anchor_has_a_second_positive() -> None:
    features, label_id = batch([0, 0, 1, 1, 2, 2], seed=1)
    assert loss_of(SincereConfig(), features, label_id).item() == pytest.approx(
        loss_of(SupConConfig(), features, label_id).item(), abs=EXACT)


def test_positives_push_each_other_away_in_supcon_and_not_in_sincere() -> None:
    """Anchor along the first axis, a positive at 20° and one at 70°, each in a plane of its own, and two negatives at right
    angles to all: as the first positive turns away, its cosines to both others fall and no other changes."""
    axes, far = torch.eye(5, dtype=torch.float64), math.radians(70)
    slopes = []
    for config in (SupConConfig(), SincereConfig()):
        near = torch.tensor(math.radians(20), dtype=torch.float64, requires_grad=True)
        features = torch.stack([axes[0], near.cos() * axes[0] + near.sin() * axes[1],
                                math.cos(far) * axes[0] + math.sin(far) * axes[2], axes[3], axes[4]])
        objectives.build(config, 5, 2, 5, seed=0)(features, torch.tensor([0, 0, 0, 1, 1])).backward()
        slopes.append(near.grad.item())
    assert slopes[0] < 0 < slopes[1]


@pytest.mark.parametrize("labels", [EVEN, UNEVEN, ABSENT])
@pytest.mark.parametrize("margin, scale, sub_centers", [(28.6, 64.0, 3), (60.0, 10.0, 2), (0.0, 30.0, 5), (28.6, 64.0, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_subcenter_arcface(labels: list[int], margin: float, scale: float, sub_centers: int, seed: int) -> None:
    features, label_id = batch(labels, seed)
    objective = build(SubcenterArcFaceConfig(margin=margin, scale=scale, sub_centers=sub_centers))
    rows = proxies_of(objective)
    assert len(rows) == 4 * sub_centers
    centers = [rows[k * sub_centers:(k + 1) * sub_centers] for k in range(4)]
    assert objective(features, label_id).item() == pytest.approx(
        slow_subcenter_arcface(features, labels, centers, margin, scale), abs=1e-7)


def test_arcface_with_one_sub_centre_is_arcface() -> None:
    features, label_id = batch(UNEVEN, seed=2)
    assert torch.equal(loss_of(SubcenterArcFaceConfig(sub_centers=1), features, label_id),
                       loss_of(ArcFaceConfig(), features, label_id))


@pytest.mark.parametrize("labels", [EVEN, UNEVEN, ABSENT])
@pytest.mark.parametrize("margin, scale", [(0.4, 80.0), (0.25, 16.0), (0.0, 1.0), (1.0, 4.0)])
@pytest.mark.parametrize("seed", range(3))
def test_circle(labels: list[int], margin: float, scale: float, seed: int) -> None:
    features, label_id = batch(labels, seed)
    assert loss_of(CircleConfig(margin=margin, scale=scale), features, label_id).item() == pytest.approx(
        slow_circle(features, labels, margin, scale), abs=1e-7)


def test_circle_averages_over_anchors_that_have_learnt_all_too() -> None:
    """In float32 the first two anchors' loss, 2 e^−112, is rounded to 0; the average is still over all four."""
    features, label_id = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]]), torch.tensor([0, 0, 1, 1])
    assert objectives.build(CircleConfig(scale=700), 2, 2, 4, seed=0)(features, label_id).item() == pytest.approx(
        slow_circle(features, label_id.tolist(), 0.4, 700), rel=1e-5)


@pytest.mark.parametrize("config", [TripletConfig(), SupConConfig(), MultiSimilarityConfig(), SincereConfig(), CircleConfig(),
                                    CrossBatchMemoryConfig(), CrossEntropySupConConfig(weight=1.0)])
def test_losses_of_pairs_have_nothing_of_their_own_to_train(config: ObjectiveConfig) -> None:
    assert list(build(config).parameters()) == []


@pytest.mark.parametrize("config", [NormalizedSoftmaxConfig(), ArcFaceConfig(), SubcenterArcFaceConfig(), ProxyAnchorConfig()])
def test_proxies_have_a_learning_rate_of_their_own(config: ObjectiveConfig) -> None:
    assert build(config).lr_factor == (100 if config.name == "proxy_anchor" else 1)
    assert build(type(config)(lr_factor=7.0)).lr_factor == 7


@pytest.mark.parametrize("config", [ClassificationConfig(), TripletConfig(), SupConConfig(projection=4),
                                    MultiSimilarityConfig(), CrossEntropySupConConfig(projection=4)])
def test_what_is_no_proxy_learns_at_the_common_rate(config: ObjectiveConfig) -> None:
    assert build(config).lr_factor == 1


@pytest.mark.parametrize("width", [16, 1024])
@pytest.mark.parametrize("config", [NormalizedSoftmaxConfig(), ArcFaceConfig(), SubcenterArcFaceConfig()])
def test_proxies_start_at_about_length_one_at_any_width(config: ObjectiveConfig, width: int) -> None:
    proxies, = build(config, width, n_classes=50).parameters()
    assert proxies.norm(dim=0).mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("config", [NormalizedSoftmaxConfig(), ArcFaceConfig(), TripletConfig(mining="semi_hard"),
                                    TripletConfig(mining="batch_hard", p=1.0, average="all"), SupConConfig(),
                                    MultiSimilarityConfig(), ProxyAnchorConfig(), SincereConfig(), SubcenterArcFaceConfig(),
                                    CircleConfig(), CrossBatchMemoryConfig(), CrossBatchMemoryConfig(loss="supcon")])
def test_scale_and_order_do_not_matter_on_the_sphere(config: ObjectiveConfig) -> None:
    features, label_id = batch(UNEVEN, seed=3)
    loss = loss_of(config, features, label_id).item()
    order = torch.randperm(len(UNEVEN), generator=torch.Generator().manual_seed(0))
    assert loss > 0
    assert loss_of(config, 7.5 * features, label_id).item() == pytest.approx(loss, abs=1e-7)
    assert loss_of(config, features[order], label_id[order]).item() == pytest.approx(loss, abs=1e-7)


@pytest.mark.parametrize("mining", ["semi_hard", "batch_hard"])
def test_scale_matters_for_triplets_off_the_sphere(mining: str) -> None:
    features, label_id = batch(EVEN, seed=3)
    config = TripletConfig(mining=mining, normalize=False)
    assert abs(loss_of(config, 3 * features, label_id).item() - loss_of(config, features, label_id).item()) > 1e-3


COLLAPSING = [*TRAINED, TripletConfig(mining="batch_hard", margin=0.3, normalize=False, p=3.0), TripletConfig(mining="drawn"),
              SupConConfig(temperature=2.0), ArcFaceConfig(margin=90.0, scale=30.0), ArcFaceConfig(margin=0.0),
              MultiSimilarityConfig(alpha=5.0, beta=2.0, base=-0.5), ProxyAnchorConfig(margin=1.0, alpha=3.0),
              SubcenterArcFaceConfig(sub_centers=1, margin=90.0, scale=30.0), CircleConfig(margin=0.9, scale=2.0),
              CrossBatchMemoryConfig(margin=0.0)]


@pytest.mark.parametrize("config", COLLAPSING)
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("dtype, exact", [(torch.float64, 1e-7), (torch.float32, 2e-3)])
def test_equal_embeddings_and_proxies_give_the_collapse_value(config: ObjectiveConfig, views: int, dtype: torch.dtype,
                                                              exact: float) -> None:
    """Three of five classes in a batch, four samples of each."""
    objective = build(config, 8, n_classes=5, batch_size=12 * views, batch=BatchConfig(classes=3, samples=4), views=views)
    vector = torch.randn(8, generator=torch.Generator().manual_seed(0), dtype=dtype)
    for parameter in objective.to(dtype).parameters():
        one = vector if parameter.shape[-1] == 8 else vector[:, None] if parameter.shape[0] == 8 else parameter.new_ones(())
        torch.nn.init.zeros_(parameter).data.add_(one)
    labels = [0, 1, 2] * 4 * views
    if getattr(config, "mining", "") == "drawn":
        labels = [0, 1, 2, 0] * 2 * views + [1, 2, 0, 1] * views
    torch.manual_seed(0)
    loss = objective(vector.repeat(12 * views, 1), torch.tensor(labels)).item()
    assert loss == pytest.approx(objective.collapse_value, rel=exact)


@pytest.mark.parametrize("config", TRAINED)
def test_without_a_batch_every_class_stands_in_it_equally_often(config: ObjectiveConfig) -> None:
    known = build(config, batch=BatchConfig(classes=4, samples=3)).collapse_value
    assert build(config).collapse_value == pytest.approx(known, abs=1e-12)


@pytest.mark.parametrize("config", TRAINED)
def test_loss_is_a_scalar_whose_gradient_reaches_every_image_and_parameter(config: ObjectiveConfig) -> None:
    features, label_id = batch(EVEN, seed=11)
    features.requires_grad_()
    objective = build(config)
    loss = objective(features, label_id)
    assert loss.shape == ()
    loss.backward()
    assert torch.isfinite(features.grad).all()
    assert (features.grad.norm(dim=1) > 0).all()
    assert all(parameter.grad.norm() > 0 for parameter in objective.parameters())


@pytest.mark.parametrize("config", TRAINED)
def test_gradient_step_on_the_features_lowers_the_loss(config: ObjectiveConfig) -> None:
    features, label_id = batch(EVEN, seed=12)
    features.requires_grad_()
    objective = build(config)
    torch.manual_seed(0)
    before = objective(features, label_id)
    before.backward()
    torch.manual_seed(0)
    assert objective((features - 0.001 * features.grad).detach(), label_id) < before


def test_an_image_right_on_its_proxy_leaves_every_gradient_a_number() -> None:
    """acos has no slope at 1; ArcFace's angle is held just where clamp lets none through."""
    objective = objectives.build(ArcFaceConfig(), 6, 4, 12, seed=0)
    proxies, = objective.parameters()
    torch.nn.init.eye_(proxies)  # along the axes, where the cosine is 1 to the last digit
    label_id = torch.tensor(EVEN)
    features = proxies.detach().T[label_id].requires_grad_()
    objective(features, label_id).backward()
    assert torch.isfinite(features.grad).all() and torch.isfinite(proxies.grad).all()


@pytest.mark.parametrize("config", [config for config in TRAINED if config.draws_pairs])
def test_batch_of_one_class_is_refused_where_pairs_teach(config: ObjectiveConfig) -> None:
    with pytest.raises(ValueError, match="a batch must hold at least two classes, got 1"):
        build(config)(torch.randn(6, 6), torch.full((6,), 2))


@pytest.mark.parametrize("config", [config for config in TRAINED if config.draws_pairs])
def test_batch_with_no_class_twice_is_refused_where_pairs_teach(config: ObjectiveConfig) -> None:
    with pytest.raises(ValueError, match="must hold some class at least twice, got 4 samples of as many classes"):
        build(config)(torch.randn(4, 6), torch.arange(4))


@pytest.mark.parametrize("labels", [[2, 2, 2, 2], [0, 1, 2, 3]])
@pytest.mark.parametrize("config", [config for config in TRAINED if not config.draws_pairs])
def test_a_head_or_proxies_learn_from_every_image_of_any_batch(config: ObjectiveConfig, labels: list[int]) -> None:
    """Shuffled batches may hold one class alone, or none twice."""
    features, label_id = batch(labels, seed=3)
    features.requires_grad_()
    loss = build(config)(features, label_id)
    loss.backward()
    assert loss > 0 and torch.isfinite(features.grad).all() and (features.grad.norm(dim=1) > 0).all()


@pytest.mark.parametrize("config", TRAINED)
def test_the_collapse_value_of_a_shuffled_batch_goes_by_the_positives_it_holds(config: ObjectiveConfig) -> None:
    even = build(config, batch=BatchConfig(classes=4, samples=3)).collapse_value
    shuffled = BatchConfig(classes=2, samples=6, order="shuffled")
    assert build(config, batch=shuffled, positives=2.0).collapse_value == pytest.approx(even, abs=1e-12)


@pytest.mark.parametrize("labels", [[0, 1, 0, 1, 1], [0, 1, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 1, 1]])
def test_a_batch_that_is_not_of_drawn_triplets_is_refused(labels: list[int]) -> None:
    """No thirds; a positive of another class; a negative of the same class, first and second."""
    with pytest.raises(ValueError, match="must hold anchors, then their positives, then their negatives, got labels"):
        build(TripletConfig(mining="drawn"))(torch.randn(len(labels), 6), torch.tensor(labels))


@pytest.mark.parametrize("config", [ClassificationConfig(), SupConConfig(projection=4), NormalizedSoftmaxConfig(),
                                    ArcFaceConfig(), ProxyAnchorConfig(), SubcenterArcFaceConfig(),
                                    CrossEntropySupConConfig(projection=4), SincereConfig(projection=4)])
def test_same_seed_same_head_and_another_seed_another(config: ObjectiveConfig) -> None:
    first, again, other = (torch.cat([parameter.flatten() for parameter in build(config, seed=seed).parameters()])
                           for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_objective_is_built_by_its_name() -> None:
    for name, config in OBJECTIVES.items():
        assert isinstance(build(config()).collapse_value, float), name


def test_untrained_is_no_objective_to_build() -> None:
    with pytest.raises(ValueError, match="objective must be one that trains, got 'untrained'"):
        objectives.build(UntrainedConfig(), 6, 4, 12, seed=0)
