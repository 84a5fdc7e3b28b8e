"""Which encoders exist, known without loading torch: the names timm registers, read from its source text.

Pages and the config need the names to refuse a wrong one at once; `core.training.encoder` builds the encoder.
"""

import difflib
import importlib.util
import math
import re
from functools import cache
from pathlib import Path

_REGISTRATION = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)


@cache
def names() -> frozenset[str]:
    """Every architecture that timm registers, such as 'mobilenetv2_035', without its pretrained tag."""
    spec = importlib.util.find_spec("timm")
    assert spec and spec.submodule_search_locations, "timm is a package that is installed"
    return frozenset(name for folder in spec.submodule_search_locations for file in Path(folder, "models").glob("*.py")
                     for name in _REGISTRATION.findall(file.read_text(encoding="utf-8")))


def is_known(name: str) -> bool:
    """Whether timm has this architecture; a pretrained tag ('convnext_tiny.fb_in22k') is left to the encoder."""
    return name.partition(".")[0] in names()


# Convolutional encoders that take every image from so many pixels on, tried one by one in tests/unit/test_encoder_names.py.
_SMALLEST = {"test_byobnet": 16, "test_resnet": 16, "test_convnext": 32, "test_efficientnet": 16, "mobilenetv2_035": 16,
             "mobilenetv2_100": 16, "mobilenetv3_small_050": 16, "convnext_atto": 32, "convnext_tiny": 32, "resnet18": 16,
             "resnet50": 16, "efficientnet_b0": 16}


def is_known_to_take(name: str, image_size: int | None) -> bool:
    """Whether an architecture, without options, is known to take images of this side; its own side is always taken."""
    return image_size is None or image_size >= _SMALLEST.get(name, math.inf)


def closest(name: str, n: int = 4) -> list[str]:
    """Names most like a mistyped one, best first; never empty."""
    return difflib.get_close_matches(name.partition(".")[0], sorted(names()), n=n, cutoff=0.0)
