"""Checkpoints: what was saved comes back whole, or is refused."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.training import checkpoint
from tests.conftest import PROJECT

TENSORS = {
    "encoder.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 7,
    "encoder.steps": torch.tensor(12345678901),
    "scalar": torch.tensor(0.1),
    "half": torch.tensor([1.5, -2.25], dtype=torch.bfloat16),
    "bytes": torch.tensor([0, 255, 7], dtype=torch.uint8),
    "flag": torch.tensor(True),
    "empty": torch.zeros(0, 4),
}
VALUES = {"step": 17, "best": 0.1 + 0.2, "classes": ["été", "b"], "running": {"loss": 1e-300}, "nothing": None}


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file may grow beyond `room` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_round_trip_of_every_kind_of_tensor(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "last.safetensors", TENSORS, VALUES)
    tensors, values = checkpoint.load(tmp_path / "last.safetensors")
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype, name
        assert tensors[name].shape == tensor.shape, name
        assert torch.equal(tensors[name], tensor), name
    assert {key: value for key, value in values.items() if not key.endswith("sha256")} == VALUES


def test_views_and_parameters_are_saved_as_what_they_show(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(2, 3, 2, 2)
    views = {"turned": base.permute(3, 1, 0, 2)[1:],
             "channels_last": base.clone().to(memory_format=torch.channels_last),
             "parameter": torch.nn.Parameter(base[0].clone())}
    checkpoint.save(tmp_path / "last.safetensors", views, {})
    tensors, _ = checkpoint.load(tmp_path / "last.safetensors")
    assert all(torch.equal(tensors[name], view.detach()) for name, view in views.items())


def test_json_copy_says_what_the_header_says(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "best.safetensors", TENSORS, VALUES)
    _, values = checkpoint.load(tmp_path / "best.safetensors")
    copy = json.loads((tmp_path / "best.json").read_text(encoding="utf-8"))
    assert len(copy.pop("checksum")) == len(values["sha256"]) == 64
    assert copy == values


def test_checksum_follows_from_the_tensors_alone(tmp_path: Path) -> None:
    def checksum(tensors: dict[str, torch.Tensor], values: dict) -> str:
        checkpoint.save(tmp_path / "any.safetensors", tensors, values)
        return checkpoint.load(tmp_path / "any.safetensors")[1]["sha256"]

    first = checksum(TENSORS, VALUES)
    assert checksum(dict(reversed(TENSORS.items())), {"step": 18}) == first
    assert checksum({**TENSORS, "scalar": torch.tensor(0.2)}, VALUES) != first
    renamed = {("other" if name == "scalar" else name): tensor for name, tensor in TENSORS.items()}
    assert checksum(renamed, VALUES) != first
    assert checksum({**TENSORS, "encoder.weight": TENSORS["encoder.weight"].reshape(3, 2)}, VALUES) != first


@pytest.mark.parametrize("name", ["last.safetensors", "last.json"])
def test_change_of_any_one_byte_is_noticed(tmp_path: Path, name: str) -> None:
    """Every byte of both files: the header's length, its spaces, the checksum itself, the tensors, the copy."""
    checkpoint.save(tmp_path / "last.safetensors", TENSORS, VALUES)
    path = tmp_path / name
    whole = path.read_bytes()
    for place, byte in enumerate(whole):
        for other in {byte ^ 1, byte ^ 32, ord("\t")} - {byte}:  # a neighbour; the other case; another space
            path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1:])
            with pytest.raises(ValueError, match=rf"{name} must (be whole|match its checksum)"):
                checkpoint.load(tmp_path / "last.safetensors")
    path.write_bytes(whole)
    checkpoint.load(tmp_path / "last.safetensors")


@pytest.mark.parametrize("name", ["last.safetensors", "last.json"])
def test_cut_file_is_refused_wherever_it_is_cut(tmp_path: Path, name: str) -> None:
    checkpoint.save(tmp_path / "last.safetensors", TENSORS, VALUES)
    path = tmp_path / name
    whole = path.read_bytes()
    for length in (*range(0, len(whole), 7), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"{name} must (be whole|match its checksum)"):
            checkpoint.load(tmp_path / "last.safetensors")
    path.write_bytes(whole + b" ")
    with pytest.raises(ValueError, match="must match its checksum"):
        checkpoint.load(tmp_path / "last.safetensors")


def test_the_one_before_is_kept_with_its_copy(tmp_path: Path) -> None:
    last, previous = tmp_path / "last.safetensors", tmp_path / "previous.safetensors"
    for step in (1, 2, 3):
        checkpoint.save(last, {"a": torch.full((2,), float(step))}, {"step": step}, keep=previous)
    for path, step in ((last, 3), (previous, 2)):
        tensors, values = checkpoint.load(path)
        assert values["step"] == step == json.loads(path.with_suffix(".json").read_text())["step"]
        assert tensors["a"].tolist() == [step, step]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_changed_checkpoint_is_refused_by_name_and_the_one_before_is_used(tmp_path: Path) -> None:
    paths = [tmp_path / "last.safetensors", tmp_path / "previous.safetensors"]
    assert checkpoint.load_newest(paths) is None
    for step in (1, 2):
        checkpoint.save(paths[0], TENSORS, {"step": step}, keep=paths[1])
    assert checkpoint.load_newest(paths)[1:] == (checkpoint.load(paths[0])[1], [])
    paths[0].write_bytes(paths[0].read_bytes()[:-1])
    _, values, refused = checkpoint.load_newest(paths)
    assert values["step"] == 1
    assert len(refused) == 1 and str(paths[0]) in refused[0]
    paths[1].write_bytes(b"")
    with pytest.raises(ValueError, match=r"last\.safetensors must match .*; .*previous\.safetensors must be whole"):
        checkpoint.load_newest(paths)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from core.training import checkpoint

folder = Path(sys.argv[1])
events = 0
def count(name, arguments):
    global events
    if name in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(str(folder)):
        events += 1
        if events == stop_at:
            os._exit(9)
sys.addaudithook(count)
stop_at = -1
for stop_at in range(1, 30):
    child = os.fork()
    if child == 0:
        events = 0
        checkpoint.save(folder / str(stop_at) / "last.safetensors", {"a": torch.full((2,), 3.0)}, {"step": 3},
                        keep=folder / str(stop_at) / "previous.safetensors")
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(stop_at)
"""


def test_a_crash_between_any_two_steps_of_a_save_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """A process that saves dies at its first touch of a file, at its second, and so on until it lives."""
    for number in range(1, 30):
        for step in (1, 2):
            (tmp_path / str(number)).mkdir(exist_ok=True)
            checkpoint.save(tmp_path / str(number) / "last.safetensors", {"a": torch.full((2,), float(step))},
                            {"step": step}, keep=tmp_path / str(number) / "previous.safetensors")
    result = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, cwd=PROJECT)
    assert result.returncode == 0, result.stderr
    n_events = int(result.stdout)
    assert n_events > 7, "two files written, four renamed, one folder"
    found = []
    for number in range(1, n_events + 1):
        folder = tmp_path / str(number)
        tensors, values, refused = checkpoint.load_newest([folder / "last.safetensors", folder / "previous.safetensors"])
        assert refused == []
        assert tensors["a"].tolist() == [values["step"]] * 2
        found.append(values["step"])
    assert found == sorted(found) and set(found) == {2, 3}


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"duet": "{"}, {"duet": "{}"}, {"duet": "[1]"}])
def test_safetensors_file_of_someone_else_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "last.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match="must be whole, got a cut or foreign file"):
        checkpoint.load(tmp_path / "last.safetensors")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="checkpoint must exist, found none at"):
        checkpoint.load(tmp_path / "last.safetensors")


def test_saving_again_replaces_both_files_and_leaves_no_others(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, VALUES)
    checkpoint.save(path, {"a": torch.ones(3)}, {"step": 18})
    tensors, values = checkpoint.load(path)
    assert list(tensors) == ["a"] and values["step"] == 18
    assert json.loads(path.with_suffix(".json").read_text())["step"] == 18
    assert sorted(item.name for item in tmp_path.iterdir()) == ["last.json", "last.safetensors"]


def test_full_disk_raises_and_leaves_the_files_before_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, VALUES)
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}
    assert len(before) == 2
    with full_disk(room=4096), pytest.raises(OSError, match="File too large"):
        checkpoint.save(path, {"large": torch.zeros(10_000)}, {"step": 18})
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_values_that_are_no_json_leave_the_files_before_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, VALUES)
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}
    with pytest.raises(TypeError):
        checkpoint.save(path, {"a": torch.zeros(1)}, {"step": object()})
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before
