"""Two spaces of many points in a real browser without a GPU, against two plain Plotly charts of the same.

    python -m benchmarks.spaces [--points 100000] [--rounds 3] [--no-plotly]

In turn, medians; prints seconds, ratios and the server's memory. Drawn: a page opened anew, the tables read before.
Round trip: from the end of a lasso until both spaces mark it and the server has said how many they are.
"""

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.data.manifest import Manifest
from core.experiments import store
from tests.browsing import PAINTED, WATCH, Server, chromium, draw_loop
from tests.conftest import said_of_itself, tiny

CLASSES, WIDTH, PER_FOLDER = 37, 32, 200
RUNS = ("classification-15-seed0", "supcon-15-seed0")

OURS = """
import sys
from pathlib import Path
sys.path.insert(0, {project!r})
import streamlit as st
from pages.parts import linked_spaces
st.set_page_config(layout="wide")
folder = Path({folder!r})
linked_spaces.draw(folder, [folder / run / "embeddings.parquet" for run in {runs!r}], ("a", "b"))
"""
PLOTLY = """
import sys
from pathlib import Path
sys.path.insert(0, {project!r})
import numpy as np
import plotly.graph_objects as go
import streamlit as st
from pages.parts import file_stamp, layouts, space_tables
st.set_page_config(layout="wide")
folder = Path({folder!r})
paths = [folder / run / "embeddings.parquet" for run in {runs!r}]
spaces = space_tables.shared(paths, "test")
picked = st.session_state.setdefault("picked", [])
def take(key):
    st.session_state["picked"] = st.session_state[key].selection.point_indices
points = layouts._pca(tuple(file_stamp.stamp(path) for path in paths), "test").points
for column, key, layout in zip(st.columns(2), "ab", points):
    figure = go.Figure(go.Scattergl(x=layout[:, 0], y=layout[:, 1], mode="markers",
                                    marker={{"color": spaces[0].label_id, "size": 3}}))
    figure.update_layout(dragmode="lasso", height=480)
    if picked:
        figure.data[0].selectedpoints = picked
    column.plotly_chart(figure, key=key, on_select=lambda key=key: take(key), selection_mode="lasso")
st.write(f"{{len(picked):,}} selected")
"""


def build(root: Path, n: int) -> Path:
    """An experiment's folder with two spaces of n test images in 37 classes, and files behind every one of them."""
    generator = np.random.default_rng(0)
    images = root / "images"
    (images / "0").mkdir(parents=True)
    digests = []
    for number in range(PER_FOLDER):
        path = images / "0" / f"{number}.png"
        Image.fromarray(generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    for number in range(1, -(-n // PER_FOLDER)):
        (images / str(number)).symlink_to("0")
    sample_id = np.array([f"{row // PER_FOLDER}/{row % PER_FOLDER}.png" for row in range(n)], dtype=object)
    label_id = generator.integers(0, CLASSES, n).astype(np.int32)
    names = np.array([f"class {number:02d}" for number in range(CLASSES)], dtype=object)
    nothing, test = np.full(n, "", dtype=object), np.full(n, "test", dtype=object)
    manifest = Manifest(sample_id=sample_id, label=names[label_id], group=nothing,
                        digest=np.resize(np.array(digests, dtype=object), n), picture=sample_id, official=nothing, split=test,
                        rank={0: np.full(n, -1, np.int32)})
    config = tiny(name="many", dataset={"source": "folder", "root": str(images)}, seeds=[0])
    experiment = store.create(config, manifest, root / "checkpoints")
    for run in RUNS:
        vectors = generator.normal(0, 1, (CLASSES, WIDTH))[label_id] + 0.5 * generator.normal(0, 1, (n, WIDTH))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        tables.write(EmbeddingTable(
            sample_id=sample_id, path=sample_id, label=names[label_id], label_id=label_id, split=test, group=nothing,
            cluster=label_id, x=vectors[:, 0], y=vectors[:, 1], embedding=vectors,
            metadata=said_of_itself(names.tolist()) | {"normalization": "l2"}), experiment.run(run).embeddings_file)
    return experiment.folder


def lasso(page: Page, box: dict[str, float]) -> None:
    """A loop over the middle, ended by letting go."""
    draw_loop(page, box, 0.35, 0.65, steps=4)


def ours(page: Page, address: str, n: int) -> dict[str, float]:
    """Seconds until both spaces are painted, until a lasso is marked in both, and until the server has said so."""
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(PAINTED, timeout=180_000)
    taken = {"drawn": time.perf_counter() - started}
    time.sleep(2)
    lasso(page, page.locator(".field").first.bounding_box())
    started = time.perf_counter()
    page.wait_for_selector(".n-selected:not(:empty)", timeout=60_000)
    taken["marked in both"] = time.perf_counter() - started
    picked = int(page.locator(".n-selected").inner_text().split()[0].replace(",", ""))
    page.get_by_test_id("stMarkdown").get_by_text(f"{picked:,} selected").wait_for(timeout=60_000)
    taken["round trip"] = time.perf_counter() - started
    page.wait_for_selector(".cell img[src]", timeout=60_000)
    taken["first image beside them"] = time.perf_counter() - started
    started = time.perf_counter()
    page.locator(".spaces").evaluate("""root => new Promise(done => { let frames = 0;
        const next = () => {
            if (++frames > 20) return done();
            const view = window.spaces.get(root);
            view.fields[0].camera.zoom *= 1.01;
            view.repaint(true);
            requestAnimationFrame(next);
        };
        next(); })""")
    taken["a frame while zooming"] = (time.perf_counter() - started) / 20
    assert 0 < picked < n
    return taken


def plotly(page: Page, address: str, n: int) -> dict[str, float]:
    """The same of two plain Plotly charts."""
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_function("""n => { const plots = [...document.querySelectorAll('.js-plotly-plot')];
        return plots.length === 2 && plots.every(plot => plot._fullData?.[0]?._length === n) }""", arg=n, timeout=180_000)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    taken = {"drawn": time.perf_counter() - started}
    time.sleep(2)
    lasso(page, page.locator(".nsewdrag").first.bounding_box())
    started = time.perf_counter()
    page.wait_for_function("""() => [...document.querySelectorAll('.js-plotly-plot')].every(
        plot => plot._fullData?.[0]?.selectedpoints?.length > 0)""", timeout=60_000)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    taken["round trip"] = time.perf_counter() - started
    return taken


def measured(browser: Browser, server: Server, measure, n: int) -> dict[str, float]:
    """One round in a browser window of its own, as a visitor's."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(WATCH)
    taken = measure(context.new_page(), server.address, n)
    context.close()
    return taken


def main() -> None:
    """Prints medians, ratios and memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-plotly", action="store_true")
    options = parser.parse_args()
    project = str(Path(__file__).resolve().parents[1])
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        root = Path(temporary)
        folder = build(root, options.points)
        servers = {}
        for name, text in (("ours", OURS), ("plotly", PLOTLY)):
            if name == "ours" or not options.no_plotly:
                (root / name).mkdir()
                script = root / name / "page.py"
                script.write_text(text.format(project=project, folder=str(folder), runs=RUNS))
                servers[name] = Server(root, script)
        measures = {"ours": ours, "plotly": plotly}
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        found: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for number in range(options.rounds + 1):
            for name, server in servers.items():
                taken = measured(browser, server, measures[name], options.points)
                if number:  # the first reads the tables
                    found[name].append(taken)
                else:
                    print(f"{name}, first visit with tables to read: drawn in {taken['drawn']:.1f} s", flush=True)
        medians = {name: {what: statistics.median(item[what] for item in items) for what in items[0]}
                   for name, items in found.items()}
        for name, server in servers.items():
            memory = psutil.Process(server.process.pid).memory_info().rss / 2**20
            print(f"{name}, 2 × {options.points:,}: " + ", ".join(f"{what} {seconds:.2f} s" for what, seconds in
                  medians[name].items()) + f"; server {memory:,.0f} MiB")
            server.stop()
        if "plotly" in medians:
            print("plotly ÷ ours: " + ", ".join(f"{what} {medians['plotly'][what] / medians['ours'][what]:.1f}"
                                                for what in ("drawn", "round trip")))
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
