"""Real photographs and real weights, where they lie beside the project; skipped, and said so, where they do not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.analysis.neighbors import largest
from core.config import DatasetConfig, EncoderConfig, SplitConfig
from core.data import decoding, pixels, sources, split
from core.training import embed, encoder
from tests import SHARED

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


@pytest.mark.skipif(not FUNGI.is_dir(), reason="the DeFungi crops are not beside the project")
def test_copies_planted_among_photographs_of_fungi_are_found(tmp_path: Path) -> None:
    """50 exact and 50 recompressed and resized copies of crops, 5 under another label; no other photographs are alike."""
    root = tmp_path / "fungi"
    shutil.copytree(FUNGI, root)
    before = sources.open_source(DatasetConfig(source="defungi", root=str(root))).scan(cache=tmp_path / "cache")
    labels = list(before.classes)
    chosen = np.random.default_rng(0).choice(before.sample_id, 100, replace=False).tolist()
    exact, near, conflicts = set(), set(), set()
    for number, name in enumerate(chosen):
        label, _, file = name.partition("/")
        image = Image.open(root / name).convert("RGB")
        other = labels[(labels.index(label) + 1) % 5] if number < 5 else label
        copy = f"{other}/planted{number}_{file.rpartition('_')[2]}"
        if number < 50:
            copy = copy.replace(".jpg", ".png")
            image.save(root / copy)
            exact.add(frozenset((name, copy)))
        else:
            scale, quality = [(0.5, 85), (0.75, 60), (1.0, 40), (1.5, 80), (0.4, 90)][number % 5]
            image.resize((round(224 * scale), round(224 * scale)), Image.Resampling.LANCZOS).save(root / copy, quality=quality)
            near.add(frozenset((name, copy)))
        if number < 5:
            conflicts.add(frozenset((name, copy)))
    manifest = sources.open_source(DatasetConfig(source="defungi", root=str(root))).scan(cache=tmp_path / "cache")
    picture = dict(zip(manifest.sample_id.tolist(), manifest.picture.tolist()))
    assert all(picture[a] == picture[b] for a, b in exact)
    assert sum(picture[a] == picture[b] for a, b in near) >= 48
    assert conflicts <= {frozenset((pair.a, pair.b)) for pair in manifest.conflicts} and len(manifest.conflicts) <= 10
    group = dict(zip(before.sample_id.tolist(), before.group.tolist()))
    foreign = [pair for pair in before.duplicates if pair.kind == "near" and group[pair.a] != group[pair.b]]
    assert len(foreign) <= 5, "seen by eye: three of them are the same photograph under two names"
    for seed in range(3):
        assert split.prove(split.assign(manifest, SplitConfig(seed=seed), seeds=(0,))).holds


@pytest.mark.skipif(not PETS.is_dir(), reason="the pets are not beside the project")
def test_the_pets_are_read_with_their_official_split() -> None:
    manifest = sources.open_source(DatasetConfig(source="oxford_pet", root=str(PETS.parent))).scan()
    assert (len(manifest), len(manifest.classes)) == (370, 37)
    assert [(manifest.official == name).sum() for name in ("train", "test")] == [222, 148]
    divided = split.assign(manifest, SplitConfig(), seeds=(0,))
    assert np.array_equal(divided.split == "test", manifest.official == "test")
    assert len(divided.indices("train")) + len(divided.indices("validation")) == 222
    assert min(divided.counts(divided.indices("validation")).values()) == 1 and split.prove(divided).holds


@pytest.mark.skipif(not (PETS.is_dir() and WEIGHTS.is_file()), reason="the pets and the weights are not beside the project")
def test_real_weights_give_the_neighbours_they_are_known_for() -> None:
    """73.8 % of 370 pets are of the breed that most of their five nearest are (leave one out; chance 2.7 %)."""
    module, data = encoder.build(EncoderConfig(
        name="mobilenetv2_035", weights=str(WEIGHTS), options={"pad_type": "same", "bn_eps": 1e-3}, mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5), image_size=224), seed=0)
    paths = sorted(PETS.glob("*.jpg"))
    breeds, label_id = np.unique([path.stem.rpartition("_")[0] for path in paths], return_inverse=True)
    assert (len(paths), len(breeds)) == (370, 37)
    stored = np.stack([pixels.square(decoding.decode(path.read_bytes()), data.stored) for path in paths])
    vectors = embed.embed(module, data, stored, np.arange(len(paths)), torch.device("cpu"), batch_size=64)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    votes = label_id[largest(similarity, 5)]
    predicted = [np.bincount(row, minlength=37).argmax() for row in votes]
    assert abs(np.mean(predicted == label_id) - 0.738) < 0.02
