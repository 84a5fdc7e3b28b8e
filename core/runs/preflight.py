"""What an experiment's runs will be, before any begins: batches, steps, and what earlier runs say of time and memory.

Computes from the plan and reads the records of earlier experiments; measures nothing itself.
"""

from dataclasses import dataclass
from pathlib import Path

from core.config import ExperimentConfig
from core.runs import directory
from core.runs.planning import Plan


@dataclass(frozen=True)
class Preflight:
    """What awaits each run of a plan.

    Attributes:
        images_per_step: images a step sees, views counted.
        positives: other images of an anchor's class in its batch.
        negatives: images of other classes in its batch.
        most_classes: classes a batch could hold.
        most_samples: samples of each that it could hold, without duplicates, at the fewest images per class.
        steps: optimizer steps of a run.
        images: images a run sees.
        passes: how often a run sees each training image, at the fewest images per class and at the most.
        seconds: all runs together, from how fast an earlier experiment was; None without one.
        memory: most bytes that one held; None without one.
        measured_on: that experiment's name.
    """

    images_per_step: int
    positives: int
    negatives: int
    most_classes: int
    most_samples: int
    steps: int
    images: int
    passes: tuple[float, float]
    seconds: float | None = None
    memory: int | None = None
    measured_on: str = ""


def look_ahead(checked: Plan, root: Path) -> Preflight:
    """What a plan's runs will be.

    Args:
        checked: an experiment whose data can carry it.
        root: folder of earlier experiments.
    """
    config, manifest = checked.config, checked.manifest
    batch, views = config.training.batch, config.training.views
    run = config.runs()[0]
    sizes = [manifest.counts(manifest.training_indices(count, config.seeds[0])) for count in config.images_per_class]
    totals = [sum(counts.values()) for counts in sizes]
    images = run.n_steps * run.images_per_step
    seconds = memory = None
    speed, memory, name = _earlier(config, root)
    if speed:
        seconds = checked.n_trained * images / speed
    return Preflight(
        images_per_step=run.images_per_step, positives=batch.samples * views - 1,
        negatives=(batch.classes - 1) * batch.samples * views, most_classes=len(manifest.classes),
        most_samples=min(min(counts.values()) for counts in sizes), steps=run.n_steps, images=images,
        passes=(images / max(totals), images / min(totals)), seconds=seconds, memory=memory, measured_on=name)


def _earlier(config: ExperimentConfig, root: Path) -> tuple[float | None, int | None, str]:
    """Images a second and bytes of the newest experiment with this encoder at this size; bytes if its steps were as large."""
    for folder in directory.experiments(root):
        earlier = directory.read_config(folder)
        if (earlier.encoder.name, earlier.encoder.image_size) != (config.encoder.name, config.encoder.image_size):
            continue
        for run in reversed(earlier.runs()):
            records = [record for record in directory.read_records(folder / run.name) if record["epoch"] > 0]
            if records:
                speed = records[-1]["images_seen"] / sum(record["total_seconds"] for record in records)
                is_alike = records[-1].get("micro_batch") == (config.training.micro_batch or config.runs()[0].images_per_step)
                return speed, records[-1].get("memory") if is_alike else None, earlier.name
    return None, None, ""
