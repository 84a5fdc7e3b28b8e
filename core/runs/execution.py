"""One run, from its config to its artefacts: train, keep the best on validation, embed every sample, score.

Knows the run's folder; knows nothing of queues, processes or other runs.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.analysis import clustering, metrics, projection
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.config import LEAKY_SAMPLER, RunConfig
from core.data.manifest import Manifest
from core.runs import directory, verdict
from core.runs.film import Film, probe_rows
from core.training import checkpoint, embed, encoder, objectives
from core.training.encoder import DataConfig
from core.training.trainer import EpochRecord, Trainer

Say = Callable[[str], None]


class Stopped(Exception):
    """Someone asked for this run to stop; what was done is saved."""


@dataclass(frozen=True, eq=False)
class Workplace:
    """What every run of an experiment shares: samples, their decoded images (n, S, S, 3), the input, the device."""

    manifest: Manifest
    pixels: np.ndarray
    data_config: DataConfig
    device: torch.device


def execute(run: Path, config: RunConfig, place: Workplace, should_stop: Callable[[], bool], say: Say) -> Iterator[None]:
    """Works on a run, from its last checkpoint if there is one; gives way after each epoch.

    Args:
        run: its folder.
        config: its config.
        place: samples, images and device.
        should_stop: asked after every step.
        say: told what is being done, in words.

    Raises:
        Stopped: when asked to stop, after the step in hand was finished and saved.
    """
    if should_stop():
        raise Stopped
    say("starting")
    module, data_config = encoder.build(config.encoder, config.seed)
    checkpoint_hash = None
    if config.is_trained:
        manifest = place.manifest
        rows = manifest.training_indices(config.images_per_class, config.seed)
        width = encoder.feature_width(module, data_config)
        objective = objectives.build(config.objective, width, len(manifest.classes), config.training.batch.size,
                                     config.seed)
        pool = manifest.leaky_pool(rows) if LEAKY_SAMPLER in config.leaks else None
        trainer = Trainer(module, objective, data_config, place.pixels, manifest.label_id, rows, config, place.device, pool)
        yield from _train(run, config, trainer, place, should_stop, say)
        tensors, values = checkpoint.load(run / "best.safetensors")
        module.load_state_dict(tensors)
        checkpoint_hash = values["sha256"]
    say("embedding every image")
    _finish(run, config, module, checkpoint_hash, place)


def _train(run: Path, config: RunConfig, trainer: Trainer, place: Workplace, should_stop: Callable[[], bool],
           say: Say) -> Iterator[None]:
    manifest = place.manifest
    validation = manifest.indices("validation")
    probe = probe_rows(manifest, config.evaluation.probe)
    film = Film(run, manifest, probe)
    epoch, best = 0, -1.0  # MAP@R is never below 0
    last = run / "last.safetensors"
    if last.is_file():
        tensors, values = checkpoint.load(last)
        trainer.load(tensors, values)
        epoch, best = values["epoch"], values["best"]
        directory.keep_records(run, epoch)
        film.rewind(epoch)

    def score(at_epoch: int) -> dict[str, float]:
        vectors = embed.embed(trainer.encoder, place.data_config, place.pixels, validation, place.device,
                              config.evaluation.normalize)
        film.add(at_epoch, vectors[np.searchsorted(validation, probe)])
        found = metrics.retrieval(vectors, manifest.label_id[validation])
        return {f"validation_{name}": float(np.nanmean(found[name])) for name in ("map_at_r", "precision_at_1")}

    def save_last() -> None:
        tensors, values = trainer.state()
        checkpoint.save(last, tensors, {**values, "epoch": epoch, "best": best})

    if trainer.step == 0:
        (run / "records.jsonl").unlink(missing_ok=True)
        untrained = EpochRecord(epoch=0, step=0, images_seen=0, loss=None, gradient_norm=None, lr=0.0, seconds=0.0,
                                images_per_second=None)
        directory.append_record(run, {**asdict(untrained), **score(0), "total_seconds": 0.0})
    say(f"training, epoch {epoch + 1} of {config.budget.epochs}")
    started = time.perf_counter()
    for record in trainer.epochs(should_stop):
        epoch = record.epoch
        found = score(epoch)
        if found["validation_map_at_r"] > best:
            best = found["validation_map_at_r"]
            _save_best(run, config, trainer.encoder, place, epoch, best)
        seconds = time.perf_counter() - started
        directory.append_record(run, {**asdict(record), **found, "total_seconds": seconds})
        save_last()
        if epoch < config.budget.epochs:
            say(f"training, epoch {epoch + 1} of {config.budget.epochs}")
        yield
        started = time.perf_counter()  # other objectives' turns are not this run's time
    if not trainer.is_done:
        save_last()
        raise Stopped


def _save_best(run: Path, config: RunConfig, module: nn.Module, place: Workplace, epoch: int, score: float) -> None:
    """Weights and all that is needed to embed with them elsewhere, without Duet."""
    data = asdict(place.data_config)
    checkpoint.save(run / "best.safetensors", module.state_dict(), {
        "timm_name": config.encoder.name, "timm_options": config.encoder.options, "data_config": data,
        "classes": list(place.manifest.classes), "epoch": epoch, "validation_map_at_r": score})


def _finish(run: Path, config: RunConfig, module: nn.Module, checkpoint_hash: str | None, place: Workplace) -> None:
    manifest, evaluation = place.manifest, config.evaluation
    vectors = embed.embed(module, place.data_config, place.pixels, np.arange(len(manifest)), place.device,
                          evaluation.normalize)
    n_classes = len(manifest.classes)
    test = manifest.indices("test")
    _, centers = clustering.matched_kmeans(vectors[test], manifest.label_id[test], n_classes, seed=0)
    layout = projection.project(vectors, evaluation.projection)
    rows = manifest.training_indices(config.images_per_class, config.seed)
    is_subset = config.images_per_class != "all"
    space = EmbeddingTable(
        sample_id=manifest.sample_id, path=manifest.sample_id, label=manifest.label, label_id=manifest.label_id,
        split=manifest.split, group=manifest.group, cluster=clustering.nearest_center(vectors, centers),
        x=layout[:, 0], y=layout[:, 1], embedding=vectors,
        metadata={
            "config": config.to_json(), "leaks": list(config.leaks), "classes": list(manifest.classes),
            "fingerprint": manifest.fingerprint,
            "encoder": {"name": config.encoder.name, "options": config.encoder.options, **asdict(place.data_config)},
            "checkpoint_sha256": checkpoint_hash, "readout": "pooled features",
            "normalization": "l2" if evaluation.normalize else "none",
            "training_samples": manifest.sample_id[rows].tolist() if is_subset else None,
            "clustering": {"method": "kmeans", "n_clusters": n_classes, "seed": 0, "fitted_on": "test",
                           "matched": "hungarian"},
            "projection": {"method": evaluation.projection, "seed": 0}, "versions": directory.versions()})
    scores = verdict.score(space)
    space.metadata["evaluation"] = {"split": "test", "n_samples": len(scores.sample_id),
                                    "metrics": verdict.summarize(scores, evaluation.bootstrap)}
    verdict.write_scores(run, scores)
    directory.write_json(run / "evaluation.json", space.metadata["evaluation"])
    tables.write(space, run / "embeddings.parquet")
