"""The losses on offer, each with its paper, and what it needs on top of the encoder.

An objective is a module `(features, labels) -> scalar`; pytorch-metric-learning computes the contrastive ones. A
batch that cannot teach is refused: the library would answer 0.0.
"""

import math

import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import nn
from torch.nn import functional as F

from core.config import ClassificationConfig, SupConConfig, TripletConfig


class Objective(nn.Module):
    """A loss on pooled features.

    Shape: features (b, D) float32, unnormalised; label_id (b,) int64; result a scalar.
    """

    def forward(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        check_batch(label_id)
        return self._loss(features, label_id)

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        raise TypeError(f"{type(self).__name__} must define its loss")


class Classification(Objective):
    """Cross-entropy on a linear head. Collapse value: ln(number of classes)."""

    def __init__(self, config: ClassificationConfig, width: int, n_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, n_classes)
        self._smoothing = config.label_smoothing
        self.collapse_value = math.log(n_classes)

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.head(features), label_id, label_smoothing=self._smoothing)


class Triplet(Objective):
    """max(0, margin + d(anchor, positive) − d(anchor, negative)), Euclidean distance.

    Schroff et al. (2015), arXiv:1503.03832; batch-hard mining: Hermans et al. (2017), arXiv:1703.07737. `random`
    takes one positive and one negative per anchor by chance from the batch; `drawn` takes a batch of anchors, then their
    positives, then their negatives, as the study did. Averaged over the mined triplets with a positive loss. Collapse
    value: the margin.
    """

    def __init__(self, config: TripletConfig) -> None:
        super().__init__()
        distance = distances.LpDistance(p=2, normalize_embeddings=config.normalize)
        reducer = reducers.AvgNonZeroReducer()
        self._config = config
        self._miner = {
            "batch_hard": lambda: miners.BatchHardMiner(distance=distance),
            "semi_hard": lambda: miners.TripletMarginMiner(config.margin, "semihard", distance=distance),
            "random": lambda: None,
            "drawn": lambda: _by_thirds,
        }[config.mining]()
        per_anchor = 1 if config.mining == "random" else "all"
        self._triplet = losses.TripletMarginLoss(config.margin, distance=distance, reducer=reducer,
                                                 triplets_per_anchor=per_anchor)
        self.collapse_value = config.margin

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        mined = self._miner(features, label_id) if self._miner else None
        if mined is not None and len(mined[0]) == 0:  # no semi-hard triplet: all are learnt, or collapsed. Every triplet tells
            mined = None                              # which; the library alone would answer 0.0 to both
        return self._triplet(features, label_id, mined)


class SupCon(Objective):
    """Supervised contrastive loss, L_out of Khosla et al. (2020), arXiv:2004.11362, on L2-normalised features.

    With `projection`, a two-layer head of that width stands between the features and the loss. Collapse value:
    ln(b − 1), every similarity equal.
    """

    def __init__(self, config: SupConConfig, width: int, batch_size: int) -> None:
        super().__init__()
        self.projection = nn.Identity() if config.projection is None else nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.projection))
        self._supcon = losses.SupConLoss(temperature=config.temperature)
        self.collapse_value = math.log(batch_size - 1)

    def _loss(self, features: torch.Tensor, label_id: torch.Tensor) -> torch.Tensor:
        return self._supcon(self.projection(features), label_id)


def _by_thirds(features: torch.Tensor, label_id: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Indices of a batch that holds anchors, then positives, then negatives."""
    return torch.arange(len(label_id), device=label_id.device).chunk(3)


def build(config: ClassificationConfig | TripletConfig | SupConConfig, width: int, n_classes: int, batch_size: int,
          seed: int) -> Objective:
    """The objective a config names, its parameters drawn from the seed.

    Args:
        config: which loss, and its parameters.
        width: width D of the encoder's features.
        n_classes: classes in the training rows.
        batch_size: images per batch, for the collapse value.
        seed: seed of the head's random weights.
    """
    torch.manual_seed(seed)
    match config:
        case ClassificationConfig():
            return Classification(config, width, n_classes)
        case TripletConfig():
            return Triplet(config)
        case SupConConfig():
            return SupCon(config, width, batch_size)
    raise ValueError(f"objective must be one that trains, got {config.name!r}")


def check_batch(label_id: torch.Tensor) -> None:
    """Refuses a batch that cannot teach.

    Raises:
        ValueError: if it holds one class only, or no class twice.
    """
    counts = torch.unique(label_id, return_counts=True)[1]
    if len(counts) < 2:
        raise ValueError(f"a batch must hold at least two classes, got {len(counts)}")
    if counts.max() < 2:
        raise ValueError(f"a batch must hold some class at least twice, got {len(counts)} samples of as many classes")
