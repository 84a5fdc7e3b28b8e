"""Images made for tests, as files hold them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


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


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds nothing."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
