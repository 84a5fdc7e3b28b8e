"""What is known of how separate train, validation and test are, in words: the one place where this is claimed.

A split can keep on one side what it was told belongs together, and copies, which are found. Without groups nobody said which
images are crops or frames of one photograph, so nothing is claimed of them.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from core.data import split
from core.data.manifest import LEFT_OUT, Manifest

_PIECES = "crop|patch|tile|frame|slice|view|part|piece|aug|img|image|f|c|p|t"
_NAMES = (  # of pieces of a photograph: the photograph, then the piece's number
    r"(.*)_[0-9]+\.[^./]+$", r"(.*)-[0-9]+\.[^./]+$",
    rf"(.*)[_-](?i:{_PIECES})[_-]?[0-9]+\.[^./]+$", r"(.*) ?\([0-9]+\)\.[^./]+$")
_LEAST_GROUPS = 3  # of each class, so that they can stand in train, validation and test


@dataclass(frozen=True)
class Suggestion:
    """A regular expression for `dataset.group_by` that names suggest.

    Attributes:
        group_by: the expression.
        n_groups: groups that it would make.
        n_across: of those, how many stand in more than one of train, validation and test now.
    """

    group_by: str
    n_groups: int
    n_across: int


def sentence(manifest: Manifest) -> str:
    """What is known of the splits of these samples, as the second half of a sentence; does not end in a full stop."""
    proof = split.prove(manifest)
    if proof.shared_groups or proof.shared_samples or proof.shared_pictures:
        return (f"{proof.shared_groups:,} groups, {proof.shared_samples:,} images and {proof.shared_pictures:,} pictures are "
                f"on two sides of the split")
    n_alone = _n_without_group(manifest)
    if n_alone == 0:
        return "no group and no copy that was found is on two sides of the split"
    whom = "" if n_alone == len(manifest) else f" for {n_alone:,} images"
    return (f"copies that were found are kept on one side of the split; no groups are given{whom}, so crops or frames of one "
            f"photograph may be on two")


def headline(manifest: Manifest) -> str:
    """The same in few words, for a heading; `sentence` stands beside it."""
    if not is_separate(manifest) or has_groups(manifest):
        return sentence(manifest)
    return "only copies are known to stay on one side of the split"


def is_separate(manifest: Manifest) -> bool:
    """Whether all is on one side of the split that is known to belong together."""
    return split.prove(manifest).holds


def has_groups(manifest: Manifest) -> bool:
    """Whether every image has been given a group."""
    return _n_without_group(manifest) == 0


def advice(manifest: Manifest) -> str:
    """How the user can say which images belong together, where no group is known; '' where groups are known."""
    if has_groups(manifest):
        return ""
    grouping = suggestion(manifest)
    if grouping is None:
        return ("If several images show one photograph, video or patient, say so: dataset.group_by, a regular expression over "
                "the path, or a column group in a table.")
    across = f", of which {grouping.n_across:,} are on two sides of this split" if grouping.n_across else ""
    return (f"Names look like a photograph and the number of its crop: dataset.group_by={grouping.group_by} would make "
            f"{grouping.n_groups:,} groups{across}.")


def suggestion(manifest: Manifest) -> Suggestion | None:
    """A regular expression that captures the photograph from a name like CLASS_PHOTO_CROP; None if names do not look so.

    They do if every name matches, some images share what it captures, and every class has several groups: a class whose images
    are merely numbered would be one.
    """
    paths = manifest.sample_id.tolist()
    for pattern in _NAMES:
        groups = [match[1] for path in paths if (match := re.search(pattern, path))]
        if not paths or len(groups) < len(paths):
            continue
        of_class: dict[str, set[str]] = defaultdict(set)
        for label, group in zip(manifest.label.tolist(), groups):
            of_class[label].add(group)
        sizes = Counter(groups)
        n_shared = sum(size for size in sizes.values() if size > 1)
        if n_shared * 4 >= len(paths) and min(map(len, of_class.values())) >= _LEAST_GROUPS:
            sides: dict[str, set[str]] = defaultdict(set)
            for group, side in zip(groups, manifest.split.tolist()):
                sides[group] |= {side} - {"", LEFT_OUT}
            return Suggestion(pattern, len(sizes), sum(len(names) > 1 for names in sides.values()))
    return None


def _n_without_group(manifest: Manifest) -> int:
    """How many images form a group of their own under their own name: none was given to them."""
    sizes = Counter(manifest.group.tolist())
    is_alone = manifest.group == manifest.sample_id
    return sum(bool(alone) and sizes[group] == 1 for alone, group in zip(is_alone, manifest.group.tolist()))
