"""The ES modules of a component, joined into the one script that Streamlit takes.

Streamlit serves a component's files, which could import each other, for installed packages alone. A checkout hands over a
text, and a text has no neighbours to import from. JavaScript is not parsed here: imports, exports and declarations are
whole lines in a few forms, and any other form is refused.
"""

import re
from pathlib import Path

_IMPORT = re.compile(r'import \{ (\w+(?:, \w+)*) \} from "\./([\w-]+\.js)";')
_DECLARATION = re.compile(r"(export )?(?:const|let|class|(?:async )?function) (\w+)")
_DEFAULT = "export default function"


def join(entry: Path) -> str:
    """One module that does what `entry` does, each module it needs before those that import it.

    Args:
        entry: the module that exports a default function; what it imports lies in its folder.

    Raises:
        FileNotFoundError: a module that is imported is not there.
        ValueError: modules import each other in a circle, two declare the same name, an imported name is not exported, or a
            line has a form that cannot be joined.
    """
    bodies: dict[str, str] = {}
    exported: dict[str, set[str]] = {}
    declared: dict[str, str] = {}

    def add(path: Path, importers: tuple[str, ...]) -> None:
        if path.name in importers:
            raise ValueError(f"modules must not import each other in a circle, got {' → '.join([*importers, path.name])}")
        if path.name in bodies:
            return
        lines, exported[path.name] = [], set()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            where = f"{path.name}, line {number}"
            if match := _IMPORT.fullmatch(line):
                other = path.with_name(match[2])
                if not other.is_file():
                    raise FileNotFoundError(f"{where}: a module must import files of its own folder, got {match[2]}")
                add(other, (*importers, path.name))
                if unknown := set(match[1].split(", ")) - exported[other.name]:
                    raise ValueError(f"{where}: {other.name} does not export {', '.join(sorted(unknown))}")
                continue
            if line.startswith(_DEFAULT):
                if importers:
                    raise ValueError(f"{where}: only the first module may have a default export")
            elif match := _DECLARATION.match(line):
                name = match[2]
                if name in declared:
                    raise ValueError(f"{where}: {name} must be declared once, {declared[name]} declares it too")
                declared[name] = path.name
                if match[1]:
                    exported[path.name].add(name)
                line = line.removeprefix("export ")
            elif line[:1].isalpha() or re.search(r"\b(import|export)\b", line.partition("//")[0]):
                raise ValueError(f"{where}: not a form that can be joined: {line}")
            lines.append(line)
        bodies[path.name] = "\n".join(lines).strip()

    add(entry, ())
    return "".join(f"// {name}\n{body}\n\n" for name, body in bodies.items())
