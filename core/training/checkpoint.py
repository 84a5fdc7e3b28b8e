"""Tensors and the values that belong to them, in one safetensors file written whole or not at all.

The values travel in the file's header, so weights and step cannot disagree after a crash; a JSON copy beside it is
for people and other tools. No pickle.
"""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


def save(path: Path, tensors: dict[str, torch.Tensor], values: dict) -> None:
    """Writes `path` (.safetensors) and its JSON copy, replacing the ones before.

    Raises:
        OSError: if the disk is full; the files before stay as they were.
    """
    tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    values = {**values, "sha256": _digest(tensors)}
    values["values_sha256"] = _values_digest(values)
    temporary = path.with_name(path.name + ".tmp")
    copy = path.with_suffix(".json")
    try:
        save_file(tensors, temporary, metadata={"duet": json.dumps(values)})
        os.replace(temporary, path)
    except SafetensorError as error:  # what the library makes of a full disk
        raise OSError(f"{path} could not be written: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    temporary_copy = copy.with_name(copy.name + ".tmp")
    temporary_copy.write_text(json.dumps(values, indent=1), encoding="utf-8")
    os.replace(temporary_copy, copy)


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Reads what `save` wrote.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is cut or its tensors are not the ones that were saved.
    """
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint must exist, found none at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads((file.metadata() or {})["duet"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        expected = values["sha256"], values["values_sha256"]
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"checkpoint {path} must be whole, got a cut or foreign file ({error})") from None
    if (_digest(tensors), _values_digest(values)) != expected:
        raise ValueError(f"checkpoint {path} must match its checksum; it was changed after it was saved")
    return tensors, values


def _values_digest(values: dict) -> str:
    kept = {key: value for key, value in values.items() if key != "values_sha256"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
