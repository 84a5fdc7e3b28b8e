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


@dataclass(frozen=True)
class Answers:
    """How well the validation images find each other.

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

    def validation_groups(self, config: RunConfig) -> np.ndarray | None:
        """The own groups of the validation images, shape (n,); None, so that a query leaves out itself alone, where each class
        has one group there: nothing would be left to find, and nothing to select by."""
        own = split.own_groups(self.manifest, config.split)
        if split.has_answers(self.manifest, own, "validation"):
            return own[self.manifest.indices("validation")]
        log.warning("validation %s", split.WITHIN_GROUPS)
        return None

    def answers(self, vectors: np.ndarray, own: np.ndarray | None) -> Answers:
        """How well validation images find each other, by which epochs and learning rates are chosen.

        Args:
            vectors: their embeddings, shape (n, D).
            own: their own groups, as `validation_groups` has them.
        """
        label_id = self.manifest.label_id[self.manifest.indices("validation")]
        values, group_chance = retrieval.retrieve_with_chance(vectors, label_id, own)
        map_at_r, precision_at_1 = (float(np.nanmean(values[name])) for name in ("map_at_r", "precision_at_1"))
        return Answers(map_at_r, precision_at_1, group_chance)

    def validate(self, module: nn.Module, own: np.ndarray | None, config: RunConfig, check_stop: StopCheck) -> Answers:
        """`answers` of an encoder.

        Args:
            module: the encoder.
            own: their own groups, as `validation_groups` has them.
            config: of the run.
            check_stop: called with the progress; raises Stopped if the run is to stop.

        Raises:
            FloatingPointError: as `vectors`.
        """
        return self.answers(self.vectors(module, self.manifest.indices("validation"), config, check_stop), own)


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
