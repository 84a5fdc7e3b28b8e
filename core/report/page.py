"""Pages to send to someone, made from `templates/`: style, figures and the library that draws them, all inside one file.

No address is asked when one opens. What a template shows is text: escaped, and without what turns the direction of writing.
"""

import base64
import gzip
from functools import cache
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from core import files
from core.visible import visible


def write(template: str, values: dict[str, object], path: Path) -> None:
    """Writes a page, whole or not at all.

    Args:
        template: name of a file in `templates/`.
        values: what the template speaks of, by the names that it uses.
        path: the .html file.
    """
    files.write_bytes(path, _TEMPLATES.get_template(template).render(values).encode())


def _shown(value: object) -> object:
    """What stands for a value in a page before it is escaped."""
    return value if isinstance(value, Markup) else visible(value)


def _lines(text: str) -> Markup:
    """A text of several lines, for a `pre`."""
    return Markup("\n").join(escape(visible(line)) for line in text.split("\n"))


def _figure(drawn: go.Figure) -> Markup:
    on_white = go.Figure(drawn).update_layout(template="plotly_white")
    values = on_white.to_json().replace("<", "\\u003c")  # so that no name in it can end the script
    return Markup(f"<div class='figure'><script type='application/json'>{values}</script><div></div></div>")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@cache
def _packed_plotly() -> Markup:
    return Markup(_base64(gzip.compress(get_plotlyjs().encode(), 9)))


_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, finalize=_shown,
                         undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
_TEMPLATES.filters |= {"lines": _lines, "figure": _figure, "base64": _base64}
_TEMPLATES.globals["packed_plotly"] = _packed_plotly
