"""Image files to upright RGB: every mode the same way, what is no single image refused."""

import warnings

import numpy as np
import pytest
from PIL import Image

from core.data import decoding
from tests.images import encoded, noise, png_header


def pixels(content: bytes) -> list:
    image = decoding.decode(content)
    assert image.mode == "RGB"
    return np.asarray(image).tolist()


def test_transparency_is_laid_on_white():
    rgba = Image.new("RGBA", (3, 1))
    rgba.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 51)])  # opaque, clear, a fifth black
    assert pixels(encoded(rgba, "PNG")) == [[[255, 0, 0], [255, 255, 255], [204, 204, 204]]]


def test_grey_with_transparency_is_laid_on_white():
    grey = Image.new("LA", (3, 1))
    grey.putdata([(10, 255), (10, 0), (0, 51)])
    assert pixels(encoded(grey, "PNG")) == [[[10] * 3, [255] * 3, [204] * 3]]


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_a_transparent_palette_entry_is_laid_on_white(transparency):
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    assert pixels(encoded(palette, "PNG", transparency=transparency)) == [[[255, 0, 0], [255, 255, 255]]]


def test_a_palette_image_without_transparency_keeps_its_colours():
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    assert pixels(encoded(palette, "PNG")) == [[[255, 0, 0], [0, 0, 255]]]


def test_sixteen_bit_levels_are_scaled_to_eight():
    levels = np.array([[0, 257, 100 * 257, 65280, 65535]], dtype=np.uint16)
    assert pixels(encoded(Image.fromarray(levels), "PNG")) == [[[0] * 3, [1] * 3, [100] * 3, [254] * 3, [255] * 3]]


def test_cmyk_becomes_rgb():
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = np.array(pixels(encoded(red, "JPEG", quality=100)), dtype=int)
    assert found.shape == (8, 8, 3)
    assert np.abs(found - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("mode, color, expected", [("L", 77, 77), ("1", 1, 255)])
def test_grey_and_black_and_white_become_rgb(mode, color, expected):
    assert pixels(encoded(Image.new(mode, (1, 1), color), "PNG")) == [[[expected] * 3]]


@pytest.mark.parametrize("orientation, expected", [  # seen from a row of red, green, blue
    (1, ["rgb"]), (2, ["bgr"]), (3, ["bgr"]), (4, ["rgb"]), (5, ["r", "g", "b"]), (6, ["r", "g", "b"]),
    (7, ["b", "g", "r"]), (8, ["b", "g", "r"])])
def test_images_stand_upright(orientation, expected):
    color = {"r": (255, 0, 0), "g": (0, 255, 0), "b": (0, 0, 255)}
    row = Image.new("RGB", (3, 1))
    row.putdata([color[name] for name in "rgb"])
    exif = Image.Exif()
    exif[274] = orientation
    assert pixels(encoded(row, "PNG", exif=exif)) == [[list(color[name]) for name in line] for line in expected]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_no_sample(kind):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue", "green")]
    with pytest.raises(ValueError, match="holds 3 frames; a sample is one image"):
        decoding.decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert pixels(encoded(frames[0], kind, **({"lossless": True} if kind == "WEBP" else {}))) == [[[255, 0, 0]] * 4] * 4


def test_more_pixels_than_allowed_are_refused_before_they_are_decoded():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own warning stands near the same number
        with pytest.raises(ValueError, match="12000 × 10000 pixels are more than 100,000,000"):
            decoding.decode(png_header(12_000, 10_000))


@pytest.mark.parametrize("kind, mode", [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA"),
                                        ("PNG", "P"), ("PNG", "I;16"), ("WEBP", "RGB"), ("TIFF", "LA")])
def test_grey_is_the_grey_of_the_same_image(kind, mode):
    smooth = Image.fromarray(np.linspace(20, 230, 64 * 96).reshape(64, 96).astype(np.uint8))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(smooth).astype(np.uint16) * 257)
    else:
        image = Image.merge("RGB", [smooth, smooth.transpose(Image.Transpose.FLIP_LEFT_RIGHT), smooth]).convert(mode)
    exif = Image.Exif()
    exif[274] = 6  # lies on its side
    content = encoded(image, kind, **({} if kind == "TIFF" else {"exif": exif}))
    grey, reach = decoding.grey_square(content, 8)
    assert (reach is None) == (mode != "I;16")
    assert grey.mode == "L" and grey.size == (8, 8)
    expected = decoding.decode(content).convert("L").resize((8, 8), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(grey, int) - np.asarray(expected, int)).max() <= 1


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_refused_in_grey_as_in_colour(progressive):
    content = encoded(noise(0, 64, 64), "JPEG", progressive=progressive)
    refused = []
    for decode in (decoding.decode, lambda cut: decoding.grey_square(cut, 16)):
        said = []
        for end in range(0, len(content), 41):
            try:
                decode(content[:end])
                said.append("")
            except decoding.UNREADABLE as error:
                said.append(type(error).__name__)
        refused.append(said)
    assert refused[0] == refused[1]
    assert all(refused[0][:-3]), "only the last bytes may be missing"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(350, 197), (257, 401), (20, 20), (801, 803)])
def test_a_jpeg_worked_out_small_keeps_its_edges_where_they_are(size, orientation):
    """Eight pixels become one, and what is left over at the right and below is no whole pixel of the small image."""
    width, height = size
    checks = (np.arange(height)[:, None] * 7 // height + np.arange(width) * 5 // width) % 2 * 200 + 20
    exif = Image.Exif()
    exif[274] = orientation
    content = encoded(Image.fromarray(checks.astype(np.uint8)), "JPEG", quality=95, exif=exif)
    expected = decoding.decode(content).convert("L").resize((16, 16), Image.Resampling.BILINEAR)
    difference = np.asarray(decoding.grey_square(content, 16)[0], float) - np.asarray(expected, float)
    assert np.sqrt((difference ** 2).mean()) < 3


def test_a_reason_is_one_line_and_never_empty():
    assert decoding.reason(ValueError("two\n  lines")) == "two lines"
    assert decoding.reason(EOFError()) == "EOFError"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's own, when it opens some
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0",
                                  b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
def test_an_image_with_damaged_exif_is_read_as_it_lies(exif):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8))
    plain, damaged = encoded(image, "JPEG"), encoded(image, "JPEG")
    damaged = damaged[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + damaged[2:]
    assert pixels(damaged) == pixels(plain)
