"""A failed run's one line: what kind of failure, what went wrong, what to do. Writes it down even on a full disk."""

import errno
import logging
import signal

from core.errors import DataError, InputError
from core.experiments.handles import Run
from core.experiments.status import RunStatus, State
from core.wording import failure, is_out_of_memory

_FULL = (errno.ENOSPC, errno.EDQUOT)
_MORE_MEMORY = ("close other programs and resume, or start a new experiment with a smaller training.micro_batch or "
                "encoder.image_size")


class ProcessEnded(Exception):
    """The process that trained is gone and could say nothing.

    Args:
        code: its exit code; below zero the signal that ended it.
    """

    def __init__(self, code: int) -> None:
        self.code = code
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        super().__init__(f"the process that trained {how}")


def diagnose(error: BaseException) -> tuple[str, str]:
    """Kind of a failure and its one line: 'diverged', 'memory', 'disk', 'data', 'input' or 'error'."""
    kind, advice = _kind(error)
    return kind, f"{failure(error)}{advice}"


def record(run: Run, error: BaseException, log: logging.Logger) -> None:
    """Writes a failure's line into a run's state and its traceback into the log."""
    kind, message = diagnose(error)
    if kind == "disk":
        run.experiment.release()
    log.error("%s failed: %s", run.name, message, exc_info=error)
    status = RunStatus(State.FAILED, kind=kind, message=message)
    try:
        run.write_status(status)
    except OSError:  # full since
        run.experiment.release()
        run.write_status(status)


def _kind(error: BaseException) -> tuple[str, str]:
    """The kind, and what to do where the error itself does not say so."""
    text = str(error)
    match error:
        case FloatingPointError():
            return "diverged", "" if "lower training.lr" in text else "; start a new experiment with a lower training.lr"
        case ProcessEnded(code=code) if code == -signal.SIGKILL:
            return "memory", f", as the system does when memory runs out; {_MORE_MEMORY}"
        case ProcessEnded():
            return "error", "; the log has the details; resume goes on from the last checkpoint"
        case _ if is_out_of_memory(error):
            return "memory", f"; {_MORE_MEMORY}"
        case OSError() if error.errno in _FULL or "No space left" in text:
            return "disk", "; free some space, then resume"
        case DataError():
            return "data", ""
        case FileNotFoundError():
            return "data", "; put the file back, then resume"
        case InputError():
            return "input", ""
    return "error", "; the log has the details"
