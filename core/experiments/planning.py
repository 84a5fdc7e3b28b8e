"""From a config to an experiment that can run: scan, split, check. The one way, for page and command line alike."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core import config as configuration
from core import weights_file
from core.config import DatasetConfig, ExperimentConfig
from core.config.objectives import is_drawn
from core.data import repeats, sources, split, vectors
from core.data.manifest import Manifest
from core.errors import InputError
from core.experiments import board
from core.unchanged import Stamp, stamp

CURVE = (1, 2, 5, 15, 50)  # images per class of a low-data curve, before all of them

_good_tables: set[tuple[str, Stamp, str]] = set()  # path, stamp and samples: a form plans anew with each word that is typed


@dataclass(frozen=True, eq=False)
class Plan:
    """An experiment whose data can carry it, with its samples scanned and split."""

    config: ExperimentConfig
    manifest: Manifest
    random_split: Manifest | None = None  # for arms that measure what a random split is worth
    repeats: tuple[Manifest, ...] = ()  # the same samples in further splits, where splits are repeated

    @property
    def n_trained(self) -> int:
        """Runs that train; the untrained encoder's are not counted."""
        return sum(run.is_trained for run in self.config.runs())


def plan(config: ExperimentConfig, data: Path | None = None, progress: Callable[[int, int], None] | None = None,
         scanned: Manifest | None = None) -> Plan:
    """Scans and splits the dataset and checks that it can carry the experiment; creates nothing.

    Args:
        config: the experiment.
        data: root of datasets, where what a scan found is kept; None keeps nothing.
        progress: called with (done, total) while files are read.
        scanned: the dataset's samples if they were scanned before.

    Raises:
        NotFound, InputError: what is missing, or cannot work and what would.
    """
    config = config.with_absolute_paths()
    if config.encoder.weights_file is not None:
        weights_file.check(config.encoder.weights_file)
    if config.training.tensorboard:
        board.check()
    samples = scanned if scanned is not None else scan(config.dataset, data, progress)
    manifest, *further = repeats.assign(samples, config.split, config.seeds)
    repeats.check_plan((manifest, *further), config)
    check_baselines(config, manifest)
    asking = [objective for objective in config.objectives if config.split_of(objective) != config.split]
    random_split = split.assign(samples, config.split_of(asking[0]), config.seeds) if asking else None
    return Plan(config, manifest, random_split, tuple(further))


def check_baselines(config: ExperimentConfig, manifest: Manifest) -> None:
    """Refuses baselines whose weights file is none, or whose table lacks one of the samples.

    Raises:
        NotFound, InputError: at the baseline's place in the config.
    """
    for number, baseline in enumerate(config.baselines):
        if (file := baseline.encoder(config.encoder).weights_file) is not None and file != config.encoder.weights_file:
            weights_file.check(file, f"baselines.{number}.weights")
        if baseline.table is None:
            continue
        key = (baseline.table, stamp(baseline.table), manifest.fingerprint)
        if key in _good_tables:
            continue
        try:
            vectors.of_samples(Path(baseline.table), manifest.sample_id, manifest.label)
        except InputError as error:
            raise type(error)(f"baselines.{number}.table: {error}") from None
        _good_tables.add(key)


def low_data(config: ExperimentConfig, scanned: Manifest) -> ExperimentConfig:
    """The experiment as a low-data curve: images per class from `CURVE`, as far as its smallest class goes, and all.

    Batches that few images cannot fill shrink, for every objective alike. One image of a class needs two views of it;
    objectives that cannot learn from one begin at two. Nothing else changes.

    Args:
        config: the experiment; its batch is made to fit all images if it does not.
        scanned: its dataset's samples.

    Raises:
        InputError: if no split can be made, or there is no smaller number to begin with.
    """
    manifest = split.assign(scanned, config.split, config.seeds)
    sizes = manifest.closed_counts(manifest.indices("train"))
    needs_two = any(is_drawn(objective) or objective.pool for objective in config.objectives) or config.training.pool == "all"
    fewest = 2 if needs_two else 1
    counts = [count for count in CURVE if fewest <= count < min(sizes.values())]
    if not counts:
        raise InputError(f"a low-data curve must have classes of more than {fewest} training images, got one of "
                         f"{min(sizes.values())}")
    batch = split.fitting_batch(config.training.batch, sizes).model_copy(update={"fit": True})
    values = config.to_json()
    values["images_per_class"] = [*counts, "all"]
    values["training"] |= {"batch": batch.model_dump(), "views": 2 if 1 in counts else config.training.views}
    return configuration.parse(values)


def fitted(config: ExperimentConfig, scanned: Manifest) -> ExperimentConfig:
    """The experiment with the nearest batch that its dataset's classes can fill, and without images per class beyond the
    smallest; itself where that is nothing new, or no split can be made.

    Args:
        config: the experiment.
        scanned: its dataset's samples.
    """
    try:
        manifest = split.assign(scanned, config.split, config.seeds)
    except InputError:
        return config
    sizes = manifest.closed_counts(manifest.indices("train"))
    batch = split.fitting_batch(config.training.batch, sizes)
    counts = tuple(count for count in config.images_per_class if count == "all" or count <= min(sizes.values())) or ("all",)
    if batch.samples < 2 or (batch, counts) == (config.training.batch, config.images_per_class):
        return config
    return config.model_copy(update={"training": config.training.model_copy(update={"batch": batch}),
                                     "images_per_class": counts})


def scan(config: DatasetConfig, data: Path | None = None, progress: Callable[[int, int], None] | None = None,
         reread: bool = False) -> Manifest:
    """The samples of a dataset; what was read of them before is found again below `data`, unless all is to be reread.

    Raises:
        NotFound, InputError: as the source's own scan.
    """
    return sources.open_source(config).scan(progress, data / ".scans" if data else None, reread)


def needs_download(config: DatasetConfig) -> bool:
    """Whether a dataset that may be fetched is not there yet."""
    return config.download and config.root is not None and not sources.has_pets(Path(config.root))
