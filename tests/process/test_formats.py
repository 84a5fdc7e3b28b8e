"""Formats that are read, and what reading a file may cost: no other decoder is asked, large files take turns."""

import ast
import errno
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image, features

from core.data import decoding, memory, reading
from core.data.preprocessing import Geometry
from core.data.scan import scan
from core.jobs import failures
from tests.images import encoded, noise, png_header

PROJECT = Path(decoding.__file__).resolve().parents[2]
POSTSCRIPT = (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n0 0 40 40 rectfill\nshowpage\n%%EOF\n")


def test_every_image_that_is_opened_names_the_formats_meant():
    """Pillow's other decoders start programs (Ghostscript), or read formats that nobody meant."""
    for path in [*PROJECT.glob("core/**/*.py"), *PROJECT.glob("pages/**/*.py"), *PROJECT.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Image.open", "PIL.Image.open"):
                assert any(keyword.arg == "formats" for keyword in node.keywords), f"{path}:{node.lineno}"


def test_a_postscript_file_named_like_a_photograph_starts_no_program(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "a.jpg").write_bytes(POSTSCRIPT)
    with pytest.raises(ValueError, match="not an image file that can be read"):
        decoding.decode(POSTSCRIPT)
    assert scan(tmp_path, ["a.jpg"])["a.jpg"].reason == "not an image file that can be read"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("kind, ending", [(kind, ending) for kind, endings in decoding.ENDINGS.items() for ending in endings])
def test_every_ending_that_is_listed_is_one_of_its_format(kind, ending):
    Image.init()
    assert Image.EXTENSION[ending] in (kind, "MPO")
    assert ending in decoding.IMAGE_SUFFIXES


@pytest.mark.parametrize("kind", [name for name in decoding.FORMATS
                                  if features.check({"AVIF": "avif", "JPEG2000": "jpg_2000"}.get(name, "jpg"))])
def test_every_format_is_read(kind):
    image = Image.new("RGB", (24, 20), (200, 40, 90))
    found = np.asarray(decoding.decode(encoded(image, kind)), int)
    assert found.shape == (20, 24, 3)
    assert np.abs(found[10, 12] - ([200, 40, 90])).max() <= 4


def test_a_file_of_any_failing_decoder_is_left_out(tmp_path, monkeypatch):
    """Whatever kind of exception a decoder ends in, the scan goes on and names the file."""
    from PIL import PngImagePlugin

    names = [kind.__name__ + ".png" for kind in _KINDS]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(encoded(noise(number), "PNG"))
    failures = iter(_KINDS)

    def load(self):
        raise next(failures)("broken")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    reasons = {name: reason for name, (_, _, reason, *_) in zip(names, reading.looks(tmp_path, None, names))}
    assert [reasons[name] for name in names if "Memory" not in name] == ["broken"] * (len(names) - 1)


class _Refused(subprocess.SubprocessError):
    pass


_KINDS = [OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, ZeroDivisionError, OverflowError, AttributeError,
          AssertionError, BufferError, RuntimeError, NotImplementedError, RecursionError, MemoryError, _Refused, UserWarning]


@pytest.mark.parametrize("mode, options", [
    ("RGBA", {}), ("LA", {}), ("P", {"transparency": 3}), ("I;16", {}), ("L", {"transparency": 9}), ("1", {})])
def test_a_large_image_is_converted_in_bands_to_the_very_pixels(mode, options, monkeypatch):
    levels = np.random.default_rng(0).integers(0, 65536, (57, 41), dtype=np.uint16)
    image = Image.fromarray(levels) if mode == "I;16" else noise(0, 41, 57).convert(mode)
    content = encoded(image, "PNG", **options)
    whole = [decoding.decode(content).tobytes(), decoding.grey_square(content, 16)[0].tobytes()]
    monkeypatch.setattr(memory, "_BAND_PIXELS", 100)
    assert [decoding.decode(content).tobytes(), decoding.grey_square(content, 16)[0].tobytes()] == whole


def test_a_file_larger_than_any_image_may_be_is_not_read(tmp_path):
    with open(tmp_path / "a.tif", "wb") as file:
        file.truncate(3_000_000_000)  # takes no room on the disk
    assert scan(tmp_path, ["a.tif"])["a.tif"].reason == "3.0 GB are more than 2 GB"


def test_text_that_unfolds_is_refused():
    """A kilobyte of compressed text, 64 MB unfolded; as text and as a colour profile."""
    import struct
    import zlib

    whole = png_header(8, 8)
    bomb = zlib.compress(bytes(64_000_000), 9)
    for kind, body in ((b"zTXt", b"a\0\0" + bomb), (b"iCCP", b"a\0\0" + bomb), (b"iTXt", b"a\0\1\0\0\0" + bomb)):
        chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        with pytest.raises(decoding.UNREADABLE):
            decoding.decode(whole[:33] + chunk + whole[33:])


def test_small_images_reserve_nothing_and_large_ones_take_turns(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    n_inside, most, begun = 0, 0, threading.Barrier(4)

    def work(n_bytes: int) -> None:
        nonlocal n_inside, most
        begun.wait()
        with memory.one_image():
            memory.reserve(n_bytes)
            n_inside += 1
            most = max(most, n_inside)
            time.sleep(0.05)
            n_inside -= 1

    for n_bytes, expected in ((memory.ALL, 1), (memory.ALL * 5, 1), (memory.SHARE, 4), (memory.FREE, 4)):
        most = 0
        threads = [threading.Thread(target=work, args=(n_bytes,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most <= expected
        assert n_inside == 0
    assert len(list(tmp_path.glob("*/*.lock"))) == memory.SHARES + 1


def test_one_image_waits_once(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with memory.one_image():
        memory.reserve(memory.ALL)
        with memory.one_image():
            memory.reserve(memory.ALL)
    with pytest.raises(RuntimeError, match="inside of one_image"):
        memory.reserve(memory.ALL)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder with an image so large that it waits its turn."""
    folder = tmp_path / "large"
    folder.mkdir()
    Image.new("L", (9000, 8000)).save(folder / "large.png", compress_level=1)
    return folder


FULL = r"the disk of .+duet-decoding.* must have room for the locks by which large images take turns, got a full one"


@pytest.mark.parametrize("at, number, message, kind", [
    ("folder", errno.ENOSPC, FULL, "disk"), ("gate", errno.ENOSPC, FULL, "disk"), ("share", errno.ENOSPC, FULL, "disk"),
    ("gate", errno.EDQUOT, FULL, "disk"),
    ("share", errno.EMFILE, r".+duet-decoding.* must let large images lock its files, got: Too many open files", "error")])
def test_a_disk_without_room_for_the_locks_is_no_fault_of_the_image(monkeypatch, tmp_path, large, at, number, message, kind):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    acquire, refusal = FileLock.acquire, OSError(number, os.strerror(number), "a file")

    def acquire_or_refuse(lock: FileLock, *arguments: object, **options: object) -> object:
        if Path(lock.lock_file).name.startswith(at):
            raise refusal
        return acquire(lock, *arguments, **options)

    monkeypatch.setattr(FileLock, "acquire", acquire_or_refuse)
    if at == "folder":
        monkeypatch.setattr(Path, "mkdir", Mock(side_effect=refusal))
    for read in (reading.looks, reading.contents):
        with pytest.raises(memory.LockError, match=message):
            read(large, None, ["large.png"])
    with pytest.raises(memory.LockError) as caught:
        reading.image(large, "large.png")
    assert failures.diagnose(pickle.loads(pickle.dumps(caught.value)))[0] == kind


_PEAK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from core.data import reading
root = Path(sys.argv[1])
with ThreadPoolExecutor(4) as pool:
    found = list(pool.map(lambda n: reading.looks(root, None, [f"{n}.png"])[0][2], range(4)))
assert not any(found), found
# ru_maxrss would count the memory of the process that started this one
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in kilobytes on Linux alone")
def test_files_just_under_the_limit_take_the_memory_of_one(tmp_path):
    for number in range(4):
        Image.new("RGBA", (7000, 7000), (number, 0, 0, 200)).save(tmp_path / f"{number}.png", compress_level=1)
    found = subprocess.run([sys.executable, "-c", _PEAK, str(tmp_path)], cwd=PROJECT, capture_output=True, text=True,
                           check=True)
    assert int(found.stdout) < 900  # MB; side by side, each with whole copies, it was 2,900


def test_a_stored_square_holds_its_memory_until_it_is_small(tmp_path, monkeypatch):
    """The decoded image is let go only when it has become a square."""
    reserved = []
    monkeypatch.setattr(memory, "reserve", lambda n_bytes: reserved.append(memory._current.get()))
    (tmp_path / "a.png").write_bytes(encoded(noise(), "PNG"))
    (tmp_path / "b").write_bytes(bytes(8 * 8 * 3))

    def read(sample_id: str, digest: str) -> Image.Image:
        outer.append(memory._current.get())
        return decoding.decode((tmp_path / sample_id).read_bytes())

    outer: list = []
    reading.store(read, Geometry(8, 8), str(tmp_path / "b"), 0, [(0, "a.png", "")])
    assert outer[0] is not None and reserved == outer


