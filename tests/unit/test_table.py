"""The embedding table: read back bit for bit, and refused when anything in it was changed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import main
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.errors import Damaged
from tests.conftest import said_of_itself

COLUMNS = ("sample_id", "path", "label", "label_id", "split", "group", "cluster", "x", "y", "embedding")


def column(*values):
    return np.array(values, dtype=object)


def small() -> EmbeddingTable:
    generator = np.random.default_rng(0)
    return EmbeddingTable(
        sample_id=column("a/1.png", "a/ä 漢.png", "b/two\nlines.png", "b/2.png"),
        path=column("/d/a/1.png", "/d/a/ä 漢.png", "/d/b/two\nlines.png", "/d/b/2.png"),
        label=column("a", "a", "b", "b"), label_id=np.array([0, 0, 1, 1], np.int32),
        split=column("train", "test", "test", "validation"), group=column("g1", "g2", "g3", "g3"),
        cluster=np.array([-1, 0, 1, -1], np.int32), x=np.array([0.1, -0.0, 1e-40, 3], np.float32),
        y=np.array([0.5, 1.5, 2.5, np.float32(1) / 3], np.float32),
        embedding=generator.normal(size=(4, 3)).astype(np.float32),
        metadata=said_of_itself(["a", "b"]) | {
            "evaluation": {"metrics": {"map_at_r": {"mean": 0.1 + 0.2, "low": 0.0, "high": 1}}}, "encoder": {"name": "ü"}})


@pytest.fixture
def path(tmp_path):
    tables.write(small(), tmp_path / "embeddings.parquet")
    return tmp_path / "embeddings.parquet"


def assert_same_bits(one: EmbeddingTable, other: EmbeddingTable):
    for name in COLUMNS:
        a, b = getattr(one, name), getattr(other, name)
        assert a.shape == b.shape, name
        if a.dtype == object:
            assert a.tolist() == b.tolist(), name
        else:
            assert a.dtype == b.dtype, name
            assert a.tobytes() == b.tobytes(), name


def test_what_is_written_reads_back_bit_for_bit(path):
    found = tables.read(path)
    assert_same_bits(found, small())
    assert {key: found.metadata[key] for key in small().metadata} == small().metadata
    assert [item.name for item in path.parent.iterdir()] == ["embeddings.parquet"]


def test_what_was_read_can_be_written_and_read_again(path, tmp_path):
    first = tables.read(path)
    tables.write(first, tmp_path / "again.parquet")
    again = tables.read(tmp_path / "again.parquet")
    assert_same_bits(again, small())
    assert again.metadata == first.metadata


@pytest.mark.parametrize("n", [1, 1000])
def test_any_number_of_rows_reads_back(tmp_path, n):
    rows = np.arange(n) % 4
    many = replace(small().rows(rows), sample_id=column(*(f"s{index}" for index in range(n))))
    tables.write(many, tmp_path / "many.parquet")
    assert_same_bits(tables.read(tmp_path / "many.parquet"), many)


def test_rows_may_be_written_from_a_selection_of_another_table(path, tmp_path):
    part = tables.read(path).of_split("test")
    tables.write(part, tmp_path / "part.parquet")
    assert_same_bits(tables.read(tmp_path / "part.parquet"), small().rows(np.array([1, 2])))


def test_the_schema_is_the_one_agreed(path):
    schema = pq.read_schema(path)
    assert tuple(schema.names) == COLUMNS
    types = {name: schema.field(name).type for name in COLUMNS}
    assert {types[name] for name in ("sample_id", "path", "label", "group")} == {pa.string()}
    assert types["label_id"] == types["cluster"] == pa.int32()
    assert types["x"] == types["y"] == pa.float32()
    assert pa.types.is_dictionary(types["split"])
    assert types["embedding"].list_size == 3
    assert types["embedding"].value_type == pa.float32()
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"
    assert json.loads(schema.metadata[b"duet"])["classes"] == ["a", "b"]


def test_pandas_reads_it(path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(path)
    assert frame["label"].tolist() == ["a", "a", "b", "b"]
    assert np.array_equal(np.stack(frame["embedding"].tolist()), small().embedding)


def test_rows_and_splits_are_selections_in_order():
    table = small()
    assert table.of_split("test").sample_id.tolist() == ["a/ä 漢.png", "b/two\nlines.png"]
    assert np.array_equal(table.of_split("test").embedding, table.embedding[1:3])
    assert table.rows(np.array([3, 0])).label_id.tolist() == [1, 0]
    assert len(table.rows(np.zeros(4, bool))) == 0
    assert table.classes == ("a", "b")
    assert table.layout.tolist() == [[float(x), float(y)] for x, y in zip(table.x, table.y)]


def alter(path, name, values, kind=None):
    arrow = pq.read_table(path)
    place = arrow.column_names.index(name)
    pq.write_table(arrow.set_column(place, name, pa.array(values, kind or arrow.column(name).type)), path)


@pytest.mark.parametrize("name, values", [
    ("sample_id", ["a/1.png", "a/ä 漢.png", "b/two\nlines.png", "b/3.png"]),
    ("path", ["/d/a/1.png", "/d/a/ä 漢.png", "/d/b/two\nlines.png", "/d/b/3.png"]),
    ("label", ["a", "a", "b", "a"]), ("label_id", [0, 0, 1, 0]), ("group", ["g1", "g2", "g3", "g4"]),
    ("cluster", [-1, 0, 0, -1]), ("x", np.array([0.1, 0.0, 1e-40, 3], np.float32)), ("y", [0.5, 1.5, 2.5, 0.25]),
    ("embedding", [[1.0, 0, 0]] * 4),
])
def test_an_altered_column_is_refused(path, name, values):
    alter(path, name, values)
    with pytest.raises(ValueError, match=r"embeddings.parquet must match its checksum"):
        tables.read(path)


def test_a_sample_moved_to_another_split_is_refused(path):
    alter(path, "split", ["train", "test", "test", "train"], pa.string())
    with pytest.raises(ValueError, match="must match its checksum"):
        tables.read(path)


def test_one_bit_of_one_vector_is_refused(path):
    vectors = small().embedding.copy()
    vectors.view(np.uint32)[2, 1] ^= 1
    alter(path, "embedding", vectors.tolist())
    with pytest.raises(ValueError, match="must match its checksum"):
        tables.read(path)


def test_exchanged_rows_are_refused(path):
    pq.write_table(pq.read_table(path).take([1, 0, 2, 3]), path)
    with pytest.raises(ValueError, match="must match its checksum"):
        tables.read(path)


def test_a_removed_row_is_refused(path):
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(ValueError, match="must match its checksum"):
        tables.read(path)


def test_text_that_moved_from_one_cell_to_the_next_is_refused(tmp_path):
    path = tmp_path / "embeddings.parquet"
    tables.write(replace(small(), group=column("a\nb", "c", "d", "e")), path)
    alter(path, "group", ["a", "b\nc", "d", "e"])
    with pytest.raises(ValueError, match="must match its checksum"):
        tables.read(path)


def test_text_that_moved_from_one_column_to_the_next_is_refused(path):
    alter(path, "sample_id", ["a/1.png", "a/ä 漢.png", "b/two\nlines.png", "b/2.pn"])
    alter(path, "path", ["g/d/a/1.png", "/d/a/ä 漢.png", "/d/b/two\nlines.png", "/d/b/2.png"])
    with pytest.raises(ValueError, match="must match its checksum"):
        tables.read(path)


@pytest.mark.parametrize("key, value", [("evaluation", {"metrics": {}}), ("classes", ["b", "a"])])
def test_altered_metadata_is_refused(path, key, value):
    arrow = pq.read_table(path)
    metadata = json.loads(arrow.schema.metadata[b"duet"]) | {key: value}
    pq.write_table(arrow.replace_schema_metadata({"duet": json.dumps(metadata)}), path)
    with pytest.raises(ValueError, match="must match its checksum"):
        tables.read(path)


@pytest.mark.parametrize("metadata", [None, {"other": "{}"}, {"duet": "{"}, {"duet": "[]"}, {"duet": "3"},
                                      {"duet": "{}"}])
def test_a_table_without_its_metadata_is_refused(path, metadata):
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    with pytest.raises(ValueError, match=r"embeddings.parquet must "):
        tables.read(path)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_missing_column_is_refused(path, name):
    pq.write_table(pq.read_table(path).drop_columns([name]), path)
    with pytest.raises(ValueError, match=r"embeddings.parquet must be an embedding table"):
        tables.read(path)


@pytest.mark.parametrize("name, values, kind", [
    ("embedding", [[1.0, 2.0]] * 4, pa.list_(pa.float32())),
    ("embedding", [None, [1.0, 2, 3], [1.0, 2, 3], [1.0, 2, 3]], pa.list_(pa.float32(), 3)),
    ("embedding", [1.0, 2.0, 3.0, 4.0], pa.float32()),
    ("sample_id", [None, "b", "c", "d"], pa.string()),
    ("sample_id", [1, 2, 3, 4], pa.int64()),
    ("x", [None, 1.0, 2.0, 3.0], pa.float32()),
    ("label_id", ["a", "b", "c", "d"], pa.string()),
])
def test_a_column_of_another_kind_is_refused_by_the_path(path, name, values, kind):
    alter(path, name, values, kind)
    with pytest.raises(ValueError, match=r"embeddings.parquet must "):
        tables.read(path)


def test_every_changed_byte_is_refused_or_changes_nothing(path):
    content = path.read_bytes()
    n_refused = 0
    for place in range(0, len(content), 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1:])
        try:
            found = tables.read(path)
        except ValueError:
            n_refused += 1
        else:
            assert_same_bits(found, small())
    assert n_refused > 100


def test_a_table_cut_short_is_refused(path):
    content = path.read_bytes()
    for length in (0, 3, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"embeddings.parquet must be an embedding table"):
            tables.read(path)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"embedding table must exist, found none at .*absent.parquet"):
        tables.read(tmp_path / "absent.parquet")


@pytest.mark.parametrize("changes, message", [
    ({"x": np.zeros(3, np.float32)}, r"must have columns of one length, got \[3, 4\]"),
    ({"embedding": np.full((4, 3), np.nan, np.float32)}, "must have finite vectors, got NaN or infinity"),
    ({"embedding": np.full((4, 3), np.inf, np.float32)}, "must have finite vectors, got NaN or infinity"),
    ({"sample_id": np.array(["a", "b", "a", "c"], dtype=object)}, "must have each sample_id once, got 3 in 4 rows"),
    ({"metadata": small().metadata | {"normalization": "l2"}}, "must have vectors of length 1, got a deviation of"),
])
def test_a_bad_table_is_not_written_and_the_old_one_stays(path, changes, message):
    with pytest.raises(ValueError, match=message):
        tables.write(replace(small(), **changes), path)
    assert_same_bits(tables.read(path), small())
    assert [item.name for item in path.parent.iterdir()] == ["embeddings.parquet"]


def test_vectors_said_to_be_of_length_one_may_be(tmp_path):
    vectors = small().embedding / np.linalg.norm(small().embedding, axis=1, keepdims=True)
    unit = replace(small(), embedding=vectors, metadata=small().metadata | {"normalization": "l2"})
    tables.write(unit, tmp_path / "unit.parquet")
    assert_same_bits(tables.read(tmp_path / "unit.parquet"), unit)


def write_as_another_program(table: EmbeddingTable, path: Path, checksum: bool = True) -> None:
    """A table with whatever it holds, and a checksum that is right."""
    text = ("sample_id", "path", "label", "split", "group")
    arrow = pa.table({name: pa.array(getattr(table, name).tolist()) for name in text})
    for name in ("label_id", "cluster", "x", "y"):
        arrow = arrow.append_column(name, pa.array(getattr(table, name)))
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(table.embedding.reshape(-1), pa.float32()), table.embedding.shape[1])
    metadata = {**table.metadata, **({"content_sha256": tables._digest(table)} if checksum else {})}
    pq.write_table(arrow.append_column("embedding", vectors).replace_schema_metadata({"duet": json.dumps(metadata)}), path)


@pytest.mark.parametrize("changes, message", [
    ({"embedding": np.full((4, 3), np.nan, np.float32)}, "must have finite vectors, got NaN or infinity"),
    ({"label": column("a", None, "b", "b")}, "must have text as 'label' in each row, got none in 1 of 4"),
    ({"label_id": np.array([0, 1, 1, 0], np.int32)},
     r"must have label_id as each label's index among its 2 classes, got a/ä 漢.png \(1 for a\), b/2.png \(0 for b\)"),
    ({"label_id": np.array([0, 0, 7, -1], np.int32)}, r"got b/two\\nlines.png \(7 for b\), b/2.png \(-1 for b\)$"),
    ({"cluster": np.array([-1, 2, 1, -2], np.int32)},
     r"must have a place among its 2 classes as cluster, or -1 for none, got a/ä 漢.png \(2\), b/2.png \(-2\)"),
    ({"sample_id": np.array(["a", "b", "a", "c"], dtype=object)}, "must have each sample_id once, got 3 in 4 rows"),
    ({"metadata": small().metadata | {"normalization": "l2"},
      "embedding": np.full((4, 3), 2, np.float32)}, "must have vectors of length 1"),
])
def test_a_table_of_another_program_that_fails_verification_is_damaged(path, changes, message):
    write_as_another_program(replace(small(), **changes), path)
    with pytest.raises(Damaged, match=message) as caught:
        tables.read(path)
    assert caught.value.path == path


@pytest.mark.parametrize("reader", [tables.read, tables.read_header])
@pytest.mark.parametrize("metadata, message", [
    (None, "got a Parquet file without its metadata 'duet'"),
    ({"duet": "[]"}, "must have a JSON object as its metadata 'duet', got list"),
])
def test_a_table_made_by_hand_is_told_what_it_lacks(path, reader, metadata, message):
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    with pytest.raises(Damaged, match=message):
        reader(path)


SETTINGS = small().metadata["config"]
LACKS = object()  # stands for: without the key


@pytest.mark.parametrize("reader", [tables.read, tables.read_header, tables.content_sha256])
@pytest.mark.parametrize("key, value, message", [
    ("config", LACKS, "must have 'config' in its metadata, got none"),
    ("config", None, "must have a group of settings as 'config' in its metadata, got null"),
    ("config", {}, "must have a run's settings as 'config' in its metadata, got: experiment must be given"),
    ("config", SETTINGS | {"evaluation": SETTINGS["evaluation"] | {"neighbors": "x"}},
     "must have a run's settings as 'config' in its metadata, got: evaluation.neighbors must be a whole number"),
    ("config", SETTINGS | {"evaluation": SETTINGS["evaluation"] | {"kmeans_seeds": 0}},
     "got: evaluation.kmeans_seeds must be"),
    ("classes", "ab", "must have a list of names, each once as 'classes' in its metadata, got \"ab\""),
    ("classes", ["a", "a"], "must have a list of names, each once"), ("classes", LACKS, "must have 'classes'"),
    ("encoder", [], r"must have a mapping as 'encoder' in its metadata, got \[\]"), ("encoder", LACKS, "must have 'encoder'"),
    ("fingerprint", None, "must have text as 'fingerprint' in its metadata, got null"),
    ("fingerprint", LACKS, "must have 'fingerprint'"),
    ("training_samples", "abc", "must have a list of names, or null for all as 'training_samples' in its metadata"),
    ("training_samples", [3], "must have a list of names"), ("training_samples", LACKS, "must have 'training_samples'"),
    ("normalization", 5, "must have 'l2' or 'none' as 'normalization'"), ("normalization", LACKS, "must have 'normalization'"),
    ("projection", "pca", "must have a mapping with its method as 'projection'"),
    ("evaluation", {"metrics": {"map_at_r": 0.5}}, "must have a mapping whose metrics have a mean, a low and a high each as"),
    ("leaks", "yes", "must have a list of names as 'leaks'"),
])
def test_metadata_that_is_missing_or_no_such_thing_is_said_with_its_key(path, reader, key, value, message):
    metadata = small().metadata | {key: value}
    if value is LACKS:
        del metadata[key]
    write_as_another_program(replace(small(), metadata=metadata), path)
    with pytest.raises(Damaged, match=message) as caught:
        reader(path)
    assert caught.value.path == path and str(caught.value).isprintable()


@pytest.mark.parametrize("reader", [tables.read, tables.read_header, tables.content_sha256])
def test_a_table_without_its_checksum_is_refused(path, reader):
    write_as_another_program(small(), path, checksum=False)
    with pytest.raises(Damaged, match="must have 'content_sha256' in its metadata, got none"):
        reader(path)


def test_a_table_without_metadata_that_reading_needs_is_not_written(path):
    with pytest.raises(ValueError, match="must have 'config' in its metadata, got none"):
        tables.write(replace(small(), metadata={"classes": ["a", "b"]}), path)
    assert_same_bits(tables.read(path), small())


@pytest.mark.parametrize("changes, message", [
    ({"config": None}, "must have a group of settings as 'config' in its metadata, got null"),
    ({"encoder": []}, "must have a mapping as 'encoder' in its metadata, got []"),
    ({"training_samples": ["abc"]}, "must be a space that can be scored, got: a space to score must have test and training"),
])
def test_compare_says_of_a_damaged_table_its_file_and_what_is_wrong(tmp_path, capsys, changes, message):
    path = tmp_path / "odd.parquet"
    write_as_another_program(replace(small(), split=column("train", "test", "test", "test"),
                                     metadata=small().metadata | changes), path)
    assert main.main(["compare", str(path), str(path), "--checkpoints", str(tmp_path)]) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path} {message}") and len(said.splitlines()) == 1
