"""Whose labels could have been exchanged if a space had nothing to do with the classes: units, blocks, permuted labels.

Knows no metric; `core.analysis.chance` says what metrics would be with such labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.analysis import neighbors

_LEAST_UNITS = 10  # of a block: fewer could hardly be exchanged
_LEAST_OTHERS = 5  # of them without the block's most frequent label: else its labels would stay as they are


@dataclass(frozen=True, eq=False)
class Exchangeable:
    """Samples whose labels go together, and which of them could have had each other's label.

    A unit is what one group holds of one class: a photograph is labelled once, not crop by crop, so photographs can be
    exchanged and crops of one photograph cannot (exchangeable units of a nested design: Anderson & ter Braak, 2003,
    doi:10.1080/00949650215733). A block is units of like size, which exchange labels among themselves alone (restricted
    permutation: the same). Without it, the classes of large photographs would change their numbers of samples, and with
    them how often a hit happens.

    Blocks are made from the smallest size on, each of as few sizes as hold ten units, five of them without its most frequent
    label: a unit of a size of its own would always keep its label. Where the size tells the class there is one block.

    Attributes:
        label_id: shape (n,), int.
        group: number of each sample's group, shape (n,), int64.
        unit: number of its unit, shape (n,), int64.
        block: number of its unit's block, shape (n,), int64.
        is_counted: which samples `size` and `counts` count, such as those of a gallery, shape (n,), bool; None: all.
    """

    label_id: np.ndarray
    group: np.ndarray
    unit: np.ndarray
    block: np.ndarray
    is_counted: np.ndarray | None = None

    @cached_property
    def n_blocks(self) -> int:
        """How many blocks there are."""
        return int(self.block.max()) + 1

    @cached_property
    def has_groups(self) -> bool:
        """Whether some samples are of one group."""
        return int(self.group.max()) + 1 < len(self.group)

    @cached_property
    def size(self) -> np.ndarray:
        """How many samples each unit holds, shape (units,)."""
        return self._count(self.unit)

    @cached_property
    def counts(self) -> np.ndarray:
        """How many samples of each class a block holds, shape (blocks, classes), int64."""
        n_classes = int(self.label_id.max()) + 1
        return self._count(self.block * n_classes + self.label_id, self.n_blocks * n_classes).reshape(self.n_blocks, n_classes)

    def of_groups(self) -> np.ndarray:
        """How many samples of each block a group holds, shape (groups, blocks), int64."""
        n_groups = int(self.group.max()) + 1
        return self._count(self.group * self.n_blocks + self.block, n_groups * self.n_blocks).reshape(n_groups, self.n_blocks)

    def _count(self, numbers: np.ndarray, n: int = 0) -> np.ndarray:
        return np.bincount(numbers, weights=self.is_counted, minlength=n).astype(np.int64)

    def of_units(self, values: np.ndarray) -> np.ndarray:
        """What each unit's samples have alike, shape (units,), from what each sample has, shape (n,)."""
        result = np.empty(len(self.size), values.dtype)
        result[self.unit] = values
        return result

    def permuted(self, n_permutations: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
        """Labels as they could have been, shape (n,), so many times.

        Each block keeps its labels, unit by unit; its number of samples of a class varies a little where units differ in size.
        """
        label_of_unit = self.of_units(self.label_id)
        members = [np.flatnonzero(self.of_units(self.block) == block) for block in range(self.n_blocks)]
        for _ in range(n_permutations):
            if not self.has_groups:
                yield generator.permutation(self.label_id)
                continue
            labels = label_of_unit.copy()
            for units in members:
                labels[units] = generator.permutation(label_of_unit[units])
            yield labels[self.unit]


def exchangeable(label_id: np.ndarray, group: np.ndarray | None, is_counted: np.ndarray | None = None) -> Exchangeable:
    """Units and blocks of samples.

    Args:
        label_id: shape (n,), int.
        group: samples that belong together, shape (n,); None: each alone.
        is_counted: as of `Exchangeable`.
    """
    places, unit = neighbors.cells(label_id, group)
    if int(places.max()) + 1 == len(places):  # each alone: in the order of the rows, whatever their names
        places = unit = np.arange(len(label_id))
    size = np.bincount(unit)
    label_of_unit = np.empty(len(size), np.int64)
    label_of_unit[unit] = label_id
    return Exchangeable(label_id, places.astype(np.int64), unit.astype(np.int64), _blocks(size, label_of_unit)[unit],
                        is_counted)


def _blocks(size: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Block of each unit, shape (units,), int64, from its size and label."""
    sizes, of_size = np.unique(size, return_inverse=True)
    n_labels = int(label.max()) + 1
    table = np.bincount(of_size * n_labels + label, minlength=len(sizes) * n_labels).reshape(len(sizes), n_labels)
    block_of_size, counts, block = np.empty(len(sizes), np.int64), np.zeros(n_labels, np.int64), 0
    for index, row in enumerate(table):
        block_of_size[index] = block
        counts = counts + row
        if counts.sum() >= _LEAST_UNITS and counts.sum() - counts.max() >= _LEAST_OTHERS:
            counts, block = np.zeros(n_labels, np.int64), block + 1
    n_whole = max(block, 1)  # what is left over joins the block before
    return np.minimum(block_of_size, n_whole - 1)[of_size]
