"""A user's text on a screen is drawn as it is written: escaped in one place, and no page forgets to."""

import ast
from pathlib import Path

import pytest

from core.visible import visible
from pages.parts.text import plain
from tests import PROJECT

PAGES = sorted((PROJECT / "pages").rglob("*.py"))

# Calls whose text Streamlit reads as Markdown: name -> how many of the first arguments are such text.
_TEXTS = dict.fromkeys(("markdown", "write", "caption", "error", "info", "warning", "success", "exception", "title", "header",
                        "subheader", "toast", "button", "download_button", "link_button", "page_link", "expander", "popover",
                        "checkbox", "toggle", "radio", "selectbox", "multiselect", "segmented_control", "pills", "slider",
                        "select_slider", "text_input", "text_area", "number_input", "file_uploader", "metric", "spinner",
                        "status", "badge", "form_submit_button", "tabs", "latex", "html"), 1) | {"progress": 2, "image": 0}
_KEYWORDS = {"help", "label", "caption", "text", "body"}

# What gives text that is safe: escapes it, or says words of its own, numbers and names the config restricts.
_SAFE_CALLS = {"plain", "len", "round", "max", "min", "duration", "progress_text", "state_text", "leak_mark", "_share",
               "_percent", "_lr_note", "_best_note", "_headline", "_list", "_p", "_meanings", "join"}
# Expressions that are numbers, the project's own words or names that a config restricts; a user's own text never stands here.
_SAFE = {
    "address": {"label", "help_text", "sentence"},  # each escaped by who says it
    "kmeans_confusion": {"place", "title"}, "dataset_form": {"title", "text", "done", "total", "progress.share"},
    "experiment_picker": {"what", "needs"}, "image_strips": {"captions"}, "layouts": {"status.share", "name", "place"},
    "look_first": {"pair.in_a", "pair.in_b"}, "metric_table": {"agreement.neighbors"}, "moved_images": {"done", "total"},
    "own_images": {"scatter.mark(number)", "layouts.NAMES[settings.method]"}, "readout_table": {"readouts.KMEANS_SEEDS"},
    "sample_images": {"most"}, "won_lost": {"k", "place"}, "compare": {"over", "drawn", "note", "experiment"},
    "data": {"split_config.seed", "smallest", "manifest.split[row]", "where"},
    "explore": {"split", "space.embedding.shape[1]", "n_same"}, "export": {"width", "unit"},
    "start": {"experiment", "position", "found.progress.n_done", "found.progress.n_runs"},
    "train": {"checked.n_trained", "ahead.images_per_step", "ahead.batch.classes", "ahead.batch.samples", "ahead.positives",
              "ahead.negatives", "ahead.most_classes", "ahead.most_samples", "OBJECTIVES[item].paper", "n_held_out", "few",
              "many", "text", "info.description", "views", "held_out"},
    "watch": {"experiment", "experiment.runs[0].alarms_file.name", "progress.share", "alarm['step']"},
}


def _texts(call: ast.Call) -> list[ast.expr]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name not in _TEXTS:
        return []
    return [*call.args[:_TEXTS[name]], *(item.value for item in call.keywords if item.arg in _KEYWORDS)]


def _assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Name -> what it is set to, anywhere in a page; of names that are unpacked, only those set by a comprehension."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.GeneratorExp(elt=value)):
                for name in names:
                    found.setdefault(ast.unparse(name), []).append(value)
    return found


def _unsafe(node: ast.expr, safe: set[str], assigned: dict[str, list[ast.expr]]) -> list[str]:
    """Parts of a text that are neither a page's own words, nor numbers, nor escaped."""
    def of(*parts: ast.expr) -> list[str]:
        return [found for part in parts for found in _unsafe(part, safe, assigned)]

    if ast.unparse(node) in safe:
        return []
    match node:
        case ast.Constant():
            return []
        case ast.JoinedStr(values=parts) | ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
            return of(*parts)
        case ast.FormattedValue(format_spec=ast.JoinedStr(values=[ast.Constant(value=spec), *_])) if spec[-1] in ",fgd%":
            return []  # a number
        case ast.FormattedValue(value=value):
            return of(value)
        case ast.IfExp(body=body, orelse=orelse):
            return of(body, orelse)
        case ast.BinOp(left=left, right=right):
            return of(left, right)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _SAFE_CALLS:
            return []
        case ast.Call(func=ast.Attribute(attr="replace" | "rstrip" | "strip" | "capitalize", value=value)):
            return of(value)
        case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)) if name.isupper():
            return []  # a constant of the page
        case ast.Attribute(attr=name) if name.isupper():
            return []  # a constant of another module
        case ast.Attribute(attr="title" | "meaning"):  # of a metric or an objective: the project's own words
            return []
        case ast.ListComp(elt=part):
            return of(part)
        case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)) if name in assigned:
            return _unsafe_once(name, safe, assigned)
    return [f"line {node.lineno}: {ast.unparse(node)}"]


def _unsafe_once(name: str, safe: set[str], assigned: dict[str, list[ast.expr]]) -> list[str]:
    others = {key: values for key, values in assigned.items() if key != name}  # what is set from itself ends here
    return [part for value in assigned[name] for part in _unsafe(value, safe, others)]


def _forgotten(source: str, safe: set[str]) -> list[str]:
    tree = ast.parse(source)
    assigned = _assigned(tree)
    return [part for call in ast.walk(tree) if isinstance(call, ast.Call) for text in _texts(call)
            for part in _unsafe(text, safe, assigned)]


def test_every_page_that_is_trusted_exists() -> None:
    assert _SAFE.keys() <= {path.stem for path in PAGES}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_text_that_is_read_as_markdown_is_the_pages_own_or_escaped(path: Path) -> None:
    assert not _forgotten(path.read_text(encoding="utf-8"), _SAFE.get(path.stem, set()))


@pytest.mark.parametrize("line", [
    "st.markdown(name)", "st.caption(f'{label} is here')", "st.button(f'{label}')", "st.error(str(error))",
    "st.write('of ' + label)", "st.image(picture, caption=label)", "column.header(f'**{label}**')",
    "st.button('Go', help=label)", "text = f'{label}'\nst.info(text)", "st.progress(0.5, label)", "st.tabs([label])",
    "st.markdown(label if is_long else 'x')", "st.markdown(f'{label:>10}')"])
def test_a_page_that_forgets_is_found(line: str) -> None:
    assert _forgotten(line, set())


@pytest.mark.parametrize("line", [
    "st.markdown('**bold**')", "st.caption(f'{plain(label)} of {n:,}')", "text = plain(label)\nst.info(f'{text}.')",
    "st.write(f'{len(found)} images')", "st.image(picture, caption=plain(label, 14))"])
def test_a_page_that_escapes_passes(line: str) -> None:
    assert not _forgotten(line, set())


@pytest.mark.parametrize("text, markdown", [
    ("supcon-15-seed0 on MAP@R: 1.5 points (95 % +0.1 to +2.9).", "supcon-15-seed0 on MAP@R: 1.5 points (95 % +0.1 to +2.9)."),
    ("__init__", r"\_\_init\_\_"), ("a_b", "a_b"), ("![i](https://e.org)", r":small[]!\[i\](https\::small[]//e.org)"),
    ("*b* $x$ `c`", r"\*b\* \$x\$ \`c\`"), (":red[x]", r":small[]\::small[]red\[x\]"), ("<img src=x>", r"\<img src=x\>"),
    ("# head", ":small[]# head"), ("1. one", ":small[]1. one"), ("www.example.org", "www:small[].example.org"),
    ("a@b.example", "a:small[]@b.example"), ("a -- b", "a -:small[]- b"), ("&lt;", r"\&lt;"), ("line\nline", r"line\\nline"),
    ("\x1b[31mred", r"\\x1b\[31mred"), ("\u202eleft", r"\\u202eleft"), ("", "")])
def test_plain_escapes_what_would_be_formatted_and_nothing_else(text: str, markdown: str) -> None:
    assert plain(text) == markdown


def test_a_long_name_is_cut_before_it_is_escaped() -> None:
    assert plain("*" * 200, 4) == r"\*\*\*…"
    assert visible("a" * 200, 10) == "a" * 9 + "…" and visible("a" * 10, 10) == "a" * 10
