"""The same picture more than once: exact copies, near copies, and what must stay together because of them.

Compares what a scan found; opens no file. Mirrored, rotated or cropped copies are not found.
"""

import itertools
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from core.data.reading import LOOK_SIDE
from core.data.scan import Seen

# A copy, recompressed (JPEG quality 30 to 95) and resized (a third to one and a half times): its look differs from the
# original's by less, in 300 of 300 photographs of pets and 299 of 300 of fungi; among all pairs of different
# photographs of those sets no other picture comes as near: five pairs that do are one photograph under two names.
LEAST_CORRELATION = 0.94
MOST_DIFFERENCE = 3.0       # grey levels, root mean square; JPEG noise on a nearly flat image
MOST_RELATIVE = 0.1         # or this share of the image's own contrast
LEAST_CONTRAST = 0.5        # grey levels, standard deviation: blank images all look alike
_SEARCHED, _COMPARED = 4096, 65_536  # looks searched for at a time, pairs compared at a time


@dataclass(frozen=True)
class Pair:
    """Two samples with the same picture, by their sample_id; 'exact' is pixel by pixel."""

    a: str
    b: str
    kind: Literal["exact", "near"]


def find(seen: dict[str, Seen]) -> list[Pair]:
    """Pairs of the same picture among readable files.

    Every copy is paired with the first sample that has its very pixels; of near copies every pair is listed, each
    set of exact copies standing for one.

    Args:
        seen: sample_id -> what the scan found.
    """
    pairs = exact({sample_id: item.content or item.digest for sample_id, item in seen.items()})
    copies = {pair.b for pair in pairs}
    alone = [sample_id for sample_id in seen if sample_id not in copies]
    looks = np.stack([np.frombuffer(seen[sample_id].look, np.uint8) for sample_id in alone])
    return pairs + [Pair(alone[a], alone[b], "near") for a, b in near(looks)]


def exact(content: dict[str, str]) -> list[Pair]:
    """Every copy with the first of its content; `content` maps sample_id to a hash."""
    first: dict[str, str] = {}
    originals = {sample_id: first.setdefault(key, sample_id) for sample_id, key in content.items()}
    return [Pair(original, sample_id, "exact") for sample_id, original in originals.items() if original != sample_id]


def near(looks: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of looks as close as a recompressed and resized copy is to its original.

    Args:
        looks: shape (n, 256), uint8.

    Returns:
        Index pairs (a, b), a < b, in order.
    """
    if len(looks) < 2:
        return []
    levels = looks.astype(np.float32)
    contrast = levels.std(axis=1)
    rows = np.flatnonzero(contrast >= LEAST_CONTRAST)
    levels, contrast = levels[rows], contrast[rows]
    if len(rows) < 2:
        return []
    limit = np.maximum(MOST_DIFFERENCE, MOST_RELATIVE * contrast)
    centred = (levels - levels.mean(axis=1, keepdims=True)) / contrast[:, None]
    # Means over 4 × 4 blocks can only be nearer than the looks themselves, so a search in these 16 numbers misses none.
    side = LOOK_SIDE // 4
    blocks = levels.reshape(-1, side, 4, side, 4).mean(axis=(2, 4)).reshape(len(rows), -1)
    tree = cKDTree(blocks, leafsize=64)  # twice as fast as with 16, in as many dimensions
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(rows), _SEARCHED):
        searched = np.arange(start, min(start + _SEARCHED, len(rows)))
        candidates = tree.query_ball_point(blocks[searched], limit[searched] * side, workers=-1)
        a = np.repeat(searched, [len(places) for places in candidates])
        b = np.fromiter(itertools.chain.from_iterable(candidates), np.int64, len(a))
        a, b = a[a < b], b[a < b]
        for first in range(0, len(a), _COMPARED):
            one, other = a[first:first + _COMPARED], b[first:first + _COMPARED]
            difference = np.sqrt(((levels[one] - levels[other]) ** 2).mean(axis=1))
            correlation = (centred[one] * centred[other]).mean(axis=1)
            same = (difference <= np.minimum(limit[one], limit[other])) & (correlation >= LEAST_CORRELATION)
            pairs += zip(rows[one[same]].tolist(), rows[other[same]].tolist())
    return sorted(pairs)


def joined(names: Sequence[str], links: Iterable[tuple[Hashable, Hashable]]) -> list[str]:
    """For each name, the first of all names it is linked to, over whatever chain (union-find).

    Args:
        names: samples, in order.
        links: pairs of a sample and whatever ties it to others: a group's name, another sample.
    """
    parent: dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for a, b in links:
        parent[root(a)] = root(b)
    first: dict[Hashable, str] = {}
    return [first.setdefault(root(name), name) for name in names]
