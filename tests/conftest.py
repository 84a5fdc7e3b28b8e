"""What several tests need: a small folder of real image files, and a finished experiment made by the real worker."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import config as configuration
from core.config import ExperimentConfig
from core.runs import directory, jobs, planning

PROJECT = Path(__file__).resolve().parents[1]

TINY = {
    "name": "tiny", "dataset": {"source": "digits"}, "encoder": {"name": "test_resnet", "image_size": 32},
    "objectives": ["classification", "supcon"], "images_per_class": [15], "seeds": [0, 1],
    "budget": {"images": 640, "epochs": 2}, "training": {"batch": {"classes": 10, "samples": 8}, "lr": 0.003},
    "evaluation": {"kmeans_seeds": 2, "bootstrap": 200, "probe": 60},
}


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes of thirty noisy 40 × 32 images each: 'dark' and 'light'."""
    generator = np.random.default_rng(0)
    root = tmp_path / "images"
    for label, level in (("dark", 60), ("light", 190)):
        (root / label).mkdir(parents=True)
        for number in range(30):
            levels = generator.normal(level, 15, (32, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(levels).save(root / label / f"{label}_{number // 3}_{number}.png")
    return root


def tiny(**changes: object) -> ExperimentConfig:
    """A config that trains in seconds on the digits; keyword arguments replace top-level fields."""
    return configuration.parse({**TINY, **changes})


def run_experiment(config: ExperimentConfig, root: Path, seconds: float = 240) -> Path:
    """Runs an experiment through the real worker process and waits for its end; returns its folder."""
    folder = planning.launch(planning.plan(config), root / "checkpoints", root / "data", device="cpu")
    assert jobs.wait(folder, seconds), "the worker did not end in time"
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished experiment: two objectives, two seeds, 15 digits per class. Read only."""
    folder = run_experiment(tiny(), tmp_path_factory.mktemp("finished"))
    states = {run.name: directory.read_status(run) for run in directory.runs(folder)}
    assert {item.state for item in states.values()} == {"completed"}, states
    return folder
