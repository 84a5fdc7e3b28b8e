"""Two arms on the same test images, row by row: what the comparison of them draws, on one split or over several.

Pairs and lays out only; what differs, and what that allows one to say, is `core.results.verdict`'s.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core import config as configuration
from core.analysis import table as tables
from core.analysis.comparison import Values
from core.errors import InputError
from core.results.repeated import AnyScores, Layout, Repeated
from core.results.scores import Scores


@dataclass(frozen=True, eq=False)
class Paired:
    """Two arms on the test images they share; all columns metric -> shape (seeds, n).

    Attributes:
        sample_id: the images, shape (n,).
        group, label: of each, shape (n,).
        drawn: of A and of B, what the bootstrap draws of queries that are defined in both.
        by_class: the same of the macro averages.
        space: pseudo-values of whole spaces.
        values: what single samples score.
        is_counted: metric -> which samples have a value in both, shape (n,), bool.
        of_classes: label -> what is drawn among its images alone, of A and of B, and their groups.
        n_dropped: test images that stand in one of the two only.
        split: the split of each seed, shape (seeds,); None: one and the same.
    """

    sample_id: np.ndarray
    group: np.ndarray
    label: np.ndarray
    drawn: tuple[Values, Values]
    by_class: tuple[Values, Values]
    space: tuple[Values, Values]
    values: tuple[Values, Values]
    is_counted: dict[str, np.ndarray]
    of_classes: dict[str, tuple[Values, Values, np.ndarray]]
    n_dropped: int
    split: np.ndarray | None = None

    @property
    def n_samples(self) -> dict[str, int]:
        """How many samples have a value in both, metric by metric."""
        return {name: int(rows.sum()) for name, rows in self.is_counted.items()}


def on_same_splits(a: AnyScores, b: AnyScores) -> list[tuple[Scores, Scores]]:
    """The scores of two arms, split by split.

    Raises:
        InputError: if they are of different splits of the same images, or have not as many seeds on each.
    """
    if isinstance(a, Repeated) and isinstance(b, Repeated):
        if not np.array_equal(a.split, b.split):
            raise InputError(f"arms over several splits must have as many seeds on each as each other, got others of "
                             f"{a.name} than of {b.name}")
        pairs = list(zip(a.parts, b.parts))
    elif isinstance(a, Scores) and isinstance(b, Scores):
        pairs = [(a, b)]
    else:
        raise InputError(f"spaces to compare must be tested on the same splits, got one split of one of {a.name} and "
                         f"{b.name} and several of the other")
    for of_a, of_b in pairs:
        numbers = [configuration.parse_run(side.config).repeat for side in (of_a, of_b)]
        if numbers[0] != numbers[1]:
            raise InputError(f"spaces to compare must be tested on the same split, got split {numbers[0]} of {a.name} and "
                             f"split {numbers[1]} of {b.name} (seed s is tested on split s mod split.repeats)")
    return pairs


def pair(a: AnyScores, b: AnyScores) -> Paired:
    """Two arms on the test images that they share.

    Raises:
        InputError: as `on_same_splits`; if they share no test sample, or disagree on the labels or groups of those they share.
    """
    parts = [_pair(of_a, of_b) for of_a, of_b in on_same_splits(a, b)]
    return parts[0] if len(parts) == 1 or not isinstance(a, Repeated) else _together(parts, a.split)


def _pair(a: Scores, b: Scores) -> Paired:
    shared = np.intersect1d(a.sample_id, b.sample_id)
    in_a, in_b = rows_of(a, shared), rows_of(b, shared)
    tables.check_labels(shared, a.label[in_a], b.label[in_b])
    if len(shared) == 0:
        raise InputError(f"spaces must share test samples to be compared, got none in {a.name} and {b.name}")
    tables.check_groups(shared, a.group[in_a], b.group[in_b])
    group, label = a.group[in_a], a.label[in_a]
    is_counted = _defined_in_both(a, b, in_a, in_b)

    def of_class(name: str) -> tuple[Values, Values, np.ndarray]:
        its_a, its_b = in_a[label == name], in_b[label == name]
        in_both = _defined_in_both(a, b, its_a, its_b)
        return a.drawn(its_a, in_both), b.drawn(its_b, in_both), group[label == name]

    def columns(of: Callable[[Scores], Values]) -> tuple[Values, Values]:
        return ({metric: column[:, in_a] for metric, column in of(a).items()},
                {metric: column[:, in_b] for metric, column in of(b).items()})

    return Paired(
        sample_id=shared, group=group, label=label, drawn=(a.drawn(in_a, is_counted), b.drawn(in_b, is_counted)),
        by_class=(a.drawn_by_class(in_a, is_counted), b.drawn_by_class(in_b, is_counted)),
        space=columns(lambda side: side.space), values=columns(lambda side: side.values), is_counted=is_counted,
        of_classes={name: of_class(name) for name in sorted(set(label.tolist()))},
        n_dropped=len(a.sample_id) + len(b.sample_id) - 2 * len(shared))


def _together(parts: Sequence[Paired], split: np.ndarray) -> Paired:
    """Pairs on several splits as one, over all images that some split tests."""
    layout = Layout.of([part.sample_id for part in parts], split)

    def both(of: Callable[[Paired], tuple[Values, Values]]) -> tuple[Values, Values]:
        return layout.values([of(part)[0] for part in parts]), layout.values([of(part)[1] for part in parts])

    def of_class(name: str) -> tuple[Values, Values, np.ndarray]:
        its = Layout.of([part.sample_id[part.label == name] for part in parts], split)
        columns = [part.of_classes[name] for part in parts]
        return (its.values([each[0] for each in columns]), its.values([each[1] for each in columns]),
                its.column([each[2] for each in columns]))

    names = [name for name in parts[0].is_counted if all(name in part.is_counted for part in parts)]
    is_counted = {name: np.zeros(len(layout.sample_id), bool) for name in names}
    for name in names:
        for part, rows in zip(parts, layout.rows):
            is_counted[name][rows] |= part.is_counted[name]
    return Paired(
        sample_id=layout.sample_id, group=layout.column([part.group for part in parts]),
        label=layout.column([part.label for part in parts]), drawn=both(lambda part: part.drawn),
        by_class=both(lambda part: part.by_class), space=both(lambda part: part.space), values=both(lambda part: part.values),
        is_counted=is_counted, n_dropped=sum(part.n_dropped for part in parts), split=split,
        of_classes={name: of_class(name) for name in parts[0].of_classes
                    if all(name in part.of_classes for part in parts)})


def _defined_in_both(a: Scores, b: Scores, in_a: np.ndarray, in_b: np.ndarray) -> dict[str, np.ndarray]:
    of_a, of_b = a.defined(in_a), b.defined(in_b)
    return {name: of_a[name] & of_b[name] for name in of_a if name in of_b}


def rows_of(scores: Scores, sample_ids: np.ndarray) -> np.ndarray:
    """The rows of some of a space's test images, shape (m,), int64."""
    row_of = {sample_id: row for row, sample_id in enumerate(scores.sample_id.tolist())}
    return np.array([row_of[sample_id] for sample_id in sample_ids.tolist()], dtype=np.int64)
