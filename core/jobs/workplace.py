"""What the runs of an experiment share, and how their encoders embed there. Knows nothing of folders."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from core.analysis import retrieval
from core.config import RunConfig
from core.data import split
from core.data.manifest import Manifest
from core.errors import InputError
from core.training import embed
from core.training.encoder import DataConfig
from core.training.ranks import Ranks

log = logging.getLogger("duet")
_MOST_OF_CLASS = 50  # training images that validation asks, where it cannot ask itself
Say = Callable[[str], None]
StopCheck = Callable[..., None]


class Stopped(Exception):
    """Someone asked for this run to stop; what was done is saved."""


def make_stop_check(should_stop: Callable[[], bool]) -> StopCheck:
    """Makes a function that raises Stopped once `should_stop` returns true.

    The function takes any arguments and ignores them, so that it can be passed wherever progress is reported.

    Args:
        should_stop: whether the run was asked to stop.
    """
    def check_stop(*_: int) -> None:
        if should_stop():
            raise Stopped

    return check_stop


@dataclass(frozen=True, eq=False)
class Validation:
    """Which images ask which, where epochs and learning rates are chosen.

    Attributes:
        rows: the validation images, shape (n,), int64.
        own: their own groups, shape (n,).
        gallery: training images that they ask, shape (m,), int64, where each class has one group on validation: outside its
            own group an image would find none of its class there. None: they ask each other.
        gallery_own: the gallery's own groups, shape (m,).
    """

    rows: np.ndarray
    own: np.ndarray
    gallery: np.ndarray | None = None
    gallery_own: np.ndarray | None = None

    @property
    def all_rows(self) -> np.ndarray:
        """The images to embed: those of `rows`, then the gallery."""
        return self.rows if self.gallery is None else np.concatenate([self.rows, self.gallery])

    @property
    def all_own(self) -> np.ndarray:
        """The own groups of `all_rows`."""
        return self.own if self.gallery_own is None else np.concatenate([self.own, self.gallery_own])

    @property
    def has_groups(self) -> bool:
        """Whether some images are of one group, so that groups have a say in what is chosen."""
        return len(np.unique(self.own.astype(str))) < len(self.own)


@dataclass(frozen=True)
class Answers:
    """How well the validation images find their class.

    Attributes:
        map_at_r, precision_at_1: means over them, 0 to 1.
        group_chance: what of MAP@R comes of images of one group lying together, whatever the space knows of the classes
            (`retrieval.retrieve_with_chance`); 0 where each image is a group of its own.
    """

    map_at_r: float
    precision_at_1: float
    group_chance: float

    @property
    def criterion(self) -> float:
        """By which epochs and learning rates are chosen, 0 to 1: to know the photograph alone gains a space nothing."""
        return max(0.0, self.map_at_r - self.group_chance)


@dataclass(frozen=True, eq=False)
class Workplace:
    """What every run of an experiment shares: samples, their decoded images (n, S, S, 3), the input, the device, and the
    processes that share each batch."""

    manifest: Manifest
    pixels: np.ndarray
    data_config: DataConfig
    device: torch.device
    ranks: Ranks = field(default_factory=Ranks)
    frozen_features: list[np.ndarray] = field(default_factory=list)  # of every image, where each seed's are the same

    def features_of_all(self, module: nn.Module, config: RunConfig, check_stop: StopCheck) -> np.ndarray:
        """Pooled features of every sample, shape (n, D), float32. Those of pretrained weights that no run trains are the same
        for each seed and number of images, and computed once.

        Args, raises: as `features`.
        """
        is_same = not config.is_trained and config.encoder.weights != "random" and not config.evaluation.flip
        if is_same and self.frozen_features:
            return self.frozen_features[0]
        features = self.features(module, np.arange(len(self.manifest)), config, check_stop, is_half=False)
        if is_same:
            self.frozen_features.append(features)
        return features

    def features(self, module: nn.Module, rows: np.ndarray, config: RunConfig, check_stop: StopCheck,
                 is_half: bool = True) -> np.ndarray:
        """Pooled features of some samples as they are, shape (m, D), float32.

        Args:
            module: the encoder.
            rows: the samples, shape (m,), int64.
            config: of the run.
            check_stop: called with the progress; raises Stopped if the run is to stop.
            is_half: as of `embed.embed`.

        Raises:
            FloatingPointError: if one is no longer a number: the images are good.
        """
        return _checked(lambda: embed.embed(module, self.data_config, self.pixels, rows, self.device, normalize=False,
                                            progress=check_stop, flip_seed=config.seed if config.evaluation.flip else None,
                                            is_half=is_half))

    def vectors(self, module: nn.Module, rows: np.ndarray, config: RunConfig, check_stop: StopCheck) -> np.ndarray:
        """Embeddings as the config wants them, of length 1 or as they are, shape (m, D), float32.

        Raises:
            FloatingPointError: as `features`, and if one is zero and was to be of length 1.
        """
        return normalized(self.features(module, rows, config, check_stop), config)

    def validation(self, config: RunConfig) -> "Validation":
        """Which images ask which, where epochs and learning rates are chosen."""
        own, rows = split.own_groups(self.manifest, config.split), self.manifest.indices("validation")
        if split.has_answers(self.manifest, own, "validation"):
            return Validation(rows, own[rows])
        log.warning("validation %s", split.ASKS_TRAINING)
        known = self.manifest.training_indices(config.images_per_class, config.seed)
        label_id = self.manifest.label_id[known]
        gallery = np.sort(np.concatenate([known[label_id == label][:_MOST_OF_CLASS] for label in np.unique(label_id)]))
        return Validation(rows, own[rows], gallery, own[gallery])

    def answers(self, vectors: np.ndarray, asked: "Validation") -> Answers:
        """How well validation images find their class, by which epochs and learning rates are chosen.

        Args:
            vectors: embeddings of `asked.all_rows`, shape (n, D).
            asked: which they are.
        """
        label_id, group_chance = self.manifest.label_id[asked.all_rows], 0.0
        if asked.gallery is None:
            values, group_chance = retrieval.retrieve_with_chance(vectors, label_id, asked.own)
        else:
            is_query = np.arange(len(label_id)) < len(asked.rows)
            values = retrieval.retrieve(vectors, label_id, group=asked.all_own, roles=retrieval.Roles(is_query, ~is_query))
        map_at_r, precision_at_1 = (float(np.nanmean(values[name])) for name in ("map_at_r", "precision_at_1"))
        return Answers(map_at_r, precision_at_1, group_chance)

    def validate(self, module: nn.Module, asked: "Validation", config: RunConfig, check_stop: StopCheck) -> Answers:
        """`answers` of an encoder.

        Args:
            module: the encoder.
            asked: as `validation` has it.
            config: of the run.
            check_stop: called with the progress; raises Stopped if the run is to stop.

        Raises:
            FloatingPointError: as `vectors`.
        """
        return self.answers(self.vectors(module, asked.all_rows, config, check_stop), asked)


def normalized(features: np.ndarray, config: RunConfig) -> np.ndarray:
    """Embeddings from pooled features, shape (m, D).

    Raises:
        FloatingPointError: if one is zero and was to be of length 1.
    """
    return _checked(lambda: embed.unit(features)) if config.evaluation.normalize else features


def _checked(embedded: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        return embedded()
    except InputError as error:  # what the encoder makes of good images is no longer a number, or nothing
        raise FloatingPointError(str(error)) from error
