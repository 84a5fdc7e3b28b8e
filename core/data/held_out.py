"""Which classes are held out of training, for a test on classes that no run has seen.

Chooses and refuses; where their samples go is `core.data.split`'s.
"""

import numpy as np

from core.config import SplitConfig
from core.data.manifest import Manifest
from core.errors import InputError

LEAST_TRAINED = 2  # classes
LEAST_OPEN = 5  # images of all held-out classes together; fewer cannot be laid out in 2D


def choose(manifest: Manifest, config: SplitConfig) -> list[str]:
    """Names of the classes to hold out, sorted; none unless asked for.

    A number is drawn by the split's seed from the sorted names: of one seed, fewer are part of more.

    Raises:
        InputError: if a class is not there, fewer than two would be left to train on, or the images of the held-out ones
            are too few to find one another.
    """
    wanted, classes = config.held_out_classes, manifest.classes
    if not wanted:
        return []
    if isinstance(wanted, int):
        order = np.random.default_rng([config.seed, 6]).permutation(len(classes)).tolist()
        names = sorted(classes[index] for index in order[:wanted])
        count = wanted
    else:
        names, count = sorted(wanted), len(wanted)
        for name in names:
            if name not in classes:
                raise InputError(f"split.held_out_classes must be among the dataset's {len(classes)} classes "
                                 f"({_some(classes)}), got {name!r}{_unreadable(manifest, name)}")
    if len(classes) - count < LEAST_TRAINED:
        raise InputError(f"split.held_out_classes must leave at least {LEAST_TRAINED} of the {len(classes)} classes to train "
                         f"on, got {count} held out")
    all_sizes = manifest.counts()
    sizes = {name: all_sizes[name] for name in names}
    for name, size in sizes.items():
        if size < 2:
            raise InputError(f"every held-out class must have at least 2 images to find one another, got {size} in class "
                             f"{name!r}{_unreadable(manifest, name)}")
    if sum(sizes.values()) < LEAST_OPEN:
        raise InputError(f"held-out classes must have at least {LEAST_OPEN} images together, got {sum(sizes.values())} in "
                         f"{len(sizes)} classes")
    return names


def _unreadable(manifest: Manifest, name: str) -> str:
    """How many files in a folder of that name could not be read, in words; nothing if none."""
    count = sum(name in item.path.split("/")[:-1] for item in manifest.unreadable)
    return f"; {count} {'file' if count == 1 else 'files'} of it could not be read" if count else ""


def _some(names: tuple[str, ...], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
