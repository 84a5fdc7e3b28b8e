"""Colour of 16 bits a channel, of which Pillow keeps the upper 8: what its lower 8 are, and all 16 scaled to 8.

Of PNG and TIFF alone: of other formats Pillow gives 8 bits, by the range that they state. Does not say what is black and white
(`core.data.levels`).
"""

import io
import sys
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFile

from core.data import levels as level_ranges
from core.data import memory
from core.data.levels import Levels, Reach
from core.data.orientation import stand_up

if TYPE_CHECKING:
    import numpy as np

# The raw modes that read the upper byte of each channel -> those that read the lower one, of the other byte order.
_OTHER_ORDER = {f"{mode};16{order}": f"{mode};16{other}" for mode in ("RGB", "RGBA", "RGBX")
                for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))}
_GREY_WITH_ALPHA = "LA;16B"  # of PNG; read as RGBA it is both bytes of grey, then both of alpha


def is_deep(image: Image.Image) -> bool:
    """Whether an image that is not decoded yet has colour, or grey and transparency, of 16 bits a channel."""
    if not isinstance(image, ImageFile.ImageFile):  # made of another
        return False
    modes = {_raw_mode(tile.args) for tile in image.tile}
    return image.format in ("PNG", "TIFF") and bool(modes) and modes <= {*_OTHER_ORDER, _GREY_WITH_ALPHA}


def lower_bytes(content: bytes, formats: tuple[str, ...]) -> Image.Image:
    """The lower byte of each channel of a deep image, upright, of the size and mode that Pillow gives its upper bytes.

    Args:
        content: the image file's bytes.
        formats: Pillow's names of formats that may be opened.

    Raises:
        OSError, ValueError: if it is not a whole image.
    """
    image = Image.open(io.BytesIO(content), formats=formats)
    is_grey = _raw_mode(image.tile[0].args) == _GREY_WITH_ALPHA
    image.tile = [tile._replace(args=_with_raw_mode(tile.args, "RGBA" if is_grey else _OTHER_ORDER[_raw_mode(tile.args)]))
                  for tile in image.tile]
    image.load()
    stand_up(image)
    if not is_grey:
        return image
    _, lower, _, alpha = image.split()
    return Image.merge("RGBA", (lower, lower, lower, alpha))


def scaled(upper: Image.Image, lower: Image.Image, levels: Levels | None) -> tuple[Image.Image, Reach]:
    """An image of 8 bits a channel, by the range of its dataset or else by what it reaches, and what it reaches.

    Transparency is scaled too unless it reaches above that range: then it was written with all 16 bits.

    Args:
        upper: decoded and upright, the upper byte of each channel.
        lower: the lower bytes.
        levels: the dataset's ranges.
    """
    import numpy as np  # 60 ms, for rare images alone: processes that help start with this module

    n_colors = 3
    colors, others = [], []  # lowest and highest level of each band of rows
    for top, bottom in memory.bands(upper.size):
        values = _values(upper, lower, top, bottom)
        colors.append((int(values[..., :n_colors].min()), int(values[..., :n_colors].max())))
        others.append(int(values[..., n_colors:].max(initial=0)))
    reach = Reach(level_ranges.DEEP_COLOR, min(low for low, _ in colors), max(high for _, high in colors))
    of_kind = levels.ranges.get(reach.kind) if levels is not None else None
    black, white = of_kind or level_ranges.fitting(reach)
    if (black, white) == level_ranges.FULL:
        return upper, reach
    has_alpha_of_full_range = max(others) > white
    finished = Image.new(upper.mode, upper.size)
    for top, bottom in memory.bands(upper.size):
        values = (_values(upper, lower, top, bottom) - float(black)) / ((white - black) / 255)
        if has_alpha_of_full_range:
            values[..., n_colors:] = np.asarray(upper.crop((0, top, upper.width, bottom)))[..., n_colors:]
        finished.paste(Image.fromarray(values.clip(0, 255).astype(np.uint8), upper.mode), (0, top))
    finished.info = upper.info
    return finished, reach


def _values(upper: Image.Image, lower: Image.Image, top: int, bottom: int) -> "np.ndarray":
    """Levels of 16 bits (rows, columns, channels) of some rows."""
    import numpy as np

    box = (0, top, upper.width, bottom)
    return np.asarray(upper.crop(box)).astype(np.uint16) * 256 + np.asarray(lower.crop(box))


def _raw_mode(arguments: tuple[Any, ...] | str | None) -> str:
    found = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return found if isinstance(found, str) else ""


def _with_raw_mode(arguments: tuple[Any, ...] | str | None, mode: str) -> tuple[Any, ...] | str:
    return (mode, *arguments[1:]) if isinstance(arguments, tuple) else mode
