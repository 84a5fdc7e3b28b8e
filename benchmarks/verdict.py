"""All metrics, intervals and the sentence for two spaces, against one K-means: python -m benchmarks.verdict [N …]

37 classes, 768 dimensions, N test, N training and N / 2 validation images in each space (1478 and 7400 unless given; 100000
takes minutes and 4 GB). Prints seconds, peak memory, and the ratio to one K-means with ten initialisations timed in the same
run. Not a test.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans

from core.analysis import agreement, metrics
from core.config import parse
from core.experiments.handles import Run
from core.results import protocol, scoring, summaries, verdict
from core.results.scores import Scores
from tests.conftest import TINY

CLASSES, WIDTH, KMEANS_SEEDS, DRAWS = 37, 768, 10, 2000


def space(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes on the unit sphere, shape (n, 768), float32; the same images' labels for every seed."""
    generator = np.random.default_rng([seed, n])
    label_id = (np.arange(n) % CLASSES).astype(np.int32)
    vectors = generator.standard_normal((n, WIDTH), np.float32)
    vectors += np.float32(0.12) * np.random.default_rng(0).standard_normal((CLASSES, WIDTH), np.float32)[label_id] * 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, label_id


def scored(n: int, seed: int) -> tuple[Scores, np.ndarray]:
    """One space's scores, written to disk and read back as a run's would be, and its test vectors."""
    vectors, label_id = space(2 * n + n // 2, seed)
    found = metrics.measure(vectors[:n], label_id[:n], vectors[n:2 * n], label_id[n:2 * n], CLASSES, 5, KMEANS_SEEDS,
                            validation=(vectors[2 * n:], label_id[2 * n:]))
    names = np.array([f"{row:06d}" for row in range(n)], dtype=object)
    run = parse(TINY).runs()[1]
    scores = Scores(name=f"space {seed}", sample_id=names, group=names, label=label_id[:n].astype(str).astype(object),
                    label_id=label_id[:n], values={name: column[None] for name, column in found.values.items()},
                    gallery={name: column[None] for name, column in found.gallery.items()},
                    gallery_by_class={name: column[None] for name, column in found.gallery_by_class.items()},
                    space={name: column[None] for name, column in found.space.items()}, clusters=found.clusters[None],
                    neighbors=found.neighbors[None].astype(np.int32), config=run.to_json(),
                    settings=protocol.of_config(run),
                    expected={name: column[None] for name, column in found.expected.items()})
    with tempfile.TemporaryDirectory() as folder:
        scoring.write_scores(Run(Path(folder)), scores)
    summaries.evaluation(scores, DRAWS)
    return scores, vectors[:n]


def main(sizes: list[int]) -> None:
    """Prints one line a size."""
    for n in sizes:
        vectors, _ = space(n, 0)
        started = time.perf_counter()
        KMeans(CLASSES, n_init=10, random_state=0).fit(vectors)
        of_kmeans = time.perf_counter() - started
        del vectors
        started = time.perf_counter()
        a, vectors_a = scored(n, 0)
        measured = time.perf_counter() - started
        b, vectors_b = scored(n, 1)
        found = verdict.compare(a, b, DRAWS)
        verdict.overlap(a, b)
        agreement.linear_cka(vectors_a, vectors_b)
        taken = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 ** 2
        print(f"{n:,} test and {n:,} training images in each of two spaces: {taken:.1f} s ({measured:.1f} s for the first), "
              f"peak {peak:.2f} GB; one K-means, n_init = 10: {of_kmeans:.2f} s, ratio {taken / of_kmeans:.1f}", flush=True)
        print(f"  {found.sentence}", flush=True)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [1478, 7400])
