"""What was made of a file is remembered while the file stays as it is, and no longer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus
from core.unchanged import Unchanged
from tests import PROJECT

POLL = """
import json, os, sys, time
from pathlib import Path
from core.experiments.handles import Run

run, opened = Run(Path(sys.argv[1])), []
sys.addaudithook(lambda event, values: opened.append(str(values[0])) if event == "open" else None)

def look():
    before = len(opened)
    found = run.status.state, len(run.records), len(run.alarms), run.bad_lines
    return [Path(path).name for path in opened[before:]], found

def settle(name):
    os.utime(run.folder / name, (1e9, 1e9 + len(opened)))

for name in ("state.json", "records.jsonl", "alarms.jsonl"):
    settle(name)
looks = [look(), look(), look()]
run.append_record({"epoch": 1})
settle("records.jsonl")
looks += [look(), look()]
print(json.dumps(looks))
"""


PROGRESS = """
import json, os, sys
from pathlib import Path
from core import files, identity
from core.experiments import best
from core.experiments.handles import Experiment
from core.experiments.status import RunStatus
from core.jobs import control

experiment, opened = Experiment(Path(sys.argv[1])), []
experiment.runs[1].write_status(RunStatus("running"))
files.write_json(experiment.worker_file, identity.of(os.getpid()))
for path in experiment.folder.rglob("*.json*"):
    os.utime(path, (1e9, 1e9))
sys.addaudithook(lambda event, values: opened.append(str(values[0])) if event == "open" else None)

def look():
    before = len(opened)
    state = control.progress(experiment).state
    words = [best.words(run) for run in experiment.runs]
    return sorted({Path(path).name for path in opened[before:] if path.startswith(str(experiment.folder))}), state, words

print(json.dumps([look(), look(), look()]))
"""


def settle(path: Path, seconds: float = 1e9) -> None:
    """Makes a file one that was written long ago."""
    os.utime(path, (seconds, seconds))


def test_polling_opens_a_file_only_when_it_has_changed(tmp_path: Path) -> None:
    run = Run(tmp_path / "supcon")
    run.folder.mkdir()
    run.write_status(RunStatus("running"))
    run.append_record({"epoch": 0})
    run.append_alarm({"kind": "collapse", "step": 3, "message": "all embeddings are alike"})
    done = subprocess.run([sys.executable, "-c", POLL, str(run.folder)], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second, third, after, last = json.loads(done.stdout)
    assert first == [["state.json", "records.jsonl", "alarms.jsonl"], ["running", 1, 1, {}]]
    assert second == third == [[], ["running", 1, 1, {}]]
    assert after == [["records.jsonl"], ["running", 2, 1, {}]]
    assert last == [[], ["running", 2, 1, {}]]


def test_the_progress_of_an_experiment_that_has_not_moved_opens_no_file(experiment: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRESS, str(experiment)], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second, third = json.loads(done.stdout)
    assert first[:2] == [["best.json", "experiment.json", "records.jsonl", "state.json", "worker.json"], "running"]
    assert any("best: epoch" in words for words in first[2])
    assert second == third == [[], *first[1:]]


def test_a_file_that_has_just_changed_is_read_each_time(tmp_path: Path) -> None:
    path, remembered = tmp_path / "file", Unchanged[str](2)
    for text in ("one", "two", "six"):  # as long as each other, within one tick of a coarse clock
        path.write_text(text)
        assert remembered.read(path, Path.read_text) == text


def test_what_raised_is_read_again_and_what_is_gone_is_not_remembered(tmp_path: Path) -> None:
    path, remembered = tmp_path / "file", Unchanged[str](2)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            remembered.read(path, Path.read_text)
    path.write_text("one")
    settle(path)
    assert remembered.read(path, Path.read_text) == "one"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        remembered.read(path, Path.read_text)


def test_no_more_than_the_most_is_remembered(tmp_path: Path) -> None:
    remembered = Unchanged[str](2)
    for name in "abc":
        (tmp_path / name).write_text(name)
        settle(tmp_path / name)
        remembered.read(tmp_path / name, Path.read_text)
    assert [name for name in "abc" if remembered.recall(str(tmp_path / name))] == ["b", "c"]


def test_a_caller_may_change_the_list_of_records_that_it_got(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.append_record({"epoch": 0})
    settle(run.records_file)
    run.records.clear()
    assert run.records == [{"epoch": 0}]


def test_a_config_follows_its_file(experiment: Path) -> None:
    handle = Experiment(experiment)
    settle(handle.description_file)
    before = handle.config
    assert handle.config is before and Experiment(experiment).config is before
    handle.description_file.write_text(handle.description_file.read_text().replace('"name": "tiny"', '"name": "other"'))
    assert handle.config.name == "other"
    handle.description_file.write_text("{")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"experiment\.json must be JSON"):
            _ = handle.config
