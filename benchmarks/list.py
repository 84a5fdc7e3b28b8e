"""Drawing Start with a thousand experiments against one: python -m benchmarks.list

Copies of one finished experiment, read by a server that has drawn them before, as every two seconds while one trains. The
screen's script alone, in turn, medians; prints one ratio. Not a test: run it on a quiet machine.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

from core.experiments import store
from core.jobs import overview
from core.unchanged import SETTLED
from tests.browsing import PROJECT
from tests.conftest import run_experiment, tiny

MANY = 1_000
ROUNDS = 9
_KEPT = ("experiment.json", "verdict.json", "run.json", "state.json", "records.jsonl")  # what Start reads in full


def copies(finished: Path, root: Path, n: int) -> None:
    """As many copies of an experiment as asked for, under names of their own; results are links to the first's."""
    for number in range(n):
        folder = root / f"copy-{number:04d}"
        for path in finished.rglob("*"):
            target = folder / path.relative_to(finished)
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif path.name in _KEPT:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
            elif path.suffix in (".parquet", ".safetensors"):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, target)
        values = json.loads((folder / "experiment.json").read_text())
        values["config"]["name"] = folder.name
        (folder / "experiment.json").write_text(json.dumps(values))


def seconds(app: AppTest, root: Path) -> float:
    """CPU seconds of one more run of Start's script, which are the same on a busy machine."""
    os.environ["DUET_CHECKPOINTS"] = str(root)
    began = time.process_time()
    app.run()
    return time.process_time() - began


def main(finished: Path | None = None) -> None:
    """Prints the medians and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["DUET_DATA"] = str(work / "data")
        finished = finished or run_experiment(tiny(), work)
        roots = {1: work / "one", MANY: work / "many"}
        apps: dict[int, AppTest] = {}
        times: dict[int, list[float]] = {}
        for n, root in roots.items():
            copies(finished, root, n)
            apps[n] = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=600)
            first = seconds(apps[n], root)
            times[n] = []
            print(f"{n:,} experiments: drawn the first time in {first:.2f} s")
        time.sleep(2 * SETTLED / 1e9)  # until then the names of a root that was just filled are read each time
        for _ in range(ROUNDS):
            for n, root in roots.items():
                times[n].append(seconds(apps[n], root))
        one, many = (statistics.median(times[n]) for n in roots)
        print(f"Start again: one experiment {1000 * one:.0f} ms, {MANY:,} {1000 * many:.0f} ms, ratio {many / one:.2f} "
              f"(medians of {ROUNDS}, in turn)")
        began = time.process_time()
        for each in store.experiments(roots[MANY]):
            overview.read(each)
        print(f"list of {MANY:,}: {time.process_time() - began:.2f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
