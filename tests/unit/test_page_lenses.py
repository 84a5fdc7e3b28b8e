"""COMPARE's closer views: the images behind a cell, and who won and lost with whose neighbours."""

from pathlib import Path

import numpy as np
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.analysis import changes, clustering, suggestions
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.experiments import planning, store
from core.experiments.handles import Run
from core.results import scoring
from pages.parts import image_strips, sample_images
from tests import conftest

RUNS = ("classification-15-seed0", "supcon-15-seed0")


def spaces(experiment: Path) -> list[EmbeddingTable]:
    return [tables.read(experiment / name / "embeddings.parquet").of_split("test") for name in RUNS]


def words(app: AppTest) -> str:
    return " ".join(item.value for item in app.markdown)


def test_a_cell_of_the_difference_opens_the_images_that_moved(screen, experiment: Path) -> None:
    before, after = spaces(experiment)
    counts = [clustering.confusion(space.cluster, space.label_id, 10) for space in (before, after)]
    change = counts[1] - counts[0]
    row, column = np.unravel_index(np.abs(change).argmax(), change.shape)
    came, left = changes.moved(before.cluster, after.cluster, before.label_id, row, column)
    assert len(came) + len(left)

    app = screen("compare", experiment="tiny", seed="0")
    app.session_state["cell-tiny"] = ("|".join(RUNS), "B − A", int(row), int(column))
    app.run()
    assert not app.exception
    assert f"**{len(came):,} came into** the cluster of {column}, of class {row}" in words(app)
    assert f"**{len(left):,} left** the cluster of {column}, of class {row}" in words(app)

    app.session_state["cell-tiny"] = ("other|runs", "A", 0, 0)
    app.run()
    assert "came into" not in words(app), "a cell of another pair is none of this one"


def test_won_and_lost_says_the_counts_that_were_reported(screen, experiment: Path) -> None:
    a, b = (scoring.scores_of_runs([Run(experiment / name)], name).values["knn_accuracy"][0] for name in RUNS)
    app = screen("compare", experiment="tiny", seed="0", view="won and lost")
    assert f"**{int(a.sum()):,}** right ({100 * a.mean():.1f} %)" in words(app)
    assert f"**{int((b > a).sum()):,} won** by B, **{int((a > b).sum()):,} lost**" in words(app)
    options = app.segmented_control(key="won-lost").options
    assert sum(int(option.rpartition(" · ")[2].replace(",", "")) for option in options) == len(a)
    for option in options:
        app.segmented_control(key="won-lost").set_value(
            {"only B right": "only_b", "only A right": "only_a", "both wrong": "neither", "both right": "both"}[
                option.rpartition(" · ")[0]]).run()
        assert not app.exception


def test_marking_a_quadrant_selects_it_everywhere(screen, experiment: Path) -> None:
    app = screen("compare", experiment="tiny", seed="0", view="won and lost")
    next(button for button in app.button if button.label == "Mark all in both spaces").click().run()
    scores = [scoring.scores_of_runs([Run(experiment / name)], name) for name in RUNS]
    a, b = (found.values["knn_accuracy"][0] for found in scores)
    assert set(app.session_state["selected-tiny"]) == set(scores[0].sample_id[b > a].tolist())


def test_images_of_cells_and_strips_are_their_samples_own(tmp_path: Path) -> None:
    """500 images that are one colour each, their own number: cells and neighbour strips show that sample's and no other."""
    root = tmp_path / "images"
    for number in range(500):
        (root / f"class{number % 10}").mkdir(parents=True, exist_ok=True)
        color = (number // 256, number % 256, 77)
        Image.new("RGB", (100, 100), color).save(root / f"class{number % 10}" / f"{number:03d}.png")
    config = conftest.tiny(name="numbered", dataset={"source": "folder", "root": str(root)},
                           split={"near_duplicates": False})
    experiment = store.create(config, planning.plan(config).manifest, tmp_path / "checkpoints")
    manifest = experiment.manifest()
    assert len(manifest) == 500
    label_id = manifest.label_id
    cluster = np.random.default_rng(0).integers(0, 10, 500)
    seen = set()
    for row in range(10):
        for column in range(10):
            for sample_id in manifest.sample_id[changes.cell(cluster, label_id, row, column)].tolist():
                picture = sample_images.image(experiment, sample_id)
                assert picture.getpixel((50, 50)) == number_of(sample_id)
                assert image_strips.framed(experiment, sample_id).getpixel((40, 40)) == number_of(sample_id)
                assert manifest.label[manifest.sample_id == sample_id] == f"class{row}"
                seen.add(sample_id)
    assert len(seen) == 500


def number_of(sample_id: str) -> tuple[int, int, int]:
    number = int(sample_id[-7:-4])
    return number // 256, number % 256, 77


def test_where_to_look_first_opens_the_cell_and_marks_its_images(screen, experiment: Path) -> None:
    app = screen("compare", experiment="tiny", seed="0", view="where to look first")
    before, after = spaces(experiment)
    pair = suggestions.changed_pairs(before.cluster, after.cluster, before.label_id, 10)[0]
    button = app.button(key="look-pair-0")
    assert button.label == f"{pair.label} and {pair.other}: {pair.in_a} → {pair.in_b} mixed up"
    button.click().run()
    assert not app.exception
    assert app.session_state["view"] == "confusion" and "came into" in words(app)
    marked = set(app.session_state["selected-tiny"])
    crossing = [{sample_id for sample_id, label, cluster in zip(space.sample_id, space.label_id, space.cluster)
                 if {label, cluster} == {pair.label, pair.other}} for space in (before, after)]
    assert marked and marked == crossing[0] ^ crossing[1]

    app = screen("compare", experiment="tiny", seed="0", view="where to look first")
    app.button(key="look-doubts").click().run()
    assert len(app.session_state["selected-tiny"]) == int(app.button(key="look-doubts").label.split()[-1].replace(",", ""))
