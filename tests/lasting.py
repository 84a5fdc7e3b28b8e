"""What tests of interruptions share: an experiment that is saved at every step, waiting for a moment of it, and whether two
experiments found the very same numbers."""

import os
import re
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from core import files
from core.config import ExperimentConfig
from core.experiments import planning
from core.experiments.handles import Experiment, Run
from core.jobs import control, launch
from tests.conftest import TINY, tiny
from tests.images import few_digits
from tests.waiting import DEADLINE, until

TIMES = {"seconds", "total_seconds", "images_per_second", "compute_share", "memory"}
PHASES = {"building": "building the encoder", "opening": "opening the images", "decoding": "decoding images",
          "training": "training, epoch 4", "validation": "scoring epoch 5", "embedding": "embedding every image",
          "layout": "laying out", "test": "scoring on the test images"}


def lasting_config(**changes: object) -> ExperimentConfig:
    """An experiment of one seed and six epochs on a few digits that is saved before every step."""
    return tiny(**{"name": "lasting", "seeds": [0], "dataset": {"source": "folder", "root": str(few_digits())},
                   "budget": {"images": 960, "epochs": 6}, "training": {**TINY["training"], "save_minutes": 1e-9},
                   "evaluation": {**TINY["evaluation"], "kmeans_seeds": 5}, **changes})


def lasting(root: Path, **changes: object) -> Path:
    """Starts the experiment of `lasting_config`; its root is `root`/checkpoints."""
    return launch.start(planning.plan(lasting_config(**changes)), root / "checkpoints", root / "data", device="cpu").folder


class Hold:
    """Stops the process that trains once it has written something, so that a test acts at that very moment, however fast or
    slow the machine is. Only processes started after it was made heed it, and from the next write after `at`.

    Args:
        path: a file to say in what is waited for.
        monkeypatch: sets the environment of what the test starts.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = path
        monkeypatch.setenv("DUET_HOLD", str(path))
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "children"), prepend=os.pathsep)

    def at(self, pattern: str, run: str = "", name: str = "state.json") -> None:
        """Names the moment: a run whose name begins so has put a file in place that holds the pattern."""
        files.write_json(self._path, [run, name, pattern])

    def at_phase(self, phase: str, run: str = "") -> None:
        """Names the moment at which a run begins a phase."""
        self.at(f'"phase": "{re.escape(phase)}', run)

    def wait(self, folder: Path) -> psutil.Process:
        """Waits for the moment; returns the process that trains, which stands still."""
        until(lambda: not self._path.exists() and any(_is_still(process) for process in trainers(folder)),
              seen=lambda: states(folder), poll=0.2)
        return next(process for process in trainers(folder) if _is_still(process))


def trainers(folder: Path) -> list[psutil.Process]:
    """Living processes that train an experiment."""
    return [process for process in processes_of(folder) if "core.jobs.series" in process.info["cmdline"]]


def processes_of(folder: Path) -> list[psutil.Process]:
    """Living processes that were given an experiment's folder."""
    return [process for process in psutil.process_iter(["cmdline", "status"])
            if str(folder) in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE]


def _is_still(process: psutil.Process) -> bool:
    return process.info["status"] == psutil.STATUS_STOPPED


def states(folder: Path) -> dict[str, str]:
    """What each run of an experiment is at, in words: what a test that waited in vain shows."""
    found = {run.name: control.derived_status(run) for run in Experiment(folder).runs}
    return {name: f"{status.state} {status.phase} {status.message}".strip() for name, status in found.items()}


def phase(run: Path) -> str:
    """What a run is doing, in words; nothing unless it is running."""
    status = Run(run).status
    return status.phase if status.state == "running" else ""


def resume_and_finish(folder: Path, data: Path) -> None:
    """Resumes whatever can be and waits until all is completed."""
    assert control.resume(Experiment(folder).runs, data, "cpu"), "nothing could be resumed"
    assert control.wait(Experiment(folder), DEADLINE)
    states = {run.name: control.derived_status(run) for run in Experiment(folder).runs}
    assert {status.state for status in states.values()} == {"completed"}, states


def assert_same_numbers(folder: Path, other: Path) -> None:
    """Bit for bit, but for what depends on the clock: records, films, weights, embeddings, scores, readouts, verdict."""
    for run in Experiment(folder).runs:
        assert_same_run(run.folder, other / run.name)
    assert files.read_json(folder / "verdict.json") == files.read_json(other / "verdict.json")


def assert_same_run(run: Path, other: Path) -> None:
    """As `assert_same_numbers`, of one run."""
    assert _records(run) == _records(other), run.name
    for name in ("evaluation.json", "readouts.json"):
        assert files.read_json(run / name) == files.read_json(other / name), f"{run.name}/{name}"
    tables = [path.relative_to(run) for path in sorted(run.rglob("*.parquet"))]
    assert tables == [path.relative_to(other) for path in sorted(other.rglob("*.parquet"))]
    for name in tables:
        mine, its = pq.read_table(run / name), pq.read_table(other / name)
        assert mine.replace_schema_metadata().equals(its.replace_schema_metadata()), f"{run.name}/{name}"
    assert (run / "head.safetensors").is_file() == (other / "head.safetensors").is_file(), run.name
    for name in ("last.safetensors", "best.safetensors", "head.safetensors"):
        if not (run / name).is_file():  # of the untrained encoder, and of a loss without parameters
            assert name == "head.safetensors" or not Run(run).config.is_trained, f"{run.name}/{name}"
            continue
        mine, its = load_file(run / name), load_file(other / name)
        assert mine.keys() == its.keys()
        assert all(np.array_equal(mine[key], its[key]) for key in mine), f"{run.name}/{name}"


def _records(run: Path) -> list[dict]:
    return [{key: value for key, value in record.items() if key not in TIMES} for record in Run(run).records]
