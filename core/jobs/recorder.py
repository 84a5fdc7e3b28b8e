"""What a run in training leaves in its folder: records, alarms, film, event files and checkpoints.

Trains nothing. Only the first of several processes calls a recorder.
"""

import copy
import logging
import time
from dataclasses import asdict

import numpy as np

from core import scored_by
from core.analysis import geometry
from core.config import RunConfig
from core.experiments.board import Board
from core.experiments.film import Film, probe_rows
from core.experiments.handles import Run
from core.files import Json
from core.jobs.workplace import Answers, Say, StopCheck, Stopped, Workplace
from core.training import checkpoint, encoder
from core.training.trainer import EpochRecord, Trainer

log = logging.getLogger("duet")


class Recorder:
    """Scores each epoch of a run on validation, and keeps what is worth keeping.

    Args:
        run: which one.
        config: its config.
        trainer: which trains it.
        workplace: samples, images and device.
        check_stop: raises Stopped if the run is to stop.
        say: called with what is being done, in words.
    """

    def __init__(self, run: Run, config: RunConfig, trainer: Trainer, workplace: Workplace, check_stop: StopCheck,
                 say: Say) -> None:
        self._run, self._config, self._trainer, self._workplace = run, config, trainer, workplace
        self._check_stop, self._say = check_stop, say
        batch, manifest = config.training.batch, workplace.manifest
        self._validation = workplace.validation(config)
        self._probe = probe_rows(manifest, config.evaluation.probe)
        self._film = Film(run, manifest, self._probe)
        self._board: Board | None = None
        self._epoch, self._best, self._answers = -1, -1.0, Answers(0.0, 0.0, 0.0)
        self._mark = ""
        self._note: Json = {scored_by.KEY: scored_by.VERSION, "batch": [batch.classes, batch.samples, config.training.views],
                            "batch_order": batch.order}
        self._raised: set[str] = set()
        self._saved = 0.0

    def begin(self, values: Json, refused: str) -> None:
        """Takes up the work, or goes on with it: what was written of later epochs is dropped.

        Args:
            values: of the checkpoint that the trainer goes on from.
            refused: which checkpoints were not gone on from, and why; shown in each phase and record from now on.

        Raises:
            Stopped: if that was asked for while the best epoch so far was scored anew.
        """
        self._epoch, self._best = values["epoch"], values["best"]
        if refused:
            self._mark = f" ({refused})"
            self._note["refused"] = refused
        is_current = scored_by.leaves_out_own_group(values) and (
            not self._validation.has_groups or values.get("best_of_groups", False))
        if self._best >= 0 and not is_current:  # later epochs are compared with it by today's rules
            self._say(f"scoring the best epoch so far anew{self._mark}")
            self._best = self._rescored_best()
        self._run.keep_records(self._epoch)
        self._run.keep_alarms(self._trainer.step)
        self._raised = {alarm["kind"] for alarm in self._run.alarms}
        self._film.rewind(self._epoch)
        if self._config.training.tensorboard:
            self._board = Board(self._run, self._trainer.step * self._config.images_per_step)
        self._saved = time.monotonic()
        if self._epoch >= 0 and not self._trainer.is_done:
            self._say_training()

    def look(self) -> None:
        """Between two steps: passes on alarms, and saves when it is time to."""
        for alarm in self._trainer.health.fresh_alarms():
            if alarm.kind not in self._raised:
                self._raised.add(alarm.kind)
                log.warning("%s step %d: %s", self._run.name, alarm.step, alarm.message)
                self._run.append_alarm(asdict(alarm))
        if time.monotonic() - self._saved > 60 * self._config.training.save_minutes:
            self.save()

    def add_beginning(self) -> None:
        """Adds epoch 0: the encoder as it begins is a candidate too, and stays the best until an epoch scores more.

        Raises:
            Stopped: if that was asked for.
        """
        scores = self._score(0)
        self._best = self._answers.criterion
        self._save_best(0)
        self._write(EpochRecord(epoch=0, step=0, images_seen=0), scores, 0.0)
        self._epoch = 0
        self._say_training()

    def add(self, record: EpochRecord, started: float) -> None:
        """Scores a trained epoch on validation, writes its record and saves the last checkpoint.

        The epoch's weights also become the best checkpoint if it scores higher than every epoch before.

        Args:
            record: what the trainer measured during the epoch.
            started: when work on the epoch began, in seconds of `time.perf_counter`.

        Raises:
            Stopped: if the run was asked to stop before the epoch was scored. The checkpoint then holds the record, and the
                epoch is scored when the run resumes.
        """
        try:
            scores = self._score(record.epoch)
        except Stopped:
            self.save(unscored=record)
            raise
        self._epoch = record.epoch
        if self._answers.criterion > self._best:
            self._best = self._answers.criterion
            self._save_best(self._epoch)
        self._write(record, scores, time.perf_counter() - started)
        self.save()
        if self._epoch < self._config.budget.epochs:
            self._say_training()

    def save(self, unscored: EpochRecord | None = None) -> None:
        """Saves all there is; with the record of an epoch that was trained but not scored, if so."""
        tensors, values = self._trainer.state()
        values |= {scored_by.KEY: scored_by.VERSION, "epoch": self._epoch, "best": self._best, "best_of_groups": True,
                   "unscored": asdict(unscored) if unscored else None}
        checkpoint.save(self._run.last_checkpoint, tensors, values, keep=self._run.previous_checkpoint)
        self._saved = time.monotonic()

    def _say_training(self) -> None:
        self._say(f"training, epoch {self._epoch + 1} of {self._config.budget.epochs}{self._mark}")

    def _score(self, epoch: int) -> dict[str, float]:
        self._say(f"scoring epoch {epoch} of {self._config.budget.epochs}{self._mark}")
        asked = self._validation
        vectors = self._workplace.vectors(self._trainer.encoder, asked.all_rows, self._config, self._check_stop)
        self._check_stop()
        self._film.add(epoch, vectors[np.searchsorted(asked.rows, self._probe)])
        self._check_stop()
        self._answers = self._workplace.answers(vectors, asked)
        of_groups = {"validation_group_chance": self._answers.group_chance} if asked.has_groups else {}
        return {"validation_map_at_r": self._answers.map_at_r, "validation_precision_at_1": self._answers.precision_at_1,
                "validation_effective_rank": float(geometry.effective_rank(vectors[:len(asked.rows)]).mean()), **of_groups}

    def _write(self, record: EpochRecord, scores: dict[str, float], seconds: float) -> None:
        self._run.append_record({**asdict(record), **scores, "total_seconds": seconds, **self._note})
        if self._board:
            self._board.write(record.images_seen, {**asdict(record), **scores})

    def _rescored_best(self) -> float:
        """What the best weights so far are chosen by, by today's rules; the encoder in training stays as it is."""
        tensors, values = checkpoint.load(self._run.best_checkpoint)
        best = copy.deepcopy(self._trainer.encoder)
        best.load_state_dict(tensors)
        answers = self._workplace.validate(best, self._validation, self._config, self._check_stop)
        score = answers.map_at_r
        if score != values["validation_map_at_r"]:
            log.warning("%s: the best epoch so far, %d, was %s: validation MAP@R %.4f; now %.4f", self._run.name,
                        values["epoch"], scored_by.OTHERWISE, values["validation_map_at_r"], score)
            checkpoint.save(self._run.best_checkpoint, tensors, {**values, "validation_map_at_r": score})
        return answers.criterion

    def _save_best(self, epoch: int) -> None:
        """Weights and all that is needed to embed with them elsewhere, without Duet; and, apart, what the loss had on top."""
        config, workplace, trainer = self._config, self._workplace, self._trainer
        head = trainer.objective.head_state()
        if head:  # before the encoder's, so that a crash between the two leaves no encoder without its head
            checkpoint.save(self._run.head_checkpoint, head, {"epoch": epoch})
        checkpoint.save(self._run.best_checkpoint, trainer.encoder.state_dict(), {
            "timm_name": config.encoder.name, "timm_options": encoder.timm_options(config.encoder),
            **encoder.describe(config.encoder, workplace.data_config, config.evaluation.normalize),
            "classes": list(workplace.manifest.closed_classes), "epoch": epoch, "validation_map_at_r": self._answers.map_at_r})
