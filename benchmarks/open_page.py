"""Does a page that is left open on a running experiment grow or lag? python -m benchmarks.open_page [--minutes 60]

Trains digits for as long, leaves Watch open in a real browser, and prints every few minutes, each after a collection of
garbage: the memory and nodes of the page, the memory of the server, and how long a click takes to be answered. Not a test.
"""

import argparse
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import CDPSession, Page, expect, sync_playwright

from core.experiments import planning
from core.jobs import control, launch
from tests.browsing import Server, chromium, window
from tests.conftest import tiny


def answered(page: Page) -> float:
    """Seconds from a click on a toggle until the curve of every seed has been drawn or taken away."""
    curve = page.locator(".js-plotly-plot").nth(2)
    before = curve.evaluate("plot => plot.data.length")
    started = time.perf_counter()
    page.get_by_text("Every seed", exact=True).click()
    page.wait_for_function("""before => { const plot = document.querySelectorAll('.js-plotly-plot')[2];
        return plot && plot.data && plot.data.length !== before }""", arg=before, timeout=60_000)
    return time.perf_counter() - started


def measured(page: Page, session: CDPSession, server: Server) -> str:
    """One line of what is held and how fast it answers."""
    session.send("HeapProfiler.collectGarbage")
    found = {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}
    memory = psutil.Process(server.process.pid).memory_info().rss
    return (f"page {found['JSHeapUsedSize'] / 2**20:.0f} MiB, {found['Nodes']:,.0f} nodes, {found['JSEventListeners']:,.0f} "
            f"listeners; server {memory / 2**20:.0f} MiB; a click answered in {answered(page):.1f} s")


def main() -> None:
    """Prints a line at the start, then one every part of the time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lines", type=int, default=6)
    options = parser.parse_args()
    config = tiny(name="long", seeds=list(range(40)), budget={"images": 400_000, "epochs": 40})
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        server = Server(Path(temporary))
        folder = launch.start(planning.plan(config), server.checkpoints, Path(temporary) / "data", device="cpu")
        try:
            with window(browser) as page:
                page.goto(f"{server.address}/watch?experiment=long")
                page.set_default_timeout(60_000)
                expect(page.locator(".js-plotly-plot")).to_have_count(4, timeout=120_000)
                time.sleep(60)  # past the first frames
                session = page.context.new_cdp_session(page)
                session.send("Performance.enable")
                started = time.monotonic()
                for number in range(options.lines + 1):
                    time.sleep(max(0.0, started + number * 60 * options.minutes / options.lines - time.monotonic()))
                    assert control.is_worker_alive(folder), "the experiment must outlast the measurement"
                    n_frames = sum(len(run.snapshots) for run in folder.runs)
                    print(f"{(time.monotonic() - started) / 60:5.1f} min, {n_frames} frames so far: "
                          f"{measured(page, session, server)}", flush=True)
        finally:
            control.stop(folder.runs)
            control.wait(folder, 30)
            server.stop()
            browser.close()


if __name__ == "__main__":
    main()
