"""Choosing a dataset and scanning it, for the screens that begin with one. Not a screen."""

from pathlib import Path

import streamlit as st

from core.config import DatasetConfig
from core.data.manifest import Manifest
from core.runs import planning
from pages import _shared

TITLES = {"digits": "Handwritten digits (built in)", "folder": "Folder of class folders", "table": "Table (CSV, Parquet)",
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
        return DatasetConfig(source=source, root=str(Path(root).expanduser().resolve()), group_by=group_by or None)
    except ValueError:
        st.error("Group by must be a regular expression with exactly one (…) that captures the group.",
                 icon=":material/error:")
        return None


def scan(config: DatasetConfig) -> Manifest | None:
    """The samples of a dataset, read once; None with the reason shown if that cannot be done."""
    modified = Path(config.root).stat().st_mtime_ns if config.root and Path(config.root).exists() else 0
    try:
        return _scan(config.model_dump_json(), modified)
    except (ValueError, OSError) as error:
        st.error(str(error), icon=":material/error:")
        return None


@st.cache_resource(max_entries=4, show_spinner=False)
def _scan(config: str, modified: int) -> Manifest:
    bar = st.progress(0.0, "Reading images …")

    def progress(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            bar.progress(done / total, f"Reading images: {done:,} of {total:,}")

    found = planning.scan(DatasetConfig.model_validate_json(config), _shared.data_root(), progress)
    bar.empty()
    return found
