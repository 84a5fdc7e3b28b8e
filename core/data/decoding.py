"""An image file's bytes to an upright RGB image: every mode the same way, or the reason why not.

Reads no files and keeps nothing.
"""

import io
import struct

from PIL import Image, ImageOps

MAX_PIXELS = 100_000_000  # larger files are listed as unreadable; Pillow warns of a bomb near here too

# What `decode` and Pillow raise on files that are not what they seem.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, TypeError, IndexError, KeyError, OverflowError,
              ZeroDivisionError, Image.DecompressionBombError, Image.DecompressionBombWarning)

_TRANSPARENT = ("LA", "PA", "RGBA", "La", "RGBa")


def decode(content: bytes) -> Image.Image:
    """An image file's bytes as an upright RGB image.

    EXIF orientation is applied, transparency is laid on white, 16-bit levels are scaled to 8 bits.

    Raises:
        OSError: if the bytes are not a whole image.
        ValueError: if there are none, more pixels than `MAX_PIXELS`, several frames, or levels without a fixed range.
    """
    return _finished(_opened(content))


def grey_square(content: bytes, side: int) -> Image.Image:
    """The same image in grey, squeezed to a small square.

    A JPEG is read to its last byte, but only worked out in grey and a little larger than that: twice as fast on crops of
    224 px.

    Args:
        content: an image file's bytes.
        side: of the square, in pixels.

    Raises:
        OSError, ValueError: as `decode`.
    """
    image = _opened(content)
    drafted = image.draft("L", (3 * side, 3 * side))
    if drafted is None:
        return _squeezed(_finished(image, "L"), side)
    image.load()
    return _finished(_squeezed(image, side, drafted[1]), "L")  # its last row and column may reach beyond the image


def _squeezed(image: Image.Image, side: int, box: tuple[float, float, float, float] | None = None) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BILINEAR, box, reducing_gap=4.0)


def _opened(content: bytes) -> Image.Image:
    """One image that may be decoded, not yet decoded."""
    if not content:
        raise ValueError("the file is empty")
    try:
        image = Image.open(io.BytesIO(content))
    except OSError:
        raise ValueError("not an image file that can be read") from None
    except Image.DecompressionBombError:
        raise ValueError(f"more than {MAX_PIXELS:,} pixels") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} × {image.height} pixels are more than {MAX_PIXELS:,}")
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1 and image.format != "MPO":  # a camera's JPEG with a preview or depth map behind it is one image
        raise ValueError(f"holds {n_frames} frames; a sample is one image")
    return image


def _finished(image: Image.Image, mode: str = "RGB") -> Image.Image:
    """Decoded, upright, in a mode of 8-bit levels."""
    image.load()
    if "exif" in image.info or image.format in ("TIFF", "PNG", "WEBP", "MPO"):
        image = ImageOps.exif_transpose(image)
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        import numpy as np  # 60 ms, for rare images alone: processes that help start with this module

        levels = np.asarray(image).astype(np.float32)
        image = Image.fromarray((levels / 257).clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point levels have no fixed range; save it with 8 or 16 bits")
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def reason(error: Exception) -> str:
    """Why a file was left out, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
