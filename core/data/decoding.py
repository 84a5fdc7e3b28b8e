"""An image file's bytes to an upright RGB image: every mode the same way, or the reason why not.

Reads no files and keeps nothing. The formats meant are listed here, and no other decoder of Pillow's is ever asked: some
start other programs.
"""

import io
import struct
import subprocess
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from core.data import deep_color, memory
from core.data import levels as level_ranges
from core.data.levels import Levels, Reach
from core.data.orientation import stand_up

if TYPE_CHECKING:
    import numpy as np

MAX_PIXELS = 100_000_000  # larger files are listed as unreadable; Pillow warns of a bomb near here too
MAX_BYTES = 2_000_000_000  # of a file: what so many pixels of 16 bits and four channels take, and as much again

# Pillow's name of each format that is read -> the endings of its files. Common ones first: they are tried in this order.
ENDINGS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "PNG": (".png", ".apng"), "BMP": (".bmp",), "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"), "TIFF": (".tif", ".tiff"), "WEBP": (".webp",), "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc")}
FORMATS = tuple(ENDINGS)
IMAGE_SUFFIXES = frozenset(ending for endings in ENDINGS.values() for ending in endings)

# What `decode` and Pillow's decoders raise on files that are not what they seem.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, TypeError, LookupError, ArithmeticError,
              AttributeError, AssertionError, BufferError, RuntimeError, MemoryError, subprocess.SubprocessError, Warning,
              Image.DecompressionBombError)

# How a file begins -> why it may not be read, where formats hold levels of many kinds.
_NOT_READ = dict.fromkeys((b"II*", b"MM\0"), "not a TIFF that can be read: it must be whole, grey or RGB, of whole numbers "
                          "from 0 up, of 8 or 16 bits") | {
    b"\xff\xd8\xff": "not a JPEG that can be read: it must be whole, of 8 bits a channel, not lossless",
    b"P7\n": "not an image file that can be read: PAM is not; save it as PPM or PNG"}
_TRANSPARENT = ("LA", "PA", "RGBA", "La", "RGBa")


def decode(content: bytes, levels: Levels | None = None) -> Image.Image:
    """An image file's bytes as an upright RGB image.

    EXIF orientation is applied, transparency is laid on white, and levels of more than 8 bits are scaled to 8 from the range
    of the dataset, where there is one, else from what this file reaches. A large image waits until others leave it the
    memory; inside `memory.one_image` it has it until that ends.

    Raises:
        OSError: if the bytes are not a whole image.
        ValueError: if there are none, more pixels than `MAX_PIXELS`, several frames, or levels without a fixed range.
    """
    with memory.one_image():
        image = opened(content)
        memory.reserve(_decoded_bytes(image, content))
        return _finished(image, "RGB", levels, content)[0]


def grey_square(content: bytes, side: int, levels: Levels | None = None) -> tuple[Image.Image, Reach | None]:
    """The same image in grey, squeezed to a small square; and what its levels reach, where its format does not say.

    A JPEG is read to its last byte, but only worked out in grey and a little larger than that: twice as fast on crops of
    224 px.

    Args:
        content: an image file's bytes.
        side: of the square, in pixels.
        levels: as in `decode`.

    Raises:
        OSError, ValueError: as `decode`.
    """
    with memory.one_image():
        image = opened(content)
        drafted = image.draft("L", (3 * side, 3 * side))
        memory.reserve(_decoded_bytes(image, content))
        if drafted is None:
            grey, reach = _finished(image, "L", levels, content)
            squeezed = _squeezed(grey, side)
            grey.close()  # at once: what refers to itself is let go only when Python looks for such circles
            image.close()
            return squeezed, reach
        image.load()
        return _finished(_squeezed(image, side, drafted[1]), "L", levels)  # its last row and column may lie beyond the image


def _squeezed(image: Image.Image, side: int, box: tuple[float, float, float, float] | None = None) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BILINEAR, box, reducing_gap=4.0)


def opened(content: bytes) -> Image.Image:
    """One image that may be decoded, not yet decoded.

    Raises:
        OSError, ValueError: as `decode`.
    """
    if not content:
        raise ValueError("the file is empty")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except OSError:
        raise ValueError(_NOT_READ.get(content[:3], "not an image file that can be read")) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(f"more than {MAX_PIXELS:,} pixels") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} × {image.height} pixels are more than {MAX_PIXELS:,}")
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1 and image.format != "MPO":  # a camera's JPEG with a preview or depth map behind it is one image
        raise ValueError(f"holds {n_frames} frames; a sample is one image")
    return image


def _decoded_bytes(image: Image.Image, content: bytes) -> int:
    """Memory that an image takes while it is decoded, roughly; the file's own bytes are part of it."""
    width, height = image.size
    channels = 4 if len(image.getbands()) > 1 or image.mode in ("I", "F") else 2
    of_decoder = {"JPEG2000": 20, "AVIF": 12, "WEBP": 8}  # bytes a pixel, of the decoder's own too
    copies = of_decoder.get(image.format or "", channels)
    is_plain = image.mode in ("RGB", "L") and "transparency" not in image.info
    of_deep = 12 if deep_color.kind_of(image, content) else 0  # bytes a pixel, of all bits of its channels
    return len(content) + width * height * (of_deep + copies if is_plain else of_deep + copies + 4)


@dataclass(frozen=True)
class _Scale:
    """Levels of black and white, whether they change places, and whether 8 bits are signed."""

    low: int
    high: int
    is_inverted: bool
    is_signed_byte: bool = False


def _finished(image: Image.Image, mode: str, levels: Levels | None, content: bytes = b"") -> tuple[Image.Image, Reach | None]:
    """Decoded, upright, in a mode of 8-bit levels; and what its levels reached, of a kind that does not state its range."""
    scale: _Scale | None = None
    reach: Reach | None
    kind = deep_color.kind_of(image, content)
    if kind and (levels is None or levels.covers(kind)):
        image, reach = deep_color.decoded(image, content, FORMATS, kind, levels)
    else:
        kind = level_ranges.kind_before_decoding(image, content)
        image = deep_color.load(image, content, FORMATS)
        scale, reach = _scale(image, levels, kind)
        if "exif" in image.info or image.format in ("TIFF", "PNG", "WEBP", "MPO"):
            stand_up(image)
    if image.mode == mode and scale is None and "transparency" not in image.info:
        return image, reach
    if image.mode == "F":
        raise ValueError("floating-point levels have no fixed range; save it with 8 or 16 bits")
    first, *others = memory.bands(image.size)
    if not others:
        return _converted(image, mode, scale), reach
    finished = Image.new(mode, image.size)
    for top, bottom in (first, *others):
        finished.paste(_converted(image.crop((0, top, image.width, bottom)), mode, scale), (0, top))
    return finished, reach


def _scale(image: Image.Image, levels: Levels | None, kind: str) -> tuple[_Scale | None, Reach | None]:
    """How a decoded image's levels become 8 bits; nothing where they have 8 already. `kind` as it was told before decoding."""
    if levels is not None and not levels.covers(kind):
        kind = ""
    if not image.mode.startswith("I") and not kind:
        return None, None
    if levels is not None and levels.is_assumed:
        return _Scale(0, 65535, is_inverted=False), None
    is_inverted = level_ranges.is_inverted(image)
    if not kind and (known := level_ranges.stated(image)) is not None:
        return _Scale(*known, is_inverted), None
    is_signed_byte = kind == level_ranges.SIGNED_BYTE
    ends = [(int(band.min()), int(band.max())) for band in
            (_values(image.crop((0, top, image.width, bottom)), is_signed_byte) for top, bottom in memory.bands(image.size))]
    reach = Reach(kind or level_ranges.kind_of(image), min(low for low, _ in ends), max(high for _, high in ends))
    of_kind = levels.ranges.get(reach.kind) if levels is not None else None
    return _Scale(*(of_kind or level_ranges.fitting(reach)), is_inverted, is_signed_byte), reach


def _values(image: Image.Image, is_signed_byte: bool) -> "np.ndarray":
    """Levels (rows, columns) as the file means them."""
    import numpy as np  # 60 ms, for rare images alone: processes that help start with this module

    values = np.asarray(image)
    return values.view(np.int8) if is_signed_byte else values


def _converted(image: Image.Image, mode: str, scale: _Scale | None) -> Image.Image:
    """An upright image in a mode of 8-bit levels, laid on white."""
    if scale is not None:
        import numpy as np

        low, high = (scale.high, scale.low) if scale.is_inverted else (scale.low, scale.high)
        levels = (_values(image, scale.is_signed_byte).astype(np.float64) - low) / ((high - low) / 255)
        image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def reason(error: Exception) -> str:
    """Why a file was left out, in one line."""
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    return " ".join(str(error).split()) or type(error).__name__
