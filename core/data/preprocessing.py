"""An image's way to the square an encoder sees: timm's evaluation transform, pixel for pixel, with Pillow alone.

timm resizes with Pillow too (`timm.data.create_transform`, through torchvision), so sizes, offsets and rounding are all
there is to repeat. Squares are stored somewhat larger than the encoder's input, so that training can crop at random; the
evaluation's view is the middle of them. Knows no files, and nothing of mean and std but the border's colour.
"""

import math
from typing import NamedTuple

from PIL import Image, ImageOps

from core.errors import InputError

CROP_MODES = ("center", "squash", "border")  # what timm's data configs may say

_WHOLE_PIXELS = 16_000_000  # of a resized image that is held at once; a longer strip is worked out in parts
_LONGEST = 2 ** 20  # pixels of a stretched side that are worked out; of a longer one only the window is


class Geometry(NamedTuple):
    """timm's evaluation geometry.

    Attributes:
        view: side of the encoder's input, in pixels.
        resized: side that timm resizes to before it crops: the shorter one (center), both (squash), the longer one (border).
        interpolation: Pillow's filter, in lower case.
        crop_mode: one of `CROP_MODES`.
        fill: colour around an image that does not fill the view.
    """

    view: int
    resized: int
    interpolation: str = "bicubic"
    crop_mode: str = "center"
    fill: tuple[int, int, int] = (0, 0, 0)

    @property
    def side(self) -> int:
        """Side of the stored square, in pixels."""
        return max(self.view, self.resized)

    @property
    def key(self) -> str:
        """Names the geometry in the name of a file."""
        fill = "" if not any(self.fill) else "-{:02x}{:02x}{:02x}".format(*self.fill)
        return f"{self.view}-of-{self.resized}-{self.interpolation}-{self.crop_mode}{fill}"

    def offset(self, side: int) -> int:
        """First row and column of the view in a stored square of some side."""
        return round((side - self.view) / 2)

    def square(self, image: Image.Image) -> Image.Image:
        """The stored square of an RGB image; its middle is what `timm.data.create_transform` makes of the image."""
        size = self._resized_size(*image.size)
        left, top = (_first(length, self.view) - self.offset(self.side) for length in size)
        window = (max(0, left), max(0, top), min(size[0], left + self.side), min(size[1], top + self.side))
        part = _window(image, size, window, Image.Resampling[self.interpolation.upper()])
        if part.size == (self.side, self.side):
            return part
        square = Image.new("RGB", (self.side, self.side), self.fill)
        square.paste(part, (window[0] - left, window[1] - top))
        return square

    def _resized_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after timm's resizing, computed in its order of operations."""
        if self.crop_mode == "squash":
            return self.resized, self.resized
        if self.crop_mode == "border":
            ratio = max(height / self.resized, width / self.resized)
            return max(1, round(width / ratio)), max(1, round(height / ratio))  # timm refuses a side of 0 pixels
        short, long = min(width, height), max(width, height)
        stretched = int(self.resized * long / short)
        return (self.resized, stretched) if width <= height else (stretched, self.resized)


class RoundedGeometry(NamedTuple):
    """The geometry of experiments before timm's own: one pixel off where the encoder's size over its crop share is no whole
    number, and bicubic always.

    Attributes:
        view: side of the encoder's input, in pixels.
        side: side of the stored square.
    """

    view: int
    side: int

    @property
    def key(self) -> str:
        return str(self.side)

    def offset(self, side: int) -> int:
        """First row and column of the view in a stored square of some side."""
        return (side - self.view) // 2

    def square(self, image: Image.Image) -> Image.Image:
        """The stored square of an RGB image: shorter side to `side` (bicubic, antialiased), middle square."""
        size = self.side
        if max(image.size) > 4 * min(image.size):  # a strip: most of it is cut off anyway, so it is never enlarged whole
            longest = 4 * min(image.size)
            image = ImageOps.fit(image, (min(image.width, longest), min(image.height, longest)))
        scale = size / min(image.size)
        width, height = (max(size, round(length * scale)) for length in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        return resized if width == height else resized.crop((left, top, left + size, top + size))


AnyGeometry = Geometry | RoundedGeometry


def timm_geometry(view: int, crop_pct: float, interpolation: str, crop_mode: str,
                  mean: tuple[float, float, float]) -> Geometry:
    """The geometry of one of timm's data configs.

    Args:
        view: side of the encoder's input, in pixels.
        crop_pct: view over resized side.
        interpolation: timm's name of the filter.
        crop_mode: one of `CROP_MODES`.
        mean: per channel, for pixels in 0..1; the border's colour.

    Raises:
        InputError: if timm's config names a filter or a crop that its evaluation does not have.
    """
    if crop_mode not in CROP_MODES:
        raise InputError(f"crop_mode must be one of {', '.join(CROP_MODES)}, got {crop_mode!r}")
    if interpolation.upper() not in Image.Resampling.__members__:
        known = ", ".join(name.lower() for name in Image.Resampling.__members__)
        raise InputError(f"interpolation must be one of {known}, got {interpolation!r}")
    red, green, blue = (round(255 * level) if crop_mode == "border" else 0 for level in mean)
    return Geometry(view, math.floor(view / crop_pct), interpolation, crop_mode, (red, green, blue))


def rounded_geometry(view: int, crop_pct: float) -> RoundedGeometry:
    """The geometry of experiments before timm's own.

    Args:
        view: side of the encoder's input, in pixels.
        crop_pct: view over stored side.
    """
    return RoundedGeometry(view, max(view, round(view / crop_pct)))


def _first(length: int, view: int) -> int:
    """Where timm's middle crop begins along a side; below 0 where the side is shorter and is padded."""
    return round((length - view) / 2) if length >= view else -((view - length) // 2)


def _window(image: Image.Image, size: tuple[int, int], window: tuple[int, int, int, int],
            resampling: Image.Resampling) -> Image.Image:
    """A window of the resized image: the pixels that resizing all of it gives, without holding all of a strip."""
    if math.prod(size) <= _WHOLE_PIXELS:
        resized = image.resize(size, resampling)
        return resized if window == (0, 0, *size) else resized.crop(window)
    columns = _columns(image, size[0], window[0], window[2], resampling)  # Pillow too takes columns first
    rows = _columns(columns.transpose(Image.Transpose.TRANSPOSE), size[1], window[1], window[3], resampling)
    return rows.transpose(Image.Transpose.TRANSPOSE)


def _columns(image: Image.Image, width: int, left: int, right: int, resampling: Image.Resampling) -> Image.Image:
    """Columns `left` to `right` of an image whose width is resized."""
    if width > _LONGEST:
        return _near_columns(image, width, left, right, resampling)
    columns = Image.new("RGB", (right - left, image.height))
    n_rows = max(1, _WHOLE_PIXELS // width)
    for top in range(0, image.height, n_rows):
        rows = image.crop((0, top, image.width, min(top + n_rows, image.height)))
        columns.paste(rows.resize((width, rows.height), resampling).crop((left, 0, right, rows.height)), (0, top))
    return columns


def _near_columns(image: Image.Image, width: int, left: int, right: int, resampling: Image.Resampling) -> Image.Image:
    """The same from the part of the image that those columns need; a level may differ in its last bit, as Pillow takes the
    part's edges in single precision."""
    scale = image.width / width
    margin = math.ceil(3 * max(scale, 1)) + 1  # pixels: the widest filter, Lanczos's, reaches 3
    first, last = max(0, math.floor(left * scale) - margin), min(image.width, math.ceil(right * scale) + margin)
    part = image.crop((first, 0, last, image.height))
    box = (left * scale - first, 0, min(right * scale - first, part.width), image.height)
    return part.resize((right - left, image.height), resampling, box)
