"""A file of weights into an encoder: other trainers' wrappers and prefixes taken off, all that does not fit refused.

Never runs what a file holds: a pickle is read by torch's reader of tensors alone, which makes of other classes only those
listed here, all of them plain values.
"""

import argparse
import datetime
import pathlib
import pickle  # for the name of its error alone
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from core import weights_file
from core.errors import InputError
from core.weights_file import SAVE_TENSORS, WANTED
from core.wording import one_line

State = dict[str, torch.Tensor]
_DEPTH = 3  # of dictionaries in each other that are looked into
_MOST_NAMED = 3  # tensors or classes in a sentence

# An average of the weights over training: better than the last step's, and what timm takes first too. A teacher is one.
_IS_AVERAGE = re.compile(r"(^|[._])(ema|swa|averaged|teacher)([._]|$)", re.IGNORECASE)

_MULTIARRAY: Any = np._core.multiarray  # type: ignore[attr-defined]  # what NumPy's own pickles name

# Plain values that stand beside weights, such as timm's own `args`: making them runs nothing. By the names that other versions
# of Python and NumPy wrote too; a path of another system is kept as a text of that system.
_SAFE = [
    argparse.Namespace, (lambda *_: {}, "collections.defaultdict"), datetime.datetime, datetime.date, datetime.timedelta,
    datetime.timezone, list, dict, tuple, int, float, str, bool, bytes, complex, frozenset, range, slice, np.ndarray, np.dtype,
    *(getattr(np.dtypes, name) for name in np.dtypes.__all__),
    *((_MULTIARRAY.scalar, f"numpy.{core}.multiarray.scalar") for core in ("_core", "core")),
    *((_MULTIARRAY._reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("_core", "core")),
    *((kind, f"{module}.{name}") for module in ("pathlib", "pathlib._local") for name, kind in (
        ("PosixPath", pathlib.PurePosixPath), ("PurePosixPath", pathlib.PurePosixPath),
        ("WindowsPath", pathlib.PureWindowsPath), ("PureWindowsPath", pathlib.PureWindowsPath))),
]


@dataclass(frozen=True)
class _Candidate:
    """Tensors of a file that may be the encoder's.

    Attributes:
        wrappers: keys they lie under, outermost first.
        prefix: that their names share, with its last dot.
        state: by their names without the prefix.
        others: names in the same place without the prefix.
        n_fitting: how many fit.
    """

    wrappers: tuple[str, ...]
    prefix: str
    state: State
    others: tuple[str, ...]
    n_fitting: int

    @property
    def is_average(self) -> bool:
        return any(_IS_AVERAGE.search(name) for name in (*self.wrappers, self.prefix.rstrip(".")))


def load(module: nn.Module, path: Path, name: str) -> str:
    """Loads a file of weights into an encoder.

    Args:
        module: the encoder, of timm.
        path: a safetensors file, or one of torch that holds tensors by name.
        name: the encoder's, for sentences.

    Returns:
        What was taken of the file, and what was left, in words; nothing where it holds the encoder's tensors alone.

    Raises:
        NotFound: if there is none.
        InputError: if it is another kind of file, could run code, does not fit or holds what is no number; one sentence.
    """
    weights_file.check(path)
    content = _read(path)
    own = module.state_dict()
    counters = {key for key in own if key.endswith("num_batches_tracked")}  # no weights: optional
    expected = {key: value for key, value in own.items() if key not in counters}
    candidates = [candidate for wrappers, state in _states(content) for candidate in _candidates(wrappers, state, expected)]
    if not candidates:
        raise InputError(f"encoder.weights must hold tensors by name, got {path}")
    most = max(candidate.n_fitting for candidate in candidates)
    best = next((each for each in candidates if each.n_fitting == most and each.is_average), None) or next(
        each for each in candidates if each.n_fitting == most)
    classifier = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    heads = tuple(f"{part}." for part in ([classifier] if isinstance(classifier, str) else classifier))
    left = [key for key in best.state if key not in own and key.startswith(heads or ("\0",))]
    state = {key: value for key, value in best.state.items() if key not in counters and key not in left}
    _check_fit(state, expected, path, name)
    _check_numbers(state, path)
    module.load_state_dict({**own, **state})
    return _note(candidates, best, left)


def _read(path: Path) -> object:
    try:
        if weights_file.is_safetensors(path):
            from safetensors.torch import load_file

            return load_file(path)
        with path.open("rb") as file, torch.serialization.safe_globals(_SAFE), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of sparse tensors, which are refused below
            # not by its name, from which torch would guess at the format
            return torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError,
            AttributeError, ArithmeticError, ImportError, MemoryError, AssertionError) as error:
        raise InputError(f"encoder.weights {WANTED}, got {path} ({_why_not(path, error)})") from None


def _why_not(path: Path, error: Exception) -> str:
    """Why a file was refused, in words; what a pickle would make is named and not made."""
    try:
        with torch.serialization.safe_globals(_SAFE):
            unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # of a damaged or foreign file, anything: the first error says enough
        unsafe = []
    if any(item.startswith(("torch.nn.", "timm.", "torchvision.")) for item in unsafe):
        return f"a whole pickled model, which could run code; load it where it was made and {SAVE_TENSORS}"
    if unsafe:
        more = f" and {len(unsafe) - _MOST_NAMED} more" if len(unsafe) > _MOST_NAMED else ""
        names = ", ".join(one_line(item) for item in unsafe[:_MOST_NAMED])
        return f"it holds {names}{more}, which could run code; load it where it was made and {SAVE_TENSORS}"
    text = one_line(error)
    if "Weights only load failed" in text or isinstance(error, pickle.UnpicklingError):
        unsupported = re.search(r"Unsupported (?:global: GLOBAL|class|operand|type) ([A-Za-z_][\w.]*)", text)
        what = f"{unsupported[1]}, which could run code" if unsupported else "more than tensors, or is damaged"
        return f"it holds {what}; load it where it was made and {SAVE_TENSORS}"
    return text[:120] or type(error).__name__


def _states(content: object, wrappers: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], State]]:
    """Every group of tensors by name, the outermost first, with the keys it lies under."""
    if not isinstance(content, dict) or len(wrappers) > _DEPTH:
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, torch.Tensor)}
    if tensors:
        yield wrappers, tensors
    for key, value in content.items():
        if isinstance(key, str):
            yield from _states(value, (*wrappers, key))


def _candidates(wrappers: tuple[str, ...], state: State, expected: State) -> Iterator[_Candidate]:
    """The tensors under their own names, and without each prefix that more than half of the encoder's tensors have."""
    yield _Candidate(wrappers, "", state, (), _count_fitting(state, expected))
    keys = list(expected)
    anchors = {keys[0], keys[len(keys) // 2], keys[-1]}
    prefixes = dict.fromkeys(key[:-len(anchor)] for key in state for anchor in anchors if key.endswith(f".{anchor}"))
    for prefix in prefixes:
        inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        n_fitting = _count_fitting(inside, expected)
        if 2 * n_fitting > len(expected):
            yield _Candidate(wrappers, prefix, inside, tuple(key for key in state if not key.startswith(prefix)), n_fitting)


def _count_fitting(state: State, expected: State) -> int:
    return sum(key in expected and expected[key].shape == value.shape for key, value in state.items())


def _check_fit(state: State, expected: State, path: Path, name: str) -> None:
    if any(value.is_quantized for value in state.values()) or any(
            key.endswith(("_packed_params", "zero_point", "qweight", "weight_scale")) for key in state):
        raise InputError(f"encoder.weights must be of floating-point numbers, got {path}, which is quantised; take the model "
                         f"before it was quantised")
    fitting = [key for key, value in state.items() if key in expected and expected[key].shape == value.shape]
    if len(fitting) < len(expected) or len(fitting) < len(state):
        odd = next(iter([key for key in expected if key not in fitting] + [key for key in state if key not in fitting]))
        raise InputError(f"encoder.weights must fit {name}, got {path} where {len(fitting)} of {len(expected)} tensors "
                         f"fit (for one, {one_line(odd)!r} does not)")
    whole = next((key for key, value in state.items()
                  if expected[key].is_floating_point() and not value.is_floating_point()), None)
    if whole is not None:
        raise InputError(f"encoder.weights must be of floating-point numbers, got {path}, where {whole!r} is of "
                         f"{str(state[whole].dtype).removeprefix('torch.')}")


def _check_numbers(state: State, path: Path) -> None:
    """Refuses what is no number: every run would fail on it. Also zeros alone: no image would differ from another."""
    for key, value in state.items():
        if value.is_meta:
            raise InputError(f"encoder.weights must hold numbers, got {path}, where {one_line(key)!r} has a shape alone (a "
                             f"tensor of PyTorch's device 'meta'); load the weights into the model before you save it")
        if value.layout != torch.strided:
            raise InputError(f"encoder.weights must be dense tensors, got {path}, where {one_line(key)!r} is sparse; save "
                             f"each as tensor.to_dense()")
        if value.is_floating_point() and not torch.isfinite(value.float()).all():
            raise InputError(f"encoder.weights must be finite numbers, got {path}, where {key!r} holds NaN or infinity")
    matrices = [value for value in state.values() if value.is_floating_point() and value.ndim > 1]
    if matrices and not any(value.any() for value in matrices):
        raise InputError(f"encoder.weights must be of a trained encoder, got {path}, in which every weight is zero")


def _note(candidates: list[_Candidate], best: _Candidate, left: list[str]) -> str:
    parts = []
    if best.wrappers:
        others = dict.fromkeys(".".join(each.wrappers) for each in candidates
                               if each.n_fitting == best.n_fitting and each.wrappers != best.wrappers)
        chosen = f", an average over training, rather than {', '.join(others)}" if others and best.is_average else (
            f" rather than {', '.join(others)}" if others else "")
        parts.append(f"took {'.'.join(best.wrappers)}{chosen}")
    if best.prefix:
        parts.append(f"took {best.prefix.rstrip('.')!r} off the names")
    if left:
        sizes = [best.state[key].shape[0] for key in left if best.state[key].ndim]
        classes = f" of {sizes[-1]} classes" if sizes else ""
        parts.append(f"left out a head{classes} ({_named(left)})")
    if best.others:
        parts.append(f"left out {len(best.others)} tensors beside the encoder ({_named(best.others)})")
    return one_line("; ".join(parts))


def _named(keys: list[str] | tuple[str, ...]) -> str:
    return ", ".join(keys[:_MOST_NAMED]) + (", …" if len(keys) > _MOST_NAMED else "")
