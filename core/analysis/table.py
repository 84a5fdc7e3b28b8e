"""The embedding table: one row a sample, its vector, cluster and place in 2D, as Parquet that anything reads.

Writing is whole or not at all; reading checks that the content is what was written.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core import config as configuration
from core import files
from core.config import RunConfig
from core.errors import ConfigError, Damaged, InputError, NotFound
from core.files import Json
from core.visible import visible

_TEXT = ("sample_id", "path", "label", "split", "group")
ROLES = ("query", "gallery", "both", "neither")
_N_NAMED = 5  # samples that a refusal names
_MOST_SHOWN = 80  # characters of a name or value in a refusal
_NUMBERS = {"label_id": pa.int32(), "cluster": pa.int32(), "x": pa.float32(), "y": pa.float32()}


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """The space of one run, rows in the manifest's order.

    Attributes:
        sample_id, path, label, split, group: text, shape (n,).
        label_id: place of the label among the sorted classes, shape (n,), int32.
        cluster: K-means cluster, numbered as the class it was matched to, shape (n,), int32; -1 if none.
        x, y: stored 2D layout, shape (n,), float32; for looking at, never for a metric.
        embedding: vectors, shape (n, D), float32; of length 1 if `metadata['normalization']` is 'l2'.
        metadata: JSON values: config, encoder, checkpoint, fingerprint, readout, parameters, evaluation, versions. Of those
            that are read, `_metadata_fault` says what they must be.
        role: one of `ROLES`: whether a sample asks and is found where samples are retrieved, shape (n,), str. None: every
            sample does both; then the file has no such column.
    """

    sample_id: np.ndarray
    path: np.ndarray
    label: np.ndarray
    label_id: np.ndarray
    split: np.ndarray
    group: np.ndarray
    cluster: np.ndarray
    x: np.ndarray
    y: np.ndarray
    embedding: np.ndarray
    metadata: Json
    role: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sample_id)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; `label_id` counts along it."""
        return tuple(self.metadata["classes"])

    @property
    def config(self) -> RunConfig:
        """What its run was configured as."""
        return configuration.parse_run(self.metadata["config"])

    @property
    def layout(self) -> np.ndarray:
        """Stored 2D layout, shape (n, 2), float32."""
        return np.stack([self.x, self.y], axis=1)

    def rows(self, keep: np.ndarray) -> "EmbeddingTable":
        """Only the rows that a boolean mask or index array keeps."""
        columns = (*_TEXT, "label_id", "cluster", "x", "y", "embedding")
        role = None if self.role is None else self.role[keep]
        return replace(self, **{name: getattr(self, name)[keep] for name in columns}, role=role)

    def of_split(self, split: str) -> "EmbeddingTable":
        """Only the rows of one split."""
        return self.rows(self.split == split)


def shared_rows(tables: list[EmbeddingTable]) -> list[EmbeddingTable]:
    """The rows whose samples stand in every table, in the order of the first: the same sample in the same row of each.

    Raises:
        InputError: if the tables disagree on a shared sample's label; names some.
    """
    shared = set.intersection(*(set(table.sample_id.tolist()) for table in tables))
    order = [sample_id for sample_id in tables[0].sample_id.tolist() if sample_id in shared]
    places = [{sample_id: row for row, sample_id in enumerate(table.sample_id.tolist())} for table in tables]
    shared_tables = [table.rows(np.array([row_of[sample_id] for sample_id in order], dtype=np.int64))
                     for table, row_of in zip(tables, places)]
    for other in shared_tables[1:]:
        check_labels(shared_tables[0].sample_id, shared_tables[0].label, other.label)
    return shared_tables


def check_labels(sample_id: np.ndarray, label_a: np.ndarray, label_b: np.ndarray) -> None:
    """Refuses two spaces that know the same samples under different labels; all of shape (n,), row by row.

    Raises:
        InputError: if a label differs; names up to five samples.
    """
    odd = np.flatnonzero(np.asarray(label_a, str) != np.asarray(label_b, str))
    if len(odd):
        shown = [f"{sample_id[row]} ({label_a[row]} in A, {label_b[row]} in B)" for row in odd[:_N_NAMED]]
        raise InputError(f"spaces to compare must have the same label for the same sample, got {_and_more(shown, len(odd))}")


def check_groups(sample_id: np.ndarray, group_a: np.ndarray, group_b: np.ndarray) -> None:
    """Refuses two spaces that group the same samples differently; all of shape (n,), row by row. The groups' names may differ.

    What a sample may find, and what the bootstrap draws together, hangs on the groups.

    Raises:
        InputError: if a sample's group holds other samples; names up to five.
    """
    sizes = []
    for groups in (group_a, group_b, [f"{a}\0{b}" for a, b in zip(group_a, group_b)]):
        _, group_id, counts = np.unique(np.asarray(groups, str), return_inverse=True, return_counts=True)
        sizes.append(counts[group_id])
    odd = np.flatnonzero((sizes[0] != sizes[2]) | (sizes[1] != sizes[2]))
    if len(odd):
        shown = [f"{sample_id[row]} (with {sizes[0][row] - 1} others in A, {sizes[1][row] - 1} in B)"
                 for row in odd[:_N_NAMED]]
        raise InputError(f"spaces to compare must have the same groups of samples, got {_and_more(shown, len(odd))}")


def _and_more(shown: list[str], n: int) -> str:
    return ", ".join(shown) + (f" and {n - len(shown):,} more" if n > len(shown) else "")


def write(table: EmbeddingTable, path: Path) -> None:
    """Writes the table as zstd Parquet, whole or not at all.

    Raises:
        ValueError: if columns disagree in length or a vector is not finite.
    """
    if fault := _metadata_fault(table.metadata) or _fault(table):
        raise ValueError(f"{path} {fault}")
    width = table.embedding.shape[1]
    flat = pa.array(np.ascontiguousarray(table.embedding, np.float32).reshape(-1), pa.float32())
    arrow = pa.table({
        "sample_id": pa.array(table.sample_id.tolist(), pa.string()),
        "path": pa.array(table.path.tolist(), pa.string()),
        "label": pa.array(table.label.tolist(), pa.string()),
        "label_id": pa.array(table.label_id, pa.int32()),
        "split": pa.array(table.split.tolist(), pa.string()).dictionary_encode(),
        "group": pa.array(table.group.tolist(), pa.string()),
        "cluster": pa.array(table.cluster, pa.int32()),
        "x": pa.array(table.x, pa.float32()),
        "y": pa.array(table.y, pa.float32()),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, width),
        **({} if table.role is None else {"role": pa.array(table.role.tolist(), pa.string())}),
    })
    metadata = {**table.metadata, _CHECKSUM: _digest(table)}
    with files.replacing(path) as temporary:
        pq.write_table(arrow.replace_schema_metadata({"duet": json.dumps(metadata)}), temporary, compression="zstd")


def read(path: Path) -> EmbeddingTable:
    """Reads and verifies a table.

    Raises:
        NotFound: if there is none.
        Damaged: if it is not an embedding table, or is not the content that was written.
    """
    if not path.is_file():
        raise NotFound(f"embedding table must exist, found none at {path}")
    table, expected = files.read(path, _read, "an embedding table")
    if _digest(table) != expected:
        raise Damaged(path, "must match its checksum; it was changed after it was written")
    if fault := _fault(table):
        raise Damaged(path, fault)
    return table


def _read(path: Path) -> tuple[EmbeddingTable, str]:
    """What a file holds, and the checksum it was written with."""
    arrow = pq.read_table(path)
    metadata, expected = _metadata(arrow.schema, path)
    _check_schema(arrow.schema)
    text = {name: np.array(arrow[name].to_pylist(), dtype=object) for name in _TEXT}
    numbers = {name: arrow[name].to_numpy() for name in _NUMBERS}
    vectors = arrow["embedding"].combine_chunks()
    embedding = vectors.flatten().to_numpy().reshape(len(arrow), vectors.type.list_size)
    role = np.array(arrow["role"].to_pylist(), dtype=object) if "role" in arrow.column_names else None
    return EmbeddingTable(**text, **numbers, embedding=embedding, metadata=metadata, role=role), expected


def _metadata(schema: pa.Schema, path: Path) -> tuple[Json, str]:
    """What a file says of itself under 'duet', and the checksum it was written with."""
    text = (schema.metadata or {}).get(b"duet")
    if text is None:
        raise Damaged(path, "must be an embedding table that Duet wrote, got a Parquet file without its metadata 'duet'")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(path, f"must have a JSON object as its metadata 'duet', got text that is not JSON: {error}") from None
    if not isinstance(metadata, dict):
        raise Damaged(path, f"must have a JSON object as its metadata 'duet', got {type(metadata).__name__}")
    expected = metadata.pop(_CHECKSUM, "")
    if fault := _metadata_fault(metadata):
        raise Damaged(path, fault)
    if expected == "":
        raise Damaged(path, f"must have {_CHECKSUM!r} in its metadata, got none")
    if not isinstance(expected, str):
        raise Damaged(path, f"must have text as {_CHECKSUM!r} in its metadata, got {_shown(expected)}")
    return metadata, expected


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_each_once(value: object) -> bool:
    return isinstance(value, list) and _is_names(value) and len(set(value)) == len(value)


def _is_projection(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("method"), str)


def _is_evaluation(value: object) -> bool:
    metrics = value.get("metrics") if isinstance(value, dict) else None
    return isinstance(metrics, dict) and all(
        isinstance(item, dict) and all(isinstance(item.get(key), int | float) for key in ("mean", "low", "high"))
        for item in metrics.values())


_CHECKSUM = "content_sha256"  # beside the metadata: the file's own

# Key -> what it must be, and whether a value is that.
_KEYS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "config": ("a group of settings", lambda value: isinstance(value, dict)),
    "classes": ("a list of names, each once", _is_each_once),
    "encoder": ("a mapping", lambda value: isinstance(value, dict)),
    "fingerprint": ("text", lambda value: isinstance(value, str)),
    "normalization": ("'l2' or 'none'", lambda value: value in ("l2", "none")),
    "projection": ("a mapping with its method", _is_projection),
    "training_samples": ("a list of names, or null for all", lambda value: value is None or _is_names(value)),
    "evaluation": ("a mapping whose metrics have a mean, a low and a high each", _is_evaluation),
    "leaks": ("a list of names", _is_names),
}
_OPTIONAL = ("evaluation", "leaks")  # of a table of `embed`, or of an earlier version


def _metadata_fault(metadata: Json) -> str:
    """What is wrong with what a table says of itself, as 'must …, got …'; empty if nothing is."""
    for key, (must_be, is_that) in _KEYS.items():
        if key not in metadata and key not in _OPTIONAL:
            return f"must have {key!r} in its metadata, got none"
        if key in metadata and not is_that(metadata[key]):
            return f"must have {must_be} as {key!r} in its metadata, got {_shown(metadata[key])}"
    try:
        configuration.parse_run(metadata["config"])
    except (ConfigError, RecursionError) as error:
        if str(error).startswith("unknown key"):
            return f"was written by a newer Duet, or changed by hand: its config has an {error}"
        return f"must have a run's settings as 'config' in its metadata, got: {error}"
    return ""


def _shown(value: object) -> str:
    return visible(json.dumps(value), _MOST_SHOWN)


def read_header(path: Path) -> tuple[Json, int]:
    """What a table says of itself, without reading its rows: metadata and the number of dimensions D.

    Raises:
        NotFound: if there is none.
        Damaged: if it is not an embedding table.
    """
    if not path.is_file():
        raise NotFound(f"embedding table must exist, found none at {path}")
    return files.read(path, _read_header, "an embedding table")


def content_sha256(path: Path) -> str:
    """A table's own checksum, as its file says it: the same wherever it lies.

    Raises:
        NotFound: if there is none.
        Damaged: if it is not an embedding table.
    """
    return files.read(path, lambda file: _metadata(pq.read_schema(file), file)[1], "an embedding table")


def _read_header(path: Path) -> tuple[Json, int]:
    schema = pq.read_schema(path)
    _check_schema(schema)
    metadata, _ = _metadata(schema, path)
    return metadata, schema.field("embedding").type.list_size


def _fault(table: EmbeddingTable) -> str:
    """What is wrong with a table's rows, as 'must …, got …'; empty if nothing is."""
    lengths = {len(getattr(table, name)) for name in (*_TEXT, "label_id", "cluster", "x", "y", "embedding")}
    if len(lengths) != 1:
        return f"must have columns of one length, got {sorted(lengths)}"
    if fault := _text_fault(table) or _class_fault(table) or _role_fault(table):
        return fault
    if not np.isfinite(table.embedding).all():
        return "must have finite vectors, got NaN or infinity"
    if (n_ids := len(set(table.sample_id.tolist()))) != len(table):
        return f"must have each sample_id once, got {n_ids:,} in {len(table):,} rows"
    if table.metadata["normalization"] == "l2" and len(table):
        longest = np.abs(np.linalg.norm(table.embedding, axis=1) - 1).max()
        if longest > 1e-4:
            return f"must have vectors of length 1, got a deviation of {longest:.2g}"
    return ""


def _text_fault(table: EmbeddingTable) -> str:
    for name in _TEXT:
        if n_empty := sum(not isinstance(value, str) for value in getattr(table, name).tolist()):
            return f"must have text as {name!r} in each row, got none in {n_empty:,} of {len(table):,}"
    return ""


def _role_fault(table: EmbeddingTable) -> str:
    if table.role is not None and (odd := set(table.role.tolist()) - set(ROLES)):
        return f"must have {', '.join(ROLES)} as role, got {_shown(sorted(map(str, odd))[0])}"
    return ""


def _class_fault(table: EmbeddingTable) -> str:
    """What is wrong with its columns that count along its classes."""
    classes, n = table.classes, len(table.classes)
    named = np.array([*classes, None], dtype=object)[np.where((table.label_id >= 0) & (table.label_id < n), table.label_id, n)]
    if len(odd := np.flatnonzero(named != table.label)):
        shown = [f"{_named(table, row)} ({table.label_id[row]} for {visible(table.label[row], _MOST_SHOWN)})"
                 for row in odd[:_N_NAMED]]
        return f"must have label_id as each label's index among its {n} classes, got {_and_more(shown, len(odd))}"
    if len(odd := np.flatnonzero((table.cluster < -1) | (table.cluster >= n))):
        shown = [f"{_named(table, row)} ({table.cluster[row]})" for row in odd[:_N_NAMED]]
        return f"must have a place among its {n} classes as cluster, or -1 for none, got {_and_more(shown, len(odd))}"
    return ""


def _named(table: EmbeddingTable, row: int) -> str:
    return visible(table.sample_id[row], _MOST_SHOWN)


def _check_schema(schema: pa.Schema) -> None:
    if lacking := [name for name in (*_TEXT, *_NUMBERS, "embedding") if name not in schema.names]:
        raise TypeError(f"it has no column {', '.join(lacking)}")
    for name in _TEXT:
        kind = schema.field(name).type
        if not pa.types.is_string(kind.value_type if pa.types.is_dictionary(kind) else kind):
            raise TypeError(f"{name} must be text, got {kind}")
    for name, kind in _NUMBERS.items():
        if schema.field(name).type != kind:
            raise TypeError(f"{name} must be {kind}, got {schema.field(name).type}")
    kind = schema.field("embedding").type
    if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float32():
        raise TypeError(f"embedding must be a fixed-size list of float, got {kind}")


def _digest(table: EmbeddingTable) -> str:
    digest = hashlib.sha256(json.dumps(table.metadata, sort_keys=True).encode())
    for name in _TEXT:
        digest.update(json.dumps(getattr(table, name).tolist()).encode())
    for name in (*_NUMBERS, "embedding"):
        digest.update(np.ascontiguousarray(getattr(table, name)).tobytes())
    if table.role is not None:
        digest.update(json.dumps(table.role.tolist()).encode())
    return digest.hexdigest()
