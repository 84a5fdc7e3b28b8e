"""What pydantic finds wrong with settings, in the project's words: the parameter, what it must be and what it got.

Validates nothing itself.
"""

import types
from collections.abc import Mapping
from typing import Annotated, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from core.errors import ParameterError
from core.wording import shown

_MESSAGES = {"model_type": "a group of settings", "dict_type": "a group of settings", "tuple_type": "a list",
             "model_attributes_type": "an objective's name or a mapping with a 'name'", "int_parsing": "a whole number",
             "float_parsing": "a number", "bool_parsing": "true or false"}
_KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text", "tuple": "a list",
          "list": "a list", "dict": "a group of settings"}
_PLURALS = {"str": "texts", "int": "whole numbers", "float": "numbers"}


def describe(error: ValidationError, model: type[BaseModel], tagged: Mapping[str, type[BaseModel]]) -> str:
    """The first thing that is wrong; unknown keys before all else.

    Args:
        error: what pydantic found.
        model: the model that was validated.
        tagged: models a list's entries choose from by their 'name'.
    """
    details = error.errors(include_url=False)
    first = next((item for item in details if item["type"] == "extra_forbidden"), details[0])
    location, choices, around = _location(first["loc"], model, tagged)
    where = ".".join(str(part) for part in location if part != "[key]") or "experiment"  # pydantic's mark of a bad key
    given = first.get("input")
    context = first.get("ctx", {})
    match first["type"]:
        case "extra_forbidden":
            return f"unknown key {where!r}; allowed here: {', '.join(_fields_at(first['loc'][:-1], model, tagged))}"
        case "missing" | "too_long" | "too_short" if around:
            whole = location[:-1] if first["type"] == "missing" else location
            return f"{'.'.join(map(str, whole))} must be {around}, got {shown(given)}"
        case "missing":
            return f"{where} must be given, got nothing"
        case "union_tag_invalid":
            return f"{where} must be one of {', '.join(tagged)}, got {context['tag']!r}"
        case "union_tag_not_found":
            return f"{where} must be an objective's name or a mapping with a 'name', got {given!r}"
        case "value_error":
            raised = context["error"]
            if isinstance(raised, ParameterError):
                return f"{'.'.join([*map(str, location), raised.parameter])} {raised.what}"
            return f"{where} {raised}"
    if choices:  # none of a union's choices took the value: each has said why, but they are one place
        whole = next((item["input"] for item in details if item["loc"][:-1] == first["loc"][:len(location)]), given)
        return f"{where} must be {' or '.join(choices)}, got {shown(whole)}"
    message = _MESSAGES.get(first["type"]) or first["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    if first["type"] == "tuple_type" and around:
        message = around
    if first["type"] in ("too_long", "too_short") and isinstance(given, (list, tuple, dict)):
        bound = f"at most {context['max_length']:,}" if "max_length" in context else f"at least {context['min_length']:,}"
        return f"{where} must list {bound}, got {len(given):,}"
    if first["type"] == "string_too_long":
        return f"{where} must have at most {context['max_length']:,} letters, got {len(given):,}"
    if first["type"] == "string_type" and isinstance(given, bool):
        return f"{where} must be text, got {shown(given)}; YAML reads yes, no, on and off so: quote it"
    return f"{where} must be {message}, got {shown(given)}"


def _location(parts: tuple[int | str, ...], model: type[BaseModel],
              tagged: Mapping[str, type[BaseModel]]) -> tuple[list[int | str], list[str], str]:
    """Keys and indices as they stand in a file, up to the first union that took nothing; that union's choices, in words; and
    what list of a fixed length the place is, or is in, in words.

    pydantic puts the choice of a union into a location ('held_out_classes.int'): no key of that name exists.
    """
    keys: list[int | str] = []
    around = ""
    annotation: object = model
    for part in parts:
        annotation = _without_none(annotation)
        if (part in tagged and not _is_field(part, annotation)) or part in ("untrained", "frozen"):
            annotation = tagged.get(str(part), model)
            continue
        if choices := _choices(annotation):
            return keys, list(dict.fromkeys(_kind_of(choice) for choice in choices)), ""
        keys.append(part)
        around = _fixed_list(annotation)
        if _is_model(annotation):
            annotation = annotation.model_fields[part].annotation if part in annotation.model_fields else None
        else:
            annotation = _entry(annotation, part)
    return keys, [], _fixed_list(_without_none(annotation)) or around


def _fixed_list(annotation: object) -> str:
    """A list of so many entries, in words; nothing for all else."""
    arguments = get_args(annotation)
    if get_origin(annotation) is not tuple or Ellipsis in arguments:
        return ""
    return f"a list of {len(arguments)} {_PLURALS.get(getattr(_without_none(arguments[0]), '__name__', ''), 'entries')}"


def _without_none(annotation: object) -> object:
    """An annotation without its metadata and without None, which pydantic leaves out of locations."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        some = [choice for choice in get_args(annotation) if choice is not type(None)]
        if len(some) == 1:
            return _without_none(some[0])
    return annotation


def _choices(annotation: object) -> list[object]:
    """What a union chooses from by trying; none of the union of objectives, which go by name, and of all that is no union."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return []
    choices = [_without_none(choice) for choice in get_args(annotation) if choice is not type(None)]
    return [] if any(_is_model(choice) for choice in choices) else choices


def _entry(annotation: object, part: object) -> object:
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return arguments[1]
    if get_origin(annotation) in (tuple, list) and arguments:
        return arguments[0] if len(arguments) == 1 or Ellipsis in arguments or not isinstance(part, int) else (
            arguments[min(part, len(arguments) - 1)])
    return None


def _kind_of(choice: object) -> str:
    origin = get_origin(choice) or choice
    arguments = get_args(choice)
    if origin in (tuple, list) and arguments:
        plural = _PLURALS.get(getattr(arguments[0], "__name__", ""))
        return f"a list of {plural}" if plural else "a list"
    if isinstance(origin, type):
        return _KINDS.get(origin.__name__, origin.__name__)
    return " or ".join(repr(value) for value in arguments)


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_field(part: object, annotation: object) -> bool:
    return _is_model(annotation) and part in annotation.model_fields


def _fields_at(location: tuple[int | str, ...], model: type[BaseModel], tagged: Mapping[str, type[BaseModel]]) -> list[str]:
    for part in location:
        if part in tagged:
            model = tagged[str(part)]
        elif part in model.model_fields:
            annotation = model.model_fields[part].annotation
            model = next((choice for choice in map(_without_none, (annotation, *get_args(annotation))) if _is_model(choice)),
                         model)
    return list(model.model_fields)
