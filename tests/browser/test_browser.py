"""A newcomer's path in a real browser: demo, live curves and layouts, verdict, lasso, Parquet. Only loopback answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from core import files
from core.experiments import store
from core.experiments.handles import Experiment
from core.jobs import control, device_queue
from tests.browsing import PAINTED, Server, ask, headline, in_spaces, walk, window
from tests.lasting import states, trainers
from tests.waiting import DEADLINE, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    yield found
    for folder in store.experiments(found.checkpoints):
        control.stop(folder.runs)
        control.wait(folder, DEADLINE)
    found.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with window(browser) as opened:
        yield opened


def n_charts(page: Page) -> int:
    return page.locator(".js-plotly-plot").count()


def points(page: Page, side: int) -> dict[str, tuple[float, float]]:
    """Where the points of a film lie: row -> (x, y)."""
    return in_spaces(page, """Object.fromEntries(Array.from({length: view.points.n}, (_, i) =>
        [i, Array.from(view.points.sides[values[0]]?.xy.slice(2 * i, 2 * i + 2) || [])]).filter(item => item[1].length))""",
                     side) or {}


def curve(page: Page) -> list[int]:
    """How many points each line of the first curve has."""
    return ask(page, """() => { const plots = [...document.querySelectorAll('.js-plotly-plot')].filter(
        plot => (plot.data || []).some(trace => (trace.mode || '').includes('lines')));
        return plots.length ? plots[0].data.map(trace => trace.x.length) : [] }""")


@contextmanager
def standing_still(folder: Path, n_frames: int) -> Iterator[None]:
    """What trains stands still once two runs, which train in step, have so many frames each, however slow the page is."""
    until(lambda: sum(len(run.snapshots) >= n_frames for run in Experiment(folder).runs) >= 2,
          lambda: states(folder))
    processes = trainers(folder)
    for process in processes:
        process.suspend()
    assert control.progress(Experiment(folder)).state == "running", "it must stand still while it trains"
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def test_from_the_first_visit_to_the_parquet_file(server: Server, page: Page, tmp_path: Path) -> None:
    page.goto(server.address)
    expect(page.get_by_text("Nothing trained yet.")).to_be_visible()
    page.get_by_role("button", name="Run the demo").click()
    page.wait_for_url("**/watch?experiment=demo")

    # both spaces and curves move while it trains
    folder = server.checkpoints / "demo"
    with standing_still(folder, n_frames=1):
        until(lambda: n_charts(page) == 2 and min(len(points(page, side)) for side in (0, 1)) > 100)
        before = [points(page, side) for side in (0, 1)]
        lines = curve(page)
    with standing_still(folder, n_frames=3):
        until(lambda: all(points(page, side) not in ({}, before[side]) for side in (0, 1)))
        until(lambda: curve(page) not in ([], {}, lines))

    # the comparison, which comes by itself
    page.goto("about:blank")  # who watches takes time from who works
    until(lambda: control.progress(Experiment(folder)).n_done >= 22, seen=lambda: states(folder))
    page.goto(f"{server.address}/watch?experiment=demo")
    until(lambda: "MAP@R" in headline(page))
    sentence = headline(page)
    assert sentence.startswith(files.read_json(folder / "verdict.json")["sentence"])
    page.get_by_test_id("stMain").get_by_role("link", name="Compare").click()  # while the screen draws itself anew
    expect(page.locator(PAINTED)).to_be_visible()
    assert headline(page) == sentence
    chosen = walk(page, folder, ("classification-all-seed0", "supcon-all-seed0"), tmp_path)

    # Parquet of all, and of what was selected
    page.get_by_role("link", name="Export").click()
    expect(page.get_by_text("verified and ready to take along")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV of the samples").click()
    download.value.save_as(tmp_path / "samples.csv")
    assert pd.read_csv(tmp_path / "samples.csv")["sample_id"].tolist() == chosen
    page.get_by_role("combobox", name="Images").click()
    page.get_by_role("option", name="all 1,797").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download Parquet").click()
    output = tmp_path / "embeddings.parquet"
    download.value.save_as(output)
    frame = pd.read_parquet(output)
    assert len(frame) == 1797
    vectors = np.stack(frame["embedding"])
    assert vectors.shape[0] == 1797 and np.isfinite(vectors).all()
    assert set(chosen) < set(frame["sample_id"])


def test_a_run_goes_on_without_its_page_and_its_server(server: Server, page: Page) -> None:
    page.goto(server.address)
    page.get_by_role("button", name="Run the demo").click()
    page.wait_for_url("**/watch?experiment=demo")
    folder = server.checkpoints / "demo"
    until(lambda: control.progress(Experiment(folder)).share > 0)
    worker = files.read_json(folder / "worker.json")

    with standing_still(folder, n_frames=1):
        page.reload()
        expect(page.get_by_role("heading", name="Training demo:")).to_be_visible()
        server.stop()
        assert control.is_alive(worker["pid"], worker["pid_created"])
        share = control.progress(Experiment(folder)).share
    until(lambda: control.progress(Experiment(folder)).share > share)

    with standing_still(folder, n_frames=1):
        server.start()
        page.goto(f"{server.address}/watch?experiment=demo")  # straight to the screen, as from a bookmark
        expect(page.get_by_role("heading", name="Training demo:")).to_be_visible()
        expect(page.get_by_role("link", name="Compare")).to_be_visible()

        # killed: shown as lost, with the way on
        psutil.Process(worker["pid"]).kill()
    expect(page.get_by_role("heading", name="Lost: its process is gone.")).to_be_visible()
    expect(page.get_by_role("button", name="Resume all")).to_be_visible()
    page.goto(server.address)
    expect(page.get_by_text("resume, or delete it")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    until(lambda: control.is_worker_alive(Experiment(folder)))


COUNTING = """import gc, pathlib
seen = pathlib.Path(__file__).with_name("collections")
seen.touch()
gc.disable()
gc.callbacks.append(lambda phase, details: details["generation"] == 2 and seen.open("a").write(phase))
"""


def test_a_drawn_screen_is_not_followed_by_a_collection_of_everything(tmp_path: Path, page: Page,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the server up, on Watch once a second, and whoever clicks on a link meanwhile stays where they are."""
    (tmp_path / "sitecustomize.py").write_text(COUNTING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = Server(tmp_path)
    try:
        collections = tmp_path / "collections"
        collections.write_text("")  # those of Python's own start
        page.goto(f"{server.address}/watch")
        expect(page.get_by_text("Nothing trained yet.")).to_be_visible()
        page.get_by_role("link", name="Train").click()  # the next drawing, so that the first has ended
        expect(page.get_by_role("button", name="Start")).to_be_visible()
    finally:
        server.stop()
    assert collections.read_text() == ""


class Watcher(threading.Thread):
    """Looks at the queue five times a second: who asked in which order, who was at work when, and how many at once."""

    def __init__(self, checkpoints: Path) -> None:
        super().__init__(daemon=True)
        self._checkpoints = checkpoints
        self.numbers: dict[str, int] = {}
        self.at_work: list[str] = []
        self.most_at_once = self.most_waiting = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.2):
            for path in (self._checkpoints / ".queue").glob("*.json"):
                with suppress(FileNotFoundError):  # whose turn has come takes its ticket away
                    ticket = files.read_json(path)
                    self.numbers[ticket["experiment"]] = ticket["number"]
            folders = store.experiments(self._checkpoints)
            now = [folder.name for folder in folders
                   if any(run.status.state == "running" for run in folder.runs)]
            self.at_work += [name for name in now if name not in self.at_work[-1:]]
            self.most_at_once = max(self.most_at_once, len(now))
            waiting = [folder for folder in folders if device_queue.position(folder) is not None]
            self.most_waiting = max(self.most_waiting, len(waiting))


def fill_in(page: Page, server: Server, name: str, seeds: str) -> None:
    """A small experiment on the digits, ready to start."""
    page.goto(f"{server.address}/train")
    page.get_by_text("Advanced", exact=True).click()
    for label, value in (("Name", name), ("Images per class", "15"), ("Seeds", seeds), ("Images seen, each run", "500"),
                         ("Epochs", "1")):
        field = page.get_by_label(label, exact=True)
        field.fill(value)
        field.press("Enter")
    n_runs = 2 * len(seeds.split(","))
    expect(page.get_by_text(f"{n_runs} runs · 500 images each")).to_be_visible()


def test_eight_experiments_from_two_windows_run_one_by_one_in_order_though_the_server_restarts(
        server: Server, page: Page, browser: Browser) -> None:
    watcher = Watcher(server.checkpoints)
    watcher.start()
    names = []
    with window(browser) as other:
        for number in range(4):
            if number == 2:  # in the middle: one at work, others waiting
                server.stop()
                server.start()
            pair = {page: f"left-{number}", other: f"right-{number}"}
            for opened, name in pair.items():
                fill_in(opened, server, name, "0, 1" if number == 0 else "0")
            for opened in pair:
                opened.get_by_role("button", name="Start", exact=True).click()
            for opened, name in pair.items():
                opened.wait_for_url(f"**/watch?experiment={name}")
            names += pair.values()
    page.goto("about:blank")  # who watches takes time from who works
    folders = [server.checkpoints / name for name in names]
    until(lambda: all(control.progress(Experiment(folder)).state == "completed" for folder in folders), poll=1.0)
    watcher.done.set()
    watcher.join()
    assert watcher.at_work == sorted(names, key=watcher.numbers.get), "in order, none twice, none lost"
    assert (watcher.most_at_once, watcher.most_waiting >= 1) == (1, True)
    for folder in folders:
        assert (folder / "worker.log").read_text().count("classification-15-seed0 completed") == 1


def test_the_server_never_loads_torch(server: Server, page: Page) -> None:
    for screen in ("", "data", "train", "watch", "compare", "explore", "export"):
        page.goto(f"{server.address}/{screen}")
        expect(page.get_by_test_id("stMain")).to_be_visible()
        expect(page.locator("h1, h2").first).to_be_visible()
    mapped = {entry.path for entry in psutil.Process(server.process.pid).memory_maps()}
    assert any("numpy" in path for path in mapped), "the memory map must list what is loaded"
    assert not [path for path in mapped if "/torch/" in path or "libtorch" in path]
