"""An arm whose seeds are tested on several splits of the same images: its scores split by split, and laid out over all images.

A split's own scores are `core.results.scores`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from core.analysis.comparison import Values
from core.analysis.probe import ProbeChoice
from core.files import Json
from core.results.scores import Scores

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the test images of several splits lie among all images that some split tests.

    Attributes:
        sample_id: all of them, sorted, shape (n,).
        rows: of each split, the rows of its images, each shape (m,).
        split: the place of each seed's split among `rows`, shape (seeds,).
    """

    sample_id: np.ndarray
    rows: tuple[np.ndarray, ...]
    split: np.ndarray

    @classmethod
    def of(cls, sample_ids: Sequence[np.ndarray], split: np.ndarray) -> "Layout":
        """The layout of each split's images, by their names."""
        names = [ids.astype(str) for ids in sample_ids]
        everything = np.unique(np.concatenate(names))
        return cls(everything.astype(object), tuple(np.searchsorted(everything, each) for each in names), split)

    def values(self, columns: Sequence[Values]) -> Values:
        """Columns of each split as one: metric -> shape (seeds, n), nan where a seed does not test the image; of the metrics
        that every split has and that have a value on each.

        Args:
            columns: of each split, metric -> shape (its seeds, m), the seeds in order.
        """
        result = {}
        for name in columns[0]:
            if all(name in each and not np.isnan(each[name]).any(axis=0).all() for each in columns):
                result[name] = np.full((len(self.split), len(self.sample_id)), np.nan)
                for number, (each, rows) in enumerate(zip(columns, self.rows)):
                    result[name][np.ix_(np.flatnonzero(self.split == number), rows)] = each[name]
        return result

    def column(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """What is the same of an image in every split that tests it, its label or its group; shape (n,)."""
        result = np.empty(len(self.sample_id), dtype=object)
        for each, rows in zip(parts, self.rows):
            result[rows] = each
        return result


@dataclass(frozen=True, eq=False)
class Repeated:
    """Scores of an arm over two splits or more; what it shares with `Scores` has the same name, and stands in the order of the
    seeds and of all tested images.

    Attributes:
        name: what to call it in a sentence.
        parts: the scores of each split, of the seeds that are tested on it.
        split: the part of each seed, shape (seeds,).
        settings: what its runs were trained and tested under.
    """

    name: str
    parts: tuple[Scores, ...]
    split: np.ndarray
    settings: Json

    @cached_property
    def layout(self) -> Layout:
        """Where the parts' images lie among all."""
        return Layout.of([part.sample_id for part in self.parts], self.split)

    @property
    def config(self) -> Json:
        """Resolved config of a run; of another run the seed alone differs."""
        return self.parts[0].config

    @property
    def is_open(self) -> bool:
        """Whether the samples are those of held-out classes."""
        return self.parts[0].is_open

    @property
    def n_seeds(self) -> int:
        """Seeds on all splits together."""
        return len(self.split)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Embedding tables, one a seed."""
        return tuple(self._by_seed(lambda part: part.files))

    @cached_property
    def probe(self) -> tuple[ProbeChoice, ...]:
        """How strongly the linear probe is regularised, a choice a seed; empty of an open set."""
        return tuple(self._by_seed(lambda part: part.probe)) if all(part.probe for part in self.parts) else ()

    @property
    def sample_id(self) -> np.ndarray:
        """All images that some split tests, shape (n,)."""
        return self.layout.sample_id

    @cached_property
    def group(self) -> np.ndarray:
        """Their groups, shape (n,)."""
        return self.layout.column([part.group for part in self.parts])

    @cached_property
    def label(self) -> np.ndarray:
        """Their classes, shape (n,)."""
        return self.layout.column([part.label for part in self.parts])

    @cached_property
    def has_groups(self) -> bool:
        """Whether some samples are of one group."""
        return len(set(self.group.tolist())) < len(self.group)

    @cached_property
    def values(self) -> Values:
        """Metric -> shape (seeds, n), nan where undefined, or not tested."""
        return self.layout.values([part.values for part in self.parts])

    @cached_property
    def space(self) -> Values:
        """The same of pseudo-values of whole spaces."""
        return self.layout.values([part.space for part in self.parts])

    @cached_property
    def levels(self) -> dict[str, float]:
        """Metric -> what it would be with permuted labels, over seeds the mean."""
        return self.over_seeds([part.levels for part in self.parts])

    @cached_property
    def levels_by_class(self) -> dict[str, float]:
        """The same of the macro averages."""
        return self.over_seeds([part.levels_by_class for part in self.parts])

    @cached_property
    def levels_of_classes(self) -> dict[str, dict[str, float]]:
        """Label -> metric -> the same among the samples of that class, of the classes that every split tests."""
        of_parts = [part.levels_of_classes for part in self.parts]
        return {label: self.over_seeds([each[label] for each in of_parts]) for label in of_parts[0]
                if all(label in each for each in of_parts)}

    def drawn(self, rows: np.ndarray | None = None) -> Values:
        """What the bootstrap draws; each split's is its own (`Scores.drawn`). Rows are all: None."""
        if rows is not None:
            raise ValueError("rows of an arm over several splits must be all, None: each split draws its own")
        return self.layout.values([part.drawn() for part in self.parts])

    def drawn_by_class(self) -> Values:
        """The same of the macro averages."""
        return self.layout.values([part.drawn_by_class() for part in self.parts])

    def defined(self, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Which samples have a value on some split; metric -> shape (n,), bool. Rows as of `drawn`."""
        if rows is not None:
            raise ValueError("rows of an arm over several splits must be all, None: each split knows its own")
        return {name: np.asarray((~np.isnan(column)).any(axis=0)) for name, column in self.values.items()}

    def over_seeds(self, numbers: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Numbers of each split's as their mean over seeds, of the names that every split has."""
        return {name: float(np.mean([numbers[place][name] for place in self.split.tolist()])) for name in numbers[0]
                if all(name in each for each in numbers)}

    def _by_seed(self, of: Callable[[Scores], Sequence[Item]]) -> list[Item]:
        """What each part holds a seed, in the order of the seeds."""
        waiting = [iter(of(part)) for part in self.parts]
        return [next(waiting[place]) for place in self.split.tolist()]


AnyScores = Scores | Repeated
