"""What tests of interruptions share: an experiment that lasts some seconds, waiting for a moment of it, and whether two
experiments found the very same numbers."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from core.runs import directory, jobs, planning
from tests.conftest import TINY, tiny

CONFIG = {"name": "lasting", "seeds": [0], "budget": {"images": 16_000, "epochs": 10},
          "training": {**TINY["training"], "save_minutes": 0.005},  # several saves an epoch
          "evaluation": {**TINY["evaluation"], "kmeans_seeds": 40}}
TIMES = {"seconds", "total_seconds", "images_per_second", "compute_share", "memory"}
PHASES = {"building": "building the encoder", "opening": "opening the images", "decoding": "decoding images",
          "training": "training, epoch 4", "validation": "scoring epoch 5", "embedding": "embedding every image",
          "layout": "laying out", "test": "scoring on the test images"}


def lasting(root: Path, **changes: object) -> Path:
    """Starts an experiment of one seed that trains long enough to be interrupted; its root is `root`/checkpoints."""
    return planning.launch(planning.plan(tiny(**{**CONFIG, **changes})), root / "checkpoints", root / "data", device="cpu")


def until(condition: Callable[[], object], seconds: float = 60, poll: float = 0.02) -> None:
    """Waits for a condition; fails the test if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(poll)


def phase(run: Path) -> str:
    """What a run is doing, in words; nothing unless it is running."""
    status = directory.read_status(run)
    return status.phase if status.state == "running" else ""


def resume_and_finish(folder: Path, data: Path, seconds: float = 240) -> None:
    """Resumes whatever can be and waits until all is completed."""
    assert jobs.resume(directory.runs(folder), data, "cpu"), "nothing could be resumed"
    assert jobs.wait(folder, seconds)
    states = {run.name: jobs.derived_status(run) for run in directory.runs(folder)}
    assert {status.state for status in states.values()} == {"completed"}, states


def assert_same_numbers(folder: Path, other: Path) -> None:
    """Bit for bit, but for what depends on the clock: records, films, weights, embeddings, scores, readouts, verdict."""
    for run in directory.runs(folder):
        assert_same_run(run, other / run.name)
    assert directory.read_json(folder / "verdict.json") == directory.read_json(other / "verdict.json")


def assert_same_run(run: Path, other: Path) -> None:
    """As `assert_same_numbers`, of one run."""
    assert _records(run) == _records(other), run.name
    for name in ("evaluation.json", "readouts.json"):
        assert directory.read_json(run / name) == directory.read_json(other / name), f"{run.name}/{name}"
    tables = [path.relative_to(run) for path in sorted(run.rglob("*.parquet"))]
    assert tables == [path.relative_to(other) for path in sorted(other.rglob("*.parquet"))]
    for name in tables:
        mine, its = pq.read_table(run / name), pq.read_table(other / name)
        assert mine.replace_schema_metadata().equals(its.replace_schema_metadata()), f"{run.name}/{name}"
    assert (run / "head.safetensors").is_file() == (other / "head.safetensors").is_file(), run.name
    for name in ("last.safetensors", "best.safetensors", "head.safetensors"):
        if not (run / name).is_file():  # of the untrained encoder, and of a loss without parameters
            assert name == "head.safetensors" or not directory.read_run(run).is_trained, f"{run.name}/{name}"
            continue
        mine, its = load_file(run / name), load_file(other / name)
        assert mine.keys() == its.keys()
        assert all(np.array_equal(mine[key], its[key]) for key in mine), f"{run.name}/{name}"


def _records(run: Path) -> list[dict]:
    return [{key: value for key, value in record.items() if key not in TIMES} for record in directory.read_records(run)]
