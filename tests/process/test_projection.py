"""2D layouts: shapes, refusals, alignment that undoes a turn exactly, and films whose points stay put."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.analysis import projection
from tests import PROJECT


def blobs(n_each=15, width=8, seed=0):
    generator = np.random.default_rng(seed)
    label = np.repeat(np.arange(3), n_each)
    return (generator.normal(size=(3 * n_each, width)) + 8 * np.eye(3, width)[label]).astype(np.float32), label


def turned(layout, degrees=0.0, mirror=False, shift=(0, 0)):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return layout @ (turn @ np.diag([-1, 1]) if mirror else turn) + shift


def distances(layout):
    return np.linalg.norm(layout[:, None] - layout[None], axis=2)


def purity(layout, label):
    """Share of points whose nearest other point has their label."""
    apart = distances(layout)
    np.fill_diagonal(apart, np.inf)
    return (label[apart.argmin(axis=1)] == label).mean()


def moved(layout, before):
    return np.linalg.norm(layout - before, axis=1).mean() / before.std()


@pytest.mark.parametrize("degrees, mirror, shift", [(0, False, (3, -4)), (90, False, (0, 0)), (37, True, (100, 5)),
                                                    (180, True, (0, 0)), (-123, False, (-1e4, 1))])
def test_alignment_undoes_a_turn_a_mirror_and_a_shift(degrees, mirror, shift):
    layout = np.random.default_rng(0).normal(size=(30, 2))
    np.testing.assert_allclose(projection.align(turned(layout, degrees, mirror, shift), layout), layout, atol=1e-9)


def test_alignment_keeps_distances_and_does_not_stretch():
    layout, onto = np.random.default_rng(1).normal(size=(2, 25, 2))
    aligned = projection.align(layout, 7 * onto + 3)
    np.testing.assert_allclose(distances(aligned), distances(layout), atol=1e-9)
    np.testing.assert_allclose(aligned.mean(axis=0), (7 * onto + 3).mean(axis=0), atol=1e-9)


def test_alignment_is_the_best_of_all_turns():
    layout, onto = np.random.default_rng(2).normal(size=(2, 12, 2))
    layout, onto = layout - layout.mean(axis=0), onto - onto.mean(axis=0)
    best = min(((turned(layout, degrees, mirror) - onto) ** 2).sum()
               for degrees in range(360) for mirror in (False, True))
    found = ((projection.align(layout, onto) - onto) ** 2).sum()
    assert best * 0.999 <= found <= best + 1e-9


def test_pca_of_points_in_a_plane_keeps_their_distances():
    flat = np.random.default_rng(3).normal(size=(20, 2)) * [5, 1]
    plane = np.linalg.qr(np.random.default_rng(4).normal(size=(6, 2)))[0]
    layout = projection.project((flat @ plane.T).astype(np.float32), "pca")
    np.testing.assert_allclose(distances(layout), distances(flat), atol=1e-4)
    assert layout[:, 0].var() > layout[:, 1].var()


def test_pca_by_hand():
    vectors = np.array([[-3, 0, 1], [3, 0, 1], [0, -1, 1], [0, 1, 1]], np.float32)
    layout = projection.project(vectors, "pca")
    assert np.abs(layout) == pytest.approx(np.array([[3, 0], [3, 0], [0, 1], [0, 1]]), abs=1e-6)
    assert layout[0] == pytest.approx(-layout[1], abs=1e-6)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_layout_keeps_separate_classes_apart_and_is_the_same_again(method):
    vectors, label = blobs()
    layout = projection.project(vectors, method)
    assert layout.shape == (45, 2)
    assert layout.dtype == np.float32
    assert purity(layout, label) == 1
    assert np.array_equal(projection.project(vectors, method), layout)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_layout_is_turned_onto_the_one_it_starts_from(method):
    vectors, _ = blobs()
    first = projection.project(vectors, method)
    start = turned(first, 130, True, (5, -2)).astype(np.float32)
    layout = projection.project(vectors, method, start=start)
    aligned = projection.align(layout, start)
    np.testing.assert_allclose(layout, aligned, atol=1e-3 * start.std())
    assert moved(layout, start) < moved(first, start) / 2


LAID_OUT = """
import sys, numpy
from core.analysis import projection
from tests.process.test_projection import blobs
vectors, _ = blobs(n_each=25)
first = projection.project(vectors, sys.argv[1])
numpy.save(sys.argv[2], [first, projection.project(vectors, sys.argv[1], 1, first), projection.follow(vectors, first)])
"""


def laid_out(method: str, output: Path, **environment: str) -> np.ndarray:
    """Three layouts computed by a process of its own: a first one, one started from it, and a film's next frame."""
    subprocess.run([sys.executable, "-c", LAID_OUT, method, str(output)], cwd=PROJECT, check=True,
                   env={**os.environ, **environment})
    return np.load(output)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_layout_hangs_neither_on_the_process_nor_on_its_threads(method, tmp_path):
    one, two = (laid_out(method, tmp_path / f"{n}.npy", OMP_NUM_THREADS=n, OPENBLAS_NUM_THREADS=n) for n in ("1", "2"))
    assert np.array_equal(one, two)


def test_pca_on_another_kind_of_processor_is_nearly_the_same(tmp_path):
    here = laid_out("pca", tmp_path / "here.npy")
    there = laid_out("pca", tmp_path / "there.npy", OPENBLAS_CORETYPE="Prescott")
    np.testing.assert_allclose(there[0], here[0], rtol=0, atol=1e-6 * np.linalg.norm(here[0], axis=1).max())


def test_pca_points_the_same_way_where_the_parts_of_a_direction_are_equally_large():
    generator = np.random.default_rng(0)
    along = np.outer(generator.normal(size=40), [1, -1, 1, -1]) * 5 + np.outer(generator.normal(size=40), [1, 1, -1, -1])
    layouts = [projection.project((along + generator.normal(0, 1e-6, (40, 4))).astype(np.float32), "pca") for _ in range(20)]
    for layout in layouts[1:]:
        np.testing.assert_allclose(layout, layouts[0], atol=1e-4)


def test_pca_of_points_on_a_line_has_no_second_direction():
    vectors = np.outer(np.arange(5.0), np.ones(9)).astype(np.float32)
    layout = projection.project(vectors, "pca")
    assert np.diff(np.sort(layout[:, 0])) == pytest.approx(np.full(4, 3.0))
    assert layout[:, 1] == pytest.approx(np.zeros(5), abs=1e-6)


@pytest.mark.parametrize("n", [3, 4, 5, 8])
@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_few_samples_are_enough(method, n):
    layout = projection.project(np.random.default_rng(n).normal(size=(n, 5)).astype(np.float32), method)
    assert layout.shape == (n, 2)
    assert np.isfinite(layout).all()
    assert len(np.unique(layout, axis=0)) == n


@pytest.mark.parametrize("method, n, least", [("pca", 2, 3), ("tsne", 2, 3), ("tsne", 0, 3), ("umap", 3, 4)])
def test_too_few_samples_are_refused(method, n, least):
    with pytest.raises(ValueError, match=f"^a {method} layout must have at least {least} samples, got {n}$"):
        projection.project(np.zeros((n, 4), np.float32), method)


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="method must be one of pca, tsne, umap, got 'mds'"):
        projection.project(np.zeros((5, 4), np.float32), "mds")


def test_a_start_of_other_samples_is_refused():
    with pytest.raises(ValueError, match=r"start must have shape \(5, 2\), got \(4, 2\)"):
        projection.project(np.zeros((5, 4), np.float32), "pca", start=np.zeros((4, 2), np.float32))


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_space_of_one_dimension_has_a_layout(method):
    vectors = np.linspace(0, 1, 12, dtype=np.float32)[:, None]
    layout = projection.project(vectors, method)
    assert layout.shape == (12, 2)
    assert np.isfinite(layout).all()


@pytest.mark.parametrize("code", [
    "layout = projection.project(numpy.ones((20, 4), 'float32'), 'pca')",
    "layout = projection.project(numpy.ones((20, 4), 'float32'), 'tsne')",
    "layout = projection.follow(numpy.ones((20, 4), 'float32'), None)",
    "layout = projection.project(vectors, 'tsne', start=numpy.zeros((20, 2), 'float32'))",
], ids=["pca", "tsne", "follow", "start"])
def test_a_collapsed_space_has_a_layout_and_does_not_end_the_process(code):
    program = ("import numpy; from core.analysis import projection; "
               f"vectors = numpy.random.default_rng(0).normal(size=(20, 4)).astype('float32'); {code}; "
               "assert layout.shape == (20, 2) and numpy.isfinite(layout).all()")
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]


def test_a_film_of_a_space_that_stands_still_stands_still():
    vectors, _ = blobs()
    first = projection.follow(vectors, None)
    second = projection.follow(vectors, first)
    third = projection.follow(vectors, second)
    assert first.shape == second.shape == (45, 2)
    assert second.dtype == np.float32
    assert moved(second, first) < 0.15
    assert moved(third, second) < 0.15


def test_a_film_goes_on_from_the_frame_before_and_not_from_the_start():
    vectors, _ = blobs()
    before = turned(projection.follow(vectors, None), 140, True, (30, 10)).astype(np.float32)
    assert moved(projection.follow(vectors, before), before) < 0.15
    assert moved(projection.follow(vectors, None), before) > 0.5


def test_a_film_shows_what_the_space_does():
    vectors, label = blobs()
    before = projection.follow(vectors, None)
    swapped = vectors.copy()
    swapped[[0, 44]] = vectors[[44, 0]]
    after = projection.follow(swapped, before)
    apart = np.linalg.norm(after - before, axis=1)
    assert min(apart[[0, 44]]) > 3 * np.median(apart)
    label[[0, 44]] = label[[44, 0]]
    assert purity(after, label) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")  # umap says so when it is imported
def test_umap_keeps_classes_apart_and_stays_near_its_start():
    vectors, label = blobs(n_each=25)
    layout = projection.project(vectors, "umap", seed=1)
    assert layout.shape == (75, 2)
    assert layout.dtype == np.float32
    assert purity(layout, label) == 1
    assert np.array_equal(projection.project(vectors, "umap", seed=1), layout)
    start = turned(layout, 130, True).astype(np.float32)
    assert moved(projection.project(vectors, "umap", seed=1, start=start), start) < moved(layout, start) / 2
    for n in (4, 5, 8):
        assert np.isfinite(projection.project(vectors[:n], "umap")).all()
