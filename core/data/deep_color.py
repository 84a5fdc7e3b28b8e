"""Colour of 16 bits a channel, of which Pillow keeps the upper 8: all 16, scaled to 8 by the range of the dataset.

Of the other formats that are read, and of colour that states another range, Pillow gives 8 bits by the range that they
state. Does not say what is black and white (`core.data.levels`).
"""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFile

from core.data import levels as level_ranges
from core.data import memory, tiff_planes
from core.data.jpeg_2000 import Codestream
from core.data.levels import Levels, Reach
from core.data.orientation import stand_up

if TYPE_CHECKING:
    import numpy as np

# The raw modes that read the upper byte of each channel -> those that read the lower one, of the other byte order.
_OTHER_ORDER = {f"{mode};16{order}": f"{mode};16{other}" for mode in ("RGB", "RGBA", "RGBX", "CMYK")
                for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))}
_GREY_WITH_ALPHA = "LA;16B"  # of PNG; read as RGBA it is both bytes of grey, then both of alpha
_PREMULTIPLIED = {mode.replace("A", "a"): mode for mode in _OTHER_ORDER if mode.startswith("RGBA")}
_OF_JPEG_2000 = ("RGB", "RGBA", "LA")


def kind_of(image: Image.Image, content: bytes) -> str:
    """The kind of an image that is not decoded yet if it has colour, or grey and transparency, of 16 bits a channel; else ''.

    Args:
        image: opened.
        content: the file's bytes.
    """
    if not isinstance(image, ImageFile.ImageFile):  # made of another
        return ""
    modes = {_raw_mode(tile.args) for tile in image.tile}
    if image.format == "PPM":
        is_widest = all(_highest(tile.args) == level_ranges.FULL[1] for tile in image.tile)
        return level_ranges.WIDEST_COLOR if is_widest and len(image.getbands()) > 1 else ""
    if image.format == "JPEG2000":
        is_widest = image.mode in _OF_JPEG_2000 and Codestream(content).may_hold_fewer_bits
        return level_ranges.WIDEST_COLOR if is_widest else ""
    is_of_16_bits = bool(modes) and modes <= {*_OTHER_ORDER, *_PREMULTIPLIED, _GREY_WITH_ALPHA}
    if image.format not in ("PNG", "TIFF") or not (is_of_16_bits or tiff_planes.has_planes(image)):
        return ""
    if any("a" in mode for mode in modes):
        return level_ranges.PREMULTIPLIED
    return level_ranges.DEEP_CMYK if image.mode == "CMYK" else level_ranges.DEEP_COLOR


def load(image: Image.Image, content: bytes, formats: tuple[str, ...]) -> Image.Image:
    """A decoded image as Pillow gives it; but of colour JPEG 2000 of more than 8 bits white stays white.

    Args:
        image: opened.
        content: the file's bytes.
        formats: Pillow's names of formats that may be opened.

    Raises:
        OSError, ValueError: if it is not a whole image.
    """
    codestream = Codestream(content)
    if not (image.format == "JPEG2000" and image.mode in (*_OF_JPEG_2000, "CMYK") and codestream.is_plain
            and max(codestream.depths) > 8):
        image.load()
        return image
    import numpy as np  # 60 ms, for rare images alone: processes that help start with this module

    n_bits = codestream.depths[0]
    values = _bytes_of(codestream.lowest(n_bits)[0], formats)
    if codestream.is_lossy:  # then levels overflow by more
        brighter = _bytes_of(codestream.lowest(n_bits, is_brighter_half=True)[0], formats)
        values = np.where(brighter > 0, 128 + np.minimum(brighter, 127), values)
    return Image.fromarray(values, image.mode)


def decoded(image: Image.Image, content: bytes, formats: tuple[str, ...], kind: str,
            levels: Levels | None) -> tuple[Image.Image, Reach]:
    """A deep image upright, in 8 bits a channel by the range of its dataset or else by what it reaches, and what it reaches.

    Transparency is scaled too unless it reaches above that range: then it was written with all 16 bits.

    Args:
        image: opened, not decoded yet.
        content: the file's bytes.
        formats: Pillow's names of formats that may be opened.
        kind: as `kind_of`.
        levels: the dataset's ranges.

    Raises:
        OSError, ValueError: if it is not a whole image.
    """
    if image.format == "JPEG2000":
        return _jpeg_2000(image, content, formats, kind, levels)
    if image.format == "PPM":
        deep = _of_ppm(image, content, formats)
    elif tiff_planes.has_planes(image):
        deep = _of_planes(image, content, formats)
    else:
        deep = _of_both_bytes(image, content, formats)
    return _scaled(deep, kind, levels)


@dataclass(frozen=True)
class _Deep:
    """A deep image, decoded and upright.

    Attributes:
        mode: what its channels are; 'RGBa' where colour is multiplied by transparency.
        size: width and height.
        rows: levels (rows, columns, channels), uint16, of the rows from a first to a last.
    """

    mode: str
    size: tuple[int, int]
    rows: "Callable[[int, int], np.ndarray]"


def _of_both_bytes(image: Image.Image, content: bytes, formats: tuple[str, ...]) -> _Deep:
    """Read twice: the second time in the other byte order, which gives the lower bytes."""
    import numpy as np

    first = _raw_mode(image.tile[0].args)  # type: ignore[attr-defined]
    mode = _PREMULTIPLIED.get(first, first)
    is_grey = first == _GREY_WITH_ALPHA
    lower = Image.open(io.BytesIO(content), formats=formats)
    _load_as(image, mode)
    _load_as(lower, "RGBA" if is_grey else _OTHER_ORDER[mode])

    def rows(top: int, bottom: int) -> "np.ndarray":
        box = (0, top, image.width, bottom)
        below = np.asarray(lower.crop(box))
        return np.asarray(image.crop(box)).astype(np.uint16) * 256 + (below[..., [1, 1, 1, 3]] if is_grey else below)

    return _Deep("RGBa" if first in _PREMULTIPLIED else image.mode, image.size, rows)


def _of_ppm(image: Image.Image, content: bytes, formats: tuple[str, ...]) -> _Deep:
    """Read as the grey image, a channel a pixel, that its levels are too."""
    import numpy as np

    n_channels = len(image.getbands())
    levels_follow = image.tile[0].offset  # type: ignore[attr-defined]
    kind = b"P2" if content.startswith(b"P3") else b"P5"
    head = b"%s %d %d %d\n" % (kind, image.width * n_channels, image.height, level_ranges.FULL[1])
    grey = Image.open(io.BytesIO(head + content[levels_follow:]), formats=formats)
    grey.load()

    def rows(top: int, bottom: int) -> "np.ndarray":
        values = np.asarray(grey.crop((0, top, grey.width, bottom)))
        return values.astype(np.uint16).reshape(bottom - top, -1, n_channels)

    return _Deep(image.mode, image.size, rows)


def _of_planes(image: Image.Image, content: bytes, formats: tuple[str, ...]) -> _Deep:
    import numpy as np

    planes = tiff_planes.planes(image, content, formats)

    def rows(top: int, bottom: int) -> "np.ndarray":
        return np.stack([np.asarray(plane.crop((0, top, plane.width, bottom))) for plane in planes], axis=-1)

    is_premultiplied = any("a" in _raw_mode(tile.args) for tile in image.tile)  # type: ignore[attr-defined]
    return _Deep("RGBa" if is_premultiplied else image.mode, planes[0].size, rows)


def _scaled(deep: _Deep, kind: str, levels: Levels | None) -> tuple[Image.Image, Reach]:
    import numpy as np

    n_colors = 3 if deep.mode in ("RGB", "RGBA") else 4  # ink is colour; what is multiplied has the range of transparency
    colors, others = [], []  # lowest and highest level of each band of rows
    for top, bottom in memory.bands(deep.size):
        values = deep.rows(top, bottom)
        colors.append((int(values[..., :n_colors].min()), int(values[..., :n_colors].max())))
        others.append(int(values[..., n_colors:].max(initial=0)))
    reach = Reach(kind, min(low for low, _ in colors), max(high for _, high in colors))
    black, white = _range(reach, levels)
    finished = Image.new(deep.mode, deep.size)
    for top, bottom in memory.bands(deep.size):
        values = deep.rows(top, bottom)
        upper = (values >> 8).astype(np.uint8)
        if (black, white) != level_ranges.FULL:
            scaled = ((values - float(black)) / ((white - black) / 255)).clip(0, 255).astype(np.uint8)
            if max(others) > white:  # of all 16 bits
                scaled[..., n_colors:] = upper[..., n_colors:]
            upper = scaled
        finished.paste(Image.fromarray(upper, deep.mode), (0, top))
    return finished, reach


def _jpeg_2000(image: Image.Image, content: bytes, formats: tuple[str, ...], kind: str,
               levels: Levels | None) -> tuple[Image.Image, Reach]:
    """Its upper bytes tell what it reaches, to 256 levels, and a second decoding keeps as many of its lower bits."""
    import numpy as np

    whole = load(image, content, formats)
    upper = np.asarray(whole)
    n_colors = 1 if whole.mode == "LA" else 3
    reach = Reach(kind, 256 * int(upper[..., :n_colors].min()), 256 * int(upper[..., :n_colors].max()) + 255)
    _, white = _range(reach, levels)
    if white == level_ranges.FULL[1]:
        return whole, reach
    copy, n_bits = Codestream(content).lowest(white.bit_length())
    lower = _bytes_of(copy, formats)
    scaled = np.minimum(lower.astype(np.uint16) * ((1 << n_bits) // (white + 1)), 255).astype(np.uint8)
    scaled[upper > white >> 8] = 255  # they overflow
    if 256 * int(upper[..., n_colors:].max(initial=0)) > white:  # of all 16 bits
        scaled[..., n_colors:] = upper[..., n_colors:]
    return Image.fromarray(scaled, whole.mode), reach


def _bytes_of(content: bytes, formats: tuple[str, ...]) -> "np.ndarray":
    """What Pillow decodes (rows, columns, channels), uint8."""
    import numpy as np

    return np.asarray(Image.open(io.BytesIO(content), formats=formats))


def _range(reach: Reach, levels: Levels | None) -> tuple[int, int]:
    """Levels of black and white."""
    return (levels.ranges.get(reach.kind) if levels is not None else None) or level_ranges.fitting(reach)


def _raw_mode(arguments: tuple[Any, ...] | str | None) -> str:
    found = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return found if isinstance(found, str) else ""


def _highest(arguments: tuple[Any, ...] | str | None) -> int:
    """The highest level that a PPM states, where it is not 255."""
    found = arguments[-1] if isinstance(arguments, tuple) and arguments else None
    return found if isinstance(found, int) else 255


def _load_as(image: Image.Image, mode: str) -> None:
    """Decodes an image in another raw mode, and stands it up."""
    image.tile = [tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode)  # type: ignore[attr-defined]
                  for tile in image.tile]  # type: ignore[attr-defined]
    image.load()
    stand_up(image)
