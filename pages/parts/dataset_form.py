"""Choosing a dataset and scanning it, for the screens that begin with one."""

import time
from contextlib import suppress
from pathlib import Path
from typing import get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import config as configuration
from core import files
from core.config import DatasetConfig, bounded_yaml
from core.data import sources
from core.data.manifest import Manifest
from core.errors import InputError
from core.experiments import planning
from core.jobs import fetch
from core.jobs.tasks import Progress, TaskFailed
from pages.parts import address, roots
from pages.parts.text import plain

TITLES = {"digits": "Digits (built in)", "folder": "Class folders", "table": "Table",
          "oxford_pet": "Oxford-IIIT Pet", "defungi": "DeFungi"}
ROOTS = {"folder": ("Folder", "/path/to/images", "One folder of images per class lies in it, or such folders inside train, "
                    "val and test. Read where it is; nothing is copied."),
         "table": ("Table", "/path/to/images.csv", "CSV, JSON lines or Parquet with the columns path and label, and optional "
                   "group and split; paths start from the table's folder."),
         "oxford_pet": ("Folder", "/path/to/oxford-iiit-pet", "Holds the folders images and annotations, as published; its "
                        "official split is kept."),
         "defungi": ("Folder", "/path/to/defungi", "Holds the folders H1, H2, H3, H5 and H6, as published; photographs are "
                     "told apart by the file names.")}
LEVELS = [str(level) for level in get_args(DatasetConfig.model_fields["levels"].annotation)]
CLASSES = {"": "as the folders say", "top": "the top folders", "leaf": "the innermost folders"}


def pick_dataset() -> DatasetConfig | None:
    """The digits or images in files; None, with a word on what is missing, until a folder or table is named."""
    source = st.segmented_control("Dataset", list(TITLES), default=address.choose("source", list(TITLES)) or "digits",
                                  required=True, key="dataset-source", format_func=TITLES.get, on_change=address.press)
    address.put("source", source)
    if source == "digits":
        return DatasetConfig()
    title, example, text = ROOTS[source]
    root = st.text_input(title, address.get("root"), key="dataset-root", placeholder=example, help=text,
                         on_change=address.press)
    address.put("root", root)
    group_by, classes = "", None
    first, second, third, fourth = st.columns([3, 2, 2, 2])
    if source == "folder":
        group_by = first.text_input("Group by (optional)", address.get("group_by"), key="dataset-group",
                                    on_change=address.press,
                                    placeholder=r"(.*)_[0-9]+\.jpg",
                                    help="A regular expression over the path inside the folder. What its (…) captures "
                                         "names the group: crops of one photograph, frames of one video. Groups never cross a "
                                         "split.")
        address.put("group_by", group_by)
        asked = address.choose("classes", list(CLASSES))
        classes = second.selectbox("Classes are", list(CLASSES), list(CLASSES).index(asked) if asked else 0,
                                   key="dataset-classes", on_change=address.press, format_func=CLASSES.get,
                                   help="Where folders lie inside the class folders, as in FAMILY/GENUS/SPECIES, either may "
                                        "be the classes.")
        address.put("classes", classes)
    columns, ignored = _columns(first, second) if source == "table" else ({}, ())
    asked = address.get("min_per_class")
    is_number = asked.isdecimal() and len(asked) < 8 and 2 <= int(asked) <= 10**6
    least = (third if source in ("folder", "table") else first).number_input(
        "Images of a class, at least", 2, 1_000_000, int(asked) if is_number else None, key="dataset-least",
        on_change=address.press, placeholder="any number", help="Classes with fewer are left out, and named.")
    address.put("min_per_class", str(least or ""))
    asked = address.choose("levels", LEVELS) or LEVELS[0]
    levels = fourth.selectbox("White level", LEVELS, LEVELS.index(asked), key="dataset-levels", on_change=address.press,
                              help="Of images of more than 8 bits; auto takes what the dataset's files reach, rounded up to "
                                   "the bits of a camera.")
    address.put("levels", levels)
    if not root:
        st.info(text, icon=":material/folder_open:")
        return None
    try:
        path = str(files.absolute(root, title))
    except InputError as error:
        st.error(plain(error), icon=":material/error:")
        return None
    if not isinstance(columns, dict):
        st.error("Columns must name a column for path, label, group or split, each once, as in label: species, group: "
                 "patient_id.", icon=":material/error:")
        return None
    try:
        config = configuration.parse_dataset({
            "source": source, "root": path, "group_by": group_by or None, "classes": classes or None, "min_per_class": least,
            "columns": columns, "ignore_columns": ignored, "levels": int(levels) if levels.isdecimal() else "auto"})
    except InputError as error:
        st.error(plain(error), icon=":material/error:")
        return None
    if source == "oxford_pet" and not _has_begun(config):
        return None
    if source == "oxford_pet" and not sources.has_pets(Path(config.root)):
        st.info(f"The folders images and annotations do not lie in {plain(config.root)}.", icon=":material/folder_open:")
        _offer_download(config.root)
        return None
    return config


def _columns(left: DeltaGenerator, right: DeltaGenerator) -> tuple[object, tuple[str, ...]]:
    """Which columns of a table are meant, and which are none of those they look like; as the config takes them."""
    text = left.text_input("Columns (optional)", address.get("columns"), key="dataset-columns",
                           on_change=address.press,
                           placeholder="label: species, group: patient_id",
                           help="Which column is the path, label, group, split, is_query, is_gallery or camera, where its "
                                "name does not say so.")
    others = right.text_input("Columns to ignore", address.get("ignore_columns"), key="dataset-ignored",
                              on_change=address.press, placeholder="camera, site",
                              help="With commas; columns that look like a group or a split and are none.")
    address.put("columns", text)
    address.put("ignore_columns", others)
    try:
        columns = bounded_yaml.value("{" + text.strip().strip("{}") + "}")
    except InputError:
        columns = text  # the config refuses it
    return columns, tuple(name.strip() for name in others.split(",") if name.strip())


def _has_begun(config: DatasetConfig) -> bool:
    """Whether files may be read: where an address alone named them, only after a press."""
    return config.source == "digits" or address.may_begin(
        "Read these images", f"The address names {config.root}. Nothing of it is read before you ask.")


def scan(config: DatasetConfig, offer_again: bool = False) -> Manifest | None:
    """The samples of a dataset, read once for each state of its files; None with the reason shown if that cannot be done, and
    before anyone asks.

    Args:
        config: of the dataset.
        offer_again: whether to draw a button that reads every file again, once they may be read.
    """
    if not _has_begun(config):
        return None
    if offer_again:
        _offer_to_scan_again(config)
    try:
        return _scan(config.model_dump_json(), _state(config))
    except (InputError, OSError) as error:
        st.error(plain(error), icon=":material/error:")
        return None


def group_by(expression: str) -> None:
    """Fills in the field of the groups; for a button's `on_click`."""
    st.session_state["dataset-group"] = expression


def _offer_to_scan_again(config: DatasetConfig) -> None:
    """A button that reads every file's content again, also of those that look unchanged from outside."""
    text = ("Reads every file again. A file that was added, removed or changed is noticed without it, unless its size, times "
            "and inode are what they were.")
    if config.source != "digits" and st.button("Scan again", icon=":material/refresh:", help=text):
        _STATES.clear()
        with suppress(ValueError, OSError):  # the scan that follows says so
            _read(config, reread=True)
        _scan.clear()


_STATES: dict[str, tuple[str, float, float]] = {}  # dataset -> its files' state, when it was looked at, how long that took
_MOST_STATES = 100
_SLOW, _SHARE = 0.5, 0.05  # s a look may take on every rerun; share of the time that longer ones may take


def _state(config: DatasetConfig) -> str:
    """What a look at every file from outside tells; where such a look takes long, not at every rerun."""
    key = config.model_dump_json()
    state, looked_at, seconds = _STATES.get(key, ("", 0.0, 0.0))
    now = time.monotonic()
    if seconds > _SLOW and now - looked_at < seconds / _SHARE:
        return state
    state = sources.open_source(config).state()
    if len(_STATES) > _MOST_STATES:
        _STATES.clear()
    _STATES[key] = state, now, time.monotonic() - now
    return state


def _offer_download(root: str) -> None:
    """A button that fetches the dataset in a process of its own; leaving the page or cancelling ends it, and what came is
    kept for the next try."""
    slot = st.empty()
    if not slot.button("Download 800 MB", icon=":material/download:", type="primary"):
        return
    slot.button("Cancel", icon=":material/close:", key="cancel-download")
    bar = st.progress(0.0, "Asking for Oxford-IIIT Pet …")

    def show(progress: Progress) -> None:  # a call of Streamlit's: leaving the page ends the wait, and so the process
        bar.progress(progress.share, f"{plain(progress.text)}: {int(100 * progress.share):d} %")

    try:
        fetch.fetch_pets(Path(root), show)
    except (InputError, TaskFailed) as error:
        bar.empty()
        st.error(plain(error), icon=":material/error:")
        return
    st.rerun()


@st.cache_resource(max_entries=4, show_spinner=False)
def _scan(config: str, state: str) -> Manifest:
    return _read(DatasetConfig.model_validate_json(config))


def _read(config: DatasetConfig, reread: bool = False) -> Manifest:
    bar = st.progress(0.0, "Reading images …")

    def progress(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            bar.progress(done / total, f"Reading images: {done:,} of {total:,}")

    try:
        return planning.scan(config, roots.data_root(), progress, reread)
    finally:
        bar.empty()
