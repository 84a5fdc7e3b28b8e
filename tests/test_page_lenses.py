"""COMPARE's closer views: the images behind a cell, and who won and lost with whose neighbours."""

from pathlib import Path

import numpy as np
from streamlit.testing.v1 import AppTest

from core.analysis import changes, clustering
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.runs import verdict

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
    a, b = (verdict.scores_of_runs([experiment / name], name).values["knn_accuracy"][0] for name in RUNS)
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
    scores = [verdict.scores_of_runs([experiment / name], name) for name in RUNS]
    a, b = (found.values["knn_accuracy"][0] for found in scores)
    assert set(app.session_state["selected-tiny"]) == set(scores[0].sample_id[b > a].tolist())
