"""What an experiment allows one to say, as typed values, and as the JSON of `verdict.json`, `compare --json` and `run --json`.

One description of both: pydantic reads the JSON into these classes and writes it from them, key by key in the order of their
fields. Computes nothing. What an earlier version did not write has a default here.
"""

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core import files, scored_by
from core.analysis import low_data
from core.analysis.chance import Chance
from core.analysis.comparison import Comparison, Difference, Interval, NSplits
from core.analysis.low_data import Count
from core.analysis.probe import ProbeChoice
from core.errors import Damaged
from core.experiments import handles
from core.experiments.handles import Experiment
from core.files import Json


@dataclass(frozen=True)
class OwnGroup:
    """What leaving out a query's own group comes to.

    Attributes:
        n_groups: groups among the test images.
        n_undefined: queries that have no other image of their class left to find.
        n_queries, n_gallery: test images that ask, and that are found; 0 where an earlier version did not say, and every test
            image does both.
        counted: retrieval metric -> its mean over seeds and images if the own group were counted, 0 to 1; empty where each
            image is a group of its own.
    """

    n_groups: int
    n_undefined: int
    counted: dict[str, float]
    n_queries: int = 0
    n_gallery: int = 0


@dataclass(frozen=True)
class Agreement:
    """How alike two arms' spaces are.

    Attributes:
        neighbors: how many of each image's nearest are looked at.
        overlap: mean share of them that both spaces have, seed by seed, 0 to 1.
        overlap_by_chance: the same of spaces that know nothing of each other.
        cka: linear, seed by seed, 0 to 1; None where a space is one point.
    """

    neighbors: int
    overlap: tuple[float, ...]
    overlap_by_chance: float
    cka: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An arm by itself, over its finished seeds.

    Attributes:
        objective: its label.
        images_per_class: of its runs.
        leaks: in words.
        n_seeds, n_test: behind its numbers.
        n_splits: of the same images, that its seeds were tested on.
        own_group: what leaving out a query's own group comes to.
        metrics: metric of `METRICS` -> mean and interval, each test image counted alike.
        macro: metric of `SHORT` -> the same with each class counted alike; empty where an earlier version wrote it down.
        space: the same of `SPACE_METRICS`, of those that are defined.
        against_untrained: what training did on the headline's metric; None for the untrained encoder itself, and where that
            was tested on other images or with other seeds.
        not_improved: a sentence if that is not for the better, else empty.
        unchanged: a sentence if runs export the encoder as it began, else empty.
        chance: metric -> what it would be with permuted labels.
        probe: how strongly the linear probe is regularised, a choice a seed; empty where an earlier version wrote it down, and
            among held-out classes.
    """

    objective: str
    images_per_class: Count
    leaks: tuple[str, ...] = ()
    n_seeds: int
    n_test: int
    own_group: OwnGroup | None = None
    metrics: dict[str, Interval]
    macro: dict[str, Interval] = field(default_factory=dict)
    space: dict[str, Interval] = field(default_factory=dict)
    against_untrained: Difference | None = None
    not_improved: str = ""
    unchanged: str = ""
    n_splits: NSplits = 1
    chance: dict[str, Chance] = field(default_factory=dict)
    probe: tuple[ProbeChoice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Labels:
    images_per_class: Count
    label_a: str = ""
    label_b: str = ""


@dataclass(frozen=True, kw_only=True)
class Pair(Comparison, _Labels):
    """Two arms of an experiment compared at one images-per-class, by their labels; `agreement` is None where they share fewer
    than two test images."""

    agreement: Agreement | None = None


@dataclass(frozen=True)
class Curve(low_data.Curve):
    """An experiment's low-data curve.

    Attributes:
        titles: label -> name in a sentence.
        floor_sentence: from how many images on each arm is above the untrained encoder.
        left_out: images per class that have no point yet.
    """

    titles: dict[str, str]
    floor_sentence: str
    left_out: tuple[Count, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingWorth:
    """What training is worth over the best encoder that is not trained.

    Attributes:
        images_per_class: of both arms.
        frozen, trained: the arms' labels, each the best of its kind on validation.
        n_frozen, n_trained: how many there were to choose from.
        difference: of the trained arm on the frozen one, on the headline's metric, on the test images.
        sentence: what that says.
    """

    images_per_class: Count
    frozen: str
    trained: str
    n_frozen: int
    n_trained: int
    difference: Difference
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Everything an experiment allows one to say: `verdict.json`.

    Attributes:
        schema: the layout it was decided in; files without one are of the first, which knew no margin.
        scored_by: the rules its numbers were scored by (`core.scored_by`); files of the first rules do not name them.
        rows: every arm at every images-per-class, those that are not trained first.
        comparisons: pairs of arms at every images-per-class.
        sentence: the first comparison's at the most images per class; empty before there is one.
        curve: None before there are two points.
        training_worth: whether training pays, at every images-per-class; empty where an earlier version wrote it down.
        open_rows, open_comparisons, open_training_worth: the same among held-out classes; empty where none is held out.
    """

    schema: int = 1
    scored_by: int = 1
    rows: tuple[Arm, ...]
    comparisons: tuple[Pair, ...]
    sentence: str
    curve: Curve | None = None
    training_worth: tuple[TrainingWorth, ...] = ()
    open_rows: tuple[Arm, ...] = ()
    open_comparisons: tuple[Pair, ...] = ()
    open_training_worth: tuple[TrainingWorth, ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether its numbers were scored, and its differences judged, by today's rules."""
        return self.scored_by == scored_by.VERSION and self.schema == handles.VERDICT_SCHEMA

    def asked(self, images_per_class: Count, is_open: bool = False) -> str:
        """How many test images ask how many, in words; empty where every one does both."""
        rows = self.open_arms(images_per_class) if is_open else self.arms(images_per_class)
        own = rows[0].own_group if rows else None
        if own is None or not own.n_queries or (own.n_queries, own.n_gallery) == (rows[0].n_test, rows[0].n_test):
            return ""
        return (f"Retrieval scores: {own.n_queries:,} queries against {own.n_gallery:,} gallery images, out of "
                f"{rows[0].n_test:,} {'images of held-out classes' if is_open else 'test images'}")

    def arms(self, images_per_class: Count) -> tuple[Arm, ...]:
        """The rows at one images-per-class."""
        return tuple(row for row in self.rows if row.images_per_class == images_per_class)

    def open_arms(self, images_per_class: Count) -> tuple[Arm, ...]:
        """The same among held-out classes."""
        return tuple(row for row in self.open_rows if row.images_per_class == images_per_class)

    def worth_of_training(self, images_per_class: Count, is_open: bool = False) -> str:
        """What training is worth at one images-per-class, as a sentence; empty where nothing can be said yet."""
        told = self.open_training_worth if is_open else self.training_worth
        return next((item.sentence for item in told if item.images_per_class == images_per_class), "")

    def pair(self, label_a: str, label_b: str, images_per_class: Count) -> Pair | None:
        """Two arms' comparison; None if these were not compared, or not in this order."""
        return _find(self.comparisons, label_a, label_b, images_per_class)

    def open_pair(self, label_a: str, label_b: str, images_per_class: Count) -> Pair | None:
        """The same among held-out classes."""
        return _find(self.open_comparisons, label_a, label_b, images_per_class)


_VERDICT = TypeAdapter(Verdict)


def _find(pairs: tuple[Pair, ...], label_a: str, label_b: str, images_per_class: Count) -> Pair | None:
    return next((pair for pair in pairs if (pair.label_a, pair.label_b, pair.images_per_class) == (
        label_a, label_b, images_per_class)), None)


def to_json(value: Verdict | Comparison) -> Json:
    """A result as JSON."""
    adapter: TypeAdapter[Any] = _VERDICT if isinstance(value, Verdict) else TypeAdapter(type(value))
    values: Json = adapter.dump_python(value, mode="json", by_alias=True)
    return values


def read(experiment: Experiment) -> Verdict:
    """What an experiment's last run wrote down, by whichever rules.

    Raises:
        NotFound, Damaged: as `Experiment.verdict_json`.
    """
    values = experiment.verdict_json
    try:
        return _VERDICT.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Damaged(experiment.verdict_file, f"must hold a verdict, got under {field}: {first['msg']}",
                      handles.DECIDE) from None


def write(experiment: Experiment, verdict: Verdict) -> None:
    """Replaces an experiment's `verdict.json`."""
    files.write_json(experiment.verdict_file, to_json(verdict))
