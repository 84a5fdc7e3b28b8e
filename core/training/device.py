"""The device that is meant by a name, and modules on it."""

from typing import TypeVar

import torch
from torch import nn

from core.errors import InputError

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def placed(module: AnyModule, device: torch.device) -> AnyModule:
    """A module on a device, its images in the order of memory that convolutions are fastest in."""
    return module.to(device).to(memory_format=torch.channels_last)


def resolve_device(name: str) -> torch.device:
    """The torch device of 'auto', 'cpu', 'cuda' or a CUDA device's number.

    Raises:
        InputError: if this machine has no such device.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = {"auto": "0", "cuda": "0"}.get(name, name)
    if not index.isdigit() or int(index) >= n_devices:
        raise InputError(f"device must be auto, cpu, cuda or the number of one of this machine's {n_devices} CUDA "
                         f"devices, got {name!r}")
    return torch.device("cuda", int(index))
