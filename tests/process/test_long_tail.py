"""Classes of very different sizes, through real runs: what the averages say, and what making up for the sizes does."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from core import config as configuration
from core.analysis import comparison, macro
from core.cli import follow
from core.data import pixels, sources
from core.experiments.handles import Experiment, Run
from core.results import result, scoring
from core.training import checkpoint, embed, encoder
from tests import SHARED, long_tail
from tests.conftest import run_in_process

PETS = SHARED / "data" / "oxford-iiit-pet" / "images"
WEIGHTS = SHARED / "pretrained" / "mobilenetv2_035.safetensors"
ARMS = ("plain", "weights", "adjusted")
OBJECTIVES = [{"name": "classification", "label": "plain"},
              {"name": "classification", "label": "weights", "class_weights": "balanced"},
              {"name": "classification", "label": "adjusted", "logit_adjustment": 1}]


def trained(table: Path, root: Path, **settings: object) -> Experiment:
    """The three arms, trained on batches in which classes are as frequent as they are."""
    return Experiment(run_in_process(configuration.parse({
        "name": "long-tail", "dataset": {"source": "table", "root": str(table)}, "objectives": OBJECTIVES, **settings}), root))


def right(experiment: Experiment, root: Path) -> dict[str, np.ndarray]:
    """Per arm, which test images the last epoch's head calls rightly, shape (seeds, n)."""
    config = experiment.config
    manifest, rows = experiment.manifest(), experiment.manifest().indices("test")
    module, data = encoder.build(config.encoder, 0)
    images = pixels.load(manifest, sources.open_source(config.dataset), data.stored, root / "data" / ".pixels")
    found: dict[str, list[np.ndarray]] = {arm: [] for arm in ARMS}
    for run in (run for run in config.runs() if run.is_trained):
        tensors, _ = checkpoint.load(experiment.run(run.name).last_checkpoint)
        module.load_state_dict({key.removeprefix("encoder."): value for key, value in tensors.items()
                                if key.startswith("encoder.")})
        features = embed.embed(module, data, images, rows, torch.device("cpu"), normalize=False)
        logits = features @ tensors["objective.head.weight"].numpy().T + tensors["objective.head.bias"].numpy()
        found[run.objective.label].append(logits.argmax(axis=1) == manifest.label_id[rows])
    return {arm: np.stack(values) for arm, values in found.items()}


def of_classes(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Mean of each class over its images, shape (K,), in the order of the labels."""
    return np.array([values[..., label == name].mean() for name in np.unique(label)])


def assert_averages_are_what_they_are_called(experiment: Experiment, printed: str) -> None:
    """By hand from the scores of each image: the plain average counts images alike, the macro average classes."""
    verdict = result.read(experiment)
    for row in verdict.rows:
        if row.objective == "untrained":
            continue
        scores = [scoring.read_scores(Run(experiment.folder / f"{row.objective}-all-seed{seed}"))
                  for seed in experiment.config.seeds]
        for metric in ("knn_accuracy", "precision_at_1"):
            images = np.stack([score.values[metric][0] for score in scores])
            assert row.metrics[metric].mean == pytest.approx(images.mean(), abs=1e-12)
            assert row.macro[metric].mean == pytest.approx(of_classes(images, scores[0].label_id).mean(), abs=1e-12)
    plain = next(row for row in verdict.rows if row.objective == "plain")
    gap = plain.metrics["knn_accuracy"].mean - plain.macro["knn_accuracy"].mean
    assert gap > macro.LEAST_TOLD, "rare classes are recognised less often, and count less where each image counts alike"
    lines = printed.splitlines()
    for arm in ARMS:
        place = next(number for number, line in enumerate(lines) if line.startswith(arm))
        assert lines[place + 1].startswith("  each class alike")
        assert f"{100 * next(row for row in verdict.rows if row.objective == arm).macro['knn_accuracy'].mean:.1f} ±" in lines[
            place + 1]
    assert "each counted alike but where it says otherwise" in printed


def test_on_long_tailed_digits_each_average_says_what_it_counts_and_adjusted_logits_find_more_of_the_rare(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = trained(long_tail.digits(tmp_path / "digits"), tmp_path, seeds=[0, 1],
                         encoder={"name": "test_resnet", "image_size": 32}, budget={"images": 3000, "epochs": 2},
                         training={"batch": {"classes": 10, "samples": 5, "order": "shuffled"}, "lr": 0.003,
                                   "augmentation": {"flip": False}},
                         evaluation={"kmeans_seeds": 1, "bootstrap": 200, "probe": 60})
    follow.conclude(experiment, Namespace(json=False))
    assert_averages_are_what_they_are_called(experiment, capsys.readouterr().out)
    found = right(experiment, tmp_path)
    manifest = experiment.manifest()
    label = manifest.label_id[manifest.indices("test")]
    assert np.array_equal(np.bincount(label), long_tail.exponential((60, 12), 10))
    by_class = {arm: of_classes(values, label) for arm, values in found.items()}
    rare = {arm: values[-4:].mean() for arm, values in by_class.items()}
    assert found["plain"].mean() > by_class["plain"].mean() > rare["plain"]
    for arm in ("weights", "adjusted"):
        assert rare[arm] > rare["plain"] + 0.1, rare
        assert by_class[arm].mean() > by_class["plain"].mean(), by_class


@pytest.mark.slow
@pytest.mark.skipif(not (PETS.is_dir() and WEIGHTS.is_file()), reason="the pets and the weights are not beside the project")
def test_on_long_tailed_pets_adjusted_logits_find_more_of_the_rare_breeds(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of the breeds are rare: 2 or 3 training images each, where the most frequent has 6."""
    experiment = trained(long_tail.pets(PETS, tmp_path / "pets"), tmp_path, seeds=[0, 1, 2],
                         encoder={"name": "mobilenetv2_035", "weights": str(WEIGHTS), "image_size": 96,
                                  "options": {"pad_type": "same", "bn_eps": 0.001}, "mean": [0.5] * 3, "std": [0.5] * 3},
                         budget={"images": 2000, "epochs": 2},
                         training={"batch": {"classes": 5, "samples": 4, "order": "shuffled"}, "lr": 0.0003},
                         evaluation={"kmeans_seeds": 1, "bootstrap": 2000})
    follow.conclude(experiment, Namespace(json=False))
    printed = capsys.readouterr().out
    found = right(experiment, tmp_path)
    manifest = experiment.manifest()
    label = manifest.label_id[manifest.indices("test")]
    of_breed = np.bincount(manifest.label_id[manifest.indices("train")])
    is_rare = of_breed[label] <= 3
    print(printed, f"{is_rare.sum()} of {len(label)} test images, of {(of_breed <= 3).sum()} breeds, are rare")
    gaps = {}
    for arm in ("weights", "adjusted"):
        for name, keep in (("rare", is_rare), ("all", np.full(len(label), True))):
            gap = gaps[arm, name] = comparison.difference("knn_accuracy", found["plain"][:, keep].astype(float),
                                                          found[arm][:, keep].astype(float), 2000)
            print(f"{arm}, {name} breeds: {100 * gap.b:.1f} ± {100 * gap.sd_b:.1f} against {100 * gap.a:.1f} ± "
                  f"{100 * gap.sd_a:.1f}, {100 * gap.difference:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})")
    assert gaps["adjusted", "rare"].difference > 0
