"""Another encoder's vectors: read whatever the column's type and order, and refused in one line where they are none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data import vectors
from core.errors import InputError, NotFound

IDS = np.array([f"photo_{number}.jpg" for number in range(7)], dtype=object)
VECTORS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
LABELS = np.array(list("aabbccc"), dtype=object)


def written(file: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), file)
    return file


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3),
                                  pa.list_(pa.float64()), pa.list_(pa.float64(), 3)])
def test_any_list_of_floats_in_any_order_among_other_rows_gives_the_same_vectors(tmp_path: Path, kind: pa.DataType) -> None:
    order = np.random.default_rng(1).permutation(7)
    path = written(tmp_path / "v.parquet", id=["other.jpg", *IDS[order]],
                   vector=pa.array([[9.0, 9.0, 9.0], *VECTORS[order].tolist()], kind))
    assert np.array_equal(vectors.of_samples(path, IDS, LABELS), VECTORS)


def test_half_precision_is_read_as_it_is(tmp_path: Path) -> None:
    half = VECTORS.astype(np.float16)
    values = pa.FixedSizeListArray.from_arrays(pa.array(half.ravel()), 3)
    path = written(tmp_path / "v.parquet", path=list(IDS), embedding=values)
    assert np.array_equal(vectors.of_samples(path, IDS), half.astype(np.float32))


def test_pandas_lists_in_many_row_groups_and_columns_of_any_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"which": IDS, "numbers": VECTORS.tolist(), "year": range(7)})
    frame.to_parquet(tmp_path / "v.parquet", row_group_size=2)
    assert np.array_equal(vectors.of_samples(tmp_path / "v.parquet", IDS), VECTORS)


def test_ids_that_are_whole_numbers_are_the_samples_of_that_name(tmp_path: Path) -> None:
    path = written(tmp_path / "v.parquet", id=list(range(7)), vector=VECTORS.tolist())
    assert np.array_equal(vectors.of_samples(path, np.array([str(number) for number in range(7)])), VECTORS)


def rows(**changes: object) -> dict[str, object]:
    return {"id": list(IDS), "vector": VECTORS.tolist(), **changes}


def ragged() -> list[list[float]]:
    return [*VECTORS[:6].tolist(), [1.0]]


def with_last(value: object) -> list:
    return [*VECTORS[:6].tolist(), value]


@pytest.mark.parametrize(("columns", "message"), [
    (rows(vector=ragged()), "must have vectors of one length, got 1 and 3 numbers"),
    (rows(vector=with_last([1.0, float("nan"), 0.0])), "got others for photo_6.jpg"),
    (rows(vector=with_last([1.0, float("inf"), 0.0])), "got others for photo_6.jpg"),
    (rows(vector=with_last([1.0, 1e300, 0.0])), "got others for photo_6.jpg"),
    (rows(vector=with_last([0.0, 0.0, 0.0])), "must have vectors that are not all zero, got zeros for photo_6.jpg"),
    (rows(vector=with_last(None)), "must have a vector in each row, got none in 1"),
    (rows(vector=with_last([1.0, None, 0.0])), "must have numbers in its vectors, got 1 empty place"),
    (rows(vector=pa.array([[]] * 7, pa.list_(pa.float32()))), "must have vectors of one length, got 0 numbers"),
    (rows(id=[*IDS[:6], IDS[0]]), "must have a vector for each of 7 samples, got none for photo_6.jpg"),
    ({"id": [*IDS, IDS[0]], "vector": [*VECTORS.tolist(), VECTORS[0].tolist()]},
     "must have each sample once, got more of photo_0.jpg"),
    (rows(id=["x"] * 7), "got none for photo_0.jpg, photo_1.jpg, photo_2.jpg, photo_3.jpg, photo_4.jpg and 2 more"),
    (rows(label=list("aabbccd")), "must have the dataset's label for each sample, got photo_6.jpg (d there, c here)"),
    ({"vector": VECTORS.tolist()}, "must have a column of ids"),
    ({"id": list(IDS)}, "must have a column of vectors"),
    (rows(vector=[[[1.0]]] * 7), "must have a column of vectors"),
    (rows(vector=[[1, 2]] * 7), "must have a column of vectors"),
])
def test_what_is_no_vector_for_each_sample_is_refused_in_one_line(tmp_path: Path, columns: dict, message: str) -> None:
    path = written(tmp_path / "v.parquet", **columns)
    with pytest.raises(InputError) as refusal:
        vectors.of_samples(path, IDS, LABELS)
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
    assert str(refusal.value).endswith("v.parquet")


def test_an_empty_table_a_text_a_cut_file_and_no_file_are_refused(tmp_path: Path) -> None:
    empty = written(tmp_path / "empty.parquet", id=pa.array([], pa.string()), vector=pa.array([], pa.list_(pa.float32())))
    (tmp_path / "text.parquet").write_text("id,vector\n")
    whole = written(tmp_path / "whole.parquet", **rows()).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:len(whole) // 2])
    for path in (empty, tmp_path / "text.parquet", tmp_path / "cut.parquet"):
        with pytest.raises(InputError, match="table of vectors must"):
            vectors.of_samples(path, IDS)
    with pytest.raises(NotFound, match="found none at"):
        vectors.of_samples(tmp_path / "none.parquet", IDS)
