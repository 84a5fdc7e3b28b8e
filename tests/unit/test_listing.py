"""Listings: every file below a folder is to be read, left out with its reason, or counted by its ending."""

import os
import stat
from pathlib import Path

import pytest
from PIL import features

from core.data import listing
from tests.images import encoded, noise

PNG, JPEG = encoded(noise(1), "PNG"), encoded(noise(2), "JPEG")


def written(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def n_listed(found: listing.Listing) -> int:
    return len(found.images) + len(found.left_out) + sum(found.other_files.values())


def test_every_file_is_read_named_or_counted(tmp_path: Path) -> None:
    files = {f"a/{name}": JPEG for name in ("q.jfif", "q.JPE", "q.mpo", "no-ending", "1.2.840.5", "photo.0012")}
    files |= {f"a/{name}": PNG for name in ("q.apng", "odd.png_large")}
    files |= {"a/q.heic": bytes(300), "a/q.svg": b"<svg/>", "a/q.dng": b"II*\0", "a/more.zip": b"PK\3\4", "a/film.mp4": b"x",
              "a/apple": b"\0\0\0\x18ftypheic\0\0\0\0", "a/notes.txt": b"x", "b/1.json": b"{}", "b/2.JSON": b"{}",
              "LICENSE": b"x", "a/._q.jpg": b"x", "a/Thumbs.db": b"x", ".DS_Store": b"x",
              ".git/objects/1": b"x", "__MACOSX/a/q.jpg": b"x",
              "loose.png": PNG}
    found = listing.list_files(written(tmp_path, files))
    assert n_listed(found) == len(files)
    assert found.images == ("a/1.2.840.5", "a/no-ending", "a/photo.0012", "a/q.JPE", "a/q.apng", "a/q.jfif", "a/q.mpo",
                            "loose.png")
    assert found.other_files == {".json": 2, ".txt": 1, "": 1, listing.HIDDEN: 5}
    assert listing.other_words(found.other_files) == "2 .json, 1 .txt, 1 without an ending, 5 hidden"
    reason = {item.path: item.reason for item in found.left_out}
    assert reason == {
        "a/apple": "HEIC is not read; save it as PNG or JPEG", "a/film.mp4": "a video; save frames of it as PNG or JPEG",
        "a/more.zip": "an archive; unpack it",
        "a/odd.png_large": "holds a PNG image under the ending .png_large; rename it to .png",
        "a/q.dng": "a camera's raw file; save it as PNG or JPEG", "a/q.heic": "HEIC is not read; save it as PNG or JPEG",
        "a/q.svg": "SVG is not read; save it as PNG or JPEG"}
    assert found.without_images == ("b",)


def test_a_format_this_pillow_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    listing._lacking.cache_clear()
    found = listing.list_files(written(tmp_path, {"a/1.avif": b"x", "a/1.webp": b"x"}))
    listing._lacking.cache_clear()
    assert found.images == ("a/1.webp",)
    assert [item.reason for item in found.left_out] == ["this Pillow reads no AVIF; save it as PNG or JPEG"]


def test_links_to_folders_are_followed_once_and_never_in_a_circle(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    written(root, {"a/1.png": PNG, "b/2.png": PNG})
    written(elsewhere, {"3.png": PNG, "deep/4.png": PNG})
    (root / "a" / "more").symlink_to(elsewhere, target_is_directory=True)
    (root / "c").symlink_to(elsewhere / "deep", target_is_directory=True)  # stands in a/more already
    (root / "b" / "a").symlink_to(root / "a", target_is_directory=True)
    (root / "b" / "circle").symlink_to(root, target_is_directory=True)
    (root / "b" / "above").symlink_to(tmp_path, target_is_directory=True)
    (elsewhere / "back").symlink_to(root, target_is_directory=True)
    (root / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = listing.list_files(root)
    assert found.images == ("a/1.png", "a/more/3.png", "a/more/deep/4.png", "b/2.png", "b/gone.png")
    assert {item.path: item.reason for item in found.left_out} == {
        "a/more/back": "a link to a folder that holds this one", "b/a": "a link to a, which is listed itself",
        "b/above": "a link to a folder that holds this one", "b/circle": "a link to a folder that holds this one",
        "c": "a link to a/more/deep, which is listed itself"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_without_an_ending_is_counted_and_not_opened(tmp_path: Path) -> None:
    written(tmp_path, {"a/1.png": PNG})
    os.mkfifo(tmp_path / "a" / "pipe")
    os.mknod(tmp_path / "a" / "socket", stat.S_IFSOCK | 0o600)
    assert listing.list_files(tmp_path).other_files == {"": 2}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may list every folder")
def test_a_folder_that_may_not_be_listed_is_named(tmp_path: Path) -> None:
    written(tmp_path, {"a/1.png": PNG, "b/2.png": PNG})
    (tmp_path / "b").chmod(0)
    found = listing.list_files(tmp_path)
    (tmp_path / "b").chmod(0o700)
    assert [(item.path, item.reason) for item in found.left_out] == [("b", "Permission denied")]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may look behind every name")
def test_a_folder_whose_names_alone_may_be_read_is_named(tmp_path: Path) -> None:
    written(tmp_path, {"cats/inside/a.png": PNG, "dogs/b.png": PNG})
    (tmp_path / "cats").chmod(stat.S_IRUSR)
    found = listing.list_files(tmp_path)
    (tmp_path / "cats").chmod(stat.S_IRWXU)
    assert found.images == ("dogs/b.png",)
    assert [(item.path, item.reason) for item in found.left_out] == [("cats/inside", "Permission denied")]


def test_the_state_of_a_folder_differs_after_any_change_below_it(tmp_path: Path) -> None:
    written(tmp_path, {"a/1.png": PNG, "a/2.png": PNG, "b/3.png": PNG})
    states = [listing.state(tmp_path)]
    assert listing.state(tmp_path) == states[0]
    (tmp_path / "a" / "1.png").rename(tmp_path / "b" / "1.png")
    states.append(listing.state(tmp_path))
    (tmp_path / "b" / "4.png").write_bytes(PNG)
    states.append(listing.state(tmp_path))
    status = (tmp_path / "b" / "3.png").stat()
    (tmp_path / "b" / "3.png").write_bytes(bytes(len(PNG)))  # the same size, and below the same time of change
    os.utime(tmp_path / "b" / "3.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    states.append(listing.state(tmp_path))
    assert len(set(states)) == 4
