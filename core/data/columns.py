"""Which column of a table is what: paths, labels, groups, splits; and what must not be overlooked in the others.

A column that is not used is named. One that looks like a group or a split is refused until the user says what it is: groups
that are not known leak from one side of a split to the other. Opens no image.
"""

import difflib
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.data.split_words import SPLIT_WORDS, split_name
from core.data.tables import Table
from core.errors import InputError
from core.wording import cut

ROLES = ("path", "label", "group", "split", "is_query", "is_gallery", "camera")
_ASKING = ("is_query", "is_gallery")

# Words that names of columns are made of, in data sets as they are published.
_WORDS = {
    "path": {"path", "file", "filename", "filepath", "image", "img", "filenames", "imagepath", "imagename", "picture"},
    "label": {"label", "labels", "class", "classes", "classname", "category", "target", "species", "y", "breed", "diagnosis",
              "genus", "variety", "type", "finding", "dx"},
    "group": {"group", "groups", "patient", "subject", "photo", "photograph", "video", "session", "slide", "case", "sequence",
              "identity", "individual", "person", "participant", "animal", "specimen", "scene", "series", "study", "clip",
              "track", "donor", "burst", "plate", "lesion", "sample", "scan", "recording", "movie", "site", "location",
              "camera", "observer", "user", "author", "cluster", "groupid", "patientid", "subjectid", "videoid", "caseid"},
    "split": {"split", "fold", "set", "subset", "partition", "phase", "usage", "splits", "folds"}}
_YES = {"1", "true", "yes", "t", "y"}
_PARTS = {"train", "training", "trn", "tr", "test", "testing", "tst", "te", "val", "valid", "validation", "va", "dev", "eval",
          "holdout", "heldout"}  # words that name a part of a split
_TRUTHS = {"0", "1", "0.0", "1.0", "true", "false", "yes", "no", "t", "f", "y", "n"}
_NOTHING = ("nan", "<na>", "null")  # what programs write where there is no value
_FEW_VALUES = 0.8  # share of a column's values that stand in several rows, for it to look like a group by content
_IN_ONE_CLASS = 0.9  # share of them that stand in one class alone
_MOST_NAMED = 8


@dataclass(frozen=True)
class Row:
    """One image a table names; `group`, `split` and `camera` are '' where it says nothing; `role` is 'query', 'gallery',
    'both' or 'neither', '' where no column says which images ask and which are found."""

    path: str
    label: str
    group: str
    split: str
    role: str
    camera: str


@dataclass(frozen=True)
class Listed:
    """What a table says: its images, and sentences on how it was read."""

    rows: list[Row]
    remarks: tuple[str, ...]


def interpret(table: Table, chosen: Mapping[str, str] | None = None, ignored: tuple[str, ...] = ()) -> Listed:
    """The images of a table.

    Args:
        table: its columns.
        chosen: role (one of `ROLES`) -> the column that has it, where its name does not say so.
        ignored: columns that are no group, split or label, whatever they look like.

    Raises:
        InputError: one sentence: a column or value that is lacking or cannot be meant, or a column that looks like a group or
            a split and is not used.
    """
    of_role = _roles(table, chosen or {}, ignored)
    if len(table) == 0:
        return Listed([], ())
    remarks: list[str] = []
    texts = {role: _texts(table, name, role, remarks) if (name := of_role.get(role)) else [""] * len(table) for role in ROLES}
    for role in ("path", "label"):
        for number, text in enumerate(texts[role], start=1):
            if text == "":
                raise InputError(f"column {of_role[role]} must not be empty, got nothing in row {number} of {table.path}")
    roles = _asking(table, texts, of_role)
    texts["split"] = _splits(texts["split"], of_role.get("split", ""), table.path)
    _check_once(texts["path"], of_role["path"], table.path)
    unused = [name for name in table.columns if name not in of_role.values()]
    _check_unused(table, [name for name in unused if not _is_among(name, ignored)], of_role, texts,
                  is_group_chosen="group" in (chosen or {}))
    if unused:
        remarks.append(f"Columns that are not used: {_list(unused)}.")
    remarks += _missing(texts["path"], table.path)
    columns = (*(texts[role] for role in ROLES[:4]), roles, texts["camera"])
    return Listed([Row(*row) for row in zip(*columns)], tuple(remarks))


def _asking(table: Table, texts: dict[str, list[str]], of_role: dict[str, str]) -> list[str]:
    """Which images ask and which are found, row by row; where one of the two columns lacks, all do."""
    if not any(role in of_role for role in _ASKING):
        return [""] * len(table)
    truths = []
    for role in _ASKING:
        for number, text in enumerate(texts[role], start=1):
            if text and text.casefold() not in _TRUTHS:
                raise InputError(f"column {of_role[role]} must say true, false or nothing, got {cut(text)!r} in row {number} "
                                 f"of {table.path}")
        truths.append([text.casefold() in _YES for text in texts[role]] if role in of_role else [True] * len(table))
    return [("both" if is_gallery else "query") if is_query else "gallery" if is_gallery else "neither"
            for is_query, is_gallery in zip(*truths)]


def _roles(table: Table, chosen: Mapping[str, str], ignored: tuple[str, ...]) -> dict[str, str]:
    """Role -> name of its column; path and label are always there."""
    names = {name.casefold(): name for name in table.columns}
    for key, wanted in (*((f"columns.{role}", name) for role, name in chosen.items()),
                        *(("ignore_columns", name) for name in ignored)):
        if wanted.strip().casefold() not in names:
            close = difflib.get_close_matches(wanted, list(table.columns), n=1, cutoff=0.6)
            raise InputError(f"dataset.{key} must be a column of the table ({_list(list(table.columns))}), got {wanted!r}"
                             + (f"; did you mean {close[0]!r}?" if close else ""))
    of_role = {role: names[name.strip().casefold()] for role, name in chosen.items()}
    for role in ROLES:
        if role == "camera" and not any(asking in of_role for asking in _ASKING):
            continue  # without queries and a gallery a camera may be a group: the user says so
        known = (role, "file_name") if role == "path" else (role, "sequence") if role == "camera" else (role,)
        name = next((names[word] for word in known if word in names and not _is_among(names[word], ignored)), None)
        if role not in of_role and name is not None and name not in of_role.values():
            of_role[role] = name
    lacking = [role for role in ("path", "label") if role not in of_role]
    if lacking:
        meant = {role: name for role in lacking for name in table.columns
                 if name not in of_role.values() and _words(name) & _WORDS[role]}
        choice = ", ".join(f"{role}: {name}" for role, name in meant.items())
        words = " and ".join(f"{role} by {name!r}" for role, name in meant.items())
        advice = f"; did you mean {words}? set dataset.columns: {{{choice}}}" if meant else (
            f"; say which is which with dataset.columns: {{{', '.join(f'{role}: …' for role in lacking)}}}")
        raise InputError(f"dataset.root must be a table with the columns path and label (and optional group and split), "
                         f"got {_list(list(table.columns))} in {table.path}{advice}")
    return of_role


def _texts(table: Table, name: str, role: str, remarks: list[str]) -> list[str]:
    """A column as text, without spaces around; '' for nothing."""
    texts, n_stripped, n_composed = [], 0, 0
    for number, value in enumerate(table.columns[name], start=1):
        text = _text(value, name, role, number, table.path)
        bare = text.strip()
        n_stripped += bare != text
        if role != "path":
            composed = unicodedata.normalize("NFC", bare)
            n_composed += composed != bare
            bare = composed
        texts.append(bare)
    if n_stripped:
        remarks.append(f"Spaces around {n_stripped:,} values of column {name} are left off.")
    if n_composed:
        remarks.append(f"{n_composed:,} values of column {name} are written with combining accents and are read as the "
                       f"composed letters.")
    return texts


def _text(value: object, name: str, role: str, number: int, path: Path) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            value = [value]
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers in which some are missing
    is_list = isinstance(value, str) and role == "label" and re.fullmatch(r"\s*(\[.*\]|\{.*\}|\(.*,.*\))\s*", value, re.DOTALL)
    if is_list or not isinstance(value, (str, int)) or (role == "path" and not isinstance(value, str)):
        kind = "several values" if is_list or isinstance(value, (list, dict, tuple)) else f"a {type(value).__name__}"
        must = "text" if role == "path" else "one text or whole number"
        raise InputError(f"column {name} must hold {must} in each row, got {kind}, {cut(str(value))}, in row {number} of "
                         f"{path}")
    text = str(value)
    if role != "path" and any("\ud800" <= letter <= "\udfff" for letter in text):  # of a path, the scan says so
        raise InputError(f"column {name} must hold text, got half a character, {cut(ascii(text))}, in row {number} of {path}")
    return "" if role != "path" and text.strip().casefold() in _NOTHING else text


def _splits(texts: list[str], name: str, path: Path) -> list[str]:
    splits = []
    for text in texts:
        split = split_name(text)
        if text and not split:
            raise InputError(f"column {name} must say train, validation, test or nothing, got {cut(text)!r} in {path}")
        splits.append(split)
    return splits


def _check_once(paths: list[str], name: str, table: Path) -> None:
    first: dict[str, int] = {}
    for number, text in enumerate(paths, start=1):
        key = os.path.normpath(os.path.join(table.parent, text))
        if key in first:
            raise InputError(f"column {name} must name each image once, got {PurePosixPath(text).as_posix()!r} again in row "
                             f"{number} of {table} (first in row {first[key]})")
        first[key] = number


def _check_unused(table: Table, names: list[str], of_role: dict[str, str], texts: dict[str, list[str]],
                  is_group_chosen: bool) -> None:
    """Refuses a column that looks like a label, group or split under another name, until the user says whether it is one."""
    groups = [text or f"\0{number}" for number, text in enumerate(texts["group"])]
    for name in names:
        values = ["" if value is None else str(value).strip() for value in table.columns[name]]
        distinct = set(values) - {""}
        if len(distinct) < 2:
            continue
        if "split" not in of_role and _words(name) & _PARTS and {value.casefold() for value in distinct} <= _TRUTHS:
            raise InputError(f"column {name!r} of {table.path}, which says of each image whether it is in a part of a split, "
                             f"is not used; write a column split with train, val or test in each row, or set "
                             f"dataset.ignore_columns: [{name}]")
        is_split = _words(name) & {*_WORDS["split"], "traintest"} or all(
            value.casefold() in SPLIT_WORDS or _words(value) & _PARTS for value in distinct)
        if "split" not in of_role and is_split and len(distinct) <= max(20, len(values) // 20):
            raise InputError(_did_you_mean("split", name, "whose images were already told apart", table.path))
        is_group = not is_group_chosen and bool(_words(name) & _WORDS["group"] or _is_group(values, texts["label"]))
        if is_group and len(distinct) < len([value for value in values if value]) and not _keeps_whole(groups, values):
            raise InputError(_did_you_mean("group", name, f"whose {len(distinct):,} values stand in {len(values):,} rows",
                                           table.path))


def _did_you_mean(role: str, name: str, what: str, path: Path) -> str:
    return (f"column {name!r} of {path}, {what}, is not used; did you mean {role}? Set dataset.columns: {{{role}: {name}}}, "
            f"or dataset.ignore_columns: [{name}] if it is none")


def _is_group(values: list[str], labels: list[str]) -> bool:
    """Whether values look like groups: more of them than classes, most in several rows and in one class."""
    rows: dict[str, list[str]] = {}
    for value, label in zip(values, labels):
        if value:
            rows.setdefault(value, []).append(label)
    n_values = len(rows)
    return (len(set(labels)) < n_values <= len(values) / 2
            and sum(len(classes) > 1 for classes in rows.values()) >= _FEW_VALUES * n_values
            and sum(len(set(classes)) == 1 for classes in rows.values()) >= _IN_ONE_CLASS * n_values)


def _keeps_whole(groups: list[str], values: list[str]) -> bool:
    """Whether no value stands in two groups, so that a split by group never parts it."""
    of_value: dict[str, str] = {}
    return all(of_value.setdefault(value, group) == group for value, group in zip(values, groups) if value)


def _missing(paths: list[str], table: Path) -> list[str]:
    """A sentence on the files that are not there, if some are.

    Raises:
        InputError: if none is there.
    """
    missing = [text for text in paths if not os.path.lexists(os.path.join(table.parent, text))]
    if not missing:
        return []
    sentence = (f"{len(missing):,} of {len(paths):,} files that {table} names are not there, the first is "
                f"{cut(missing[0], 120)} ({_why_missing(missing[0], table)})")
    if len(missing) == len(paths):
        raise InputError(sentence)
    return [f"{sentence}."]


def _why_missing(text: str, table: Path) -> str:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        return "a web address; download the files, and name them from the table's folder"
    if re.match(r"[A-Za-z]:[\\/]", text):
        return "a path of Windows; name files from the table's folder, and write / between folders"
    if "\\" in text:
        return "no such file; paths use / between folders"
    if text.startswith(("/", "~")):
        return "no such file; name files from the table's folder"
    file = table.parent / text
    try:
        beside = sorted(os.listdir(file.parent))
    except OSError:
        return f"no such folder below {table.parent}; paths start there"
    for name in beside:
        if name.casefold() == file.name.casefold():
            return f"no such file, but {name} is there"
        if os.path.splitext(name)[0] == file.name:
            return f"no such file, but {name} is there: names must have their ending"
    return f"no such file; paths start from {table.parent}"


def _words(name: str) -> set[str]:
    """Words of a column's name, small; of `patientID` and `video_name` too."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = set(re.findall(r"[a-z]+", apart.casefold()))
    return words | {"".join(re.findall(r"[a-z]+", name.casefold()))}


def _is_among(name: str, names: tuple[str, ...]) -> bool:
    return name.casefold() in (other.strip().casefold() for other in names)


def _list(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else "")


