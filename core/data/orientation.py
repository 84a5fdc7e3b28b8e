"""Images upright, as the EXIF data of their files says; where it cannot be read they stay as they are."""

import struct

from PIL import Image, ImageOps

# What Pillow raises on EXIF data that is damaged or is none.
_UNREADABLE = (SyntaxError, ValueError, TypeError, LookupError, OSError, ArithmeticError, AttributeError, struct.error)


def stand_up(image: Image.Image) -> None:
    """Rotates or mirrors a decoded image in place as its EXIF orientation says; unreadable EXIF leaves it as it is."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except _UNREADABLE:
        return
