"""The table of samples: its columns, its fingerprint, and what comes back from disk."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data import manifest as manifests
from core.data.duplicates import Pair
from core.data.manifest import Manifest, Unreadable

TEXT = ("sample_id", "label", "group", "digest", "split")


def column(*values):
    return np.array(values, dtype=object)


def small() -> Manifest:
    return Manifest(
        sample_id=column("b/1.png", "a/ä ö.png", "a/two\nlines.png", "b/2.png", "a/3.png"),
        label=column("b", "a", "a", "b", "a"), group=column("g1", "g2", "g2", "g3", "g4"),
        digest=column("d0", "d1", "d2", "d3", "d4"),
        picture=column("b/1.png", "a/ä ö.png", "a/ä ö.png", "b/2.png", "b/1.png"),
        official=column("train", "train", "train", "test", "train"), split=column("train", "train", "train", "test", "train"),
        rank={0: np.array([0, 2, 0, -1, 1], np.int32), 7: np.array([0, 0, 1, -1, 2], np.int32)},
        unreadable=(Unreadable("a/bad.png", "the file is empty"), Unreadable("b/ü\n.png", "not an image")),
        duplicates=(Pair("a/ä ö.png", "a/two\nlines.png", "near"), Pair("b/1.png", "a/3.png", "exact")))


def assert_equal(one: Manifest, other: Manifest):
    for name in TEXT:
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    assert one.rank.keys() == other.rank.keys()
    for seed, rank in one.rank.items():
        assert rank.dtype == other.rank[seed].dtype == np.int32
        assert rank.tolist() == other.rank[seed].tolist()
    assert one.unreadable == other.unreadable
    assert one.fingerprint == other.fingerprint


def test_labels_count_along_the_sorted_classes():
    manifest = small()
    assert len(manifest) == 5
    assert manifest.classes == ("a", "b")
    assert manifest.label_id.tolist() == [1, 0, 0, 1, 0]
    assert manifest.label_id.dtype == np.int32


def test_rows_of_a_split_and_samples_per_class():
    manifest = small()
    assert manifest.indices("train").tolist() == [0, 1, 2, 4]
    assert manifest.indices("test").tolist() == [3]
    assert manifest.indices("validation").tolist() == []
    assert manifest.counts() == {"a": 3, "b": 2}
    assert manifest.counts(manifest.indices("test")) == {"a": 0, "b": 1}


def test_images_per_class_are_the_first_in_the_seeds_draw():
    manifest = small()
    assert manifest.training_indices(1, 0).tolist() == [0, 2]
    assert manifest.training_indices(2, 0).tolist() == [0, 2, 4]
    assert manifest.training_indices(1, 7).tolist() == [0, 1]
    assert manifest.training_indices("all", 0).tolist() == [0, 1, 2, 4]


def test_what_is_written_reads_back_equal(tmp_path):
    small().write(tmp_path / "manifest.parquet")
    assert_equal(manifests.read(tmp_path / "manifest.parquet"), small())
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.parquet"]


def test_a_manifest_without_splits_reads_back_equal(tmp_path):
    bare = replace(small(), split=column(*[""] * 5), rank={}, unreadable=())
    bare.write(tmp_path / "manifest.parquet")
    assert_equal(manifests.read(tmp_path / "manifest.parquet"), bare)


def test_the_fingerprint_does_not_depend_on_row_order_or_split():
    manifest = small()
    order = [3, 1, 4, 0, 2]
    shuffled = replace(manifest, **{name: getattr(manifest, name)[order] for name in TEXT}, rank={}, unreadable=())
    assert shuffled.fingerprint == manifest.fingerprint
    assert replace(manifest, split=column(*["test"] * 5)).fingerprint == manifest.fingerprint


@pytest.mark.parametrize("name", ["sample_id", "label", "group", "digest"])
def test_the_fingerprint_changes_with_every_column_of_the_samples(name):
    manifest = small()
    changed = getattr(manifest, name).copy()
    changed[2] = changed[2] + "x"
    assert replace(manifest, **{name: changed}).fingerprint != manifest.fingerprint


def test_the_fingerprint_tells_where_one_text_ends_and_the_next_begins():
    manifest = small()
    moved = replace(manifest, label=column("bg", "a", "a", "b", "a"), group=column("1", "g2", "g2", "g3", "g4"))
    assert moved.label[0] + moved.group[0] == manifest.label[0] + manifest.group[0]
    assert moved.fingerprint != manifest.fingerprint


def alter(path, name, values):
    table = pq.read_table(path)
    place = table.column_names.index(name)
    pq.write_table(table.set_column(place, name, pa.array(values, table.column(name).type)), path)


@pytest.mark.parametrize("name", ["sample_id", "label", "group", "digest"])
def test_an_altered_column_is_refused(tmp_path, name):
    path = tmp_path / "manifest.parquet"
    small().write(path)
    alter(path, name, [*getattr(small(), name)[:-1].tolist(), "other"])
    with pytest.raises(ValueError, match=r"manifest.parquet must match its fingerprint"):
        manifests.read(path)


def test_a_sample_moved_to_another_split_is_refused(tmp_path):
    path = tmp_path / "manifest.parquet"
    small().write(path)
    alter(path, "split", ["train", "train", "test", "test", "train"])
    with pytest.raises(ValueError, match=r"manifest.parquet must match"):
        manifests.read(path)


def test_an_altered_draw_of_the_low_data_subsets_is_refused(tmp_path):
    path = tmp_path / "manifest.parquet"
    small().write(path)
    alter(path, "rank_7", [0, 2, 1, -1, 0])
    with pytest.raises(ValueError, match=r"manifest.parquet must match"):
        manifests.read(path)


def test_a_parquet_file_without_the_metadata_is_refused(tmp_path):
    path = tmp_path / "manifest.parquet"
    small().write(path)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(ValueError, match=r"manifest.parquet"):
        manifests.read(path)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "manifest.parquet"
    path.write_text("sample_id,label\n")
    with pytest.raises(ValueError, match=r"manifest.parquet"):
        manifests.read(path)


def test_every_changed_byte_is_refused_or_changes_nothing(tmp_path):
    path = tmp_path / "manifest.parquet"
    small().write(path)
    content = path.read_bytes()
    n_refused = 0
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1:])
        try:
            found = manifests.read(path)
        except ValueError:
            n_refused += 1
        else:
            assert_equal(found, small())
    assert n_refused > 100


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"found none at .*absent.parquet"):
        manifests.read(tmp_path / "absent.parquet")


def test_a_failed_write_keeps_the_file_that_was_there(tmp_path):
    path = tmp_path / "manifest.parquet"
    small().write(path)
    short = replace(small(), label=column("a"))
    with pytest.raises(ValueError):
        short.write(path)
    assert_equal(manifests.read(path), small())
