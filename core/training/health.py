"""Is the training well? Watches each step's loss and features, and says in words what is wrong and what helps.

Keeps numbers on the device and fetches them every few steps, so that watching costs no time. Changes nothing.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

EVERY = 10  # steps between looks at the numbers

# A space collapses when its features draw together while the loss nears the value it has for one single point. Spread is
# 1 − mean cosine. Healthy runs were seen to go down to 0.17 of their first spread (a random ConvNeXt under SupCon),
# collapsing ones pass 0.001 within twenty steps.
COLLAPSED_SPREAD = 0.02     # of the first step's
NEAR_COLLAPSE_VALUE = 0.25  # of that value
POINT_SPREAD = 1e-4         # of the first step's: a point, whatever the loss
EXPLODED = 50.0             # times the median gradient norm so far
IDLE = 0.01                 # share of triplets that still teach


@dataclass(frozen=True)
class Alarm:
    """What is wrong from some step on: 'collapse', 'exploding' or 'idle', and one sentence with cause and remedy."""

    kind: str
    step: int
    message: str


class Health:
    """Watches one run.

    Args:
        collapse_value: loss of a space that is a single point.
        lr: learning rate, for the remedy's words.
    """

    def __init__(self, collapse_value: float, lr: float) -> None:
        self._collapse_value, self._lr = collapse_value, lr
        self._waiting: list[torch.Tensor] = []
        self._steps = 0
        self._first_spread: float | None = None
        self._norms: list[float] = []
        self._raised: dict[str, Alarm] = {}
        self._fresh: list[Alarm] = []

    def look(self, loss: torch.Tensor, gradient_norm: torch.Tensor, cosine: torch.Tensor, active: torch.Tensor) -> None:
        """Takes in one step's scalars.

        Args:
            loss: of the batch.
            gradient_norm: of all parameters.
            cosine: mean between all pairs of the batch's features.
            active: share of the triplets with a loss; nan where there are none.
        """
        self._waiting.append(torch.stack([loss, gradient_norm, cosine, active]))
        self._steps += 1
        if len(self._waiting) == EVERY:
            self._judge()

    def go_on_from(self, step: int) -> None:
        """Tells where a resumed run stands."""
        self._steps = step

    def fresh_alarms(self) -> list[Alarm]:
        """Alarms raised since this was last asked; each kind is raised once a run."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def _judge(self) -> None:
        loss, norm, cosine, active = torch.stack(self._waiting).float().cpu().T.tolist()
        self._waiting.clear()
        if not all(map(math.isfinite, loss)):
            return  # the trainer ends the run
        spread = [1 - value for value in cosine]
        if self._first_spread is None:
            self._first_spread = spread[0]
        mean_loss = sum(loss) / EVERY
        is_near_value = abs(mean_loss - self._collapse_value) < NEAR_COLLAPSE_VALUE * abs(self._collapse_value)
        if max(spread) < (COLLAPSED_SPREAD if is_near_value else POINT_SPREAD) * self._first_spread:
            self._raise("collapse", f"all embeddings draw together into one point: mean cosine {cosine[-1]:.4f}, loss "
                        f"{mean_loss:.3f} where one point has {self._collapse_value:.3f}; lower training.lr ({self._lr:g}), "
                        f"lengthen training.warmup, or take an easier mining")
        if self._norms:
            usual = sorted(self._norms)[len(self._norms) // 2]
            if usual > 0 and min(norm) > EXPLODED * usual:
                self._raise("exploding", f"gradients are {min(norm) / usual:.0f} times as large as usual; lower training.lr "
                            f"({self._lr:g})")
        self._norms += norm
        if all(value < IDLE for value in active):  # never true of nan
            self._raise("idle", f"{100 * max(active):.1f} % of the triplets still teach; take a harder mining (batch_hard) or "
                        "a larger margin, or end here")

    def _raise(self, kind: str, message: str) -> None:
        if kind not in self._raised:
            self._raised[kind] = Alarm(kind, self._steps, message)
            self._fresh.append(self._raised[kind])


def mean_cosine(features: torch.Tensor) -> torch.Tensor:
    """Mean cosine over all pairs of different rows: 1 if all point the same way; a scalar. Features: shape (b, D)."""
    unit = F.normalize(features.double(), dim=1)
    n = len(unit)
    return (((unit.sum(dim=0) ** 2).sum() - n) / (n * (n - 1))).float()
