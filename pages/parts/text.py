"""A user's own text on a screen: class and file names, messages that quote them.

Streamlit reads almost every text it draws as Markdown: names would turn bold, become links or fetch pictures from other
addresses. Whatever is not a screen's own words goes through `plain` where Markdown is drawn, and through `visible` where
text is drawn as it is.
"""

import re

from core.visible import visible

LONGEST = 48  # letters of a name in a line of its own; the whole name stands in its help
_BREAK = ":small[]"  # an empty span: parts a text where Streamlit's extensions would else find a pattern in it
_SPECIAL = re.compile(r"[\\`*\[\]<>{}~$|]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
_SCHEME = re.compile(r":(?=\S)")  # addresses, emoji, icons, colours
_WWW = re.compile(r"(www\.)", re.IGNORECASE)
_MAIL = re.compile(r"@(?=[-\w]+\.[-\w])")
_ARROW = re.compile(r"(?<=[<>~=-])(?=\\?[<>~=-])")  # '->', '--' and '>=' would become other signs
_LIST = re.compile(r"\d+[.)](?:\s|$)")


def plain(text: object, most: int | None = None) -> str:
    """A text for where Markdown is read, so that it looks as it is written and nothing in it is formatted or fetched.

    Args:
        text: any text of the user's, or one that quotes it.
        most: characters after which it is cut with an ellipsis; None for no limit.
    """
    line = visible(text, most)
    if not line:
        return line
    escaped = _SPECIAL.sub(lambda match: "\\" + match.group(), line)
    escaped = _SCHEME.sub(f"\\\\:{_BREAK}", escaped)
    escaped = _WWW.sub(lambda match: match.group()[:3] + _BREAK + ".", escaped)
    escaped = _MAIL.sub(f"{_BREAK}@", escaped)
    escaped = _ARROW.sub(_BREAK, escaped)
    if line[0] in " \t#+-=>|:!" or _LIST.match(line):  # would begin a heading, a list, a quotation or code
        escaped = _BREAK + escaped
    return escaped + _BREAK if line[-1].isspace() else escaped


def lines(text: object) -> str:
    """A text of several lines, such as a log, for where no Markdown is read: each line as `visible` has it."""
    return "\n".join(visible(line) for line in str(text).split("\n"))
