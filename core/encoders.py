"""Which encoders exist, known without loading torch: the names timm registers, read from its source text.

Pages and the config need the names to refuse a wrong one at once; `core.training.encoder` builds the encoder.
"""

import difflib
import importlib.util
import re
from functools import cache
from pathlib import Path

_REGISTRATION = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)


@cache
def names() -> frozenset[str]:
    """Every architecture that timm registers, such as 'mobilenetv2_035', without its pretrained tag."""
    folders = importlib.util.find_spec("timm").submodule_search_locations
    return frozenset(name for folder in folders for file in Path(folder, "models").glob("*.py")
                     for name in _REGISTRATION.findall(file.read_text(encoding="utf-8")))


def is_known(name: str) -> bool:
    """Whether timm has this architecture; a pretrained tag ('convnext_tiny.fb_in22k') is left to the encoder."""
    return name.partition(".")[0] in names()


def closest(name: str, n: int = 4) -> list[str]:
    """Names most like a mistyped one, best first; never empty."""
    return difflib.get_close_matches(name.partition(".")[0], sorted(names()), n=n, cutoff=0.0)
