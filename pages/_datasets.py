"""Choosing a dataset and scanning it, for the screens that begin with one. Not a screen."""

import subprocess
import sys
from pathlib import Path

import streamlit as st

from core.config import DatasetConfig
from core.data import sources
from core.data.manifest import Manifest
from core.runs import planning
from pages import _shared
from pages._text import plain

TITLES = {"digits": "Digits (built in)", "folder": "Class folders", "table": "Table",
          "oxford_pet": "Oxford-IIIT Pet", "defungi": "DeFungi"}
ROOTS = {"folder": ("Folder", "/path/to/images", "One folder of images per class lies in it. Read where it is; nothing is "
                    "copied."),
         "table": ("Table", "/path/to/images.csv", "Columns path and label, and optional group and split; paths start from "
                   "the table's folder."),
         "oxford_pet": ("Folder", "/path/to/oxford-iiit-pet", "Holds the folders images and annotations, as published; its "
                        "official split is kept."),
         "defungi": ("Folder", "/path/to/defungi", "Holds the folders H1, H2, H3, H5 and H6, as published; photographs are "
                     "told apart by the file names.")}


def pick_dataset() -> DatasetConfig | None:
    """The digits or images in files; None, with a word on what is missing, until a folder or table is named."""
    source = st.segmented_control("Dataset", list(TITLES), default=st.query_params.get("source", "digits"),
                                  required=True, key="dataset-source", format_func=TITLES.get)
    st.query_params["source"] = source
    if source == "digits":
        return DatasetConfig()
    title, example, text = ROOTS[source]
    root = st.text_input(title, st.query_params.get("root", ""), key="dataset-root", placeholder=example, help=text)
    st.query_params["root"] = root
    group_by = ""
    if source == "folder":
        group_by = st.text_input("Group by (optional)", st.query_params.get("group_by", ""), key="dataset-group",
                                 placeholder=r"(.*)_[0-9]+\.jpg",
                                 help="A regular expression over the path inside the folder. What its (…) captures names the "
                                      "group: crops of one photograph, frames of one video. Groups never cross a split.")
        st.query_params["group_by"] = group_by
    if not root:
        st.info(text, icon=":material/folder_open:")
        return None
    try:
        config = DatasetConfig(source=source, root=str(Path(root).expanduser().resolve()), group_by=group_by or None)
    except ValueError:
        st.error("Group by must be a regular expression with exactly one (…) that captures the group.",
                 icon=":material/error:")
        return None
    if source == "oxford_pet" and not sources.has_pets(Path(config.root)):
        st.info(f"The folders images and annotations do not lie in {plain(config.root)}.", icon=":material/folder_open:")
        _offer_download(config.root)
        return None
    return config


def scan(config: DatasetConfig) -> Manifest | None:
    """The samples of a dataset, read once; None with the reason shown if that cannot be done."""
    modified = Path(config.root).stat().st_mtime_ns if config.root and Path(config.root).exists() else 0
    try:
        return _scan(config.model_dump_json(), modified)
    except (ValueError, OSError) as error:
        st.error(plain(error), icon=":material/error:")
        return None


def _offer_download(root: str) -> None:
    """A button that fetches the dataset in a process of its own; leaving the page or cancelling ends it, and what came is
    kept for the next try."""
    place = st.empty()
    if not place.button("Download 800 MB", icon=":material/download:", type="primary"):
        return
    place.button("Cancel", icon=":material/close:", key="cancel-download")
    bar = st.progress(0.0, "Asking for Oxford-IIIT Pet …")
    command = [sys.executable, "-m", "core.runs.fetch", root]
    with subprocess.Popen(command, cwd=_shared.PROJECT, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                what, _, percent = line.strip().removesuffix(" %").rpartition(": ")
                if percent.isdecimal():
                    bar.progress(int(percent) / 100, f"{plain(what)}: {percent} %")
                else:
                    bar.empty()
                    st.error(plain(line.strip().removeprefix("error: ")), icon=":material/error:")
        finally:
            process.terminate()
    if process.returncode == 0:
        st.rerun()


@st.cache_resource(max_entries=4, show_spinner=False)
def _scan(config: str, modified: int) -> Manifest:
    bar = st.progress(0.0, "Reading images …")

    def progress(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            bar.progress(done / total, f"Reading images: {done:,} of {total:,}")

    found = planning.scan(DatasetConfig.model_validate_json(config), _shared.data_root(), progress)
    bar.empty()
    return found
