"""Thresholds of one space: same or not, known or unknown; made from its embeddings and kept in its run's folder.

Beside the verdict and no part of it. What two arms' thresholds allow one to say is `core.results.same_or_not`'s.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit, logit

from core import files
from core.analysis import novelty, verification
from core.analysis.comparison import Interval
from core.analysis.resampling import bootstrap
from core.analysis.retrieval import roles_of
from core.analysis.spending import ALPHA
from core.analysis.table import EmbeddingTable
from core.analysis.verification import Images
from core.data.manifest import OPEN
from core.errors import Damaged, InputError
from core.experiments.handles import Run
from core.files import Json
from core.results import scoring

VERSION = 1  # of how thresholds are chosen and judged
CHOICE = "choice"  # what a validation image does to the true-accept rate
OF_PAIRS = ("true_accept", "false_accept", "auroc")
OF_IMAGES = ("known_accept", "unknown_accept", "known_auroc")
_SPLITS = ("test", "validation", OPEN)


@dataclass(frozen=True)
class SameOrNot:
    """`verification.Verification`, without what single images do; `curve` is the true-accept rate at each of the
    false-accept rates of `roc.CURVE`, on test."""

    threshold: float | None
    why_not: str
    n_pairs: int
    n_groups: int
    on_validation: float | None
    n_same: int
    n_different: int
    equal_error: float | None
    curve: tuple[float, ...]


@dataclass(frozen=True)
class KnownOrUnknown:
    """`novelty.Novelty`, without what single images do; `n_classes` are held out."""

    threshold: float | None
    n_validation: int
    n_known: int
    n_unknown: int
    n_classes: int


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Thresholds of one space, and what each image does to their rates.

    Attributes:
        false_accept: share of pairs of different classes that was aimed at, 0 to 1.
        sample_id, group, split: the images of test, validation and held-out classes, in the order of sample_id, shape (n,).
        rates: 'true_accept', 'false_accept', 'auroc' of pairs, 'known_accept', 'unknown_accept', 'known_auroc' of single
            images -> 0 to 1; those that are defined.
        influence: the same and `CHOICE` -> by how much the rate is higher with one more of each image, times the images of
            its split; shape (n,), nan where it does not hang on them.
        same_or_not: what is known of pairs.
        known_or_unknown: what is known of single images; None where no class is held out.
    """

    false_accept: float
    sample_id: np.ndarray
    group: np.ndarray
    split: np.ndarray
    rates: dict[str, float]
    influence: dict[str, np.ndarray]
    same_or_not: SameOrNot
    known_or_unknown: KnownOrUnknown | None

    def drawn(self, rate: str, has_choice: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What the bootstrap draws of a rate: a value of each image, whose mean is the rate, and the rows they are of.

        Args:
            rate: one of `rates`.
            has_choice: draw validation images too, which chose the threshold; of 'true_accept'.
        """
        change = self.influence[rate]
        if has_choice:
            change = np.where(np.isnan(change), self.influence[CHOICE], change)
        rows = np.flatnonzero(~np.isnan(change))
        _, place, sizes = np.unique(self.split[rows].astype(str), return_inverse=True, return_counts=True)
        return self.rates[rate] + change[rows] * (len(rows) / sizes[place]), rows


def make(table: EmbeddingTable) -> Thresholds:
    """Chooses thresholds on a space's validation images and judges them on its test images and held-out classes.

    Args:
        table: a run's space; `metadata['training_samples']` names its labelled samples, None all of train.
    """
    table = scoring.by_name(table.rows(np.isin(table.split.astype(str), (*_SPLITS, "train"))))
    used = table.metadata["training_samples"]
    gallery = table.of_split("train") if used is None else table.rows(np.isin(table.sample_id, used))
    images = table.rows(np.isin(table.split.astype(str), _SPLITS))
    rows = {name: np.flatnonzero(images.split == name) for name in _SPLITS}
    test, validation, unknown = (images.rows(rows[name]) for name in _SPLITS)
    false_accept = table.config.evaluation.false_accept / 100
    pairs = verification.measure(_pairs(validation, has_roles=False), _pairs(test), false_accept)
    rates = {name: rate.value for name, rate in pairs.rates.items()}
    changes = [(name, "test", rate.influence) for name, rate in pairs.rates.items()]
    if pairs.threshold is not None:
        changes.append((CHOICE, "validation", pairs.choice))
    known_or_unknown = None
    if len(unknown) and len(test) and len(gallery):
        single = novelty.measure(gallery.embedding, validation.embedding, test.embedding, unknown.embedding)
        known_or_unknown = KnownOrUnknown(single.threshold, single.n_validation, single.n_known, single.n_unknown,
                                          len(set(unknown.label.tolist())))
        for split, of_split in (("test", single.known), (OPEN, single.unknown)):
            rates |= {name: rate.value for name, rate in of_split.items()}
            changes += [(name, split, rate.influence) for name, rate in of_split.items()]
    influence = {name: np.full(len(images), np.nan) for name, _, _ in changes}
    for name, split, values in changes:
        influence[name][rows[split]] = values
    return Thresholds(
        false_accept, images.sample_id, images.group, images.split, rates, influence,
        SameOrNot(threshold=pairs.threshold, why_not=pairs.why_not, n_pairs=pairs.n_pairs, n_groups=pairs.n_groups,
                  on_validation=_number(pairs.on_validation), n_same=pairs.n_same, n_different=pairs.n_different,
                  equal_error=_number(pairs.equal_error), curve=tuple(pairs.curve.tolist())), known_or_unknown)


def _pairs(table: EmbeddingTable, has_roles: bool = True) -> Images:
    return Images(table.embedding, table.label_id, table.group,
                  roles_of(table.role) if has_roles and table.role is not None else None)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def summary(thresholds: Thresholds, n_bootstrap: int) -> Json:
    """What goes along with an exported encoder: each threshold, the rate it was chosen for and on which images, and its rates
    on test with their 95 % intervals, for JSON."""
    pairs, single = thresholds.same_or_not, thresholds.known_or_unknown
    rates = {name: asdict(item) for name, item in rate_intervals([thresholds], n_bootstrap).items()}
    of_pairs, of_images = ({name: rates[name] for name in names if name in rates} for names in (OF_PAIRS, OF_IMAGES))
    said: Json = {"similarity": "cosine", "same_or_not": {
        "threshold": pairs.threshold, "why_not": pairs.why_not, "chosen_on": "validation",
        "chosen_for": {"false_accept": thresholds.false_accept},
        "validation": {"n_pairs_of_different_classes": pairs.n_pairs, "n_groups": pairs.n_groups,
                       "false_accept": pairs.on_validation},
        "test": {**of_pairs, "equal_error": pairs.equal_error, "n_pairs_of_one_class": pairs.n_same,
                 "n_pairs_of_different_classes": pairs.n_different}}}
    if single is not None:
        said["known_or_unknown"] = {
            "threshold": single.threshold, "gallery": "training images", "chosen_on": "validation",
            "chosen_for": {"known_accept": novelty.KNOWN_ACCEPTED}, "validation": {"n_images": single.n_validation},
            "test": {**of_images, "n_known": single.n_known, "n_unknown": single.n_unknown,
                     "n_unknown_classes": single.n_classes}}
    return said


def rate_intervals(spaces: list[Thresholds], n_bootstrap: int) -> dict[str, Interval]:
    """Each rate that all spaces have, its mean over them with a 95 % interval over seeds and test images, at the thresholds
    that were chosen; whole groups are drawn.

    Ends of the bootstrap's interval are moved to the scale of log(rate / (1 − rate)), as rare errors are skewed (Pepe, 2003,
    The Statistical Evaluation of Medical Tests, chapter 5). A rate of 0 or 1 reaches as far as that of as many independent
    pairs, or images, as the groups make (Clopper & Pearson, 1934, doi:10.1093/biomet/26.4.404).

    Args:
        spaces: of one arm, a seed each.
        n_bootstrap: draws.
    """
    result = {}
    for name in (*OF_PAIRS, *OF_IMAGES):
        if all(name in space.rates for space in spaces):
            columns, group = column(spaces, name)
            drawn = bootstrap([columns], n_bootstrap, 0, group)
            n_groups = len(set(group.tolist()))
            low, high = _ends(rate := float(np.clip(drawn.mean[0], 0, 1)), float(drawn.low[0]), float(drawn.high[0]),
                              n_groups // 2 if name in OF_PAIRS else n_groups)
            sd = float(columns.mean(axis=1).std(ddof=1)) if len(columns) > 1 else 0.0
            result[name] = Interval(rate, low, high, sd)
    return result


def _ends(rate: float, low: float, high: float, n_independent: int) -> tuple[float, float]:
    """The ends of a rate's interval on the scale of log odds, from those of the bootstrap; an end that lies farther from the
    rate than that scale is straight stays where the bootstrap has it."""
    if rate in (0.0, 1.0):
        reach = 1 - (ALPHA / 2) ** (1 / max(1, n_independent))
        return (0.0, reach) if rate == 0 else (1 - reach, 1.0)
    steps = (np.array([low, high]) - rate) / (rate * (1 - rate))
    moved = expit(logit(rate) + steps)
    low, high = np.where(np.abs(steps) <= _STRAIGHT, moved, np.clip([low, high], 0, 1)).tolist()
    return low, high


_STRAIGHT = 2.0  # of log odds: beyond it few seeds, whose t is wide, would send an end to 0 or 1


def column(spaces: list[Thresholds], rate: str, has_choice: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """What the bootstrap draws of an arm's rate, shape (seeds, images), and the images' groups, shape (images,)."""
    drawn = [space.drawn(rate, has_choice) for space in spaces]
    return np.stack([values for values, _ in drawn]), spaces[0].group[drawn[0][1]]


_TEXT = ("sample_id", "group", "split")


def write(run: Run, thresholds: Thresholds) -> None:
    """Keeps a run's thresholds, so that showing them counts no pairs."""
    columns = {**{name: pa.array(getattr(thresholds, name).tolist(), pa.string()) for name in _TEXT},
               **{name: pa.array(values, pa.float64(), from_pandas=True) for name, values in thresholds.influence.items()}}
    single = thresholds.known_or_unknown
    said = {"version": VERSION, "false_accept": thresholds.false_accept, "rates": thresholds.rates,
            "same_or_not": asdict(thresholds.same_or_not), "known_or_unknown": asdict(single) if single else None}
    with files.replacing(run.thresholds_file) as temporary:
        pq.write_table(pa.table(columns).replace_schema_metadata({"duet": json.dumps(said)}), temporary, compression="zstd")


def is_kept(run: Run) -> bool:
    """Whether a run's thresholds lie in its folder by today's rules, so that `read` counts no pairs."""
    with suppress(FileNotFoundError, Damaged):
        return files.read(run.thresholds_file, _kept, "a run's thresholds") is not None
    return False


def read(run: Run) -> Thresholds:
    """A completed run's thresholds; damaged, gone or of an earlier version they are made anew from its embeddings, and kept.

    Raises:
        InputError: if the run is not completed.
        Damaged: if they cannot be read and its embeddings neither.
    """
    with suppress(FileNotFoundError, Damaged):
        if (kept := files.read(run.thresholds_file, _kept, "a run's thresholds")) is not None:
            return kept
    if not run.has_embeddings:
        raise InputError(f"{run.full_name} must be completed to have thresholds, got {run.status.state}")
    thresholds = make(scoring.read_space(run))
    with suppress(OSError):  # a disk that is full or only to be read: they are made again next time
        write(run, thresholds)
    return thresholds


def _kept(path: Path) -> Thresholds | None:
    """The thresholds in a file, None if an earlier version wrote it; raises whatever broken content makes a reader raise."""
    arrow = pq.read_table(path)
    said = json.loads((arrow.schema.metadata or {})[b"duet"])
    if said["version"] != VERSION:
        return None
    text = {name: np.array(arrow[name].to_pylist(), dtype=object) for name in _TEXT}
    influence = {name: arrow[name].to_numpy() for name in arrow.column_names if name not in _TEXT}
    pairs, single = said["same_or_not"], said["known_or_unknown"]
    return Thresholds(said["false_accept"], **text, rates=said["rates"], influence=influence,
                      same_or_not=SameOrNot(**{**pairs, "curve": tuple(pairs["curve"])}),
                      known_or_unknown=KnownOrUnknown(**single) if single else None)
