"""Tasks: work in a process of its own, started by its module's name and heard through a folder of files.

Whoever knows the folder can follow a task, cancel it, or see that it died; no pipe ties it to who started it. What a task
makes is its module's: a file named for its content by `key` and written whole. The module hands its work to `main`.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from core import files, identity, json_lines
from core.errors import Damaged, InputError
from core.files import Json
from core.identity import Identity
from core.wording import failure

PROJECT = Path(__file__).resolve().parents[2]
REFUSALS = (InputError, OSError)  # what a task may meet without a fault of its own: one sentence says it
PROCESS, PROGRESS, LOG = "process.json", "progress.jsonl", "process.log"
_LOCK = "lock"
_PROGRESS_KEYS: dict[str, type | tuple[type, ...]] = {"done": (int, float), "of": (int, float), "text": str}
_LAST = ("result", "refused", "failed")  # what a last line tells
_FIRST_POLL, _LAST_POLL = 0.02, 0.25  # seconds between two looks at a folder: each a tenth longer than the one before
_OWNER_POLL = 2.0  # seconds between two looks at a process whose end ends the task
_PATIENCE = 10.0  # seconds that a cancelled process may take to be gone

# Freed memory is kept: with glibc's defaults page faults take much of a CPU step. NumPy's own threads are held to one:
# beside torch's they cost the demo a third of its time (43 s against 30 s on two cores).
ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_MMAP_THRESHOLD_": "4294967296",
               "MALLOC_TOP_PAD_": "268435456", "OPENBLAS_NUM_THREADS": "1"}


class TaskFailed(RuntimeError):
    """A task that ended without a result and refused nothing: its failure in one line, its traceback as a note."""


@dataclass(frozen=True)
class Progress:
    """How far a task is: so much `done` `of` so much, in whatever unit, 0 where it is not known; `text` is what it does."""

    done: float
    of: float
    text: str

    @property
    def share(self) -> float:
        """The share that is done, 0 to 1; 0 while it is not known of how much."""
        return min(1.0, self.done / self.of) if self.of else 0.0


@dataclass(frozen=True)
class State:
    """Where a task stands.

    Attributes:
        is_running: whether its process is at work.
        progress: what it said last of how far it is; None before that.
        result: what it answered; None before that.
        refused: why it could not be done as asked, in one sentence.
        failed: why it ended without an answer, in one line; a task that was cancelled or never begun has none of these.
    """

    is_running: bool
    progress: Progress | None = None
    result: Json | None = None
    refused: str = ""
    failed: str = ""


def key(*content: object) -> str:
    """Sixteen hex digits that name a result for what it is made of, each as JSON has it."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def start(folder: Path, module: str, arguments: Json, result: Path | None = None,
          owner: Identity | None = None) -> bool:
    """Starts a task, unless its result lies there or a process is at it.

    Args:
        folder: where it is heard; one task's alone.
        module: by its name; its entry point calls `main`.
        arguments: what it works on, as JSON has it; paths absolute, as it works in another folder.
        result: the file it makes.
        owner: a process as `identity.of` has it, whose end ends the task; without one the task outlives everyone.

    Returns:
        Whether this call started it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / _LOCK):
        if (result is not None and result.is_file()) or is_running(folder):
            return False
        _forget(folder)
        with (folder / LOG).open("wb") as log:
            process = start_module(module, [str(folder.resolve()), json.dumps({"arguments": arguments, "owner": owner})], log)
        files.write_json(folder / PROCESS, {**process})
    return True


def start_module(module: str, arguments: list[str], log: BinaryIO) -> Identity:
    """Starts `python -m module` as a process that outlives this one; returns what `identity.of` says of it."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log,
                               stderr=log, start_new_session=True, env={**os.environ, **ENVIRONMENT})
    child = identity.of(process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # reaps the child when it ends, so that no zombie is left
    return child


def is_running(folder: Path) -> bool:
    """Whether a process is at work on a task; one that has said its last line is not."""
    return state(folder).is_running


def state(folder: Path) -> State:
    """Where a task stands, from what lies in its folder."""
    return _look(folder)[0]


def wait(folder: Path, progress: Callable[[Progress], None] | None = None) -> Json:
    """Waits until a task is over; returns what it answered.

    Args:
        folder: the task's.
        progress: called with all that the task says of how far it is, in order, and again with the last while there is
            nothing new. It may raise, which ends the wait and not the task.

    Raises:
        InputError: if the task refused, with its own sentence.
        TaskFailed: if it ended without an answer.
    """
    n_heard, pause = 0, _FIRST_POLL
    while True:
        task, lines = _look(folder)
        if progress:
            for line in lines[n_heard:] or lines[-1:]:
                progress(line)
        n_heard = len(lines)
        if not task.is_running:
            break
        time.sleep(pause)
        pause = min(1.1 * pause, _LAST_POLL)
    if task.refused:
        raise InputError(task.refused)
    if task.result is None:
        error = TaskFailed(task.failed or "it was cancelled")
        if log := _log(folder):
            error.add_note(log)
        raise error
    return task.result


def run(module: str, arguments: Json, progress: Callable[[Progress], None] | None = None) -> Json:
    """Has a task done that is nobody's but the caller's, and waits for it; it ends with the wait and with this process.

    Args:
        module: as in `start`.
        arguments: the same.
        progress: as in `wait`.

    Returns:
        What it answered.

    Raises:
        InputError, TaskFailed: as `wait` does.
    """
    with tempfile.TemporaryDirectory(prefix="duet-task-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        try:
            start(folder, module, arguments, owner=identity.of(os.getpid()))
            return wait(folder, progress)
        finally:
            cancel(folder)


def cancel(folder: Path) -> None:
    """Ends a task's process, waits until it is gone, and forgets how far it was; nothing of a task that is not there."""
    if not folder.is_dir():
        return
    with FileLock(folder / _LOCK):
        process = _process(folder)
        if process is not None and identity.is_alive(**process):
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(process["pid"], signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE
            while identity.is_alive(**process) and time.monotonic() < deadline:
                time.sleep(0.005)
        _forget(folder)


def last_logged(folder: Path) -> str:
    """The last line that a task's process printed; '' if it printed nothing."""
    return (_log(folder).splitlines() or [""])[-1]


class Report:
    """Appends a task's progress to its file: a JSON line whenever the text or the whole percent changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: tuple[str, int] | None = None

    def __call__(self, done: float, of: float, text: str) -> None:
        """As `Progress` has it; of a number that is not known, a line each 2²⁰."""
        now = (text, int(100 * done / of) if of else int(done) >> 20)
        if now != self._said:
            self._said = now
            with suppress(OSError):  # a full disk ends what needs it, not this
                json_lines.append(self._path, {"done": done, "of": of, "text": text})


def main(work: Callable[[Json, Report], Json]) -> int:
    """Entry point of a task's module: `python -m MODULE FOLDER CALL`, CALL as `start` writes it.

    Args:
        work: called with the task's arguments and its report; returns the answer, as JSON has it. What it refuses is told in
            one sentence (`REFUSALS`); whatever else it raises, in one line, with the traceback in the log.

    Returns:
        The exit code: 0, 2 if it refused, 1 if it failed.
    """
    folder, call = Path(sys.argv[1]), json.loads(sys.argv[2])
    if call["owner"] is not None:
        threading.Thread(target=_end_with, args=(call["owner"],), daemon=True).start()
    last: Json
    try:
        code, last = 0, {"result": work(call["arguments"], Report(folder / PROGRESS))}
    except REFUSALS as error:
        code, last = 2, {"refused": failure(error)}
    except Exception as error:
        traceback.print_exc()
        code, last = 1, {"failed": "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]}
    json_lines.append(folder / PROGRESS, last)
    return code


def _end_with(owner: Identity) -> None:
    """Ends this process, as a cancel does, once another is gone."""
    while identity.is_alive(**owner):
        time.sleep(_OWNER_POLL)
    os.kill(os.getpid(), signal.SIGTERM)


def _process(folder: Path) -> Identity | None:
    """The process that is written down as a task's; None if none is, or not so that anyone can tell."""
    try:
        values = files.read_json(folder / PROCESS)
        return {"pid": values["pid"], "pid_created": values["pid_created"], "pid_started": values.get("pid_started", "")}
    except (FileNotFoundError, NotADirectoryError, Damaged, KeyError):
        return None


def _look(folder: Path) -> tuple[State, list[Progress]]:
    """Where a task stands, and all that it has said of how far it is, in order."""
    process = _process(folder)
    is_alive = process is not None and identity.is_alive(**process)
    good = json_lines.read(folder / PROGRESS).good  # after that look: of a process that is gone, all of them
    lines = [Progress(line["done"], line["of"], line["text"]) for line in good
             if all(isinstance(line.get(name), kind) for name, kind in _PROGRESS_KEYS.items())]
    progress = lines[-1] if lines else None
    if last := next((line for line in good if any(name in line for name in _LAST)), None):
        return State(False, progress, last.get("result"), last.get("refused", ""), last.get("failed", "")), lines
    if is_alive or process is None:
        return State(is_alive, progress), lines
    return State(False, progress, failed=last_logged(folder) or "its process was ended"), lines


def _forget(folder: Path) -> None:
    """Removes what was written down of a task's process and of how far it was."""
    for name in (PROCESS, PROGRESS):
        (folder / name).unlink(missing_ok=True)


def _log(folder: Path) -> str:
    try:
        return (folder / LOG).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""
