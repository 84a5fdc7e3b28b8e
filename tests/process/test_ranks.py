"""Two processes that share each batch: the same training as one alone, over torch's own launcher."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from core.config import ExperimentConfig
from core.experiments import planning, store, trials
from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus
from core.jobs import control, launch
from core.training.ranks import Ranks
from tests import PROJECT
from tests.conftest import tiny
from tests.images import few_digits
from tests.lasting import Hold, resume_and_finish, trainers
from tests.waiting import DEADLINE, until

TRAIN = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from core import config as configuration
from core.config import EncoderConfig
from core.training import encoder, objectives
from core.training.ranks import joined
from core.training.trainer import Trainer
torch.set_num_threads(1)
label_id = np.repeat(np.arange(5, dtype=np.int32), 20)
device, found = torch.device("cpu"), []
with joined(device) as ranks:
    for objective, micro in json.loads(sys.argv[1]):
        experiment = configuration.parse({
            "name": "ranks", "dataset": {"source": "digits"}, "objectives": [objective], "seeds": [0],
            "budget": {"images": 20 * 30, "epochs": 20},
            "training": {"batch": {"classes": 5, "samples": 6}, "lr": 1e-3, "micro_batch": micro if ranks.n > 1 else None}})
        run = next(run for run in experiment.runs() if run.is_trained)
        module, data = encoder.build(EncoderConfig(name="test_convnext", image_size=32), seed=0)
        size = data.storage_size
        pixels = np.random.default_rng(0).integers(0, 256, (100, size, size, 3), dtype=np.uint8)
        head = objectives.build(run.objective, encoder.feature_width(module, data), 5, run.images_per_step, 0)
        trainer = Trainer(module, head, data, pixels, label_id, np.arange(100), run, device, ranks=ranks)
        losses = [record.loss for record in trainer.epochs(lambda: False)]
        total = sum(p.double().sum().item() for p in trainer.encoder.parameters())
        found.append({"losses": losses, "total": total, "said": ranks.decide(lambda: {"from": ranks.rank})})
threads = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]  # Linux has it
Path(__file__).with_name(f"{ranks.n}-{ranks.rank}.json").write_text(json.dumps({"cases": found, "threads": threads}))
"""


DECIDE = """
import sys
from pathlib import Path
import torch
from core.errors import Damaged
from core.training.ranks import joined
def fail(error):
    raise error
class Unsendable(Exception):
    def __init__(self, a, b):
        super().__init__(a)
with joined(torch.device("cpu")) as ranks:
    seen = []
    if ranks.decide(lambda: ranks.is_first):  # what only the first can know, such as that someone asked for a stop
        seen.append(ranks.decide(lambda: "both are in the branch"))
    seen.append(ranks.decide(lambda: ranks.decide(lambda: 1) + ranks.together(lambda: 1)))
    seen.append(ranks.together(lambda number: number + ranks.rank, 10))
    for rank in (0, 1):
        try:
            ranks.together(lambda: ranks.rank == rank and fail(Damaged(Path("x"), "must be whole")))
        except Damaged as error:
            seen.append((rank, str(error), ranks.is_shared(error)))
    for error in (FloatingPointError("diverged"), Unsendable("a", "b")):
        try:
            ranks.decide(fail, error)
        except Exception as found:
            seen.append((str(found).removeprefix("Unsendable: "), ranks.is_shared(found), ranks.is_shared(ValueError())))
    Path(__file__).with_name(f"seen-{ranks.rank}").write_text(str(seen))
    if sys.argv[1] == "alone":
        if ranks.is_first:
            ranks.decide(lambda: "nobody else comes here")
        ranks.decide(lambda: "all come here")
"""


# An objective, and images at a time in each of two processes.
CASES = [("supcon", None), ({"name": "triplet", "mining": "batch_hard"}, None),
         ("classification", 4),
         ({"name": "classification", "order": "shuffled"}, 4),
         ({"name": "cross_entropy_supcon", "projection": 8}, 4),
         ({"name": "cross_batch_memory", "loss": "supcon", "memory": 50}, 4)]


def train(n_processes: int, folder: Path) -> list[dict]:
    """What each process found, training every one of CASES in turn; one alone takes each batch whole."""
    script = folder / "train.py"
    script.write_text(TRAIN)
    launcher = [] if n_processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    result = subprocess.run([sys.executable, *launcher, str(script), json.dumps(CASES)], cwd=PROJECT, capture_output=True,
                            text=True, timeout=DEADLINE, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    assert result.returncode == 0, result.stderr
    return [json.loads((folder / f"{n_processes}-{rank}.json").read_text()) for rank in range(n_processes)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[dict]]:
    """What one process found, and what each of two did."""
    folder = tmp_path_factory.mktemp("trained")
    [alone] = train(1, folder)
    return alone, train(2, folder)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_two_processes_follow_the_losses_of_one(trained: tuple[dict, list[dict]], case: int) -> None:
    alone, both = trained[0]["cases"][case], [found["cases"][case] for found in trained[1]]
    assert len(set(alone["losses"])) == 20
    for found in both:
        np.testing.assert_allclose(found["losses"], alone["losses"], atol=1e-5, rtol=0)
        assert found["total"] == pytest.approx(alone["total"], abs=1e-3)
        assert found["said"] == {"from": 0}
    assert both[0]["losses"] == both[1]["losses"]


def test_no_thread_of_gloo_outlives_the_training(trained: tuple[dict, list[dict]]) -> None:
    """They crash a process that ends, now and then."""
    assert not [name for found in trained[1] for name in found["threads"] if "gloo" in name]


def test_a_branch_by_a_decision_is_taken_by_all_and_an_error_is_raised_by_all(tmp_path: Path) -> None:
    result = decide("all", tmp_path)
    assert result.returncode == 0, result.stderr
    for rank in (0, 1):
        assert (tmp_path / f"seen-{rank}").read_text() == str([
            "both are in the branch", 2, 10 + rank, (0, "x must be whole", True), (1, "x must be whole", True),
            ("diverged", True, False), ("a", True, False)])


def test_a_branch_that_only_one_process_takes_ends_all_with_both_places(tmp_path: Path) -> None:
    result = decide("alone", tmp_path)
    lines = {text: 1 + DECIDE.splitlines().index(text) for text in DECIDE.splitlines() if "here" in text}
    first, others = lines.values()
    assert result.returncode == 1
    assert f"every process must come to the same decisions, got <module> (line {first}) in one and <module> (line {others}" \
        in result.stderr


def decide(argument: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What became of two processes that ran DECIDE."""
    (folder / "decide.py").write_text(DECIDE)
    return subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
                           str(folder / "decide.py"), argument], cwd=PROJECT, capture_output=True, text=True,
                          timeout=DEADLINE, env={**os.environ, "PYTHONPATH": str(PROJECT)})


def test_shares_of_a_batch_cover_it_once() -> None:
    ranks = Ranks()
    for n in (1, 2, 3, 7):
        ranks.n = n
        rows = []
        for ranks.rank in range(n):
            rows += range(30)[ranks.share(30)]
        assert rows == list(range(30))


def test_one_process_alone_changes_nothing() -> None:
    part = torch.ones(3, 2, requires_grad=True)
    assert Ranks().gather(part, 3) is part
    assert Ranks().decide(lambda: "x") == "x" and Ranks().is_first


def on_two(root: Path, name: str, devices: int, **changes: object) -> Path:
    """An experiment whose batches so many processes share, laid out and started."""
    plan = planning.plan(shared(name, devices, **changes))
    return launch.start(plan, root / "checkpoints", root / "data", device="cpu").folder


def shared(name: str, devices: int, training: object = None, **changes: object) -> ExperimentConfig:
    """The config of an experiment whose batches so many processes share."""
    training = {"batch": {"classes": 5, "samples": 4}, "lr": 0.001, "devices": devices, **(training or {})}
    return tiny(**{"name": name, "encoder": {"name": "test_convnext", "image_size": 32}, "seeds": [0],
                   "objectives": ["supcon"], "dataset": {"source": "folder", "root": str(few_digits())}, "training": training,
                   **changes})


def assert_forked(folder: Path) -> None:
    """That the launcher of an experiment and its processes were forked, as `tests/trainers.py` means them to be."""
    for log, n in ((os.environ["DUET_TRAINERS"], 1), (f"{os.environ['DUET_TRAINERS']}.ranks", 2)):
        lines = [line for line in Path(f"{log}.log").read_text().splitlines() if str(folder) in line]
        assert len(lines) >= n and not [line for line in lines if line.startswith("0 ")], lines


def losses(folder: Path) -> list[float]:
    return [record["loss"] for record in Run(folder / "supcon-15-seed0").records[1:]]


def test_an_experiment_on_two_devices_learns_what_it_learns_on_one_and_stops_and_resumes(tmp_path: Path) -> None:
    """Real workers, real launcher, gloo between the processes."""
    budget = {"images": 2400, "epochs": 6}
    one = on_two(tmp_path, "one", 1, budget=budget)
    assert control.wait(Experiment(one), DEADLINE)
    two = on_two(tmp_path, "two", 2, budget=budget)
    run = two / "supcon-15-seed0"
    until(lambda: len(Run(run).records) >= 3)
    control.stop([Run(run)])
    assert control.wait(Experiment(two), DEADLINE)
    assert control.derived_status(Run(run)).state == "stopped", control.derived_status(Run(run))
    control.resume([Run(run)], tmp_path / "data", "cpu")
    assert control.wait(Experiment(two), DEADLINE)
    assert {run.status.state for run in Experiment(two).runs} == {"completed"}
    assert len(losses(two)) == 6
    np.testing.assert_allclose(losses(two), losses(one), atol=1e-4)
    if sys.platform == "linux":
        assert_forked(two)
    until(lambda: not [process for process in psutil.process_iter(["cmdline"])
                       if str(two) in " ".join(process.info["cmdline"] or [])])


def test_a_stop_while_the_first_process_scores_epoch_0_leaves_no_other_waiting(tmp_path: Path, hold: Hold) -> None:
    hold.at_phase("scoring epoch 0")
    two = on_two(tmp_path, "two", 2, budget={"images": 80, "epochs": 1})
    trainer = hold.wait(two)
    control.stop(Experiment(two).runs)
    trainer.resume()
    assert control.wait(Experiment(two), DEADLINE)
    assert control.derived_status(Run(two / "supcon-15-seed0")).state == "stopped"


def laid_out(root: Path, **changes: object) -> Path:
    checked = planning.plan(shared("two", 2, **changes))
    return store.create(checked.config, checked.manifest, root / "checkpoints").folder


def launched(folder: Path, data: Path) -> subprocess.Popen[bytes]:
    """Two processes that work through an experiment, and no worker that would end those that wait for ever."""
    return subprocess.Popen([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m",
                             "core.jobs.series", str(folder), "--data", str(data), "--device", "cpu"], cwd=PROJECT,
                            stdin=subprocess.PIPE)


def code_of(both: subprocess.Popen[bytes]) -> int:
    """The exit code of `launched`, once it has ended by itself."""
    with both:
        return both.wait(DEADLINE)


def test_a_stop_in_each_phase_ends_both_processes(tmp_path: Path, hold: Hold) -> None:
    folder = laid_out(tmp_path, budget={"images": 120, "epochs": 2}, tuning={"learning_rates": [0.001, 0.002], "share": 0.5})
    run = folder / "supcon-15-seed0"
    for phase in ("opening the images", "trying learning rate 0.002", "training, epoch 2", "embedding every image"):
        hold.at_phase(phase, "untrained" if "opening" in phase else "supcon")
        both = launched(folder, tmp_path / "data")
        trainer = hold.wait(folder)
        for each in Experiment(folder).runs:
            (each.folder / "stop").touch()
        trainer.resume()
        assert code_of(both) == 0, phase
        assert Run(run).status.state == "stopped", phase
        for each in Experiment(folder).runs:
            (each.folder / "stop").unlink(missing_ok=True)
            if each.status.state == "stopped":
                each.write_status(RunStatus("queued"))
    assert code_of(launched(folder, tmp_path / "data")) == 0
    assert {run.status.state for run in Experiment(folder).runs} == {"completed"}
    assert len(trials.read(Run(run))) == len(losses(folder)) == 2


def test_a_run_stopped_at_rest_leaves_the_one_at_work_in_step(tmp_path: Path, hold: Hold) -> None:
    folder = laid_out(tmp_path, objectives=["supcon", "classification"], budget={"images": 120, "epochs": 2})
    rests, works = (folder / f"{name}-15-seed0" for name in ("supcon", "classification"))
    hold.at_phase("scoring epoch 1", works.name)
    both = launched(folder, tmp_path / "data")
    trainer = hold.wait(folder)
    (rests / "stop").touch()
    trainer.resume()
    assert code_of(both) == 0
    assert [Run(run).status.state for run in (rests, works)] == ["stopped", "completed"]


def test_a_run_that_diverges_on_two_devices_leaves_the_others_at_work(tmp_path: Path) -> None:
    """At a learning rate of 10 each step makes a weight -9 times itself; a loss of trials at that rate is none."""
    two = on_two(tmp_path, "two", 2, objectives=["classification", "supcon"], budget={"images": 2000, "epochs": 2},
                 training={"lr": 10, "weight_decay": 1, "optimizer": "sgd"})
    assert control.wait(Experiment(two), DEADLINE)
    found = [run.status for run in Experiment(two).runs]
    assert [(status.state, status.kind) for status in found] == [("completed", ""), *[("failed", "diverged")] * 2], found


def test_where_one_process_is_killed_the_launch_ends_and_the_run_resumes(tmp_path: Path, hold: Hold) -> None:
    hold.at_phase("training, epoch 2")
    two = on_two(tmp_path, "two", 2, budget={"images": 240, "epochs": 3})
    run = two / "supcon-15-seed0"
    first = hold.wait(two)
    [other] = [process for process in trainers(two) if process.ppid() == first.ppid() and process != first]
    other.kill()
    first.resume()
    assert control.wait(Experiment(two), DEADLINE)
    status = Run(run).status
    assert (status.state, status.kind) == ("failed", "error") and "the log has the details" in status.message, status
    resume_and_finish(two, tmp_path / "data")
    assert len(losses(two)) == 3


def test_trials_on_two_devices_are_those_of_one(tmp_path: Path) -> None:
    changes = {"budget": {"images": 400, "epochs": 2}, "tuning": {"learning_rates": [0.0003, 0.003], "share": 0.5}}
    found = []
    for name, devices in (("one", 1), ("two", 2)):
        folder = on_two(tmp_path, name, devices, **changes)
        assert control.wait(Experiment(folder), DEADLINE)
        assert {run.status.state for run in Experiment(folder).runs} == {"completed"}
        found.append([(trial.lr, trial.images_seen) for trial in trials.read(Run(folder / "supcon-15-seed0"))])
        found.append(losses(folder))
    assert found[0] == found[2] == [(0.0003, 200), (0.003, 200)]
    np.testing.assert_allclose(found[1], found[3], atol=1e-4)


def test_the_command_itself_runs_under_the_launcher(tmp_path: Path) -> None:
    """As on several machines: torchrun starts the command line in every process."""
    config = tmp_path / "launched.yaml"
    config.write_text(json.dumps(tiny(name="launched", encoder={"name": "test_convnext", "image_size": 32}, seeds=[0],
                                      dataset={"source": "folder", "root": str(few_digits())},
                                      objectives=["supcon"]).to_json()))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "main.py", "--device",
               "cpu", "--data", str(tmp_path / "data"), "--checkpoints", str(tmp_path / "checkpoints"), "--config"]
    result = subprocess.run([*command, str(config)], cwd=PROJECT, capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "checkpoints" / "launched"
    assert {control.derived_status(run).state for run in Experiment(folder).runs} == {"completed"}
    assert "supcon" in result.stdout and result.stdout.count("Look closer") == 1
    assert len(losses(folder)) == 2

    result = subprocess.run([*command, str(tmp_path / "none.yaml")], cwd=PROJECT, capture_output=True, text=True,
                            timeout=DEADLINE)
    assert result.returncode != 0 and "error: " in result.stderr and "none.yaml" in result.stderr
