"""One run, from its config to its artefacts: tune if asked, train, keep the best on validation, embed every sample, score.

Knows the run's folder; knows nothing of queues, processes or other runs.
"""

import copy
import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core import scored_by
from core.analysis import geometry, projection, retrieval
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.config import LEAKY_SAMPLER, EvaluationConfig, RunConfig
from core.data import split
from core.data.manifest import Manifest
from core.errors import InputError
from core.experiments import directory, filenames, openings, provenance, trials
from core.experiments.board import Board
from core.experiments.film import Film, probe_rows
from core.experiments.trials import Trial
from core.results import clusters, readouts, scoring
from core.results.readouts import Readout
from core.training import checkpoint, embed, encoder, objectives
from core.training.encoder import DataConfig
from core.training.objectives import Objective
from core.training.ranks import Ranks
from core.training.trainer import EpochRecord, Trainer

Say = Callable[[str], None]
log = logging.getLogger("duet")


class Stopped(Exception):
    """Someone asked for this run to stop; what was done is saved."""


@dataclass(frozen=True, eq=False)
class Workplace:
    """What every run of an experiment shares: samples, their decoded images (n, S, S, 3), the input, the device, and the
    processes that share each batch."""

    manifest: Manifest
    pixels: np.ndarray
    data_config: DataConfig
    device: torch.device
    ranks: Ranks = field(default_factory=Ranks)


def execute(run: Path, config: RunConfig, place: Workplace, should_stop: Callable[[], bool], say: Say) -> Generator[None]:
    """Works on a run, from its last checkpoint if there is one; yields after each trial and each epoch, epoch 0 too.

    Args:
        run: its folder.
        config: its config.
        place: samples, images and device.
        should_stop: asked after every step.
        say: told what is being done, in words.

    Raises:
        Stopped: when asked to stop, after the step in hand was finished and saved.
    """
    ask = _asking(should_stop)
    if should_stop():
        if config.is_trained:
            place.ranks.agree(None)
        raise Stopped
    say("starting")
    module, _ = encoder.build(config.encoder, config.seed)
    checkpoint_hash, objective = None, None
    if config.is_trained:
        chosen = config
        if config.n_trials:
            yield from _try_learning_rates(run, config, place, should_stop, say)
            chosen = config.with_lr(place.ranks.agree(trials.best(trials.read(run))))
        trainer = _trainer(module, chosen, place)
        yield from _train(run, chosen, trainer, place, should_stop, say)
        objective = trainer.objective
        checkpoint_hash = _load_best(run, module, objective)
    _finish(run, config, module, objective, checkpoint_hash, place, ask, say)


def follow(run: Path, config: RunConfig, place: Workplace) -> Iterator[None]:
    """Trains a run in step with the process that executes it: the same steps, and nothing written; yields when it does.

    Raises:
        InputError: if the checkpoint it goes on from cannot be found here; the processes must share the disk.
    """
    if config.n_trials:
        remaining = place.ranks.agree(None)
        if remaining is None:  # stopped before it began
            return
        for lr in remaining:
            trial = config.trial(lr)
            trainer = _trainer(encoder.build(trial.encoder, trial.seed)[0], trial, place)
            with suppress(FloatingPointError):  # the first process writes it down
                for _ in trainer.epochs(lambda: place.ranks.agree(None)):
                    pass
                if not trainer.is_done:
                    return
            yield
        config = config.with_lr(place.ranks.agree(None))
    module, _ = encoder.build(config.encoder, config.seed)
    trainer = _trainer(module, config, place)
    begun = place.ranks.agree(None)
    if begun is None:  # stopped before it began
        return
    if begun["step"] is not None:
        found = next((found for found in map(_whole, (run / filenames.LAST, run / filenames.PREVIOUS))
                      if found and found[1]["step"] == begun["step"]), None)
        if found is None:
            raise InputError(f"checkpoint of step {begun['step']} must be readable by every process, found none in {run}")
        trainer.load(*found)
    place.ranks.wait()
    if begun["is_unscored"]:  # the first process scores an epoch before it trains another
        yield
    for _ in trainer.epochs(lambda: place.ranks.agree(None)):
        yield


def _whole(path: Path) -> tuple[dict[str, torch.Tensor], dict] | None:
    try:
        return checkpoint.load(path)
    except InputError:
        return None


def _trainer(module: nn.Module, config: RunConfig, place: Workplace) -> Trainer:
    manifest, training = place.manifest, config.training
    rows = manifest.training_indices(config.images_per_class, config.seed)
    objective = objectives.build(config.objective, encoder.feature_width(module, place.data_config),
                                 len(manifest.closed_classes), config.images_per_step, config.seed, training.batch,
                                 training.views)
    pool = manifest.leaky_pool(rows) if LEAKY_SAMPLER in config.leaks else None
    return Trainer(module, objective, place.data_config, place.pixels, manifest.label_id, rows, config, place.device, pool,
                   place.ranks)


def _asking(should_stop: Callable[[], bool]) -> Callable[..., None]:
    """A call that ends the work with Stopped if that was asked for; takes and ignores what progress reports."""
    def ask(*_: int) -> None:
        if should_stop():
            raise Stopped

    return ask


def _try_learning_rates(run: Path, config: RunConfig, place: Workplace, should_stop: Callable[[], bool],
                        say: Say) -> Generator[None]:
    """Trains briefly with each learning rate that has not been tried yet, from the run's own beginning; yields after each.

    A trial that was interrupted begins anew: it keeps no checkpoint, and leaves nothing but its line in `trials.json`. Trials
    of a version with other rules are made again, unless training has begun with the rate they chose.
    """
    validation = place.manifest.indices("validation")
    own = _validation_groups(place.manifest, config)
    ask = _asking(should_stop)
    if trials.are_of_earlier_version(run) and not (len(trials.read(run)) >= config.n_trials and _has_checkpoint(run)):
        log.warning("%s: learning rates are tried again, as they were %s", run.name, scored_by.EARLIER)
        trials.discard(run)
    n_done = len(trials.read(run))
    remaining = config.learning_rates[n_done:]
    place.ranks.agree(remaining)
    for number, lr in enumerate(remaining, start=n_done + 1):
        say(f"trying learning rate {lr:g}, {number} of {config.n_trials}")
        started = time.perf_counter()
        trial = config.trial(lr)
        trainer = _trainer(encoder.build(trial.encoder, trial.seed)[0], trial, place)
        try:
            for _ in trainer.epochs(lambda: place.ranks.agree(should_stop())):
                pass
            if not trainer.is_done:
                raise Stopped
            vectors = _vectors(trainer.encoder, validation, place, config, ask)
            score = _map_at_r(vectors, place.manifest, own)
        except FloatingPointError as error:
            log.warning("%s learning rate %g: %s", run.name, lr, error)
            score = None
        trials.add(run, Trial(lr, trainer.step * trial.images_per_step, score, time.perf_counter() - started))
        yield


def _train(run: Path, config: RunConfig, trainer: Trainer, place: Workplace, should_stop: Callable[[], bool],
           say: Say) -> Generator[None]:
    manifest = place.manifest
    validation = manifest.indices("validation")
    own = _validation_groups(manifest, config)
    probe = probe_rows(manifest, config.evaluation.probe)
    film = Film(run, manifest, probe)
    ask = _asking(should_stop)
    tensors, values, refused = _newest(run, has_head=bool(trainer.objective.state_dict()))
    mark = f" ({refused})" if refused else ""  # in the phase and on the records, for people to see
    batch = config.training.batch
    note = {scored_by.KEY: scored_by.VERSION, "batch": [batch.classes, batch.samples, config.training.views],
            **({"refused": refused} if refused else {})}
    epoch, best = values["epoch"], values["best"]
    if tensors:
        trainer.load(tensors, values)
    if best >= 0 and not scored_by.is_current(values):  # of an earlier version: later epochs are compared by today's rules
        try:
            say(f"scoring the best epoch so far anew{mark}")
            best = _rescored_best(run, config, trainer.encoder, place, own, ask)
        except Stopped:
            place.ranks.agree(None)
            raise
    place.ranks.agree({"step": values["step"] if tensors else None, "is_unscored": epoch < 0 or bool(values["unscored"])})
    place.ranks.wait()
    directory.keep_records(run, epoch)
    directory.keep_alarms(run, trainer.step)
    raised = {alarm["kind"] for alarm in directory.read_alarms(run)}
    film.rewind(epoch)
    board = Board(run, trainer.step * config.images_per_step) if config.training.tensorboard else None
    saved = time.monotonic()

    def score(at_epoch: int) -> dict[str, float]:
        say(f"scoring epoch {at_epoch} of {config.budget.epochs}{mark}")
        vectors = _vectors(trainer.encoder, validation, place, config, ask)
        ask()
        film.add(at_epoch, vectors[np.searchsorted(validation, probe)])
        ask()
        found = retrieval.retrieve(vectors, manifest.label_id[validation], group=own)
        return {**{f"validation_{name}": float(np.nanmean(found[name])) for name in ("map_at_r", "precision_at_1")},
                "validation_effective_rank": float(geometry.effective_rank(vectors).mean())}

    def write(record: EpochRecord, found: dict[str, float], seconds: float) -> None:
        directory.append_record(run, {**asdict(record), **found, "total_seconds": seconds, **note})
        if board:
            board.write(record.images_seen, {**asdict(record), **found})

    def save_last(unscored: EpochRecord | None = None) -> None:
        """Saves all there is; with the record of an epoch that was trained but not scored, if so."""
        nonlocal saved
        tensors, values = trainer.state()
        values |= {scored_by.KEY: scored_by.VERSION, "epoch": epoch, "best": best,
                   "unscored": asdict(unscored) if unscored else None}
        checkpoint.save(run / filenames.LAST, tensors, values, keep=run / filenames.PREVIOUS)
        saved = time.monotonic()

    def pause() -> bool:
        """Between two steps: passes on alarms, saves when it is time to, and says whether to stop."""
        for alarm in trainer.health.fresh_alarms():
            if alarm.kind not in raised:
                raised.add(alarm.kind)
                log.warning("%s step %d: %s", run.name, alarm.step, alarm.message)
                directory.append_alarm(run, asdict(alarm))
        if time.monotonic() - saved > 60 * config.training.save_minutes:
            save_last()
        return place.ranks.agree(should_stop())

    if epoch < 0:  # the encoder as it begins is a candidate too, and stays the best until an epoch scores more
        found = score(0)
        best = found["validation_map_at_r"]
        _save_best(run, config, trainer, place, 0, best)
        write(EpochRecord(epoch=0, step=0, images_seen=0), found, 0.0)
        epoch = 0
        say(f"training, epoch 1 of {config.budget.epochs}{mark}")
        yield
    elif not trainer.is_done:
        say(f"training, epoch {epoch + 1} of {config.budget.epochs}{mark}")
    unscored = [EpochRecord(**values["unscored"])] if values["unscored"] else []
    started = time.perf_counter()
    for record in chain(unscored, trainer.epochs(pause)):
        try:
            found = score(record.epoch)
        except Stopped:
            save_last(unscored=record)
            raise
        epoch = record.epoch
        if found["validation_map_at_r"] > best:
            best = found["validation_map_at_r"]
            _save_best(run, config, trainer, place, epoch, best)
        write(record, found, time.perf_counter() - started)
        save_last()
        if epoch < config.budget.epochs:
            say(f"training, epoch {epoch + 1} of {config.budget.epochs}{mark}")
        yield
        started = time.perf_counter()  # other objectives' turns are not this run's time
    if not trainer.is_done:
        save_last()
        raise Stopped


def _rescored_best(run: Path, config: RunConfig, module: nn.Module, place: Workplace, own: np.ndarray | None,
                   ask: Callable[..., None]) -> float:
    """MAP@R on validation of the best weights so far, by today's rules; `module`, in training, stays as it is."""
    tensors, values = checkpoint.load(run / filenames.BEST)
    best = copy.deepcopy(module)
    best.load_state_dict(tensors)
    score = _map_at_r(_vectors(best, place.manifest.indices("validation"), place, config, ask), place.manifest, own)
    if score != values["validation_map_at_r"]:
        log.warning("%s: the best epoch so far, %d, was %s: validation MAP@R %.4f; now %.4f", run.name, values["epoch"],
                    scored_by.EARLIER, values["validation_map_at_r"], score)
        checkpoint.save(run / filenames.BEST, tensors, {**values, "validation_map_at_r": score})
    return score


def _map_at_r(vectors: np.ndarray, manifest: Manifest, own: np.ndarray | None) -> float:
    """MAP@R of the validation images, by which epochs and learning rates are chosen."""
    label_id = manifest.label_id[manifest.indices("validation")]
    return float(np.nanmean(retrieval.retrieve(vectors, label_id, group=own)["map_at_r"]))


def _validation_groups(manifest: Manifest, config: RunConfig) -> np.ndarray | None:
    """The own groups of the validation images, shape (n,); None, so that a query leaves out itself alone, where each class has
    one group there: nothing would be left to find, and nothing to select by."""
    own = split.own_groups(manifest, config.split)
    if split.has_answers(manifest, own, "validation"):
        return own[manifest.indices("validation")]
    log.warning("validation %s", split.WITHIN_GROUPS)
    return None


def _newest(run: Path, has_head: bool) -> tuple[dict[str, torch.Tensor], dict, str]:
    """The run's last checkpoint that is whole, without tensors where it has to begin anew; and what was refused, if any."""
    beginning: tuple[dict[str, torch.Tensor], dict] = ({}, {"epoch": -1, "best": -1.0, "unscored": None})  # MAP@R is >= 0
    try:
        found = checkpoint.load_newest([run / filenames.LAST, run / filenames.PREVIOUS])
        if found is None:
            return *beginning, ""
        if found[1]["best"] >= 0:
            for path in (run / filenames.BEST, *([run / filenames.HEAD] if has_head else [])):
                checkpoint.load(path)  # needed at the end: better refused now than then
    except InputError as error:
        refused = f"{error}; training began anew"
        log.warning("%s: %s", run.name, refused)
        return *beginning, refused
    tensors, values, reasons = found
    refused = f"{'; '.join(reasons)}; went on from the one before" if reasons else ""
    if refused:
        log.warning("%s: %s", run.name, refused)
    return tensors, values, refused


def _has_checkpoint(run: Path) -> bool:
    return any((run / name).is_file() for name in (filenames.LAST, filenames.PREVIOUS))


def _load_best(run: Path, module: nn.Module, objective: Objective) -> str:
    """Puts the best weights into an encoder and what its loss had on top; returns the encoder's checksum."""
    tensors, values = checkpoint.load(run / filenames.BEST)
    module.load_state_dict(tensors)
    if objective.state_dict():
        head, of_head = checkpoint.load(run / filenames.HEAD)
        if of_head["epoch"] != values["epoch"]:
            raise InputError(f"{run / filenames.HEAD} must be of the same epoch as {filenames.BEST}, {values['epoch']}, "
                             f"got {of_head['epoch']}")
        objective.load_state_dict(head)
    return values["sha256"]


def _vectors(module: nn.Module, rows: np.ndarray, place: Workplace, config: RunConfig,
             ask: Callable[..., None]) -> np.ndarray:
    """Embeddings as the config wants them, of length 1 or as they are."""
    raw = _features(module, rows, place, config, ask)
    return _checked(lambda: embed.unit(raw)) if config.evaluation.normalize else raw


def _features(module: nn.Module, rows: np.ndarray, place: Workplace, config: RunConfig, ask: Callable[..., None],
              is_half: bool = True) -> np.ndarray:
    return _checked(lambda: embed.embed(module, place.data_config, place.pixels, rows, place.device, normalize=False,
                                        progress=ask, flip_seed=config.seed if config.evaluation.flip else None,
                                        is_half=is_half))


def _checked(embedded: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        return embedded()
    except InputError as error:  # what the encoder makes of good images is no longer a number, or nothing
        raise FloatingPointError(str(error)) from error


def _save_best(run: Path, config: RunConfig, trainer: Trainer, place: Workplace, epoch: int, score: float) -> None:
    """Weights and all that is needed to embed with them elsewhere, without Duet; and, apart, what the loss had on top."""
    head = trainer.objective.state_dict()
    if head:  # before the encoder's, so that a crash between the two leaves no encoder without its head
        checkpoint.save(run / filenames.HEAD, head, {"epoch": epoch})
    checkpoint.save(run / filenames.BEST, trainer.encoder.state_dict(), {
        "timm_name": config.encoder.name, "timm_options": encoder.timm_options(config.encoder),
        **encoder.describe(config.encoder, place.data_config, config.evaluation.normalize),
        "classes": list(place.manifest.closed_classes), "epoch": epoch, "validation_map_at_r": score})


def _finish(run: Path, config: RunConfig, module: nn.Module, objective: Objective | None, checkpoint_hash: str | None,
            place: Workplace, ask: Callable[..., None], say: Say) -> None:
    manifest, evaluation = place.manifest, config.evaluation
    say("embedding every image")
    raw = _features(module, np.arange(len(manifest)), place, config, ask, is_half=False)
    vectors = _checked(lambda: embed.unit(raw)) if evaluation.normalize else raw
    ask()
    say("laying out every image")
    cluster = clusters.of_images(vectors, manifest)
    layout = projection.project(vectors, evaluation.projection)
    ask()
    say("scoring on the test images")
    if config.is_trained:
        openings.add(run)
    rows = manifest.training_indices(config.images_per_class, config.seed)
    own = split.own_groups(manifest, config.split)
    is_subset = config.images_per_class != "all"
    tuning = trials.summary(run, config.n_trials)
    space = EmbeddingTable(
        sample_id=manifest.sample_id, path=manifest.sample_id, label=manifest.label, label_id=manifest.label_id,
        split=manifest.split, group=own, cluster=cluster,
        x=layout[:, 0], y=layout[:, 1], embedding=vectors,
        metadata={
            "config": config.to_json(), "leaks": list(config.leaks), "classes": list(manifest.classes),
            "fingerprint": manifest.fingerprint,
            "levels": manifest.levels.to_json(),
            **encoder.describe(config.encoder, place.data_config, evaluation.normalize),
            "checkpoint_sha256": checkpoint_hash, "tuning": tuning,
            "training_samples": manifest.sample_id[rows].tolist() if is_subset else None,
            "clustering": {"method": "kmeans", "n_clusters": len(manifest.closed_classes), "seed": 0, "fitted_on": "test",
                           "matched": "hungarian"},
            "projection": {"method": evaluation.projection, "seed": 0}, "versions": provenance.versions()})
    scores = scoring.score(space)
    ask()
    space.metadata["evaluation"] = {**scoring.evaluation(scores, evaluation.bootstrap), "tuning": tuning}
    ask()
    readouts.write(run, _readouts(raw, objective, manifest, rows, own, evaluation, ask))
    scoring.write_scores(run, scores)
    if (among_held_out := scoring.score_open(space)) is not None:
        space.metadata["evaluation"]["open_set"] = scoring.open_evaluation(among_held_out, evaluation.bootstrap)
        scoring.write_scores(run, among_held_out, filenames.OPEN_SCORES)
    directory.write_json(run / filenames.EVALUATION, space.metadata["evaluation"])
    tables.write(space, run / filenames.EMBEDDINGS)


def _readouts(raw: np.ndarray, objective: Objective | None, manifest: Manifest, rows: np.ndarray, own: np.ndarray,
              evaluation: EvaluationConfig, ask: Callable[..., None]) -> list[Readout]:
    """The test images' scores at the pooled features and wherever the loss had something on top; `raw` of shape (n, D)."""
    test = clusters.by_name(manifest, manifest.indices("test"))
    places = {"pooled": raw}
    if objective is not None:
        with torch.inference_mode():
            places |= {name: values.numpy() for name, values in objective.cpu().eval().read_out(torch.from_numpy(raw)).items()}
    found = []
    for name, values in places.items():
        for is_unit in (True, False):
            ask()
            found.append(readouts.score(values[test], manifest.label_id[test], values[rows], manifest.label_id[rows], name,
                                        is_unit, evaluation.neighbors, own[test]))
    return found
