"""What a run's worker last wrote about it: its state, and whatever there is to say of it. Reads and writes no file."""

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path

from core.errors import Damaged
from core.files import Json


class State(StrEnum):
    """Where a run stands, or an experiment as a whole. A worker writes the first five; the last two are derived
    (`control.derived_status`)."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class RunStatus:
    """`state.json` of a run.

    Attributes:
        state: what the worker last wrote.
        phase: what it is doing, in words, while running.
        kind: of a failure: 'input', 'data', 'memory', 'disk', 'diverged' or 'error'.
        message: of a failure, one sentence.
        pid: process that runs it.
        pid_created: when that process was created (s since 1970), so that a reused pid is not taken for it.
        pid_started: the same whatever the clock; as `identity.started` has it.
        changed: when this was written (s since 1970).
    """

    state: State
    phase: str = ""
    kind: str = ""
    message: str = ""
    pid: int | None = None
    pid_created: float | None = None
    changed: float = 0.0
    pid_started: str = ""

    def to_json(self) -> Json:
        """The status as JSON."""
        return asdict(self)


def parse(path: Path, values: Json, remedy: str) -> RunStatus:
    """The status that a file holds; what a newer version added is passed over.

    Args:
        path: the file, for what is said of it.
        values: its JSON.
        remedy: what can be done if it is damaged.

    Raises:
        Damaged: if its state is none that this version knows.
    """
    known = {field.name: values[field.name] for field in fields(RunStatus) if field.name in values}
    try:
        known["state"] = State(known["state"])
    except (KeyError, ValueError):
        raise Damaged(path, f"must hold a state of {', '.join(State)}, got {known.get('state')!r}: "
                            "of a newer Duet, or changed by hand", remedy) from None
    if not all(isinstance(known.get(name, ""), str) for name in ("phase", "kind", "message", "pid_started")):
        raise Damaged(path, "must hold text under phase, kind and message", remedy)
    return RunStatus(**known)
