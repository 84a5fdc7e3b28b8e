"""Colour of 16 bits a channel: as bright as the same colour in 8 bits, however many of the 16 the camera used."""

import io
import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config import DatasetConfig
from core.data import decoding, sources
from core.data.levels import Levels, Reach
from tests.images import encoded, jpeg_2000

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


def tiff(values: np.ndarray, order: str = "<", compression: int = 1, photometric: int = 2, extra: int = 2,
         is_apart: bool = False) -> bytes:
    """A TIFF of 16 bits a channel: plain, or deflated, which Pillow leaves to libtiff; in one strip, or two a channel."""
    values = values.astype(values.dtype.newbyteorder(order))
    height, width, n = values.shape
    halves = np.array_split(np.arange(height), 2)
    parts = [values[half, :, channel] for channel in range(n) for half in halves] if is_apart else [values]
    strips = [zlib.compress(part.tobytes()) if compression == 8 else part.tobytes() for part in parts]
    body, m = b"".join(strips), len(strips)
    n_tags = 10 + (n == 4 and photometric == 2)
    after, directory = 8, 8 + 2 * n + 8 * m
    start = directory + 2 + 12 * n_tags + 4
    starts = [start + sum(map(len, strips[:index])) for index in range(m)]
    lists = struct.pack(order + "H" * n, *[16] * n) + struct.pack(order + "I" * 2 * m, *starts, *map(len, strips))
    offsets, lengths = (after + 2 * n, after + 2 * n + 4 * m) if m > 1 else (starts[0], len(body))
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, n, after), (259, 3, 1, compression), (262, 3, 1, photometric),
            (273, 4, m, offsets), (277, 3, 1, n), (278, 3, 1, (height + 1) // 2 if is_apart else height), (279, 4, m, lengths),
            (284, 3, 1, 2 if is_apart else 1), *([(338, 3, 1, extra)] if n == 4 and photometric == 2 else [])]
    entries = b"".join(struct.pack(order + "HHI", tag, of, count) + (
        struct.pack(order + "HH", value, 0) if of == 3 and count == 1 else struct.pack(order + "I", value))
        for tag, of, count, value in tags)
    return ((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", directory) + lists
            + struct.pack(order + "H", n_tags) + entries + bytes(4) + body)


def ppm(values: np.ndarray, highest: int = 65535) -> bytes:
    height, width, _ = values.shape
    return b"P6\n# of a camera\n%d %d\n%d\n" % (width, height, highest) + values.astype(">u2").tobytes()


def ppm_in_digits(values: np.ndarray) -> bytes:
    height, width, _ = values.shape
    return b"P3 %d %d 65535\n# of a camera\n" % (width, height) + " ".join(map(str, values.ravel())).encode()


def shown(content: bytes, levels: Levels | None = None) -> np.ndarray:
    return np.asarray(decoding.decode(content, levels)).astype(int)


WIDEST = "16-bit colour PPM or JPEG 2000"
WRITERS = {"PNG": png} | {
    f"{'II' if order == '<' else 'MM'}{'-deflate' if compression == 8 else ''}{'-apart' if is_apart else ''}":
        partial(tiff, order=order, compression=compression, is_apart=is_apart)
    for order in "<>" for compression in (1, 8) for is_apart in (False, True)}
STATING = {"PPM": ppm, "PPM in digits": ppm_in_digits, "JPEG 2000": jpeg_2000,
           "codestream": partial(jpeg_2000, has_box=False), "tiles": partial(jpeg_2000, tile_size=(64, 16))}


@pytest.mark.parametrize("name", [*WRITERS, *STATING])
@pytest.mark.parametrize("bits", BITS)
def test_as_bright_as_in_8_bits(name, bits):
    content = (WRITERS | STATING)[name](COLOR.astype(np.uint16) * BITS[bits])
    assert Image.open(io.BytesIO(content)).mode == "RGB"
    assert np.abs(shown(content) - COLOR).max() <= 2
    reach = decoding.grey_square(content, 16)[1]
    is_exact = name in WRITERS or name.startswith("PPM")  # of JPEG 2000 the upper byte tells
    assert reach == Reach("16-bit colour" if name in WRITERS else WIDEST, 0,
                          255 * BITS[bits] if is_exact else (1 << bits) - 1)


@pytest.mark.parametrize("name", [*WRITERS, *STATING])
def test_every_level_of_12_bits_in_16_is_the_right_one_of_8(name):
    values = np.random.default_rng(0).integers(0, 4096, (24, 40, 3)).astype(np.uint16)
    values[0, 0] = 4095
    expected = values // 16 if name not in WRITERS and not name.startswith("PPM") else (values / 4095 * 255).astype(int)
    assert (shown((WRITERS | STATING)[name](values)) == expected).all()


@pytest.mark.parametrize("name", STATING)
def test_a_dataset_of_before_is_read_as_it_was_trained_on(name):
    content = STATING[name](COLOR.astype(np.uint16) * 16)
    for earlier in (Levels({"16-bit colour": (0, 4095)}), Levels(), Levels(is_assumed=True)):
        assert np.abs(shown(content, earlier) - COLOR // 16).max() <= 1


@pytest.mark.parametrize("highest", [1023, 4095, 16383])
def test_a_range_that_a_ppm_states_is_its_own(highest):
    values = COLOR.astype(np.uint16) * (highest // 255)
    content = ppm(values, highest)
    assert np.abs(shown(content) - values / highest * 255).max() <= 0.5
    assert decoding.grey_square(content, 16)[1] is None


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("n_channels", [2, 3, 4])
def test_white_of_jpeg_2000_is_white(bits, n_channels):
    """Pillow rounds the highest levels up to 256, which is black, and of transparency nothing."""
    values = np.random.default_rng(0).integers(0, 1 << bits, (24, 40, n_channels)).astype(np.uint16)
    values[:4] = (1 << bits) - 1
    values[..., 3:] = (1 << bits) - 1
    if n_channels == 2:
        values[..., 1] = (1 << bits) - 1
    content = jpeg_2000(values, bits)
    found = shown(content)
    assert (found[:4] == 255).all()
    assert (found == (values[..., :3] if n_channels > 2 else values[..., :1]) >> bits - 8).all()
    assert (shown(content, Levels()) == found).all()


def test_white_of_jpeg_2000_with_loss_is_white():
    """Decoding then gives levels beyond white too."""
    is_white = np.random.default_rng(0).random((64, 64, 3)) < 0.5
    values = np.where(is_white, 65535, 0).astype(np.uint16)
    found = shown(jpeg_2000(values, irreversible=True, quality_layers=[4]))
    assert np.abs(found - is_white * 255).max() < 128
    values = (np.where(is_white, 4095, 100)).astype(np.uint16)
    found = shown(jpeg_2000(values, irreversible=True), Levels({WIDEST: (0, 1023)}))
    assert np.abs(found - np.where(is_white, 255, 25)).max() <= 2, "levels above the range are white"


def test_a_jpeg_2000_cut_anywhere_is_unreadable():
    content = jpeg_2000(np.random.default_rng(0).integers(0, 4096, (40, 40, 3)).astype(np.uint16))
    for n in range(0, len(content) - 200, 200):
        with pytest.raises(decoding.UNREADABLE):
            decoding.decode(content[:n])


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("is_apart", [False, True])
@pytest.mark.parametrize("bits", BITS)
def test_inks_are_as_dark_as_in_8_bits(order, is_apart, bits):
    inks = np.concatenate([255 - COLOR, np.zeros((32, 32, 1), np.uint8)], axis=-1)
    content = tiff(inks.astype(np.uint16) * BITS[bits], order, photometric=5, is_apart=is_apart)
    assert Image.open(io.BytesIO(content)).mode == "CMYK"
    assert np.abs(shown(content) - COLOR).max() <= 2
    assert decoding.grey_square(content, 16)[1] == Reach("16-bit CMYK", 0, 255 * BITS[bits])


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("is_apart", [False, True])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_colour_that_is_multiplied_by_transparency_is_laid_on_white(order, is_apart, bits):
    alpha = np.linspace(0, 1, 32)[:, None, None].repeat(32, axis=1)
    highest = (1 << bits) - 1
    values = (np.concatenate([COLOR / 255 * alpha, alpha], axis=-1) * highest).round().astype(np.uint16)
    content = tiff(values, order, extra=1, is_apart=is_apart)
    assert np.abs(shown(content) - (COLOR * alpha + 255 * (1 - alpha))).max() <= 3
    assert decoding.grey_square(content, 16)[1] == Reach("16-bit premultiplied colour", 0, highest)


def of_12_bits(jpeg: bytes) -> bytes:
    place = jpeg.index(b"\xff\xc0") + 4
    return jpeg[:place] + bytes([12]) + jpeg[place + 1:]


@pytest.mark.parametrize("content, words", [
    (tiff(np.full((8, 8, 3), 4095, np.uint16), photometric=8), "TIFF that can be read: it must be whole, grey or RGB"),
    (of_12_bits(encoded(Image.new("RGB", (8, 8)), "JPEG")), "JPEG that can be read: it must be whole, of 8 bits a channel"),
    (b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 3\nMAXVAL 65535\nTUPLTYPE RGB\nENDHDR\n" + bytes(12), "PAM is not; save it as PPM or PNG"),
], ids=["CIELAB", "JPEG of 12 bits", "PAM"])
def test_what_cannot_be_read_says_what_can(content, words):
    with pytest.raises(ValueError, match=words):
        decoding.decode(content)


def test_channels_apart_that_are_cut_are_unreadable():
    content = tiff(np.full((40, 40, 3), 4095, np.uint16), is_apart=True)
    for n in (1, 100, 4000):
        with pytest.raises(decoding.UNREADABLE, match="truncated"):
            decoding.decode(content[:-n])


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
