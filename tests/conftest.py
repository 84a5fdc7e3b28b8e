"""What several tests need: a small folder of real image files, and a finished experiment made by the real worker."""

import functools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from PIL import Image
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from core import config as configuration
from core import files
from core.config import ExperimentConfig
from core.experiments import planning, store
from core.experiments.handles import Experiment
from core.experiments.status import RunStatus
from core.jobs import control, launch
from tests import PROJECT
from tests.waiting import DEADLINE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.lasting import Hold


if "PYTEST_XDIST_WORKER" in os.environ:  # tests beside each other, and whatever they start, have a core each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Files whose numbers could hang on the processor: CI runs them for other kinds of processors too.
NUMERIC = {"agreement", "chance", "clustering", "comparison", "film", "geometry", "layout", "metrics", "neighbors",
           "open_set", "own_group", "macro", "paired_tests", "probe", "projection", "resampling", "retrieval", "scoring",
           "suggestions", "table", "trust", "verdict", "worker"}

TINY = {
    "name": "tiny", "dataset": {"source": "digits"}, "encoder": {"name": "test_resnet", "image_size": 32},
    "objectives": ["classification", "supcon"], "images_per_class": [15], "seeds": [0, 1],
    "budget": {"images": 640, "epochs": 2}, "training": {"batch": {"classes": 10, "samples": 8}, "lr": 0.003},
    "evaluation": {"kmeans_seeds": 2, "bootstrap": 200, "probe": 60},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of the files in NUMERIC."""
    for item in items:
        if item.path.stem.removeprefix("test_") in NUMERIC:
            item.add_marker(pytest.mark.numeric)


@pytest.fixture(scope="session", autouse=True)
def installed_components() -> Iterator[None]:
    """Reads every installed package's description once, not for each of a thousand screens: that was most of their time."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        scan = functools.cache(manifest_scanner.scan_component_manifests)
        monkeypatch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture(scope="session", autouse=True)
def children() -> Iterator[None]:
    """Puts tests/children on the path of every process that a test starts; on Linux their trainers are forked
    (`tests.trainers`). A test that is about the start itself takes DUET_TRAINERS away."""
    with tempfile.TemporaryDirectory(prefix="duet-tests-") as folder, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", str(PROJECT / "tests" / "children"), prepend=os.pathsep)
        monkeypatch.setenv("DUET_TESTS_DIGITS", str(Path(folder) / "digits"))
        if sys.platform == "linux":
            monkeypatch.setenv("DUET_TRAINERS", str(Path(folder) / "trainers"))
            monkeypatch.setenv("DUET_TESTS", str(os.getpid()))
        yield


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes of thirty noisy 40 × 32 images each: 'dark' and 'light'."""
    generator = np.random.default_rng(0)
    root = tmp_path / "images"
    for label, level in (("dark", 60), ("light", 190)):
        (root / label).mkdir(parents=True)
        for number in range(30):
            levels = generator.normal(level, 15, (32, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(levels).save(root / label / f"{label}_{number // 3}_{number}.png")
    return root


def tiny(**changes: object) -> ExperimentConfig:
    """A config that trains in seconds on the digits; keyword arguments replace top-level fields."""
    return configuration.parse({**TINY, **changes})


def said_of_itself(classes: Iterable[str]) -> dict[str, object]:
    """The metadata that every embedding table has, of a run of the tiny experiment."""
    return {"config": tiny().runs()[0].to_json(), "classes": list(classes), "encoder": {}, "fingerprint": "",
            "normalization": "none", "projection": {"method": "pca", "seed": 0}, "training_samples": None}


def run_experiment(config: ExperimentConfig, root: Path, seconds: float = DEADLINE) -> Path:
    """Runs an experiment through the real worker process and waits for its end; returns its folder."""
    experiment = launch.start(planning.plan(config), root / "checkpoints", root / "data", device="cpu")
    assert control.wait(experiment, seconds), "the worker did not end in time"
    return experiment.folder


def run_in_process(config: ExperimentConfig, root: Path) -> Path:
    """Runs an experiment to its end in this process, which spares what a worker and its trainer take to start; returns its
    folder."""
    from core.jobs import series
    from core.training.ranks import Ranks

    checked = planning.plan(config)
    experiment = store.create(checked.config, checked.manifest, root / "checkpoints", checked.random_split,
                              checked.repeats)
    series.work_through(experiment, root / "data", "cpu", Ranks())
    return experiment.folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished experiment: two objectives, two seeds, 15 digits per class. Read only."""
    folder = run_experiment(tiny(), tmp_path_factory.mktemp("finished"))
    states = {run.name: run.status for run in Experiment(folder).runs}
    assert {item.state for item in states.values()} == {"completed"}, states
    return folder


@pytest.fixture
def experiment(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished experiment that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "checkpoints" / "tiny"))


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The system's Chromium; without any, the test is skipped, but not in CI."""
    from playwright.sync_api import sync_playwright

    from tests.browsing import IS_CI, chromium

    with sync_playwright() as playwright:
        executable = chromium()
        if executable is None and not Path(playwright.chromium.executable_path).exists():
            assert not IS_CI, "CI must have a browser"
            pytest.skip("no Chromium or Chrome on this machine, and none of Playwright's own")
        found = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Hold":
    """Stops the process that trains at a moment of the test's choice."""
    from tests.lasting import Hold

    return Hold(tmp_path / "hold.json", monkeypatch)


def opened(page: str, **address: str) -> AppTest:
    """A screen in a session of its own, straight at its address, as from a bookmark."""
    app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=DEADLINE)
    for key, value in address.items():
        app.query_params[key] = value
    return (app if page == "start" else app.switch_page(f"pages/{page}.py")).run()


def canvas_of(app: AppTest) -> dict[str, Any]:
    """What a screen sends its canvas: the header of its message, and under `arrays` the arrays behind it."""
    [component] = app.get("bidi_component")
    return unpacked(component.proto.bytes)


def unpacked(message: bytes) -> dict[str, Any]:
    """A message to the canvas as a browser reads it."""
    start = 4 + int.from_bytes(message[:4], "little")
    header = json.loads(message[4:start])
    header["arrays"] = {name: np.frombuffer(message[start + offset:start + offset + size], f"<{kind}")
                        for name, kind, offset, size in header["parts"]}
    return header


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Opens a screen over this test's own roots: `screen("watch", experiment="tiny")`."""
    monkeypatch.setenv("DUET_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("DUET_DATA", str(tmp_path / "data"))

    def open_screen(page: str, presses: bool = True, **address: str) -> AppTest:
        """The screen at an address; `presses` whatever it asks before it begins to read or to lay out."""
        app = opened(page, **address)
        asked = [button for button in app.button if str(button.key).startswith("begin-")]
        if presses and asked:
            asked[0].click().run()
        assert not app.exception, [item.value for item in app.exception]
        return app

    return open_screen


def put_into(experiment: Path, state: str, **details: object) -> None:
    """Puts the second half of an experiment's runs into a state, as a worker would have left it; 'running' makes this test's
    process that worker, 'lost' is the same without one."""
    for run in Experiment(experiment).runs[3:]:
        run.write_status(RunStatus("running" if state == "lost" else state, **details))
        for name in ("scores.parquet", "embeddings.parquet", "evaluation.json"):
            (run.folder / name).unlink(missing_ok=True)
    (experiment / "verdict.json").unlink()
    if state == "running":
        me = psutil.Process()
        files.write_json(experiment / "worker.json", {"pid": me.pid, "pid_created": me.create_time(), "device": "cpu"})
