"""What goes wrong is one line with its kind and what to do, and a traceback in the log. Real failures all of them."""

import errno
import logging
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.config import bounded_yaml, experiment_file
from core.experiments import planning
from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus
from core.jobs import control, failures, launch
from core.jobs.failures import ProcessEnded
from tests.conftest import run_experiment, tiny
from tests.waiting import DEADLINE


def raised(do: Callable[[], object]) -> BaseException:
    """What a call raises."""
    with pytest.raises(BaseException) as caught:
        do()
    return caught.value


def fill_the_disk() -> None:
    with open("/dev/full", "w") as file:  # Linux's disk without space
        file.write("x")


@pytest.mark.parametrize("do, kind, said", [
    (lambda: torch.empty(10**15), "memory", "smaller training.micro_batch"),
    (lambda: np.empty(10**15), "memory", "smaller training.micro_batch"),
    (fill_the_disk, "disk", "free some space, then resume"),
    (lambda: Path("/nowhere/image.png").read_bytes(), "data", "/nowhere/image.png; put the file back, then resume"),
    (lambda: torch.zeros(2) @ torch.zeros(3), "error", "the log has the details"),
    (lambda: int("ten"), "error", "'ten'; the log has the details"),
    (lambda: experiment_file.load(Path("/nowhere/demo.yaml")), "data", "found none at /nowhere/demo.yaml"),
    (lambda: bounded_yaml.value("[1"), "input", "line 1"),
])
def test_a_real_error_has_a_kind_and_says_what_to_do(do: Callable[[], object], kind: str, said: str) -> None:
    found, message = failures.diagnose(raised(do))
    assert found == kind
    assert said in message and "\n" not in message


@pytest.mark.parametrize("error, kind, said", [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory", "smaller training.micro_batch"),
    (OSError(errno.EDQUOT, "Disk quota exceeded", "/data/x"), "disk", "Disk quota exceeded: /data/x; free some space"),
    (ProcessEnded(-signal.SIGKILL), "memory", "ended by SIGKILL, as the system does when memory runs out"),
    (ProcessEnded(-signal.SIGSEGV), "error", "ended by SIGSEGV; the log has the details"),
    (ProcessEnded(3), "error", "ended with exit code 3"),
])
def test_what_only_another_machine_can_raise(error: Exception, kind: str, said: str) -> None:
    found, message = failures.diagnose(error)
    assert found == kind
    assert said in message


def test_a_failure_is_recorded_with_its_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = tmp_path / "experiment" / "run"
    run.mkdir(parents=True)
    Experiment(run.parent).reserve()
    Run(run).write_status(RunStatus("running"))
    failures.record(Run(run), raised(fill_the_disk), logging.getLogger("test"))
    assert Run(run).status.kind == "disk"
    assert "Traceback" in caplog.text and "No space left on device" in caplog.text
    assert not (run.parent / ".reserve").exists(), "the space kept for this moment is given back"


def test_a_loss_that_is_no_number_is_diverged(tmp_path: Path) -> None:
    config = tiny(name="far", seeds=[0], objectives=["classification"], training={
        "batch": {"classes": 10, "samples": 8}, "lr": 10, "weight_decay": 1, "optimizer": "sgd"},
        budget={"images": 8000, "epochs": 2})  # each step makes a weight -9 times itself
    folder = run_experiment(config, tmp_path)
    run = folder / "classification-15-seed0"
    status = control.derived_status(Run(run))
    assert (status.state, status.kind) == ("failed", "diverged")
    assert "lower training.lr" in status.message and "\n" not in status.message
    assert "Traceback" in (run / "worker.log").read_text()
    assert Run(folder / "untrained-15-seed0").status.state == "completed", "the others go on"


@pytest.mark.parametrize("harm, said", [
    (Path.unlink, "put the file back, then resume"),
    (lambda path: Image.new("RGB", (40, 32)).save(path), "changed since; put the old one back, or start a new experiment"),
])
def test_images_gone_or_changed_since_the_manifest(harm: Callable[[Path], None], said: str, tmp_path: Path,
                                                   image_folder: Path) -> None:
    config = tiny(name="gone", seeds=[0], dataset={"source": "folder", "root": str(image_folder)}, images_per_class=["all"],
                  training={"batch": {"classes": 2, "samples": 4}})
    checked = planning.plan(config)
    harm(image_folder / "dark" / "dark_0_0.png")
    experiment = launch.start(checked, tmp_path / "checkpoints", tmp_path / "data", device="cpu")
    assert control.wait(experiment, DEADLINE)
    for run in experiment.runs:
        status = control.derived_status(run)
        assert (status.state, status.kind) == ("failed", "data")
        assert "dark_0_0.png" in status.message and said in status.message and "\n" not in status.message
    assert "Traceback" in (experiment.folder / "worker.log").read_text()
    assert not list((tmp_path / "data" / ".pixels").glob("*.npy")), "no half-decoded images may stay"
