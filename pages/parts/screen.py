"""Around every screen: its entry, its frame, and words for damaged files.

`core` is imported inside the functions: its 0.2 s of imports would stand between the server's start and the first screen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import actions, address
from pages.parts.roots import PROJECT, checkpoints_root, data_root
from pages.parts.text import plain

if TYPE_CHECKING:
    from core.errors import Damaged

_is_framed: ContextVar[bool] = ContextVar("is_framed", default=False)
_said: ContextVar[set[Path] | None] = ContextVar("said", default=None)  # what is damaged and was said on this screen


def enter(page: str) -> None:
    """First line of every screen: goes through the frame if a fresh server was asked for this screen's own address.

    Streamlit takes a folder named pages for its older kind of app until `st.navigation` has run once in the server
    (`PagesManager.uses_pages_directory`), and would show the screen without its frame.
    """
    if "is_framed" not in st.session_state:
        home = str(PROJECT / "pages" / "start.py")
        st.navigation([st.Page(home, default=True), *([st.Page(page)] if page != home else [])])
        st.rerun()
    if not _is_framed.get():  # a screen that is run by itself, as a test does, has the same words for what is damaged
        with frame():
            exec(compile(Path(page).read_text(encoding="utf-8"), page, "exec"), {"__name__": "__main__", "__file__": page})
        st.stop()
    address.check()


@st.cache_resource(show_spinner=False)
def sweep() -> None:
    """Once a server: removes what killed processes left behind, beside whatever else is done."""
    def work() -> None:
        from core.experiments import leftovers

        leftovers.sweep(checkpoints_root(), data_root())

    threading.Timer(5.0, work).start()  # not before the first screen


@contextmanager
def frame() -> Iterator[None]:
    """Around a whole screen: what it comes upon is said in words."""
    tokens = _is_framed.set(True), _said.set(set())
    try:
        with in_words():
            yield
    finally:
        _is_framed.reset(tokens[0])
        _said.reset(tokens[1])


@contextmanager
def in_words() -> Iterator[None]:
    """Whatever part of a screen comes upon a damaged file: says so there, with what can be done; the rest is drawn.

    An error that does not name a file is looked for in the experiment's folder. If all is whole there, it is no damage.
    """
    try:
        yield
    except Exception as error:
        damage = _damage_behind(error)
        if not damage:
            raise
        said = _said.get()
        for damaged in damage:
            if said is None or damaged.path not in said:
                _say_damaged(damaged)
            if said is not None:
                said.add(damaged.path)


def fragment(run_every: float | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`st.fragment` with `in_words` around what it draws."""
    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def guarded(*arguments: object, **named: object) -> None:
            with in_words():
                function(*arguments, **named)

        return st.fragment(guarded, run_every=run_every)

    return decorate


def _damage_behind(error: Exception) -> list[Damaged]:
    from core.errors import Damaged
    from core.experiments import store
    from core.experiments.handles import Experiment
    from core.results import examination

    if isinstance(error, Damaged):
        return [error]
    experiment = Experiment(checkpoints_root() / str(st.session_state.get("experiment", "")))
    return examination.examine(experiment) if experiment in store.experiments(checkpoints_root()) else []


def _say_damaged(error: Damaged) -> None:
    """What is wrong, and a button for each thing that can be done."""
    from core.experiments.handles import DELETE, RESUME, Experiment
    from core.visible import printable

    root = checkpoints_root()
    inside = error.path.relative_to(root) if error.path.is_relative_to(root) else error.path
    words = error.remedy or (RESUME if len(inside.parts) > 2 else DELETE)
    remedy = f" What can be done: {words}."
    st.error(plain(f"Damaged: {printable(str(inside))} {error.what}.{remedy}"), icon=":material/report:")
    if not error.path.is_relative_to(root) or len(inside.parts) < 2:
        return
    experiment = Experiment(root / inside.parts[0])
    with st.container(horizontal=True):
        if "resume" in words and len(inside.parts) > 2 and st.button(
                f"Resume {plain(inside.parts[1])}", key=f"resume-damaged-{inside}", icon=":material/replay:"):
            actions.resume([experiment.run(inside.parts[1])])
        actions.delete_button(experiment, printable(f"damaged-{inside}"))
