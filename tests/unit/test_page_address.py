"""Addresses: nonsense is a sentence and no traceback on any screen, and no work begins from an address without a press."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests import SCREENS

PICKED = ("experiment", "run", "split", "color", "a", "b", "images", "seed", "layout", "view", "saved", "source")
NONSENSE = {
    "bogus": dict.fromkeys(PICKED, "bogus") | {"select": "no/such.png", "root": "/no/such/folder", "from": "bogus"},
    "out of its folder": dict.fromkeys(PICKED, "../..") | {"select": "../../x", "root": "../..", "from": "../..",
                                                           "curve": "1"},
    "zero bytes": dict.fromkeys((*PICKED, "select", "root", "group_by", "from"), "\0"),
    "10 kB": dict.fromkeys((*PICKED, "select", "root", "group_by", "from"), "x" * 10_000),
    "markup": dict.fromkeys((*PICKED, "select", "root", "group_by", "from"), "![x](http://e.org) <b> :red[x]"),
    "nobody's folder": {"source": "folder", "root": "~nouser"},
    "a folder of zero bytes": {"source": "folder", "root": "\0"},
    "a folder with too long a name": {"source": "table", "root": "/" + "x" * 3000},
    "a pattern that is none": {"source": "folder", "root": "/", "group_by": "(("},
    "unknown keys": {"nonsense": "1", "![x](http://e.org)": "2"},
}


def texts(app: AppTest) -> list[str]:
    return [item.value for kind in ("warning", "error", "info") for item in getattr(app, kind)]


@pytest.mark.parametrize("page", SCREENS)
@pytest.mark.parametrize("address", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_in_an_address_is_a_sentence(screen, experiment: Path, page: str, address: dict[str, str]) -> None:
    app = screen(page, presses=False, **address)  # asserts that there is no traceback
    assert not any("http://e.org)" in text for text in texts(app))
    if page in ("compare", "explore") and "experiment" in address:
        assert any("experiment in the address" in text or "There is no experiment" in text for text in texts(app))


@pytest.mark.parametrize("page, address, sentence", [
    ("data", {"source": "bogus"}, "source in the address must be one of digits, folder, table"),
    ("data", {"source": "folder", "root": "~nouser"},
     "Folder must be a path on this machine, got \\~nouser (Could not determine home directory)"),
    ("data", {"source": "folder", "root": "\0"}, "root in the address must be text without control characters"),
    ("compare", {"a": "bogus"}, "a in the address must be one of untrained, classification, supcon; got bogus."),
    ("compare", {"experiment": "../.."}, "There is no experiment named ../.. here. Choose another."),
    ("explore", {"run": "x" * 10_000}, "run in the address must have at most 4,096 letters, got 10,000"),
    ("compare", {"select": "no.png"}, "1 of the 1 samples that the address selects are none of this experiment's."),
    ("watch", {"nonsense": "1"}, "The address names nonsense, which no screen knows; it is ignored."),
])
def test_the_sentence_says_what_is_wrong(screen, experiment: Path, page: str, address: dict[str, str], sentence: str) -> None:
    assert any(sentence in text for text in texts(screen(page, presses=False, **address)))


@pytest.mark.parametrize("page", ["data", "train"])
def test_nothing_is_read_from_an_address_before_a_press(screen, image_folder: Path, tmp_path: Path, page: str) -> None:
    app = screen(page, presses=False, source="folder", root=str(image_folder))
    assert any("Nothing of it is read before you ask." in text for text in texts(app))
    assert not list((tmp_path / "data").glob(".scans/*")) and "60 images" not in str([item.value for item in app.header])
    next(button for button in app.button if button.label == "Read these images").click().run()
    assert not app.exception
    assert list((tmp_path / "data").glob(".scans/*"))


def test_scan_again_is_offered_once_something_was_scanned(screen, image_folder: Path) -> None:
    app = screen("data", presses=False, source="folder", root=str(image_folder))
    assert "Scan again" not in [button.label for button in app.button]
    next(button for button in app.button if button.label == "Read these images").click().run()
    assert [button.label for button in app.button].count("Scan again") == 1


@pytest.mark.parametrize("page", SCREENS)
def test_a_key_that_no_screen_knows_is_named_once(screen, experiment: Path, page: str) -> None:
    app = screen(page, nonsense="1")
    assert sum("The address names nonsense" in text for text in texts(app)) == 1


def test_no_layout_is_computed_from_an_address_before_a_press(screen, experiment: Path) -> None:
    app = screen("compare", presses=False, experiment="tiny", layout="umap")
    assert "Lay out" in [button.label for button in app.button]
    assert not (experiment.parent / ".layouts").exists(), "no process was started"


@pytest.mark.parametrize("page", ["watch", "compare", "explore", "export"])
def test_a_link_to_an_experiment_that_is_not_here_shows_no_other(screen, experiment: Path, page: str) -> None:
    app = screen(page, experiment="nosuch")
    assert [item.value for item in app.warning] == ["There is no experiment named nosuch here. Choose another."]
    assert not app.header and not app.button
    [picker] = app.selectbox
    picker.select("tiny").run()
    assert not app.exception and not app.warning and app.header
    assert next(item for item in app.selectbox if item.label == "Experiment").value == "tiny"


def test_what_the_screens_write_into_the_address_themselves_is_no_error(screen, experiment: Path) -> None:
    app = screen("compare", experiment="tiny", a="untrained", b="supcon")
    next(item for item in app.selectbox if item.label == "A").select("supcon").run()
    assert not app.exception and not app.warning
