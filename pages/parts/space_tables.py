"""Embedding tables behind the screens, cached by their files, and who lies near whom in one."""

from pathlib import Path

import numpy as np
import streamlit as st

from core.analysis import table as tables
from core.analysis.neighbors import nearest
from core.analysis.table import EmbeddingTable
from core.experiments.handles import Run
from core.results import scoring
from pages.parts import file_stamp


def table(path: Path) -> EmbeddingTable:
    """A verified embedding table, read once a content."""
    return _table(*file_stamp.stamp(path))


@st.cache_resource(max_entries=8, show_spinner="Reading embeddings …")
def _table(path: str, modified: int, size: int) -> EmbeddingTable:
    return scoring.read_space(Run(Path(path).parent))


def of_split(path: Path, split: str) -> EmbeddingTable:
    """The rows of one split, or of 'all', taken out once a content."""
    return table(path) if split == "all" else _of_split(file_stamp.stamp(path), split)


@st.cache_resource(max_entries=16, show_spinner=False)
def _of_split(stamp: tuple[str, int, int], split: str) -> EmbeddingTable:
    return table(Path(stamp[0])).of_split(split)


def shared(paths: list[Path], split: str) -> list[EmbeddingTable]:
    """One split of several runs, only the samples all have: the same sample in the same row of each."""
    return shared_of(tuple(file_stamp.stamp(path) for path in paths), split)


@st.cache_resource(max_entries=8, show_spinner=False)
def shared_of(stamps: tuple[tuple[str, int, int], ...], split: str) -> list[EmbeddingTable]:
    """As `shared`, for callers that are themselves cached by the tables' stamps (`file_stamp.stamp`)."""
    return tables.shared_rows([of_split(Path(stamp[0]), split) for stamp in stamps])


def neighbors(space: EmbeddingTable, row: int, k: int) -> list[int]:
    """Rows of the k nearest to a row outside its own group, by cosine, in the full dimension, nearest first."""
    others = np.flatnonzero(space.group != space.group[row])
    if not len(others):
        return []
    near, _ = nearest(space.embedding[[row]], space.embedding[others], k, names=space.sample_id[others])
    return others[near[0]].tolist()
