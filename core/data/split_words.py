"""What the names of folders, and the values of a table, say of splits."""

import re

SPLIT_WORDS = {"train": "train", "training": "train", "trainval": "train", "val": "validation", "valid": "validation",
               "validation": "validation", "dev": "validation", "test": "test", "testing": "test"}  # word -> split
_FILLERS = ("set", "data", "images", "split")  # add nothing: trainset, test_images
_PARTS = ("fold", "split", "part")


def split_name(name: str) -> str:
    """The split that a name by itself says, whatever its case: 'train', 'validation' or 'test'; '' for none."""
    split, others = _read(name)
    return split if not others else ""


def split_names(names: list[str]) -> dict[str, str]:
    """The splits that names beside each other say, as `seg_train` and `seg_test`, `01_train` and `02_test` or `trainA` and
    `testA`: names with a split's word, alike but for it and for numbers.

    Args:
        names: of folders in one folder, as they are written.

    Returns:
        Name -> its split, for those that say one. Names that only hold such a word, as `train_station` and `test_tube`, say
        none.
    """
    of_name = {name: _read(name) for name in names}
    alone = {name: split for name, (split, others) in of_name.items() if split and not others}
    with_others = {name: (split, tuple(word for word in others if not word.isdigit()))
                   for name, (split, others) in of_name.items() if split}
    others_of: dict[str, set[tuple[str, ...]]] = {}
    for split, others in with_others.values():
        others_of.setdefault(split, set()).add(others)
    first, *rest = others_of.values() or [set()]
    if rest and all(others == first for others in rest):
        return {name: split for name, (split, _) in with_others.items()}
    return alone


def part_names(names: list[str]) -> bool:
    """Whether names beside each other count the parts of one dataset, as `fold1`, `fold2` or `part_a`, `part_b`."""
    words = [_words(name) for name in names]
    return len(names) > 1 and all(len(its) == 2 and its[0] == words[0][0] and its[0] in _PARTS
                                  and (its[1].isdigit() or len(its[1]) == 1) for its in words)


def _read(name: str) -> tuple[str, tuple[str, ...]]:
    """The one split whose word stands in a name, '' for none or several, and its other words."""
    splits, others = set(), []
    for word in _words(name):
        bare = next((word.removesuffix(filler) for filler in _FILLERS if word.removesuffix(filler) in SPLIT_WORDS), word)
        if bare in SPLIT_WORDS:
            splits.add(SPLIT_WORDS[bare])
        elif word not in _FILLERS:
            others.append(word)
    return (splits.pop() if len(splits) == 1 else ""), tuple(others)


def _words(name: str) -> list[str]:
    """Words and numbers of a name, small; a capital after a small letter, and a number, begin another."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", " ", name)
    return [word.casefold() for word in re.findall(r"[^\W_]+", apart)]
