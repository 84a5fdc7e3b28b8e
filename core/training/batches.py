"""Which samples make each step: classes × samples batches, from the training rows alone.

A sampler is built from training rows and labels and knows no others, so nothing else can be drawn.
"""

from collections.abc import Iterator

import numpy as np

from core.config import BatchConfig


class BatchSampler:
    """Endless batches of `classes` × `samples` different rows; the same seed gives the same batches.

    Classes and the samples of a class are drawn without replacement until all have had their turn.

    Args:
        rows: rows that may be trained on, shape (n,), int64.
        label_id: their labels, shape (n,), int32.
        batch: classes and samples per batch.
        seed: seed of the order.

    Raises:
        ValueError: if the batch cannot be filled without duplicates.
    """

    def __init__(self, rows: np.ndarray, label_id: np.ndarray, batch: BatchConfig, seed: int) -> None:
        self._generator = np.random.default_rng([seed, 3])
        self._batch = batch
        self._members = {int(label): rows[label_id == label] for label in np.unique(label_id)}
        smallest = min(len(members) for members in self._members.values())
        if len(self._members) < batch.classes or smallest < batch.samples:
            raise ValueError(f"training.batch must fit {len(self._members)} classes of at least {smallest} samples, "
                             f"got {batch.classes} × {batch.samples}")
        self._waiting: dict[int, np.ndarray] = {label: np.empty(0, np.int64) for label in self._members}
        self._classes = np.empty(0, np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Rows of one batch after another, shape (classes · samples,), int64, a class at a time."""
        while True:
            yield self.draw()

    def draw(self) -> np.ndarray:
        """The next batch's rows, shape (classes · samples,), int64."""
        labels, self._classes = self._take(self._classes, np.array(sorted(self._members)), self._batch.classes)
        parts = []
        for label in labels.tolist():
            part, self._waiting[label] = self._take(self._waiting[label], self._members[label], self._batch.samples)
            parts.append(part)
        return np.concatenate(parts)

    def _take(self, waiting: np.ndarray, everyone: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        taken, waiting = waiting[:count], waiting[count:]
        if len(taken) < count:
            fresh = self._generator.permutation(everyone)
            late = np.isin(fresh, taken)  # those already in this batch wait until the next one
            fresh = np.concatenate([fresh[~late], fresh[late]])
            missing = count - len(taken)
            taken, waiting = np.concatenate([taken, fresh[:missing]]), fresh[missing:]
        return taken, waiting
