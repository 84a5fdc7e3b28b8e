"""Finished experiments on datasets of their own, made of one that was run: other image bytes in the manifest, another gap in
the verdict. Not a test."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from core import files
from core.analysis.metrics import HEADLINE
from core.experiments.handles import Experiment
from core.results import result

Gap = tuple[float, float, float, float, str]  # difference, low, high, p-value and verdict


def on_another_dataset(finished: Path, root: Path, name: str, gap: Gap | None = None, n_shared: int = 0) -> Experiment:
    """A copy of a finished experiment under another name, as if it had been run on other images.

    Args:
        finished: the experiment's folder.
        root: folder of experiments.
        name: of the copy.
        gap: of its verdict's headline; None for what was measured.
        n_shared: how many images it has in common with every other such copy and with the experiment itself.
    """
    experiment = Experiment(Path(shutil.copytree(finished, root / name)))
    description = experiment.description
    description["config"]["name"] = name
    manifest = experiment.manifest()
    is_shared = np.arange(len(manifest)) < n_shared
    manifest = replace(manifest, digest=np.where(is_shared, manifest.digest, f"{name} " + manifest.digest))
    manifest.write(experiment.manifest_file)
    files.write_json(experiment.description_file, {**description, "fingerprint": manifest.fingerprint})
    if gap is not None:
        found = result.read(experiment)
        [pair] = found.comparisons
        values = dict(zip(("difference", "low", "high", "p_value", "verdict"), gap))
        differences = tuple(replace(item, **values) if item.metric == HEADLINE else item for item in pair.differences)
        result.write(experiment, replace(found, comparisons=(replace(pair, differences=differences),)))
    return experiment
