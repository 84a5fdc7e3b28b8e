"""A TIFF of 16 bits whose channels are stored one after the other (TIFF 6.0, PlanarConfiguration 2): each as a grey image.

Pillow reads the upper byte of each level of such files, or, where they are not compressed, bytes of other pixels.
"""

import io
import struct

from PIL import Image

from core.data.orientation import stand_up
from core.errors import InputError

# TIFF 6.0, sections 2, 8, 14 and 15
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _ORIENTATION = 256, 257, 258, 259, 262, 266, 274
_N_SAMPLES, _ROWS, _PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT = 277, 278, 284, 317, 322, 323
_PIECES = ((273, 279), (324, 325))  # offsets and lengths, of strips and of tiles
_KEPT = (_WIDTH, _HEIGHT, _COMPRESSION, _FILL_ORDER, _ORIENTATION, _ROWS, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT)
_APART, _BLACK_IS_ZERO, _LONG = 2, 1, 4


def has_planes(image: Image.Image) -> bool:
    """Whether an image that is not decoded yet is such a file."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, 0)
    is_deep = set(bits if isinstance(bits, tuple) else (bits,)) == {16}
    return is_deep and tags.get(_PLANAR) == _APART and len(image.getbands()) > 1


def planes(image: Image.Image, content: bytes, formats: tuple[str, ...]) -> list[Image.Image]:
    """Each channel that Pillow names of the image, as grey levels of 16 bits, decoded and upright.

    Args:
        image: opened, of a file that has planes.
        content: the file's bytes.
        formats: Pillow's names of formats that may be opened.

    Raises:
        OSError, InputError: if it is not a whole image.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    places = next(((offsets, lengths) for offsets, lengths in _PIECES if offsets in tags), None)
    if places is None or not all(isinstance(tags.get(tag), tuple) for tag in places):
        raise InputError("a TIFF whose channels lie apart must say where each of them is")
    if any(offset + length > len(content) for offset, length in zip(*(tags[tag] for tag in places))):
        raise InputError("image file is truncated")
    n_channels = len(image.getbands())
    n_pieces = len(tags[places[0]]) // int(tags.get(_N_SAMPLES, n_channels))
    kept = {tag: (int(tags[tag]),) for tag in _KEPT if tag in tags}
    found = []
    for channel in range(n_channels):
        values = kept | {_BITS: (16,), _PHOTOMETRIC: (_BLACK_IS_ZERO,), _N_SAMPLES: (1,)} | {
            tag: tags[tag][channel * n_pieces:(channel + 1) * n_pieces] for tag in places}
        order = "<" if tags.prefix == b"II" else ">"
        head = tags.prefix + struct.pack(order + "HI", 42, len(content))
        file = b"".join((head, content[len(head):], _directory(values, order, len(content))))
        plane = Image.open(io.BytesIO(file), formats=formats)
        plane.load()
        stand_up(plane)
        found.append(plane.copy())  # without the file
    return found


def _directory(values: dict[int, tuple[int, ...]], order: str, start: int) -> bytes:
    """An image file directory that stands at `start`, and what it points to."""
    entries, behind = b"", b""
    after = start + 2 + 12 * len(values) + 4
    for tag, numbers in sorted(values.items()):
        body = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            behind, body = behind + body, struct.pack(order + "I", after + len(behind))
        entries += struct.pack(order + "HHI", tag, _LONG, len(numbers)) + body
    return struct.pack(order + "H", len(values)) + entries + bytes(4) + behind
