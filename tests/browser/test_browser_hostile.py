"""Hostile names on every screen in a real browser: shown as they are written, nothing formatted, nothing fetched."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from core.experiments import selections
from core.experiments.handles import Experiment, Run
from core.report import gathering, html
from core.results import scoring
from core.visible import visible
from tests.browsing import PAINTED, Server, click_cell, in_spaces, lasso, open_spaces, place_of, window
from tests.conftest import run_in_process
from tests.hostile import NAMES, config, write_images
from tests.waiting import until

A_RUN = "classification-all-seed0"
# What a name may be turned into; the screens' own words are bold, so of those only what a name would have become.
FORMATTED = """names => [...document.querySelectorAll('[data-testid=stMain] *')].concat(
    [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].flatMap(
        box => [...(box.shadowRoot?.querySelectorAll('*') || [])])).flatMap(element => {
    const tag = element.tagName.toLowerCase(), text = element.textContent.trim();
    const address = element.getAttribute('src') || element.getAttribute('href') || '';
    const isOutside = /^(https?:)?\\/\\//.test(address) && !address.startsWith(location.origin);
    const isMarked = ['strong', 'b', 'em', 'i', 'del', 'code', 'a'].includes(tag) && names.includes(text)
        && !element.closest('[data-testid=stPageLink], [data-testid=stCode]');
    const isDrawn = element.classList.contains('katex') || tag === 'script' && element.textContent.includes('PWN')
        || /^javascript:/i.test(address);
    return isOutside || isMarked || isDrawn ? [element.outerHTML.slice(0, 300)] : [] })"""
WORDS = ["init", "bold", "it", "no", "code", "link", "c", "x", "https://example.org/", "www.example.org", "a@example.org"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a finished experiment whose classes and files have hostile names."""
    root = tmp_path_factory.mktemp("hostile")
    folder = run_in_process(config(write_images(root / "images")), root)
    states = [run.status for run in Experiment(folder).runs]
    assert {item.state for item in states} == {"completed"}, states
    found = Server(root)
    yield found
    found.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with window(browser) as opened:  # fails for an outside address that is asked for
        yield opened


def settle(page: Page) -> None:
    """Waits until the screen is drawn."""
    expect(page.locator("[data-testid=stMain] :is(h1, h2, h3)").first).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.locator("[data-testid=stApp][data-test-script-state=running]")).to_have_count(0)


def check(page: Page) -> str:
    """The screen's text, once it holds no traceback and nothing made of a name."""
    settle(page)
    assert page.get_by_test_id("stException").count() == 0, page.get_by_test_id("stException").all_inner_texts()
    assert page.evaluate(FORMATTED, WORDS) == []
    assert page.evaluate("typeof window.PWN") == "undefined"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing stands beyond the window"
    return page.locator("[data-testid=stMain]").inner_text()


def test_every_screen(server: Server, page: Page) -> None:
    address, query = server.address, "experiment=names"
    for screen in ("", f"train?source=table&root={server.root}/images/images.csv", f"watch?{query}", f"export?{query}"):
        page.goto(f"{address}/{screen}")
        check(page)
    page.goto(f"{address}/data?{query}")
    shown = check(page)
    missing = [name for name in map(visible, NAMES) if name[:40] not in shown]
    assert missing == []
    page.goto(f"{address}/data?source=table&root={server.root}/images/images.csv")
    page.get_by_role("button", name="Read these images").click()
    expect(page.get_by_role("heading", name=re.compile(f"{len(NAMES)} classes"))).to_be_visible()
    shown = check(page)
    assert [name for name in map(visible, NAMES) if name[:40] not in shown] == []


def test_spaces_and_every_closer_view(server: Server, page: Page) -> None:
    open_spaces(page, f"{server.address}/compare?experiment=names")
    check(page)
    classes = in_spaces(page, "view.header.classes")
    assert set(classes) == {visible(name) for name in NAMES}
    for row in range(4):  # hover and strip
        page.mouse.move(*place_of(page, 0, row))
        page.wait_for_timeout(200)
    lasso(page, 0)
    page.locator(".cell").first.click()
    expect(page.locator(".strip[data-side='0'] .near img[src]").first).to_be_visible()
    check(page)
    for view in ("Won and lost", "Where to look first", "Query", "K-means confusion"):
        page.get_by_test_id("stButtonGroup").get_by_text(view, exact=True).click()
        expect(page.get_by_role("heading", name=view)).to_be_visible()
        check(page)
    page.goto(f"{server.address}/explore?experiment=names&run={A_RUN}")
    expect(page.get_by_text("lie in their class's cluster")).to_be_visible()
    check(page)
    expect(page.locator(PAINTED)).to_be_visible()
    page.mouse.move(*place_of(page, 0, 5))
    check(page)


def test_what_is_clicked_saved_and_brought(server: Server, page: Page, tmp_path: Path) -> None:
    folder, address = server.checkpoints / "names", f"{server.address}/compare?experiment=names"
    open_spaces(page, address)
    page.get_by_test_id("stButtonGroup").get_by_text("K-means confusion", exact=True).click()
    page.get_by_test_id("stButtonGroup").get_by_text("A", exact=True).click()
    expect(page.get_by_text(re.compile("in the right cluster"))).to_be_visible()
    space = scoring.read_embeddings(Run(folder / A_RUN)).of_split("test")
    rows = sorted(set(space.label_id.tolist()))  # the matrix has the classes that are tested
    click_cell(page, 0, rows.index(space.cluster[space.label_id == rows[0]][0]), re.compile("in the cluster of"))
    check(page)
    lasso(page, 0)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("textbox", name="Name").fill(NAMES[0])
    page.get_by_role("button", name="Save selection").click()
    expect(page.get_by_text("a name must be 1 to 64 letters")).to_be_visible()
    check(page)
    page.get_by_role("textbox", name="Name").fill("brought")
    page.get_by_role("button", name="Save selection").click()
    expect(page.get_by_text(re.compile("saved as"))).to_be_visible()
    assert list(selections.read(Experiment(folder))) == ["brought"]
    page.keyboard.press("Escape")
    page.get_by_test_id("stButtonGroup").get_by_text("Query", exact=True).click()
    brought = io.BytesIO()
    Image.new("RGB", (20, 20), "gray").save(brought, "PNG")
    page.locator("input[type=file]").set_input_files(
        [{"name": f"{name.replace('/', '')}.png", "mimeType": "image/png", "buffer": brought.getvalue()}
         for name in (NAMES[0], NAMES[4], NAMES[8])])
    expect(page.get_by_text(re.compile("nearest say")).last).to_be_visible()
    until(lambda: in_spaces(page, "view.stars[0].length") == 3)
    assert page.locator(PAINTED).count() == 1
    for number in range(3):  # each says its file's name
        page.locator(".panel").scroll_into_view_if_needed()
        place = in_spaces(page, """(() => { const field = view.fields[0], box = field.box.getBoundingClientRect();
            const star = view.stars[0][values[0]], [x, y] = field.camera.toScreen(star.x, star.y);
            return [box.left + x, box.top + y] })()""", number)
        page.mouse.move(*place)
        names = in_spaces(page, "view.stars[0].map(star => star.name)")
        over = in_spaces(page, "view.hoveredStar")  # it, or one that lies on it
        expect(page.locator(".tip b")).to_have_text(f"★ {'ABC'[over]} · {names[over]}")
        check(page)
    check(page)
    page.goto(f"{server.address}/explore?experiment=names&run={A_RUN}")
    expect(page.locator(PAINTED)).to_be_visible()
    lasso(page, 0)
    expect(page.get_by_text(re.compile("selected")).first).to_be_visible()
    check(page)
    page.goto(f"{server.address}/export?experiment=names&run={A_RUN}")
    page.get_by_role("combobox", name="Images").click()
    page.get_by_role("option", name=re.compile("brought")).click()
    expect(page.get_by_text("verified and ready to take along")).to_be_visible()
    check(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV of the samples").click()
    assert re.fullmatch(r"[\w.-]+", download.value.suggested_filename)
    download.value.save_as(tmp_path / "samples.csv")
    rows = list(csv.reader(io.StringIO((tmp_path / "samples.csv").read_bytes().decode(), newline="")))
    assert len(rows) > 1 and not [cell for row in rows for cell in row if cell and cell[0] in "=+-@"], "no cell is a formula"


def test_pages_to_take_along_ask_no_address(server: Server, browser: Browser, tmp_path: Path) -> None:
    folder = server.checkpoints / "names"
    gathering.write(Experiment(folder), tmp_path / "report.html")
    html.write_space(scoring.read_embeddings(Run(folder / A_RUN)), f"names/{A_RUN}", tmp_path / "space.html")
    context = browser.new_context(offline=True)
    for name in ("report.html", "space.html"):
        page, asked = context.new_page(), []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto((tmp_path / name).as_uri())
        page.wait_for_timeout(1000)
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert page.evaluate("typeof window.PWN") == "undefined"
        assert not set("\u202e\x1b\u2066") & set(page.inner_text("body")), "no name turns the direction of writing"
        assert page.evaluate("""[...document.querySelectorAll('[src], [href]')].filter(item =>
            /^(https?:|javascript:|x$|\\/\\/)/.test(item.getAttribute('src') || item.getAttribute('href'))).length""") == 0
        page.close()
    context.close()
    assert set(parquet.read_table(folder / A_RUN / "embeddings.parquet")["label"].to_pylist()) == set(NAMES)
