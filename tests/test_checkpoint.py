"""Checkpoints: what was saved comes back whole, or is refused."""

import json
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.training import checkpoint

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


def header_end(path: Path) -> int:
    """First byte of the tensor data: 8 bytes of length, then the header (the safetensors format)."""
    return 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]


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
    assert json.loads((tmp_path / "best.json").read_text(encoding="utf-8")) == values
    assert len(values["sha256"]) == 64


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


def test_change_of_any_one_byte_of_the_tensors_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, VALUES)
    whole, start = path.read_bytes(), header_end(path)
    assert len(whole) - start == 6 * 4 + 8 + 4 + 2 * 2 + 3 + 1
    for place in range(start, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        with pytest.raises(ValueError, match="must match its checksum; it was changed after it was saved"):
            checkpoint.load(path)
    path.write_bytes(whole)
    checkpoint.load(path)


def test_cut_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, VALUES)
    whole, start = path.read_bytes(), header_end(path)
    for length in (0, 5, 8, start // 2, start, start + 1, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="must be whole, got a cut or foreign file"):
            checkpoint.load(path)


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
    with full_disk(room=4096), pytest.raises(OSError, match="could not be written"):
        checkpoint.save(path, {"large": torch.zeros(10_000)}, {"step": 18})
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_values_that_are_no_json_leave_the_files_before_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, VALUES)
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}
    with pytest.raises(TypeError):
        checkpoint.save(path, {"a": torch.zeros(1)}, {"step": object()})
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_change_of_a_value_in_the_header_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, {"weight": torch.zeros(2)}, {"step": 1})
    content = path.read_bytes()
    assert content.count(b'\\"step\\": 1') == 1
    path.write_bytes(content.replace(b'\\"step\\": 1', b'\\"step\\": 9'))
    with pytest.raises(ValueError, match="must match its checksum"):
        checkpoint.load(path)
