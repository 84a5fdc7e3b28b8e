"""Tensors and the values that belong to them, in one safetensors file written whole or not at all.

The values travel in the file's header, so weights and step cannot disagree after a crash; a JSON copy beside it is
for people and other tools. Both files carry a checksum over all of their bytes. No pickle.
"""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch

from core import files, seal
from core.errors import Damaged, InputError


def save(path: Path, tensors: dict[str, torch.Tensor], values: dict, keep: Path | None = None) -> None:
    """Writes `path` (.safetensors) and its JSON copy, replacing the ones before.

    A crash at any moment leaves a whole file at `path`, at `keep`, or at both; never half of one.

    Args:
        path: where to.
        tensors: by name.
        values: what JSON can hold; the SHA-256 of the tensors, their identity, is added as 'sha256'.
        keep: where the files before move to; None drops them.

    Raises:
        OSError: if the disk is full; the files before stay as they were.
    """
    tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    values = {**values, "sha256": _digest(tensors)}
    header = {"duet": json.dumps(values), "checksum": seal.BLANK}
    contents = {path: seal.seal(safetensors_torch.save(tensors, metadata=header)),
                _copy(path): seal.seal(json.dumps({**values, "checksum": seal.BLANK}, indent=1).encode())}
    temporaries = {target: target.with_name(f"{target.name}.{files.mark()}.tmp") for target in contents}
    try:
        for target, content in contents.items():
            _write(temporaries[target], content)
        for target, temporary in temporaries.items():
            if keep is not None and target.is_file():
                os.replace(target, keep if target == path else _copy(keep))
            os.replace(temporary, target)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
    files.sync_folder(path.parent)


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Reads what `save` wrote.

    Raises:
        NotFound: if there is none.
        Damaged: if it, or its JSON copy, is cut or is not what was saved.
    """
    content, values = seal.values(path)
    try:
        return safetensors_torch.load(content), values
    except (SafetensorError, ValueError) as error:
        raise Damaged(path, f"must be one of Duet's checkpoints, got a foreign file ({error})") from None


def load_newest(paths: list[Path]) -> tuple[dict[str, torch.Tensor], dict, list[str]] | None:
    """The first checkpoint that is whole, and why those before it were refused; None if all are missing.

    Args:
        paths: checkpoints, the newest first; missing ones are passed over.

    Raises:
        InputError: if there are some and all are refused; names each.
    """
    refused: list[str] = []
    for path in paths:
        try:
            return *load(path), refused
        except FileNotFoundError:
            continue
        except InputError as error:
            refused.append(str(error))
    if refused:
        raise InputError("; ".join(refused))
    return None


def _copy(path: Path) -> Path:
    return path.with_suffix(".json")


def _write(path: Path, content: bytes) -> None:
    """Writes a file and waits until the disk has it: a rename may otherwise outlive its content in a power cut."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
