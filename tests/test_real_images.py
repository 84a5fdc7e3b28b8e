"""Real photographs and real weights, where they lie beside the project; skipped, and said so, where they do not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.analysis.metrics import nearest
from core.config import DatasetConfig, EncoderConfig, SplitConfig
from core.data import decoding, pixels, sources, split
from core.training import embed, encoder

SHARED = Path(__file__).resolve().parents[2] / "shared"
FUNGI = SHARED / "data" / "defungi"
PETS = SHARED / "data" / "oxford-iiit-pet" / "images"
WEIGHTS = SHARED / "pretrained" / "mobilenetv2_035.safetensors"


@pytest.mark.skipif(not FUNGI.is_dir(), reason="the DeFungi crops are not beside the project")
def test_no_photograph_of_defungi_is_on_two_sides_of_a_split() -> None:
    config = DatasetConfig(source="folder", root=str(FUNGI), group_by=r"(.*)_[0-9]+\.jpg")
    manifest = sources.open_source(config).scan()
    assert (len(manifest), len(set(manifest.group.tolist())), len(manifest.unreadable)) == (3695, 422, 0)
    for seed in range(10):
        divided = split.assign(manifest, SplitConfig(seed=seed), seeds=(0,))
        assert split.prove(divided) == split.SplitProof(shared_samples=0, shared_groups=0, shared_pictures=0)
        for name in ("train", "validation", "test"):
            rows = divided.indices(name)
            shares = np.array(list(divided.counts(rows).values())) / len(rows)
            assert np.abs(shares - 0.2).max() < 0.03, "739 of 3,695 in each class"


@pytest.mark.skipif(not (PETS.is_dir() and WEIGHTS.is_file()), reason="the pets and the weights are not beside the project")
def test_real_weights_give_the_neighbours_they_are_known_for() -> None:
    """73.8 % of 370 pets are of the breed that most of their five nearest are (leave one out; chance 2.7 %)."""
    module, data = encoder.build(EncoderConfig(
        name="mobilenetv2_035", weights=str(WEIGHTS), options={"pad_type": "same", "bn_eps": 1e-3}, mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5), image_size=224), seed=0)
    paths = sorted(PETS.glob("*.jpg"))
    breeds, label_id = np.unique([path.stem.rpartition("_")[0] for path in paths], return_inverse=True)
    assert (len(paths), len(breeds)) == (370, 37)
    stored = np.stack([pixels.square(decoding.decode(path.read_bytes()), data.storage_size) for path in paths])
    vectors = embed.embed(module, data, stored, np.arange(len(paths)), torch.device("cpu"), batch_size=64)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    votes = label_id[nearest(similarity, 5)]
    predicted = [np.bincount(row, minlength=37).argmax() for row in votes]
    assert abs(np.mean(predicted == label_id) - 0.738) < 0.02
