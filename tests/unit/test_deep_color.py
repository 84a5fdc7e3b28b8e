"""Colour of 16 bits a channel: as bright as the same colour in 8 bits, however many of the 16 the camera used."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config import DatasetConfig
from core.data import decoding, sources
from core.data.levels import Levels, Reach

RED, GREEN = np.meshgrid(np.arange(0, 256, 8), np.arange(0, 256, 8), indexing="ij")
COLOR = np.stack([RED, GREEN, np.full((32, 32), 255)], axis=-1).astype(np.uint8)
BITS = {8: 1, 10: 4, 12: 16, 14: 64, 16: 257}  # of 16 -> what 8 bits are multiplied by


def png(values: np.ndarray, orientation: int = 1) -> bytes:
    """A PNG of 16 bits a channel: grey and alpha, RGB or RGBA."""
    height, width, channels = values.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    exif = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)), (b"eXIf", exif),
              (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(body)) + name + body
                                           + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks)


def tiff(values: np.ndarray, order: str = "<", compression: int = 1) -> bytes:
    """A TIFF of 16 bits a channel in one strip: plain, or deflated, which Pillow leaves to libtiff."""
    body = values.astype(values.dtype.newbyteorder(order)).tobytes()
    body = zlib.compress(body) if compression == 8 else body
    n, after = values.shape[2], 8 + len(body)
    tags = [(256, 3, 1, values.shape[1]), (257, 3, 1, values.shape[0]), (258, 3, n, after), (259, 3, 1, compression),
            (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, n), (278, 3, 1, values.shape[0]), (279, 4, 1, len(body)),
            *([(338, 3, 1, 2)] if n == 4 else [])]
    entries = b"".join(struct.pack(order + "HHI", tag, of, count) + (
        struct.pack(order + "HH", value, 0) if of == 3 and count == 1 else struct.pack(order + "I", value))
        for tag, of, count, value in tags)
    return ((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", after + 2 * n) + body
            + struct.pack(order + "H" * n, *[16] * n) + struct.pack(order + "H", len(tags)) + entries + bytes(4))


def shown(content: bytes, levels: Levels | None = None) -> np.ndarray:
    return np.asarray(decoding.decode(content, levels)).astype(int)


@pytest.mark.parametrize("write", [png, tiff, lambda values: tiff(values, ">"), lambda values: tiff(values, "<", 8),
                                   lambda values: tiff(values, ">", 8)], ids=["PNG", "II", "MM", "II-deflate", "MM-deflate"])
@pytest.mark.parametrize("bits", BITS)
def test_as_bright_as_in_8_bits(write, bits):
    content = write(COLOR.astype(np.uint16) * BITS[bits])
    assert Image.open(io.BytesIO(content)).mode == "RGB"
    assert np.abs(shown(content) - COLOR).max() <= 2
    reach = decoding.grey_square(content, 16)[1]
    assert reach == Reach("16-bit colour", 0, 255 * BITS[bits])


def test_of_the_whole_range_it_is_what_pillow_reads():
    values = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    values[0, 0] = 65535
    assert (shown(png(values)) == values // 256).all()


@pytest.mark.parametrize("opaque", [4095, 65535])
def test_transparency_is_laid_on_white_whatever_its_range(opaque):
    values = np.concatenate([COLOR.astype(np.uint16) * 16, np.full((32, 32, 1), opaque, np.uint16)], axis=-1)
    values[:, :16, 3] = 0
    for content in (png(values), tiff(values)):
        found = shown(content)
        assert (found[:, :16] == 255).all() and np.abs(found[:, 16:] - COLOR[:, 16:]).max() <= 2


def test_grey_with_transparency_is_scaled_too():
    values = np.stack([COLOR[..., 0].astype(np.uint16) * 16, np.full((32, 32), 65535, np.uint16)], axis=-1)
    assert np.abs(shown(png(values)) - COLOR[..., :1]).max() <= 2


def test_an_image_that_lies_on_its_side_is_stood_up():
    values = COLOR.astype(np.uint16)[:, :20] * 16
    found = shown(png(values, orientation=6))
    assert found.shape == (20, 32, 3) and np.abs(found - np.rot90(COLOR[:, :20], -1)).max() <= 2


def test_an_image_of_several_bands_of_rows_is_the_same_as_in_one(monkeypatch):
    values = (COLOR.astype(np.uint16) * 16)
    whole = shown(png(values))
    monkeypatch.setattr("core.data.memory._BAND_PIXELS", 100)
    assert (shown(png(values)) == whole).all()


def test_a_cut_one_is_unreadable():
    content = png(np.random.default_rng(0).integers(0, 4096, (40, 40, 3)).astype(np.uint16))
    with pytest.raises(decoding.UNREADABLE):
        decoding.decode(content[:len(content) // 2])


def test_one_range_for_a_dataset_which_says_so(tmp_path: Path):
    for label, high in (("dark", 900), ("light", 4000)):
        (tmp_path / label).mkdir()
        for number in range(4):
            values = np.random.default_rng(number).integers(0, high + 1, (24, 24, 3)).astype(np.uint16)
            values[0, 0] = high
            (tmp_path / label / f"{number}.png").write_bytes(png(values))
    config = DatasetConfig(source="folder", root=str(tmp_path))
    found = sources.open_source(config).scan(None, None)
    assert found.levels == Levels({"16-bit colour": (0, 4095)})
    assert found.remarks == ("Levels of 8 16-bit colour images reach from 0 to 4,000: 0 is taken for black and 4,095 for "
                             "white, the bits that hold them; dataset.levels can say others.",)
    source = sources.open_source(config, found.levels)
    assert [np.asarray(source.image(f"{label}/0.png")).max() for label in ("dark", "light")] == [56, 249]
    # of an earlier version's manifest, whose pixels are kept
    assert np.asarray(decoding.decode((tmp_path / "light/0.png").read_bytes(), Levels(is_assumed=True))).max() == 4000 // 256
