"""Choosing a dataset and scanning it, for the screens that begin with one. Not a screen."""

from pathlib import Path

import streamlit as st

from core.config import DatasetConfig
from core.data.manifest import Manifest
from core.runs import planning
from pages import _shared


def pick_dataset() -> DatasetConfig | None:
    """Digits or a folder; None, with a word on what is missing, until a folder is named."""
    source = st.segmented_control("Dataset", ["digits", "folder"], default=st.query_params.get("source", "digits"),
                                  required=True, key="dataset-source", format_func={
                                      "digits": "Handwritten digits (built in)", "folder": "A folder of class folders"}.get)
    st.query_params["source"] = source
    if source == "digits":
        return DatasetConfig()
    root = st.text_input("Folder", st.query_params.get("root", ""), key="dataset-root", placeholder="/path/to/images",
                         help="One folder of images per class lies in it. Read where it is; nothing is copied.")
    group_by = st.text_input("Group by (optional)", st.query_params.get("group_by", ""), key="dataset-group",
                             placeholder=r"(.*)_[0-9]+\.jpg",
                             help="A regular expression over the path inside the folder. What its (…) captures names the "
                                  "group: crops of one photograph, frames of one video. Groups never cross a split.")
    st.query_params["root"], st.query_params["group_by"] = root, group_by
    if not root:
        st.info("Name a folder that holds one folder of images per class.", icon=":material/folder_open:")
        return None
    try:
        return DatasetConfig(source="folder", root=str(Path(root).expanduser().resolve()), group_by=group_by or None)
    except ValueError:
        st.error("Group by must be a regular expression with exactly one (…) that captures the group.",
                 icon=":material/error:")
        return None


def scan(config: DatasetConfig) -> Manifest | None:
    """The samples of a dataset, read once; None with the reason shown if that cannot be done."""
    modified = Path(config.root).stat().st_mtime_ns if config.root and Path(config.root).is_dir() else 0
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
