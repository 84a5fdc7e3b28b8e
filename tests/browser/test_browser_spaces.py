"""The linked spaces in a real browser: one person's path in each size and theme, the image behind each point, two windows."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from core.analysis import table as tables
from core.data import sources
from core.experiments import film, selections
from core.experiments.handles import Experiment, Run
from pages.parts import scatter
from tests.browsing import (
    PAINTED,
    Server,
    chosen,
    draw_loop,
    in_spaces,
    lasso,
    open_spaces,
    place_of,
    say_selected,
    walk,
    window,
)
from tests.conftest import run_in_process, tiny
from tests.waiting import until

RUNS = ("classification-15-seed0", "supcon-15-seed0")


@pytest.fixture(scope="module")
def server(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a copy of the finished experiment."""
    root = tmp_path_factory.mktemp("viewing")
    shutil.copytree(finished, root / "checkpoints" / "tiny")
    found = Server(root)
    yield found
    found.stop()


@pytest.mark.parametrize(("width", "height", "theme"), [(1280, 800, "dark"), (1920, 1080, "light"), (1920, 1080, "dark")])
def test_from_the_verdict_to_the_parquet_of_a_selection(server: Server, browser: Browser, tmp_path: Path, width: int,
                                                        height: int, theme: str) -> None:
    folder = server.checkpoints / "tiny"
    with window(browser, width, height, theme) as page:
        open_spaces(page, f"{server.address}/compare?experiment=tiny")
        name = f"seen-{width}-{theme}"
        sample_ids = walk(page, folder, RUNS, tmp_path, name)
        background = in_spaces(page, "view.theme.background")
        assert (sum(background) < 200) == (theme == "dark")
        corner = in_spaces(page, "Array.from(view.fields[0].context.getImageData(1, 1, 1, 1).data.slice(0, 3))")
        assert corner == background
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

        # the same selection on Explore, and wherever its address is opened
        address = page.url
        assert f"saved={name}" in address
        page.get_by_role("link", name="Explore").click()
        expect(page.get_by_text("lie in their class's cluster")).to_be_visible()
        expect(page.get_by_test_id("stMarkdown").get_by_text(f"{len(sample_ids)} selected")).to_be_visible()
    with window(browser) as other:
        open_spaces(other, address)
        until(lambda: len(chosen(other)) == len(sample_ids))


def test_two_windows_have_selections_of_their_own_and_share_the_saved_ones(server: Server, browser: Browser) -> None:
    folder = server.checkpoints / "tiny"
    with window(browser) as one, window(browser) as two:
        for page in (one, two):
            open_spaces(page, f"{server.address}/compare?experiment=tiny")
        lasso(one, 0)
        n_one = say_selected(one)
        assert chosen(two) == []
        x, y = place_of(two, 1, 7)
        two.mouse.click(x, y)
        until(lambda: len(chosen(two)) == 1)
        say_selected(two)
        one.reload()
        expect(one.locator(PAINTED)).to_be_visible()
        until(lambda: 1 < len(chosen(one)) <= n_one)  # an address holds the first samples of a selection without a name
        assert len(chosen(two)) == 1

        selections.save(Experiment(folder), "shared", ["0/0000"])
        two.get_by_role("button", name="Saved", exact=True).click()
        two.get_by_role("combobox", name="Selection").click()
        expect(two.get_by_role("option", name="shared (1)")).to_be_visible()


def test_mouse_and_keys(server: Server, browser: Browser, tmp_path: Path) -> None:
    table = tables.read(server.checkpoints / "tiny" / RUNS[0] / "embeddings.parquet").of_split("test")
    with window(browser) as page:
        open_spaces(page, f"{server.address}/compare?experiment=tiny")
        # a class alone by its name, and all again
        label = page.locator(".plot[data-side='0'] .label").first
        class_id = int(label.get_attribute("data-label"))
        box = label.bounding_box()
        page.mouse.click(box["x"] + 3, box["y"] + 3)
        assert in_spaces(page, "view.isolated") == {"by": "label", "id": class_id}
        faded = in_spaces(page, "Array.from({length: view.points.n}, (_, i) => view.scene(1).isFaded(i))")
        assert np.array_equal(np.array(faded), table.label_id != class_id)
        lasso(page, 0)  # what is faded is not meant
        assert {table.label_id[row] for row in chosen(page)} == {class_id}
        page.locator(".chip").click()
        assert in_spaces(page, "view.isolated") is None

        # shift adds, Esc clears, arrows step, F flips without moving what is below
        first = chosen(page)
        others = [row for row in range(len(table)) if row not in first]
        page.keyboard.down("Shift")
        page.mouse.click(*place_of(page, 0, others[0]))
        page.keyboard.up("Shift")
        until(lambda: len(chosen(page)) == len(first) + 1)
        before = in_spaces(page, "view.focused")
        page.keyboard.press("ArrowRight")
        assert in_spaces(page, "view.focused") in chosen(page) and in_spaces(page, "view.focused") != before
        page.keyboard.press("ArrowLeft")
        assert in_spaces(page, "view.focused") == before
        height = page.locator(".spaces").bounding_box()["height"]
        for large in ("a", "b", ""):
            page.keyboard.press("f")
            assert page.locator(".spaces").get_attribute("data-large") == large
            assert page.locator(".spaces").bounding_box()["height"] == pytest.approx(height, abs=1)
        page.keyboard.press("Escape")
        assert chosen(page) == []
        expect(page.get_by_text("Nothing selected")).to_be_visible()

        # the wheel enlarges about the mouse, a double click shows all again
        x, y = place_of(page, 0, 3)
        page.mouse.move(x, y)
        page.mouse.wheel(0, -400)
        until(lambda: in_spaces(page, "view.fields[0].camera.zoom") > 1.5)
        assert place_of(page, 0, 3) == pytest.approx([x, y], abs=1)
        page.mouse.dblclick(x, y)
        until(lambda: in_spaces(page, "view.fields[0].camera.zoom") == 1)

        # pictures of a plot
        for kind in ("PNG", "SVG"):
            with page.expect_download() as download:
                page.locator(".plot[data-side='1']").get_by_role("button", name=kind).click()
            assert download.value.suggested_filename == f"tiny-B-supcon.{kind.lower()}"
            download.value.save_as(tmp_path / f"plot.{kind.lower()}")
        with Image.open(tmp_path / "plot.png") as picture:
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
        drawn = ElementTree.parse(tmp_path / "plot.svg").getroot()
        shapes = [item for item in drawn if item.tag.endswith(("circle", "polygon"))]
        assert len(shapes) == len(table)
        assert {item.text for item in drawn if item.tag.endswith("text")} == set(table.label.tolist())


def star_of(page: Page, side: int) -> list[float]:
    """Where the first star lies on the window, in one of the linked spaces."""
    return in_spaces(page, """(() => { const field = view.fields[values[0]], box = field.box.getBoundingClientRect();
        const star = view.stars[values[0]][0], [x, y] = field.camera.toScreen(star.x, star.y);
        return [box.left + x, box.top + y] })()""", side)


def test_an_own_image_lands_as_a_star_in_both_linked_spaces(server: Server, browser: Browser) -> None:
    test = [tables.read(server.checkpoints / "tiny" / run / "embeddings.parquet").of_split("test") for run in RUNS]
    content = io.BytesIO()
    sources.Digits().image(test[0].sample_id[7]).save(content, "PNG")
    with window(browser) as page:
        open_spaces(page, f"{server.address}/compare?experiment=tiny&view=query")
        lasso(page, 0)
        selected = chosen(page)
        page.locator("input[type=file]").set_input_files(
            [{"name": "my <b>own</b>.png", "mimeType": "image/png", "buffer": content.getvalue()}])
        expect(page.get_by_text(re.compile("nearest say")).last).to_be_visible()
        until(lambda: in_spaces(page, "view.stars.map(stars => stars.length)") == [1, 1])
        numbers = page.get_by_role("heading", name="Every metric").bounding_box()["y"]
        above = [plot for plot in page.locator(".js-plotly-plot").all() if plot.bounding_box()["y"] < numbers]
        assert above == [], "there is no second plot of the same"
        assert chosen(page) == selected

        # it is a copy of a test image: it lands on that image's point, in each space, and its nearest is that image
        page.locator(".panel").scroll_into_view_if_needed()
        for side in (0, 1):
            assert star_of(page, side) == pytest.approx(place_of(page, side, 7), abs=1)
            assert in_spaces(page, "view.stars[values[0]][0].near[0]", side) == 7

        # hovered it says its file's name; its middle is the star's, not the point's that lies under it
        page.mouse.move(*star_of(page, 1))
        expect(page.locator(".tip")).to_contain_text("★ A · my <b>own</b>.png")
        assert in_spaces(page, "[view.hovered, view.hoveredStar]") == [None, 0]
        pixel = "Array.from(view.fields[values[0]].marks.getContext('2d').getImageData(values[1], values[2], 1, 1).data)"
        for side in (0, 1):
            x, y = star_of(page, side)
            box = page.locator(".spaces .field").nth(side).bounding_box()
            at = [round(x - box["x"] + 7), round(y - box["y"])]  # in the star, beside its letter
            assert in_spaces(page, pixel, side, *at) == [*in_spaces(page, "view.theme.background"), 255]

        # a click on it picks nothing, and all that a loop about everything picks is samples
        page.mouse.click(*star_of(page, 0))
        assert chosen(page) == selected
        box = page.locator(".spaces .field").first.bounding_box()
        draw_loop(page, box, 0.005, 0.995, steps=10)
        assert chosen(page) == list(range(len(test[0])))
        assert say_selected(page) == len(test[0])

        # another layout: the star moves with it, the selection stays
        lasso(page, 1)
        selected = chosen(page)
        say_selected(page)
        before = in_spaces(page, "view.stars[0][0].x")
        page.get_by_test_id("stButtonGroup").get_by_text("t-SNE", exact=True).click()
        until(lambda: in_spaces(page, "view.stars[0].length ? view.stars[0][0].x : null") not in (None, before))
        until(lambda: chosen(page) == selected)

        # taken away again, it goes
        page.get_by_role("button", name=re.compile("Remove|Delete|my .*own")).first.click()
        until(lambda: in_spaces(page, "view.stars.flat().length") == 0)


@pytest.mark.parametrize("kind, n", [("pair", 2), ("film", scatter.MOST_REELS)])
def test_a_canvas_that_is_mounted_again_stands_there_once(kind: str, n: int, browser: Browser) -> None:
    points = scatter.cloud([np.zeros((3, 2))] * 2, np.zeros(3, int), ("cat",))
    color = scatter.by_category("class", [np.zeros(3, int)], ("cat",), is_label=True)
    reels = scatter.Film((scatter.Reel(1, {}, {}),) * 2, lambda name: None) if kind == "film" else None
    slot: dict = {"seq": "", "cards": {}, "near": {}, "frames": [], "unread": set(), "sent": set()}
    message = scatter.pack(points, color, ("A", "B"), np.zeros(0, int), "", slot, "space", None, None, film=reels)
    with window(browser) as page:
        page.set_content(f"<main>{scatter._skeleton(kind, n)}</main>")
        counts = page.evaluate("""async ([script, data]) => {
            const { default: mount } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
            const parentElement = document.querySelector("main");
            const count = () => ["*", "input", ".play", ".head"].map((found) => parentElement.querySelectorAll(found).length);
            const component = () => ({ parentElement, data: Uint8Array.from(data), setTriggerValue() {} });
            const counts = [];
            for (let i = 0; i < 3; i++) {
                const close = mount(component());
                mount(component()); // drawn anew, not mounted anew
                counts.push(count());
                close();
            }
            return counts; }""", [scatter._script, list(message)])
    assert counts[0] == counts[1] == counts[2] and counts[0][0] > 10
    assert counts[0][1:] == ([1, 1, 0] if kind == "film" else [0, 0, 1])


def test_a_film_is_stepped_and_played_in_step(server: Server, browser: Browser) -> None:
    folder = server.checkpoints / "tiny"
    runs = [folder / f"{arm}-15-seed1" for arm in ("classification", "supcon")]  # those that trained last
    places = "[0, 1].map(side => Array.from(view.points.sides[side].xy))"

    def lies(page: Page, epoch: int) -> bool:
        frames = [film.read_frame(Run(run).snapshots[epoch]) for run in runs]
        wanted = [np.stack([frame["x"], frame["y"]], axis=1).ravel() for frame in frames]
        return all(np.array_equal(np.float32(shown), of) for shown, of in zip(in_spaces(page, places), wanted))

    with window(browser) as page:
        page.goto(f"{server.address}/watch?experiment=tiny")
        expect(page.locator(PAINTED)).to_be_visible()
        words, play = page.locator(".words:visible"), page.locator(".play")
        slider = page.get_by_role("slider", name="Film: epoch")
        expect(words).to_have_count(2)
        expect(words.first).to_contain_text("epoch 2 of 2 · MAP@R")
        assert lies(page, 2)
        page.evaluate("window.was = document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
                      ".querySelector('canvas.points')")
        colors = in_spaces(page, "view.colors.map(of => Array.from(of))")

        # back to the encoder before training, in both
        slider.focus()
        for epoch in (1, 0, 0):
            page.keyboard.press("ArrowLeft")
            for side in (0, 1):
                expect(words.nth(side)).to_contain_text(f"epoch {epoch} of 2")
            assert lies(page, epoch)
        label = page.locator(".plot[data-side='0'] .label").first  # a class alone, in every frame
        box = label.bounding_box()
        page.mouse.click(box["x"] + 3, box["y"] + 3)
        isolated = in_spaces(page, "view.isolated")
        assert isolated == {"by": "label", "id": int(label.get_attribute("data-label"))}

        # played to its end, where it stops
        play.click()
        expect(play).to_have_text("Pause")
        expect(play).to_have_text("Play")
        expect(page.locator(".player output")).to_have_text("epoch 2 of 2")
        assert lies(page, 2)
        assert in_spaces(page, "view.isolated") == isolated
        assert in_spaces(page, "view.colors.map(of => Array.from(of))") == colors
        assert page.evaluate("window.was.isConnected"), "the same canvas all the time"

        # its images and its samples' names, as on every canvas
        page.mouse.move(*place_of(page, 0, 3))
        expect(page.locator(".tip img[src]")).to_be_visible()
        over = in_spaces(page, "view.hovered")
        frame = film.read_frame(Run(runs[0]).snapshots[2])
        expect(page.locator(".tip .id")).to_have_text(frame["sample_id"][over])


def id_image(number: int) -> Image.Image:
    """A number's sixteen bits as black and white blocks, four in a row."""
    bits = np.array([number >> place & 1 for place in range(16)], dtype=np.uint8).reshape(4, 4) * 255
    return Image.fromarray(np.kron(bits, np.ones((12, 12), np.uint8))).convert("RGB")


def id_shown(image: Locator) -> int:
    """The number that an image on the screen carries in its pixels."""
    return image.evaluate("""async image => {
        await image.decode();
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const pen = canvas.getContext('2d');
        pen.drawImage(image, 0, 0);
        let number = 0;
        for (let place = 0; place < 16; place++) {
            const [x, y] = [place % 4, place >> 2].map((cell, axis) =>
                Math.floor((cell + 0.5) / 4 * [canvas.width, canvas.height][axis]));
            if (pen.getImageData(x, y, 1, 1).data[0] > 127) number += 2 ** place;
        }
        return number }""")


def id_of(sample_id: str) -> int:
    return int(sample_id.rpartition("_")[2].removesuffix(".png"))


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over an experiment on 500 images that carry their own number as pixels, in ten classes."""
    root = tmp_path_factory.mktemp("numbered")
    for number in range(500):
        folder = root / "images" / f"class_{number % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        id_image(number * 131).save(folder / f"image_{number * 131}.png")
    dataset = {"source": "folder", "root": str(root / "images")}
    run_in_process(tiny(name="numbered", dataset=dataset, seeds=[0], budget={"images": 160, "epochs": 1}), root)
    found = Server(root)
    yield found
    found.stop()


def test_the_image_behind_a_point_is_that_samples_image(numbered: Server, browser: Browser) -> None:
    table = tables.read(numbered.checkpoints / "numbered" / RUNS[0] / "embeddings.parquet").of_split("test")
    ids = [id_of(sample_id) for sample_id in table.sample_id.tolist()]
    assert len(ids) >= 100 and len(set(ids)) == len(ids)
    with window(browser) as page:
        open_spaces(page, f"{numbered.address}/compare?experiment=numbered")
        seen = hover_many(page, len(ids))
        assert len(seen) >= 12
        assert {row: ids[row] for row in seen} == seen

        # every image of the selection, and each one's neighbours
        in_spaces(page, "view.pick([...Array(view.points.n).keys()], false)")
        say_selected(page)
        expect(page.locator(".cell")).to_have_count(len(ids))
        for row in range(len(ids)):
            cell = page.locator(f".cell[data-row='{row}']")
            cell.evaluate("cell => cell.parentNode.scrollTop = cell.offsetTop")
            expect(cell.locator("img[src]")).to_be_visible()
            assert id_shown(cell.locator("img")) == ids[row]
        for row in range(0, len(ids), 20):
            page.locator(f".cell[data-row='{row}']").evaluate("cell => cell.click()")
            expect(page.locator(f".focus[data-row='{row}'] img[src]")).to_be_visible()
            assert id_shown(page.locator(".focus img")) == ids[row]
            for side in (0, 1):
                near = page.locator(f".strip[data-side='{side}'] .near")
                expect(near.locator("img[src]")).to_have_count(5)
                for item in near.all():
                    assert id_shown(item.locator("img")) == ids[int(item.get_attribute("data-row"))]


def hover_many(page: Page, n: int) -> dict[int, int]:
    """Rests the mouse on points of both spaces; row -> the number that its image shows."""
    seen = {}
    for place, row in enumerate(range(0, n, 6)):
        page.mouse.move(*place_of(page, place % 2, row))
        until(lambda: in_spaces(page, "view.hovered") is not None)
        over = in_spaces(page, "view.hovered")  # the point asked for, or one that lies on it
        expect(page.locator(f".tip[data-row='{over}'] img[src]")).to_be_visible()
        seen[over] = id_shown(page.locator(".tip img"))
    return seen
