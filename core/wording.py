"""What went wrong, in one line: an error, or a value as a message shows it."""

import json
import re

_MOST_SHOWN = 200  # letters of a value

# Colours and movements of a terminal (ECMA-48), which messages of libraries hold, and other characters that do not print.
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?|[\x00-\x08\x0e-\x1f\x7f-\x9f]")


def one_line(text: object) -> str:
    """A text without line breaks and terminal codes."""
    return " ".join(_TERMINAL.sub("", str(text)).split())


def failure(error: BaseException) -> str:
    """An error in one line, without Python's number in brackets; its type if it says nothing."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror + (f": {error.filename}" if error.filename else "")
    return one_line(text) or type(error).__name__


def cut(text: str, most: int = 60) -> str:
    """A text that may be long, as far as a message shows it."""
    return text if len(text) <= most else f"{text[:most]}…"


def shown(value: object) -> str:
    """A value as YAML and JSON would have it, Python's own way for what they cannot say; cut where it is long."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except TypeError:
        text = repr(value)
    except ValueError:  # a number of more digits than Python writes, or a list that holds itself
        return f"a number of {value.bit_length() * 0.30103:.0f} digits" if isinstance(value, int) else type(value).__name__
    return cut(text, _MOST_SHOWN)


# Sentences of libraries without an exception for it: PyTorch on a CPU, the C++ library, glibc, CUDA's libraries, oneDNN.
_NO_MEMORY = ("can't allocate memory", "bad_alloc", "Cannot allocate memory", "out of memory", "could not create a primitive",
              "could not create a memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device, or the machine itself, had no memory left."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY))
