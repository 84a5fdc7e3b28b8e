"""Decoded pixels: the right square of each image, decoded once, written whole or not at all."""

import errno
import subprocess

import numpy as np
import pytest
from PIL import Image

from core.config import DatasetConfig
from core.data import pixels, processes
from core.data.manifest import Manifest
from core.data.sources import open_source

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def manifest_of(n: int, digest: str = "d") -> Manifest:
    ids = np.array([f"a/{index}" for index in range(n)], dtype=object)
    return Manifest(sample_id=ids, label=np.array(["a"] * n, dtype=object), group=ids,
                    digest=np.array([f"{digest}{index}" for index in range(n)], dtype=object),
                    picture=ids, official=np.array([""] * n, dtype=object), split=np.array([""] * n, dtype=object))


class Shades:
    """Sample i is a plain image of shade 10 × i; raises at the sample told to."""

    def __init__(self, raises_at: int | None = None, error: type[BaseException] = OSError):
        self.root = None
        self.raises_at = raises_at
        self.error = error

    def scan(self, progress=None, cache=None):
        raise AssertionError("decoding must not scan")

    def image(self, sample_id, digest=None):
        index = int(sample_id.partition("/")[2])
        if index == self.raises_at:
            raise self.error("gone")
        return Image.new("RGB", (5 + index, 9), (10 * index % 256,) * 3)


@pytest.mark.parametrize("many", [1, 1000], ids=["processes", "threads"])
def test_a_changed_file_is_noticed_while_decoding(image_folder, tmp_path, monkeypatch, many):
    monkeypatch.setattr(processes, "MANY", many)
    source = open_source(DatasetConfig(source="folder", root=str(image_folder)))
    manifest = source.scan()
    changed = image_folder / "light" / "light_1_3.png"
    Image.new("RGB", (40, 32), "red").save(changed)
    with pytest.raises(ValueError, match=r"light_1_3\.png must be the file that was scanned, got another"):
        pixels.load(manifest, source, 16, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]
    fresh = source.scan()
    row = fresh.sample_id.tolist().index("light/light_1_3.png")
    assert (pixels.load(fresh, source, 16, tmp_path / "cache")[row] == (255, 0, 0)).all()


def test_a_disk_that_fills_up_is_one_clear_line_and_leaves_nothing(tmp_path):
    """A real file system of one megabyte, filled."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs more rights than this test has")
    try:
        with pytest.raises(OSError, match=r"decoded images need 0\.00 GB of disk space") as caught:
            pixels.load(manifest_of(40), Shades(), 128, disk)
        assert caught.value.errno == errno.ENOSPC
        assert not [path for path in disk.iterdir() if path.suffix != ".lock"]
        assert pixels.load(manifest_of(10), Shades(), 128, disk).shape == (10, 128, 128, 3)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_row_i_is_sample_i(tmp_path):
    found = pixels.load(manifest_of(4), Shades(), 6, tmp_path / "cache")
    assert found.shape == (4, 6, 6, 3)
    assert found.dtype == np.uint8
    for index in range(4):
        assert (found[index] == 10 * index).all()


def test_processes_store_what_threads_do(image_folder, tmp_path, monkeypatch):
    source = open_source(DatasetConfig(source="folder", root=str(image_folder)))
    manifest = source.scan()
    of_threads = pixels.load(manifest, source, 16, tmp_path / "threads")
    monkeypatch.setattr(processes, "MANY", 1)
    assert np.array_equal(pixels.load(manifest, source, 16, tmp_path / "processes"), of_threads)
    assert of_threads.std() > 0


def test_pixels_cannot_be_written_to(tmp_path):
    found = pixels.load(manifest_of(1), Shades(), 6, tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_decoded_images_are_used_again_and_not_decoded_again(tmp_path):
    first = pixels.load(manifest_of(3), Shades(), 6, tmp_path)
    path = pixels.cache_path(tmp_path, manifest_of(3), 6)
    before = path.stat()
    again = pixels.load(manifest_of(3), Shades(raises_at=0), 6, tmp_path)
    assert np.array_equal(first, again)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_another_size_or_a_changed_image_is_another_file(tmp_path):
    names = {pixels.cache_path(tmp_path, manifest_of(3, digest), size) for digest in "de" for size in (6, 8)}
    assert len(names) == 4
    assert pixels.load(manifest_of(3), Shades(), 6, tmp_path).shape == (3, 6, 6, 3)
    assert pixels.load(manifest_of(3), Shades(), 8, tmp_path).shape == (3, 8, 8, 3)


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_no_half_written_file_is_left_and_the_next_try_succeeds(tmp_path, error):
    with pytest.raises(error, match="gone"):
        pixels.load(manifest_of(3), Shades(raises_at=2, error=error), 6, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
    found = pixels.load(manifest_of(3), Shades(), 6, tmp_path)
    assert found[:, 0, 0, 0].tolist() == [0, 10, 20]


def test_images_larger_than_the_disk_are_refused_before_any_is_decoded(tmp_path):
    with pytest.raises(OSError, match=r"decoded images need .* GB of disk space, .* are free"):
        pixels.load(manifest_of(1), Shades(raises_at=0, error=AssertionError), 10_000_000, tmp_path)
    assert list(tmp_path.glob("*.npy")) == []


def test_progress_counts_every_image(tmp_path):
    calls = []
    pixels.load(manifest_of(3), Shades(), 6, tmp_path, lambda done, total: calls.append((done, total)))
    assert calls == [(3, 3)]
    calls.clear()
    pixels.load(manifest_of(70), Shades(), 4, tmp_path, lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls}) and len(calls) > 1
    assert calls[-1] == (70, 70)


def stripes(*colors, side=4) -> Image.Image:
    image = Image.new("RGB", (side * len(colors), side))
    for place, color in enumerate(colors):
        image.paste(color, (place * side, 0, (place + 1) * side, side))
    return image


def test_the_middle_square_is_kept():
    wide = stripes(RED, GREEN, BLUE)
    assert (pixels.square(wide, 4) == GREEN).all()
    assert (pixels.square(wide.transpose(Image.Transpose.ROTATE_90), 4) == GREEN).all()


def test_an_image_of_the_right_size_is_untouched():
    content = np.random.default_rng(0).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    assert np.array_equal(pixels.square(Image.fromarray(content), 7), content)


def test_a_large_image_is_shrunk_before_it_is_cropped():
    found = pixels.square(stripes(RED, GREEN, BLUE, side=40), 8)
    assert found.shape == (8, 8, 3)
    assert (found[:, 2:6] == GREEN).all()


def test_shrinking_averages_and_does_not_drop_pixels():
    board = np.indices((32, 32)).sum(axis=0) % 2 * 255
    found = pixels.square(Image.fromarray(np.repeat(board[..., None], 3, axis=2).astype(np.uint8)), 8)
    assert np.abs(found.astype(int) - 127).max() < 20


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 8), (224, 225), (17, 16)])
def test_any_image_becomes_a_square(size):
    found = pixels.square(Image.new("RGB", size, (9, 8, 7)), 16)
    assert found.shape == (16, 16, 3)
    assert found.dtype == np.uint8
    assert (found == (9, 8, 7)).all()


def test_the_same_samples_in_another_order_are_another_file(tmp_path):
    """As of a table whose rows were sorted anew: its fingerprint is the same, its rows are not."""
    manifest = manifest_of(5)
    columns = ("sample_id", "label", "group", "digest", "picture", "official", "split")
    turned = Manifest(**{name: getattr(manifest, name)[::-1] for name in columns})
    assert turned.fingerprint == manifest.fingerprint == manifest.row_key
    first = pixels.load(manifest, Shades(), 6, tmp_path)
    assert np.array_equal(pixels.load(turned, Shades(), 6, tmp_path), first[::-1])
