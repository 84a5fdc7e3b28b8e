"""Layers that keep running statistics of what passes through them: BatchNorm and its kin, as torch and timm have them.

One place says whether a run learns these statistics or leaves them as the weights brought them, and makes several GPUs share
them. Trains nothing itself.
"""

from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from core.errors import InputError

Norm = Literal["frozen", "trained"]
_STATISTICS = ("running_mean", "running_var")


def layers(module: nn.Module) -> list[nn.Module]:
    """All layers with running statistics, whatever their class; a layer without them works the same in either mode."""
    return [layer for layer in module.modules()
            if any(layer._buffers.get(name) is not None for name in _STATISTICS)]


def train(module: nn.Module, norm: Norm) -> None:
    """Puts a module into training mode; with `frozen`, its layers with running statistics stay in evaluation mode.

    Such a layer normalises by its stored statistics and does not update them; its weight and bias are still trained. Modules
    inside such a layer, such as dropout, are in training mode.
    """
    module.train()
    if norm == "frozen":
        for layer in layers(module):
            layer.training = False


def synchronized(module: nn.Module) -> nn.Module:
    """The module with batch statistics taken over all processes: layers of torch and of timm, each with its own activation.

    torch's own converter puts its plain layer in the place of timm's, which normalises and activates in one.

    Raises:
        InputError: if a layer is of a class that has no such counterpart.
    """
    import timm.layers

    known = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, timm.layers.BatchNormAct2d,
             timm.layers.SyncBatchNormAct)
    odd = sorted({type(layer).__name__ for layer in layers(module)
                  if isinstance(layer, _BatchNorm) and type(layer) not in known})
    if odd:
        raise InputError(f"training.devices must be 1 for an encoder with {', '.join(odd)}, or training.norm frozen: "
                         f"statistics of these layers cannot be shared")
    return timm.layers.convert_sync_batchnorm(module)
