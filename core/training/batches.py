"""Which samples make each step: balanced batches, shuffled ones or triplets, from the training rows alone.

A sampler is built from training rows and knows no others, so nothing else can be drawn. Only who asks for the leak
(`training.pool: all`) hands it a wider pool to draw positives and negatives from.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from core.config import BatchConfig, RunConfig
from core.config.objectives import is_drawn
from core.errors import InputError


class Sampler(Protocol):
    """Endless batches; the same seed gives the same."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Rows of one batch after another, as `draw` gives them."""

    def draw(self) -> np.ndarray:
        """The next batch's rows, shape (b,), int64."""


def sampler_of(config: RunConfig, rows: np.ndarray, label_id: np.ndarray, pool: np.ndarray | None = None) -> Sampler:
    """The sampler that a run asks for.

    Args:
        config: its objective, batch and seed.
        rows: rows that may be trained on, shape (m,), int64.
        label_id: labels of the whole dataset, shape (n,), int32.
        pool: rows that positives and negatives come from, shape (k,), int64; None for `rows`. Shuffled batches have none.

    Raises:
        InputError: if these rows cannot fill its batches.
    """
    batch = config.training.batch
    if is_drawn(config.objective):
        return TripletSampler(rows, label_id, batch, config.seed, pool)
    if batch.order == "shuffled":
        return ShuffledSampler(rows, batch.size, config.seed)
    return BalancedSampler(rows, label_id, batch, config.seed, pool)


class BalancedSampler:
    """Endless batches of `classes` × `samples` different rows; the same seed gives the same batches.

    Classes and the samples of a class are drawn without replacement until all have had their turn. With a wider pool
    half of each class's samples are drawn from it, by chance.

    Args:
        rows: rows that may be trained on, shape (m,), int64.
        label_id: labels of the whole dataset, shape (n,), int32.
        batch: classes and samples per batch.
        seed: seed of the order.
        pool: rows that positives and negatives come from, shape (k,), int64; None for `rows`.

    Raises:
        InputError: if the batch cannot be filled without duplicates.
    """

    def __init__(self, rows: np.ndarray, label_id: np.ndarray, batch: BatchConfig, seed: int,
                 pool: np.ndarray | None = None) -> None:
        self._generator = np.random.default_rng([seed, 3])
        self._batch = batch
        self._members = {int(label): rows[label_id[rows] == label] for label in np.unique(label_id[rows])}
        self._partners = {} if pool is None else {label: pool[label_id[pool] == label] for label in self._members}
        smallest = min(len(members) for members in self._members.values())
        if len(self._members) < batch.classes or smallest < batch.samples:
            raise InputError(f"training.batch must fit {len(self._members)} classes of at least {smallest} samples, "
                             f"got {batch.classes} × {batch.samples}")
        self._waiting: dict[int, np.ndarray] = {label: np.empty(0, np.int64) for label in self._members}
        self._classes = np.empty(0, np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Rows of one batch after another, shape (classes · samples,), int64, a class at a time."""
        while True:
            yield self.draw()

    def draw(self) -> np.ndarray:
        """The next batch's rows, shape (classes · samples,), int64."""
        labels, self._classes = _take(self._generator, self._classes, np.array(sorted(self._members)), self._batch.classes)
        n_partners = self._batch.samples // 2 if self._partners else 0
        parts = []
        for label in labels.tolist():
            part, self._waiting[label] = _take(self._generator, self._waiting[label], self._members[label],
                                               self._batch.samples - n_partners)
            parts.append(part)
            if n_partners:
                others = np.setdiff1d(self._partners[label], part)
                parts.append(self._generator.choice(others, n_partners, replace=False))
        return np.concatenate(parts)


class ShuffledSampler:
    """Endless batches of different rows in random order, each row once a pass; the same seed gives the same batches.

    A batch that a pass ends in is filled up from the next pass, where those that it already holds come late.

    Args:
        rows: rows that may be trained on, shape (m,), int64.
        size: rows of a batch.
        seed: seed of the order.

    Raises:
        InputError: if there are fewer rows than a batch takes.
    """

    def __init__(self, rows: np.ndarray, size: int, seed: int) -> None:
        if size > len(rows):
            raise InputError(f"training.batch must hold at most the {len(rows)} training images where they are shuffled, got "
                             f"{size}")
        self._generator = np.random.default_rng([seed, 3])
        self._rows, self._size = rows, size
        self._waiting = np.empty(0, np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Rows of one batch after another, shape (size,), int64."""
        while True:
            yield self.draw()

    def draw(self) -> np.ndarray:
        """The next batch's rows, shape (size,), int64."""
        batch, self._waiting = _take(self._generator, self._waiting, self._rows, self._size)
        return batch


class TripletSampler:
    """Endless batches of triplets, as the study drew them: a third of `batch.size` are anchors, in turn; each has a
    positive and a negative of its own, by chance. The same seed gives the same batches.

    Args:
        rows: rows that may be trained on, shape (m,), int64; the anchors.
        label_id: labels of the whole dataset, shape (n,), int32.
        batch: its size, three times the triplets.
        seed: seed of the order.
        pool: rows that positives and negatives come from, shape (k,), int64; None for `rows`.

    Raises:
        InputError: if there is one class only, or a class without a second sample.
    """

    def __init__(self, rows: np.ndarray, label_id: np.ndarray, batch: BatchConfig, seed: int,
                 pool: np.ndarray | None = None) -> None:
        self._generator = np.random.default_rng([seed, 3])
        self._rows, self._label_id = rows, label_id
        self._n_triplets = batch.size // 3
        pool = rows if pool is None else pool
        self._same = {int(label): pool[label_id[pool] == label] for label in np.unique(label_id[rows])}
        self._other = {label: pool[label_id[pool] != label] for label in self._same}
        if len(self._same) < 2 or min(len(members) for members in self._same.values()) < 2:
            raise InputError(f"triplets must be drawn from at least two classes of two samples, got "
                             f"{[len(members) for members in self._same.values()]}")
        self._waiting = np.empty(0, np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Rows of one batch after another: anchors, their positives, their negatives, shape (3 · triplets,), int64."""
        while True:
            yield self.draw()

    def draw(self) -> np.ndarray:
        """The next batch's rows, shape (3 · triplets,), int64."""
        while len(self._waiting) < self._n_triplets:
            self._waiting = np.concatenate([self._waiting, self._generator.permutation(self._rows)])
        anchors, self._waiting = np.split(self._waiting, [self._n_triplets])
        positives, negatives = [], []
        for anchor in anchors.tolist():
            label = int(self._label_id[anchor])
            same = self._same[label]
            positives.append(self._generator.choice(same[same != anchor]))
            negatives.append(self._generator.choice(self._other[label]))
        return np.concatenate([anchors, positives, negatives]).astype(np.int64)


def _take(generator: np.random.Generator, waiting: np.ndarray, everyone: np.ndarray,
          count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` of those waiting, filled up from a new shuffle of everyone; and who waits then."""
    taken, waiting = waiting[:count], waiting[count:]
    if len(taken) < count:
        fresh = generator.permutation(everyone)
        late = np.isin(fresh, taken)  # those already in this batch wait until the next one
        fresh = np.concatenate([fresh[~late], fresh[late]])
        missing = count - len(taken)
        taken, waiting = np.concatenate([taken, fresh[:missing]]), fresh[missing:]
    return taken, waiting
