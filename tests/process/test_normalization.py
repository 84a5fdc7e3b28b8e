"""Running statistics of normalisation layers: fixed where weights are not random, learnt where they are, and shared by timm's
own layers where several GPUs train."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import timm.layers
import torch
from safetensors.torch import save_file
from torch import nn

from core import config as configuration
from core import files
from core.errors import ConfigError
from core.experiments.handles import Experiment, Run
from core.results import protocol
from core.training import checkpoint, encoder, normalization, objectives
from core.training.encoder import DataConfig
from core.training.trainer import Trainer
from tests import PROJECT
from tests.conftest import TINY, run_in_process, tiny
from tests.waiting import DEADLINE

DATA = DataConfig(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), image_size=32, crop_pct=1.0)
LABEL_ID = np.repeat(np.arange(4, dtype=np.int32), 12)
KINDS: dict[str, Callable[[], nn.Module]] = {
    "BatchNorm1d": lambda: nn.BatchNorm1d(8), "BatchNorm2d": lambda: nn.BatchNorm2d(8),
    "BatchNorm3d": lambda: nn.BatchNorm3d(8), "SyncBatchNorm": lambda: nn.SyncBatchNorm(8),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(8, affine=True, track_running_stats=True),
    "BatchNormAct2d": lambda: timm.layers.BatchNormAct2d(8), "SyncBatchNormAct": lambda: timm.layers.SyncBatchNormAct(8),
    "SplitBatchNorm2d": lambda: timm.layers.SplitBatchNorm2d(8), "EvoNorm2dB0": lambda: timm.layers.EvoNorm2dB0(8),
    "FrozenBatchNormAct2d": lambda: timm.layers.FrozenBatchNormAct2d(8)}


def pretrained(name: str = "test_resnet") -> nn.Module:
    """Weights and statistics unlike those of a new encoder."""
    torch.manual_seed(5)
    module = timm.create_model(name, num_classes=0)
    for key, buffer in module.named_buffers():
        if key.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif key.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return module


def statistics(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if key.rpartition(".")[2] in (
        "running_mean", "running_var", "num_batches_tracked")}


def are_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())


def trainer(norm: str, objective: str = "supcon", module: nn.Module | None = None, **training: object) -> Trainer:
    experiment = configuration.parse({
        "name": "norm", "dataset": {"source": "digits"}, "objectives": [objective], "seeds": [0],
        "budget": {"images": 128, "epochs": 2}, "training": {
            "batch": {"classes": 4, "samples": 8}, "norm": norm, "lr": 0.001, **training}})
    run = next(run for run in experiment.runs() if run.is_trained)
    module = module or pretrained()
    loss = objectives.build(run.objective, encoder.feature_width(module, DATA), 4, 32, 0)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3), dtype=np.uint8)
    return Trainer(module, loss, DATA, pixels, LABEL_ID, np.arange(48), run, torch.device("cpu"))


@pytest.mark.parametrize("weights, given, norm", [
    ("random", None, "trained"), ("hub", None, "frozen"), ("w.pth", None, "frozen"), ("random", "frozen", "frozen"),
    ("hub", "trained", "trained")])
def test_the_weights_settle_it_unless_the_config_says_so(weights: str, given: str | None, norm: str) -> None:
    config = tiny(encoder={"name": "test_resnet", "weights": weights}, training={**TINY["training"], "norm": given})
    assert config.to_json()["training"]["norm"] == norm
    assert all(run.norm == norm and run.to_json()["training"]["norm"] == norm for run in config.runs())
    assert configuration.parse(config.to_json()) == config


def test_a_stored_config_without_it_trained_its_statistics(experiment: Path) -> None:
    stored = files.read_json(experiment / "experiment.json")
    stored["config"]["encoder"]["weights"] = "old.safetensors"
    del stored["config"]["training"]["norm"]
    files.write_json(experiment / "experiment.json", stored)
    assert Experiment(experiment).config.training.norm == "trained"
    run = files.read_json(Experiment(experiment).runs[1].folder / "run.json")["config"]
    run["encoder"]["weights"] = "old.safetensors"
    del run["training"]["norm"]
    assert configuration.parse_run(run).norm == "trained"


def test_any_other_word_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.norm must be 'frozen' or 'trained', got \"half\""):
        tiny(training={"norm": "half"})


def test_a_difference_is_a_confounder() -> None:
    from core.analysis import fairness

    settings = [protocol.of_config(next(run for run in tiny(training={**TINY["training"], "norm": norm}).runs()))
                for norm in ("frozen", "trained")]
    assert fairness.confounders(fairness.differences(*settings)) == ("statistics of normalisation layers",)


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_with_running_statistics_keeps_them_and_is_trained(kind: str) -> None:
    layer = KINDS[kind]()
    module = nn.Sequential(nn.Dropout(), layer)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    assert any(item is layer for item in normalization.layers(module))
    module.eval()
    normalization.train(module, "frozen")
    assert module.training and module[0].training and not layer.training
    if "Sync" not in kind:  # these take images on a GPU alone
        shape = {"BatchNorm1d": (4, 8), "BatchNorm3d": (4, 8, 2, 2, 2)}.get(kind, (4, 8, 2, 2))
        out = layer(torch.randn(shape))
        if parameters := list(layer.parameters()):  # one kind keeps even its weight and bias as they are
            out.square().sum().backward()
            assert any(parameter.grad is not None for parameter in parameters)
        assert are_equal(before, layer.state_dict())


def test_dropout_inside_a_normalisation_layer_stays_in_training() -> None:
    module = timm.layers.BatchNormAct2d(8, drop_layer=nn.Dropout)
    normalization.train(module, "frozen")
    assert not module.training and module.drop.training


def test_layers_without_running_statistics_are_left_alone() -> None:
    module = nn.Sequential(nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.BatchNorm2d(8, track_running_stats=False))
    normalization.train(module, "frozen")
    assert all(layer.training for layer in module)


@pytest.mark.parametrize("micro_batch", [None, 8])
@pytest.mark.parametrize("norm", ["frozen", "trained"])
def test_a_training_keeps_or_learns_them_with_the_encoder_embedded_in_between(norm: str, micro_batch: int | None) -> None:
    subject = trainer(norm, micro_batch=micro_batch)
    before = {key: value.clone() for key, value in subject.encoder.state_dict().items()}
    for _ in subject.epochs(lambda: False):
        subject.encoder.eval()  # as validation leaves it
    after = subject.encoder.state_dict()
    assert are_equal(statistics(before), statistics(after)) == (norm == "frozen")
    affine = [key.replace("running_mean", part) for key in before if key.endswith("running_mean")
              for part in ("weight", "bias")]
    assert affine and not any(torch.equal(before[key], after[key]) for key in affine)


def test_frozen_statistics_make_micro_batches_the_whole_batch() -> None:
    """With statistics that are fixed nothing depends on which images stand together."""
    losses = [[record.loss for record in trainer("frozen", micro_batch=size).epochs(lambda: False)] for size in (None, 8)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_they_stay_with_a_compiled_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module: compiled(module, backend="eager"))  # no C++ compiler needed
    subject = trainer("frozen", compile=True)
    before = {key: value.clone() for key, value in statistics(subject.encoder.state_dict()).items()}
    for _ in subject.epochs(lambda: False):
        subject.encoder.eval()
    assert are_equal(before, statistics(subject.encoder.state_dict()))


def test_a_stop_and_a_resume_change_nothing() -> None:
    whole, first, second = (trainer("frozen") for _ in range(3))
    list(whole.epochs(lambda: False))
    list(first.epochs(lambda: first.step == 3))
    second.load(*first.state())
    list(second.epochs(lambda: False))
    assert are_equal(dict(whole.encoder.state_dict()), dict(second.encoder.state_dict()))


TWO = """
import sys
import torch
import tests.process.test_normalization as here
from core.training.ranks import joined
torch.set_num_threads(1)
with joined(torch.device("cpu")) as ranks:
    subject = here.trainer("frozen")
    subject._ranks = ranks
    before = {key: value.clone() for key, value in here.statistics(subject.encoder.state_dict()).items()}
    list(subject.epochs(lambda: False))
    print("KEPT" if here.are_equal(before, here.statistics(subject.encoder.state_dict())) else "CHANGED", flush=True)
"""


def test_they_stay_in_each_of_two_processes() -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
    result = subprocess.run([*launcher, sys.executable, "-c", TWO], capture_output=True, text=True, timeout=DEADLINE,
                            cwd=PROJECT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("KEPT") == 2


@pytest.mark.parametrize("weights, tuning", [("file", None), ("file", {"learning_rates": [0.001, 0.003], "share": 0.5}),
                                             ("random", None)])
def test_a_run_from_a_file_keeps_them_bit_for_bit_and_one_from_random_weights_learns_them(
        weights: str, tuning: dict | None, tmp_path: Path) -> None:
    if weights == "file":
        weights = str(tmp_path / "weights.safetensors")
        save_file(pretrained().state_dict(), weights)
    config = tiny(encoder={"name": "test_resnet", "image_size": 32, "weights": weights}, seeds=[0], objectives=["supcon"],
                  tuning=tuning)
    first = statistics(encoder.build(config.encoder, 0)[0].state_dict())
    folder = run_in_process(config, tmp_path)
    run = folder / "supcon-15-seed0"
    last = checkpoint.load(run / "last.safetensors")[0]
    trained = statistics({key.removeprefix("encoder."): value for key, value in last.items() if key.startswith("encoder.")})
    assert Run(run).config.norm == ("trained" if weights == "random" else "frozen")
    assert are_equal(first, trained) == (weights != "random")
    if weights != "random":
        assert are_equal(first, statistics(checkpoint.load(run / "best.safetensors")[0]))


@pytest.mark.parametrize("name", ["mobilenetv2_035", "mobilenetv3_small_050", "efficientnet_b0", "resnet18", "test_resnet"])
def test_sharing_statistics_over_processes_changes_no_output(name: str) -> None:
    module = pretrained(name).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = module(images)
    shared = normalization.synchronized(module).eval()
    layers = normalization.layers(shared)
    assert layers and all(isinstance(layer, nn.SyncBatchNorm) for layer in layers)
    with torch.inference_mode():
        torch.testing.assert_close(shared(images), before, rtol=1e-4, atol=1e-6)


def test_a_layer_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"training\.devices must be 1 for an encoder with SplitBatchNorm2d"):
        normalization.synchronized(nn.Sequential(timm.layers.SplitBatchNorm2d(8)))


@pytest.mark.parametrize("norm", ["frozen", "trained"])
def test_layers_are_converted_on_several_gpus_only_where_statistics_are_trained(norm: str) -> None:
    """On a stand-in for a GPU, as `Trainer` asks for no more of it here."""

    class Converted(Exception):
        pass

    class Several:
        n, rank = 2, 0

    class Gpu:
        type = "cuda"

    class Net(nn.Sequential):
        def to(self, *_: object, **__: object) -> "Net":
            raise Converted(sum(isinstance(layer, nn.SyncBatchNorm) for layer in self.modules()))

    run = trainer(norm)._config
    with pytest.raises(Converted) as caught:
        Trainer(Net(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)), nn.Identity(), DATA, np.zeros((48, 32, 32, 3), np.uint8), LABEL_ID,
                np.arange(48), run, Gpu(), ranks=Several())
    assert caught.value.args == (int(norm == "trained"),)
