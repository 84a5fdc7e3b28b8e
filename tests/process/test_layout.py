"""Layouts and their noise floor: the same space twice moves no more than it, and real progress from a process of its own."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core import files, identity, json_lines
from core.analysis import projection, trust
from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.jobs import layout, tasks
from core.jobs.layout import Settings
from tests.conftest import said_of_itself
from tests.waiting import until


def space(seed: int, n_each: int = 12) -> EmbeddingTable:
    generator = np.random.default_rng(seed)
    label_id = np.repeat(np.arange(4), n_each).astype(np.int32)
    vectors = (np.eye(6)[label_id] + 0.3 * generator.normal(size=(len(label_id), 6))).astype(np.float32)
    ids = np.array([f"{row:03d}" for row in range(len(label_id))], dtype=object)
    return EmbeddingTable(
        sample_id=ids, path=ids, label=label_id.astype(str).astype(object), label_id=label_id,
        split=np.array(["test"] * len(ids), dtype=object), group=ids, cluster=label_id, x=vectors[:, 0], y=vectors[:, 1],
        embedding=vectors, metadata=said_of_itself("0123"))


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_the_same_space_twice_moves_no_more_than_the_noise_floor(method: projection.Method) -> None:
    found = layout.lay_out([space(0), space(0)], Settings(method))
    assert found.moved == found.floor < 0.1
    other = layout.lay_out([space(0), space(1)], Settings(method))
    assert other.floor == found.floor, "the floor is the first space's own"
    assert other.moved > 2 * max(other.floor, 0.01)


def test_the_same_space_twice_by_pca_does_not_move_at_all() -> None:
    found = layout.lay_out([space(0), space(0)], Settings("pca"))
    assert np.array_equal(*found.points)
    assert found.moved == found.floor == 0


@pytest.mark.parametrize("seed, n_each", [(1, 12), (2, 12), (3, 12), (4, 5), (5, 40)])
def test_the_noise_floor_of_t_sne_is_far_below_what_another_space_moves(seed: int, n_each: int) -> None:
    """Whatever minimum the first layout ended in, it is left in it: with exaggeration small spaces moved by up to 0.9."""
    found = layout.lay_out([space(seed, n_each), space(seed + 10, n_each)], Settings("tsne"))
    assert found.floor < 0.1 < found.moved


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_the_same_space_twice_by_umap_moves_no_more_than_the_noise_floor() -> None:
    found = layout.lay_out([space(0), space(0)], Settings("umap"))
    assert found.moved <= found.floor


def test_what_is_said_of_a_layout_is_of_that_layout() -> None:
    first, second = space(0), space(1)
    found = layout.measured(layout.lay_out([first, second], Settings("pca")), [first, second])
    assert found.moved == pytest.approx(trust.displacement(found.points[1], found.points[0]))
    for table, points, trusted in zip((first, second), found.points, found.trustworthiness):
        np.testing.assert_array_equal(trusted, trust.measure(table.embedding, points).trustworthiness)


def test_a_key_heeds_content_split_and_the_methods_own_parameters_alone(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.parquet", "b.parquet", "copy.parquet")]
    for path, seed in zip(paths, (0, 1, 0)):
        tables.write(space(seed), path)
    a, b, copy = paths
    keys = {name: layout.key(*asked) for name, asked in {
        "it": ([a], Settings("tsne"), "test"), "other table": ([b], Settings("tsne"), "test"),
        "two": ([a, b], Settings("tsne"), "test"), "turned": ([b, a], Settings("tsne"), "test"),
        "split": ([a], Settings("tsne"), "train"), "seed": ([a], Settings("tsne", seed=1), "test"),
        "perplexity": ([a], Settings("tsne", perplexity=5), "test"), "umap": ([a], Settings("umap"), "test"),
        "distance": ([a], Settings("umap", minimum_distance=0.5), "test"),
        "neighbours": ([a], Settings("umap", neighbors=5), "test")}.items()}
    assert len(set(keys.values())) == len(keys)
    assert layout.key([copy], Settings("tsne"), "test") == keys["it"], "the same content elsewhere is the same layout"
    assert layout.key([a], Settings("tsne", neighbors=99), "test") == keys["it"], "t-SNE knows no number of neighbours"


def test_a_process_lays_out_says_how_far_it_is_and_keeps_what_it_found(tmp_path: Path) -> None:
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for seed, path in enumerate(paths):
        tables.write(space(seed, n_each=60), path)
    output = layout.request(paths, Settings("tsne"), "test", tmp_path / "cache")
    assert layout.request(paths, Settings("tsne"), "test", tmp_path / "cache") == output
    assert layout.state(output).is_running

    def is_done() -> bool:
        state = layout.state(output)
        assert state.is_running or output.is_file(), state.error
        return output.is_file()

    until(is_done, seen=lambda: layout.state(output))
    until(lambda: not tasks.is_running(output.with_suffix("")))  # it says so after the file is there
    lines = json_lines.read(output.with_suffix("") / tasks.PROGRESS).good[:-1]  # the last says that it is over
    phases = list(dict.fromkeys(line["text"] for line in lines))
    assert phases == ["laying out A", "laying out B", "laying out A again, for the noise floor",
                      "measuring how far it can be believed"]
    shares = [line["done"] / line["of"] for line in lines]
    assert shares == sorted(shares) and len(set(shares)) > 20, "progress goes on, and within a layout too"
    assert (shares[0], shares[-1]) == (0, 3 / 4)
    found = layout.read(output)
    spaces = [space(0, 60), space(1, 60)]
    expected = layout.measured(layout.lay_out(spaces, Settings("tsne")), spaces)
    for name in ("points", "trustworthiness", "continuity"):
        for one, other in zip(getattr(found, name), getattr(expected, name)):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-3)
    assert (found.touches, found.moved) == (expected.touches, pytest.approx(expected.moved, abs=1e-3))


def test_a_cancelled_layout_is_forgotten_and_a_failed_one_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    tables.write(space(0, n_each=60), path)
    output = layout.request([path], Settings("tsne"), "test", tmp_path / "cache")
    layout.cancel(output)
    layout.cancel(output)
    assert layout.state(output) == layout.LayoutState(is_running=False)
    failing = layout.request([path], Settings("tsne"), "validation", tmp_path / "cache")
    until(lambda: not layout.state(failing).is_running, seen=lambda: layout.state(failing))
    assert "at least 3 samples, got 0" in layout.state(failing).error


def test_layouts_that_an_earlier_version_kept_are_found(tmp_path: Path) -> None:
    tables.write(space(0), tmp_path / "a.parquet")
    content = json.loads(pq.read_schema(tmp_path / "a.parquet").metadata[b"duet"])["content_sha256"]
    named_by = json.dumps([4, [content], {"method": "tsne", "perplexity": 30.0, "seed": 0}, "test"], sort_keys=True)
    earlier = tmp_path / f"{hashlib.sha256(named_by.encode()).hexdigest()[:16]}.npz"
    layout.write(layout.lay_out([space(0)], Settings("pca")), earlier)
    assert layout.request([tmp_path / "a.parquet"], Settings("tsne"), "test", tmp_path) == earlier
    assert layout.state(earlier) == layout.LayoutState(is_running=False), "nothing was started"


def test_a_layout_without_a_line_of_progress_is_starting(tmp_path: Path) -> None:
    output = tmp_path / "a.npz"
    output.with_suffix("").mkdir()
    files.write_json(output.with_suffix("") / tasks.PROCESS, identity.of(os.getpid()))
    assert layout.state(output) == layout.LayoutState(True, "starting", 0.0)


def test_the_share_that_is_done_is_read_from_what_the_methods_print() -> None:
    printed = "[t-SNE] Computed\n[t-SNE] Iteration 50: error = 1\n[t-SNE] Iteration 250: error = 1"
    assert projection._share_printed("tsne", printed, has_start=False) == 0.25
    assert projection._share_printed("tsne", printed, has_start=True) == 0.5
    assert projection._share_printed("tsne", "", has_start=True) is None
    bars = "\rEpochs completed:  20%| ##  100/500 [00:01]\rEpochs completed:  40%| ####  200/500 [00:02]"
    assert projection._share_printed("umap", bars, has_start=False) == 0.4


def test_who_follows_a_layout_gets_the_same_points_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    shares: list[float] = []
    followed = projection.project(space(0).embedding, "tsne", progress=shares.append)
    assert capfd.readouterr() == ("", "")
    assert np.array_equal(followed, projection.project(space(0).embedding, "tsne"))
    assert shares == sorted(shares) and len(set(shares)) > 10, "it may end before its last iteration"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_who_follows_umap_gets_the_same_points() -> None:
    shares: list[float] = []
    followed = projection.project(space(0).embedding, "umap", progress=shares.append)
    assert np.array_equal(followed, projection.project(space(0).embedding, "umap"))
    assert shares == sorted(shares) and shares[-1] == 1
