"""Copies: found when planted, exact and recompressed, joined over chains; and not found where there are none."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from core.config import DatasetConfig, SplitConfig
from core.data import duplicates, sources, split

KINDS = [(0.5, 85), (0.75, 60), (1.0, 40), (1.5, 80), (0.4, 90)]  # scale, JPEG quality


def picture(seed: int) -> Image.Image:
    """A picture of its own, 192 × 144: light and dark areas with a slight tint, as photographs have."""
    generator = np.random.default_rng(seed)
    levels = (generator.integers(30, 220, (9, 12, 1)) + generator.normal(0, 10, (9, 12, 3))).clip(0, 255).astype(np.uint8)
    return Image.fromarray(levels).resize((192, 144), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1))


def recompressed(image: Image.Image, scale: float, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS).save(
        buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Two classes of a hundred pictures; 50 exact copies, 50 recompressed and resized, 5 of them under the other label."""
    root = tmp_path / "images"
    original_of = {}
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for number in range(100):
            picture(1000 * ord(label) + number).save(root / label / f"{number:03d}.png")
    for number in range(50):
        name = f"a/{number:03d}.png"
        copy = f"{'b' if number < 5 else 'a'}/copy-{number:03d}.bmp"
        Image.open(root / name).save(root / copy)  # another file, the same pixels
        original_of[copy] = name
        name = f"b/{number:03d}.png"
        near = f"b/near-{number:03d}.jpg"
        (root / near).write_bytes(recompressed(Image.open(root / name), *KINDS[number % len(KINDS)]))
        original_of[near] = name
    return root, original_of


def test_planted_copies_are_found_and_kept_on_one_side(planted: tuple[Path, dict[str, str]]) -> None:
    root, original_of = planted
    manifest = sources.open_source(DatasetConfig(source="folder", root=str(root))).scan()
    found = {frozenset((pair.a, pair.b)): pair.kind for pair in manifest.duplicates}
    asked = {frozenset(item): "near" if "near" in item[0] else "exact" for item in original_of.items()}
    assert sum(found.get(pair) == "exact" for pair, kind in asked.items() if kind == "exact") == 50
    assert sum(found.get(pair) == "near" for pair, kind in asked.items() if kind == "near") >= 48
    assert not found.keys() - asked.keys(), "no two other pictures are alike"
    assert {frozenset((pair.a, pair.b)) for pair in manifest.conflicts} == {
        frozenset((f"b/copy-{number:03d}.bmp", f"a/{number:03d}.png")) for number in range(5)}
    for seed in range(5):
        divided = split.assign(manifest, SplitConfig(seed=seed), seeds=(0,))
        side = dict(zip(divided.sample_id.tolist(), divided.split.tolist()))
        assert all(len({side[name] for name in pair}) == 1 for pair in found)
        assert split.prove(divided).holds
    leaky = split.prove(split.assign(manifest, SplitConfig(group="none"), seeds=(0,)))
    assert leaky.shared_pictures > 0 and not leaky.holds


def test_near_copies_may_be_let_apart_but_never_exact_ones(planted: tuple[Path, dict[str, str]]) -> None:
    root, _ = planted
    manifest = sources.open_source(DatasetConfig(source="folder", root=str(root))).scan()
    apart = set()
    for seed in range(5):
        divided = split.assign(manifest, SplitConfig(seed=seed, near_duplicates=False), seeds=(0,))
        side = dict(zip(divided.sample_id.tolist(), divided.split.tolist()))
        apart |= {pair.kind for pair in divided.duplicates if side[pair.a] != side[pair.b]}
    assert apart == {"near"}


def test_a_search_by_blocks_misses_no_pair_that_a_slow_loop_finds() -> None:
    generator = np.random.default_rng(0)
    base = generator.integers(40, 200, (12, 256))
    looks = np.concatenate([base, *(base + generator.normal(0, scale, base.shape) for scale in (1, 2.5, 3, 4))])
    looks = looks.clip(0, 255).astype(np.uint8)
    slow = []
    for a in range(len(looks)):
        for b in range(a + 1, len(looks)):
            x, y = looks[a].astype(float), looks[b].astype(float)
            limit = min(max(3.0, 0.1 * x.std()), max(3.0, 0.1 * y.std()))
            if np.sqrt(((x - y) ** 2).mean()) <= limit and np.corrcoef(x, y)[0, 1] >= 0.94:
                slow.append((a, b))
    assert duplicates.near(looks) == slow and len(slow) > 20


def test_blank_images_are_no_copies_of_each_other() -> None:
    looks = np.full((4, 256), 200, np.uint8)
    looks[1] += 1
    assert duplicates.near(looks) == []
    assert duplicates.near(looks[:1]) == duplicates.near(looks[:0]) == []


def test_chains_are_joined() -> None:
    assert duplicates.joined(["a", "b", "c", "d"], [("b", "c"), ("c", "a")]) == ["a", "a", "a", "d"]
    assert duplicates.joined(["a", "b", "c"], [("a", ("group", 1)), ("c", ("group", 1))]) == ["a", "b", "a"]


def test_copies_are_paired_with_the_first_of_their_content() -> None:
    assert duplicates.exact({"a": "x", "b": "y", "c": "x", "d": "x"}) == [
        duplicates.Pair("a", "c", "exact"), duplicates.Pair("a", "d", "exact")]
