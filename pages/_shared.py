"""What several screens need: the roots, pickers that keep the address true, empty states. Not a screen.

`core` is imported inside the functions: its 0.2 s of imports would stand between the server's start and the first screen.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import streamlit as st

from pages import _address
from pages._text import plain

if TYPE_CHECKING:
    from PIL import Image

    from core.config import RunConfig
    from core.files import Damaged
    from core.jobs import control

Choice = TypeVar("Choice")
PROJECT = Path(__file__).resolve().parents[1]
THUMBNAIL = 96  # pixels
NO_LONGER = "this file is no longer the sample: it was changed since the scan"
STATE_ICONS = {"queued": ":material/schedule:", "running": ":material/play_circle:", "lost": ":material/help:",
               "completed": ":material/check_circle:", "failed": ":material/error:", "stopped": ":material/stop_circle:",
               "damaged": ":material/report:"}
_is_framed: ContextVar[bool] = ContextVar("is_framed", default=False)
STATE_WORDS = {"completed": "finished"}


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
    _address.check()


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
    token = _is_framed.set(True)
    try:
        with in_words():
            yield
    finally:
        _is_framed.reset(token)


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
        for item in damage:
            _say_damaged(item)


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
    from core.experiments import directory
    from core.files import Damaged
    from core.results import examination

    if isinstance(error, Damaged):
        return [error]
    folder = checkpoints_root() / str(st.session_state.get("experiment", ""))
    return examination.examine(folder) if folder in directory.experiments(checkpoints_root()) else []


def _say_damaged(error: Damaged) -> None:
    """What is wrong, and a button for each thing that can be done."""
    from core.experiments.directory import DELETE, RESUME
    from core.files import printable

    root = checkpoints_root()
    inside = error.path.relative_to(root) if error.path.is_relative_to(root) else error.path
    words = error.remedy or (RESUME if len(inside.parts) > 2 else DELETE)
    remedy = f" What can be done: {words}."
    st.error(plain(f"Damaged: {printable(str(inside))} {error.what}.{remedy}"), icon=":material/report:")
    if not error.path.is_relative_to(root) or len(inside.parts) < 2:
        return
    folder = root / inside.parts[0]
    with st.container(horizontal=True):
        if "resume" in words and len(inside.parts) > 2 and st.button(
                f"Resume {plain(inside.parts[1])}", key=f"resume-damaged-{inside}", icon=":material/replay:"):
            resume([folder / inside.parts[1]])
        delete_button(folder, printable(f"damaged-{inside}"))


def resume(runs: list[Path]) -> None:
    """Queues runs again and draws the screen anew; says why where that cannot be."""
    from core.jobs import control

    try:
        control.resume(runs, data_root())
    except (ValueError, OSError) as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.rerun()


def delete_button(folder: Path, key: str) -> None:
    """Deletes an experiment, asked twice; says why where a process is at it."""
    from core.files import printable
    from core.jobs import control

    with st.popover("Delete", icon=":material/delete:"):
        st.write(plain(f"Delete {printable(folder.name)} with all its runs and embeddings?"))
        if st.button("Delete for good", key=f"delete-{key}", type="primary"):
            try:
                control.delete(folder)
            except (ValueError, OSError) as error:
                st.error(plain(str(error)), icon=":material/error:")
                return
            st.rerun()


def as_key(folder: Path) -> str:
    """A folder's name as a widget's key, which must be text."""
    from core.files import printable

    return printable(folder.name)


def checkpoints_root() -> Path:
    """Root of experiments; the environment variable DUET_CHECKPOINTS moves it."""
    return Path(os.environ.get("DUET_CHECKPOINTS", PROJECT / "checkpoints"))


def data_root() -> Path:
    """Root of datasets and decoded images; the environment variable DUET_DATA moves it."""
    return Path(os.environ.get("DUET_DATA", PROJECT / "data"))


def has_experiments() -> bool:
    """Whether anything was ever trained here."""
    try:
        from core.experiments import filenames

        with os.scandir(checkpoints_root()) as entries:  # `directory.experiments` would take its imports' time
            return any(os.path.lexists(f"{entry.path}/{name}") for entry in entries if not entry.name.startswith(".")
                       for name in filenames.TRACES)
    except OSError:
        return False


def require_experiment(needs: str) -> None:
    """Where nothing was trained yet: says what would be here, offers the demo, and ends the script."""
    if not has_experiments():
        st.header("Nothing trained yet.")
        st.write(f"{needs} will be here once an experiment has run. The demo takes about two minutes.")
        demo_button()
        st.stop()
    if not experiment_names():
        st.header("No experiment here can be opened.")
        st.write("Their names are no text. Start lists them.")
        st.stop()


def pick_experiment() -> Path:
    """The experiment this screen is about, kept in the address and from screen to screen."""
    names = experiment_names()
    wanted = _address.choose("experiment", names) or st.session_state.get("experiment")
    chosen = st.selectbox("Experiment", names, index=names.index(wanted) if wanted in names else 0,
                          key=f"pick-experiment-{wanted}")
    st.session_state["experiment"] = chosen
    _address.put("experiment", chosen)
    return checkpoints_root() / chosen


def experiment_names() -> list[str]:
    """Names of all experiments, the newest first; one that is not text cannot stand in an address and is left to Start."""
    from core.experiments import directory
    from core.files import printable

    return [folder.name for folder in directory.experiments(checkpoints_root()) if printable(folder.name) == folder.name]


def finished_runs(folder: Path, needs: str) -> list[str]:
    """Names of the runs that left an embedding table; without any, says what would be here and ends the script."""
    from core.experiments import directory, filenames

    done = [run.name for run in directory.runs(folder) if (run / filenames.EMBEDDINGS).is_file()]
    if not done:
        stop_until(f"{needs} will be here once a run has finished.", folder)
    return done


def stop_until(what: str, folder: Path) -> None:
    """Says what will be here once more has been trained, offers to watch, and ends the script."""
    st.info(what, icon=":material/hourglass_top:")
    if st.button("Watch it train", type="primary", icon=":material/monitoring:"):
        st.switch_page("pages/watch.py", query_params={"experiment": folder.name})
    st.stop()


def pick(label: str, options: Sequence[Choice], parameter: str, default: int = 0,
         help_text: str | None = None, width: int | Literal["stretch"] = "stretch") -> Choice:
    """A select box whose choice stands in the address under `parameter`."""
    words = [str(option) for option in options]
    wanted = _address.choose(parameter, words)
    index = words.index(wanted) if wanted in words else min(default, len(words) - 1)
    chosen = st.selectbox(label, options, index=index, help=help_text, width=width,
                          key=f"pick-{parameter}-{wanted}-{'|'.join(words)}")
    _address.put(parameter, str(chosen))
    return chosen


def demo_button() -> None:
    """Starts the demo and goes to watch it."""
    if st.button("Run the demo", type="primary", icon=":material/play_arrow:",
                 help="Classification against SupCon on 1,797 handwritten digits: about two minutes on two cores."):
        from core import experiment_file
        from core.experiments import directory, planning
        from core.jobs import launch

        try:
            with st.spinner("Reading the digits …"):
                demo = experiment_file.load(PROJECT / "configs" / "demo.yaml")
                name = directory.free_name(checkpoints_root(), demo.name)
                checked = planning.plan(demo.model_copy(update={"name": name}), data_root())
                folder = launch.start(checked, checkpoints_root(), data_root())
        except (ValueError, OSError) as error:
            st.error(plain(error), icon=":material/error:")
            return
        st.switch_page("pages/watch.py", query_params={"experiment": folder.name})


def state_text(state: str) -> str:
    """A state as icon and word."""
    return f"{STATE_ICONS[state]} {STATE_WORDS.get(state, state)}"


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


def progress_text(progress: control.Progress) -> str:
    """Where an experiment stands, in a line."""
    from core.quantities import duration

    left = "" if progress.seconds_left is None else f" · {duration(progress.seconds_left)} left"
    return f"run {min(progress.n_done + 1, progress.n_runs)} of {progress.n_runs} · {100 * progress.share:.0f} %{left}"


def thumbnail(image: Image.Image) -> Image.Image:
    """An image for a grid: shrunk if large, enlarged without smoothing if tiny."""
    if min(image.size) < THUMBNAIL:
        scale = THUMBNAIL / min(image.size)
        return image.resize((round(image.width * scale), round(image.height * scale)), 0)  # 0: nearest
    image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
    return image


def stamp(path: Path) -> tuple[str, int, int]:
    """A file as a cache key: where it is; which it is and when it was written or changed in any way; how large it is. Zeros of
    one that is missing."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return str(path), 0, 0
    return str(path), hash((found.st_mtime_ns, found.st_ctime_ns, found.st_ino)), found.st_size
