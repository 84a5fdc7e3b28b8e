"""One run, from its config to its artefacts: tune if asked, train, keep the best on validation, embed every sample, score.

Knows the run's folder; knows nothing of queues, processes or other runs.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core import files, scored_by
from core.analysis import projection, retrieval
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.config import LEAKY_SAMPLER, EvaluationConfig, RunConfig
from core.data import shuffled_batches, split
from core.data.manifest import Manifest
from core.data.vectors import of_samples
from core.errors import InputError
from core.experiments import openings, provenance, trials
from core.experiments.handles import Run
from core.experiments.trials import Trial
from core.files import Json
from core.jobs.recorder import Recorder
from core.jobs.workplace import Answers, Say, StopCheck, Stopped, Validation, Workplace, make_stop_check, normalized
from core.results import clusters, readouts, scoring, summaries, thresholds
from core.results.readouts import Readout
from core.training import checkpoint, encoder, objectives
from core.training.objectives import Objective
from core.training.ranks import Ranks
from core.training.trainer import EpochRecord, Trainer

log = logging.getLogger("duet")


def execute(run: Run, config: RunConfig, workplace: Workplace, should_stop: Callable[[], bool], say: Say) -> Generator[None]:
    """Works on a run, from its last checkpoint if there is one; yields after each trial and each epoch, epoch 0 too.

    Every process of `workplace.ranks` executes the run; the first alone calls `should_stop` and `say`, and writes.

    Args:
        run: which one.
        config: its config.
        workplace: samples, images and device.
        should_stop: called after every step.
        say: called with what is being done, in words.

    Raises:
        Stopped: when asked to stop, after the step in hand was finished and saved.
    """
    ranks, check_stop = workplace.ranks, make_stop_check(should_stop)

    def begin() -> None:
        check_stop()
        say("starting")

    ranks.decide(begin)
    module = None if config.table else ranks.together(encoder.build, config.encoder, config.seed)[0]
    objective = None
    if config.is_trained and module is not None:
        chosen = config
        if config.n_trials:
            yield from _try_learning_rates(run, config, workplace, should_stop, say)
            chosen = config.with_lr(ranks.decide(lambda: trials.best(trials.read(run))))
        trainer = ranks.together(_trainer, module, chosen, workplace)
        yield from _train(run, chosen, trainer, workplace, should_stop, say)
        objective = trainer.objective
    ranks.decide(_finish, run, config, module, objective, workplace, check_stop, say)


def _trainer(module: nn.Module, config: RunConfig, workplace: Workplace) -> Trainer:
    manifest, training = workplace.manifest, config.training
    rows = manifest.training_indices(config.images_per_class, config.seed)
    positives = None if training.batch.order == "balanced" else shuffled_batches.positives(
        [*manifest.closed_counts(rows).values()], training.batch.size, training.views)
    objective = objectives.build(config.objective, encoder.feature_width(module, workplace.data_config),
                                 len(manifest.closed_classes), config.images_per_step, config.seed, training.batch,
                                 training.views, positives, manifest.class_counts(rows))
    pool = manifest.leaky_pool(rows) if LEAKY_SAMPLER in config.leaks else None
    return Trainer(module, objective, workplace.data_config, workplace.pixels, manifest.label_id, rows, config,
                   workplace.device, pool, workplace.ranks)


def _try_learning_rates(run: Run, config: RunConfig, workplace: Workplace, should_stop: Callable[[], bool],
                        say: Say) -> Generator[None]:
    """Trains briefly with each learning rate that has not been tried yet, from the run's own beginning; yields after each.

    A trial that was interrupted begins anew: it keeps no checkpoint, and leaves nothing but its line in `trials.json`. Trials
    of a version with other rules are made again, unless training has begun with the rate they chose.
    """
    asked = workplace.validation(config)

    def n_done() -> int:
        if trials.are_of_earlier_version(run) and not (len(trials.read(run)) >= config.n_trials and _has_checkpoint(run)):
            log.warning("%s: learning rates are tried again, as they were %s", run.name, scored_by.OTHERWISE)
            trials.discard(run)
        return len(trials.read(run))

    for number in range(workplace.ranks.decide(n_done), config.n_trials):
        _try(run, config, number, asked, workplace, should_stop, say)
        yield


def _try(run: Run, config: RunConfig, number: int, asked: Validation, workplace: Workplace,
         should_stop: Callable[[], bool], say: Say) -> None:
    """Trains briefly with one of the learning rates, scores what came of it, and writes the trial down."""
    ranks, lr = workplace.ranks, config.learning_rates[number]
    trial = config.trial(lr)

    def score() -> Answers:
        return workplace.validate(trainer.encoder, asked, config, make_stop_check(should_stop))

    def write(answers: Answers | None) -> None:
        map_at_r, group_chance = (answers.map_at_r, answers.group_chance) if answers else (None, 0.0)
        trials.add(run, Trial(lr, trainer.step * trial.images_per_step, map_at_r, time.perf_counter() - started, group_chance))

    def write_diverged(error: FloatingPointError) -> None:
        log.warning("%s learning rate %g: %s", run.name, lr, error)
        write(None)

    ranks.decide(say, f"trying learning rate {lr:g}, {number + 1} of {config.n_trials}")
    started = time.perf_counter()
    module, _ = ranks.together(encoder.build, trial.encoder, trial.seed)
    trainer = ranks.together(_trainer, module, trial, workplace)
    try:
        for _ in trainer.epochs(lambda: ranks.decide(should_stop)):
            pass
        if not trainer.is_done:
            raise Stopped
        answers = ranks.decide(score)
    except FloatingPointError as error:
        ranks.decide(write_diverged, error)
    else:
        ranks.decide(write, answers)


def _train(run: Run, config: RunConfig, trainer: Trainer, workplace: Workplace, should_stop: Callable[[], bool],
           say: Say) -> Generator[None]:
    """Trains from the newest checkpoint on and keeps the best epoch on validation; yields after each epoch, epoch 0 too."""
    ranks = workplace.ranks
    recorder = Recorder(run, config, trainer, workplace, make_stop_check(should_stop), say)
    values, refused = _load_newest(run, trainer, ranks)
    ranks.decide(recorder.begin, values, refused)

    def pause() -> bool:
        """Between two steps: whether to stop."""
        recorder.look()
        return should_stop()

    if values["epoch"] < 0:
        ranks.decide(recorder.add_beginning)
        yield
    unscored = [EpochRecord(**values["unscored"])] if values["unscored"] else []
    started = time.perf_counter()
    for record in chain(unscored, trainer.epochs(lambda: ranks.decide(pause))):
        ranks.decide(recorder.add, record, started)
        yield
        started = time.perf_counter()  # other objectives' turns are not this run's time
    if not trainer.is_done:
        ranks.decide(recorder.save)
        raise Stopped


def _load_newest(run: Run, trainer: Trainer, ranks: Ranks) -> tuple[Json, str]:
    """Puts a run's newest checkpoint that is whole into the trainer of every process.

    Returns:
        Its values, those of a beginning where there is none; and what was refused, if any.

    Raises:
        InputError: if it cannot be read by every process; they must share the disk.
    """
    tensors: dict[str, torch.Tensor] = {}

    def newest() -> tuple[Json, str]:
        loaded, values, refused = _newest(run, has_head=bool(trainer.objective.head_state()))
        tensors.update(loaded)
        return values, refused

    def load(values: Json) -> None:
        trainer.load(tensors if ranks.is_first else _tensors(run, values), values)

    values, refused = ranks.decide(newest)
    if "step" in values:
        ranks.together(load, values)
    return values, refused


def _tensors(run: Run, values: Json) -> dict[str, torch.Tensor]:
    """Those of the checkpoint that another process has read.

    Raises:
        InputError: if there is no such checkpoint here.
    """
    for path in (run.last_checkpoint, run.previous_checkpoint):
        with suppress(InputError):
            tensors, local_values = checkpoint.load(path)
            if local_values["sha256"] == values["sha256"]:
                return tensors
    raise InputError(f"checkpoint of step {values['step']} must be readable by every process, found none in "
                     f"{run.folder}")


def _newest(run: Run, has_head: bool) -> tuple[dict[str, torch.Tensor], dict, str]:
    """The run's last checkpoint that is whole, without tensors where it has to begin anew; and what was refused, if any."""
    beginning: tuple[dict[str, torch.Tensor], dict] = ({}, {"epoch": -1, "best": -1.0, "unscored": None})  # MAP@R is >= 0
    try:
        newest = checkpoint.load_newest([run.last_checkpoint, run.previous_checkpoint])
        if newest is None:
            return *beginning, ""
        if newest[1]["best"] >= 0:
            for path in (run.best_checkpoint, *([run.head_checkpoint] if has_head else [])):
                checkpoint.load(path)  # needed at the end: better refused now than then
    except InputError as error:
        refused = f"{error}; training began anew"
        log.warning("%s: %s", run.name, refused)
        return *beginning, refused
    tensors, values, reasons = newest
    refused = f"{'; '.join(reasons)}; went on from the one before" if reasons else ""
    if refused:
        log.warning("%s: %s", run.name, refused)
    return tensors, values, refused


def _has_checkpoint(run: Run) -> bool:
    return run.last_checkpoint.is_file() or run.previous_checkpoint.is_file()


def _load_best(run: Run, module: nn.Module, objective: Objective) -> str:
    """Puts the best weights into an encoder and what its loss had on top; returns the encoder's checksum."""
    tensors, values = checkpoint.load(run.best_checkpoint)
    module.load_state_dict(tensors)
    if objective.head_state():
        head, of_head = checkpoint.load(run.head_checkpoint)
        if of_head["epoch"] != values["epoch"]:
            raise InputError(f"{run.head_checkpoint} must be of the same epoch as {run.best_checkpoint.name}, "
                             f"{values['epoch']}, got {of_head['epoch']}")
        objective.load_state_dict(head)
    return values["sha256"]


def _finish(run: Run, config: RunConfig, module: nn.Module | None, objective: Objective | None, workplace: Workplace,
            check_stop: StopCheck, say: Say) -> None:
    """Embeds every image with the best weights, and writes what they are worth; `objective` is None without training, `module`
    where a table gives the vectors."""
    manifest, evaluation = workplace.manifest, config.evaluation
    checkpoint_hash = _load_best(run, module, objective) if module is not None and objective is not None else None
    if module is not None:
        say("embedding every image")
        raw = workplace.features_of_all(module, config, check_stop)
        origin = encoder.describe(config.encoder, workplace.data_config, evaluation.normalize)
    else:
        say("reading the table of vectors")
        raw, origin = _of_table(run, config, manifest)
    vectors = normalized(raw, config)
    check_stop()
    say("laying out every image")
    cluster = clusters.of_images(vectors, manifest)
    layout = projection.project(vectors, evaluation.projection)
    check_stop()
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
        x=layout[:, 0], y=layout[:, 1], embedding=vectors, role=manifest.role,
        metadata={
            "config": config.to_json(), "leaks": list(config.leaks), "classes": list(manifest.classes),
            "fingerprint": manifest.fingerprint,
            "levels": manifest.levels.to_json(),
            **origin, "checkpoint_sha256": checkpoint_hash, "tuning": tuning,
            "training_samples": manifest.sample_id[rows].tolist() if is_subset else None,
            "clustering": {"method": "kmeans", "n_clusters": len(manifest.closed_classes), "seed": 0, "fitted_on": "test",
                           "matched": "hungarian"},
            "projection": {"method": evaluation.projection, "seed": 0}, "versions": provenance.versions()})
    scores = scoring.score(space)
    check_stop()
    asked = workplace.validation(config)
    space.metadata["evaluation"] = {**summaries.evaluation(scores, evaluation.bootstrap), "tuning": tuning,
                                    "validation": asdict(workplace.answers(vectors[asked.all_rows], asked))}
    check_stop()
    readouts.write(run, _readouts(raw, objective, manifest, rows, own, evaluation, check_stop))
    scoring.write_scores(run, scores)
    if (among_held_out := scoring.score_open(space)) is not None:
        space.metadata["evaluation"]["open_set"] = summaries.open_evaluation(among_held_out, evaluation.bootstrap)
        scoring.write_scores(run, among_held_out)
    check_stop()
    chosen = thresholds.make(space)
    thresholds.write(run, chosen)
    space.metadata["evaluation"]["thresholds"] = thresholds.summary(chosen, evaluation.bootstrap)
    files.write_json(run.evaluation_file, space.metadata["evaluation"])
    tables.write(space, run.embeddings_file)


def _of_table(run: Run, config: RunConfig, manifest: Manifest) -> tuple[np.ndarray, Json]:
    """The vectors of a run that is a table's, shape (n, D), and where they come from, for the metadata."""
    path = Path(config.table or "")
    vectors = of_samples(path, manifest.sample_id, manifest.label)
    digest = hashlib.sha256(vectors.tobytes()).hexdigest()
    for other in run.experiment.runs:
        if other != run and other.has_embeddings and other.config.table == config.table:
            if tables.read_header(other.embeddings_file)[0]["encoder"].get("sha256", digest) != digest:
                raise InputError(f"table of vectors must be the one that {other.name} has, got others in {path}; put it back, "
                                 "or list the new one under a label of its own")
            break
    return vectors, {"encoder": {"name": path.name, "sha256": digest},
                     "readout": f"vectors of {path.name}", "normalization": "l2" if config.evaluation.normalize else "none"}


def _readouts(raw: np.ndarray, objective: Objective | None, manifest: Manifest, rows: np.ndarray, own: np.ndarray,
              evaluation: EvaluationConfig, check_stop: StopCheck) -> list[Readout]:
    """The test images' scores at the pooled features and wherever the loss had something on top; `raw` of shape (n, D)."""
    test, validation = (clusters.by_name(manifest, manifest.indices(name)) for name in ("test", "validation"))
    places = {"pooled": raw}
    if objective is not None:
        with torch.inference_mode():
            places |= {name: values.numpy() for name, values in objective.cpu().eval().read_out(torch.from_numpy(raw)).items()}
    results = []
    for name, values in places.items():
        for is_unit in (True, False):
            check_stop()
            results.append(readouts.score(values[test], manifest.label_id[test], values[rows], manifest.label_id[rows], name,
                                          is_unit, evaluation.neighbors, own[test],
                                          (values[validation], manifest.label_id[validation]),
                                          None if manifest.role is None else retrieval.roles_of(manifest.role[test])))
    return results
