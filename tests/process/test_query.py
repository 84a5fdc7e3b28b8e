"""Images from outside: embedded as the dataset's were, by one process for all sessions, which may be killed at any time."""

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from core import files, identity
from core.analysis import projection
from core.analysis import table as tables
from core.data import sources
from core.experiments.handles import Run
from core.experiments.status import RunStatus
from core.inference import query
from core.jobs import tasks
from tests.waiting import until

NAMES = ("classification-15-seed0", "supcon-15-seed0")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to ask through; its process is ended afterwards."""
    folder = tmp_path_factory.mktemp("query")
    yield folder
    if (folder / "process.json").is_file():
        pid = files.read_json(folder / "process.json")["pid"]
        if psutil.pid_exists(pid):
            psutil.Process(pid).kill()


def png(sample_id: str) -> bytes:
    content = io.BytesIO()
    sources.Digits().image(sample_id).save(content, "PNG")
    return content.getvalue()


def test_a_datasets_own_image_gets_its_own_vector_in_both_spaces_again_and_again(finished: Path, cache: Path) -> None:
    runs = [finished / name for name in NAMES]
    spaces = [tables.read(run / "embeddings.parquet") for run in runs]
    rows = [3, 700]
    images = [png(spaces[0].sample_id[row]) for row in rows]
    for _ in range(2):  # by a process that begins, and by one that is warm
        for vectors, space in zip(query.embed([Run(run) for run in runs], images, cache), spaces):
            np.testing.assert_allclose(vectors, space.embedding[rows], atol=1e-4)


def test_a_broken_image_is_one_line_and_the_process_goes_on(finished: Path, cache: Path) -> None:
    run = [finished / NAMES[0]]
    with pytest.raises(ValueError, match=r"^not an image file that can be read$"):
        query.embed([Run(run) for run in run], [b"no image"], cache)
    with pytest.raises(ValueError, match="must be trained first"):
        (untrained := cache / "never").mkdir(exist_ok=True)
        files.write_json(untrained / "run.json", files.read_json(run[0] / "run.json"))
        Run(untrained).write_status(RunStatus("queued"))
        query.embed([Run(untrained)], [png("0/0000")], cache)
    pid = files.read_json(cache / "process.json")["pid"]
    assert len(query.embed([Run(run) for run in run], [png("0/0000")], cache)[0]) == 1
    assert files.read_json(cache / "process.json")["pid"] == pid


def test_a_killed_process_is_started_again_and_answers_what_was_asked(finished: Path, cache: Path) -> None:
    run = [finished / NAMES[0]]
    before = query.embed([Run(run) for run in run], [png("0/0000")], cache)
    pid = files.read_json(cache / "process.json")["pid"]
    psutil.Process(pid).kill()
    np.testing.assert_array_equal(query.embed([Run(run) for run in run], [png("0/0000")], cache)[0], before[0])
    assert files.read_json(cache / "process.json")["pid"] != pid


def test_sessions_that_ask_at_once_get_their_own_answers_from_one_process(finished: Path, cache: Path) -> None:
    run = finished / NAMES[1]
    space = tables.read(run / "embeddings.parquet")
    answers: dict[int, np.ndarray] = {}

    def ask(row: int) -> None:
        answers[row] = query.embed([Run(run)], [png(space.sample_id[row])], cache)[0][0]

    threads = [threading.Thread(target=ask, args=(row,)) for row in range(0, 1000, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 10
    for row, vector in answers.items():
        np.testing.assert_allclose(vector, space.embedding[row], atol=1e-4)
    mine = [process for process in psutil.process_iter(["cmdline"]) if str(cache) in (process.info["cmdline"] or [])]
    assert len(mine) == 1
    assert not list((cache / "questions").iterdir()) and not list((cache / "answers").iterdir()), "nothing is left behind"


def test_it_ends_when_its_server_is_gone_and_when_nobody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("questions", "answers"):
        (tmp_path / name).mkdir()
    gone = {**identity.of(os.getpid()), "pid_started": "another boot/1"}  # another process had this pid
    tasks.start(tmp_path, "core.inference.query", {"cache": str(tmp_path)}, owner=gone)
    until(lambda: not tasks.is_running(tmp_path), seen=lambda: tasks.state(tmp_path))
    monkeypatch.setattr(query, "IDLE", 0.2)
    query.serve(tmp_path)  # returns


def test_a_process_that_ends_at_each_try_is_said_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "PROJECT", tmp_path)  # where there is no such module
    with pytest.raises(RuntimeError, match=r"^the encoders' process ended 3 times: .*ModuleNotFoundError"):
        query.embed([], [], tmp_path / "cache")


def test_a_sample_lands_where_it_was_laid_out(finished: Path) -> None:
    space = tables.read(finished / NAMES[1] / "embeddings.parquet").of_split("test")
    layout = projection.project(space.embedding, "pca") @ np.float32([[0, 1], [-1, 0]]) + 3  # turned and shifted
    landed = projection.land(space.embedding[5:9], space.embedding, layout, "pca")
    np.testing.assert_allclose(landed, layout[5:9], atol=1e-4)
    places = np.random.default_rng(0).normal(size=(len(space), 2)).astype(np.float32)
    assert projection.land(space.embedding[5:9], space.embedding, places, "tsne", k=1) == pytest.approx(places[5:9])
