"""Scans: every kind of broken file listed and no good one lost; remembered, resumed, and noticing change."""

import os
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from core.data import listing, scan
from core.data.decoding import decode
from tests.images import encoded, noise, png_header


def text_bomb() -> bytes:
    """A small PNG whose compressed comment is a gigabyte and a half."""
    whole = encoded(noise(1), "PNG")
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(10_000_000)) for _ in range(15)) + packer.flush()
    body = b"Comment\0\0" + packed
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return whole[:33] + chunk + whole[33:]


PHOTO = noise(0)
FRAMES = [Image.new("RGB", (9, 9), color) for color in ("red", "green", "blue")]
JPEG = encoded(PHOTO, "JPEG")
PNG = encoded(PHOTO, "PNG")

BROKEN: dict[str, tuple[bytes, str]] = {
    "zero.jpg": (b"", "empty"),
    "one-byte.png": (b"\x89", "not an image"),
    "html.jpg": (b"<!doctype html><title>404</title>", "not an image"),
    "json.png": (b'{"error": "no such file"}', "not an image"),
    "text.gif": (b"GIF for you", "not an image"),
    "svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "zip.jpg": (b"PK\3\4" + bytes(200), "not an image"),
    "pdf.tif": (b"%PDF-1.7" + bytes(100), "not an image"),
    "zeros.bmp": (bytes(1000), "not an image"),
    "random.webp": (np.random.default_rng(0).bytes(1000), "not an image"),
    "truncated.jpg": (JPEG[:-100], "truncated"),
    "truncated-header.jpg": (JPEG[:20], ""),
    "truncated.png": (PNG[:len(PNG) // 2], ""),
    "truncated.gif": (encoded(PHOTO, "GIF")[:200], ""),
    "truncated.bmp": (encoded(PHOTO, "BMP")[:300], "truncated"),
    "truncated.tif": (encoded(PHOTO, "TIFF")[:300], ""),
    "truncated.webp": (encoded(PHOTO, "WEBP")[:60], ""),
    "truncated.ppm": (encoded(PHOTO, "PPM")[:100], ""),
    "bad-checksum.png": (PNG[:60] + bytes([PNG[60] ^ 255]) + PNG[61:], ""),
    "bomb.png": (png_header(60_000, 60_000), "pixels"),
    "large.png": (png_header(12_000, 9_000), "12000 × 9000 pixels are more than"),
    "text-bomb.png": (text_bomb(), ""),
    "animated.gif": (encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "holds 3 frames"),
    "animated.webp": (encoded(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), "holds 3 frames"),
    "animated.png": (encoded(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), "holds 3 frames"),
    "pages.tif": (encoded(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), "holds 3 frames"),
    "float.tif": (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "floating-point"),
}
GOOD: dict[str, bytes] = {
    "plain.jpg": JPEG, "Ünïcödé 图像.png": encoded(noise(2), "PNG"), "two words.jpg": encoded(noise(3), "JPEG"),
    "new\nline.png": encoded(noise(4), "PNG"), "no-dpi.JPEG": encoded(noise(5), "JPEG"),
    "one-bit.png": encoded(noise(6).convert("1"), "PNG"), "grey.png": encoded(noise(7).convert("L"), "PNG"),
    "grey-alpha.png": encoded(noise(8).convert("LA"), "PNG"), "palette.gif": encoded(noise(9).convert("P"), "GIF"),
    "alpha.png": encoded(noise(10).convert("RGBA"), "PNG"), "cmyk.jpg": encoded(noise(11).convert("CMYK"), "JPEG"),
    "sixteen.png": encoded(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 150), "PNG"),
    "really-a-png.jpg": encoded(noise(12), "PNG"), "one-pixel.png": encoded(Image.new("RGB", (1, 1), "red"), "PNG"),
    "strip.png": encoded(noise(13, 500, 1), "PNG"),
}


def listed(folder: Path) -> list[str]:
    return list(listing.list_files(folder).images)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A folder with every kind of file, and what is no file at all."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    for name, (content, _) in BROKEN.items():
        (folder / name).write_bytes(content)
    for name, content in GOOD.items():
        (folder / name).write_bytes(content)
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "link.jpg").symlink_to("plain.jpg")
    (folder / "folders-in-a-circle").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.png").mkdir()
    (folder / "locked.jpg").write_bytes(encoded(noise(14), "JPEG"))
    (folder / "locked.jpg").chmod(0)
    Path(os.fsdecode(os.fsencode(folder) + b"/not-\xff-text.jpg")).write_bytes(JPEG)
    os.mknod(folder / "socket.png", stat.S_IFSOCK | 0o600)
    return folder


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_thirty_kinds_of_broken_file_are_each_listed_and_no_good_one_is_lost(zoo: Path, tmp_path: Path) -> None:
    paths = listed(zoo)
    others = {"loop.jpg": "symbolic links", "gone.jpg": "No such file", "pipe.jpg": "not a regular file",
              "socket.png": "not a regular file", os.fsdecode(b"not-\xff-text.jpg"): "not text"}
    may_open = os.geteuid() == 0  # root may read what is locked
    if not may_open:
        others["locked.jpg"] = "Permission denied"
    assert len(BROKEN) + len(others) >= 30
    seen = scan.scan(zoo, paths, tmp_path / "cache")
    expected = {**{name: words for name, (_, words) in BROKEN.items()}, **others}
    assert {name for name, item in seen.items() if item.reason} == set(expected)
    for name, words in expected.items():
        assert words in seen[name].reason and "\n" not in seen[name].reason, (name, seen[name].reason)
    good = {*GOOD, "link.jpg"} | ({"locked.jpg"} if may_open else set())
    assert {name for name, item in seen.items() if not item.reason} == good
    assert all(len(seen[name].look) == 256 and len(seen[name].digest) == 64 for name in good)
    assert scan.scan(zoo, paths, tmp_path / "cache") == seen


def folder_of(root: Path, count: int) -> list[str]:
    root.mkdir(exist_ok=True)
    for number in range(count):
        (root / f"{number:03d}.png").write_bytes(encoded(noise(number), "PNG"))
    return listed(root)


def test_a_second_scan_opens_no_file(tmp_path: Path) -> None:
    paths = folder_of(tmp_path / "a", 5)
    first = scan.scan(tmp_path / "a", paths, tmp_path / "cache")
    calls: list[tuple[int, int]] = []
    assert scan.scan(tmp_path / "a", paths, tmp_path / "cache", lambda *call: calls.append(call)) == first
    assert calls == [(5, 5)]
    scan.scan(tmp_path / "a", paths, tmp_path / "cache", lambda *call: calls.append(call), reread=True)
    assert calls[1:] == [(done, 5) for done in range(6)], "a scan that was asked to reads them all"


def test_a_file_changed_with_size_and_time_of_change_kept_is_read_again(tmp_path: Path) -> None:
    paths = folder_of(tmp_path / "a", 5)
    scan.scan(tmp_path / "a", paths, tmp_path / "cache")
    for path in paths:
        status = (tmp_path / "a" / path).stat()
        (tmp_path / "a" / path).write_bytes(bytes(status.st_size))
        os.utime(tmp_path / "a" / path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert all(item.reason for item in scan.scan(tmp_path / "a", paths, tmp_path / "cache").values())


def test_a_changed_a_new_and_a_deleted_file_are_noticed(tmp_path: Path) -> None:
    root, cache = tmp_path / "a", tmp_path / "cache"
    first = scan.scan(root, folder_of(root, 4), cache)
    (root / "001.png").write_bytes(encoded(noise(91), "PNG"))
    (root / "new.png").write_bytes(encoded(noise(92), "PNG"))
    (root / "002.png").unlink()
    second = scan.scan(root, listed(root), cache)
    assert list(second) == ["000.png", "001.png", "003.png", "new.png"]
    assert [name for name in second if second[name] != first.get(name)] == ["001.png", "new.png"]


def test_an_interrupted_scan_goes_on_where_it_stopped(tmp_path: Path) -> None:
    root, cache = tmp_path / "a", tmp_path / "cache"
    paths = folder_of(root, 200)

    def give_up(done: int, total: int) -> None:
        if done == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan.scan(root, paths, cache, give_up)
    calls: list[int] = []
    scan.scan(root, paths, cache, lambda done, total: calls.append(done))
    assert calls[0] >= 100 and calls[-1] == 200, "what was read before is not read again"


# In the processes that read files, whose Python runs this first: a decoder that crashes at images of 13 × 13 pixels.
CRASHING = """
import os
from PIL import ImageFile
load = ImageFile.ImageFile.load

def crash(image):
    if image.size == (13, 13):
        os.abort()
    return load(image)

ImageFile.ImageFile.load = crash
"""


@pytest.mark.parametrize("n_files", [1, 3, 150])
def test_a_file_at_which_a_decoder_crashes_is_named_and_the_scan_goes_on(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_files: int) -> None:
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "sitecustomize.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plugin"))
    root = tmp_path / "a"
    folder_of(root, n_files)
    for name in ("000.png", "crash.png"):
        (root / name).write_bytes(encoded(noise(1, 13, 13), "PNG"))
    paths = listed(root)
    seen = scan.scan(root, paths, tmp_path / "cache")
    assert {name: item.reason for name, item in seen.items() if item.reason} == dict.fromkeys(
        ("000.png", "crash.png"), "it crashed the process that read it: the file may be damaged, or memory was short")
    assert sum(bool(item.look) for item in seen.values()) == n_files - 1
    assert scan.scan(root, paths, tmp_path / "cache") == seen


def test_two_files_of_one_look_at_which_a_decoder_crashes_later_are_no_copies(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their pixels are asked for once their looks are known; a scan of looks alone went well."""
    root = tmp_path / "a"
    root.mkdir()
    for name, kind in (("a.png", "PNG"), ("b.bmp", "BMP")):
        (root / name).write_bytes(encoded(noise(1, 13, 13), kind))
    (tmp_path / "plugin").mkdir()
    is_content = "'contents' in {frame.name for frame in traceback.extract_stack()}"
    (tmp_path / "plugin" / "sitecustomize.py").write_text(
        CRASHING.replace("image.size ==", f"{is_content} and image.size ==").replace("import os", "import os, traceback"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plugin"))
    seen = scan.scan(root, ["a.png", "b.bmp"])
    assert seen["a.png"].look == seen["b.bmp"].look != b""
    assert [item.content for item in seen.values()] == ["", ""]


def test_the_same_pixels_in_another_file_format_have_the_same_content(tmp_path: Path) -> None:
    for name, kind in (("a.png", "PNG"), ("b.bmp", "BMP")):
        (tmp_path / name).write_bytes(encoded(noise(1), kind))
    (tmp_path / "c.png").write_bytes(encoded(noise(2), "PNG"))
    seen = scan.scan(tmp_path, ["a.png", "b.bmp", "c.png"])
    assert seen["a.png"].digest != seen["b.bmp"].digest
    assert seen["a.png"].content == seen["b.bmp"].content != ""
    assert seen["c.png"].content == "", "nothing else looks like it, so nobody asked"


@pytest.mark.parametrize("quality, color", [(90, "white"), (20, "white"), (60, "red"), (60, "blue"), (60, "lime")])
def test_a_jpeg_and_its_own_pixels_without_loss_have_the_same_content(tmp_path: Path, quality: int, color: str) -> None:
    """A JPEG's look is made before its colours are rounded and cut off, which counts most where they are pure."""
    is_lit = np.random.default_rng(3).random((96, 128, 1)) < 0.5
    harsh = Image.fromarray(np.where(is_lit, ImageColor.getrgb(color), 0).astype(np.uint8))
    jpeg = encoded(harsh.resize((256, 192), Image.Resampling.NEAREST), "JPEG", quality=quality)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    (tmp_path / "b.png").write_bytes(encoded(decode(jpeg), "PNG"))
    seen = scan.scan(tmp_path, ["a.jpg", "b.png"])
    assert seen["a.jpg"].content == seen["b.png"].content != ""


def test_a_damaged_cache_is_one_clear_line(tmp_path: Path) -> None:
    paths = folder_of(tmp_path / "a", 2)
    scan.scan(tmp_path / "a", paths, tmp_path / "cache")
    for path in (tmp_path / "cache").glob("*.sqlite"):
        path.write_bytes(b"not a database" * 100)
    with pytest.raises(OSError, match=r"what a scan finds must be kept in .*; free some space, or delete it"):
        scan.scan(tmp_path / "a", paths, tmp_path / "cache")
