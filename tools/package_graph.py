"""Prints which package of `core` imports which, lowest first: `python -m tools.package_graph`.

Exits with 1 on an arrow upward.

A module may import its own package and those below it, at the top of its file or inside a function.
"""

import ast
import sys
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("files and wording", "config", "analysis", "data", "training", "experiments", "results", "report", "jobs",
            "inference", "benchmark", "cli")  # the first is `core` itself: what lies in no package


def main() -> int:
    """Prints the graph; returns the exit code."""
    arrows = imports()
    for package in PACKAGES:
        below = [f"{other} ({arrows[package, other]})" for other in PACKAGES if arrows[package, other] and other != package]
        print(f"{package:20s} {', '.join(below)}".rstrip())
    upward = upward_of(arrows)
    for importing, imported in upward:
        print(f"{importing} imports {imported}, which is above it")
    return int(bool(upward))


def imports() -> Counter[tuple[str, str]]:
    """How many imports lead from a package to a package."""
    arrows: Counter[tuple[str, str]] = Counter()
    for path in sorted((PROJECT / "core").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            mine = _package(path.relative_to(PROJECT).with_suffix("").parts)
            arrows.update((mine, _package(tuple(name.split(".")))) for name in names if name.startswith("core."))
    return arrows


def upward_of(arrows: Counter[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows that lead from a package to one above it."""
    return [(importing, imported) for importing, imported in arrows if PACKAGES.index(imported) > PACKAGES.index(importing)]


def _package(parts: tuple[str, ...]) -> str:
    """The package of a dotted name or a path, both from `core` on."""
    return parts[1] if len(parts) > 1 and (PROJECT / "core" / parts[1]).is_dir() else PACKAGES[0]


if __name__ == "__main__":
    sys.exit(main())
