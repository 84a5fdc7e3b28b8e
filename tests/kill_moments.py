"""Kills each kind of work on an experiment at random moments, sweeps, goes on: `python -m tests.kill_moments ROOT SEED N`.

Each life is a fork of a process that has loaded torch already. It ends at a random moment of its stage, or at a random touch
of a file (opened to be written, renamed, removed). After each, what nobody owns is swept, and nothing temporary may remain.
"""

import contextlib
import io
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import timm  # noqa: F401 - what each life would have to load

import main as command_line
from core.config import ExperimentConfig
from core.data import pixels, sources
from core.experiments import leftovers, planning, store
from core.experiments.handles import Experiment
from core.experiments.status import RunStatus
from core.jobs import control, series
from tests.conftest import tiny
from tests.images import three_classes

STAGES = ("scan", "decode", "create", "train", "embed", "score", "export")
PHASES = {"train": "training", "embed": "embedding", "score": "scoring on the test"}
TOUCHES = {"create": 30, "decode": 6, "export": 8}  # of files, to die at one of
_MOST_TRIES = 6
SUFFIXES = (".parquet", ".html", ".safetensors")


def config_of(root: Path) -> ExperimentConfig:
    """Three classes of forty small images, two objectives, one seed."""
    images = root.parent / "images"
    if not images.is_dir():
        three_classes(images)
    return tiny(dataset={"source": "folder", "root": str(images)}, images_per_class=["all"], seeds=[0],
                budget={"images": 720, "epochs": 6}, training={"batch": {"classes": 3, "samples": 8}, "save_minutes": 0.005},
                evaluation={"kmeans_seeds": 2, "bootstrap": 200, "probe": 20})


def work(root: Path, folder: Path) -> None:
    """Everything queued in an experiment, in this process."""
    series.main([str(folder), "--data", str(root / "data"), "--device", "cpu"])


def export(root: Path, folder: Path) -> None:
    """A run's table, page and weights, and the experiment's report."""
    (root / "out").mkdir(exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        for suffix in SUFFIXES:
            assert command_line.main(["export", f"{folder.name}/supcon-all-seed0", "--checkpoints", str(root / "checkpoints"),
                                      "--data", str(root / "data"), "--output", str(root / "out" / f"run{suffix}")]) == 0


def whole(root: Path) -> Path:
    """The experiment without any interruption."""
    config = config_of(root)
    experiment = store.create(config, planning.plan(config, root / "data").manifest, root / "checkpoints")
    work(root, experiment.folder)
    export(root, experiment.folder)
    return experiment.folder


def main(root: Path, seed: int, n_kills: int) -> None:
    """Prints each kill as a line of JSON: the stage and how it was aimed."""
    chance = random.Random(seed)
    config, data, checkpoints = config_of(root), root / "data", root / "checkpoints"
    experiment = store.create(config, planning.plan(config, data).manifest, checkpoints)
    seconds: dict[str, float] = {}
    for number in range(n_kills):
        stage = STAGES[number % len(STAGES)]
        life = _life(stage, root, experiment.folder, config, number)
        if stage not in seconds and stage not in PHASES:  # how long it takes, to aim within
            began = time.monotonic()
            _wait(_fork(life))
            seconds[stage] = time.monotonic() - began
            _clear(root, stage)
        for _ in range(_MOST_TRIES):
            aim = "file" if chance.random() < 0.5 and stage in TOUCHES else "moment"
            child = _fork(life, root, chance.randint(1, TOUCHES[stage]) if aim == "file" else 0)
            if aim == "moment":
                _kill(child, experiment.folder, stage, chance.uniform(0, 0.8), seconds.get(stage, 0.0))
            is_killed = os.WIFSIGNALED(_wait(child))
            leftovers.sweep(checkpoints, data)
            _check(root, experiment.folder, config)
            _clear(root, stage)
            if is_killed:  # else the work was done before the moment came: aimed again
                break
        print(json.dumps({"stage": stage, "aim": aim, "is_killed": is_killed}), flush=True)
    ended = _wait(_fork(lambda: (_queue(experiment.folder), work(root, experiment.folder), export(root, experiment.folder))))
    assert os.WEXITSTATUS(ended) == 0
    leftovers.sweep(checkpoints, data)
    _check(root, experiment.folder, config)
    assert sorted(os.listdir(root / "out")) == sorted(f"run{suffix}" for suffix in SUFFIXES)


def _kill(child: int, folder: Path, stage: str, share: float, seconds: float) -> None:
    """Kills a life some way into its stage, if it has not ended before."""
    if stage in PHASES:
        while not _is_in(folder, PHASES[stage]) and _is_running(child):
            time.sleep(0.002)
        time.sleep(share * (0.4 if stage == "train" else 0.03))
    else:
        time.sleep(share * seconds)
    os.kill(child, signal.SIGKILL)


def _life(stage: str, root: Path, folder: Path, config: ExperimentConfig, number: int) -> Callable[[], object]:
    data = root / "data"
    other = config.model_copy(update={"name": f"made-{number}"})
    source = sources.open_source(config.dataset)
    return {"scan": lambda: planning.scan(config.dataset, data),
            "decode": lambda: pixels.load(Experiment(folder).manifest(), source, 48, data / ".pixels"),
            "create": lambda: store.create(other, planning.plan(other, data).manifest, folder.parent),
            "export": lambda: (_queue(folder), work(root, folder), export(root, folder)),
            }.get(stage, lambda: (_queue(folder, is_anew=stage == "train"), work(root, folder)))


def _queue(folder: Path, is_anew: bool = False) -> None:
    """Queues what a kill left; once all is done, begins a run again, at its end or anew, so that there is work to kill."""
    runs = Experiment(folder).runs
    if all(run.status.state == "completed" for run in runs):
        for path in runs[-1].folder.glob("*.safetensors") if is_anew else ():
            path.unlink()
        for name in ("embeddings.parquet", "scores.parquet"):
            (runs[-1].folder / name).unlink(missing_ok=True)
        runs[-1].write_status(RunStatus("queued"))
    for run in runs:
        if control.derived_status(run).state in control.RESUMABLE:
            run.write_status(RunStatus("queued"))


def _check(root: Path, folder: Path, config: ExperimentConfig) -> None:
    """Nothing temporary is left, and every experiment that is there is whole."""
    left = [path for path in root.rglob("*")
            if path.name.endswith(".tmp") or path.name.startswith((".new-", ".deleted-", "tmp"))]
    assert not [path for path in left if root / "out" not in path.parents], left  # there, the next export sweeps its own
    for experiment in store.experiments(folder.parent):
        assert [run.config for run in experiment.runs] == list(
            experiment.config.runs())
        assert experiment.manifest().fingerprint == Experiment(folder).manifest().fingerprint


def _clear(root: Path, stage: str) -> None:
    """Takes away what a stage has made, so that the next life has it to do again."""
    for path in {"scan": (root / "data" / ".scans").glob("*"), "decode": (root / "data" / ".pixels").glob("*-48.npy"),
                 }.get(stage, ()):
        path.unlink()
    for experiment in (root / "checkpoints").glob("made-*"):
        control.delete(Experiment(experiment))


def _fork(life: Callable[[], object], root: Path | None = None, touches: int = 0) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if touches:
                _die_at_file(root, touches)
            life()
            code = 0
        finally:
            os._exit(code)
    return child


def _die_at_file(root: Path, number: int) -> None:
    touched = 0

    def count(event: str, arguments: tuple) -> None:
        nonlocal touched
        is_written = event == "open" and isinstance(arguments[1], str) and set("wxa+") & set(arguments[1])
        if (is_written or event in ("os.rename", "os.remove", "os.mkdir", "os.truncate")) and str(
                arguments[0]).startswith(str(root)):
            touched += 1
            if touched == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def _is_in(folder: Path, phase: str) -> bool:
    return any(status.state == "running" and status.phase.startswith(phase)
               for status in (run.status for run in Experiment(folder).runs))


def _is_running(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _wait(child: int) -> int:
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
