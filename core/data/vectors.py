"""Another encoder's vectors: a Parquet file with a vector for each image, joined to a dataset's samples by their id.

Any tool may have written it. The vectors are a column of lists of floats; the ids are those of the samples.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.errors import Damaged, InputError, NotFound
from core.visible import printable, visible

_IDS = ("sample_id", "id", "path", "file_name", "filename", "image")
_VECTORS = ("embedding", "vector", "embeddings", "features", "emb")
_LABELS = ("label",)
_BATCH = 4096  # rows that are in memory at once
_N_NAMED, _MOST_SHOWN = 5, 80


def of_samples(path: Path, sample_id: np.ndarray, label: np.ndarray | None = None) -> np.ndarray:
    """The vectors of some samples; rows of others are passed over.

    Args:
        path: the Parquet file. Its ids are the column 'sample_id', 'id', 'path', 'file_name', 'filename' or 'image', or its
            only column of text; its vectors 'embedding', 'vector', 'embeddings', 'features' or 'emb', or its only column of
            lists.
        sample_id: the samples, shape (n,).
        label: their labels, shape (n,); compared with the file's column 'label' if it has one.

    Returns:
        Shape (n, D), float32, in the order of `sample_id`.

    Raises:
        NotFound: if there is no such file.
        InputError: if it is no Parquet file, lacks a sample, has one twice or under another label, or a vector is none.
    """
    if not path.is_file():
        raise NotFound(f"table of vectors must exist, found none at {printable(str(path))}")
    try:
        read = files.read(path, lambda file: _rows(file, sample_id, label), "a Parquet file")
    except Damaged as error:
        raise InputError(f"table of vectors {error.what}, got {printable(str(path))}") from None
    if isinstance(read, str):
        raise InputError(f"table of vectors must {read}, in {printable(str(path))}")
    return read


def _rows(path: Path, sample_id: np.ndarray, label: np.ndarray | None) -> np.ndarray | str:
    """The vectors in the order of the samples, or what the file must have and what it has."""
    with pq.ParquetFile(path) as file:
        columns = _columns(file.schema_arrow)
        if isinstance(columns, str):
            return columns
        row_of = {name: row for row, name in enumerate(map(str, sample_id.tolist()))}
        count = np.zeros(len(row_of), int)
        vectors: np.ndarray | None = None
        odd: list[str] = []
        for batch in file.iter_batches(_BATCH, columns=[name for name in columns if name]):
            rows = np.array([row_of.get(str(name), -1) for name in batch.column(columns[0]).to_pylist()])
            wanted = np.flatnonzero(rows >= 0)
            if not len(wanted):
                continue
            values = _matrix(batch.column(columns[1]).take(pa.array(wanted)))
            if isinstance(values, str):
                return values
            if vectors is None:
                vectors = np.zeros((len(row_of), values.shape[1]), np.float32)
            if values.shape[1] != vectors.shape[1]:
                return f"have vectors of one length, got {vectors.shape[1]} and {values.shape[1]} numbers"
            vectors[rows[wanted]] = values
            np.add.at(count, rows[wanted], 1)
            if label is not None and columns[2]:
                told = batch.column(columns[2]).take(pa.array(wanted)).to_pylist()
                odd += [f"{sample_id[row]} ({other} there, {label[row]} here)" for row, other in zip(rows[wanted], told)
                        if str(other) != str(label[row])]
    if odd:
        return f"have the dataset's label for each sample, got {_some(odd)}"
    if (missing := np.flatnonzero(count == 0)).size:
        return f"have a vector for each of {len(count):,} samples, got none for {_some(sample_id[missing].tolist())}"
    if (twice := np.flatnonzero(count > 1)).size:
        return f"have each sample once, got more of {_some(sample_id[twice].tolist())}"
    if vectors is None:
        return "have rows, got none"
    if (bad := np.flatnonzero(~np.isfinite(vectors).all(axis=1))).size:
        return f"have numbers that 32-bit floats can hold in its vectors, got others for {_some(sample_id[bad].tolist())}"
    if (zero := np.flatnonzero(~vectors.any(axis=1))).size:
        return f"have vectors that are not all zero, got zeros for {_some(sample_id[zero].tolist())}"
    return vectors


def _columns(schema: pa.Schema) -> tuple[str, str, str] | str:
    """The columns of ids and vectors, and of labels if there is one, else ''; or what is lacking."""
    lists = [field.name for field in schema if _is_vector(field.type)]
    texts = [field.name for field in schema if _is_text(field.type)]
    ids = _chosen(_IDS, [field.name for field in schema if _is_text(field.type) or pa.types.is_integer(field.type)], texts)
    vector = _chosen(_VECTORS, lists, lists)
    if not ids:
        return f"have a column of ids ({', '.join(_IDS)}), got {_names(schema)}"
    if not vector:
        return f"have a column of vectors ({', '.join(_VECTORS)}; lists of floats), got {_names(schema)}"
    return ids, vector, _chosen(_LABELS, texts, [])


def _chosen(names: Iterable[str], fitting: list[str], alone: list[str]) -> str:
    """The first of the usual names among the columns that fit, else the only one of its kind, else ''."""
    return next((name for name in names if name in fitting), alone[0] if len(alone) == 1 else "")


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_vector(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_floating(kind.value_type))


def _matrix(column: pa.Array) -> np.ndarray | str:
    """A column of lists as a matrix, float32; or what is wrong with it."""
    if column.null_count:
        return f"have a vector in each row, got none in {column.null_count:,}"
    lengths = np.unique(column.value_lengths().to_numpy())
    if len(lengths) != 1 or lengths[0] == 0:
        return f"have vectors of one length, got {' and '.join(str(length) for length in lengths[:_N_NAMED])} numbers"
    flat = column.flatten()
    if flat.null_count:
        return f"have numbers in its vectors, got {flat.null_count:,} empty places"
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as that
        return np.asarray(flat.to_numpy(zero_copy_only=False)).astype(np.float32).reshape(len(column), int(lengths[0]))


def _some(names: list[str]) -> str:
    shown = [visible(str(name), _MOST_SHOWN) for name in names[:_N_NAMED]]
    return ", ".join(shown) + (f" and {len(names) - _N_NAMED:,} more" if len(names) > _N_NAMED else "")


def _names(schema: pa.Schema) -> str:
    return _some(list(schema.names)) or "no column"
