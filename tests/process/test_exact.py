"""The same vectors give the same neighbours, votes and statistics: in blocks of any size, on any number of threads, in any
order of their rows, and with the kernels of other processors."""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from core.analysis import agreement, geometry, metrics, neighbors, parts, resampling, retrieval, suggestions
from tests import PROJECT

KERNELS = {
    "own": {},
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "Prescott": {"OPENBLAS_CORETYPE": "Prescott", "ATEN_CPU_CAPABILITY": "default"},
}
NEAR = ("uniformity", "effective rank", "cka")  # of one machine the same bits, between processors near


def space(n: int = 543, width: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of length 1 that lie close together, as an encoder's do, so that many neighbours nearly tie; and labels."""
    generator = np.random.default_rng(seed)
    label_id = generator.integers(0, 5, n)
    vectors = 1 + 0.01 * generator.normal(size=(n, width)) + 0.003 * np.eye(width)[label_id]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), label_id


def everything(rows_at_once: int) -> dict[str, np.ndarray]:
    """All that neighbours decide, with blocks of so many rows."""
    parts._ROWS = rows_at_once
    (a, label_id), (b, _) = space(), space(seed=1)
    group = np.random.default_rng(2).integers(0, 200, len(a))
    known, known_label_id = space(300, seed=3)
    found = {}
    for name, belonging in (("alone", None), ("groups", group)):
        of_space = retrieval.measure(a, label_id, belonging)
        found |= {f"{name} {part} {metric}": column for part in ("values", "gallery", "with_own_group")
                  for metric, column in getattr(of_space, part).items()}
        found |= {f"{name} distances {metric}": column for metric, column in geometry.by_class(a, label_id, belonging).items()}
        found |= {f"{name} neighbours": of_space.neighbors, f"{name} uniformity": geometry.uniformity(of_space.kernel),
                  f"{name} nearest": neighbors.nearest(a, a, 7, True, belonging)[0],
                  f"{name} overlap": agreement.neighborhood_overlap(a, b, 10, belonging),
                  f"{name} doubts": suggestions.doubtful_labels(a, b, label_id, 5, 10, belonging).rows}
    for distance in ("cosine", "euclidean"):
        found[f"k-NN {distance}"] = metrics.knn_correct(a, label_id, known, known_label_id, 5, distance)
        found |= {f"{distance} {name}": column for name, column in retrieval.retrieve(100 * a, label_id, distance).items()}
    drawn = resampling.bootstrap([found["alone values map_at_r"][None], found["groups values map_at_r"][None]], 500, 0, group)
    return found | {"bootstrap": drawn.draws, "effective rank": geometry.effective_rank(a),
                    "cka": np.array(agreement.linear_cka(a, b))}


def digests(values: dict[str, np.ndarray]) -> dict[str, str]:
    return {name: hashlib.sha256(np.ascontiguousarray(column).tobytes()).hexdigest() for name, column in values.items()}


@cache
def elsewhere(rows_at_once: int, kernels: str, threads: int) -> dict[str, str]:
    """The same in a process of its own, with the kernels of a processor and so many threads."""
    code = f"import json, tests.process.test_exact as t; print(json.dumps(t.digests(t.everything({rows_at_once}))))"
    environment = {**os.environ, **KERNELS[kernels], "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True,
                          check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("kernels", KERNELS)
def test_the_same_bits_in_blocks_of_any_size_and_on_any_number_of_threads(kernels: str) -> None:
    whole, small = elsewhere(1024, kernels, 2), elsewhere(37, kernels, 1)
    assert [name for name in whole if whole[name] != small[name]] == []


def test_the_same_bits_with_the_kernels_of_other_processors() -> None:
    own, *others = (elsewhere(1024, kernels, 2) for kernels in KERNELS)
    exact = [name for name in own if not any(part in name for part in NEAR)]
    assert len(exact) > 30
    for other in others:
        assert [name for name in exact if own[name] != other[name]] == []


def test_neighbours_that_tie_stand_in_the_order_of_their_names() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    vectors *= np.random.default_rng(0).uniform(0.1, 9, (60, 1)).astype(np.float32)  # directions tie, bits do not
    names = np.array([f"{place:02d}" for place in np.random.default_rng(1).permutation(60)], dtype=object)
    near, cosines = neighbors.nearest(vectors, vectors, 5, is_same=True, names=names)
    assert (cosines == cosines[:, :1]).all() and cosines == pytest.approx(1)
    for row in range(60):
        alike = sorted(names[other] for other in range(60) if other // 20 == row // 20 and other != row)
        assert names[near[row]].tolist() == alike[:5]


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_do_not_depend_on_the_order_of_the_rows(seed: int) -> None:
    vectors, _ = space(200, 16, seed)
    vectors[100:] = vectors[:100]  # each has a twin, and what is near one is as near to the other
    names = np.array([f"{place:03d}" for place in range(200)], dtype=object)
    group = np.arange(200) % 50
    order = np.random.default_rng(seed).permutation(200)
    for belonging in (None, group):
        plain, _ = neighbors.nearest(vectors, vectors, 9, True, belonging, names)
        mixed, _ = neighbors.nearest(vectors[order], vectors[order], 9, True,
                                     None if belonging is None else belonging[order], names[order])
        assert np.array_equal(names[plain][order], names[order][mixed])


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_products_are_exact_and_near_the_true_ones(distance: str, scale: float) -> None:
    from fractions import Fraction

    vectors = scale * (space(6, 40)[0] + np.float32(3) * space(6, 40, seed=9)[0])
    queries, known = neighbors.sides(vectors[:3], vectors[3:], distance)
    for query in queries:
        for other in known:
            true = sum((Fraction(float(x)) * Fraction(float(y)) for x, y in zip(query, other)), Fraction(0))
            assert Fraction(float(query @ other)) == true
    if distance == "cosine":
        wide = vectors.astype(np.float64)
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        np.testing.assert_allclose(queries @ known.T, wide[:3] @ wide[3:].T, atol=3e-8)


def test_a_zero_vector_stays_zero_and_has_neighbours() -> None:
    vectors = np.array([[0, 0], [1, 0], [0, 2]], np.float32)
    assert neighbors.unit(vectors).tolist() == [[0, 0], [1, 0], [0, 1]]
    assert neighbors.nearest(vectors, vectors, 2, is_same=True)[0][0].tolist() == [1, 2]
