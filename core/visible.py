"""A user's own text in one line that shows as it is written: on a page, in a figure, a report, a log or a terminal.

Knows no markup: who draws Markdown or HTML escapes that too.
"""

import os
import re

# Controls (a terminal obeys them), lone surrogates, line separators, and what turns the direction of writing.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb]")


def visible(text: object, most: int | None = None) -> str:
    r"""A text with control characters as Python writes them: \x1b, \n, \u202e.

    Args:
        text: any text.
        most: characters after which it is cut with an ellipsis; None for no limit.
    """
    line = _INVISIBLE.sub(lambda found: repr(found.group())[1:-1], str(text))
    return line if most is None or len(line) <= most else line[:most - 1] + "…"


def printable(name: str) -> str:
    r"""A file's name as it can be shown: bytes that are not text as \xNN."""
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")
