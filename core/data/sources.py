"""Datasets to manifests: digits, a folder of class folders, a table, Oxford-IIIT Pet, DeFungi.

A source says which files there are, with their labels, groups and official splits; reading them, finding copies and
splitting are others' work. A file that cannot be read is named and left out, never replaced by another sample.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache as remember
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from PIL import Image

from core import group_pattern
from core.config import DatasetConfig
from core.data import alike, columns, duplicates, folders, listing, reading, tables
from core.data import levels as level_ranges
from core.data import scan as scanner
from core.data.folders import Contents, Entry
from core.data.levels import Levels
from core.data.listing import shown
from core.data.manifest import Manifest, Unreadable
from core.data.scan import Progress
from core.errors import InputError, NotFound

PETS_ADDRESS = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
DEFUNGI_ADDRESS = "https://archive.ics.uci.edu/dataset/773/defungi"
_TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # names that a table beside its images usually has
DEFUNGI_GROUP = r"([^/]*)_[^_/]*$"  # CLASS_PHOTO_CROP.jpg: the photograph is the name up to the last underscore


class Source(Protocol):
    """Where images come from: scanned once into a manifest, then read sample by sample.

    Attributes:
        root: folder that sample ids start from; None where images are no files.
        image: one sample as an RGB image, upright, by its sample_id, its digest and the dataset's levels; refused with a
            ValueError if its bytes are not those of the digest. Of files, one that another process can be handed.
    """

    @property
    def root(self) -> Path | None: ...

    @property
    def image(self) -> reading.Reader: ...

    def scan(self, progress: Progress | None = None, cache: Path | None = None, reread: bool = False) -> Manifest:
        """All samples, without a split. `progress(done, total)` is called as files are read; what was read is kept in the
        folder `cache`, and read again with `reread`."""

    def state(self) -> str:
        """A hash that changes when files are added, removed or changed, as far as that shows without opening images."""


def open_source(config: DatasetConfig, levels: Levels | None = None) -> Source:
    """The source a dataset config names.

    Args:
        config: the dataset.
        levels: what a scan of it found of files of more than 8 bits; None before one.

    Raises:
        NotFound: if its folder or table is missing, with the way to get it.
    """
    if config.source == "digits":
        return Digits()
    return _files(config, levels)


def _files(config: DatasetConfig, levels: Levels | None) -> "Files":
    assert config.root is not None and config.source != "digits", "the config asks for a root where there are files"
    root = Path(config.root)
    match config.source:
        case "folder":
            if not root.is_dir():
                raise NotFound(f"dataset.root must be a folder of class folders, found none at {root}")
            return Files(root, lambda: folders.read(root, config.classes), config, levels, lambda: listing.state(root))
        case "table":
            if not root.is_file():
                inside = next((name for name in _TABLES if (root / name).is_file()), "")
                raise NotFound(f"dataset.root must be a CSV or Parquet file, found none at {root}"
                               + (f"; {root / inside} is one" if inside else ""))
            return Files(root.parent, lambda: table_contents(root, config), config, levels)
        case "oxford_pet":
            if not has_pets(root):
                raise NotFound(
                    f"dataset.root must hold the folders images and annotations of Oxford-IIIT Pet, found none at {root}; "
                    f"download images.tar.gz and annotations.tar.gz (800 MB) from {PETS_ADDRESS} and unpack both into "
                    f"{root}, or add --set dataset.download=true")
            return Files(root, lambda: Contents(pet_entries(root)), config, levels)
        case "defungi":
            if not root.is_dir():
                raise NotFound(f"dataset.root must hold DeFungi's class folders H1, H2, H3, H5 and H6, found none at "
                               f"{root}; download defungi.zip from {DEFUNGI_ADDRESS} and unpack it into {root}")
            return Files(root, lambda: folders.read(root, "top"), config, levels, lambda: listing.state(root), DEFUNGI_GROUP)


def has_pets(root: Path) -> bool:
    """Whether both folders of Oxford-IIIT Pet's official layout lie there."""
    return all((root / name).is_dir() for name in ("images", "annotations"))


class Digits:
    """scikit-learn's 1,797 handwritten digits, 8 × 8 grey levels, 10 classes (Alpaydin & Kaynak, 1998, UCI)."""

    root: Path | None = None

    def state(self) -> str:
        return ""

    def scan(self, progress: Progress | None = None, cache: Path | None = None, reread: bool = False) -> Manifest:
        _, labels = _digits()
        ids = [f"{label}/{index:04d}" for index, label in enumerate(labels)]
        entries = [Entry(name, str(label), name) for name, label in zip(ids, labels)]
        digests = {name: hashlib.sha256(_digit(name).tobytes()).hexdigest() for name in ids}
        return _manifest(entries, list(digests.values()), (), duplicates.exact(digests))

    def image(self, sample_id: str, digest: str | None = None, levels: Levels | None = None) -> Image.Image:
        return Image.fromarray(_digit(sample_id)).convert("RGB")


@remember
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # 1 s to import: only when the digits are asked for

    digits = load_digits()
    levels = np.round(digits.images * (255 / 16)).astype(np.uint8)  # 8-bit grey from the set's 0..16
    return levels, digits.target


def _digit(sample_id: str) -> np.ndarray:
    return _digits()[0][int(sample_id.partition("/")[2])]


class Files:
    """Image files below a folder.

    Args:
        root: folder the paths start from.
        contents: lists the files.
        config: names the dataset; its `group_by`, `min_per_class` and `max_per_class` apply.
        levels: the range of files of more than 8 bits; None before a scan.
        state: a hash of all files' paths, sizes and times below the root; None takes the listed files alone.
        group_by: regular expression for the groups, where the config gives none.
    """

    def __init__(self, root: Path, contents: Callable[[], Contents], config: DatasetConfig,
                 levels: Levels | None = None, state: Callable[[], str] | None = None, group_by: str | None = None) -> None:
        self.root = root
        self.image = partial(reading.image, root, levels=levels)
        self._contents = contents
        self._is_table = config.source == "table"
        self._setting = config.levels
        self._state = state
        group_by = config.group_by or group_by
        self._group_by = group_pattern.compiled(group_by) if group_by else None
        self._min_per_class, self._max_per_class = config.min_per_class, config.max_per_class

    def state(self) -> str:
        if self._state:
            return self._state()
        digest = hashlib.sha256()
        contents = self._contents()
        digest.update("\n".join(contents.remarks).encode(errors="surrogateescape"))
        for entry in contents.entries:
            text = f"{entry}\0{listing.stamp(self.root / entry.path)}\n"
            digest.update(text.encode(errors="surrogateescape"))
        return digest.hexdigest()

    def scan(self, progress: Progress | None = None, cache: Path | None = None, reread: bool = False) -> Manifest:
        """Reads every image once, or what a scan kept of it.

        Raises:
            InputError: if there are no images, fewer than two classes that are large enough, or a path that `group_by` does
                not match in time.
            OSError: if what was found cannot be kept.
        """
        contents = self._contents()
        entries = contents.entries
        if not entries:
            raise InputError("dataset.root must be a table of images, found no images in it" if self._is_table else
                             f"dataset.root must hold one folder of images per class, found no images in {self.root}")
        seen = scanner.scan(self.root, [entry.path for entry in entries], cache, progress, reread, self._setting)
        reaches = scanner.reaches(seen)
        ranges = level_ranges.measured(reaches, self._setting)
        unreadable = tuple(Unreadable(shown(path), item.reason) for path, item in seen.items() if item.reason)
        readable = [entry for entry in entries if not seen[entry.path].reason]
        labels = sorted({entry.label for entry in readable})
        if len(labels) < 2 and self._is_table:
            raise InputError(_too_few_classes(labels, unreadable, len(entries)))
        if len(labels) < 2:
            raise InputError(f"dataset.root must hold at least two class folders with images, "
                             f"found {', '.join(labels) or 'none readable'} in {self.root}")
        alike_classes = alike.sentences("Classes", (entry.label for entry in readable))  # before small ones are left out
        readable, small = _large_enough(readable, self._min_per_class)
        if self._group_by:
            readable = [replace(entry, group=group_pattern.group(self._group_by, entry.path)) for entry in readable]
        if self._max_per_class:
            readable = _at_most(readable, self._max_per_class)
        seen_of = {entry.path: seen[entry.path] for entry in readable}
        manifest = _manifest(readable, [item.digest for item in seen_of.values()], (*unreadable, *contents.left_out),
                             duplicates.find(seen_of))
        alike_names = (*alike_classes,
                       *alike.sentences("Groups", (entry.group for entry in readable if entry.group != entry.path)))
        remarks = (*contents.remarks, *alike_names, *level_ranges.sentences(ranges, reaches, self._setting))
        return replace(manifest, remarks=remarks, levels=ranges, other_files=contents.other_files,
                       without_images=contents.without_images, small_classes=small)


def table_contents(path: Path, config: DatasetConfig) -> Contents:
    """Images named by a table with the columns `path`, `label`, and optional `group`, `split`, `is_query`, `is_gallery` and
    `camera`, or those that are chosen.

    Paths are relative to the table's folder.

    Raises:
        InputError: if it is no such table, as `columns.interpret`.
    """
    chosen = {str(role): name for role, name in config.columns.items()}
    listed = columns.interpret(tables.read(path), chosen, config.ignore_columns)
    entries = [Entry(PurePosixPath(row.path).as_posix(), row.label, row.group or PurePosixPath(row.path).as_posix(), row.split,
                     row.role, row.camera)
               for row in listed.rows]
    return Contents(entries, listed.remarks)


def pet_entries(root: Path) -> list[Entry]:
    """Oxford-IIIT Pet's listed images with its official split (Parkhi et al., CVPR 2012); the breed is the label.

    Raises:
        NotFound: if a list of the annotations is missing.
        InputError: if it cannot be understood.
    """
    entries = []
    for file, official in (("trainval.txt", "train"), ("test.txt", "test")):
        path = root / "annotations" / file
        if not path.is_file():
            raise NotFound(f"dataset.root must hold annotations/{file}, found none at {path}; unpack "
                                    f"annotations.tar.gz from {PETS_ADDRESS} into {root}")
        for line in path.read_text(encoding="utf-8").splitlines():
            name = line.split(" ")[0]
            if not name or name.startswith("#"):
                continue
            breed, separator, _ = name.rpartition("_")
            if not separator:
                raise InputError(f"{path} must list images as Breed_1 1 1 1, got {line!r}")
            entries.append(Entry(f"images/{name}.jpg", breed, f"images/{name}.jpg", official))
    return sorted(entries, key=lambda entry: entry.path)


def _too_few_classes(labels: list[str], unreadable: tuple[Unreadable, ...], n_files: int) -> str:
    """Why a table's images make no dataset, in the words of tables."""
    why = (f"; {len(unreadable):,} of {n_files:,} files cannot be read, the first is {unreadable[0].path} "
           f"({unreadable[0].reason})" if unreadable else "")
    return (f"dataset.root must name readable images of at least two classes, got {len(labels)}"
            f"{': ' if labels else ''}{', '.join(labels)}{why}")


def _large_enough(entries: list[Entry], least: int | None) -> tuple[list[Entry], dict[str, int]]:
    """Entries of classes with at least so many images, and the other classes with their sizes."""
    sizes = Counter(entry.label for entry in entries)
    small = {label: size for label, size in sorted(sizes.items()) if size < (least or 0)}
    n_left = len(sizes) - len(small)
    if small and n_left < 2:
        raise InputError(f"dataset.min_per_class must leave at least 2 classes, got {least}, which leaves {n_left} of "
                         f"{len(sizes)}")
    return [entry for entry in entries if entry.label not in small], small


def _at_most(entries: list[Entry], limit: int) -> list[Entry]:
    """Whole groups of each class by chance, always the same, until it has `limit` images; the last may be cut."""
    generator = np.random.default_rng([0, 5])
    chosen: set[str] = set()
    for label in sorted({entry.label for entry in entries}):
        members: dict[str, list[str]] = {}
        for entry in entries:
            if entry.label == label:
                members.setdefault(entry.group, []).append(entry.path)
        groups = sorted(members)
        in_order = [path for index in generator.permutation(len(groups)) for path in members[groups[index]]]
        chosen.update(in_order[:limit])
    return [entry for entry in entries if entry.path in chosen]


def _manifest(entries: list[Entry], digests: list[str], unreadable: tuple[Unreadable, ...],
              pairs: Iterable[duplicates.Pair]) -> Manifest:
    def column(values: Iterable[str]) -> np.ndarray:
        return np.array(list(values), dtype=object)

    ids = [entry.path for entry in entries]
    pairs = tuple(pairs)
    has_roles, has_cameras = (any(getattr(entry, name) not in ("", "both") for entry in entries)
                              for name in ("role", "camera"))
    return Manifest(
        sample_id=column(ids), label=column(entry.label for entry in entries),
        group=column(entry.group for entry in entries), digest=column(digests),
        picture=column(duplicates.joined(ids, [(pair.a, pair.b) for pair in pairs])),
        official=column(entry.official for entry in entries), split=column("" for _ in ids), unreadable=unreadable,
        duplicates=pairs, role=column(entry.role for entry in entries) if has_roles else None,
        camera=column(entry.camera for entry in entries) if has_cameras else None)
