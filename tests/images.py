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


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds nothing."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
