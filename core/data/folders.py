"""A folder with one folder per class: what its folders say of classes and splits, or what would have to change.

Reads names alone. A form that can be read in two ways is refused with both readings, never settled in silence.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.data.listing import Listing, list_files, other_words, shown
from core.data.manifest import SPLITS, Unreadable
from core.data.split_words import part_names, split_name, split_names
from core.errors import InputError

_FLAT_ADVICE = ("; put the images of each class into a folder of its own, or name them in a table with the columns path and "
                "label")


@dataclass(frozen=True)
class Entry:
    """One file a source names; `official` is its split in the source, '' where it gives none; `role` and `camera` are as of
    `Manifest`, '' where it gives none."""

    path: str
    label: str
    group: str
    official: str = ""
    role: str = ""
    camera: str = ""


@dataclass(frozen=True)
class Contents:
    """What a source names.

    Attributes:
        entries: its samples.
        remarks: sentences on how it was read, for people to check.
        left_out, other_files, without_images: as in `Listing`.
    """

    entries: list[Entry]
    remarks: tuple[str, ...] = ()
    left_out: tuple[Unreadable, ...] = ()
    other_files: dict[str, int] = field(default_factory=dict)
    without_images: tuple[str, ...] = ()


def read(root: Path, classes: Literal["top", "leaf"] | None = None) -> Contents:
    """A folder with one folder per class, below split folders where it has them.

    Args:
        root: the folder.
        classes: whether the outermost or the innermost folders are the classes, where they differ.

    Raises:
        InputError: if the folder has no recognisable classes; says what would work.
    """
    listing = list_files(root)
    loose = [path for path in listing.images if "/" not in path]
    paths = [path for path in listing.images if "/" in path]
    if not paths:
        raise InputError(f"dataset.root must hold one folder of images per class, found {_nothing(loose, listing)} in {root}"
                         f"{_FLAT_ADVICE if loose else ''}")
    split_of = _split_folders(root, paths, classes)
    if not split_of and classes != "leaf":
        _refuse_wrapper(root, paths)
    inner = _below_splits(paths, split_of)
    unlabelled = [path for path in paths if "/" not in inner[path]]
    inner = {path: rest for path, rest in inner.items() if "/" in rest}
    remarks = []
    official = {path: split_of.get(path.partition("/")[0], "") for path in inner}
    splits_inside = {} if split_of else _splits_inside(inner)
    if split_of:
        remarks.append(f"The folders {_and(list(split_of))} are taken as the split.")
    elif splits_inside:
        official = {path: splits_inside[rest.split("/")[1]] for path, rest in inner.items()}
        remarks.append("The folders inside the class folders are taken as the split.")
        inner = {path: "/".join((rest.split("/")[0], rest.split("/")[2])) for path, rest in inner.items()}
    parts = sorted({rest.partition("/")[0] for rest in inner.values()})
    if part_names(parts) and classes != "top":
        inner = _without_parts(root, parts, inner, classes)
        remarks.append(f"The folders {_and(parts)} are taken as parts of one dataset.")
    labels, remark = _labels(root, inner, classes)
    remarks += [remark] if remark else []
    if any(official.values()):
        _refuse_other_classes(root, labels, official)
    nowhere = tuple(Unreadable(shown(path), "lies in no class folder") for path in (*loose, *unlabelled))
    entries = [Entry(path, labels[path], path, official[path]) for path in sorted(inner)]
    return Contents(entries, tuple(remarks), (*listing.left_out, *nowhere), listing.other_files, listing.without_images)


def _nothing(loose: list[str], listing: Listing) -> str:
    if loose:
        return f"{len(loose):,} images beside each other and no class folder"
    more = [f"{len(listing.left_out):,} left out, the first {listing.left_out[0].path}: {listing.left_out[0].reason}"
            ] if listing.left_out else []
    more += [other_words(listing.other_files)] if listing.other_files else []
    reasons = "; ".join(more)
    return f"no images ({reasons})" if reasons else "no images"


def _split_folders(root: Path, paths: list[str], classes: Literal["top", "leaf"] | None) -> dict[str, str]:
    """Top folder -> its split, where the top folders are splits; none where they are classes, as `classes` may say of folders
    that hold images alone.

    Raises:
        InputError: if they look like splits but cannot be taken as such.
    """
    tops = sorted({path.partition("/")[0] for path in paths})
    named = split_names(tops)
    others = [top for top in tops if top not in named]
    inside = {top: {path.split("/")[1] for path in paths if path.startswith(f"{top}/") and path.count("/") > 1}
              for top in named}
    if not named or (len(tops) == 1 and not others):
        return {}  # a single folder is a wrapper, whatever its name
    says_two = len(set(named.values())) > 1
    is_split = says_two or (len(named) > 1 if not others else any(len(folders) > 1 for folders in inside.values()))
    is_flat = not any(inside.values())
    if not is_split or (is_flat and classes == "top"):
        return {}  # say, locomotives beside buses
    are = f"{_and(list(named))} {'look like splits' if len(named) > 1 else 'looks like a split'}"
    if others:
        raise InputError(f"dataset.root must hold class folders or split folders, got both in {root}: {are}, "
                         f"{_some(others)} {'do' if len(others) > 1 else 'does'} not; move the others away, or put each class "
                         f"into a folder of its own")
    flat = [top for top in named if not inside[top]]
    if flat:
        with_classes = [top for top in named if inside[top]]
        instead = (f"move {_and(flat)} away and point dataset.root at {root / with_classes[0]}" if len(with_classes) == 1 else
                   f"put the images of each class into a folder of its own inside {_and(flat)}, or name them in a table with "
                   f"the columns path, label and split")
        instead += ", or set dataset.classes: top if they are classes" if is_flat else ""
        raise InputError(f"dataset.root must say the class of every image, got none in {root}: {are}, and "
                         f"{_and(flat)} {'hold' if len(flat) > 1 else 'holds'} images without class folders; {instead}")
    for split in SPLITS:
        same = [top for top, its_split in named.items() if its_split == split]
        if len(same) > 1:
            raise InputError(f"dataset.root must hold one folder a split, got {_and(same)} for {split} in {root}; merge them, "
                             f"or move one away")
    return dict(sorted(named.items(), key=lambda item: SPLITS.index(item[1])))


def _below_splits(paths: list[str], split_of: dict[str, str]) -> dict[str, str]:
    """Each path without its split folder, and without folders that hold all the rest, as in training_set/training_set/cats."""
    if not split_of:
        return {path: path for path in paths}
    inner = {path: path.partition("/")[2] for path in paths}
    for top, split in split_of.items():
        its_own = [path for path in paths if path.startswith(f"{top}/")]
        while all(inner[path].count("/") > 1 and (inner[path].partition("/")[0] == top
                                                  or split_name(inner[path].partition("/")[0]) == split) for path in its_own):
            inner |= {path: inner[path].partition("/")[2] for path in its_own}
    while all(rest.count("/") > 1 for rest in inner.values()) and len({rest.split("/")[0] for rest in inner.values()}) == 1:
        inner = {path: rest.partition("/")[2] for path, rest in inner.items()}
    return inner


def _refuse_wrapper(root: Path, paths: list[str]) -> None:
    """Refuses a root that holds one folder with all the class folders in it."""
    shared = os.path.commonpath([path.rpartition("/")[0] for path in paths])
    below = {path[len(shared) + 1:].partition("/")[0] for path in paths if "/" in path[len(shared) + 1:]}
    if shared and len(below) > 1:
        raise InputError(f"dataset.root must hold the class folders themselves, got {root} with everything inside "
                         f"{shown(shared)}; point {'one' if '/' not in shared else shared.count('/') + 1} deeper, at "
                         f"{shown(os.fspath(root / shared))}")


def _splits_inside(inner: dict[str, str]) -> dict[str, str]:
    """Folder inside the class folders -> its split, where these hold split folders and nothing else."""
    below = sorted({rest.split("/")[1] if rest.count("/") == 2 else "" for rest in inner.values()})
    split_of = split_names(below)
    return split_of if set(below) == split_of.keys() and len(set(split_of.values())) > 1 else {}


def _without_parts(root: Path, parts: list[str], inner: dict[str, str], classes: Literal["leaf"] | None) -> dict[str, str]:
    """Each path without the folder of its part, where the user says that the innermost folders are the classes.

    Raises:
        InputError: if the user does not say so, images lie in no folder inside, or the parts hold splits.
    """
    flat = next((rest for rest in inner.values() if rest.count("/") < 2), "")
    if classes == "leaf" and flat:
        raise InputError(f"dataset.root must say the class of every image, got none in {root} of those that lie directly in "
                         f"{shown(flat.partition('/')[0])}, which looks like a part of the dataset; put them into folders of "
                         f"their classes, or set dataset.classes: top if {_some(parts)} are the classes")
    if classes is None:
        raise InputError(f"dataset.root must hold one folder per class, got {_some(parts)} in {root}, which look like parts "
                         f"of one dataset; set dataset.classes: leaf if the folders inside are the classes, top if "
                         f"{_some(parts)} are, or name the images in a table with the columns path and label")
    rests = {path: rest.partition("/")[2] for path, rest in inner.items()}
    if len(set(split_names(sorted({rest.partition("/")[0] for rest in rests.values()})).values())) > 1:  # as fold1/train/cat
        raise InputError(f"dataset.root must hold one split, got one inside each of {_some(parts)} in {root}; point "
                         f"dataset.root at one of them, or name the images in a table with the columns path, label and split")
    return rests


def _labels(root: Path, inner: dict[str, str], classes: Literal["top", "leaf"] | None) -> tuple[dict[str, str], str]:
    """The class of each path, and a sentence where another reading was possible."""
    tops = {path: rest.partition("/")[0] for path, rest in inner.items()}
    leaves = {path: rest.rpartition("/")[0] for path, rest in inner.items()}
    n_deeper = sum(leaves[path] != tops[path] for path in inner)
    n_top, n_leaf = len(set(tops.values())), len(set(leaves.values()))
    if n_leaf == n_top:
        return tops, ""  # both readings are the same classes
    counts = f"{n_top:,} classes at the top, {n_leaf:,} at the leaves"
    if classes is None:
        direct = set(leaves.values())
        below: dict[str, set[str]] = {}
        for path, rest in inner.items():
            below.setdefault(tops[path], set()).add(rest.split("/")[1])
        if any(top not in direct and len(names) > 1 for top, names in below.items()):
            raise InputError(f"dataset.classes must be top or leaf where folders lie inside the class folders, got neither "
                             f"for {root}: {counts} ({_some(sorted(set(tops.values())))}; {_some(sorted(direct))})")
        return tops, f"{n_deeper:,} images lie in folders inside a class folder and count to it."
    if classes == "top":
        return tops, f"Classes are the top folders: {counts}."
    names = {leaf: leaf.rpartition("/")[2] for leaf in set(leaves.values())}
    if len(set(names.values())) < len(names):
        names = {leaf: leaf for leaf in names}
    return {path: names[leaf] for path, leaf in leaves.items()}, f"Classes are the innermost folders: {counts}."


def _refuse_other_classes(root: Path, labels: dict[str, str], official: dict[str, str]) -> None:
    """Refuses split folders that do not hold the same classes; validation may lack some."""
    held: dict[str, set[str]] = {}
    for path, label in labels.items():
        held.setdefault(official[path], set()).add(label)
    if not {"train", "test"} <= held.keys():
        return  # `core.data.split` says what is lacking
    for split, reference in (("test", "train"), ("validation", "train"), ("train", "test")):
        more = sorted(held.get(split, set()) - held[reference])
        if more:
            raise InputError(f"split folders must hold the same classes, got {_some(more)} in {split} and not in {reference}; "
                             f"add what is missing to {root}, or put all images of each class into one folder, and a split is "
                             f"drawn")


def _and(names: list[str]) -> str:
    names = [shown(name) for name in names]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _some(names: list[str], most: int = 6) -> str:
    return ", ".join(map(shown, names[:most])) + (", …" if len(names) > most else "")
