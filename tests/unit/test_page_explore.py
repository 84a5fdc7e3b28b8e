"""EXPLORE: one space, its images and their neighbours."""

import io
from pathlib import Path

import numpy as np
import pytest

from core.analysis import table as tables
from core.data import sources
from core.experiments.handles import Experiment
from core.jobs import tasks
from core.jobs.layout import Settings, lay_out
from tests.conftest import canvas_of, put_into
from tests.waiting import DEADLINE, until


def test_the_headline_counts_what_lies_in_its_cluster(screen, experiment: Path) -> None:
    app = screen("explore", experiment="tiny", run="supcon-15-seed0")
    test = tables.read(experiment / "supcon-15-seed0" / "embeddings.parquet").of_split("test")
    share = 100 * np.mean(test.cluster == test.label_id)
    assert app.header[0].value.startswith(f"{share:.1f} % of {len(test)} test images lie in their class's cluster")


def test_an_image_found_by_name_comes_with_its_neighbours(screen, experiment: Path) -> None:
    manifest = Experiment(experiment).manifest()
    sample_id = manifest.sample_id[manifest.indices("test")[3]]
    app = screen("explore", experiment="tiny", run="supcon-15-seed0", select=sample_id)
    assert "**1 selected**" in [item.value for item in app.markdown]
    assert any("of the 10 nearest are" in item.value for item in app.caption)


def test_every_split_and_colour_draws(screen, experiment: Path) -> None:
    for split, color in (("train", "cluster"), ("validation", "right or wrong"), ("all", "trustworthiness")):
        app = screen("explore", experiment="tiny", run="untrained-15-seed0", split=split, color=color)
        assert "lie in their class's cluster" in app.header[0].value


@pytest.mark.parametrize("state", ["running", "lost", "failed"])
def test_what_is_finished_is_shown_while_the_rest_is_not(screen, experiment: Path, state: str) -> None:
    put_into(experiment, state)
    app = screen("explore", experiment="tiny")
    assert len(next(item for item in app.selectbox if item.label == "Run").options) == 3
    assert "lie in their class's cluster" in app.header[0].value


def test_nothing_finished_offers_to_watch(screen, experiment: Path) -> None:
    for path in experiment.glob("*/embeddings.parquet"):
        path.unlink()
    app = screen("explore", experiment="tiny")
    assert "will be here once a run has finished" in app.info[0].value
    assert [button.label for button in app.button] == ["Watch it train"]


def test_empty_offers_the_demo(screen) -> None:
    assert [button.label for button in screen("explore").button] == ["Run the demo"]


def test_a_broken_upload_is_one_line_and_a_digit_finds_itself(screen, experiment: Path, tmp_path: Path) -> None:
    sample_id = Experiment(experiment).manifest().sample_id[7]
    content = io.BytesIO()
    sources.Digits().image(sample_id).save(content, "PNG")
    app = screen("explore", experiment="tiny", run="supcon-15-seed0", split="all")
    app.file_uploader[0].set_value([("cut.png", content.getvalue()[:40], "image/png"),
                                    ("digit.png", content.getvalue(), "image/png")]).run(timeout=DEADLINE)
    tasks.cancel(tmp_path / "checkpoints" / ".query")
    assert not app.exception
    assert len(app.error) == 1 and app.error[0].value.startswith("cut.png must be an image file")
    answer = next(item.value for item in app.markdown if "nearest say" in item.value)
    assert "cosine 1.00 to the nearest" in answer
    assert any("PCA places them exactly" in item.value for item in app.caption)
    sent = canvas_of(app)
    assert (sent["stars"]["names"], sent["stars"]["marks"]) == (["digit.png"], ["A"])
    table = tables.read(experiment / "supcon-15-seed0" / "embeddings.parquet")
    row = table.sample_id.tolist().index(sample_id)
    assert sent["n"] == len(table) and sent["stars"]["near"][0][0][0] == row, "a star is no point, and its nearest is itself"
    [layout] = lay_out([table], Settings("pca")).points
    np.testing.assert_allclose(sent["arrays"]["star0"], layout[row], atol=1e-4)


def test_a_layout_of_a_process_is_waited_for_and_then_drawn(screen, experiment: Path) -> None:
    app = screen("explore", experiment="tiny", run="supcon-15-seed0", layout="tsne")
    [folder] = (path for path in (experiment.parent / ".layouts").iterdir() if path.is_dir())
    assert [button.label for button in app.button].count("Cancel") == 1
    until(folder.with_suffix(".npz").exists, seen=lambda: tasks.state(folder))
    app.run()
    assert any(item.value.startswith("How far to believe it: trustworthiness") for item in app.caption)
    assert "Cancel" not in [button.label for button in app.button]
