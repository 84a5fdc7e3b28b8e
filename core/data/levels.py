"""What grey levels of more than 8 bits mean: one range for all of a dataset's files of a kind, black to white.

A 16-bit file does not say how many of its bits the camera uses. The range is what the dataset's files reach, rounded up to
bits that cameras have, or what its config says. Imports nothing heavy: processes that help start with this module.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image

Setting = Literal["auto", 255, 1023, 4095, 16383, 65535]  # as `DatasetConfig.levels`

SIGNED = "signed 16-bit"
SIGNED_BYTE = "signed 8-bit"  # of TIFF; Pillow takes -1 for 255
WIDEST = "16-bit PGM or JPEG 2000"  # of all 16 bits: converters write that whatever the camera used
DEEP_COLOR = "16-bit colour"
WIDEST_COLOR = "16-bit colour PPM or JPEG 2000"
DEEP_CMYK = "16-bit CMYK"
PREMULTIPLIED = "16-bit premultiplied colour"
FULL = (0, 65535)
_MEASURED_LATER = (WIDEST, SIGNED_BYTE, WIDEST_COLOR, DEEP_CMYK, PREMULTIPLIED)  # than the first kinds
_OF_16 = (8, 10, 12, 14, 16)
_BITS = {"16-bit": _OF_16, SIGNED: (8, 10, 12, 14, 15), "32-bit": (8, 10, 12, 14, 16, 20, 24, 31), DEEP_COLOR: _OF_16,
         WIDEST: _OF_16, WIDEST_COLOR: _OF_16, DEEP_CMYK: _OF_16, PREMULTIPLIED: _OF_16, SIGNED_BYTE: (7,)}
_PHOTOMETRIC, _BITS_PER_SAMPLE, _WHITE_IS_ZERO = 262, 258, 0  # TIFF 6.0, sections 4 and 8
_SAMPLE_FORMAT, _IS_SIGNED = 339, 2  # section 19
_CODESTREAM, _PRECISION = b"\xff\x4f\xff\x51", 42  # of JPEG 2000: how it begins, and where its first channel's bits stand


@dataclass(frozen=True)
class Levels:
    """The ranges of a dataset.

    Attributes:
        ranges: kind of file ('16-bit', 'signed 16-bit', '32-bit', '16-bit colour', …) -> levels of black and white. A kind
            that is not there has the range that the file at hand reaches, or is read as before it was measured (`covers`).
        is_assumed: every level is one of 65,535 and none is inverted, as before ranges were measured.
    """

    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    is_assumed: bool = False

    @property
    def key(self) -> str:
        """A part of a file's name; '' where all files have 8 bits."""
        return "".join(f"-m{-low}_{high}" if low < 0 else f"-{high}" for _, (low, high) in sorted(self.ranges.items()))

    def covers(self, kind: str) -> bool:
        """Whether a kind of file is scaled from a range; else it is read as Pillow does, as when this dataset was scanned."""
        return not self.is_assumed and (kind in self.ranges or kind not in _MEASURED_LATER)

    def to_json(self) -> dict[str, list[int]] | None:
        return None if self.is_assumed else {kind: list(levels) for kind, levels in sorted(self.ranges.items())}


ASSUMED = Levels(is_assumed=True)


def from_json(values: dict[str, list[int]] | None) -> Levels:
    """The levels `to_json` gave; those assumed for None."""
    return ASSUMED if values is None else Levels({kind: (low, high) for kind, (low, high) in values.items()})


@dataclass(frozen=True)
class Reach:
    """The lowest and highest level of a file, of a kind that does not state its range."""

    kind: str
    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.low}:{self.high}"

    @classmethod
    def read(cls, text: str) -> "Reach":
        kind, low, high = text.split(":")
        return cls(kind, int(low), int(high))


def measured(reaches: Iterable[Reach], setting: Setting = "auto") -> Levels:
    """One range for all files of a kind: the least of the usual bits that holds what they reach, or the one that is set, which
    is of more than 8 bits and so not of signed bytes."""
    ends: dict[str, tuple[int, int]] = {}
    for reach in reaches:
        low, high = ends.get(reach.kind, (reach.low, reach.high))
        ends[reach.kind] = min(low, reach.low), max(high, reach.high)
    return Levels({kind: fitting(Reach(kind, *both)) if setting == "auto" or kind == SIGNED_BYTE else (0, setting)
                   for kind, both in ends.items()})


def fitting(reach: Reach) -> tuple[int, int]:
    """Levels of black and white: 0 (or less, where levels are) and the least of the usual bits that holds the highest."""
    bits = _BITS[reach.kind]
    high = next((2**n - 1 for n in bits if 2**n > reach.high), 2**bits[-1] - 1)
    low = 0 if reach.low >= 0 else -next((2**n for n in bits if 2**n >= -reach.low), 2**bits[-1])
    return low, high


def kind_of(image: Image.Image) -> str:
    """The kind of a file that does not state its range; '' for 8 bits, and where the format scales levels itself."""
    if not image.mode.startswith("I") or stated(image):
        return ""
    if image.mode != "I":
        return "16-bit"
    return SIGNED if _bits(image) == 16 else "32-bit"


def kind_before_decoding(image: Image.Image, content: bytes) -> str:
    """The kind of a file of which only what is not decoded yet tells that its levels may not be all of its range; else ''.

    Args:
        image: opened, not decoded yet.
        content: the file's bytes.
    """
    arguments = getattr(image, "tile", None) and image.tile[0].args  # type: ignore[attr-defined]
    if image.format == "PPM" and image.mode == "I":
        return WIDEST if arguments == "I;16B" or (isinstance(arguments, tuple) and arguments[-1] == FULL[1]) else ""
    if image.format == "JPEG2000" and image.mode.startswith("I"):
        start = content.find(_CODESTREAM)
        return WIDEST if start >= 0 and content[start + _PRECISION:start + _PRECISION + 1] == bytes([15]) else ""  # less one
    tags = getattr(image, "tag_v2", {})
    is_signed = tags.get(_SAMPLE_FORMAT) in (_IS_SIGNED, (_IS_SIGNED,)) and _bits(image) == 8
    return SIGNED_BYTE if is_signed and image.mode == "L" and tags.get(_PHOTOMETRIC) != _WHITE_IS_ZERO else ""


def stated(image: Image.Image) -> tuple[int, int] | None:
    """The range that a file states: fewer bits a sample, or a format whose levels Pillow scales to 16 bits.

    Not where `kind_before_decoding` has a kind: that one is measured.
    """
    if image.format in ("PPM", "JPEG2000"):
        return FULL
    bits = _bits(image)
    return (0, 2**bits - 1) if 8 < bits < 16 else None


def is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white; Pillow inverts such images of 8 bits itself, but not those of 16."""
    tags = getattr(image, "tag_v2", None)
    return image.mode.startswith("I") and tags is not None and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def sentences(levels: Levels, reaches: Iterable[Reach], setting: Setting = "auto") -> tuple[str, ...]:
    """How the levels of a dataset's files are read, a sentence for each kind."""
    ends: dict[str, list[Reach]] = {}
    for reach in reaches:
        ends.setdefault(reach.kind, []).append(reach)
    said = []
    for kind, of_kind in sorted(ends.items()):
        low, high = levels.ranges[kind]
        lowest, highest = min(reach.low for reach in of_kind), max(reach.high for reach in of_kind)
        why = "as dataset.levels says" if setting != "auto" else "the bits that hold them; dataset.levels can say others"
        files = f"{len(of_kind):,} {kind} {'image' if len(of_kind) == 1 else 'images'}"
        said.append(f"Levels of {files} reach from {lowest:,} to {highest:,}: {low:,} is taken for black and {high:,} for "
                    f"white, {why}.")
    return tuple(said)


def _bits(image: Image.Image) -> int:
    """Bits a sample of a TIFF; 0 for others."""
    tags = getattr(image, "tag_v2", None)
    bits = tags.get(_BITS_PER_SAMPLE, 0) if tags is not None else 0
    return int(bits[0] if isinstance(bits, tuple) else bits)
