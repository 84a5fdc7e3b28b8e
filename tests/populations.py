"""Spaces whose truth is known: images with a difficulty of their own, and what a seed makes of them.

Not a test. An image is a point about its class's centre; a seed adds noise of its own to every image, and a training run may
be better or worse as a whole.
"""

from collections.abc import Callable

import numpy as np

from core.analysis import metrics
from core.results.scores import Scores

CONFIG = {"experiment": "drawn", "seed": 0}


class Population:
    """Classes in `width` dimensions; `draw` gives test images, `space` what one seed's encoder makes of them."""

    def __init__(self, n_classes: int, width: int, seed: int, image_noise: float = 1.0, seed_noise: float = 0.5) -> None:
        self._generator = np.random.default_rng(seed)
        self.centers = self._generator.normal(size=(n_classes, width))
        self.image_noise, self.seed_noise = image_noise, seed_noise

    def draw(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Images as points, shape (n, width), and their classes, shape (n,), as many of each."""
        label_id = np.arange(n) % len(self.centers)
        return self.centers[label_id] + self._generator.normal(0, self.image_noise, (n, self.centers.shape[1])), label_id

    def space(self, images: np.ndarray, more_noise: float = 0.0) -> np.ndarray:
        """Vectors of length 1, shape (n, width), float32: the images with one seed's noise."""
        noisy = images + self._generator.normal(0, self.seed_noise + more_noise, images.shape)
        return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


def scores(name: str, measured: list[metrics.Measures], label_id: np.ndarray) -> Scores:
    """Scores of an arm, one measured space a seed, each image a group of its own."""
    names = np.array([f"{row:06d}" for row in range(len(label_id))], dtype=object)
    label = np.array([f"class {item:02d}" for item in label_id], dtype=object)
    return Scores(name=name, sample_id=names, group=names, label=label,
                  label_id=label_id.astype(np.int32),
                  values={key: np.stack([item.values[key] for item in measured]) for key in metrics.METRICS},
                  gallery={key: np.stack([item.gallery[key] for item in measured]) for key in metrics.GALLERY},
                  gallery_by_class={key: np.stack([item.gallery_by_class[key] for item in measured])
                                    for key in measured[0].gallery_by_class},
                  space={key: np.stack([item.space[key] for item in measured]) for key in metrics.SPACE_METRICS},
                  clusters=np.stack([item.clusters for item in measured]),
                  neighbors=np.stack([item.neighbors for item in measured]).astype(np.int32), config=CONFIG,
                  settings=CONFIG)


def measured_arm(population: Population, images: np.ndarray, label_id: np.ndarray, training: np.ndarray,
                 training_label_id: np.ndarray, n_seeds: int, kmeans_seeds: int = 3,
                 more_noise: Callable[[int], float] = lambda seed: 0.0) -> list[metrics.Measures]:
    """The measured spaces of `n_seeds` seeds; `more_noise` says how much worse each is."""
    n = len(images)
    everything = np.concatenate([images, training])
    found = []
    for seed in range(n_seeds):
        vectors = population.space(everything, more_noise(seed))
        found.append(metrics.measure(vectors[:n], label_id, vectors[n:], training_label_id, len(population.centers), 5,
                                     kmeans_seeds))
    return found
