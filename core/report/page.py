"""The frame of every page that is sent to someone: style, figures and the library that draws them, all inside one file.

No address is asked when it opens. Knows nothing of what a page says.
"""

import base64
import gzip
from functools import cache
from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from core import files
from core.visible import visible

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}
h1{line-height:1.25}h2{margin-top:2.2rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .8rem;border-bottom:1px solid #d0d7de;text-align:right;vertical-align:top}
td:first-child,th:first-child{text-align:left}.words td,.words th{text-align:left}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1rem}.figure{break-inside:avoid}
.unfair{color:#b42318;font-weight:600}.note{color:#59636e}
.config{columns:2}code,pre{background:#f6f8fa;padding:.1rem .3rem}pre{padding:.6rem;white-space:pre-wrap;font-size:.8rem}
.images{display:grid;grid-template-columns:repeat(6,1fr);gap:.6rem;font-size:.75rem}.images figure{margin:0;break-inside:avoid}
.images img{width:100%;aspect-ratio:1;object-fit:contain;background:#f6f8fa}
@media print{body{max-width:none;margin:0;font-size:11pt}h2{break-after:avoid}.pair,table,pre{break-inside:avoid}}
"""
# plotly.js takes 4.8 MB as it is and 2 MB compressed; a browser unpacks it in a tenth of a second.
_DRAW = """
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById('plotly').textContent), letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  const library = document.createElement('script');
  library.textContent = await new Response(stream).text();
  document.head.append(library);
  for (const element of document.querySelectorAll('.figure')) {
    const figure = JSON.parse(element.querySelector('script').textContent);
    await Plotly.newPlot(element.querySelector('div'), figure.data, figure.layout, {displaylogo: false, responsive: true});
  }
  document.body.dataset.drawn = 'yes';
})().catch(error => document.querySelectorAll('.figure').forEach(
  element => { element.querySelector('div').textContent = 'This browser cannot draw the figure: ' + error; }));
"""


def markup(value: object) -> str:
    """A user's text as markup, also inside an attribute: nothing in it is read as HTML or turns the direction of writing."""
    return escape(visible(value))


def markup_lines(value: str) -> str:
    """The same of a text of several lines, for a `pre`."""
    return "\n".join(map(markup, value.split("\n")))


def figure(drawn: go.Figure) -> str:
    """A figure as it stands in a page."""
    on_white = go.Figure(drawn).update_layout(template="plotly_white")
    values = on_white.to_json().replace("<", "\\u003c")  # so that no name in it can end the script
    return f"<div class='figure'><script type='application/json'>{values}</script><div></div></div>"


def pair(names: tuple[str, str], figures: tuple[go.Figure, go.Figure]) -> str:
    """Two figures side by side under their names, which are markup."""
    halves = "".join(f"<div><h3>{name}</h3>{figure(item)}</div>" for name, item in zip(names, figures))
    return f"<div class='pair'>{halves}</div>"


def table(head: list[str], rows: list[list[str]], is_words: bool = False) -> str:
    """A table of markup cells; numbers stand to the right, words to the left."""
    lines = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>",
             *(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)]
    return f"<table{' class=words' if is_words else ''}>{''.join(lines)}</table>"


def write(title: str, body: str, path: Path) -> None:
    """Writes a page, whole or not at all.

    Args:
        title: text.
        body: markup.
        path: the .html file.
    """
    page = (f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{markup(title)}</title>"
            f"<style>{_STYLE}</style></head><body>{body}<script type='text/plain' id='plotly'>{_packed_plotly()}</script>"
            f"<script>{_DRAW}</script></body></html>")
    files.write_bytes(path, page.encode())


@cache
def _packed_plotly() -> str:
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9)).decode()
