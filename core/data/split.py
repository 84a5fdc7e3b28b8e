"""Who trains, who validates, who tests: stratified by class, whole by group, proven, and nested when few.

Randomness is the seed given; nothing here reads an image.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from core.config import BatchConfig, ExperimentConfig, SplitConfig
from core.config.objectives import is_drawn
from core.config.run import ImagesPerClass
from core.data import held_out, shuffled_batches
from core.data.duplicates import joined
from core.data.manifest import LEFT_OUT, OPEN, SPLITS, Manifest
from core.errors import InputError

LEAST_SCORED = 5  # fewer points cannot be laid out in 2D
ASKS_TRAINING = ("holds one group of each class, so that its images look for their class among training images: epochs would "
                 "be chosen better with a larger share in split.fractions, or with more groups")
MOST_USELESS = 1e-3  # batches without a pair to learn from, expected in a run: met, one would end it


@dataclass(frozen=True)
class SplitProof:
    """What more than one split holds. All zero, or the split leaks."""

    shared_samples: int
    shared_groups: int
    shared_pictures: int

    @property
    def holds(self) -> bool:
        return self.shared_samples == self.shared_groups == self.shared_pictures == 0


def assign(manifest: Manifest, config: SplitConfig, seeds: tuple[int, ...], repeat: int = 0) -> Manifest:
    """Gives every sample a split, and every training sample its rank in each seed's low-data draw.

    What belongs together, by group or because it shows the same picture, is kept together and goes to the split that
    lacks most of its class, the class most of its samples have. A split that the source gives is kept: only validation
    is drawn, from its training samples, where it has none; a sample whose group or picture also stands in the official
    test (or validation) split is left out of the rest. Classes that are held out are an open set apart, all of their samples;
    a sample of another class whose group or picture stands there is left out.

    Args:
        manifest: samples without a split.
        config: shares of train, validation and test, the seed of the split, and whether groups stay whole.
        seeds: run seeds; each draws its own nested subsets from the training split.
        repeat: which of the repeated splits, from 0; each is drawn by the same rule with a seed of its own.

    Returns:
        The same samples with `split` and `rank` filled in.

    Raises:
        InputError: if a class has too few groups to stand in all three splits, or classes cannot be held out.
    """
    blocks = np.array(_blocks(manifest, config), dtype=object)
    generator = np.random.default_rng([config.seed, 1, repeat] if repeat else [config.seed, 1])
    is_open = np.isin(manifest.label.astype(str), held_out.choose(manifest, config))
    is_left_out = ~is_open & np.isin(blocks.astype(str), blocks[is_open].astype(str))
    dealt = np.flatnonzero(~is_open & ~is_left_out)
    split = np.where(is_open, OPEN, np.where(is_left_out, LEFT_OUT, "")).astype(object)
    manifest = replace(manifest, split=split.copy())
    if config.official and config.group == "whole" and (manifest.official != "").any():
        split[dealt] = _official(manifest, blocks, dealt, config, generator)[dealt]
    else:
        split[dealt] = _drawn(manifest, blocks, dealt, SPLITS, config, generator)[dealt]
    manifest = replace(manifest, split=split)
    return replace(manifest, rank={seed: _ranks(manifest, blocks, seed) for seed in seeds})


def with_more_seeds(manifest: Manifest, config: SplitConfig, seeds: tuple[int, ...]) -> Manifest:
    """The same split with the low-data draws of further seeds beside those it has.

    Args:
        manifest: samples with a split, made by `assign` from the same config.
        config: as there.
        seeds: run seeds that are added.
    """
    blocks = np.array(_blocks(manifest, config), dtype=object)
    return replace(manifest, rank={**manifest.rank, **{seed: _ranks(manifest, blocks, seed) for seed in seeds}})


def own_groups(manifest: Manifest, config: SplitConfig) -> np.ndarray:
    """What belongs together with each sample: its group, joined with those that hold copies of its pictures, and with what one
    camera took of its class.

    No sample finds another of its own group, and they are drawn together, also where a random split deals them one by one.
    Without copies and cameras it is the manifest's `group`.

    Args:
        manifest: the samples.
        config: says whether near copies count.

    Returns:
        Name of the first group of each set, shape (n,), str.
    """
    group_of = dict(zip(manifest.sample_id.tolist(), manifest.group.tolist()))
    return np.array([group_of[first] for first in _belonging(manifest, config, has_cameras=True)], dtype=object)


def prove(manifest: Manifest) -> SplitProof:
    """Counts the samples (by content), groups and pictures that stand in more than one split."""
    inside = manifest.split != LEFT_OUT
    return SplitProof(*(_shared(keys[inside], manifest.split[inside])
                        for keys in (manifest.digest, manifest.group, manifest.picture)))


def check_plan(manifest: Manifest, config: ExperimentConfig) -> None:
    """Refuses what these samples cannot carry, before anything is created.

    Raises:
        InputError: if a class is smaller than an images-per-class setting, a batch would need duplicates, validation or test
            hold one class alone, or the splits share samples or groups although they were to be kept whole.
    """
    proof = prove(manifest)
    has_near = proof.shared_pictures and config.split.near_duplicates
    if config.split.group == "whole" and (proof.shared_samples or proof.shared_groups or has_near):
        raise InputError(f"splits must share nothing, got {proof.shared_groups} groups, {proof.shared_samples} images and "
                         f"{proof.shared_pictures} pictures shared")
    for name in ("validation", "test"):
        sizes = manifest.closed_counts(manifest.indices(name))
        if max(sizes.values()) < 2 or sum(sizes.values()) < LEAST_SCORED:
            raise InputError(f"{name} must hold at least {LEAST_SCORED} images and two of some class to be scored, "
                             f"got {sum(sizes.values())} in {len(sizes)} classes; raise its share in split.fractions")
        present = [label for label, size in sizes.items() if size]
        if len(present) < 2:  # whatever an encoder does, each image then finds its own class alone
            remedy = ("set split.official: false to draw a split" if config.split.official and (manifest.official != "").any()
                      else "raise its share in split.fractions")
            raise InputError(f"{name} must hold images of at least 2 classes to be scored, got only {present[0]!r}; add "
                             f"images of other classes, or {remedy}")
    _check_groups(manifest, config.split)
    for count in config.images_per_class:
        for seed in config.seeds:
            sizes = manifest.closed_counts(manifest.training_indices(count, seed))
            label, smallest = min(sizes.items(), key=lambda item: item[1])
            if count != "all" and smallest < count:
                raise InputError(f"images_per_class must be at most the smallest class's training images, "
                                 f"{smallest} (class {label!r}), got {count}"
                                 f"{_leaving_out(manifest, [name for name, size in sizes.items() if size < count])}")
            if smallest < 2 and count != 1:
                raise InputError(f"every class must have at least 2 training images, got {smallest} in class {label!r}"
                                 f"{_leaving_out(manifest, [name for name, size in sizes.items() if size < 2])}")
        _check_batches(config, count, manifest.closed_counts(manifest.training_indices(count, config.seeds[0])))


def _check_groups(manifest: Manifest, config: SplitConfig) -> None:
    """Refuses a split in which no test image, or no held-out one, has another of its class outside its own group: retrieval
    would be undefined."""
    own = own_groups(manifest, config)
    for name in ("test", OPEN):
        rows = manifest.indices(name)
        if len(rows) and not has_answers(manifest, own, name):
            where, remedy = ((name, "raise its share in split.fractions, or add photographs") if name != OPEN else
                             ("the held-out classes", "hold out others in split.held_out_classes"))
            if manifest.role is not None:
                raise InputError(f"{where} must hold a query (is_query) and a gallery image (is_gallery) of one class that "
                                 f"are not of one group or camera, got none among {len(rows):,} images")
            raise InputError(f"{where} must hold two groups of some class, so that its images can be found outside their own "
                             f"group, got one group of each of {len(set(manifest.label_id[rows].tolist()))} classes; {remedy}")


def has_answers(manifest: Manifest, own: np.ndarray, name: str) -> bool:
    """Whether some image of a split has another of its class there outside its own group, so that retrieval has a value.

    Args:
        manifest: the samples.
        own: the own group of each, shape (n,), as `own_groups` gives them.
        name: the split.
    """
    rows = manifest.indices(name)
    role = np.full(len(manifest), "both") if manifest.role is None or name == "validation" else manifest.role
    groups_of: dict[int, set[str]] = {}  # of a class, those with images that are found
    for row in rows[np.isin(role[rows].astype(str), ("gallery", "both"))].tolist():
        groups_of.setdefault(int(manifest.label_id[row]), set()).add(own[row])
    return any(groups_of.get(int(manifest.label_id[row]), set()) - {own[row]}
               for row in rows[np.isin(role[rows].astype(str), ("query", "both"))].tolist())


def fitting_batch(batch: BatchConfig, sizes: dict[str, int]) -> BatchConfig:
    """The batch nearest to the one asked for that these training classes can fill without duplicates."""
    return batch.model_copy(update={"classes": min(batch.classes, len(sizes)), "samples": min(batch.samples, *sizes.values())})


def _check_batches(config: ExperimentConfig, count: ImagesPerClass, sizes: dict[str, int]) -> None:
    """Refuses batches that some arm could not draw, or learn from; every seed has classes of these sizes."""
    for objective in config.objectives:
        batch = config.batch_of(objective, count)
        if is_drawn(objective):
            continue
        if batch.order == "balanced":
            _check_balanced(batch, sizes, count)
        elif batch.size > sum(sizes.values()):
            raise InputError(f"training.batch must hold at most the {sum(sizes.values())} training images where they are "
                             f"shuffled, got {batch.classes} × {batch.samples}")
        elif objective.draws_pairs:
            views, n_steps = config.training.views, -(-config.budget.images // (batch.size * config.training.views))
            share = shuffled_batches.useless([*sizes.values()], batch.size, views)
            if share * n_steps > MOST_USELESS:
                raise InputError(f"{config.where_order_stands(objective)} must be 'balanced' for {objective.name} in batches "
                                 f"of {batch.size} images, or training.batch larger: about one in {1 / share:,.0f} shuffled "
                                 f"batches of {len(sizes)} classes would hold one class alone, or none twice, and teach it "
                                 f"nothing; got 'shuffled'")


def _check_balanced(batch: BatchConfig, sizes: dict[str, int], count: ImagesPerClass) -> None:
    fitting = fitting_batch(batch, sizes)
    if fitting != batch:
        is_few = count != "all" and fitting.classes == batch.classes
        advice = " (training.batch.fit: true takes it for such runs alone)" if is_few else ""
        raise InputError(f"training.batch must fit {len(sizes)} classes of at least {min(sizes.values())} training images "
                         f"without duplicates, at most {len(sizes)} × {min(sizes.values())}, got {batch.classes} × "
                         f"{batch.samples}; {fitting.classes} × {fitting.samples} fits{advice}")


def _blocks(manifest: Manifest, config: SplitConfig) -> list[str]:
    """Name of the smallest set that holds each sample's whole group and everything that shows its pictures."""
    names = manifest.sample_id.tolist()
    return names if config.group == "none" else _belonging(manifest, config)


def _belonging(manifest: Manifest, config: SplitConfig, has_cameras: bool = False) -> list[str]:
    """For each sample, the first of all that belong together with it, by group or as copies of a picture; `has_cameras` also
    joins what one camera took of a class, which a split may part."""
    names = manifest.sample_id.tolist()
    copies = [(pair.a, pair.b) for pair in manifest.duplicates if config.near_duplicates or pair.kind == "exact"]
    cameras = [] if manifest.camera is None or not has_cameras else [
        (name, ("camera", label, camera)) for name, label, camera in
        zip(names, manifest.label.tolist(), manifest.camera.tolist()) if camera]
    return joined(names, [*((name, ("group", group)) for name, group in zip(names, manifest.group.tolist())), *copies,
                          *cameras])


def _official(manifest: Manifest, blocks: np.ndarray, rows: np.ndarray, config: SplitConfig,
              generator: np.random.Generator) -> np.ndarray:
    """The source's split of some rows; validation drawn from its training samples where it has none."""
    given = manifest.official
    if (given == "").any():
        raise InputError(f"an official split must be given for every sample or for none, got {(given == '').sum():,} of "
                         f"{len(given):,} without; set split.official to false to draw one")
    for name in ("train", "test"):
        if not (given[rows] == name).any():
            raise InputError(f"an official split must hold {name} samples, got none; set split.official to false to draw one")
    split = given.copy()
    taken: set[str] = set()
    for name in ("test", "validation", "train"):  # in case of doubt the test images stay
        named = rows[given[rows] == name]
        split[named[np.isin(blocks[named].astype(str), sorted(taken))]] = LEFT_OUT
        taken |= set(blocks[named].tolist())
    if not (given[rows] == "validation").any():
        train = rows[split[rows] == "train"]
        so_far = manifest.split.copy()
        so_far[rows[split[rows] == LEFT_OUT]] = LEFT_OUT
        drawn = replace(manifest, split=so_far)
        split[train] = _drawn(drawn, blocks, train, ("train", "validation"), config, generator)[train]
    return split


def _drawn(manifest: Manifest, blocks: np.ndarray, rows: np.ndarray, names: tuple[str, ...], config: SplitConfig,
           generator: np.random.Generator) -> np.ndarray:
    """Some rows dealt to some splits, in the proportions of their fractions; the others stay ''."""
    members: dict[str, list[int]] = {}
    for row in rows.tolist():
        members.setdefault(blocks[row], []).append(row)
    blocks_of_class: dict[str, list[str]] = {name: [] for name in manifest.closed_classes}
    for block, its_rows in members.items():
        label = Counter(manifest.label[its_rows].tolist()).most_common(1)[0][0]
        blocks_of_class[label].append(block)
    share = dict(zip(SPLITS, config.fractions))
    total = sum(share[name] for name in names)
    split = np.full(len(manifest), "", dtype=object)
    sizes = manifest.counts(rows)
    short = [label for label, its_blocks in blocks_of_class.items() if len(its_blocks) < len(names)]
    if short:
        raise InputError(_too_few(short[0], sizes[short[0]], len(blocks_of_class[short[0]]), names, manifest)
                         + _leaving_out(manifest, short))
    dealt = [_deal(its_blocks, members, {name: share[name] / total for name in names}, generator)
             for its_blocks in blocks_of_class.values()]
    if config.group == "whole":
        for name in ("test", "validation"):
            if name in names:
                _give_a_second(dealt, members, name)
    for name_of in dealt:
        for block, name in name_of.items():
            split[members[block]] = name
    return split


def _give_a_second(dealt: list[dict[str, str]], members: dict[str, list[int]], name: str) -> None:
    """Where no class has two blocks in a split, and so no image could be found outside its own group, each class gives it a
    second one, its smallest, of a split that keeps two.

    Args:
        dealt: of each class, block -> split; changed in place.
        members: block -> its rows.
        name: the split.
    """
    of_split = [block for name_of in dealt for block, its_split in name_of.items() if its_split == name]
    if len(of_split) > len(dealt) or all(len(members[block]) == 1 for block in of_split):  # single images stay as they were
        return
    for name_of in dealt:
        donor, count = Counter(name_of.values()).most_common(1)[0]
        if donor != name and count > 2:
            name_of[min((block for block in name_of if name_of[block] == donor), key=lambda block: len(members[block]))] = name


def _too_few(label: str, n_images: int, n_blocks: int, names: tuple[str, ...], manifest: Manifest) -> str:
    near = any(pair.kind == "near" for pair in manifest.duplicates)
    advice = "; copies are counted with their original (split.near_duplicates: false counts exact ones alone)" if near else ""
    n_apart = int(((manifest.split == LEFT_OUT) & (manifest.label == label)).sum())
    if n_apart:
        whose = " or of ".join(name for name, is_there in (
            ("held-out classes", (manifest.split == OPEN).any()),
            ("the dataset's own test split", len(names) < len(SPLITS))) if is_there)  # only then is less than all drawn
        advice += f"; {n_apart} more belong together with images of {whose} and are left out"
    where = " and ".join([", ".join(names[:-1]), names[-1]])
    return (f"class {label!r} must have at least {len(names)} groups to stand in {where}, "
            f"got {n_images} {_plural(n_images, 'image')} in {n_blocks} {_plural(n_blocks, 'group')}{advice}")


def _leaving_out(manifest: Manifest, labels: list[str]) -> str:
    """The option that leaves classes out, and how many go with them; nothing if too few classes would be left."""
    sizes = manifest.counts()
    least = max(sizes[label] for label in labels) + 1
    small = [label for label, size in sizes.items() if size < least]
    if len(sizes) - len(small) < held_out.LEAST_TRAINED:
        return ""
    return (f"; dataset.min_per_class: {least} leaves out {len(small):,} {'class' if len(small) == 1 else 'classes'} of "
            f"{len(sizes):,}, {sum(sizes[label] for label in small):,} images")


def _deal(blocks: list[str], members: dict[str, list[int]], share: dict[str, float],
          generator: np.random.Generator) -> dict[str, str]:
    """Largest blocks first, each to the split that lacks most; then no split is left without a block."""
    total = sum(len(members[block]) for block in blocks)
    lacking = {name: part * total for name, part in share.items()}
    order = [blocks[index] for index in generator.permutation(len(blocks))]
    order.sort(key=lambda block: -len(members[block]))
    dealt: dict[str, str] = {}
    for block in order:
        name = max(lacking, key=lacking.__getitem__)
        dealt[block] = name
        lacking[name] -= len(members[block])
    for name in share:
        if name not in dealt.values():
            donor = Counter(dealt.values()).most_common(1)[0][0]
            smallest = next(block for block in reversed(order) if dealt[block] == donor)
            dealt[smallest] = name
    return dealt


def _ranks(manifest: Manifest, blocks: np.ndarray, seed: int) -> np.ndarray:
    """Each class's training samples in an order of chance that takes one of every block before a second of any.

    So few images come from as many photographs as there are.
    """
    generator = np.random.default_rng([seed, 2])
    rank = np.full(len(manifest), -1, dtype=np.int32)
    for label in manifest.classes:
        rows = generator.permutation(np.flatnonzero((manifest.split == "train") & (manifest.label == label)))
        turn: Counter[str] = Counter()
        turns = []
        for block in blocks[rows].tolist():
            turns.append(turn[block])
            turn[block] += 1
        rank[rows[np.argsort(turns, kind="stable")]] = np.arange(len(rows))
    return rank


def _shared(keys: np.ndarray, split: np.ndarray) -> int:
    pairs = set(zip(keys.tolist(), split.tolist()))
    return sum(count > 1 for count in Counter(key for key, _ in pairs).values())


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
