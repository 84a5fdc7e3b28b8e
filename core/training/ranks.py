"""The processes that share each batch: one alone, or as many as torch's launcher started.

Every process runs the same code. It draws the same batch and embeds its part of it; each loss sees the whole batch, and
gradients add up, so that two processes take the very step that one would. What only one may do, such as to score or to
write, the first does in `decide`, and all go on with what came of it. Nothing here knows models or losses.
"""

import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar, TypeVarTuple

# `torch.distributed.nn` is imported for its own sake: an optimizer imports it, and where a group exists by then, it keeps
# that group as a default argument; the group's threads outlive it, and one may crash the process while Python ends.
import torch
import torch.distributed as dist
import torch.distributed.nn

from core.wording import is_out_of_memory

_SHARED = "raised by every process that shares the batches"
Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


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
        """Whether this is the process that decides."""
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

    def decide(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Runs `work` in the first process alone; every process returns its result or raises its error.

        The others wait meanwhile: only the first scores, writes, and reads what may change. Between decisions every process
        takes the same branches, as they depend on results alone; where one does not, all raise.

        Args:
            work: calls nothing that all processes share, such as a training step; its result is small, since it is sent.
            arguments: of `work`.
        """
        return work(*arguments)

    def together(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Runs `work` in every process; each returns its own result, or all raise the error of one.

        Args:
            work: as that of `decide`.
            arguments: of `work`.
        """
        return work(*arguments)

    def is_shared(self, error: Exception) -> bool:
        """Whether every process has raised this error; after any other, the others may wait for this one for ever."""
        return True


class _Several(Ranks):
    def __init__(self) -> None:
        self.rank, self.n = dist.get_rank(), dist.get_world_size()
        self._is_deciding = False

    def gather(self, part: torch.Tensor, size: int) -> torch.Tensor:
        mine = self.share(size)
        everyone = torch.zeros(size, part.shape[1], dtype=part.dtype, device=part.device)
        everyone[mine] = part.detach()
        with _connected():
            dist.all_reduce(everyone)  # each row is one process's alone: a sum puts the parts together, of whatever sizes
        return torch.cat([everyone[:mine.start], part, everyone[mine.stop:]])

    def add_up(self, gradients: Iterable[torch.Tensor]) -> None:
        gradients = list(gradients)
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with _connected():
            dist.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(summed.view_as(gradient))

    def decide(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        if self._is_deciding:  # a part of a decision: the others wait for the whole of it
            return work(*arguments)
        here = _caller()
        if not self.is_first:
            return self._exchange(_Outcome(here))[0].result
        self._is_deciding = True
        try:
            outcome = _outcome(here, work, *arguments)
        finally:
            self._is_deciding = False
        self._exchange(outcome)
        return outcome.result

    def together(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        if self._is_deciding:
            return work(*arguments)
        outcome = _outcome(_caller(), work, *arguments)
        self._exchange(replace(outcome, result=None))
        return outcome.result

    def is_shared(self, error: Exception) -> bool:
        return _SHARED in getattr(error, "__notes__", ())

    def _exchange(self, own: "_Outcome") -> list["_Outcome"]:
        """Everyone's outcome; raises the first error among them, in every process."""
        everyone = [own] * self.n
        with _connected():
            dist.all_gather_object(everyone, replace(own, error=_portable(own.error)))
        for other in everyone:
            if other.at != own.at:
                raise RuntimeError(f"every process must come to the same decisions, got {other.at} in one and {own.at} in "
                                   "another")
        for rank, other in enumerate(everyone):
            if other.error is not None:
                error = own.error if rank == self.rank and own.error else other.error  # its own knows where it was raised
                error.add_note(_SHARED)
                raise error
        return everyone


@contextmanager
def _connected() -> Iterator[None]:
    """Says in words what the libraries call a closed connection.

    Raises:
        ConnectionError: if another process is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise ConnectionError("another of the processes that share each batch has ended") from error


@dataclass(frozen=True)
class _Outcome:
    """Result or error of one process's work.

    Attributes:
        at: where in the code it was called for.
        result: what it returned.
        error: what it raised.
    """

    at: str
    result: Any = None
    error: Exception | None = None


def _outcome(at: str, work: Callable[[*Arguments], object], *arguments: *Arguments) -> _Outcome:
    try:
        return _Outcome(at, work(*arguments))
    except Exception as error:
        return _Outcome(at, error=error)


def _caller() -> str:
    """Where in the code a method of `Ranks` was called."""
    frame = sys._getframe(2)
    return f"{frame.f_code.co_qualname} (line {frame.f_lineno})"


def _portable(error: Exception | None) -> Exception | None:
    """An error that can be sent to another process: itself, or one with its message where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


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
        ranks = _Several()
        yield ranks
        ranks.together(lambda: None)  # none closes its connections while another still reads from them
    finally:
        dist.destroy_process_group()
