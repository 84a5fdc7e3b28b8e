"""Who trains, who validates, who tests: stratified by class, whole by group, proven, and nested when few.

Randomness is the seed given; nothing here reads an image.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from core.config import BatchConfig, ExperimentConfig, SplitConfig
from core.data.manifest import SPLITS, Manifest

LEAST_SCORED = 5  # fewer points cannot be laid out in 2D


@dataclass(frozen=True)
class SplitProof:
    """What the splits share. All zero, or the split is not one."""

    shared_samples: int
    shared_groups: int

    @property
    def holds(self) -> bool:
        return self.shared_samples == 0 and self.shared_groups == 0


def assign(manifest: Manifest, config: SplitConfig, seeds: tuple[int, ...]) -> Manifest:
    """Gives every sample a split, and every training sample its rank in each seed's low-data draw.

    Groups that hold the same image (same bytes) are kept together. What is kept together goes to the split that
    lacks most of its class, the class most of its samples have.

    Args:
        manifest: samples without a split.
        config: shares of train, validation and test, and the seed of the split.
        seeds: run seeds; each draws its own nested subsets from the training split.

    Returns:
        The same samples with `split` and `rank` filled in.

    Raises:
        ValueError: if a class has too few groups to stand in all three splits.
    """
    members: dict[str, list[int]] = {}
    for row, block in enumerate(_blocks(manifest)):
        members.setdefault(block, []).append(row)
    groups_of_class: dict[str, list[str]] = {name: [] for name in manifest.classes}
    for group, rows in members.items():
        label = Counter(manifest.label[rows].tolist()).most_common(1)[0][0]
        groups_of_class[label].append(group)

    generator = np.random.default_rng([config.seed, 1])
    split = np.empty(len(manifest), dtype=object)
    for label, groups in groups_of_class.items():
        if len(groups) < len(SPLITS):
            n_images = manifest.counts()[label]
            raise ValueError(f"class {label!r} must have at least {len(SPLITS)} groups to stand in train, validation "
                             f"and test, got {n_images} {_plural(n_images, 'image')} in "
                             f"{len(groups)} {_plural(len(groups), 'group')}")
        for group, name in _deal(groups, members, config.fractions, generator).items():
            split[members[group]] = name
    rank = {seed: _ranks(manifest, split == "train", seed) for seed in seeds}
    return replace(manifest, split=split, rank=rank)


def prove(manifest: Manifest) -> SplitProof:
    """Counts the samples (by content) and groups that stand in more than one split."""
    return SplitProof(shared_samples=_shared(manifest.digest, manifest.split),
                      shared_groups=_shared(manifest.group, manifest.split))


def check_plan(manifest: Manifest, config: ExperimentConfig) -> None:
    """Refuses what these samples cannot carry, before anything is created.

    Raises:
        ValueError: if a class is smaller than an images-per-class setting, a batch would need duplicates, or the
            splits share samples or groups.
    """
    proof = prove(manifest)
    if not proof.holds:
        raise ValueError(f"splits must share nothing, got {proof.shared_groups} groups and "
                         f"{proof.shared_samples} images shared")
    for name in ("validation", "test"):
        sizes = manifest.counts(manifest.indices(name))
        if max(sizes.values()) < 2 or sum(sizes.values()) < LEAST_SCORED:
            raise ValueError(f"{name} must hold at least {LEAST_SCORED} images and two of some class to be scored, "
                             f"got {sum(sizes.values())} in {len(sizes)} classes; raise its share in split.fractions")
    batch = config.training.batch
    for count in config.images_per_class:
        for seed in config.seeds:
            sizes = manifest.counts(manifest.training_indices(count, seed))
            label, smallest = min(sizes.items(), key=lambda item: item[1])
            if count != "all" and smallest < count:
                raise ValueError(f"images_per_class must be at most the smallest class's training images, "
                                 f"{smallest} (class {label!r}), got {count}")
            _check_batch(batch, sizes)


def fitting_batch(batch: BatchConfig, sizes: dict[str, int]) -> BatchConfig:
    """The batch nearest to the one asked for that these training classes can fill without duplicates."""
    return BatchConfig(classes=min(batch.classes, len(sizes)), samples=max(2, min(batch.samples, *sizes.values())))


def _check_batch(batch: BatchConfig, sizes: dict[str, int]) -> None:
    smallest = min(sizes.values())
    if smallest < 2:
        label = min(sizes, key=sizes.get)
        raise ValueError(f"every class must have at least 2 training images, got {smallest} in class {label!r}")
    fitting = fitting_batch(batch, sizes)
    if fitting != batch:
        raise ValueError(f"training.batch must fit {len(sizes)} classes of at least {smallest} training images without "
                         f"duplicates, at most {len(sizes)} × {smallest}, got {batch.classes} × {batch.samples}; "
                         f"{fitting.classes} × {fitting.samples} fits")


def _blocks(manifest: Manifest) -> list[str]:
    """Name of the smallest set that holds each sample's whole group and every copy of its members (union-find)."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    pairs = [(f"group {group}", f"image {digest}")
             for group, digest in zip(manifest.group.tolist(), manifest.digest.tolist())]
    for group, digest in pairs:
        parent[root(digest)] = root(group)
    return [root(group) for group, _ in pairs]


def _deal(groups: list[str], members: dict[str, list[int]], fractions: tuple[float, float, float],
          generator: np.random.Generator) -> dict[str, str]:
    """Largest groups first, each to the split that lacks most; then no split is left without a group."""
    total = sum(len(members[group]) for group in groups)
    lacking = {name: share * total for name, share in zip(SPLITS, fractions)}
    order = [groups[place] for place in generator.permutation(len(groups))]
    order.sort(key=lambda group: -len(members[group]))
    dealt: dict[str, str] = {}
    for group in order:
        name = max(SPLITS, key=lambda split: lacking[split])
        dealt[group] = name
        lacking[name] -= len(members[group])
    for name in SPLITS:
        if name not in dealt.values():
            donor = Counter(dealt.values()).most_common(1)[0][0]
            smallest = next(group for group in reversed(order) if dealt[group] == donor)
            dealt[smallest] = name
    return dealt


def _ranks(manifest: Manifest, is_training: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.default_rng([seed, 2])
    rank = np.full(len(manifest), -1, dtype=np.int32)
    for label in manifest.classes:
        rows = np.flatnonzero(is_training & (manifest.label == label))
        rank[generator.permutation(rows)] = np.arange(len(rows))
    return rank


def _shared(keys: np.ndarray, split: np.ndarray) -> int:
    pairs = set(zip(keys.tolist(), split.tolist()))
    return sum(count > 1 for count in Counter(key for key, _ in pairs).values())


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
