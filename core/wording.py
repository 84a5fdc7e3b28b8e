"""What went wrong, in one line: of a value, the parameter, what it must be and what it got; of work, the failure.

Turns pydantic's and Python's findings into the project's own wording; validates nothing itself.
"""

import json
from typing import get_args

from pydantic import BaseModel, ValidationError

_MOST_SHOWN = 200  # letters of a value

# Beginnings of messages that name their parameter themselves.
_COMPLETE = ("a name must", "root", "budget.epochs", "download", "objectives", "group_by", "training.", "tuning.",
             "images_per_class")


def describe(error: ValidationError, model: type[BaseModel], tagged: dict[str, type[BaseModel]]) -> str:
    """The first thing that is wrong; unknown keys before all else.

    Args:
        error: what pydantic found.
        model: the model that was validated.
        tagged: models a list's entries choose from by their 'name'.
    """
    details = error.errors(include_url=False)
    first = next((item for item in details if item["type"] == "extra_forbidden"), details[0])
    location = [part for part in first["loc"] if part not in tagged and part != "untrained"]
    where = ".".join(str(part) for part in location) or "experiment"
    given = first.get("input")
    context = first.get("ctx", {})
    match first["type"]:
        case "extra_forbidden":
            return f"unknown key {where!r}; allowed here: {', '.join(_fields_at(first['loc'][:-1], model, tagged))}"
        case "missing":
            return f"{where} must be given, got nothing"
        case "union_tag_invalid":
            return f"{where} must be one of {', '.join(tagged)}, got {context['tag']!r}"
        case "union_tag_not_found":
            return f"{where} must be an objective's name or a mapping with a 'name', got {given!r}"
        case "value_error":
            message = str(context["error"])
            return message if message.startswith(_COMPLETE) else f"{where} {message}"
    message = first["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    if first["type"] == "model_type":
        message = "a group of settings"
    if first["type"] == "tuple_type":
        message = "a list"
    if first["type"] in ("too_long", "too_short") and isinstance(given, (list, tuple, dict)):
        bound = f"at most {context['max_length']:,}" if "max_length" in context else f"at least {context['min_length']:,}"
        return f"{where} must list {bound}, got {len(given):,}"
    if first["type"] == "string_too_long":
        return f"{where} must have at most {context['max_length']:,} letters, got {len(given):,}"
    if first["type"] == "string_type" and isinstance(given, bool):
        return f"{where} must be text, got {_shown(given)}; YAML reads yes, no, on and off so: quote it"
    return f"{where} must be {message}, got {_shown(given)}"


def failure(error: Exception) -> str:
    """An error in one line, without Python's number in brackets; its type if it says nothing."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror + (f": {error.filename}" if error.filename else "")
    return " ".join(text.split()) or type(error).__name__


def cut(text: str, most: int = 60) -> str:
    """A text that may be long, as far as a message shows it."""
    return text if len(text) <= most else f"{text[:most]}…"


def _shown(value: object) -> str:
    """A value as YAML and JSON would have it; Python's own way for what they cannot say."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return cut(text, _MOST_SHOWN)


def _fields_at(location: tuple, model: type[BaseModel], tagged: dict[str, type[BaseModel]]) -> list[str]:
    for part in location:
        if part in tagged:
            model = tagged[part]
        elif part in model.model_fields:
            annotation = model.model_fields[part].annotation
            model = next((choice for choice in (annotation, *get_args(annotation))
                          if isinstance(choice, type) and issubclass(choice, BaseModel)), model)
    return list(model.model_fields)


# Sentences of libraries without an exception for it: PyTorch on a CPU, the C++ library, glibc, CUDA's libraries, oneDNN.
_NO_MEMORY = ("can't allocate memory", "bad_alloc", "Cannot allocate memory", "out of memory", "could not create a primitive",
              "could not create a memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device, or the machine itself, had no memory left."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY))
