"""The same images split several times: seed s trains and is tested on split s mod R.

Each split is `core.data.split`'s, drawn with a seed of its own; classes that are held out are the same in all.
"""

from collections.abc import Sequence

from core.config import ExperimentConfig, SplitConfig
from core.data import split
from core.data.manifest import Manifest
from core.errors import InputError


def assign(manifest: Manifest, config: SplitConfig, seeds: tuple[int, ...]) -> tuple[Manifest, ...]:
    """The samples in each of R splits.

    Args:
        manifest: samples without a split.
        config: R is its `repeats`.
        seeds: run seeds. The first split has the low-data draws of all, so that one manifest knows the sizes; each other
            those of its own seeds.

    Returns:
        R manifests; where R is 1 the one that `split.assign` makes.

    Raises:
        InputError: as `split.assign`, and if the dataset itself says who is tested, or who asks whom.
    """
    if config.repeats > 1:
        _check(manifest, config)
    return tuple(split.assign(manifest, config, _own(seeds, config, number), number) for number in range(config.repeats))


def with_more_seeds(manifests: Sequence[Manifest], config: SplitConfig, added: tuple[int, ...]) -> list[Manifest]:
    """The same splits with the low-data draws of added seeds, each where it belongs; arguments as of `assign`."""
    return [split.with_more_seeds(each, config, _own(added, config, number)) for number, each in enumerate(manifests)]


def check_plan(manifests: Sequence[Manifest], config: ExperimentConfig) -> None:
    """Refuses what the samples cannot carry in one of their splits.

    Raises:
        InputError: as `split.check_plan`.
    """
    for number, each in enumerate(manifests):
        split.check_plan(each, config.model_copy(update={"seeds": _own(config.seeds, config.split, number)}))


def _own(seeds: tuple[int, ...], config: SplitConfig, number: int) -> tuple[int, ...]:
    return seeds if number == 0 else tuple(seed for seed in seeds if seed % config.repeats == number)


def _check(manifest: Manifest, config: SplitConfig) -> None:
    """Refuses to repeat what the dataset gives once."""
    if config.official and config.group == "whole" and (manifest.official != "").any():
        raise InputError("split.repeats must be 1 where the dataset gives its own split (set split.official: false to draw "
                         f"splits), got {config.repeats}")
    if manifest.role is not None:
        raise InputError("split.repeats must be 1 where a table says who asks and who is found (is_query, is_gallery), got "
                         f"{config.repeats}")
