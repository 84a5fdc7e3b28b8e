"""Pages to send to someone: everything inside, nothing fetched, names shown as they are."""

import base64
import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from plotly.offline import get_plotlyjs

from core.analysis import statements
from core.analysis.comparison import Comparison, Difference
from core.analysis.metrics import METRICS
from core.analysis.table import EmbeddingTable
from core.report import html, page

CLASSES = ("amanita", "bolete", "<script>alert(1)</script>")


class Page(HTMLParser):
    """A page's tags, visible text and inline scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = self.scripts = self.styles = ""
        self._inside = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts += data
        elif self._inside == "style":
            self.styles += data
        else:
            self.text += data

    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}


def space(seed: int = 0) -> EmbeddingTable:
    """Thirty samples in three classes, two in three of them test images."""
    generator = np.random.default_rng(seed)
    label_id = np.repeat(np.arange(3, dtype=np.int32), 10)
    ids = np.array([f"folder/{place:02d}.png" for place in range(30)], dtype=object)
    vectors = generator.normal(size=(30, 4)).astype(np.float32)
    return EmbeddingTable(
        sample_id=ids, path=ids, label=np.array(CLASSES, dtype=object)[label_id], label_id=label_id, group=ids,
        split=np.where(np.arange(30) % 3 == 0, "train", "test").astype(object), cluster=np.roll(label_id, 2),
        x=vectors[:, 0], y=vectors[:, 1], embedding=vectors,
        metadata={"classes": list(CLASSES), "fingerprint": "0123456789abcdef",
                  "evaluation": {"metrics": {"map_at_r": {"mean": 0.4321, "low": 0.4012, "high": 0.4689, "sd": 0.0},
                                             "kmeans_accuracy": {"mean": 0.5, "low": 0.25, "high": 0.775, "sd": 0.0}}}})


def compared(name_a: str = "classification", name_b: str = "supcon", confounders: tuple[str, ...] = ()) -> Comparison:
    differences = (
        Difference("map_at_r", a=0.5123, b=0.6234, difference=0.1111, low=0.0456, high=0.1789, verdict="better",
                   n_seeds=3, n_samples=20, settles_at=None),
        Difference("precision_at_1", a=0.875, b=0.8625, difference=-0.0125, low=-0.0333, high=0.0222,
                   verdict="cannot tell", n_seeds=3, n_samples=20, settles_at=99))
    return Comparison(name_a=name_a, name_b=name_b, differences=differences, confounders=confounders, n_dropped=0,
                      sentence=statements.sentence(differences[0], name_a, name_b, confounders))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    html.write_comparison(compared(), [space(0), space(1)], tmp_path / "report.html")
    return tmp_path / "report.html"


@pytest.fixture
def page_of_space(tmp_path: Path) -> Path:
    html.write_space(space(), "fungi/supcon-15-seed0", tmp_path / "space.html")
    return tmp_path / "space.html"


@pytest.mark.parametrize("fixture", ["report", "page_of_space"])
def test_nothing_is_fetched_when_it_opens(fixture: str, request: pytest.FixtureRequest) -> None:
    page = Page(request.getfixturevalue(fixture))
    assert {"html", "body", "script", "style", "table"} <= page.names()
    assert not page.names() & {"link", "img", "iframe", "object", "embed", "base", "video", "audio", "source"}
    for tag, attributes in page.tags:
        assert not attributes.keys() & {"src", "href", "srcset", "action", "data", "background"}, (tag, attributes)
        assert "http:" not in str(attributes) and "https:" not in str(attributes)
    assert "url(" not in page.styles and "@import" not in page.styles
    assert {"charset": "utf-8"} in [attributes for tag, attributes in page.tags if tag == "meta"]


@pytest.mark.parametrize("fixture, n_figures", [("report", 4), ("page_of_space", 2)])
def test_figures_and_the_library_that_draws_them_are_inside(fixture: str, n_figures: int,
                                                           request: pytest.FixtureRequest) -> None:
    page = Page(request.getfixturevalue(fixture))
    assert sum(attributes.get("class") == "figure" for _, attributes in page.tags) == n_figures
    library = re.search(r"id='plotly'>([^<]+)<", request.getfixturevalue(fixture).read_text(encoding="utf-8")).group(1)
    assert gzip.decompress(base64.b64decode(library)).decode() == get_plotlyjs()
    assert request.getfixturevalue(fixture).stat().st_size < 3_000_000


def test_comparison_says_its_sentence_and_every_number(report: Path) -> None:
    text = Page(report).text
    assert ("Supcon is better than classification on MAP@R by 11.1 points (95 % 4.6 to 17.9; 3 seeds, 20 test images), "
            "for this split."
            in text)
    for value in ("51.2", "62.3", "+11.1", "+4.6 to +17.9", "better", "87.5", "86.2", "-1.2", "-3.3 to +2.2",
                  "cannot tell"):
        assert value in text, value
    for metric in ("map_at_r", "precision_at_1"):
        assert METRICS[metric].title in text
    assert "A · classification" in text and "B · supcon" in text


def test_fair_comparison_says_so(report: Path) -> None:
    text = Page(report).text
    assert "Fair: only what is under test differs." in text
    assert "Not a fair comparison" not in text


def test_unfair_comparison_names_what_differs(tmp_path: Path) -> None:
    unfair = compared(confounders=("budget.images", "training.batch.size"))
    html.write_comparison(unfair, [space(0), space(1)], tmp_path / "report.html")
    text = Page(tmp_path / "report.html").text
    assert "Not a fair comparison: budget.images, training.batch.size differ." in text
    assert "Fair: the two" not in text


def test_space_says_its_numbers(page_of_space: Path) -> None:
    text = Page(page_of_space).text
    assert "fungi/supcon-15-seed0" in text
    assert "20 test images of 30; 4 dimensions; dataset 0123456789abcdef" in text
    for value in ("MAP@R", "43.2", "40.1 to 46.9", "K-means", "50.0", "25.0 to 77.5"):
        assert value in text, value


def test_only_test_images_are_drawn(page_of_space: Path) -> None:
    scripts, table = Page(page_of_space).scripts, space()
    is_drawn = [name.replace("/", "\\u002f") in scripts or name in scripts for name in table.sample_id]
    assert is_drawn == (table.split == "test").tolist()


def test_names_are_text_and_no_markup(tmp_path: Path) -> None:
    name = "</h1><script>alert('name')</script>&\"'"
    plain, odd = tmp_path / "plain.html", tmp_path / "odd.html"
    for path, name_b, confounders in ((plain, "supcon", ("a",)), (odd, name, ("<img src=x>",))):
        html.write_comparison(compared(name_b=name_b, confounders=confounders), [space(0), space(1)], path)
    expected, page = Page(plain), Page(odd)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in expected.tags], "a name must not add or end a tag"
    assert f"B · {name}" in page.text
    assert "Not a fair comparison: <img src=x> differs." in page.text


@pytest.mark.parametrize("n_none", [3, 20])
def test_test_images_in_no_cluster_are_said(tmp_path: Path, n_none: int) -> None:
    odd = space(0)
    odd.cluster[np.flatnonzero(odd.split == "test")[:n_none]] = -1
    html.write_comparison(compared(), [odd, space(1)], tmp_path / "report.html")
    html.write_space(odd, "a space", tmp_path / "space.html")
    said = f"{n_none} of 20 test images belong to no cluster and are left out of the confusion."
    assert f"A: {said}" in Page(tmp_path / "report.html").text and "B: " not in Page(tmp_path / "report.html").text
    assert said in Page(tmp_path / "space.html").text


def test_name_of_a_space_and_its_dataset_are_text_and_no_markup(tmp_path: Path, page_of_space: Path) -> None:
    name, table = "</title><b>bold</b>&amp;", space()
    table.metadata["fingerprint"] = "<i>0</i>"
    html.write_space(table, name, tmp_path / "odd.html")
    page = Page(tmp_path / "odd.html")
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in Page(page_of_space).tags]
    assert page.text.count(name) == 2, "title and heading"
    assert "dataset <i>0</i>" in page.text


@pytest.mark.parametrize("fixture", ["report", "page_of_space"])
def test_class_name_cannot_end_the_script_it_stands_in(fixture: str, request: pytest.FixtureRequest) -> None:
    content = request.getfixturevalue(fixture).read_text(encoding="utf-8")
    assert "<script>alert(1)" not in content and "alert(1)</script>" not in content
    assert "alert(1)" in content, "the class is there, written safely"


def test_page_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "space.html"
    path.write_text("before")
    html.write_space(space(), "a space", path)
    assert Page(path).text.count("a space") == 2
    assert [item.name for item in tmp_path.iterdir()] == ["space.html"]


def test_a_template_that_lacks_a_value_writes_no_page(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError, match="'space' is undefined"):
        page.write("space.html", {"name": "a space", "leaks": "", "earlier": ""}, tmp_path / "space.html")
    assert list(tmp_path.iterdir()) == []
