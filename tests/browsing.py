"""What tests in a real browser share: the system's Chromium, a Streamlit server, pages that may ask loopback alone, and the
path of one person through the linked spaces."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Error, Page, Route, expect

from core.analysis import clustering
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.experiments import selections
from core.experiments.handles import Experiment
from tests import PROJECT
from tests.waiting import DEADLINE, DEADLINE_MS, until

IS_CI = bool(os.environ.get("CI"))

expect.set_options(timeout=DEADLINE_MS)

PAINTED = ".spaces:has(canvas.points[width])"  # a canvas has its width from when its points are first painted

# Before a page's own scripts: notes the linked spaces' state where scatter.js keeps it, which offers tests nothing.
WATCH = """
    const set = WeakMap.prototype.set;
    window.spaces = new WeakMap();
    WeakMap.prototype.set = function (key, value) {
        if (key instanceof Element && key.matches('.spaces')) set.call(window.spaces, key, value);
        return set.call(this, key, value);
    };"""

# Where a sample lies on the window.
PLACE = """(side, row) => {
    const field = view.fields[side], box = field.box.getBoundingClientRect(), i = view.points.index(row);
    const [x, y] = field.camera.toScreen(...view.points.sides[side].xy.slice(2 * i, 2 * i + 2));
    return [box.left + x, box.top + y];
}"""


def chromium() -> str | None:
    """The system's Chromium or Chrome; None to let Playwright use its own."""
    return next((path for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
                 if (path := shutil.which(name))), None)


class Server:
    """A Streamlit server over its own roots, on a free port."""

    def __init__(self, root: Path, script: Path = PROJECT / "streamlit_app.py") -> None:
        self.root, self.script = root, script
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    def start(self) -> None:
        environment = {**os.environ, "DUET_CHECKPOINTS": str(self.checkpoints), "DUET_DATA": str(self.root / "data")}
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", str(self.script), "--server.port", str(self.port),
                 "--server.headless", "true"],
                cwd=PROJECT, env=environment, stdout=log, stderr=log)
        until(self._answers, lambda: (self.root / "server.log").read_text())

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(DEADLINE)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.root / "server.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=10) as answer:
                return answer.status == 200
        except OSError:
            return False


@contextmanager
def window(browser: Browser, width: int = 1280, height: int = 800, theme: str = "light") -> Iterator[Page]:
    """A page in a window of its own that may ask loopback alone; any other address it asks for fails the test."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, accept_downloads=True)
    asked: list[str] = []

    def guard(route: Route) -> None:
        if re.match(r"(https?|wss?)://(localhost|127\.0\.0\.1)[:/]|data:|blob:", route.request.url):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    context.route("**/*", guard)
    context.add_init_script(WATCH)
    context.set_default_timeout(DEADLINE_MS)
    try:
        yield context.new_page()
    finally:
        context.close()
    assert not asked, f"the page asked outside addresses: {asked}"


def headline(page: Page) -> str:
    return page.locator("h2").first.inner_text()


def ask(page: Page, script: str, *arguments: int) -> list | dict:
    """What a script says of the charts; nothing while one is being drawn and has no points to tell of."""
    try:
        return page.evaluate(script, *arguments)
    except Error:
        return {}


def in_spaces(page: Page, script: str, *arguments: object) -> list | dict | int | str | None:
    """What a script says of the linked spaces, which it is given as `view`; nothing while they are not drawn."""
    return ask(page, f"""values => {{
        const box = document.querySelector('[data-testid=stBidiComponentIsolated]');
        const root = box?.shadowRoot.querySelector('.spaces');
        const view = window.spaces.get(root);
        return view && view.points ? (({{ view, values }}) => {script})({{ view, values }}) : null }}""", list(arguments))


def place_of(page: Page, side: int, row: int) -> list[float]:
    """Where a sample lies on the window, in one of the linked spaces."""
    return in_spaces(page, f"({PLACE})(values[0], values[1])", side, row)


def chosen(page: Page) -> list[int]:
    """Rows that are marked as selected in the linked spaces."""
    return in_spaces(page, "Array.from(view.selected).flatMap((is, row) => is ? [row] : [])") or []


def lasso(page: Page, side: int) -> None:
    """Draws a wide loop over the middle of one of the linked spaces."""
    field = page.locator(".spaces .field").nth(side)
    field.scroll_into_view_if_needed()
    draw_loop(page, field.bounding_box(), 0.2, 0.8, steps=10)


def draw_loop(page: Page, box: dict[str, float], low: float, high: float, steps: int) -> None:
    """Draws a square loop with the mouse, from `low` to `high` of a box's sides, and lets go; `steps` moves a side."""
    path = [(low, low), (high, low), (high, high), (low, high), (low, low + 0.02)]
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in path]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=steps)
    page.mouse.up()


def open_spaces(page: Page, address: str) -> None:
    """Opens Compare and waits for its linked spaces to be painted."""
    page.goto(address)
    expect(page.locator(PAINTED)).to_be_visible()
    page.locator(".panel").scroll_into_view_if_needed()


def say_selected(page: Page) -> int:
    """How many the server says are selected, once it agrees with the browser."""
    rows = chosen(page)
    expect(page.get_by_test_id("stMarkdown").get_by_text(f"{len(rows)} selected")).to_be_visible()
    return len(rows)


def nearest(space: EmbeddingTable, row: int, k: int) -> set[int]:
    """Rows of the k largest cosines to a row, one by one."""
    lengths = np.linalg.norm(space.embedding, axis=1)
    cosines = [float(space.embedding[row] @ space.embedding[item] / lengths[row] / lengths[item])
               for item in range(len(space))]
    cosines[row] = -2.0
    return set(np.argsort(cosines)[::-1][:k].tolist())


def click_difference(page: Page, test: list[EmbeddingTable]) -> set[str]:
    """Clicks the cell of the difference matrix that changed most; returns the samples that came into it or left it."""
    before, after = (clustering.confusion(space.cluster, space.label_id, len(space.classes)) for space in test)
    row, column = np.unravel_index(np.abs(after - before).argmax(), before.shape)
    assert before[row, column] != after[row, column], "the two spaces must differ somewhere"
    click_cell(page, row, column, re.compile("came into|left"))
    is_there = [(space.label_id == row) & (space.cluster == column) for space in test]
    return set(test[0].sample_id[is_there[0] != is_there[1]].tolist())


def click_cell(page: Page, row: int, column: int, words: re.Pattern[str]) -> None:
    """Clicks a cell of the last matrix on the page, until the words that it leads to are there."""
    plot = page.locator(".js-plotly-plot:has(.heatmaplayer .hm)").last
    hover = plot.locator(".hoverlayer .hovertext")

    def is_hit() -> bool:
        """Moves the mouse to the cell, which a page that is still being drawn may move away from under it."""
        x, y = plot.evaluate("""(plot, [row, column]) => {
            const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
            return [box.left + xaxis._offset + xaxis.l2p(column), box.top + yaxis._offset + yaxis.l2p(row)]; }""",
                             [int(row), int(column)])
        for shift in (2, 1, 0):
            page.mouse.move(x + shift, y + shift)
            page.wait_for_timeout(150)
        return hover.count() == 1

    said = page.get_by_text(words)

    def is_clicked() -> bool:
        """Clicks the cell and gives the page a while to say what changed; a page still being drawn may have lost the click."""
        with suppress(Error):  # the chart was drawn anew, or nothing was said yet
            plot.scroll_into_view_if_needed()
            if is_hit():
                page.mouse.down()
                page.mouse.up()
                said.first.wait_for(timeout=10_000)
        return said.count() > 0

    until(is_clicked, lambda: page.locator("body").inner_text())


def walk(page: Page, folder: Path, runs: tuple[str, str], downloads: Path, name: str = "looked-at") -> list[str]:
    """From the verdict on Compare, by a cell of the difference, to the Parquet file of a named selection.

    Args:
        page: Compare, opened on this experiment.
        folder: the experiment.
        runs: folders of A and B.
        downloads: where to put what is downloaded.
        name: what to call the selection.

    Returns:
        The sample_ids selected on the way.
    """
    test = [tables.read(folder / run / "embeddings.parquet").of_split("test") for run in runs]
    expect(page.locator(PAINTED)).to_be_visible()
    assert in_spaces(page, "view.points.n") == len(test[0])

    # a cell of the difference: the images that moved are shown and selected
    moved = click_difference(page, test)
    expect(page.get_by_text(re.compile("came into|left")).first).to_be_visible()
    until(lambda: set(test[0].sample_id[chosen(page)].tolist()) == moved)
    assert say_selected(page) == len(moved)

    # lasso in A: marked in B at once, said by the server, images beside
    lasso(page, 0)
    rows = chosen(page)
    assert 0 < len(rows) < len(test[0])
    expect(page.locator(".n-selected")).to_have_text(f"{len(rows)} selected")
    assert say_selected(page) == len(rows)
    expect(page.locator(".cell img[src]").first).to_be_visible()

    # one of its images: its neighbours in both spaces, of the full dimension
    cell = page.locator(".cell").nth(1)
    cell.click()
    row = int(cell.get_attribute("data-row"))
    assert row in rows
    expect(page.locator(f".focus[data-row='{row}'] img[src]")).to_be_visible()
    for side, space in enumerate(test):
        near = page.locator(f".strip[data-side='{side}'] .near")
        expect(near.locator("img[src]")).to_have_count(5)
        found = [int(item.get_attribute("data-row")) for item in near.all()]
        assert set(found) == nearest(space, row, 5)
        is_same = [space.label[item] == space.label[row] for item in found]
        marks = [item.get_attribute("class").split()[1] for item in near.all()]
        assert marks == ["right" if same else "wrong" for same in is_same]
        expect(page.locator(f".strip[data-side='{side}'] p")).to_contain_text(f"{sum(is_same)} of 5 nearest have its class")

    # named
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("textbox", name="Name").fill(name)
    page.get_by_role("button", name="Save selection").click()
    expect(page.get_by_text(f"saved as {name}")).to_be_visible()
    sample_ids = test[0].sample_id[rows].tolist()
    assert selections.read(Experiment(folder))[name] == sample_ids

    # taken along from here
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Take along").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("^Parquet · A")).click()
    output = downloads / "selection.parquet"
    download.value.save_as(output)
    part = tables.read(output)  # verified: refuses what was changed after it was written
    assert part.sample_id.tolist() == sample_ids
    assert np.array_equal(part.embedding, test[0].embedding[rows])
    return sample_ids
