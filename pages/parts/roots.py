"""Where experiments and datasets lie."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def checkpoints_root() -> Path:
    """Root of experiments; the environment variable DUET_CHECKPOINTS moves it."""
    return Path(os.environ.get("DUET_CHECKPOINTS", PROJECT / "checkpoints"))


def data_root() -> Path:
    """Root of datasets and decoded images; the environment variable DUET_DATA moves it."""
    return Path(os.environ.get("DUET_DATA", PROJECT / "data"))
