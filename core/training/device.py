"""The device that is meant by a name."""

import torch

from core.errors import InputError


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
