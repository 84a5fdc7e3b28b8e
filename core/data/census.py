"""What of a dataset no split holds, in words: files and samples left out, files that are no images, folders, small classes.

Every screen and the command line say it by these lines.
"""

from core.data.listing import other_words
from core.data.manifest import LEFT_OUT, Manifest
from core.visible import visible

_MOST_NAMES = 8


def summary(manifest: Manifest) -> list[str]:
    """Sentences on what was read how and what was not, without naming each file; none where all was used."""
    said = list(manifest.remarks)
    if manifest.small_classes:
        sizes = [f"{visible(label)} {size:,}" for label, size in manifest.small_classes.items()]
        said.append(f"{_count(len(sizes), 'class')} left out for having too few images: {_some(sizes)}.")
    apart = manifest.sample_id[manifest.split == LEFT_OUT].tolist()
    if apart:
        said.append(f"{_count(len(apart), 'image')} left out of every split, since their group or picture stands in the "
                    f"dataset's own test or validation split or among held-out classes: {_some(apart)}.")
    if manifest.without_images:
        said.append(f"{_count(len(manifest.without_images), 'folder')} without an image: {_some(manifest.without_images)}.")
    if manifest.other_files:
        said.append(f"Files that are no images, not read: {other_words(manifest.other_files)}.")
    return said


def lines(manifest: Manifest) -> list[str]:
    """The same, and every file that is left out with its reason."""
    return [*summary(manifest), *(f"left out {visible(item.path)}: {visible(item.reason)}" for item in manifest.unreadable)]


def _count(count: int, word: str) -> str:
    plural = word if count == 1 else f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{count:,} {plural}"


def _some(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(visible, names[:_MOST_NAMES])) + (", …" if len(names) > _MOST_NAMES else "")
