"""Names of classes or groups that a person would read as one and a computer counts as several."""

import re
import unicodedata
from collections.abc import Iterable

from core.visible import visible

_MOST_NAMED = 8


def sentences(what: str, names: Iterable[str]) -> list[str]:
    """Says of names that differ in capitals, spaces, the way accents are stored or a decimal point how many they count as.

    Args:
        what: what they name, in the plural and with a capital, as 'Classes'.
        names: each name as it is counted; repeats do not matter.

    Returns:
        A sentence for each set of such names, at most eight and one on the rest.
    """
    by_key: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        by_key.setdefault(_key(name), []).append(name)
    alike = [its_names for its_names in by_key.values() if len(its_names) > 1]
    said = [f"{what} {', '.join(map(_quoted, its_names))} differ in capitals, spaces, stored "
            f"accents or a decimal point alone; they count as {len(its_names)}." for its_names in alike[:_MOST_NAMED]]
    if len(alike) > _MOST_NAMED:
        said.append(f"{what}: {len(alike) - _MOST_NAMED:,} more sets of names are alike in this way.")
    return said


def _quoted(name: str) -> str:
    return f"'{visible(name)}'"


def _key(name: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    return re.sub(r"^(\d+)\.0+$", r"\1", text)
