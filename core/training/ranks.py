"""The processes that share each batch: one alone, or as many as torch's launcher started.

Every process draws the same batch and embeds its part of it; each loss sees the whole batch, and gradients add up, so
that two processes take the very step that one would. Nothing here knows models or losses.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

# `torch.distributed.nn` is imported for its own sake: an optimizer imports it, and where a group exists by then, it keeps
# that group as a default argument; the group's threads outlive it, and one may crash the process while Python ends.
import torch
import torch.distributed as dist
import torch.distributed.nn


class Ranks:
    """One process alone.

    Attributes:
        rank: this process's number, from 0.
        n: how many there are.
    """

    rank = 0
    n = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes, scores and says."""
        return self.rank == 0

    def share(self, size: int) -> slice:
        """This process's part of a batch."""
        return slice(self.rank * size // self.n, (self.rank + 1) * size // self.n)

    def gather(self, part: torch.Tensor, size: int) -> torch.Tensor:
        """Everyone's features in the order of the batch; only this process's own carry a gradient.

        Args:
            part: features of `share(size)`, shape (m, D).
            size: images in the whole batch.

        Returns:
            Shape (size, D).
        """
        return part

    def add_up(self, gradients: Iterable[torch.Tensor]) -> None:
        """Replaces each gradient by its sum over the processes."""

    def agree(self, value: Any) -> Any:
        """What the first process says, to all."""
        return value

    def wait(self) -> None:
        """Goes on when all are here."""


class _Several(Ranks):
    def __init__(self, device: torch.device) -> None:
        self.rank, self.n = dist.get_rank(), dist.get_world_size()
        self._device = device

    def gather(self, part: torch.Tensor, size: int) -> torch.Tensor:
        mine = self.share(size)
        everyone = torch.zeros(size, part.shape[1], dtype=part.dtype, device=part.device)
        everyone[mine] = part.detach()
        dist.all_reduce(everyone)  # each row is one process's alone: a sum puts the parts together, of whatever sizes
        return torch.cat([everyone[:mine.start], part, everyone[mine.stop:]])

    def add_up(self, gradients: Iterable[torch.Tensor]) -> None:
        gradients = list(gradients)
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(summed.view_as(gradient))

    def agree(self, value: Any) -> Any:
        said = [value]
        dist.broadcast_object_list(said, src=0, device=self._device if self._device.type == "cuda" else None)
        return said[0]

    def wait(self) -> None:
        dist.barrier()


def size_of_launch() -> int:
    """How many processes torch's launcher started together; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The processes of this launch, joined over NCCL on GPUs and gloo on CPUs."""
    if size_of_launch() == 1:
        yield Ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))
    try:  # the others wait while the first one decodes, scores or lays out: hence the hours
        yield _Several(device)
        dist.barrier()  # no one hangs up while another still listens
    finally:
        dist.destroy_process_group()
