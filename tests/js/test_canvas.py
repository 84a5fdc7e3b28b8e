"""The canvas's modules: their own tests under node, and how they are joined into the script that Streamlit takes."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import playwright
import pytest

from pages.parts import javascript, scatter
from tests import PROJECT
from tests.conftest import unpacked

MODULES = sorted((PROJECT / "pages" / "scatter").glob("*.js"))
NODE = Path(playwright.__file__).parent / "driver" / ("node.exe" if sys.platform == "win32" else "node")


def node(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the node that Playwright brings."""
    return subprocess.run([NODE, *arguments], env={**os.environ, **environment}, capture_output=True, text=True,
                          encoding="utf-8", timeout=300)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A folder with a message of the real packer and, as JSON, what was packed in it."""
    generator = np.random.default_rng(0)
    layouts = [generator.normal(size=(21, 2)).astype(np.float32) for _ in range(2)]
    label_id = generator.integers(0, 3, 21)
    points = scatter.cloud(layouts, label_id, ("cat", "dög", "<b>"))
    color = scatter.by_category("k-NN", [np.where(label_id == 2, -1, label_id)], ("right", "wrong"))
    rows = np.array([0, 2, 3, 8, 20])
    slot = {"seq": "a-1", "cards": {}, "near": {}, "sent": set()}
    (tmp_path / "message").write_bytes(scatter.pack(points, color, ("A", "B"), rows, "stamp", slot, "space", None, None))
    flags = np.zeros(21, bool)
    flags[rows] = True
    bits = np.packbits(flags, bitorder="little")
    arrays = {"xy0": layouts[0].ravel(), "xy1": layouts[1].ravel(), "label": label_id, "color0": color.values[0],
              "selected": bits}
    (tmp_path / "expected.json").write_text(json.dumps({
        "arrays": {name: array.tolist() for name, array in arrays.items()}, "classes": points.classes,
        "points": points.fingerprint, "selection": {"stamp": "stamp", "n": 5}, "rows": rows.tolist(),
        "picked": base64.b64encode(bits).decode()}))
    return tmp_path


def test_stars_are_sent_beside_the_points_and_belong_to_none() -> None:
    points = scatter.cloud([np.zeros((3, 2)), np.ones((3, 2))], np.zeros(3, int), ("cat",))
    color = scatter.by_category("class", [np.zeros(3, int)], ("cat",), is_label=True)
    slot: dict = {"seq": "", "cards": {}, "near": {}, "sent": set()}
    places = tuple(np.array([[side, 2], [3, 4]], np.float32) for side in (0, 1))
    near = tuple(np.array([[0, 2], [1, 2]]) for _ in (0, 1))
    stars = scatter.Stars(places, ("own.png", "\u202egnp.nwo"), near, "your image")
    first, second = (unpacked(scatter.pack(points, color, ("A", "B"), np.zeros(0, int), "", slot, "space", None, None, stars))
                     for _ in range(2))
    assert (first["n"], first["stars"]["marks"], first["stars"]["near"]) == (3, ["A", "B"], [[[0, 2], [1, 2]]] * 2)
    assert first["stars"]["names"] == ["own.png", "\\u202egnp.nwo"]
    assert {name: array.tolist() for name, array in second["arrays"].items()} == {"star0": [0, 2, 3, 4], "star1": [1, 2, 3, 4]}
    without = unpacked(scatter.pack(points, color, ("A", "B"), np.zeros(0, int), "", slot, "space", None, None))
    assert "stars" not in without and without["arrays"] == {}


def test_the_modules_pass_their_own_tests(packed: Path) -> None:
    files = sorted((PROJECT / "tests" / "js").glob("*.test.mjs"))
    result = node("--test", "--test-reporter=tap", *files, DUET_PACKED=str(packed))
    assert result.returncode == 0, result.stdout + result.stderr
    counts = {name: int(n) for name, n in re.findall(r"^# (tests|pass|skipped|todo) (\d+)$", result.stdout, re.MULTILINE)}
    assert counts["tests"] == counts["pass"] >= len(files), result.stdout


def test_the_joined_script_holds_every_module_once_and_parses(tmp_path: Path) -> None:
    script = javascript.join(PROJECT / "pages" / "scatter" / "scatter.js")
    assert script == javascript.join(PROJECT / "pages" / "scatter" / "scatter.js")
    assert sorted(re.findall(r"^// ([\w-]+\.js)$", script, re.MULTILINE)) == [path.name for path in MODULES]
    joined = tmp_path / "joined.mjs"
    joined.write_text(script, encoding="utf-8")
    code = f"import({json.dumps(joined.as_uri())}).then(found => console.log(Object.keys(found), found.default.length))"
    result = node("-e", code)  # a name declared twice or used before its module would end it
    assert result.stdout == "[ 'default' ] 1\n", result.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_begins_with_what_it_is(path: Path) -> None:
    assert re.match(r"// [A-Z].*[^,]\n", path.read_text(encoding="utf-8"))


def folder_of(tmp_path: Path, **modules: str) -> Path:
    """Writes modules by name; returns the one called `entry`."""
    for name, text in modules.items():
        (tmp_path / f"{name}.js").write_text(text, encoding="utf-8")
    return tmp_path / "entry.js"


ENTRY = 'import { b } from "./b.js";\n\nexport default function () {\n  return b;\n}\n'


def test_what_is_imported_stands_before_who_imports_it(tmp_path: Path) -> None:
    entry = folder_of(
        tmp_path, entry='import { a } from "./a.js";\n' + ENTRY, c="export const c = 1;\nconst own = 2; // not for others\n",
        a='import { c } from "./c.js";\nexport function a() {\n  return c;\n}\n',
        b='import { c } from "./c.js";\nimport { a } from "./a.js";\n\nexport const b = a() + c;\n')
    assert javascript.join(entry) == """\
// c.js
const c = 1;
const own = 2; // not for others

// a.js
function a() {
  return c;
}

// b.js
const b = a() + c;

// entry.js
export default function () {
  return b;
}

"""


@pytest.mark.parametrize("b, message", [
    ('import { b } from "./gone.js";', "b.js, line 1: a module must import files of its own folder, got gone.js"),
    ('import { b } from "./entry.js";', "in a circle, got entry.js → b.js → entry.js"),
    ('import { c, own } from "./c.js";\nexport const b = 1;', "b.js, line 1: c.js does not export own"),
    ('import { c } from "./c.js";\nconst c = 1;', "b.js, line 2: c must be declared once, c.js declares it too"),
    ('import { c } from "./c.js";\nclass own {}', "b.js, line 2: own must be declared once, c.js declares it too"),
    ("export default function () {}", "b.js, line 1: only the first module may have a default export"),
])
def test_modules_that_do_not_fit_together_are_refused(tmp_path: Path, b: str, message: str) -> None:
    entry = folder_of(tmp_path, entry=ENTRY, b=b, c="export const c = 1;\nconst own = 2;\n")
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)):
        javascript.join(entry)


@pytest.mark.parametrize("line", [
    'import { c as d } from "./c.js";', 'import c from "./c.js";', 'import * as c from "./c.js";', 'import "./c.js";',
    'import { c } from "../c.js";', 'import { c } from "https://example.org/c.js";', "import {", 'import { c } from "./c.js"',
    '  const c = await import("./c.js");', "  const here = import.meta.url;", 'export { c } from "./c.js";', "export { c };",
    'export * from "./c.js";', "export const { c } = { c: 1 };", "const [c] = [1];", "var c = 1;", "start();",
])
def test_a_form_that_cannot_be_joined_is_refused(tmp_path: Path, line: str) -> None:
    entry = folder_of(tmp_path, entry=ENTRY, b=f"// first\n{line}\nexport const b = 1;\n", c="export const c = 1;\n")
    with pytest.raises((ValueError, FileNotFoundError), match=r"^b\.js, line 2: "):
        javascript.join(entry)
