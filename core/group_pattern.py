"""The group of an image, captured from its path by the user's regular expression.

By the package `regex`, which can be stopped: `(a|aa)+$` takes the standard library's matcher hours on sixty letters.
"""

import regex

from core.errors import InputError

_MOST_SECONDS = 1.0  # of processor time for one path; a usual pattern takes microseconds


def compiled(pattern: str) -> "regex.Pattern[str]":
    """A pattern that captures one group.

    Raises:
        InputError: if it is no regular expression, or captures none or several.
    """
    try:
        expression = regex.compile(pattern)
    except (regex.error, ValueError, RecursionError, OverflowError, MemoryError) as error:
        raise InputError(f"must be a regular expression, got {pattern!r} ({error})") from None
    if expression.groups != 1:
        raise InputError(f"must hold exactly one (…) that captures the group, got {pattern!r} with {expression.groups}")
    return expression


def group(expression: "regex.Pattern[str]", path: str) -> str:
    """What the pattern captures in a path.

    Raises:
        InputError: if it does not match, or takes longer than a second or more memory than there is.
    """
    try:
        match = expression.search(path, timeout=_MOST_SECONDS)
    except (TimeoutError, MemoryError, RecursionError):
        raise InputError(f"dataset.group_by must match a path within a second, got {expression.pattern!r}, whose search in "
                         f"{path!r} did not finish; write it without repeating what can match in several ways, as (a|aa)+"
                         ) from None
    if match is None or match[1] is None:
        raise InputError(f"dataset.group_by must match every path, got no match of {expression.pattern!r} in {path!r}")
    return match[1]
