"""Images from outside the dataset, embedded by trained encoders in a process that keeps them warm.

The light half (`embed`) is for pages; the process itself loads torch. It is a task that answers questions instead of ending:
any number of sessions lay theirs into its folder, and whoever finds it dead starts another, which finds what is still to be
answered.
"""

import hashlib
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core import files, identity
from core.errors import InputError
from core.experiments.handles import Run
from core.jobs import tasks
from core.jobs.tasks import Report

IDLE = 300.0  # seconds without a question after which the process ends
_STALE = 600.0  # seconds after which an answer that nobody fetched is removed
_SWEEP = 2.0  # seconds between two looks for such answers
_POLL = 0.02
_MOST_STARTS = 3
_MOST_ENCODERS = 4


def embed(runs: list[Run], images: list[bytes], cache: Path, wait: Callable[[float, bool], None] | None = None,
          seconds: float = 120.0) -> list[np.ndarray]:
    """Image files through the encoders of runs.

    Args:
        runs: whose encoders.
        images: the files' bytes.
        cache: folder that sessions and process share.
        wait: called while waiting with the seconds passed and whether the process is only just starting; may raise.
        seconds: the longest wait.

    Returns:
        Vectors of each run, shape (number of images, D), float32.

    Raises:
        InputError: if an image cannot be read or a run is not trained; in one line.
        RuntimeError: if there is no answer in time, or the process ends at each try.
    """
    question = _ask(runs, images, cache)
    answer = cache / "answers" / f"{question.name}.npz"
    started, n_started = time.monotonic(), 0
    try:
        while not answer.is_file():
            process = tasks.state(cache)
            if not process.is_running:
                if n_started == _MOST_STARTS:
                    raise RuntimeError(f"the encoders' process ended {n_started} times: {process.refused or process.failed}")
                n_started += tasks.start(cache, "core.inference.query", {"cache": str(cache.resolve())},
                                         owner=identity.of(os.getpid()))
            if time.monotonic() - started > seconds:
                raise RuntimeError(f"the encoders must answer within {seconds:.0f} s, got nothing; "
                                   f"{tasks.last_logged(cache) or 'their process printed nothing'}")
            if wait:
                wait(time.monotonic() - started, n_started > 0)
            time.sleep(_POLL)
        with np.load(answer, allow_pickle=False) as found:
            if "refused" in found.files:
                raise InputError(str(found["refused"]))
            return [found[f"run_{number}"] for number in range(len(runs))]
    finally:
        shutil.rmtree(question, ignore_errors=True)
        answer.unlink(missing_ok=True)


def _ask(runs: list[Run], images: list[bytes], cache: Path) -> Path:
    """Lays out a question, whole or not at all."""
    for name in ("questions", "answers"):
        (cache / name).mkdir(parents=True, exist_ok=True)
    question = cache / "questions" / uuid.uuid4().hex
    staging = question.with_name(f".{question.name}")
    staging.mkdir()
    for number, content in enumerate(images):
        (staging / f"{number}.image").write_bytes(content)
    files.write_json(staging / "question.json", {"runs": [str(run.folder.resolve()) for run in runs], "images": len(images)})
    os.rename(staging, question)
    return question


class Encoders:
    """The encoders asked for last, kept warm."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], tuple] = {}

    def vectors(self, run: Run, images: list[bytes]) -> np.ndarray:
        """Images through a run's encoder, as its own dataset's were; shape (n, D), float32.

        Raises:
            InputError, OSError: if an image cannot be read, or the run is not trained.
        """
        from core.data.manifest import read_levels
        from core.inference import embedding

        path = run.best_checkpoint
        key = (str(run.folder), path.stat().st_mtime_ns if path.is_file() else 0)
        if key not in self._kept:
            while len(self._kept) >= _MOST_ENCODERS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = embedding.load_encoder(run)
        self._kept[key] = self._kept.pop(key)  # the last used is thrown out last
        module, data, config, _ = self._kept[key]
        return embedding.embed_images(module, data, config, images, read_levels(run.experiment.manifest_file))


def answer(question: Path, encoders: Encoders, answers: Path) -> None:
    """Answers one question: vectors, or why not, in one line."""
    from core.wording import failure

    asked = files.read_json(question / "question.json")
    images = [(question / f"{number}.image").read_bytes() for number in range(asked["images"])]
    found: dict[str, Any]
    try:
        found = {f"run_{number}": encoders.vectors(Run(Path(run)), images) for number, run in enumerate(asked["runs"])}
    except tasks.REFUSALS as error:
        found = {"refused": np.array(failure(error))}
    with files.replacing(answers / f"{question.name}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, **found)
    shutil.rmtree(question, ignore_errors=True)


def serve(cache: Path) -> None:
    """In the process: answers what is laid into a folder until nobody has asked for long."""
    encoders, answers = Encoders(), cache / "answers"
    last, swept = time.monotonic(), 0.0
    while time.monotonic() - last < IDLE:
        for question in sorted((cache / "questions").glob("[!.]*")):
            try:
                answer(question, encoders, answers)
            except FileNotFoundError:  # who asked has given up meanwhile
                continue
            last = time.monotonic()
        if time.monotonic() - swept > _SWEEP:
            swept = time.monotonic()
            for path in answers.iterdir():
                if time.time() - path.stat().st_mtime > _STALE:
                    path.unlink(missing_ok=True)
        time.sleep(_POLL)


def main(arguments: dict, report: Report) -> dict:
    """In the process: serves the folder `cache`; the task's own entry."""
    serve(Path(arguments["cache"]))
    return {}


def fingerprint(images: list[bytes]) -> str:
    """Names image files by their content."""
    return tasks.key(*(hashlib.sha256(item).hexdigest() for item in images))


if __name__ == "__main__":
    sys.exit(tasks.main(main))
