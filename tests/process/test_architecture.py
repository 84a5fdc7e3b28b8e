"""The import rules of the layers, each proven in a fresh interpreter; and the trees that README and docs print."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import core
from tests import PROJECT
from tools import package_graph

MODULES = sorted(".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in (PROJECT / "core").rglob("*.py")
                 if path.name != "__init__.py")
WITH_TORCH = {"core.jobs.series", "core.jobs.execution", "core.jobs.recorder", "core.jobs.workplace",
              "core.inference.embedding"}  # and training
TORCH_FREE = [name for name in MODULES if name.split(".")[1] not in ("training", "benchmark") and name not in WITH_TORCH]
SCREENS = sorted((PROJECT / "pages").glob("*.py"))
PARTS = sorted((PROJECT / "pages" / "parts").glob("*.py"))


@cache
def loaded_after(statement: str) -> set[str]:
    """Top-level and dotted names in sys.modules of a fresh interpreter that ran a statement."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def imports_of(path: Path) -> set[str]:
    """Every module a file imports, at whatever depth it stands in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{item.name}" for item in node.names)}
    return found


def test_the_light_half_never_loads_torch() -> None:
    loaded = loaded_after("import " + ", ".join(TORCH_FREE))
    assert "core.analysis.metrics" in loaded
    assert not {"torch", "timm", "torchvision"} & loaded


def test_core_never_loads_streamlit_and_plotly_only_in_report() -> None:
    assert "streamlit" not in loaded_after("import " + ", ".join(MODULES))
    loaded = loaded_after("import " + ", ".join(name for name in MODULES if not name.startswith("core.report")))
    assert "torch" in loaded and "plotly" not in loaded


def test_a_process_that_helps_to_read_images_starts_with_little() -> None:
    loaded = loaded_after("import core.data.processes, core.data.reading")
    assert not {"numpy", "scipy", "pandas", "pyarrow"} & loaded


def test_the_first_screen_is_drawn_before_core_is_imported() -> None:
    parts = ("actions", "experiment_picker", "roots", "run_words", "screen")
    loaded = loaded_after("import " + ", ".join(f"pages.parts.{name}" for name in parts))
    assert {name for name in loaded if name.startswith("core.")} == {"core.errors", "core.visible"}


def test_umap_is_never_imported_with_a_module() -> None:
    assert "umap" not in loaded_after("import " + ", ".join(MODULES))


def test_jobs_starts_the_worker_without_importing_it() -> None:
    assert "core.jobs.worker" not in loaded_after("import core.jobs.control")
    assert "core.jobs.worker" in (PROJECT / "core" / "jobs" / "control.py").read_text(encoding="utf-8")


def test_the_trainer_knows_no_folders() -> None:
    loaded = loaded_after("import core.training.trainer")
    assert not [name for name in loaded if name.startswith(("core.experiments", "core.results", "core.jobs"))]
    assert not {"pathlib", "os", "shutil"} & imports_of(PROJECT / "core" / "training" / "trainer.py")


def test_no_package_imports_one_above_it() -> None:
    arrows = package_graph.imports()
    assert ("jobs", "training") in arrows, "the graph must list what is imported"
    assert package_graph.upward_of(arrows) == []
    assert set(package_graph.PACKAGES[1:]) == {path.parent.name for path in (PROJECT / "core").glob("*/__init__.py")}


def test_pages_holds_the_screens_of_the_navigation_and_nothing_else() -> None:
    frame = (PROJECT / "streamlit_app.py").read_text(encoding="utf-8")
    assert {path.stem for path in SCREENS} == set(re.findall(r'st\.Page\("pages/(\w+)\.py"', frame))


@pytest.mark.parametrize("path", SCREENS + PARTS, ids=lambda path: path.stem)
def test_pages_reach_neither_training_nor_screens(path: Path) -> None:
    screens = {f"pages.{other.stem}" for other in SCREENS}
    imported = imports_of(path)
    forbidden = ("torch", "timm", "torchvision", "core.training", "core.jobs.worker", "core.jobs.series",
                 "core.jobs.execution", "core.jobs.recorder", "core.jobs.workplace", "core.inference.embedding", "umap")
    assert not [name for name in imported if name.startswith(forbidden)]
    assert not imported & screens


def test_no_module_is_named_for_nothing() -> None:
    names = {path.stem for folder in ("core", "pages", "tests", "benchmarks", "tools")
             for path in (PROJECT / folder).rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "misc"}


def test_the_pins_are_of_what_the_project_says_it_runs_with() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ranges = {item.name: item.specifier for item in map(Requirement, project["dependencies"])}
    pins = [Requirement(line.partition("#")[0]) for line in (PROJECT / "requirements.txt").read_text().splitlines()]
    assert {pin.name for pin in pins} == ranges.keys()
    for pin in pins:
        [exact] = pin.specifier
        assert exact.operator == "==" and exact.version in ranges[pin.name], pin
    lines = (PROJECT / "requirements-dev.txt").read_text().splitlines()[1:]
    dev = {Requirement(line.partition("#")[0]).name for line in lines}
    assert dev == set(project["optional-dependencies"]["dev"])
    assert core.__version__ in (PROJECT / "CITATION.cff").read_text(encoding="utf-8")


def tree_of(page: str) -> str:
    """The tree that a page prints, a file or folder a line."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    return re.search(r"```\n(streamlit_app\.py.*?)```", text, re.DOTALL).group(1)


def test_the_docs_print_the_tree_as_it_is() -> None:
    tree = tree_of("docs/extending.md")
    described = set(re.findall(r"(\w+\.(?:py|js))\b", tree))
    files = {path.name for folder in ("core", "pages", "tools") for path in (PROJECT / folder).rglob("*")
             if path.suffix in (".py", ".js") and path.name != "__init__.py"} | {"streamlit_app.py", "main.py"}
    assert described >= files, files - described
    assert described <= files | {"conftest.py", "test_browser.py", "test_architecture.py"}, described - files


def test_the_readme_prints_the_top_of_the_tree_as_it_is() -> None:
    described = {line.split()[0] for line in tree_of("README.md").splitlines()}
    code = {f"{path.name}/" for path in PROJECT.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    code |= {"pages/", *(path.name for path in PROJECT.glob("*.py"))}
    assert described >= code, code - described
    assert described <= code | {"configs/", "data/", "checkpoints/", "docs/"}, described - code
    assert all((PROJECT / name).exists() for name in described)


def test_the_ways_through_the_code_name_functions_that_exist() -> None:
    text = (PROJECT / "docs" / "design.md").read_text(encoding="utf-8").partition("## Five ways")[2].partition("\n## ")[0]
    ways = [re.findall(r"`((?:core|pages|main)\.[\w.]+)`", way) for way in text.split("\n\n")]
    assert len([way for way in ways if way]) == 5
    for name in (name for way in ways for name in way):
        module, *_ = [part for part in (name.rsplit(".", depth)[0] for depth in (1, 2))
                      if (PROJECT / f"{part.replace('.', '/')}.py").is_file()]
        tree = ast.parse((PROJECT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
        for part in name.removeprefix(f"{module}.").split("."):
            tree, *_ = [node for node in tree.body if getattr(node, "name", "") == part]


def test_the_readme_is_short() -> None:
    assert len((PROJECT / "README.md").read_text(encoding="utf-8").split()) <= 1000


@pytest.mark.parametrize("page", [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))], ids=lambda path: path.name)
def test_every_link_of_readme_and_docs_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize("path", SCREENS + PARTS, ids=lambda path: path.stem)
def test_no_fragment_switches_the_page(path: Path) -> None:
    """It would leave the next screen empty where the fragment's own timer asks for it once more meanwhile."""
    functions = {node.name: node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                 if isinstance(node, ast.FunctionDef)}
    reached = {name for name, node in functions.items() if "fragment" in "".join(map(ast.dump, node.decorator_list))}
    names: set[str] = set()
    while reached:
        node = functions[reached.pop()]
        used = {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
        names |= {item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute)}
        reached |= (used & functions.keys()) - names
        names |= used
    assert "switch_page" not in names
