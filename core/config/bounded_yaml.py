"""YAML as people write it by hand: bounded in size, depth and number of values, and nothing in it dropped or guessed.

A key that stands twice, a date, a number of base 8 or 60 and an integer beyond 64 bits are refused with their line. What the
values mean is `core.config`'s.
"""

import re

import yaml

from core.errors import InputError
from core.wording import cut

MOST_BYTES = 1_000_000
MOST_VALUES = 20_000  # keys and values, those of an alias counted each time it stands
MOST_DEPTH = 32
MOST_DOCUMENTS = 100

_BREAKS = re.compile("[\x85\u2028\u2029]")  # line breaks to YAML 1.1, which folds them to a space where nothing escapes them
_OTHER_BASES = re.compile(r"[-+]?0[0-7_]+|[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


def documents(content: bytes | str) -> list[object]:
    """Every document of a text, as Python's own values.

    Raises:
        InputError: one sentence with the line: it is no YAML, is too large, or says something that is read otherwise than
            it is meant.
    """
    text = _text(content)
    try:
        _check_size(text)
        loader = _Loader(text)
        try:
            found = []
            while loader.check_data():
                found.append(loader.get_data())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise InputError(_sentence(error)) from None
    except yaml.YAMLError as error:
        raise InputError(" ".join(str(error).split())) from None
    return found


def value(text: str) -> object:
    """The one value that a text is, such as that of a setting; None for an empty text.

    Raises:
        InputError: as `documents`, or if it holds several documents.
    """
    found = documents(text)
    if len(found) > 1:
        raise InputError(f"must be one value, got {len(found)} documents")
    return found[0] if found else None


def dump(values: object) -> str:
    """Values as YAML that `documents` reads back as they are, whatever characters stand in them."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _text(content: bytes | str) -> str:
    size = len(content) if isinstance(content, bytes) else len(content.encode(errors="surrogatepass"))
    if size > MOST_BYTES:
        raise InputError(f"must be at most {MOST_BYTES:,} bytes, got {size:,}")
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"must be UTF-8 text, got byte 0x{content[error.start]:02x} in line {line}") from None


def _check_size(text: str) -> None:
    """Refuses what would take long or much to build, from the events alone: an alias counts as all that it stands for."""
    sizes: dict[str, int] = {}
    counts, anchors, n_documents = [0], [], 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            n_documents += 1
            if n_documents > MOST_DOCUMENTS:
                raise InputError(f"must hold at most {MOST_DOCUMENTS} documents")
            sizes = {}
        elif isinstance(event, yaml.CollectionStartEvent):
            counts.append(1)
            anchors.append(event.anchor)
            if len(anchors) > MOST_DEPTH:
                raise InputError(f"must be nested at most {MOST_DEPTH} deep, got more in line {line}")
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = counts.pop(), anchors.pop()
            counts[-1] += size
            if anchor:
                sizes[anchor] = size
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in anchors:
                raise InputError(f"alias *{cut(event.anchor)} must not stand inside of what it names, got it in line {line}")
            counts[-1] += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            counts[-1] += 1
            if event.anchor:
                sizes[event.anchor] = 1
        if sum(counts) > MOST_VALUES:
            raise InputError(f"must hold at most {MOST_VALUES:,} values, aliases counted as what they stand for, got more "
                             f"in line {line}")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Plain values only, each key once."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._checked: dict[int, yaml.Node] = {}  # by identity: those that others are merged into hold keys twice afterwards

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, InputError):
            raise
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):  # a tag that does not fit
            tag = "!!" + cut(node.tag.rpartition(":")[2])
            raise InputError(f"a value must be what its tag {tag} says, got {cut(str(node.value))!r} in line "
                             f"{node.start_mark.line + 1}") from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        self._check_keys(node)
        super().flatten_mapping(node)  # which calls this again for each mapping that is merged

    def _check_keys(self, node: yaml.MappingNode) -> None:
        if id(node) not in self._checked:
            self._checked[id(node)] = node
            lines: dict[object, int] = {}
            for key_node, _ in node.value:
                line = key_node.start_mark.line + 1
                if not isinstance(key_node, yaml.ScalarNode):
                    kind = "list" if isinstance(key_node, yaml.SequenceNode) else "mapping"
                    raise InputError(f"a key must be text, got a {kind} in line {line}")
                if key_node.tag != "tag:yaml.org,2002:merge" and not isinstance(self.construct_object(key_node), str):
                    raise InputError(f"a key must be text, got {cut(key_node.value)} in line {line}, which YAML reads as "
                                     f"{self.construct_object(key_node)!r}: quote it")
                if key_node.value in lines:
                    first = lines[key_node.value]
                    where = f"lines {first} and {line}" if first != line else f"line {line}"
                    raise InputError(f"key {cut(key_node.value)!r} must stand once, got it twice ({where})")
                lines[key_node.value] = line

    def construct_whole_number(self, node: yaml.ScalarNode) -> int:
        line = node.start_mark.line + 1
        if _OTHER_BASES.fullmatch(node.value):
            raise InputError(f"a number must be written in tens, got {cut(node.value)} in line {line}, which YAML reads as "
                             f"{yaml.SafeLoader.construct_yaml_int(self, node)}; quote it if it is text")
        digits = len(node.value)
        number = yaml.SafeLoader.construct_yaml_int(self, node) if digits < 100 else None
        if number is None or not -2 ** 63 <= number < 2 ** 64:
            raise InputError(f"a whole number must fit in 64 bits, got one of {digits:,} digits in line {line}")
        return number

    def construct_number(self, node: yaml.ScalarNode) -> float:
        if _OTHER_BASES.fullmatch(node.value):
            raise InputError(f"a number must be written in tens, got {cut(node.value)} in line {node.start_mark.line + 1}; "
                             f"quote it if it is text")
        return yaml.SafeLoader.construct_yaml_float(self, node)

    def refuse_date(self, node: yaml.ScalarNode) -> None:
        raise InputError(f"a value must be text, a number, true, false or null, got the date {cut(node.value)} in line "
                         f"{node.start_mark.line + 1}: quote it if it is text")


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.refuse_date)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    words = ", ".join(" ".join(part.split()) for part in (error.context, error.problem) if part)
    advice = "; indent with spaces, not tabs" if "'\\t'" in words else ""
    return f"{cut(words, 300)}{where}{advice}"


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    def represent_str(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _BREAKS.search(text) else None)


_Dumper.add_representer(str, _Dumper.represent_str)
