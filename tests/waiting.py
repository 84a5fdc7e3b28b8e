"""Waiting for a state: one deadline that no slow machine meets, and what was seen when it passed.

No test measures seconds: what is promised in seconds is measured by the benchmarks (`benchmarks/`).
"""

import inspect
import time
from collections.abc import Callable

DEADLINE = 1800.0  # seconds; only a state that never comes takes as long
DEADLINE_MS = 1000 * DEADLINE  # Playwright's unit


def until(condition: Callable[[], object], seen: Callable[[], object] | None = None, poll: float = 0.05) -> None:
    """Waits for a state; fails the test, with what it saw instead, if the state never comes.

    Args:
        condition: true once the state is there; looked at again and again.
        seen: what to show on failure; None shows the condition's last value.
        poll: seconds between two looks.
    """
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {inspect.getsource(condition).strip()}\nseen instead: "
                                 f"{seen() if seen else value!r}")
        time.sleep(poll)
