"""Takes the pictures of the screens that the README and docs/usage.md show: python -m tools.screenshots [--output docs]

Runs the demo as a newcomer would, in a real browser, and photographs every screen at 1280 × 800: Compare in dark too. Not a
test.
"""

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from core.experiments.handles import Experiment
from core.jobs import control
from tests.browsing import Server, chromium, lasso, open_spaces, say_selected, window
from tests.waiting import until


def shoot(page: Page, output: Path, settle: float = 1.5) -> None:
    """What is in the window, once nothing moves any more."""
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    page.mouse.move(1, 1)
    page.wait_for_timeout(1000 * settle)
    page.screenshot(path=output)


def on_top(page: Page, selector: str) -> None:
    """Scrolls an element to just below the navigation at the window's top."""
    page.locator(selector).first.evaluate("""element => { element.style.scrollMarginTop = '112px';
        element.scrollIntoView({block: 'start'}) }""")


def take(server: Server, browser, output: Path) -> None:
    """Every screen, in the order of a first visit."""
    folder = server.checkpoints / "demo"
    with window(browser) as page:
        page.goto(server.address)
        expect(page.get_by_text("Nothing trained yet.")).to_be_visible()
        page.get_by_role("button", name="Run the demo").click()
        page.wait_for_url("**/watch?experiment=demo")
        until(lambda: control.progress(Experiment(folder)).share > 0.4)
        shoot(page, output / "watch.png", 3)
        page.goto("about:blank")  # who watches takes time from who works
        until(lambda: not control.is_worker_alive(Experiment(folder)))
        page.goto(server.address)
        expect(page.get_by_text("MAP@R")).to_be_visible()
        shoot(page, output / "start.png")
        page.goto(f"{server.address}/data")
        expect(page.get_by_text("1,797 images")).to_be_visible()
        shoot(page, output / "data.png", 3)
        page.goto(f"{server.address}/train")
        expect(page.get_by_text("Ready to start")).to_be_visible()
        shoot(page, output / "train.png", 3)
        page.goto(f"{server.address}/explore?experiment=demo")
        expect(page.get_by_text("lie in their class's cluster")).to_be_visible()
        shoot(page, output / "explore.png", 4)
        page.goto(f"{server.address}/export?experiment=demo")
        expect(page.get_by_text("verified and ready to take along")).to_be_visible()
        shoot(page, output / "export.png")
    for theme, end in (("light", ""), ("dark", "-dark")):
        with window(browser, theme=theme) as page:
            open_spaces(page, f"{server.address}/compare?experiment=demo")
            page.locator("h2").first.scroll_into_view_if_needed()
            shoot(page, output / f"verdict{end}.png", 3)
            lasso(page, 0)
            say_selected(page)
            expect(page.locator(".cell img[src]").first).to_be_visible()
            page.locator(".cell").nth(1).click()
            on_top(page, "h5:has-text('Both spaces')")
            shoot(page, output / f"compare{end}.png")
            on_top(page, "[data-testid=stButtonGroup]:has-text('K-means confusion')")
            shoot(page, output / f"confusion{end}.png")
            on_top(page, "h3:has-text('Every metric')")
            shoot(page, output / f"metrics{end}.png")


def main() -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=Path("docs"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        server = Server(Path(temporary))
        try:
            take(server, browser, options.output)
        finally:
            server.stop()
            browser.close()


if __name__ == "__main__":
    main()
