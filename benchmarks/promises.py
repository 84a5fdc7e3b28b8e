"""What is promised in seconds, measured: python -m benchmarks.promises

A stop ends a run within ten seconds, in whatever phase; a query of a warm process is answered within two. Each line is a
ratio to the promise: at most 1 keeps it. Not a test: on a machine at work with something else the numbers say little.
"""

import io
import os
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from core import files
from core.analysis import table as tables
from core.data import sources
from core.experiments.handles import Experiment, Run
from core.inference import query
from core.jobs import control
from tests.conftest import run_experiment, tiny
from tests.lasting import PHASES, Hold, lasting, processes_of
from tests.waiting import until

STOP, ANSWER = 10.0, 2.0  # seconds promised


def stops(root: Path) -> None:
    """Stops an experiment in each phase."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        hold = Hold(root / "hold.json", monkeypatch)
        folder = None
        for name, run in (("building", "untrained"), ("opening", "untrained"), ("training", "supcon"),
                          ("validation", "supcon"), ("embedding", "supcon"), ("test", "supcon")):
            hold.at_phase(PHASES[name], run)
            if folder is None:
                folder = lasting(root)
            else:
                control.resume(Experiment(folder).runs, root / "data", "cpu")
            trainer = hold.wait(folder)
            started = time.perf_counter()
            control.stop(Experiment(folder).runs)
            trainer.resume()
            until(lambda folder=folder: not processes_of(folder))
            seconds = time.perf_counter() - started
            print(f"stop while {PHASES[name]}: {seconds:.1f} s, {seconds / STOP:.2f} of {STOP:g} s", flush=True)


def answers(root: Path) -> None:
    """Asks two encoders about two images, five times."""
    folder = run_experiment(tiny(seeds=[0]), root)
    runs = [folder / name for name in ("classification-15-seed0", "supcon-15-seed0")]
    images = []
    for sample_id in tables.read(runs[0] / "embeddings.parquet").sample_id[[3, 700]]:
        content = io.BytesIO()
        sources.Digits().image(sample_id).save(content, "PNG")
        images.append(content.getvalue())
    for number in range(5):
        started = time.perf_counter()
        query.embed([Run(run) for run in runs], images, root / "query")
        seconds = time.perf_counter() - started
        words = "by a process that begins" if number == 0 else "warm"
        print(f"query, {words}: {seconds:.2f} s, {seconds / ANSWER:.2f} of {ANSWER:g} s", flush=True)
    psutil.Process(files.read_json(root / "query" / "process.json")["pid"]).kill()


def main() -> None:
    """Prints a line a measurement."""
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["DUET_TESTS_DIGITS"] = str(Path(temporary) / "digits")
        for name, measure in (("stops", stops), ("answers", answers)):
            (root := Path(temporary) / name).mkdir()
            measure(root)


if __name__ == "__main__":
    main()
