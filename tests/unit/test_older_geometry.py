"""An experiment laid out before timm's geometry keeps its own, whatever is done with it; a new one gets timm's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core import config as configuration
from core import files
from core.analysis import fairness
from core.data.preprocessing import RoundedGeometry
from core.errors import ConfigError
from core.experiments import planning
from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus
from core.inference import embedding
from core.jobs import control, launch
from core.results import protocol
from core.training import encoder
from tests.conftest import tiny

RUN = "supcon-15-seed0"


def make_older(experiment: Path) -> None:
    """Takes the geometry out of an experiment's files, as earlier versions left them."""
    for path in (experiment / "experiment.json", *experiment.glob("*/run.json")):
        values = files.read_json(path)
        assert values["config"]["encoder"].pop("geometry") == "timm"
        files.write_json(path, values)


def test_a_new_experiment_gets_timms_and_an_older_one_its_own(experiment: Path) -> None:
    assert tiny().encoder.geometry == Experiment(experiment).config.encoder.geometry == "timm"
    make_older(experiment)
    config = Experiment(experiment).config
    assert {config.encoder.geometry, *(run.encoder.geometry for run in config.runs()),
            Run(experiment / RUN).config.encoder.geometry} == {"rounded"}
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
    new, _ = embedding.embed_folder(Run(experiment / RUN), folder, torch.device("cpu"))
    make_older(experiment)
    old, _ = embedding.embed_folder(Run(experiment / RUN), folder, torch.device("cpu"))
    assert (new.metadata["encoder"]["geometry"], old.metadata["encoder"]["geometry"]) == ("timm", "rounded")
    assert np.abs(new.embedding - old.embedding).max() > 1e-3
    settings = fairness.differences(protocol.of_table(old), protocol.of_table(new))
    assert "evaluation transform" in fairness.confounders(settings)


def test_an_older_run_goes_on_in_its_own_geometry(tmp_path: Path) -> None:
    """Resumed through the real worker: its decoded images, its table and its weights say which geometry they have."""
    plan = planning.plan(tiny(seeds=[0], objectives=["supcon"]))
    experiment = launch.lay_out(plan, tmp_path / "checkpoints")
    make_older(experiment.folder)
    for run in experiment.runs:
        run.write_status(RunStatus("stopped"))
    assert control.resume(experiment.runs, tmp_path / "data", "cpu")
    assert control.wait(experiment, seconds=600)
    run = experiment.run("supcon-15-seed0")
    assert run.status.state == "completed"
    manifest = experiment.manifest()
    assert [path.name for path in (tmp_path / "data" / ".pixels").glob("*.npy")] == [f"{manifest.row_key}-34.npy"]
    assert files.read_json(run.folder / "best.json")["encoder"]["geometry"] == "rounded"
