"""Scores of a space: every metric of its test samples, value by value, and what can be drawn from them."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from core.analysis import chance, macro, resampling
from core.analysis.chance import Chance
from core.analysis.comparison import Values
from core.analysis.metrics import HEADLINE, SHORT
from core.analysis.probe import ProbeChoice
from core.analysis.retrieval import Roles, roles_of
from core.files import Json


@dataclass(frozen=True, eq=False)
class Scores:
    """Every metric of one or more spaces, test sample by test sample.

    Attributes:
        name: what to call them in a sentence.
        sample_id: the n test samples, shape (n,), the same in every space.
        group: their groups, shape (n,); drawn together by the bootstrap.
        label: their classes, shape (n,).
        label_id: place of the class among the dataset's sorted classes, shape (n,), int32; `clusters` count along it too.
        values: metric of `METRICS` -> shape (seeds, n), float64, nan where undefined.
        gallery: metrics in which images are found by others -> shape (seeds, n), float64; what an image does to the others'
            values (see `Measures`). `drawn` adds it to the values.
        space: metric of `SPACE_METRICS` -> shape (seeds, n), float64; pseudo-values whose mean is the metric.
        clusters: K-means clusterings, matched to the sorted classes, shape (seeds, kmeans_seeds, n), int32.
        neighbors: nearest test samples of each outside its own group, as rows, nearest first, -1 where fewer than k are left,
            shape (seeds, n, k), int32.
        config: resolved config of the first run.
        settings: what they were trained and tested under, by `protocol`.
        files: embedding tables of the spaces, one a seed.
        is_open: whether the samples are those of held-out classes, among themselves.
        with_own_group: retrieval metric -> what it would be with samples of the query's own group counted, shape (seeds, n);
            empty where each sample is a group of its own.
        expected: metric -> what its values would be on average with labels permuted among groups of like size, shape
            (seeds, n) (`Measures.expected`).
        probe: how strongly the linear probe is regularised, a choice a seed; empty of an open set.
        gallery_by_class: as `gallery` of the retrieval metrics, each value times its `macro.weights`; of `drawn_by_class`.
        role: 'query', 'gallery', 'both' or 'neither': whether a sample asks and is found, shape (n,), str; None: every one
            does both.
    """

    name: str
    sample_id: np.ndarray
    group: np.ndarray
    label: np.ndarray
    label_id: np.ndarray
    values: Values
    gallery: Values
    space: Values
    clusters: np.ndarray
    neighbors: np.ndarray
    config: Json
    settings: Json
    files: tuple[Path, ...] = ()
    is_open: bool = False
    with_own_group: Values = field(default_factory=dict)
    expected: Values = field(default_factory=dict)
    role: np.ndarray | None = None
    probe: tuple[ProbeChoice, ...] = ()
    gallery_by_class: Values = field(default_factory=dict)

    @property
    def n_seeds(self) -> int:
        """How many spaces, one a seed."""
        return len(self.values[HEADLINE])

    @property
    def split(self) -> None:
        """The split of each seed: one and the same (`repeated.Repeated` has several)."""
        return None

    @cached_property
    def roles(self) -> Roles:
        """Which samples ask, and which are found."""
        return roles_of(np.full(len(self.sample_id), "both") if self.role is None else self.role)

    @cached_property
    def has_groups(self) -> bool:
        """Whether some samples are of one group."""
        return len(set(self.group.tolist())) < len(self.group)

    @cached_property
    def of_clusters(self) -> dict[str, Chance]:
        """Chance of what K-means gives (`chance.of_clusters`)."""
        n_classes = int(max(self.label_id.max(), self.clusters.max())) + 1
        clusterings = self.clusters.reshape(-1, len(self.label_id))
        return {name: item for name, item in
                chance.of_clusters(clusterings, self.label_id, n_classes, group=self.group).items()
                if name in self.values or name in self.space}

    @cached_property
    def levels(self) -> dict[str, float]:
        """Metric -> what it would be with permuted labels, of those that it is known of."""
        return {**{name: chance.mean_level(column) for name, column in self.expected.items()
                   if not np.isnan(column).any(axis=0).all()},
                **{name: item.level for name, item in self.of_clusters.items()}}

    @cached_property
    def levels_of_classes(self) -> dict[str, dict[str, float]]:
        """Label -> metric -> what it would be with permuted labels among the samples of that class; of what K-means gives, as
        of all samples."""
        of_all = {name: item.level for name, item in self.of_clusters.items()}
        return {label: of_all | {name: chance.mean_level(column[:, rows]) for name, column in self.expected.items()
                                 if not np.isnan(column[:, rows]).any(axis=0).all()}
                for label in sorted(set(self.label.tolist())) for rows in [self.label == label]}

    @cached_property
    def levels_by_class(self) -> dict[str, float]:
        """As `levels`, of the macro averages, in which each class counts alike."""
        return {name: float(np.mean([levels[name] for levels in self.levels_of_classes.values() if name in levels]))
                for name in self.levels}

    def drawn(self, rows: np.ndarray | None = None, is_query: dict[str, np.ndarray] | None = None) -> Values:
        """What the bootstrap draws: each metric's values, and what an image does to others as one that is found; the mean
        is the metric's.

        A test image is a query, and it stands among those that other queries find. With values alone an interval of MAP@R
        would be half as wide as other test images make it. An image whose own query is undefined is still found by others,
        and so is drawn like any other (`resampling.contributions`): how many have a value, `defined` says.

        Args:
            rows: those to keep; all if None.
            is_query: metric of `gallery` -> which of them count as queries, shape (rows,), of those that have a value; None:
                all.
        """
        rows = np.arange(len(self.sample_id)) if rows is None else rows
        columns = {name: values[:, rows] for name, values in self.values.items()}
        for name, gallery in self.gallery.items():
            if is_query is not None and not is_query.get(name, np.True_).all():
                columns[name] = np.where(is_query[name], columns[name], np.nan)
            columns[name] = resampling.contributions(columns[name], gallery[:, rows])
        return columns

    def drawn_by_class(self, rows: np.ndarray | None = None, is_query: dict[str, np.ndarray] | None = None) -> Values:
        """The same of the macro averages, in which each class counts alike; of the metrics of `SHORT` that are defined.
        Arguments as of `drawn`."""
        rows = np.arange(len(self.sample_id)) if rows is None else rows
        label_id = np.unique(self.label_id[rows], return_inverse=True)[1]
        columns = {}
        for name in (name for name in SHORT if name in self.values):
            values = self.values[name][:, rows]
            if is_query is not None and name in is_query:
                values = np.where(is_query[name], values, np.nan)
            if not np.isnan(values).any(axis=0).all():
                gallery = self.gallery_by_class[name][:, rows] if name in self.gallery_by_class else None
                columns[name] = macro.contributions(values, label_id, self.group[rows], gallery)
        return columns

    def defined(self, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Which samples have a value in every seed, metric by metric; each shape (rows,), bool. Rows as of `drawn`."""
        rows = np.arange(len(self.sample_id)) if rows is None else rows
        return {name: np.asarray(~np.isnan(values[:, rows]).any(axis=0)) for name, values in self.values.items()}
