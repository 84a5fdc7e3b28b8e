"""Images made for tests, as files hold them."""

import contextlib
import io
import os
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def noise(seed: int = 0, width: int = 24, height: int = 20) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def three_classes(folder: Path) -> Path:
    """Writes three classes of forty small noisy images each: 'dark', 'middle' and 'light'; returns the folder."""
    generator = np.random.default_rng(0)
    for label, level in (("dark", 40), ("middle", 120), ("light", 200)):
        (folder / label).mkdir(parents=True)
        for number in range(40):
            levels = generator.normal(level, 25, (36, 36, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(levels).save(folder / label / f"{number}.png")
    return folder


def few_digits() -> Path:
    """A folder of 36 handwritten digits of each class, as PNG: a fifth of scikit-learn's, for tests that ask nothing of the
    numbers but that they stay the same. Made once for a session of tests and what it starts (`tests/conftest.py`)."""
    folder = Path(os.environ["DUET_TESTS_DIGITS"])
    if not folder.exists():
        digits = load_digits()
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
        for label in range(10):
            (unfinished / str(label)).mkdir()
            for number, levels in enumerate(digits.images[digits.target == label][:36]):
                Image.fromarray((levels * 255 / 16).astype(np.uint8)).save(unfinished / str(label) / f"{number}.png")
        with contextlib.suppress(OSError):  # another process was first
            unfinished.rename(folder)
    return folder


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg_2000(values: np.ndarray, bits: int = 16, has_box: bool = True, **options: object) -> bytes:
    """A colour JPEG 2000 that Pillow itself does not write: one of grey for each channel, put together.

    Args:
        values: levels (rows, columns, channels), uint16, below 2 to the power of `bits`.
        bits: a channel has, as the file states.
        has_box: a JP2 file, not the codestream alone.
        options: of Pillow's encoder.
    """
    shifted = values + (32768 - (1 << bits - 1))  # coded around half of 16 bits
    channels = [encoded(Image.fromarray(shifted[..., channel].astype(np.uint16)), "JPEG2000", no_jp2=True, progression="CPRL",
                        **options) for channel in range(values.shape[2])]
    (header, first), *others = (_tiles(channel) for channel in channels)
    n = len(channels)
    start, n_siz = header.index(b"\xff\x51") + 2, struct.unpack_from(">H", header, header.index(b"\xff\x51") + 2)[0]
    siz = (struct.pack(">H", n_siz + 3 * (n - 1)) + header[start + 2:start + 36] + struct.pack(">H", n)
           + bytes([bits - 1, 1, 1]) * n)
    tiles = b""
    for index, parts in enumerate(zip(first, *(tile for _, tile in others))):
        body = b"".join(parts)
        tiles += b"\xff\x90" + struct.pack(">HHIBB", 10, index, 14 + len(body), 0, 1) + b"\xff\x93" + body
    codestream = header[:start] + siz + header[start + n_siz:] + tiles + b"\xff\xd9"
    if not has_box:
        return codestream
    boxes = [(b"jP  ", b"\r\n\x87\n"), (b"ftyp", b"jp2 \0\0\0\0jp2 "),
             (b"jp2h", _box(b"ihdr", struct.pack(">IIHBBBB", *values.shape[:2], n, bits - 1, 7, 0, 0))
              + _box(b"colr", b"\1\0\0" + struct.pack(">I", 17 if n == 2 else 16))), (b"jp2c", codestream)]
    return b"".join(_box(name, body) for name, body in boxes)


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def _tiles(codestream: bytes) -> tuple[bytes, list[bytes]]:
    """The main header of a codestream, and the body of each of its tiles."""
    place = header_ends = codestream.index(b"\xff\x90")
    bodies = []
    while codestream[place:place + 2] == b"\xff\x90":
        end = place + struct.unpack_from(">I", codestream, place + 6)[0]
        bodies.append(codestream[codestream.index(b"\xff\x93", place) + 2:end])
        place = end
    return codestream[:header_ends], bodies


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds nothing."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
