"""The diffs of docs/extending.md, each applied to a copy of the project and tried there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import PROJECT

TRIED = {
    "A metric": """
import numpy as np
from core.analysis import metrics
generator = np.random.default_rng(0)
vectors = generator.normal(size=(60, 4)).astype(np.float32)
label_id = np.arange(60) % 2
found = metrics.measure(vectors, label_id, vectors, label_id, 2, 5, 2)
assert metrics.METRICS["knn_50"].title == "50-NN"
assert np.array_equal(found.values["knn_50"], metrics.knn_correct(vectors, label_id, vectors, label_id, 50))
""",
    "An objective": """
import torch
from core import config as configuration
from core.training import objectives
contrastive = {"name": "contrastive", "margin": 0.3}
config = configuration.parse({"name": "x", "dataset": {"source": "digits"}, "objectives": ["classification", contrastive]})
loss = objectives.build(config.objectives[1], 8, 4, 12, seed=0)
same = torch.ones(12, 8, requires_grad=True)
value = loss(same, torch.arange(12) % 4)
assert abs(value.item() - loss.collapse_value) < 1e-3, (value, loss.collapse_value)
""",
    "A source of images": """
from pathlib import Path
from PIL import Image
from core.config import DatasetConfig
from core.experiments import planning
root = Path("photographs")
root.mkdir()
for number in range(6):
    Image.new("RGB", (20, 20), (40 * number, 0, 0)).save(root / f"{'cat' if number % 2 else 'dog'}_{number}.png")
manifest = planning.scan(DatasetConfig(source="prefix", root=str(root)))
assert manifest.counts() == {"cat": 3, "dog": 3}
from pages.parts import dataset_form
assert set(dataset_form.ROOTS) < set(dataset_form.TITLES)
""",
    "A screen": """
import os
from pathlib import Path
from streamlit.testing.v1 import AppTest
from core.experiments import planning, store
from tests.conftest import tiny
os.environ["DUET_CHECKPOINTS"] = str(Path("checkpoints").resolve())
plan = planning.plan(tiny())
store.create(plan.config, plan.manifest, Path("checkpoints"))
app = AppTest.from_file("streamlit_app.py", default_timeout=600).switch_page("pages/class_sizes.py").run()
assert not app.exception, app.exception
assert app.header[0].value == "1,797 images of 10 classes"
""",
}


@pytest.mark.parametrize("title", TRIED)
def test_each_is_the_few_lines_that_it_says(title: str, tmp_path: Path) -> None:
    text = (PROJECT / "docs" / "extending.md").read_text(encoding="utf-8")
    [diff] = re.findall(rf"^## {title}\n.*?^```diff\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for name in ("core", "pages", "tests", "configs", "docs"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
    shutil.copy(PROJECT / "docs" / "icon.png", tmp_path / "docs")
    for name in ("main.py", "streamlit_app.py"):
        shutil.copy(PROJECT / name, tmp_path)
    subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=tmp_path, check=True)
    tried = subprocess.run([sys.executable, "-W", "ignore", "-c", TRIED[title]], cwd=tmp_path, capture_output=True, text=True)
    assert tried.returncode == 0, tried.stderr
