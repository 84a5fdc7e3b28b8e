"""What an address may say: read and checked in one place, and said in words where it is nonsense.

An address fills in a form and picks what is shown. Work never begins from it: any web page can open any address, so a scan
or a process needs a press of whoever sits here (`may_begin`).
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

import streamlit as st

from pages.parts.text import plain

Choice = TypeVar("Choice")
LONGEST = 4096  # letters of a value: as many as a path may have
KEYS = frozenset({"experiment", "run", "split", "color", "a", "b", "images", "seed", "layout", "view", "select", "saved",
                  "source", "root", "group_by", "from", "curve",
                  "classes", "min_per_class", "columns", "ignore_columns", "levels"})
_OWN = "own-address"  # key -> what this session wrote into its address itself
_PRESSED = "has-pressed"


def check() -> None:
    """Says which keys of the address no screen knows."""
    unknown = [key for key in st.query_params if key not in KEYS]
    if unknown:
        more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
        _refuse(f"The address names {plain(unknown[0], 40)}{more}, which no screen knows; it is ignored.")


def get(key: str) -> str:
    """A value of the address; empty where there is none, or one that cannot be meant, which is said."""
    value = st.query_params.get(key, "")
    reason = _fault(value)
    if reason:
        _refuse(f"{key} in the address {reason}; it is ignored.")
        return ""
    return value


def get_all(key: str) -> list[str]:
    """All values of a key, such as names of files, but for those too long to be meant."""
    return [value for value in st.query_params.get_all(key) if value and len(value) <= LONGEST]


def choose(key: str, options: Sequence[str]) -> str | None:
    """A value of the address if it is one of the options; None if there is none, or another, which is said."""
    value = get(key)
    if value in options:
        return value
    if names_none_of(key, options):
        some = ", ".join(options[:8]) + (", …" if len(options) > 8 else "")
        _refuse(f"{key} in the address must be one of {plain(some)}; got {plain(value, 60)}.")
    return None


def names_none_of(key: str, options: Sequence[str]) -> bool:
    """Whether the address asks for what can be meant and is none of the options; what this session wrote there itself may be
    out of date, and asks for nothing."""
    value = st.query_params.get(key, "")
    return bool(value) and not _fault(value) and value not in options and st.session_state.get(_OWN, {}).get(key) != value


def put(key: str, value: str) -> None:
    """Writes a value into the address."""
    st.session_state.setdefault(_OWN, {})[key] = value
    if st.query_params.get(key) != value:
        st.query_params[key] = value


def pick(label: str, options: Sequence[Choice], parameter: str, default: int = 0,
         help_text: str | None = None, width: int | Literal["stretch"] = "stretch", in_a_row: bool = False) -> Choice:
    """A select box whose choice stands in the address under `parameter`; `in_a_row` with its label inside, not above."""
    words = [str(option) for option in options]
    wanted = choose(parameter, words)
    index = words.index(wanted) if wanted in words else min(default, len(words) - 1)
    chosen = st.selectbox(label, options, index=index, help=help_text, width=width,
                          format_func=(lambda option: f"{label} {option}") if in_a_row else str,
                          label_visibility="collapsed" if in_a_row else "visible",
                          key=f"pick-{parameter}-{wanted}-{'|'.join(words)}")
    put(parameter, str(chosen))
    return chosen


def press() -> None:
    """Notes that someone has pressed or typed something that means work: from now on this session may begin it."""
    st.session_state[_PRESSED] = True


def may_begin(label: str, why: str) -> bool:
    """Whether work may begin; else draws a button that begins it, and why it waits.

    Args:
        label: of the button.
        why: what waits, a sentence.
    """
    if st.session_state.get(_PRESSED) or not st.query_params:  # without an address, a caller asked
        return True
    place = st.container()
    place.info(plain(why), icon=":material/touch_app:")
    if place.button(label, type="primary", icon=":material/play_arrow:", key=f"begin-{label}"):
        press()
        st.rerun()
    return False


def _fault(value: str) -> str:
    if len(value) > LONGEST:
        return f"must have at most {LONGEST:,} letters, got {len(value):,}"
    return "must be text without control characters" if any(ord(letter) < 32 for letter in value) else ""


def _refuse(sentence: str) -> None:
    st.warning(sentence, icon=":material/link_off:")
