"""What can be trained for: each objective with its paper, parameters, legal ranges and collapse value.

Only describes; `core.training.objectives` computes the losses. The page draws its form from here, and a config refuses
here what is out of range.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, ValidationInfo, model_validator

from core.config.settings import Settings, is_stored
from core.config.training import BatchOrder
from core.errors import InputError, ParameterError
from core.wording import shown

LEAST_TEMPERATURE = 0.001  # cosines divided by much less overflow


def _is_no_overflow(value: float, info: ValidationInfo) -> float:
    if value < LEAST_TEMPERATURE and not is_stored(info):
        raise InputError(f"must be at least {LEAST_TEMPERATURE}, got {shown(value)}")
    return value


Temperature = Annotated[float, AfterValidator(_is_no_overflow)]


class Objective(Settings):
    """What every objective has: a label of its own, and for this arm alone an order of batches and leaks to measure the
    worth of.

    Attributes:
        title: its name above a form.
        word: its name in a sentence.
        paper: where it comes from.
        is_of_pairs: whether its loss compares samples with each other.
    """

    title: ClassVar[str]
    word: ClassVar[str]
    paper: ClassVar[str] = ""
    is_of_pairs: ClassVar[bool] = True

    label: str | None = None
    group: Literal["none"] | None = None
    pool: Literal["all"] | None = None
    order: BatchOrder | None = None
    name: str

    @model_validator(mode="after")
    def _pool_is_for_pairs(self) -> "Objective":
        if self.pool is not None and not self.draws_pairs:
            raise ParameterError("pool", f"must be absent for {self.name}, which draws no positives and negatives; "
                             f"got {self.pool!r}")
        return self

    @property
    def draws_pairs(self) -> bool:
        """Whether it learns from positives and negatives among the samples."""
        return self.is_of_pairs

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """The loss when all embeddings, and all proxies, are one vector: it has taught nothing, or lost everything.

        Args:
            n_classes: classes in the training rows.
            classes: classes in a batch.
            samples: embeddings of each of them in a batch, views counted.
        """
        raise TypeError(f"{type(self).__name__} has no loss")


class SoftmaxObjective(Objective):
    """What a cross-entropy over all classes has on top: it can make up for classes of different sizes.

    With n_k training images of class k among n, `class_weights: balanced` weighs what class k has in the sum by n / (K n_k),
    and the sum over a batch is divided by its images' weights; `logit_adjustment: τ` adds τ ln(n_k / n) to the logits in the
    loss, and not at the readout. They are for batches in which classes are as frequent as among the images: classes × samples
    show each class as often as another, and the rare ones are then favoured twice.
    """

    is_of_pairs: ClassVar[bool] = False

    class_weights: Literal["none", "balanced"] = Field(
        "none", description="Balanced weighs each class by the inverse of its number of training images.")
    logit_adjustment: float = Field(
        0.0, ge=0, le=10, description="How strongly the logits are raised, in the loss alone, by the logarithm of the class's "
                                      "share of the training images; 1 in the paper.")

    @model_validator(mode="after")
    def _is_favoured_once(self) -> "SoftmaxObjective":
        if self.class_weights != "none" and self.logit_adjustment:
            raise ParameterError("logit_adjustment", "must be 0 where class_weights is 'balanced', as each makes up for the "
                                 f"sizes of the classes by itself; got {self.logit_adjustment:g}")
        return self


class CrossEntropyConfig(SoftmaxObjective):
    """What cross-entropy on a linear head takes."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over all classes.")


class ClassificationConfig(CrossEntropyConfig):
    """Cross-entropy on a linear head, −Σ_k t_k ln softmax(W x + b)_k, where the target t is 1 − ε on the class and ε spread
    over all."""

    title: ClassVar[str] = "Classification (cross-entropy)"
    word: ClassVar[str] = "classification"
    paper: ClassVar[str] = ("label smoothing: Szegedy et al., 2016, arXiv:1512.00567; logit adjustment: Menon et al., 2021, "
                            "arXiv:2007.07314")

    name: Literal["classification"] = "classification"

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """ln K: every logit equal, after the adjustment if there is one."""
        return math.log(n_classes)


class ProxySoftmaxObjective(SoftmaxObjective):
    """A cross-entropy on cosines to one proxy a class, which have no bias to take an adjustment back."""

    def adjusted_collapse_value(self, shares: Sequence[float], is_balanced: bool = False) -> float:
        """The collapse value under a logit adjustment: Σ_y b_y ln(1 + Σ_{k≠y} (π_k / π_y)^τ e^w), w how far the own class's
        logit lies below the others', b_y how often class y is in a batch.

        Args:
            shares: of each class among the training images, π, above 0.
            is_balanced: b_y is 1 / K; else π_y, as in shuffled batches.
        """
        raised = [share ** self.logit_adjustment for share in shares]
        return sum((1 / len(shares) if is_balanced else share) * _log_of_one_and((sum(raised) - own) / own, self._widened)
                   for share, own in zip(shares, raised, strict=True))

    @property
    def _widened(self) -> float:
        return 0.0


class NormalizedSoftmaxConfig(ProxySoftmaxObjective):
    """Cross-entropy on the cosines s(x, p_k) to one proxy a class, −ln softmax(s / temperature)_y; no bias, no margin."""

    title: ClassVar[str] = "Normalised softmax"
    word: ClassVar[str] = "normalised softmax"
    paper: ClassVar[str] = "Zhai & Wu, 2019, arXiv:1811.12649"

    name: Literal["normalized_softmax"] = "normalized_softmax"
    temperature: Temperature = Field(0.05, gt=0, le=10,
                                     description="Smaller asks for sharper differences between the classes.")
    lr_factor: float = Field(1.0, gt=0, le=1000, description="How many times the learning rate the proxies get.")

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """ln K: every cosine equal."""
        return math.log(n_classes)


class AngularMarginConfig(ProxySoftmaxObjective):
    """What cross-entropy on scaled cosines with an angular margin takes."""

    # 28.6° is the paper's 0.5 rad. Beyond 90° the loss would no longer fall all the way as the angle closes.
    margin: float = Field(28.6, ge=0, le=90, description="Degrees by which an image must be nearer to its own class's proxy.")
    scale: float = Field(64.0, gt=0, le=1000, description="Factor on the cosines; the inverse of a temperature.")
    lr_factor: float = Field(1.0, gt=0, le=1000, description="How many times the learning rate the proxies get.")

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """ln(1 + (K − 1) e^{s (1 − cos m)}): every angle 0, the own one widened to m."""
        return _log_of_one_and(n_classes - 1, self._widened)

    @property
    def _widened(self) -> float:
        return self.scale * (1 - math.cos(math.radians(self.margin)))


class ArcFaceConfig(AngularMarginConfig):
    """Cross-entropy on scaled cosines to one proxy a class, the angle θ to the own one widened by the margin m:
    −ln(e^{s cos(θ_y + m)} / (e^{s cos(θ_y + m)} + Σ_{k≠y} e^{s cos θ_k})).

    Beyond θ_y = π − m, where cos(θ_y + m) would rise again, its place is taken by cos θ_y − m sin m, as the authors do.
    """

    title: ClassVar[str] = "ArcFace"
    word: ClassVar[str] = "ArcFace"
    paper: ClassVar[str] = "Deng et al., 2019, arXiv:1801.07698"

    name: Literal["arcface"] = "arcface"


class TripletConfig(Objective):
    """max(0, margin + d(anchor, positive) − d(anchor, negative)), where d is the p-norm of the difference.

    `mining` says which triplets of a batch teach. `random`: one positive and one negative per anchor by chance;
    `semi_hard`: every negative that is farther than the positive, but within the margin; `batch_hard`: each anchor's farthest
    positive and nearest negative. `drawn` is the study's way: a third of each batch are anchors, and each has a positive
    and a negative of its own, drawn for it alone.
    """

    title: ClassVar[str] = "Triplet"
    word: ClassVar[str] = "triplet"
    paper: ClassVar[str] = "Schroff et al., 2015, arXiv:1503.03832; batch-hard: Hermans et al., 2017, arXiv:1703.07737"

    name: Literal["triplet"] = "triplet"
    mining: Literal["random", "semi_hard", "batch_hard", "drawn"] = Field(
        "semi_hard", description="Which triplets of a batch teach.")
    margin: float = Field(0.2, gt=0, le=100, description="How much nearer the positive must be than the negative.")
    normalize: bool = Field(True, description="Scale features to Euclidean length 1 before measuring distance.")
    p: float = Field(2.0, ge=1, le=10, description="Degree of the distance's norm: 2 is Euclidean, 1 sums the differences.")
    average: Literal["active", "all"] = Field(
        "active", description="Average over the triplets that still teach, or over all, as PyTorch's own triplet loss does.")

    @model_validator(mode="after")
    def _drawn_triplets_have_an_order_of_their_own(self) -> "TripletConfig":
        if self.order is not None and self.mining == "drawn":
            raise ParameterError("order", "must be absent when triplets are drawn one by one (mining: drawn): their anchors "
                                 f"come in shuffled order, with partners of their own; got {self.order!r}")
        return self

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """The margin: every distance 0."""
        return self.margin


class SupervisedContrastiveConfig(Objective):
    """What a supervised contrastive loss takes.

    `projection` adds a two-layer head of that width for the loss; the readout stays the pooled features.
    """

    temperature: Temperature = Field(0.1, gt=0, le=10, description="Smaller pushes harder on the nearest negatives.")
    projection: int | None = Field(
        None, ge=2, le=4096, description="Width of a two-layer head for the loss alone; empty trains the features themselves.")


class SupConConfig(SupervisedContrastiveConfig):
    """Supervised contrastive loss L_out: the mean over anchors i and their positives p of
    −ln(e^{s_ip / temperature} / Σ_{a≠i} e^{s_ia / temperature}), s the cosine."""

    title: ClassVar[str] = "SupCon"
    word: ClassVar[str] = "SupCon"
    paper: ClassVar[str] = "Khosla et al., 2020, arXiv:2004.11362"

    name: Literal["supcon"] = "supcon"

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """ln(b − 1), b the batch: every other sample as likely."""
        return math.log(classes * samples - 1)


class MultiSimilarityConfig(Objective):
    """The mean over anchors i of 1/α ln(1 + Σ_p e^{−α (s_ip − base)}) + 1/β ln(1 + Σ_n e^{β (s_in − base)}), s the cosine.

    Its own miner keeps a positive that is less similar than the anchor's nearest negative plus ε, and a negative that is
    more similar than its farthest positive minus ε.
    """

    title: ClassVar[str] = "Multi-similarity"
    word: ClassVar[str] = "multi-similarity"
    paper: ClassVar[str] = "Wang et al., 2019, arXiv:1904.06627"

    name: Literal["multi_similarity"] = "multi_similarity"
    alpha: float = Field(2.0, gt=0, le=1000, description="How much the farthest positives outweigh the others.")
    beta: float = Field(50.0, gt=0, le=1000, description="How much the nearest negatives outweigh the others.")
    # The paper's text sets 1, where no positive can be too near; its authors' program sets 0.5.
    base: float = Field(0.5, ge=-1, le=1, description="Cosine that positives should exceed and negatives stay below.")
    epsilon: float = Field(0.1, gt=0, le=2, description="How close to violating the order a pair must be to teach.")

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """1/α ln(1 + (n − 1) e^{−α (1 − base)}) + 1/β ln(1 + (b − n) e^{β (1 − base)}): every cosine 1, so every pair is kept;
        n samples of a class, b the batch."""
        return (_log_of_one_and(samples - 1, -self.alpha * (1 - self.base)) / self.alpha
                + _log_of_one_and((classes - 1) * samples, self.beta * (1 - self.base)) / self.beta)


class ProxyAnchorConfig(Objective):
    """The mean over the batch's classes of ln(1 + Σ_{x of it} e^{−α (s(x, p) − δ)}), plus the mean over all classes of
    ln(1 + Σ_{x of others} e^{α (s(x, p) + δ)}), s the cosine to a class's proxy p, δ the margin."""

    title: ClassVar[str] = "Proxy-anchor"
    word: ClassVar[str] = "proxy-anchor"
    paper: ClassVar[str] = "Kim et al., 2020, arXiv:2003.13911"
    is_of_pairs: ClassVar[bool] = False

    name: Literal["proxy_anchor"] = "proxy_anchor"
    margin: float = Field(0.1, ge=0, le=1, description="How far beyond cosine 0 an image must be, to either side.")
    alpha: float = Field(32.0, gt=0, le=1000, description="How much the hardest images of a proxy outweigh the others.")
    # 100 times: section 4.2 of the paper.
    lr_factor: float = Field(100.0, gt=0, le=1000, description="How many times the learning rate the proxies get.")

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """ln(1 + n e^{−α (1 − δ)}) + (C ln(1 + (b − n) e^{α (1 + δ)}) + (K − C) ln(1 + b e^{α (1 + δ)})) / K: every cosine 1;
        n samples of each of C classes make the batch b, and K proxies see it."""
        size, pushing = classes * samples, self.alpha * (1 + self.margin)
        return (_log_of_one_and(samples, -self.alpha * (1 - self.margin))
                + (classes * _log_of_one_and(size - samples, pushing)
                   + (n_classes - classes) * _log_of_one_and(size, pushing)) / n_classes)


class CrossEntropySupConConfig(SupervisedContrastiveConfig, CrossEntropyConfig):
    """(1 − λ) cross-entropy + λ SupCon, λ the weight: both on the same features and batches, each with a head of its own.

    At 0 it is `classification` and at 1 `supcon`, with nothing of the other: no head, no random number, no refused batch.
    """

    title: ClassVar[str] = "Cross-entropy + SupCon"
    word: ClassVar[str] = "cross-entropy + SupCon"
    paper: ClassVar[str] = "Gunel et al., 2021, arXiv:2011.01403"

    name: Literal["cross_entropy_supcon"] = "cross_entropy_supcon"
    # What the paper's grid search mostly chose.
    weight: float = Field(0.9, ge=0, le=1, description="λ: 0 is cross-entropy alone, 1 SupCon alone.")

    @property
    def draws_pairs(self) -> bool:
        return self.weight > 0

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """(1 − λ) ln K + λ ln(b − 1), b the batch."""
        return (1 - self.weight) * math.log(n_classes) + self.weight * math.log(classes * samples - 1)


class SincereConfig(SupervisedContrastiveConfig):
    """SupCon without the other positives in the denominator, where they push each other away: the mean over anchors i and
    their positives p of −ln(e^{s_ip / temperature} / (e^{s_ip / temperature} + Σ_n e^{s_in / temperature})), s the cosine,
    n the samples of other classes."""

    title: ClassVar[str] = "SINCERE"
    word: ClassVar[str] = "SINCERE"
    paper: ClassVar[str] = "Feeney & Hughes, 2023, arXiv:2309.14277"

    name: Literal["sincere"] = "sincere"

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """ln(1 + (C − 1) n): one positive and every negative as likely; n samples of each of C classes."""
        return math.log(1 + (classes - 1) * samples)


class SubcenterArcFaceConfig(AngularMarginConfig):
    """ArcFace with several proxies a class, its sub-centres, of which the nearest counts: θ_k is the angle to the nearest of
    class k."""

    title: ClassVar[str] = "Sub-centre ArcFace"
    word: ClassVar[str] = "sub-centre ArcFace"
    paper: ClassVar[str] = "Deng et al., 2020, doi:10.1007/978-3-030-58621-8_43"

    name: Literal["subcenter_arcface"] = "subcenter_arcface"
    sub_centers: int = Field(3, ge=1, le=100, description="Proxies of each class.")


class CircleConfig(Objective):
    """The mean over anchors of ln(1 + Σ_n e^{scale a_n (s_n − margin)} Σ_p e^{−scale a_p (s_p − 1 + margin)}), s the cosine
    to a negative n or a positive p, and a how far it is from its best, without a gradient: a_n = max(0, s_n + margin),
    a_p = max(0, 1 + margin − s_p)."""

    title: ClassVar[str] = "Circle"
    word: ClassVar[str] = "circle"
    paper: ClassVar[str] = "Sun et al., 2020, arXiv:2002.10857"

    name: Literal["circle"] = "circle"
    # The paper's for fine-grained image retrieval.
    margin: float = Field(0.4, ge=0, le=1, description="How far from its best a cosine may stay.")
    scale: float = Field(80.0, gt=0, le=1000, description="How much the worst pairs outweigh the others.")

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """ln(1 + (n − 1) (b − n) e^{scale (1 − 2 margin²)}): every cosine 1, so a_p is the margin and a_n 1 more; n samples
        of a class, b the batch."""
        return _log_of_one_and((samples - 1) * (classes - 1) * samples, self.scale * (1 - 2 * self.margin ** 2))


class CrossBatchMemoryConfig(Objective):
    """A loss of pairs between the batch and a memory: the newest `memory` embeddings, the batch's own among them, as they were
    when they were computed. Gradients reach the batch's side alone.

    `contrastive` is the mean over positive pairs of 1 − s, plus the mean over those negative pairs whose cosine s is beyond
    the margin of s − margin; `supcon` is SupCon with the memory as positives and negatives. The memory holds at most as many
    embeddings as there are training images, and starts to fill after `start` steps.
    """

    title: ClassVar[str] = "Cross-batch memory"
    word: ClassVar[str] = "cross-batch memory"
    paper: ClassVar[str] = "Wang et al., 2020, arXiv:1912.06798"

    name: Literal["cross_batch_memory"] = "cross_batch_memory"
    loss: Literal["contrastive", "supcon"] = Field("contrastive", description="What is computed of the pairs.")
    memory: int = Field(1024, ge=2, le=1_000_000, description="Embeddings that are kept, at most as many as training images.")
    start: int = Field(0, ge=0, le=1_000_000,
                       description="Steps before the memory starts to fill, while embeddings still change fast.")
    margin: float = Field(0.5, ge=0, lt=1, description="Cosine that negatives should stay below; of contrastive alone.")
    temperature: Temperature = Field(0.1, gt=0, le=10,
                                     description="Smaller pushes harder on the nearest negatives; of supcon alone.")

    def collapse_value(self, n_classes: int, classes: float, samples: float) -> float:
        """Every cosine 1: 1 − margin for contrastive; for supcon ln(M − 1), M the memory or the batch, if that is larger."""
        return 1 - self.margin if self.loss == "contrastive" else math.log(max(self.memory, classes * samples) - 1)


class UntrainedConfig(Objective):
    """The encoder as it starts: the floor every objective is measured from. Always added, never listed."""

    title: ClassVar[str] = "Untrained"
    word: ClassVar[str] = "untrained"
    is_of_pairs: ClassVar[bool] = False

    name: Literal["untrained"] = "untrained"


class FrozenConfig(Objective):
    """An encoder of its own that is never trained here, or vectors of a table. Listed under `baselines`."""

    title: ClassVar[str] = "Frozen"
    word: ClassVar[str] = "frozen"
    is_of_pairs: ClassVar[bool] = False

    name: Literal["frozen"] = "frozen"
    table: str | None = None


ObjectiveConfig = (ClassificationConfig | NormalizedSoftmaxConfig | ArcFaceConfig | TripletConfig | SupConConfig
                   | MultiSimilarityConfig | ProxyAnchorConfig | CrossEntropySupConConfig | SincereConfig
                   | SubcenterArcFaceConfig | CircleConfig | CrossBatchMemoryConfig)
OBJECTIVES: dict[str, type[Objective]] = {model.model_fields["name"].default: model for model in get_args(ObjectiveConfig)}


def _from_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


ListedObjective = Annotated[ObjectiveConfig, Discriminator("name"), BeforeValidator(_from_name)]
AnyObjective = Annotated[ObjectiveConfig | UntrainedConfig | FrozenConfig, Discriminator("name")]


def is_drawn(objective: Objective) -> bool:
    """Whether an objective's batches are triplets drawn one by one, whatever `training.batch.order` says."""
    return isinstance(objective, TripletConfig) and objective.mining == "drawn"


def _log_of_one_and(count: float, exponent: float) -> float:
    """ln(1 + count · e^exponent), however large the exponent."""
    if exponent <= 0:
        return math.log1p(count * math.exp(exponent))
    return exponent + math.log(math.exp(-exponent) + count)
