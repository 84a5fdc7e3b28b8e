"""Datasets to manifests: every good image found and decoded rightly, every bad file named, none replaced."""

import hashlib
import os
import re
import struct
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.config import DatasetConfig
from core.data import manifest as manifests
from core.data import sources
from core.data.sources import Digits, Source
from tests.images import encoded, noise, png_header


def folder_of(root: Path, **files: dict[str, bytes]) -> Path:
    for label, content_of in files.items():
        for name, content in content_of.items():
            path = root / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return root


def folder_source(root: Path, group_by: str | None = None) -> Source:
    return sources.open_source(DatasetConfig(source="folder", root=str(root), group_by=group_by))


def good(seed: int) -> bytes:
    return encoded(noise(seed), "PNG")


def exif_with_text_where_a_number_belongs() -> bytes:
    entries = struct.pack("<HHII", 274, 3, 1, 6) + struct.pack("<HHII", 256, 2, 2, 0x36)  # orientation; a text as width
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)


def test_a_folder_of_class_folders_becomes_a_manifest(tmp_path):
    folder_of(tmp_path, cat={"2.png": good(2), "1.PNG": good(1)}, dog={"deep/er/3.png": good(3)})
    manifest = folder_source(tmp_path).scan()
    assert manifest.sample_id.tolist() == ["cat/1.PNG", "cat/2.png", "dog/deep/er/3.png"]
    assert manifest.label.tolist() == ["cat", "cat", "dog"]
    assert manifest.group.tolist() == manifest.sample_id.tolist()
    assert manifest.digest.tolist() == [hashlib.sha256(good(seed)).hexdigest() for seed in (1, 2, 3)]
    assert manifest.split.tolist() == ["", "", ""]
    assert manifest.unreadable == ()


@pytest.mark.filterwarnings("ignore:Truncated File Read")  # what Pillow says of a short TIFF before it gives up
def test_broken_files_are_listed_with_a_reason_and_no_good_one_is_lost(tmp_path):
    whole_jpeg = encoded(noise(1, 64, 64), "JPEG")
    broken = {
        "cut.jpg": whole_jpeg[:len(whole_jpeg) // 2], "empty.jpg": b"", "page.jpg": b"<!DOCTYPE html><html></html>",
        "cut.png": good(9)[:60], "huge.png": png_header(20_000, 20_000), "zeros.png": bytes(500),
        "cut.gif": encoded(noise(3), "GIF")[:30], "cut.webp": encoded(noise(3), "WEBP")[:40],
        "cut.tif": encoded(noise(3), "TIFF")[:50], "cut.bmp": encoded(noise(3), "BMP")[:60],
    }
    names = ["a b.png", "ä漢字.png", "two\nlines.png", "quote'\".png", "%20#?.png", "1.png"]
    folder_of(tmp_path, a=broken | {name: good(seed) for seed, name in enumerate(names)},
              b={"1.jpg": whole_jpeg, "x.jpg/inside.png": good(20)})
    (tmp_path / "a" / "empty_folder.jpg").mkdir()
    (tmp_path / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    manifest = folder_source(tmp_path).scan()
    assert set(manifest.sample_id.tolist()) == {*(f"a/{name}" for name in names), "b/1.jpg", "b/x.jpg/inside.png"}
    assert {item.path for item in manifest.unreadable} == {*(f"a/{name}" for name in broken), "a/gone.jpg"}
    assert (len(manifest), len(manifest.unreadable)) == (8, 11)
    reason = {item.path: item.reason for item in manifest.unreadable}
    assert all(reason.values())
    assert not any("\n" in text for text in reason.values())
    assert reason["a/empty.jpg"] == "the file is empty"
    assert reason["a/page.jpg"] == "not an image file that can be read"
    assert "truncated" in reason["a/cut.jpg"]
    assert "pixels" in reason["a/huge.png"]


def test_every_sample_of_a_folder_with_broken_files_is_its_own_image(tmp_path):
    folder_of(tmp_path, a={"0.png": good(0), "1.png": b"", "2.png": good(2)}, b={"3.png": b"no", "4.png": good(4)})
    source = folder_source(tmp_path)
    manifest = source.scan()
    assert manifest.sample_id.tolist() == ["a/0.png", "a/2.png", "b/4.png"]
    for sample_id, seed in zip(manifest.sample_id.tolist(), (0, 2, 4)):
        assert np.array_equal(np.asarray(source.image(sample_id)), np.asarray(noise(seed)))


def test_a_file_gone_since_the_scan_is_an_error_and_no_other_image(tmp_path):
    folder_of(tmp_path, a={"0.png": good(0), "1.png": good(1)}, b={"2.png": good(2)})
    source = folder_source(tmp_path)
    source.scan()
    (tmp_path / "a" / "0.png").unlink()
    with pytest.raises(FileNotFoundError):
        source.image("a/0.png")
    (tmp_path / "a" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match="the file is empty"):
        source.image("a/1.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_listed_and_does_not_block(tmp_path):
    folder_of(tmp_path, a={"0.png": good(0)}, b={"1.png": good(1)})
    pipe = tmp_path / "a" / "pipe.png"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.open("wb").close(), daemon=True)  # ends the read of a scan that reads
    writer.start()
    manifest = folder_source(tmp_path).scan()
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
    writer.join()
    assert [(item.path, item.reason) for item in manifest.unreadable] == [("a/pipe.png", "not a regular file")]
    assert len(manifest) == 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nonsense_in_the_metadata_of_an_image_does_not_stop_the_scan(tmp_path, kind):
    nonsense = encoded(noise(5), kind, exif=exif_with_text_where_a_number_belongs())
    folder_of(tmp_path, a={"0.png": good(0), f"1.{kind.lower()}": nonsense}, b={"2.png": good(2)})
    manifest = folder_source(tmp_path).scan()
    assert {"a/0.png", "b/2.png"} <= set(manifest.sample_id.tolist())
    assert len(manifest) + len(manifest.unreadable) == 3


def test_a_name_that_is_no_text_does_not_stop_the_rest(tmp_path):
    folder_of(tmp_path, a={"0.png": good(0)}, b={"1.png": good(1)})
    try:
        Path(os.fsdecode(os.fsencode(tmp_path / "a") + b"/\xff.png")).write_bytes(good(2))
    except OSError:
        pytest.skip("this file system refuses such names")
    manifest = folder_source(tmp_path).scan()
    manifest.write(tmp_path / "manifest.parquet")
    found = manifests.read(tmp_path / "manifest.parquet")
    assert {"a/0.png", "b/1.png"} <= set(found.sample_id.tolist())
    assert len(found) + len(found.unreadable) == 3


def test_files_that_are_no_images_are_counted_and_what_lies_in_no_class_is_named(tmp_path):
    """An image without an ending is used: it was left out without a word once."""
    others = {"notes.txt": b"x", ".1.png": good(1), ".cache/2.png": good(2), "png": good(7)}
    folder_of(tmp_path, a={"0.png": good(0), **others}, b={"3.png": good(3)}, c={"read.me": b"x"})
    folder_of(tmp_path, **{".git": {"4.png": good(4)}})
    (tmp_path / "loose.png").write_bytes(good(5))
    (tmp_path / "a" / "phone.heic").write_bytes(bytes(300))
    manifest = folder_source(tmp_path).scan()
    assert manifest.sample_id.tolist() == ["a/0.png", "a/png", "b/3.png"]
    assert [(item.path, item.reason) for item in manifest.unreadable] == [
        ("a/phone.heic", "HEIC is not read; save it as PNG or JPEG"), ("loose.png", "lies in no class folder")]
    assert manifest.other_files == {".me": 1, ".txt": 1, "hidden": 3}
    assert manifest.without_images == ("c",)
    manifest.write(tmp_path / "manifest.parquet")
    found = manifests.read(tmp_path / "manifest.parquet")
    assert (found.other_files, found.without_images, found.remarks) == (manifest.other_files, ("c",), ())


def test_classes_too_small_are_left_out_and_named(tmp_path):
    folder_of(tmp_path, **{label: {f"{number}.png": good(10 * place + number) for number in range(n)}
                           for place, (label, n) in enumerate({"a": 5, "b": 4, "c": 2, "d": 1}.items())})
    manifest = sources.open_source(DatasetConfig(source="folder", root=str(tmp_path), min_per_class=4)).scan()
    assert manifest.counts() == {"a": 5, "b": 4}
    assert manifest.small_classes == {"c": 2, "d": 1}
    with pytest.raises(ValueError, match=r"dataset.min_per_class must leave at least 2 classes, got 5, which leaves 1 of 4"):
        sources.open_source(DatasetConfig(source="folder", root=str(tmp_path), min_per_class=5)).scan()


def test_copies_have_one_digest_and_changed_bytes_another_fingerprint(tmp_path):
    folder_of(tmp_path, a={"0.png": good(0), "1.png": good(0)}, b={"2.png": good(0), "3.png": good(3)})
    first = folder_source(tmp_path).scan()
    assert len(set(first.digest.tolist())) == 2
    assert folder_source(tmp_path).scan().fingerprint == first.fingerprint
    (tmp_path / "b" / "3.png").write_bytes(good(4))
    assert folder_source(tmp_path).scan().fingerprint != first.fingerprint


def test_group_by_names_the_group_from_the_path(tmp_path):
    folder_of(tmp_path, a={"p1_0.png": good(0), "p1_1.png": good(1), "p2_0.png": good(2)}, b={"p1_0.png": good(3)})
    manifest = folder_source(tmp_path, r"(.*)_[0-9]+\.png").scan()
    assert manifest.group.tolist() == ["a/p1", "a/p1", "a/p2", "b/p1"]


def test_a_path_that_group_by_does_not_match_is_named(tmp_path):
    folder_of(tmp_path, a={"p1_0.png": good(0)}, b={"odd.png": good(1)})
    with pytest.raises(ValueError) as caught:
        folder_source(tmp_path, r"(.*)_[0-9]+\.png").scan()
    assert str(caught.value) == (
        r"dataset.group_by must match every path, got no match of '(.*)_[0-9]+\\.png' in 'b/odd.png'")


def test_a_path_in_which_group_by_captures_nothing_is_named(tmp_path):
    folder_of(tmp_path, a={"p1_0.png": good(0)}, b={"odd.png": good(1)})
    with pytest.raises(ValueError, match=r"dataset.group_by .*'b/odd.png'"):
        folder_source(tmp_path, r"([ab]/p[0-9])?.*").scan()


def test_a_pattern_that_does_not_end_is_refused_within_seconds(tmp_path):
    folder_of(tmp_path, a={f"{'a' * 60}!.png": good(0)}, b={"b.png": good(1)})
    with pytest.raises(ValueError, match=r"dataset.group_by must match a path within a second, got '\(a\|aa\)\+\$'"):
        folder_source(tmp_path, r"(a|aa)+$").scan()


@pytest.mark.parametrize("one, other", [("Cat", "cat"), ("caf\u00e9", "cafe\u0301"), ("red  fox", "red fox"), ("1", "1.0")])
def test_class_folders_and_groups_that_a_person_reads_as_one_are_said(tmp_path, one, other):
    folder_of(tmp_path, **{one: {"1.png": good(1)}, other: {"2.png": good(2)}, "elk": {"3.png": good(3)}})
    remarks = folder_source(tmp_path, r"([^/]*)/").scan().remarks
    assert [remark.partition(" ")[0] for remark in remarks] == ["Classes", "Groups"]
    assert all("differ in capitals, spaces, stored accents or a decimal point alone; they count as 2." in remark
               for remark in remarks)
    assert ", ".join(repr(name) for name in sorted((one, other))) in remarks[0]
    assert folder_source(tmp_path).scan().remarks == remarks[:1], "a path is no name of a group"


def test_a_class_too_small_beside_one_of_its_name_is_said(tmp_path):
    folder_of(tmp_path, cat={f"{seed}.png": good(seed) for seed in range(3)}, Cat={"x.png": good(7)},
              dog={f"{seed}.png": good(seed) for seed in range(10, 13)})
    manifest = sources.open_source(DatasetConfig(source="folder", root=str(tmp_path), min_per_class=2)).scan()
    assert manifest.small_classes == {"Cat": 1}
    assert manifest.remarks[0].startswith("Classes 'Cat', 'cat' differ in capitals")


@pytest.mark.parametrize("pattern", ["((?R))", "((?1))"])
def test_a_pattern_that_calls_itself_for_ever_is_refused(tmp_path, pattern):
    folder_of(tmp_path, a={"a.png": good(0)}, b={"b.png": good(1)})
    with pytest.raises(ValueError, match=r"dataset\.group_by must"):
        folder_source(tmp_path, pattern).scan()


def test_progress_counts_every_file_once(tmp_path):
    folder_of(tmp_path, a={"0.png": good(0), "1.png": b""}, b={"2.png": good(2)})
    calls = []
    folder_source(tmp_path).scan(lambda done, total: calls.append((done, total)))
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_folder_that_cannot_be_a_dataset_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dataset.root must be a folder of class folders, found none at"):
        folder_source(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"dataset.root must hold one folder of images per class, found no images in"):
        folder_source(tmp_path).scan()
    folder_of(tmp_path, a={"0.png": good(0)}, b={"1.png": b""})
    with pytest.raises(ValueError, match=r"dataset.root must hold at least two class folders with images, found a in"):
        folder_source(tmp_path).scan()
    (tmp_path / "a" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match="found none readable in"):
        folder_source(tmp_path).scan()


def test_the_digits_are_all_there():
    manifest = Digits().scan()
    assert len(manifest) == len(set(manifest.sample_id.tolist())) == 1797
    assert manifest.classes == tuple("0123456789")
    assert list(manifest.counts().values()) == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert manifest.sample_id[0] == "0/0000"
    assert Digits().scan().fingerprint == manifest.fingerprint


def test_a_digit_is_drawn_with_its_own_levels():
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index in (0, 1000, 1796):
        found = np.asarray(Digits().image(f"{digits.target[index]}/{index:04d}"))
        assert found.shape == (8, 8, 3)
        assert found.dtype == np.uint8
        for channel in range(3):
            assert np.abs(found[..., channel] - digits.images[index] * 255 / 16).max() <= 0.5


def test_a_config_opens_its_source(tmp_path):
    assert isinstance(sources.open_source(DatasetConfig(source="digits")), Digits)
    folder_of(tmp_path, a={"p_0.png": good(0)}, b={"p_1.png": good(1)})
    source = sources.open_source(DatasetConfig(source="folder", root=str(tmp_path), group_by="(p)_"))
    assert source.scan().group.tolist() == ["p", "p"]


def table_source(path: Path, **values) -> Source:
    return sources.open_source(DatasetConfig(source="table", root=str(path), **values))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_names_images_labels_groups_and_splits(tmp_path, suffix):
    folder_of(tmp_path, x={"0.png": good(0), "1.png": good(1)}, y={"2.png": good(2), "3.png": b"broken"})
    frame = pd.DataFrame({"path": ["x/0.png", "x/1.png", "y/2.png", "y/3.png", "y/gone.png"],
                          "label": [*"aabbb"], "group": ["g", "", "h", "h", "h"],
                          "split": ["train", "val", "test", "test", "test"], "more": range(5)})
    path = tmp_path / f"images.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    manifest = table_source(path).scan()
    assert manifest.sample_id.tolist() == ["x/0.png", "x/1.png", "y/2.png"]
    assert manifest.label.tolist() == ["a", "a", "b"]
    assert manifest.group.tolist() == ["g", "x/1.png", "h"]
    assert manifest.official.tolist() == ["train", "validation", "test"]
    assert [item.path for item in manifest.unreadable] == ["y/3.png", "y/gone.png"]
    assert np.array_equal(np.asarray(table_source(path).image("x/1.png")), np.asarray(noise(1)))


@pytest.mark.parametrize("text, message", [
    ("file,label\nx.png,a\n", "columns path and label (and optional group and split), got file, label"),
    ("path,label\nx.png,a\n,b\n", "column path must not be empty, got nothing in row 2"),
    ("path,label\nx.png, \n", "column label must not be empty, got nothing in row 1"),
    ("path,label\nx.png,a\n./x.png,b\n", "column path must name each image once, got 'x.png' again in row 2"),
    ("path,label,split\nx.png,a,holdout\n", "column split must say train, validation, test or nothing, got 'holdout'"),
    ("", "must be a CSV or Parquet table"),
    ("path,label\n", "found no images"),
])
def test_a_table_that_cannot_be_used_is_refused(tmp_path, text, message):
    path = tmp_path / "images.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        table_source(path).scan()


def test_pets_are_read_in_their_official_layout(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    for name, seed in (("Maine_Coon_1", 0), ("Maine_Coon_2", 1), ("beagle_1", 2), ("not_listed_9", 3)):
        (tmp_path / "images" / f"{name}.jpg").write_bytes(encoded(noise(seed), "JPEG"))
    (tmp_path / "annotations" / "trainval.txt").write_text("#comment\nMaine_Coon_1 1 1 1\nbeagle_1 2 2 1\n")
    (tmp_path / "annotations" / "test.txt").write_text("Maine_Coon_2 1 1 1\n")
    manifest = sources.open_source(DatasetConfig(source="oxford_pet", root=str(tmp_path))).scan()
    assert list(zip(manifest.sample_id, manifest.label, manifest.official)) == [
        ("images/Maine_Coon_1.jpg", "Maine_Coon", "train"), ("images/Maine_Coon_2.jpg", "Maine_Coon", "test"),
        ("images/beagle_1.jpg", "beagle", "train")]


def test_the_groups_of_defungi_are_its_photographs(tmp_path):
    folder_of(tmp_path, H1={"H1_1a_1.jpg": good(0), "H1_1a_12.jpg": good(1), "H1_2b_1.jpg": good(2)},
              H3={"H3_6a_1.jpg": good(3)})
    manifest = sources.open_source(DatasetConfig(source="defungi", root=str(tmp_path))).scan()
    assert manifest.group.tolist() == ["H1_1a", "H1_1a", "H1_2b", "H3_6a"]


def test_a_class_may_be_limited_whole_groups_first(tmp_path):
    folder_of(tmp_path, a={f"p{number // 4}_{number}.png": good(number) for number in range(20)},
              b={f"q{number}_0.png": good(50 + number) for number in range(3)})
    config = DatasetConfig(source="folder", root=str(tmp_path), group_by=r"([^/]*)_", max_per_class=10)
    manifest = sources.open_source(config).scan()
    assert manifest.counts() == {"a": 10, "b": 3}
    sizes = sorted(manifest.group.tolist().count(group) for group in {*manifest.group[manifest.label == "a"]})
    assert sizes == [2, 4, 4]
    assert sources.open_source(config).scan().fingerprint == manifest.fingerprint


@pytest.mark.parametrize("source, words", [
    ("oxford_pet", r"download images.tar.gz and annotations.tar.gz .* from https://www.robots.ox.ac.uk/.* into .*/absent"),
    ("defungi", r"download defungi.zip from https://archive.ics.uci.edu/dataset/773/defungi and unpack it into .*/absent"),
    ("table", r"must be a CSV or Parquet file, found none at .*/absent"),
])
def test_a_missing_dataset_says_what_to_fetch_and_where_to_put_it(tmp_path, source, words):
    with pytest.raises(FileNotFoundError, match=words):
        sources.open_source(DatasetConfig(source=source, root=str(tmp_path / "absent")))
