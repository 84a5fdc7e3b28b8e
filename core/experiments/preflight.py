"""What an experiment's runs will be, before any begins: batches, steps, and what earlier runs say of time and memory.

Computes from the plan and reads the records of earlier experiments; measures nothing itself.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.analysis import detectable
from core.config import BatchConfig, ExperimentConfig, RunConfig
from core.config.objectives import is_drawn
from core.data import shuffled_batches, split
from core.errors import Damaged
from core.experiments import store
from core.experiments.planning import Plan


@dataclass(frozen=True)
class SmallerBatch:
    """What runs of few images per class take where the plan's batch does not fit: the same for every objective."""

    images_per_class: int | str
    classes: int
    samples: int
    steps: int


@dataclass(frozen=True)
class ShuffledArm:
    """What an anchor of a shuffled batch finds.

    Attributes:
        name: the arm's objective, in a sentence.
        positives: other embeddings of its class, on average; None where the loss draws no pairs.
        without: share of anchors that find none, 0 to 1.
    """

    name: str
    positives: float | None
    without: float


@dataclass(frozen=True)
class Preflight:
    """What awaits each run of a plan; of its batches the largest, where some are smaller.

    Attributes:
        batch: its classes and samples.
        images_per_step: images a step sees, views counted.
        positives: other images of an anchor's class in its batch.
        negatives: images of other classes in its batch.
        most_classes: classes a batch could hold.
        most_samples: samples of each that it could hold, without duplicates, at the fewest images per class that take it.
        steps: optimizer steps of a run.
        images: images a run sees.
        passes: how often a run sees each training image, at the fewest images per class and at the most.
        smaller: the batches of the images per class that cannot fill this one, with `fit`.
        shuffled: the arms whose batches are shuffled.
        is_all_shuffled: no arm takes classes × samples.
        trial_images: images that the trials of learning rates see, in each run.
        seconds: all runs together, from how fast an earlier experiment was; None without one.
        memory: most bytes that one held; None without one.
        measured_on: that experiment's name.
        n_seeds: seeds of each arm.
        n_splits: of the same images, on which the seeds train and are tested.
        n_test: test images; of several splits, of the first.
        n_groups: their own groups; as many as images where each is one by itself.
        gap: what difference of MAP@R between two arms four of five such experiments would find, 0 to 1, if images and seeds
            vary as is usual (`detectable.USUAL`); infinite where they tell nothing apart.
        asks_training: each class has one group on validation, so that epochs and learning rates are chosen by what its images
            find among training images.
    """

    batch: BatchConfig
    images_per_step: int
    positives: int
    negatives: int
    most_classes: int
    most_samples: int
    steps: int
    images: int
    passes: tuple[float, float]
    smaller: tuple[SmallerBatch, ...] = ()
    shuffled: tuple[ShuffledArm, ...] = ()
    is_all_shuffled: bool = False
    trial_images: int = 0
    seconds: float | None = None
    memory: int | None = None
    measured_on: str = ""
    n_seeds: int = 0
    n_splits: int = 1
    n_test: int = 0
    n_groups: int = 0
    gap: float = float("inf")
    asks_training: bool = False

    @property
    def shuffled_sentence(self) -> str:
        """Which arms take shuffled batches, and what is left of pairs in them; '' if none does."""
        if not self.shuffled:
            return ""
        pairs = [f"; an anchor of {arm.name} finds {arm.positives:.1f} positives on average"
                 + (f", {100 * arm.without:.0f} % of anchors none" if arm.without >= 0.005 else "")
                 for arm in self.shuffled if arm.positives is not None]
        names = ", ".join(arm.name for arm in self.shuffled)
        return (f"Shuffled batches of {self.batch.size} images for {names}: each training image once a pass, so that classes "
                f"come as often as they have images{''.join(pairs)}")

    @property
    def gap_sentence(self) -> str:
        """What gap can be found, in words; it supposes that images and seeds vary as is usual. How much splits do is
        not known: of several no gap is foretold, but what the verdict will hold for."""
        groups = f" of {self.n_groups:,} groups" if self.n_groups < self.n_test else ""
        images = f"{self.n_test:,} test images{groups}"
        if self.n_splits > 1:
            few = "; two splits say little of how far splits differ" if self.n_splits == 2 else ""
            return (f"{self.n_seeds} seeds on {self.n_splits} splits, each tested on about {images}: the verdict will hold "
                    f"for images like these, not for one split alone{few}")
        if not self.gap < 1:
            return f"{images} tell no two arms apart"
        seeds = f"{self.n_seeds} seed{'' if self.n_seeds == 1 else 's'}"
        return (f"With {images} and {seeds}, a gap of {100 * self.gap:.1f} points of MAP@R is found four times in five, a "
                f"smaller one less often")


def look_ahead(checked: Plan, root: Path | None) -> Preflight:
    """What a plan's runs will be.

    Args:
        checked: an experiment whose data can carry it.
        root: folder of earlier experiments; None asks none how fast it was.
    """
    config, manifest = checked.config, checked.manifest
    views = config.training.views
    first_of = {run.images_per_class: run for run in reversed(config.runs()) if run.is_trained}
    run = max(first_of.values(), key=lambda run: run.images_per_step)
    batch = run.training.batch
    sizes = {count: manifest.closed_counts(manifest.training_indices(count, config.seeds[0]))
             for count in config.images_per_class}
    totals = [sum(counts.values()) for counts in sizes.values()]
    smaller = tuple(SmallerBatch(count, first_of[count].training.batch.classes, first_of[count].training.batch.samples,
                                 first_of[count].n_steps)
                    for count in config.images_per_class if first_of[count].training.batch != batch)
    images = run.n_steps * run.images_per_step
    shuffled = _shuffled(config, run, [*sizes[run.images_per_class].values()])
    seconds = memory = None
    speed, memory, name = _earlier(run, root) if root else (None, None, "")
    own = split.own_groups(manifest, config.split)
    asking = manifest.indices("test")
    if manifest.role is not None:
        asking = asking[np.isin(manifest.role[asking].astype(str), ("query", "both"))]
    group_sizes = np.unique(own[asking].astype(str), return_counts=True)[1]
    if speed:
        seconds = sum(run.n_images for run in config.runs() if run.is_trained) / speed
    return Preflight(
        batch=batch, images_per_step=run.images_per_step, positives=batch.samples * views - 1,
        negatives=(batch.classes - 1) * batch.samples * views, most_classes=len(manifest.closed_classes),
        most_samples=min(min(sizes[count].values()) for count in sizes if first_of[count].training.batch == batch),
        shuffled=shuffled, is_all_shuffled=len(shuffled) == len(config.objectives),
        steps=run.n_steps, images=images, passes=(images / max(totals), images / min(totals)), smaller=smaller,
        trial_images=run.n_images - images, seconds=seconds, memory=memory, measured_on=name,
        n_seeds=len(config.seeds), n_splits=config.split.repeats, n_test=int(group_sizes.sum()), n_groups=len(group_sizes),
        gap=detectable.gap(len(config.seeds), group_sizes, detectable.USUAL),
        asks_training=not split.has_answers(manifest, own, "validation"))


def _shuffled(config: ExperimentConfig, run: RunConfig, sizes: list[int]) -> tuple[ShuffledArm, ...]:
    """The arms with shuffled batches, at the batch and the training classes of a run."""
    of_batch = (sizes, run.training.batch.size, run.training.views)
    return tuple(ShuffledArm(objective.label or objective.word,
                             shuffled_batches.positives(*of_batch) if objective.draws_pairs else None,
                             shuffled_batches.without_positive(*of_batch))
                 for objective in config.objectives
                 if config.batch_of(objective, "all").order == "shuffled" and not is_drawn(objective))


def _earlier(config: RunConfig, root: Path) -> tuple[float | None, int | None, str]:
    """Images a second and bytes of the newest experiment with this encoder at this size; bytes if its steps were as large."""
    for experiment in store.experiments(root):
        try:
            earlier = experiment.config
        except Damaged:
            continue
        if (earlier.encoder.name, earlier.encoder.image_size) != (config.encoder.name, config.encoder.image_size):
            continue
        for run in reversed(earlier.runs()):
            records = [record for record in experiment.run(run.name).records
                       if record["epoch"] > 0 and {"images_seen", "total_seconds"} <= record.keys()]
            if records:
                speed = records[-1]["images_seen"] / sum(record["total_seconds"] for record in records)
                is_alike = records[-1].get("micro_batch") == (config.training.micro_batch or config.images_per_step)
                return speed, records[-1].get("memory") if is_alike else None, earlier.name
    return None, None, ""
