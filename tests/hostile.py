"""Names that must be shown as they are written, and an experiment whose classes and files are called so."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from core import config as configuration
from core.config import ExperimentConfig
from tests.conftest import TINY

NAMES = (
    "![x](http://127.0.0.1:9/beacon.png) A", "![x](https://example.org/seen.png)", "[link](http://example.org/)",
    "$\\frac{1}{0}$ [c](javascript:alert(1)) :red[x]", '<img src=x onerror="window.PWN=1"><script>window.PWN=2</script>',
    "__init__", "*bold* _it_ ~~no~~ `code` :material/delete: :smile:", "https://example.org/ www.example.org a@example.org",
    "\u202eright to left", "line one\nline two", "\x1b]0;title\x07\x1b[31mred", "-rf", "NA", "None", "01", "1e5", "all",
    "untrained", "a" * 200, 'a,b;"c"', "it's", "=1+2", "&lt;b&gt; -> -- # :blue-background[x]", "\U0001f9c0")


def write_images(root: Path, per_class: int = 10) -> Path:
    """A table of small images, a class a name; each class's first file is called by the name too, where a file can be."""
    root.mkdir(parents=True)
    generator = np.random.default_rng(0)
    with (root / "images.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label"))
        for number, name in enumerate(NAMES):
            for place in range(per_class):
                path = f"{number}_{place}.png"
                if place < 3:
                    path = f"{place} {name.replace('/', '∕')}"[:150] + f" {number}.png"
                level = 10 * number
                levels = generator.normal(level, 12, (16, 16, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(levels).save(root / path)
                rows.writerow((path, name))
    return root / "images.csv"


def config(table: Path, **changes: object) -> ExperimentConfig:
    """A config that trains in seconds on such images."""
    return configuration.parse({
        **TINY, "name": "names", "dataset": {"source": "table", "root": str(table)}, "images_per_class": ["all"], "seeds": [0],
        "split": {"fractions": [0.5, 0.25, 0.25], "held_out_classes": [NAMES[0], NAMES[5]]},
        "budget": {"images": 240, "epochs": 2}, "training": {"batch": {"classes": 5, "samples": 4}, "lr": 0.003},
        "evaluation": {"kmeans_seeds": 2, "bootstrap": 100, "probe": 60}, **changes})
