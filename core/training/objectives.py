"""The losses on offer, and what each needs on top of the encoder; `core.config.objectives` has formulas, papers and ranges.

An objective is a module `(features, labels) -> scalar`; pytorch-metric-learning computes all but cross-entropy and SINCERE. A
batch that cannot teach a loss of pairs is refused: the library would answer 0.0.
"""

from functools import partial

import numpy as np
import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import nn
from torch.nn import functional as F

from core.config import BatchConfig
from core.config.objectives import (
    AnyObjective,
    ArcFaceConfig,
    CircleConfig,
    ClassificationConfig,
    CrossBatchMemoryConfig,
    CrossEntropyConfig,
    CrossEntropySupConConfig,
    MultiSimilarityConfig,
    NormalizedSoftmaxConfig,
    ProxyAnchorConfig,
    ProxySoftmaxObjective,
    SincereConfig,
    SoftmaxObjective,
    SubcenterArcFaceConfig,
    SupConConfig,
    SupervisedContrastiveConfig,
    TripletConfig,
)
from core.errors import InputError
from core.training.cross_batch_memory import Memory

ProxyConfig = NormalizedSoftmaxConfig | ArcFaceConfig | SubcenterArcFaceConfig | ProxyAnchorConfig


class Objective(nn.Module):
    """A loss on pooled features.

    Shape: features (b, D) float32, unnormalised; label_id (b,) int64 from 0; result a scalar.

    Attributes:
        collapse_value: the loss when all embeddings, and all proxies, are one vector.
        lr_factor: how many times the learning rate its own parameters get.
        draws_pairs: whether it learns from pairs within the batch, so that one without them is refused.
    """

    collapse_value: float
    lr_factor: float = 1.0
    draws_pairs: bool = True

    def forward(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        if self.draws_pairs:
            check_batch(label_id)
        return self._loss(features, label_id)

    @property
    def active(self) -> float | None:
        """Share of the last batch's triplets with a positive loss, 0 to 1; None where there are none, or no batch yet."""
        return None

    def read_out(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """What stands between features (b, D) and the loss, by name: 'projection' (b, P) or 'logits' (b, K); empty where the
        loss takes the features themselves."""
        return {}

    def head_state(self) -> dict[str, torch.Tensor]:
        """The tensors, by name, that `read_out` needs; what else is kept between steps is part of `state_dict` alone."""
        return self.state_dict()

    def remember(self) -> None:
        """Keeps of the last batch what later losses compare theirs with; for the end of each step, and nothing by default."""

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        raise TypeError(f"{type(self).__name__} must define its loss")


class ClassSizes(nn.Module):
    """What makes up for classes of different sizes in a cross-entropy; nothing where the config asks for nothing.

    Attributes:
        weight: of each class, shape (K,), or None: `class_weights`.
        added: to the logits in the loss, shape (K,), or None: `logit_adjustment`.

    Raises:
        InputError: if something is asked for and the counts do not say how many training images each class has.
    """

    weight: torch.Tensor | None
    added: torch.Tensor | None

    def __init__(self, config: SoftmaxObjective, n_classes: int, class_counts: np.ndarray | None) -> None:
        super().__init__()
        weight = added = None
        if config.class_weights == "balanced" or config.logit_adjustment:
            if class_counts is None or len(class_counts) != n_classes or min(class_counts) < 1:
                raise InputError(f"class_counts must be how many training images each of {n_classes} classes has, got "
                                 f"{class_counts}")
            share = torch.tensor(class_counts / class_counts.sum(), dtype=torch.float32)
            weight = 1 / (n_classes * share) if config.class_weights == "balanced" else None
            added = config.logit_adjustment * share.log() if config.logit_adjustment else None
        self.register_buffer("weight", weight, persistent=False)  # it follows from the config and the images
        self.register_buffer("added", added, persistent=False)

    def adjusted(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (b, K) as the loss takes them."""
        return logits if self.added is None else logits + self.added

    def forward(self, logits: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of each sample, shape (b,), the mean of which is the batch's, divided by its images' weights."""
        losses = F.cross_entropy(self.adjusted(logits), label_id, self.weight, reduction="none")
        return losses if self.weight is None else losses * (len(label_id) / self.weight[label_id].sum())


class Classification(Objective):
    """Cross-entropy on a linear head."""

    def __init__(self, config: CrossEntropyConfig, width: int, n_classes: int, class_counts: np.ndarray | None) -> None:
        super().__init__()
        self.head = nn.Linear(width, n_classes)
        self._smoothing = config.label_smoothing
        self._sizes = ClassSizes(config, n_classes, class_counts)

    def read_out(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.head(features)}

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self._sizes.adjusted(self.head(features)), label_id, self._sizes.weight,
                               label_smoothing=self._smoothing)


class Proxies(Objective):
    """A loss between L2-normalised features and learnt proxies, one a class: normalised softmax, ArcFace, proxy-anchor; or
    several: sub-centre ArcFace."""

    def __init__(self, config: ProxyConfig, width: int, n_classes: int, class_counts: np.ndarray | None) -> None:
        super().__init__()
        # Of length 1 at any width, so that a step of one size turns them as far. Proxy-anchor starts as its authors do.
        of_length_one = partial(nn.init.normal_, std=width ** -0.5)
        match config:
            case NormalizedSoftmaxConfig():
                self.proxies = losses.NormalizedSoftmaxLoss(n_classes, width, temperature=config.temperature,
                                                            weight_init_func=of_length_one)
            case ArcFaceConfig():
                self.proxies = losses.ArcFaceLoss(n_classes, width, margin=config.margin, scale=config.scale,
                                                  weight_init_func=of_length_one)
            case SubcenterArcFaceConfig():
                self.proxies = losses.SubCenterArcFaceLoss(num_classes=n_classes, embedding_size=width, margin=config.margin,
                                                           scale=config.scale, sub_centers=config.sub_centers,
                                                           weight_init_func=of_length_one)
            case ProxyAnchorConfig():
                self.proxies = losses.ProxyAnchorLoss(n_classes, width, margin=config.margin, alpha=config.alpha)
        if isinstance(config, SoftmaxObjective):  # the library's own knows neither weights nor an adjustment
            self.proxies.cross_entropy = ClassSizes(config, n_classes, class_counts)
        self.lr_factor = config.lr_factor

    def read_out(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """The logits are the cosines to the proxies, of several a class to the nearest."""
        if isinstance(self.proxies, losses.SubCenterArcFaceLoss):
            return {"logits": self.proxies.get_cosine(features)}
        proxies = self.proxies.proxies if isinstance(self.proxies, losses.ProxyAnchorLoss) else self.proxies.W.T  # (K, D)
        return {"logits": F.normalize(features) @ F.normalize(proxies).T}

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        return self.proxies(features, label_id)


class Triplet(Objective):
    """Triplet margin loss. Without a semi-hard triplet in the batch every triplet counts."""

    def __init__(self, config: TripletConfig) -> None:
        super().__init__()
        # Not normalised by the library: for another p it would scale to that norm's length 1.
        distance = distances.LpDistance(p=config.p, normalize_embeddings=False)
        self._config = config
        self._miner = {
            "batch_hard": lambda: miners.BatchHardMiner(distance=distance),
            "semi_hard": lambda: miners.TripletMarginMiner(config.margin, "semihard", distance=distance),
            "random": lambda: None,
            "drawn": lambda: _by_thirds,
        }[config.mining]()
        self._triplet = losses.TripletMarginLoss(config.margin, distance=distance, reducer=reducers.DoNothingReducer(),
                                                 triplets_per_anchor=1 if config.mining == "random" else "all")
        self._teaching: torch.Tensor | None = None

    @property
    def active(self) -> float | None:
        """Of all triplets of the batch with semi-hard mining, where those that were mined would all be active; otherwise of
        those that were mined."""
        return None if self._teaching is None else self._teaching.float().mean().item()

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        if self._config.normalize:
            features = F.normalize(features)
        mined = self._miner(features, label_id) if self._miner else None
        if mined is not None and len(mined[0]) == 0:  # no semi-hard triplet: all are learnt, or the space collapsed.
            mined = None                              # The loss of all triplets differs; the library alone would return 0.0
        values = self._values(features, label_id, mined)
        with torch.no_grad():
            looked_at = self._values(features, label_id, None) if self._config.mining == "semi_hard" else values
            self._teaching = looked_at > 0
        teaching = values[values > 0] if self._config.average == "active" else values
        return teaching.mean() if len(teaching) else values.sum()  # the sum is 0 and still has a gradient

    def _values(self, features: torch.Tensor, label_id: torch.Tensor,
                mined: tuple[torch.Tensor, ...] | None) -> torch.Tensor:
        return self._triplet(features, label_id, mined)["loss"]["losses"]


class SupCon(Objective):
    """Supervised contrastive loss, averaged over the anchors that have a positive."""

    def __init__(self, config: SupervisedContrastiveConfig, width: int) -> None:
        super().__init__()
        self.projection = _projection(config, width)
        # The library's own average leaves out anchors whose loss rounds to 0, and so never falls as far as the formula.
        self._supcon = losses.SupConLoss(temperature=config.temperature, reducer=reducers.DoNothingReducer())

    def read_out(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return {} if isinstance(self.projection, nn.Identity) else {"projection": self.projection(features)}

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        values = self._supcon(self.projection(features), label_id)["loss"]["losses"]  # (b,)
        return values[_has_positive(label_id)].mean()


class CrossEntropySupCon(Objective):
    """Both at once, weighed; a head and a projection of their own, in this order of random numbers."""

    def __init__(self, config: CrossEntropySupConConfig, width: int, n_classes: int, class_counts: np.ndarray | None) -> None:
        super().__init__()
        self.classification = Classification(config, width, n_classes, class_counts)
        self.supcon = SupCon(config, width)
        self._weight = config.weight

    def read_out(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.supcon.read_out(features) | self.classification.read_out(features)

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        return ((1 - self._weight) * self.classification._loss(features, label_id)
                + self._weight * self.supcon._loss(features, label_id))


class Sincere(Objective):
    """SINCERE, averaged over the anchors that have a positive."""

    def __init__(self, config: SincereConfig, width: int) -> None:
        super().__init__()
        self.projection = _projection(config, width)
        self._temperature = config.temperature

    def read_out(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return {} if isinstance(self.projection, nn.Identity) else {"projection": self.projection(features)}

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        unit = F.normalize(self.projection(features))
        similarity = unit @ unit.T / self._temperature  # (b, b)
        is_same = label_id[:, None] == label_id
        of_negatives = similarity.masked_fill(is_same, -torch.inf).logsumexp(dim=1, keepdim=True)  # (b, 1)
        values = F.softplus(of_negatives - similarity)  # −ln(e^s / (e^s + Σ e^s_n)) = ln(1 + e^(ln Σ e^s_n − s)), of each pair
        is_positive = is_same & ~torch.eye(len(label_id), dtype=torch.bool, device=label_id.device)
        of_anchors = values.masked_fill(~is_positive, 0).sum(1) / is_positive.sum(1).clamp(min=1)  # (b,)
        return of_anchors[is_positive.any(1)].mean()


class Circle(Objective):
    """Circle loss on every pair of the batch, averaged over the anchors that have a positive."""

    def __init__(self, config: CircleConfig) -> None:
        super().__init__()
        # The library's own average leaves out anchors whose loss rounds to 0.
        self._circle = losses.CircleLoss(config.margin, config.scale, reducer=reducers.DoNothingReducer())

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        values = self._circle(features, label_id)["loss"]["losses"]  # (b, 1)
        return values[_has_positive(label_id)].mean()


class MultiSimilarity(Objective):
    """Multi-similarity loss on the pairs its own miner keeps."""

    def __init__(self, config: MultiSimilarityConfig) -> None:
        super().__init__()
        self._miner = miners.MultiSimilarityMiner(config.epsilon)
        self._pairs = losses.MultiSimilarityLoss(config.alpha, config.beta, config.base)

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        mined = self._miner(features, label_id)
        # Not through the loss's own call, which answers 0.0 where one positive and one negative are kept.
        return self._pairs.mat_based_loss(self._pairs.distance(features), mined)["loss"]["losses"].mean()


class CrossBatchMemory(Objective):
    """A loss between the batch and a memory whose newest part is the batch, an embedding with itself left out."""

    def __init__(self, config: CrossBatchMemoryConfig, width: int) -> None:
        super().__init__()
        self.memory = Memory(config.memory, width, config.start)
        self._is_supcon = config.loss == "supcon"
        self._pairs = (losses.SupConLoss(temperature=config.temperature, reducer=reducers.DoNothingReducer())
                       if self._is_supcon else
                       losses.ContrastiveLoss(pos_margin=1, neg_margin=config.margin, distance=distances.CosineSimilarity()))
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    def head_state(self) -> dict[str, torch.Tensor]:
        return {}

    def remember(self) -> None:
        """Not a part of the loss, which is computed again where memory runs out in the middle of a step."""
        if self._last is not None:
            self.memory.add(*self._last)
        self._last = None

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        unit = F.normalize(features)
        self._last = unit.detach(), label_id
        known, known_label_id = self.memory.joined(*self._last)  # (m, D), (m,)
        is_same = label_id[:, None] == known_label_id            # (b, m)
        is_positive = is_same.clone()
        is_positive[:, -len(label_id):].fill_diagonal_(False)    # itself
        pairs = (*is_positive.nonzero(as_tuple=True), *(~is_same).nonzero(as_tuple=True))
        value = self._pairs(unit, label_id, pairs, known, known_label_id)
        return value["loss"]["losses"][is_positive.any(1)].mean() if self._is_supcon else value


def _projection(config: SupervisedContrastiveConfig, width: int) -> nn.Module:
    """What stands between features and a contrastive loss: two layers, or nothing."""
    return nn.Identity() if config.projection is None else nn.Sequential(
        nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.projection))


def _has_positive(label_id: torch.Tensor) -> torch.Tensor:
    """Whether another of the batch is of the same class, shape (b,), bool."""
    return (label_id[:, None] == label_id).sum(1) > 1


def _by_thirds(features: torch.Tensor, label_id: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Indices of a batch that holds anchors, then positives, then negatives.

    Raises:
        InputError: if it is no such batch.
    """
    if len(label_id) % 3 == 0:
        anchors, positives, negatives = label_id.chunk(3)
        if torch.equal(anchors, positives) and not (anchors == negatives).any():
            first, second, third = torch.arange(len(label_id), device=label_id.device).chunk(3)
            return first, second, third
    raise InputError(f"a batch of drawn triplets must hold anchors, then their positives, then their negatives, got labels "
                     f"{label_id.tolist()}")


def build(config: AnyObjective, width: int, n_classes: int, batch_size: int, seed: int,
          batch: BatchConfig | None = None, views: int = 1, positives: float | None = None,
          class_counts: np.ndarray | None = None) -> Objective:
    """The objective a config names, its parameters drawn from the seed.

    Args:
        config: which loss, and its parameters.
        width: width D of the encoder's features.
        n_classes: classes in the training rows.
        batch_size: embeddings per batch, for the collapse value where `batch` is not given: then every class stands in it
            equally often.
        seed: seed of the head's or the proxies' random values.
        batch: its classes and samples, for the collapse value.
        views: of each sample in it.
        positives: other embeddings of an anchor's class in a batch, on average, for the collapse value where it is shuffled.
        class_counts: training images of each class, shape (n_classes,), int; needed by what makes up for their differences.

    Raises:
        InputError: if the config names no objective that trains, or lacks the counts that it needs.
    """
    torch.manual_seed(seed)
    objective: Objective
    match config:
        case ClassificationConfig():
            objective = Classification(config, width, n_classes, class_counts)
        case CrossEntropySupConConfig(weight=0):
            objective = Classification(config, width, n_classes, class_counts)
        case CrossEntropySupConConfig(weight=1) | SupConConfig():
            objective = SupCon(config, width)
        case CrossEntropySupConConfig():
            objective = CrossEntropySupCon(config, width, n_classes, class_counts)
        case NormalizedSoftmaxConfig() | ArcFaceConfig() | SubcenterArcFaceConfig() | ProxyAnchorConfig():
            objective = Proxies(config, width, n_classes, class_counts)
        case TripletConfig():
            objective = Triplet(config)
        case SincereConfig():
            objective = Sincere(config, width)
        case CircleConfig():
            objective = Circle(config)
        case CrossBatchMemoryConfig():
            if class_counts is not None:  # beyond that it would hold former selves of the same images
                config = config.model_copy(update={"memory": min(config.memory, int(class_counts.sum()))})
            objective = CrossBatchMemory(config, width)
        case MultiSimilarityConfig():
            objective = MultiSimilarity(config)
        case _:
            raise InputError(f"objective must be one that trains, got {config.name!r}")
    objective.draws_pairs = config.draws_pairs
    if positives is not None:
        classes, samples = batch_size / (1 + positives), 1 + positives
    else:
        classes, samples = (n_classes, batch_size / n_classes) if batch is None else (batch.classes, batch.samples * views)
    objective.collapse_value = config.collapse_value(n_classes, classes, samples)
    if isinstance(config, ProxySoftmaxObjective) and config.logit_adjustment and class_counts is not None:
        objective.collapse_value = config.adjusted_collapse_value((class_counts / class_counts.sum()).tolist(),
                                                                  is_balanced=positives is None and batch is not None)
    return objective


def check_batch(label_id: torch.Tensor) -> None:
    """Refuses a batch that cannot teach a loss of pairs.

    Raises:
        InputError: if it holds one class only, or no class twice.
    """
    counts = torch.unique(label_id, return_counts=True)[1]
    if len(counts) < 2:
        raise InputError(f"a batch must hold at least two classes, got {len(counts)}")
    if counts.max() < 2:
        raise InputError(f"a batch must hold some class at least twice, got {len(counts)} samples of as many classes")
