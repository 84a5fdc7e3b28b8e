"""An experiment laid out before timm's geometry keeps its own, whatever is done with it; a new one gets timm's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core import config as configuration
from core.analysis import fairness
from core.data.preprocessing import RoundedGeometry
from core.errors import ConfigError
from core.experiments import directory, planning
from core.experiments.directory import RunStatus
from core.inference import embedding
from core.jobs import control, launch
from core.results import protocol
from core.training import encoder
from tests.conftest import tiny

RUN = "supcon-15-seed0"


def make_older(experiment: Path) -> None:
    """Takes the geometry out of an experiment's files, as earlier versions left them."""
    for path in (experiment / "experiment.json", *experiment.glob("*/run.json")):
        values = directory.read_json(path)
        assert values["config"]["encoder"].pop("geometry") == "timm"
        directory.write_json(path, values)


def test_a_new_experiment_gets_timms_and_an_older_one_its_own(experiment: Path) -> None:
    assert tiny().encoder.geometry == directory.read_config(experiment).encoder.geometry == "timm"
    make_older(experiment)
    config = directory.read_config(experiment)
    assert {config.encoder.geometry, *(run.encoder.geometry for run in config.runs()),
            directory.read_run(experiment / RUN).encoder.geometry} == {"rounded"}
    assert configuration.parse(config.to_json(), stored=True) == config
    _, data = encoder.build(config.encoder, seed=0)
    assert data.stored == RoundedGeometry(32, 34)
    with pytest.raises(ConfigError, match=r"encoder\.geometry must be 'timm' or 'rounded'"):
        tiny(encoder={"geometry": "mine"})


def test_an_older_runs_folder_is_embedded_as_it_was(experiment: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(6):
        levels = generator.integers(0, 256, (30 + 7 * number, 50, 3), dtype=np.uint8)
        Image.fromarray(levels).save(folder / f"{number}.png")
    new, _ = embedding.embed_folder(experiment / RUN, folder, torch.device("cpu"))
    make_older(experiment)
    old, _ = embedding.embed_folder(experiment / RUN, folder, torch.device("cpu"))
    assert (new.metadata["encoder"]["geometry"], old.metadata["encoder"]["geometry"]) == ("timm", "rounded")
    assert np.abs(new.embedding - old.embedding).max() > 1e-3
    settings = fairness.differences(protocol.of_table(old), protocol.of_table(new))
    assert "evaluation transform" in fairness.confounders(settings)


def test_an_older_run_goes_on_in_its_own_geometry(tmp_path: Path) -> None:
    """Resumed through the real worker: its decoded images, its table and its weights say which geometry they have."""
    plan = planning.plan(tiny(seeds=[0], objectives=["supcon"]))
    folder = launch.lay_out(plan, tmp_path / "checkpoints")
    make_older(folder)
    for run in directory.runs(folder):
        directory.write_status(run, RunStatus("stopped"))
    assert control.resume(directory.runs(folder), tmp_path / "data", "cpu")
    assert control.wait(folder, seconds=600)
    run = folder / "supcon-15-seed0"
    assert directory.read_status(run).state == "completed"
    manifest = directory.read_manifest(folder)
    assert [path.name for path in (tmp_path / "data" / ".pixels").glob("*.npy")] == [f"{manifest.row_key}-34.npy"]
    assert directory.read_json(run / "best.json")["encoder"]["geometry"] == "rounded"
