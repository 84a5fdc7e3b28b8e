"""An experiment as the version of 2026-11-28 left it opens on every screen and in every command, its numbers as they were.

The fixture holds its folder without checkpoints to go on from, and the 72 small images it was made of.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import main
from core.analysis import table as tables
from core.experiments.handles import Experiment
from core.jobs import overview
from core.results import verdict
from tests import PROJECT, SCREENS
from tests.conftest import opened

FIXTURE = PROJECT / "tests" / "fixtures" / "experiment-0.tar.xz"
RUN = "supcon-all-seed0"


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The experiment's folder, in a root of its own; its images lie beside it, not where they were."""
    root = tmp_path / "checkpoints"
    root.mkdir()
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(root, filter="data")
    (root / "images").rename(tmp_path / "images")
    monkeypatch.setenv("DUET_CHECKPOINTS", str(root))
    monkeypatch.setenv("DUET_DATA", str(tmp_path / "data"))
    return root / "earlier"


def command(*arguments: object, folder: Path) -> int:
    return main.main([*map(str, arguments), "--checkpoints", str(folder.parent), "--data", str(folder.parent.parent / "data")])


def words(app: AppTest) -> str:
    return " ".join(str(item.value) for kind in ("header", "markdown", "caption", "warning") for item in app.get(kind))


def test_it_is_whole_and_its_verdict_stands(earlier: Path) -> None:
    before = (earlier / "verdict.json").read_bytes()
    found = overview.read(Experiment(earlier))
    assert (found.state, found.damage) == ("completed", ())
    assert found.sentence == json.loads(before)["sentence"]
    verdict.read(Experiment(earlier))
    assert (earlier / "verdict.json").read_bytes() == before, "nothing is decided anew"


@pytest.mark.parametrize("page", SCREENS)
def test_every_screen_opens_it(earlier: Path, page: str) -> None:
    app = opened(page, **({} if page == "start" else {"from" if page == "train" else "experiment": "earlier"}))
    assert not app.exception and not app.error, [item.value for item in app.error]
    if page in ("watch", "data"):
        assert "The images are no longer at /data/images" in words(app).replace("\\", "")
    if page == "compare":
        assert app.header[0].value.replace("\\", "").startswith(Experiment(earlier).verdict_json["sentence"])


def test_every_command_takes_it(earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("list", folder=earlier) == 0
    assert "earlier" in capsys.readouterr().out
    assert command("compare", "earlier/classification-all", "earlier/supcon-all", folder=earlier) == 0
    assert capsys.readouterr().out.startswith(Experiment(earlier).verdict_json["sentence"])
    assert command("export", f"earlier/{RUN}", "--output", tmp_path / "space.parquet", folder=earlier) == 0
    assert command("export", f"earlier/{RUN}", "--output", tmp_path / "weights.safetensors", folder=earlier) == 0
    assert command("export", "earlier", "--output", tmp_path / "report.html", folder=earlier) == 0
    assert command("resume", "earlier", "--set", f"dataset.root={tmp_path / 'images'}", folder=earlier) == 0
    assert Experiment(earlier).config.dataset.root == str(tmp_path / "images")


def test_its_encoder_gives_the_vectors_it_gave(earlier: Path, tmp_path: Path) -> None:
    assert command("embed", f"earlier/{RUN}", tmp_path / "images", "--output", tmp_path / "again.parquet", folder=earlier) == 0
    then, now = tables.read(earlier / RUN / "embeddings.parquet"), tables.read(tmp_path / "again.parquet")
    row = {name: place for place, name in enumerate(now.sample_id.tolist())}
    assert len(then) == len(now) == 72
    assert np.abs(then.embedding - now.embedding[[row[name] for name in then.sample_id.tolist()]]).max() < 1e-4
