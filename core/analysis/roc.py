"""Receiver operating characteristics: error rates at every threshold, from similarities that are counted and not kept.

Fawcett, 2006, doi:10.1016/j.patrec.2005.10.010. A similarity is counted at one of 2²⁰ levels of the cosine, so 16 MB hold any
number of pairs; at a threshold on a level every rate is exact. Knows no images and no pairs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_PER_UNIT = 2 ** 19
N_LEVELS = 2 * _PER_UNIT + 1  # level 0 is cosine −1, the last is cosine 1
LEFT_OUT = -1  # the level of what is not counted
CURVE = np.geomspace(1e-4, 1, 121)  # false-accept rates of a curve that is drawn on a logarithmic axis


def levels(cosine: np.ndarray) -> np.ndarray:
    """The level at or just below each cosine, int32, of the same shape; `LEFT_OUT` for −∞."""
    scaled = cosine + 1
    scaled *= _PER_UNIT  # exact: cosines of `neighbors.unit` are multiples of 2⁻⁵²
    return np.clip(scaled, LEFT_OUT, N_LEVELS - 1, out=scaled).astype(np.int32)  # a hair below −1 is cut to level 0


def cosine_at(level: int) -> float:
    """The cosine of a level: the threshold at which it and all levels above are accepted."""
    return level / _PER_UNIT - 1


@dataclass(frozen=True, eq=False)
class Roc:
    """What is to be accepted and what is not, counted by level.

    Attributes:
        positive: how many of what should be accepted, such as pairs of one class, lie at each level, shape (`N_LEVELS`,),
            int64.
        negative: the same of what should be rejected.
    """

    positive: np.ndarray
    negative: np.ndarray

    @cached_property
    def _accepted(self) -> tuple[np.ndarray, np.ndarray]:
        """How many positives and negatives each level accepts as a threshold; the last place is above every level."""
        return tuple(np.append(np.cumsum(counts[::-1])[::-1], 0) for counts in (self.positive, self.negative))  # type: ignore[return-value]

    @property
    def n_positive(self) -> int:
        """How many there are to accept."""
        return int(self._accepted[0][0])

    @property
    def n_negative(self) -> int:
        """How many there are to reject."""
        return int(self._accepted[1][0])

    @property
    def is_defined(self) -> bool:
        """Whether there are both."""
        return self.n_positive > 0 and self.n_negative > 0

    def true_accept(self, level: int) -> float:
        """Share of positives that are accepted at a threshold, 0 to 1."""
        return float(self._accepted[0][level] / self.n_positive)

    def false_accept(self, level: int) -> float:
        """Share of negatives that are accepted at a threshold, 0 to 1."""
        return float(self._accepted[1][level] / self.n_negative)

    def threshold(self, false_accept: float) -> int | None:
        """The lowest level at which at most this share of negatives is accepted; None if not even the highest rejects enough:
        more of them than that have cosine 1."""
        level = int((self._accepted[1] > false_accept * self.n_negative).sum())  # counts fall from level to level
        return level if level < N_LEVELS else None

    @cached_property
    def placements(self) -> tuple[np.ndarray, np.ndarray]:
        """At each level, the share of negatives below it, and of positives above it; those at the level count one half.
        Each of shape (`N_LEVELS`,), 0 to 1 (DeLong et al., 1988, doi:10.2307/2531595)."""
        positive, negative = self._accepted
        return (1 - (negative[:-1] - self.negative / 2) / self.n_negative,
                (positive[:-1] - self.positive / 2) / self.n_positive)

    @cached_property
    def area(self) -> float:
        """AUROC: how often a positive is more alike than a negative, equal ones counted one half; 0 to 1, best 1, chance 0.5
        (Hanley & McNeil, 1982, doi:10.1148/radiology.143.1.7063747)."""
        return float((self.positive * self.placements[0]).sum() / self.n_positive)

    @cached_property
    def equal_error(self) -> float:
        """EER: the rate at which as large a share of negatives is accepted as of positives is rejected, on the straight lines
        between thresholds; 0 to 1, best 0, chance 0.5 (ISO/IEC 19795-1)."""
        accepted = [counts[::-1] / counts[0] for counts in self._accepted]
        right, wrong = accepted
        gap = wrong - (1 - right)  # grows from −1 to 1
        at = int(np.argmax(gap >= 0))
        share = -gap[at - 1] / (gap[at] - gap[at - 1])
        return float(wrong[at - 1] + share * (wrong[at] - wrong[at - 1]))

    def curve(self) -> np.ndarray:
        """The true-accept rate at the lowest threshold that keeps to each of `CURVE`, shape (points,), 0 to 1."""
        accepted = self._accepted[1][::-1]
        level = N_LEVELS - (np.searchsorted(accepted, CURVE * self.n_negative, side="right") - 1)
        return self._accepted[0][level] / self.n_positive
