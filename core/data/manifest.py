"""The table of samples: who is in the dataset, in which split, and in which low-data subset.

A manifest is made by `core.data.sources`, given its splits by `core.data.split`, and never changed after that.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.data import levels
from core.data.duplicates import Pair
from core.data.levels import Levels
from core.errors import Damaged, NotFound

SPLITS = ("train", "validation", "test")
OPEN = "open"  # the split of held-out classes: never trained on, retrieved among each other
LEFT_OUT = "none"  # the split of a sample that no split may hold
_TEXT = ("sample_id", "label", "group", "digest", "picture", "official", "split")
_OF_ASKING = ("role", "camera")  # columns that most datasets do not have


@dataclass(frozen=True)
class Unreadable:
    """A file, or a folder of files, that might have held a sample and is left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Manifest:
    """Samples of one dataset, one row each, all columns of length n.

    Attributes:
        sample_id: path relative to the dataset root, POSIX, unique; shape (n,), str.
        label: class name; shape (n,), str.
        group: samples that must stay on one side of a split; shape (n,), str.
        digest: SHA-256 of the sample's bytes; shape (n,), str.
        picture: samples that show the same picture, exactly or nearly, have the same; shape (n,), str.
        official: the split the source itself gives, or '' where it gives none; shape (n,), str.
        split: 'train', 'validation' or 'test', 'open' for classes that are held out, '' before a split is made, 'none' for
            a sample that is left out because its group or picture stands on the other side; shape (n,), str.
        rank: seed -> place of the sample in its class's draw, shape (n,), int32; -1 outside the training split.
            Images per class k means the samples with 0 ≤ rank < k, so the subsets are nested.
        unreadable: files left out, with reasons.
        duplicates: pairs of the same picture.
        remarks: sentences on how the source was read.
        other_files: ending -> number of files with it that are no images.
        without_images: folders in which no image lies.
        small_classes: classes left out for having too few images -> how many.
        levels: what is black and what is white in files of more than 8 bits.
        role: whether a sample asks and is found where samples are retrieved: 'query', 'gallery', 'both' or 'neither'; shape
            (n,), str. None: every sample does both.
        camera: what took it, '' where that is not known; shape (n,), str. Samples of one class and one camera do not find
            each other. None: not known of any.
    """

    sample_id: np.ndarray
    label: np.ndarray
    group: np.ndarray
    digest: np.ndarray
    picture: np.ndarray
    official: np.ndarray
    split: np.ndarray
    rank: dict[int, np.ndarray] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    duplicates: tuple[Pair, ...] = ()
    remarks: tuple[str, ...] = ()
    other_files: dict[str, int] = field(default_factory=dict)
    without_images: tuple[str, ...] = ()
    small_classes: dict[str, int] = field(default_factory=dict)
    levels: Levels = field(default_factory=Levels)
    role: np.ndarray | None = None
    camera: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sample_id)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names in sorted order; `label_id` counts along it."""
        return tuple(sorted(set(self.label.tolist())))

    @cached_property
    def label_id(self) -> np.ndarray:
        """Index of each sample's label in `classes`; shape (n,), int32."""
        index_of = {name: index for index, name in enumerate(self.classes)}
        return np.array([index_of[name] for name in self.label.tolist()], dtype=np.int32)

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of the samples' names, labels, groups and bytes; a split does not change it."""
        digest = hashlib.sha256()
        for row in sorted(zip(self.sample_id.tolist(), self.label.tolist(), self.group.tolist(), self.digest.tolist(),
                              *(column.tolist() for column in self._asking().values()))):
            digest.update("\0".join(row).encode() + b"\n")
        return digest.hexdigest()[:16]

    @cached_property
    def row_key(self) -> str:
        """Names the samples and their order, for what is stored row by row: the fingerprint where they are sorted by
        sample_id, as of every source but a table."""
        ids = self.sample_id.tolist()
        if ids == sorted(ids):
            return self.fingerprint
        return f"{self.fingerprint}-{hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]}"

    @cached_property
    def conflicts(self) -> tuple[Pair, ...]:
        """Pairs of the same picture under two labels."""
        label = dict(zip(self.sample_id.tolist(), self.label.tolist()))
        return tuple(pair for pair in self.duplicates if label[pair.a] != label[pair.b])

    @cached_property
    def closed_classes(self) -> tuple[str, ...]:
        """Classes that are trained on: all but those held out; sorted."""
        held_out = set(self.label[self.split == OPEN].tolist())
        return tuple(name for name in self.classes if name not in held_out)

    def indices(self, split: str) -> np.ndarray:
        """Rows of one split, in order; shape (m,), int64."""
        return np.flatnonzero(self.split == split)

    def training_indices(self, images_per_class: int | str, seed: int) -> np.ndarray:
        """Rows a run may train on: the training split, or its first `images_per_class` per class; shape (m,), int64."""
        rank = self.rank[seed]
        limit = np.iinfo(np.int32).max if images_per_class == "all" else int(images_per_class)
        return np.flatnonzero((rank >= 0) & (rank < limit))

    def leaky_pool(self, rows: np.ndarray) -> np.ndarray:
        """The rows of a run's training, and all of validation and test: what the study's sampler drew from; (m,), int64."""
        return np.union1d(rows, np.flatnonzero(np.isin(self.split.astype(str), SPLITS[1:])))

    def closed_counts(self, rows: np.ndarray) -> dict[str, int]:
        """Samples per class among the rows given, every class listed that is not held out."""
        counts = self.counts(rows)
        return {name: counts[name] for name in self.closed_classes}

    def class_counts(self, rows: np.ndarray) -> np.ndarray:
        """The same, in the order of `closed_classes`; shape (K,), int64."""
        return np.array(list(self.closed_counts(rows).values()), dtype=np.int64)

    def counts(self, rows: np.ndarray | None = None) -> dict[str, int]:
        """Samples per class, every class listed, over all rows or those given."""
        labels = self.label if rows is None else self.label[rows]
        n_samples = Counter(labels.tolist())
        return {name: n_samples.get(name, 0) for name in self.classes}

    def _asking(self) -> dict[str, np.ndarray]:
        """The columns on who asks whom that there are."""
        return {name: column for name in _OF_ASKING if (column := getattr(self, name)) is not None}

    def write(self, path: Path) -> None:
        """Writes the manifest as Parquet, whole or not at all."""
        columns: dict[str, pa.Array] = {
            name: pa.array(getattr(self, name).tolist(), pa.string())
            for name in (*_TEXT, *self._asking())
        }
        columns |= {f"rank_{seed}": pa.array(rank, pa.int32()) for seed, rank in self.rank.items()}
        meta = {"fingerprint": self.fingerprint, "content_sha256": self._content_digest(), **self._lists(),
                "levels": self.levels.to_json()}
        table = pa.table(columns).replace_schema_metadata({"duet": json.dumps(meta)})
        with files.replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def _lists(self) -> dict[str, list | dict]:
        """What is no column; what manifests of earlier versions did not hold only where there is some, so that their digests
        hold."""
        later = {"remarks": list(self.remarks), "other_files": self.other_files, "without_images": list(self.without_images),
                 "small_classes": self.small_classes, "levels": self.levels.to_json()}
        return {"unreadable": [[item.path, item.reason] for item in self.unreadable],
                "duplicates": [[pair.a, pair.b, pair.kind] for pair in self.duplicates],
                **{name: values for name, values in later.items() if values}}

    def _content_digest(self) -> str:
        """Hash of everything the manifest holds, splits and ranks too."""
        content = [[getattr(self, name).tolist() for name in (*_TEXT, *self._asking())],
                   {str(seed): rank.tolist() for seed, rank in self.rank.items()}, self._lists()]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_levels(path: Path) -> Levels:
    """The levels of a manifest that may be large.

    Raises:
        NotFound, Damaged: as `read`.
    """
    if not path.is_file():
        raise NotFound(f"manifest must exist, found none at {path}")
    return files.read(path, _levels, "a manifest")


def _levels(path: Path) -> Levels:
    return levels.from_json(json.loads(pq.read_schema(path).metadata[b"duet"]).get("levels"))


def read(path: Path) -> Manifest:
    """Reads a manifest back.

    Raises:
        NotFound: if there is none.
        Damaged: if it is no manifest, or its content is not what was written.
    """
    if not path.is_file():
        raise NotFound(f"manifest must exist, found none at {path}")
    manifest, expected = files.read(path, _read, "a manifest")
    if (manifest.fingerprint, manifest._content_digest()) != expected:
        raise Damaged(path, f"must match its fingerprint {expected[0]}; it was changed after it was written")
    return manifest


def _read(path: Path) -> tuple[Manifest, tuple[str, str]]:
    """What a file holds, and the fingerprint and checksum it was written with."""
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[b"duet"])
    text = {name: np.array(table[name].to_pylist(), dtype=object) for name in (*_TEXT, *_OF_ASKING)
            if name in _TEXT or name in table.column_names}
    rank = {int(name.removeprefix("rank_")): table[name].to_numpy()
            for name in table.column_names if name.startswith("rank_")}
    manifest = Manifest(**text, rank=rank, unreadable=tuple(Unreadable(*item) for item in meta["unreadable"]),
                        duplicates=tuple(Pair(*item) for item in meta["duplicates"]),
                        remarks=tuple(meta.get("remarks", ())), other_files=meta.get("other_files", {}),
                        without_images=tuple(meta.get("without_images", ())), small_classes=meta.get("small_classes", {}),
                        levels=levels.from_json(meta.get("levels")))
    manifest.fingerprint, manifest._content_digest()  # what they stumble over is damage too
    return manifest, (meta["fingerprint"], meta["content_sha256"])
