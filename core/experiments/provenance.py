"""What an experiment was made with: versions of packages, and the commit of this repository."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import core

_PACKAGES = ("torch", "timm", "scikit-learn", "umap-learn", "pytorch-metric-learning", "numpy", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of Python, Duet and the packages that numbers depend on."""
    return {"python": platform.python_version(), "duet": core.__version__,
            **{name: metadata.version(name) for name in _PACKAGES}}


def git_commit() -> str | None:
    """The commit that is checked out; None outside a repository or without git."""
    try:
        result = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True,
                                timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
