"""Spaces as points, drawn by our own canvas: what is picked or hovered in one stands out in the others at once.

Points travel to a browser once, and so does each frame of a film; every rerun after that carries only what changed.
"""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import streamlit as st

from core.report import palette
from core.visible import visible
from pages.parts import javascript

MOST = 1_000_000  # points drawn in a space; an even draw of more, which the plot says
MANY = 50_000  # points from which one asks whether all are drawn
SHAPES_FROM = 9  # classes from which shape tells them apart beside colour
_MISSING = 65535  # the category of a sample without a value
MOST_REELS = 10  # runs whose films are shown at once
_MOST_FRAMES = 64  # of a film, in one message
_FILES = Path(__file__).parents[1] / "scatter"


class Card(TypedDict):
    """What the browser shows of one sample: its image as a data URL, or why there is none."""

    id: str
    label: str
    clusters: str
    marks: str
    image: str
    error: str


@dataclass(frozen=True, eq=False)
class Cloud:
    """The points of one or two spaces, as they are sent.

    Attributes:
        layouts: one a space, each of shape (m, 2), float32; the same sample in the same row.
        label_id: shape (m,), uint16.
        classes: names along `label_id`.
        drawn: rows of the table that are drawn, in order, shape (m,), uint32; None for all.
        n: rows of the table.
        fingerprint: names this content.
    """

    layouts: tuple[np.ndarray, ...]
    label_id: np.ndarray
    classes: tuple[str, ...]
    drawn: np.ndarray | None
    n: int
    fingerprint: str

    @property
    def note(self) -> str:
        """How many of how many are drawn, and why not all; empty where they are few."""
        if self.drawn is None:
            return f"all {self.n:,} images drawn" if self.n >= MANY else ""
        return (f"{len(self.drawn):,} of {self.n:,} images drawn, a random draw: more would make the page slow. "
                f"Every number is of all.")


@dataclass(frozen=True, eq=False)
class Color:
    """What points are coloured by.

    Attributes:
        title: what it is called.
        kind: categories, or numbers as 256 steps of a ramp.
        values: one a space, each of shape (n,), uint16: category or step; 65535 where there is none.
        names: of the categories; empty for numbers.
        colors: along the values.
        low, high: ends of the ramp, as text.
        is_label: whether the categories are the classes.
    """

    title: str
    kind: Literal["categories", "numbers"]
    values: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    colors: tuple[str, ...]
    low: str = ""
    high: str = ""
    is_label: bool = False


@dataclass(frozen=True, eq=False)
class Stars:
    """Places that are no samples', such as where one's own images land: drawn over the points, never picked.

    Attributes:
        places: one a space, each of shape (m, 2), float32.
        names: what each is called, shown when it is hovered.
        near: one a space, each of shape (m, k): rows of the table that lines lead to while it is hovered.
        words: what all of them are.
    """

    places: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    near: tuple[np.ndarray, ...]
    words: str


@dataclass(frozen=True, eq=False)
class Reel:
    """The frames of one run.

    Attributes:
        total: epochs that it has once it is done.
        names: epoch -> a name of its frame's content, in order.
        words: epoch -> what is said of it beside its number.
    """

    total: int
    names: dict[int, str]
    words: dict[int, str]


@dataclass(frozen=True, eq=False)
class Film:
    """Runs as they form, in step: the browser asks for the frames that it lacks.

    Attributes:
        reels: one a run.
        read: the name of a frame -> places of its samples, shape (n, 2); None where it cannot be read, which it says.
    """

    reels: tuple[Reel, ...]
    read: Callable[[str], np.ndarray | None]


def a_row(n: int) -> int:
    """How many of n runs' films stand side by side."""
    return n if n <= 4 else 3


def mark(number: int) -> str:
    """The letter in the star of that number, from 0: classes are often called by digits."""
    return chr(ord("A") + number)


def cloud(layouts: list[np.ndarray], label_id: np.ndarray, classes: tuple[str, ...]) -> Cloud:
    """Points to draw; an even random draw of them where there are more than `MOST`.

    Args:
        layouts: one a space, each of shape (n, 2).
        label_id: shape (n,).
        classes: names along `label_id`.
    """
    n = len(label_id)
    drawn = None
    if n > MOST:
        drawn = np.sort(np.random.default_rng(0).choice(n, MOST, replace=False)).astype(np.uint32)
    keep = slice(None) if drawn is None else drawn
    layouts = tuple(np.ascontiguousarray(layout[keep], np.float32) for layout in layouts)
    label_id = np.ascontiguousarray(label_id[keep], np.uint16)
    fingerprint = _fingerprint([*layouts, label_id], json.dumps([n, classes]))
    return Cloud(layouts, label_id, classes, drawn, n, fingerprint)


def probe(label_id: np.ndarray, classes: tuple[str, ...], name: str) -> Cloud:
    """The samples of a film, which lie where each frame has them.

    Args:
        label_id: shape (n,).
        classes: names along `label_id`.
        name: tells apart films whose samples are alike.
    """
    label_id = np.ascontiguousarray(label_id, np.uint16)
    return Cloud((), label_id, classes, None, len(label_id), _fingerprint([label_id], json.dumps([name, classes])))


def by_category(title: str, values: list[np.ndarray], names: tuple[str, ...], colors: list[str] | None = None,
                is_label: bool = False) -> Color:
    """Coloured by a category a sample.

    Args:
        title: what it is called.
        values: one a space, or one for both, each of shape (n,), int; negative for none.
        names: along the values.
        colors: along the values; None for the classes' palette.
        is_label: whether the categories are the classes.
    """
    steps = tuple(np.where(item < 0, _MISSING, item).astype(np.uint16) for item in values)
    return Color(title, "categories", steps, names, tuple(colors or palette.classes(len(names))), is_label=is_label)


def by_number(title: str, values: list[np.ndarray]) -> Color:
    """Coloured by a number a sample, on one scale in both spaces; nan is none.

    Args:
        title: what it is called.
        values: one a space, or one for both, each of shape (n,), float.
    """
    known = np.concatenate([item[np.isfinite(item)] for item in values])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    width = high - low or 1.0
    steps = tuple(np.where(np.isfinite(item), np.clip((np.nan_to_num(item) - low) / width * 255, 0, 255), _MISSING
                           ).astype(np.uint16) for item in values)
    return Color(title, "numbers", steps, (), tuple(palette.ramp(256)), low=f"{low:.3g}", high=f"{high:.3g}")


def draw(key: str, points: Cloud, color: Color, titles: tuple[str, ...], selected: np.ndarray, stamp: str,
         take: Callable[[np.ndarray, str], None], describe: Callable[[int], Card],
         nearest: Callable[[int], list[list[int]]] | None = None, file: str = "space", isolated: int | None = None,
         height: int | None = None, stars: Stars | None = None, film: Film | None = None) -> bool:
    """Draws the spaces. Call it within a fragment: each image the mouse asks for is a rerun.

    Args:
        key: names this plot in the session.
        points: what to draw.
        color: what to colour by.
        titles: of the spaces.
        selected: rows of the table that are selected.
        stamp: names this selection; the browser keeps its own until this changes.
        take: told the rows picked in the browser and that selection's stamp, before the rerun.
        describe: row -> what to show of it.
        nearest: row -> the nearest rows in each space; with it the selection's images stand beside the spaces.
        file: begins the names of downloaded pictures.
        isolated: class to show alone.
        height: pixels; None for squares as wide as the page allows.
        stars: places that are no samples'.
        film: where the points lie, epoch by epoch, of `probe`'s points; None for points that stay.

    Returns:
        Whether something was just picked.
    """
    slot = st.session_state.setdefault(f"told-{key}", {"seq": "", "cards": {}, "near": {}, "sent": set(), "picked": False,
                                                      "frames": (), "unread": set()})

    def hear() -> None:
        message = st.session_state[key].message
        if not message:
            return
        slot["seq"] = message["seq"]
        slot["sent"] -= set(message.get("missing", ()))
        slot["frames"] = tuple(map(str, message.get("frames", ())))[:_MOST_FRAMES]
        slot["cards"] = {row: describe(row) for row in message.get("ask", ()) if 0 <= row < points.n}
        slot["near"] = {}
        row = message.get("near")
        if nearest is not None and row is not None and 0 <= row < points.n:
            near = nearest(row)
            slot["near"] = {row: near}
            slot["cards"] |= {item: describe(item) for item in {row}.union(*near)}
        if "picked" in message and message["points"] == points.fingerprint:
            bits = np.frombuffer(base64.b64decode(message["picked"]), np.uint8)
            rows = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
            take(rows if points.drawn is None else points.drawn[rows], message["stamp"])
            slot["picked"] = True

    mount = _film if film is not None else _pair if nearest is not None else _single
    mount(key=key, data=pack(points, color, titles, selected, stamp, slot, file, isolated, height, stars, film),
          on_message_change=hear, height=height or "content")
    was_picked, slot["picked"] = slot["picked"], False
    return was_picked


def pack(points: Cloud, color: Color, titles: tuple[str, ...], selected: np.ndarray, stamp: str, slot: dict, file: str,
         isolated: int | None, height: int | None, stars: Stars | None = None, film: Film | None = None) -> bytes:
    """One message to the browser, which `pages/scatter/protocol.js` unpacks.

    Args:
        points, color, titles, selected, stamp, file, isolated, height, stars, film: as in `draw`.
        slot: what this browser has said and got: `seq` of its last message, `cards`, `near` and `frames` that it asked for,
            `sent` to it, `unread` frames that cannot be read; the fingerprints in `sent` grow by those of this message.

    Returns:
        Length of the header as uint32, header as JSON, arrays one after the other; numbers are little-endian.
    """
    keep = slice(None) if points.drawn is None else points.drawn
    arrays: dict[str, np.ndarray] = {}
    values = [item[keep] for item in color.values]
    color_fingerprint = _fingerprint(values, "")
    if points.fingerprint not in slot["sent"]:
        arrays |= {f"xy{side}": layout for side, layout in enumerate(points.layouts)} | {"label": points.label_id}
        if points.drawn is not None:
            arrays["rows"] = points.drawn
    if color_fingerprint not in slot["sent"]:
        arrays |= {f"color{side}": item for side, item in enumerate(values)}
    slot["sent"] |= {points.fingerprint, color_fingerprint}
    if len(selected):
        flags = np.zeros(points.n, bool)
        flags[selected] = True
        arrays["selected"] = np.packbits(flags[keep], bitorder="little")
    more: dict[str, object] = {}
    if stars is not None:
        arrays |= {f"star{side}": np.asarray(places, np.float32) for side, places in enumerate(stars.places)}
        more["stars"] = {"names": [visible(name) for name in stars.names], "words": stars.words,
                         "marks": [mark(number) for number in range(len(stars.names))],
                         "near": [rows.tolist() for rows in stars.near]}
    if film is not None:
        arrays |= {f"frame-{name}": places for name, places in _frames(film, slot, points.n).items()}
        more["columns"] = a_row(len(film.reels))
        more["reels"] = [{"total": reel.total, "frames": [(epoch, name, reel.words.get(epoch, ""))
                                                          for epoch, name in reel.names.items() if name not in slot["unread"]]}
                         for reel in film.reels]
    parts, blobs, start = [], [], 0
    for name, array in arrays.items():
        content = np.ascontiguousarray(array).tobytes()
        parts.append([name, array.dtype.str[1:], start, len(content)])
        blobs.append(content)
        start += len(content)
    header = json.dumps({
        "seq": slot["seq"], "points": points.fingerprint, "n": len(points.label_id), "titles": titles, "parts": parts,
        "classes": [visible(name) for name in points.classes],
        "shapes": len(points.classes) >= SHAPES_FROM, "note": points.note, "file": file,
        "color": {"fingerprint": color_fingerprint, "title": color.title, "kind": color.kind,
                  "names": [visible(name) for name in color.names],
                  "colors": color.colors, "low": color.low, "high": color.high, "is_label": color.is_label},
        "selection": {"stamp": stamp, "n": len(selected)}, "isolated": isolated, "height": height,
        "cards": slot["cards"], "near": slot["near"], **more}).encode()
    return b"".join([len(header).to_bytes(4, "little"), header, *blobs])


def _frames(film: Film, slot: dict, n: int) -> dict[str, np.ndarray]:
    """Frames to send: those that were asked for, and the newest of each run, which nobody has to ask for."""
    newest = {list(reel.names.values())[-1] for reel in film.reels if reel.names}
    known = {name for reel in film.reels for name in reel.names.values()}
    wanted = ({*slot["frames"], *slot["unread"]} & known) | (newest - slot["sent"])
    slot["frames"], slot["unread"], frames = (), set(), {}
    for name in sorted(wanted):
        places = film.read(name)
        if places is None or len(places) != n:
            slot["unread"].add(name)
        else:
            frames[name] = np.ascontiguousarray(places, np.float32)
    slot["sent"] |= frames.keys()
    return frames


def _fingerprint(arrays: list[np.ndarray], text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=12)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _skeleton(kind: str, n: int) -> str:
    """What stands before the points arrive: the same boxes, so that nothing moves when they do."""
    tools = [("lasso", "Lasso", "Draw a loop; Shift adds to the selection"), ("box", "Box", "Draw a box; Shift adds"),
             ("pan", "Pan", "Drag to move; the right button always does"), ("home", "Reset", "Show all; also a double click"),
             ("names", "Names", "Class names at the classes' centres; a click on one shows it alone")]
    if kind == "pair":
        tools.append(("flip", "Flip", "A large, B large, both again; also the key F"))
    pressed = {"lasso": "true", "names": "true"}
    buttons = "".join(f'<button type="button" data-tool="{name}" title="{text}" aria-pressed="{pressed.get(name, "false")}">'
                      f'{title}</button>' for name, title, text in tools)
    words = '<span class="words" title="MAP@R is on validation images, those of the film."></span>' if kind == "film" else ""
    hidden = " hidden" if kind == "film" else ""  # until it is known of how many runs
    plots = "".join(f"""<section class="plot" data-side="{side}"{hidden}><header><span class="title"></span>{words}
        <button type="button" class="png" title="Download this plot as PNG">PNG</button>
        <button type="button" class="svg" title="Download this plot as SVG">SVG</button></header>
        <div class="field"><canvas class="points"></canvas><canvas class="marks"></canvas><div class="labels"></div></div>
        </section>""" for side in range(n))
    panel = '<aside class="panel"></aside>' if kind == "pair" else ""
    player = '<div class="player"></div>' if kind == "film" else ""
    return (f'<div class="spaces {kind}" tabindex="0"><div class="bar"><div class="tools">{buttons}</div>'
            f'<div class="legend"></div><span class="note"></span></div><div class="grid">{plots}{panel}</div>{player}'
            f'<div class="tip" hidden></div></div>')


_script = javascript.join(_FILES / "scatter.js")
_style = (_FILES / "scatter.css").read_text(encoding="utf-8")
_pair = st.components.v2.component("duet_pair", html=_skeleton("pair", 2), css=_style, js=_script)
_single = st.components.v2.component("duet_space", html=_skeleton("single", 1), css=_style, js=_script)
_film = st.components.v2.component("duet_film", html=_skeleton("film", MOST_REELS), css=_style, js=_script)
