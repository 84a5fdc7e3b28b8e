"""States, progress and leaks of runs in words.

Imports `core` inside functions (see `screen`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import streamlit as st

from pages.parts.text import plain

if TYPE_CHECKING:
    from core.config import RunConfig
    from core.experiments.status import State
    from core.jobs import control


def state_word(state: State) -> str:
    """A state in a word."""
    from core.experiments.status import State

    return "finished" if state == State.COMPLETED else str(state)


def state_text(state: State) -> str:
    """A state as icon and word."""
    from core.experiments.status import State

    icons = {State.QUEUED: "schedule", State.RUNNING: "play_circle", State.COMPLETED: "check_circle", State.FAILED: "error",
             State.STOPPED: "stop_circle", State.LOST: "help", State.DAMAGED: "report"}
    return f":material/{icons[state]}: {state_word(state)}"


def progress_text(progress: control.Progress) -> str:
    """Where an experiment stands, in a line."""
    from core.quantities import duration

    left = "" if progress.seconds_left is None else f" · {duration(progress.seconds_left)} left"
    return f"run {min(progress.n_done + 1, progress.n_runs)} of {progress.n_runs} · {100 * progress.share:.0f} %{left}"


def leak_mark(run: RunConfig) -> str:
    """In red, after a run's name: that it leaks; nothing for one that does not."""
    return f" :red[:material/warning: leaks: {plain(' and '.join(run.leaks))}]" if run.leaks else ""


def leak_note(runs: Iterable[RunConfig]) -> None:
    """A red line that names the arms that leak, for a screen that shows their numbers."""
    from core.config import arm_label

    arms: dict[str, dict[str, None]] = {}
    for run in runs:
        if run.leaks:
            arms.setdefault(" and ".join(run.leaks), {})[arm_label(run.objective)] = None
    if arms:
        text = "; ".join(f"{words}: {', '.join(labels)}" for words, labels in arms.items())
        st.markdown(f":red[:material/warning: A leak was asked for, and numbers with it are too good. "
                    f"{plain(text[0].upper() + text[1:])}.]")
