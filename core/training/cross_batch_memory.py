"""The newest embeddings of a training, as they were when they were computed; knows no loss.

All of it are buffers, so a checkpoint holds them and a resumed training compares with the same ones.
"""

import torch
from torch import nn


class Memory(nn.Module):
    """A queue of embeddings and their labels, the newest last.

    Args:
        size: embeddings it holds.
        width: width D of each.
        start: batches that pass before it starts to fill.
    """

    embeddings: torch.Tensor
    label_id: torch.Tensor
    n_batches: torch.Tensor

    def __init__(self, size: int, width: int, start: int = 0) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(size, width))
        self.register_buffer("label_id", torch.full((size,), -1))  # -1 where there is no embedding
        self.register_buffer("n_batches", torch.tensor(0))
        self._start = start

    def joined(self, embeddings: torch.Tensor, label_id: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What it would hold with this batch; all of the batch where that is larger. Changes nothing.

        Args:
            embeddings: of the batch, shape (b, D).
            label_id: their labels, shape (b,), int64 from 0.

        Returns:
            Embeddings, shape (m, D), and labels, shape (m,); the batch's own are the last b, in their order.
        """
        n_older = max(0, len(self.label_id) - len(label_id))
        older, older_label_id = (values[len(values) - n_older:] for values in (self.embeddings, self.label_id))
        is_filled = older_label_id >= 0
        return (torch.cat([older[is_filled], embeddings]), torch.cat([older_label_id[is_filled], label_id]))

    def add(self, embeddings: torch.Tensor, label_id: torch.Tensor) -> None:
        """Takes a batch in, and drops the oldest for it; arguments as those of `joined`."""
        size = len(self.label_id)
        embeddings, label_id = embeddings[-size:], label_id[-size:]
        label_id = torch.where(self.n_batches < self._start, -1, label_id)
        self.embeddings = torch.cat([self.embeddings[len(embeddings):], embeddings])
        self.label_id = torch.cat([self.label_id[len(label_id):], label_id])
        self.n_batches = self.n_batches + 1
