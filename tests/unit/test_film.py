"""The film of a space: who is in it, what a frame holds, and that it goes on after a stop."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.analysis import trust
from core.data.manifest import Manifest
from core.experiments.film import Film, probe_rows, read_frame
from core.experiments.handles import Run


def manifest(sizes: dict[str, int], n_other: int = 4) -> Manifest:
    """Validation samples of each class as given, and as many training and test samples of each as `n_other`."""
    label, split = [], []
    for name, size in sizes.items():
        label += [name] * (size + 2 * n_other)
        split += ["train"] * n_other + ["validation"] * size + ["test"] * n_other
    order = np.random.default_rng(1).permutation(len(label))
    ids = np.array([f"{name}/{place:03d}.png" for place, name in enumerate(label)], dtype=object)[order]
    return Manifest(sample_id=ids, label=np.array(label, dtype=object)[order], group=ids, digest=ids,
                    picture=ids, official=ids,
                    split=np.array(split, dtype=object)[order])


def blobs(label_id: np.ndarray, seed: int = 0) -> np.ndarray:
    """One tight, far cluster a class; (n, 6), float32."""
    generator = np.random.default_rng(seed)
    return (10 * np.eye(6)[label_id] + generator.normal(0, 0.1, (len(label_id), 6))).astype(np.float32)


def frame(run: Path, epoch: int) -> dict[str, np.ndarray]:
    return read_frame(Run(run).snapshots[epoch])


def counts(samples: Manifest, rows: np.ndarray) -> list[int]:
    return list(samples.counts(rows).values())


def test_probe_is_the_whole_validation_split_if_that_is_not_too_much() -> None:
    samples = manifest({"a": 4, "b": 3})
    for most in (7, 500):
        assert np.array_equal(probe_rows(samples, most), samples.indices("validation"))


def test_probe_is_an_even_draw_from_each_class() -> None:
    samples = manifest({"a": 10, "b": 6, "c": 20})
    assert counts(samples, probe_rows(samples, 9)) == [3, 3, 3]
    assert counts(samples, probe_rows(samples, 18)) == [6, 6, 6]


def test_probe_takes_more_of_the_larger_classes_once_the_small_are_used_up() -> None:
    samples = manifest({"a": 10, "b": 2, "c": 20})
    assert counts(samples, probe_rows(samples, 14)) == [6, 2, 6]
    assert counts(samples, probe_rows(samples, 26)) == [10, 2, 14]
    assert sorted(counts(samples, probe_rows(samples, 4))) == [1, 1, 2]


@pytest.mark.parametrize("most", [3, 10, 31])
def test_probe_holds_different_validation_rows_in_order_the_same_every_time(most: int) -> None:
    samples = manifest({"a": 10, "b": 6, "c": 20})
    rows = probe_rows(samples, most)
    assert len(rows) == most
    assert set(rows.tolist()) < set(samples.indices("validation").tolist())
    assert (np.diff(rows) > 0).all()
    np.random.seed(5)
    assert np.array_equal(rows, probe_rows(samples, most))


def test_probe_is_not_the_first_of_each_class() -> None:
    samples = manifest({"a": 40, "b": 40})
    validation = samples.indices("validation")
    first = np.concatenate([validation[samples.label_id[validation] == label][:5] for label in (0, 1)])
    assert set(probe_rows(samples, 10).tolist()) != set(first.tolist())


def test_frame_holds_samples_clusters_places_and_vectors(tmp_path: Path) -> None:
    samples = manifest({"a": 8, "b": 6, "c": 7})
    rows = probe_rows(samples, 15)
    vectors = blobs(samples.label_id[rows])
    Film(Run(tmp_path), samples, rows).add(3, vectors)
    found = frame(tmp_path, 3)
    assert found["sample_id"].tolist() == samples.sample_id[rows].tolist()
    assert found["label_id"].tolist() == samples.label_id[rows].tolist()
    assert found["cluster"].tolist() == samples.label_id[rows].tolist(), "clusters this far apart are the classes"
    layout = np.stack([found["x"], found["y"]], axis=1)
    assert layout.dtype == np.float32 and np.isfinite(layout).all()
    assert np.linalg.norm(layout - layout.mean(axis=0), axis=1).min() > 0
    stored = pq.read_table(Run(tmp_path).snapshots[3])["embedding"].combine_chunks()
    assert np.array_equal(stored.flatten().to_numpy().reshape(15, 6), vectors)
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["epoch_0003.parquet"]


def test_frame_of_fewer_samples_than_classes_has_no_clusters(tmp_path: Path) -> None:
    samples = manifest({"a": 2, "b": 2, "c": 2, "d": 2, "e": 2, "f": 2})
    rows = probe_rows(samples, 5)
    Film(Run(tmp_path), samples, rows).add(0, blobs(samples.label_id[rows]))
    assert frame(tmp_path, 0)["cluster"].tolist() == [-1] * 5


def test_each_frame_starts_from_the_one_before(tmp_path: Path) -> None:
    """A mirrored space has the same distances: started afresh its layout would be mirrored, followed it stays."""
    samples = manifest({"a": 8, "b": 6, "c": 7})
    rows = probe_rows(samples, 21)
    vectors = blobs(samples.label_id[rows])
    film = Film(Run(tmp_path), samples, rows)
    for epoch, moved in enumerate((vectors, vectors, -vectors)):
        film.add(epoch, moved)
    first, second, third = (np.stack([found["x"], found["y"]], axis=1) for found in
                            (frame(tmp_path, epoch) for epoch in range(3)))
    size = np.linalg.norm(second - second.mean(axis=0), axis=1).mean()
    assert np.linalg.norm(third - second, axis=1).mean() < 0.2 * size
    np.testing.assert_allclose(second.mean(axis=0), first.mean(axis=0), atol=1e-3 * size)


def test_rewinding_drops_later_frames_and_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    samples = manifest({"a": 8, "b": 6, "c": 7})
    rows = probe_rows(samples, 21)
    films = [blobs(samples.label_id[rows], seed) for seed in range(3)]
    film = Film(Run(tmp_path), samples, rows)
    for epoch, vectors in enumerate(films):
        film.add(epoch, vectors)
    expected = frame(tmp_path, 2)

    resumed = Film(Run(tmp_path), samples, rows)
    resumed.rewind(1)
    assert list(Run(tmp_path).snapshots) == [0, 1]
    resumed.add(2, films[2])
    found = frame(tmp_path, 2)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_rewinding_to_before_every_frame_starts_anew(tmp_path: Path) -> None:
    samples = manifest({"a": 8, "b": 6, "c": 7})
    rows = probe_rows(samples, 21)
    vectors = blobs(samples.label_id[rows])
    film = Film(Run(tmp_path), samples, rows)
    film.add(1, vectors)
    film.add(2, vectors)
    Film(Run(tmp_path), samples, rows).rewind(0)
    assert Run(tmp_path).snapshots == {}


def test_the_film_of_an_unchanged_run_does_not_move(tmp_path: Path) -> None:
    samples = manifest({"a": 20, "b": 20, "c": 20})
    rows = probe_rows(samples, 60)
    vectors = blobs(samples.label_id[rows])
    film = Film(Run(tmp_path), samples, rows)
    for epoch in range(4):
        film.add(epoch, vectors)
    layouts = [np.stack([found["x"], found["y"]], axis=1) for found in (frame(tmp_path, epoch) for epoch in range(4))]
    for before, after in pairwise(layouts):
        assert trust.displacement(after, before) < 0.05
