"""From the server's start to the first screen drawn, against an empty Streamlit script: python -m benchmarks.start

Both in a real browser, in turn, medians; prints one ratio. Not a test: run it on a quiet machine.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browsing import PROJECT, Server, chromium

ROUNDS = 5


def seconds_to_first_screen(script: Path, text: str) -> float:
    """Time until a script's text stands on the screen, the server started anew."""
    with tempfile.TemporaryDirectory() as root, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        started = time.perf_counter()
        server = Server(Path(root), script)
        page.goto(server.address)
        page.get_by_text(text).wait_for()
        taken = time.perf_counter() - started
        server.stop()
        browser.close()
    return taken


def main() -> None:
    """Prints the medians and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text('import streamlit as st\nst.title("An empty script")\n')
        times: dict[str, list[float]] = {"empty": [], "duet": []}
        for _ in range(ROUNDS):
            times["empty"].append(seconds_to_first_screen(empty, "An empty script"))
            times["duet"].append(seconds_to_first_screen(PROJECT / "streamlit_app.py", "New experiment"))
    medians = {name: statistics.median(found) for name, found in times.items()}
    print(f"empty script {medians['empty']:.2f} s, first screen {medians['duet']:.2f} s, "
          f"ratio {medians['duet'] / medians['empty']:.2f} (medians of {ROUNDS}, in turn)")


if __name__ == "__main__":
    sys.exit(main())
