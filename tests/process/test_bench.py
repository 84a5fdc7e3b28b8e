"""The benchmark through its own process: what it prints, not how fast anything is."""

import json
import math
import os
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from core import config as configuration
from core.benchmark import bench, plain_pytorch, workloads
from core.benchmark.workloads import Subject
from core.jobs import tasks
from tests.conftest import TINY
from tests.process.test_cli import DEMO, duet, refused
from tests.waiting import until


def test_a_ratio_is_taken_within_a_round() -> None:
    found = bench.ratios({"train": [10, 30, 40], "train_bound": [20, 40, 50], "plain": [5, 10, 10]}, "cpu")
    assert found == {
        "train": {"of": "train", "to": "train_bound", "median": 0.75, "low": 0.5, "high": 0.8, "goal": 0.95},
        "plain": {"of": "train", "to": "plain", "median": 3.0, "low": 2.0, "high": 4.0, "goal": 3.5},
    }
    assert bench.ratios({"embed": [1.0], "embed_bound": [2.0]}, "cuda")["embed"]["median"] == 0.5


def test_who_begins_changes_from_turn_to_turn_and_all_turns_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now, seen = [0.0], []
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])

    def subject(name: str, pace: list[float]) -> Subject:
        def steps(n: int) -> None:
            seen.append((name, n))
            now[0] += n * pace.pop(0)

        return Subject(10, lambda: nullcontext(steps), lead_in=1)

    subjects = {"a": subject("a", [9, 1, 2, 3]), "b": subject("b", [9, 4, 4, 4])}
    assert bench._speeds(subjects, {"a": 2, "b": 3}, 3, torch.device("cpu")) == {"a": 60 / 12, "b": 90 / 36}
    assert seen == [("a", 1), ("b", 1), ("a", 2), ("b", 3), ("b", 3), ("a", 2), ("a", 2), ("b", 3)]


def test_a_turn_is_one_step_at_least_and_a_round_two_turns() -> None:
    subjects = {"fast": Subject(10, nullcontext), "slow": Subject(10, nullcontext)}
    assert bench._turns({"fast": 1000, "slow": 20}, subjects, torch.device("cpu"), 6) == ({"fast": 30, "slow": 1}, 12)
    assert bench._turns({"fast": 1000, "slow": 1}, subjects, torch.device("cpu"), 6) == ({"fast": 30, "slow": 1}, 2)
    assert bench._turns({"fast": 1000, "slow": 20}, subjects, torch.device("cuda"), 6) == ({"fast": 150, "slow": 3}, 4)
    assert bench._turns({"fast": 1000}, {"fast": subjects["fast"]}, torch.device("cpu"), 0.2) == ({"fast": 10}, 2)


def test_the_plain_pipeline_is_a_process_of_its_own_that_rests_between_its_turns(
        image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TOP_PAD_", "268435456")
    config = configuration.parse({**TINY, "dataset": {"source": "folder", "root": str(image_folder)},
                                  "training": {"batch": {"classes": 2, "samples": 4}}, "images_per_class": ["all"]})
    case = workloads.prepare(config, tmp_path, torch.device("cpu"))
    with plain_pytorch.process(case) as plain:
        assert bench._speeds({"plain": plain}, {"plain": 2}, 2, case.device)["plain"] > 0
        [child] = [child for child in psutil.Process().children() if plain_pytorch.__name__ in child.cmdline()]
        assert not tasks.ENVIRONMENT.keys() & child.environ().keys()
        until(lambda: not child.children())
        with plain.ready() as steps:
            steps(1)
            assert len(child.children()) == os.cpu_count(), "the files are opened by as many processes"
        child.kill()
        with pytest.raises(ChildProcessError, match="has ended"):
            steps(1)
    assert not child.is_running()


def test_a_folder_is_timed_against_both_and_traced(image_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "folder.yaml"
    config.write_text(yaml.safe_dump({**TINY, "dataset": {"source": "folder", "root": str(image_folder)},
                                      "training": {"batch": {"classes": 2, "samples": 4}}, "images_per_class": ["all"],
                                      "objectives": ["supcon"]}))
    trace = tmp_path / "trace.json"
    told = duet("bench", "--config", config, "--device", "cpu", "--rounds", 1, "--seconds", 0.2, "--json", "--trace", trace,
                root=tmp_path)
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found.keys() == {"machine", "case", "rounds", "images_per_second", "ratios", "left_out", "trace"}
    assert found["images_per_second"].keys() == {"train", "train_bound", "plain", "embed", "embed_bound"}
    assert found["left_out"] == {} and found["rounds"] == 1
    assert found["machine"]["kind"] == "cpu" and found["machine"]["torch"] == torch.__version__
    assert (found["case"]["encoder"], found["case"]["objective"], found["case"]["batch"]) == ("test_resnet", "supcon", 8)
    assert found["ratios"].keys() == {"train", "plain", "embed"}
    for ratio in found["ratios"].values():
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"] < math.inf
    assert all(0 < speed < math.inf for speed in found["images_per_second"].values())

    events = json.loads(trace.read_text())["traceEvents"]
    assert "aten::convolution" in {event.get("name") for event in events}
    operators = found["trace"]["operators"]
    assert len(operators) == 10
    assert [item["ms"] for item in operators] == sorted((item["ms"] for item in operators), reverse=True)
    assert not (tmp_path / "checkpoints").exists(), "nothing is left but what was read of the images"


def test_digits_are_timed_without_files_and_shown_as_a_table(tmp_path: Path) -> None:
    told = duet("bench", "--device", "cpu", "--rounds", 1, "--seconds", 0.2, "--set", "training.views=2", root=tmp_path)
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[2:6]] == [
        "training, end to end", "training, compute only", "embedding, end to end", "embedding, forward only"]
    assert "left out: training, plain PyTorch (the digits are no files that could be opened)" in lines
    assert "test_byobnet at 32 px, classification, batch 100, float32; 1,797 images" in told.stdout


@pytest.mark.parametrize(("arguments", "message"), [
    (("--rounds", 0), "--rounds must be at least 1, got 0"),
    (("--rounds", "many"), "invalid int value: 'many'"),
    (("--seconds", 0), "--seconds must be above 0 and at most 3600, got 0"),
    (("--seconds", "nan"), "--seconds must be above 0 and at most 3600, got nan"),
    (("--trace", "trace.txt"), "--trace must end in .json, got trace.txt"),
    (("--trace", "none/trace.json"), "--trace must lie in a folder that exists"),
    (("--config", "none.yaml"), "config must be an experiment file, found none at none.yaml"),
    (("--device", "tpu"), "device must be"),
    (("--set", "encoder.name=test_resnot"), "must be one of timm's encoders"),
    (("--set", "encoder.weights=none.safetensors"), "found none at"),
    (("--set", "training.batch={classes: 50, samples: 2}"), "training.batch"),
])
def test_nonsense_is_refused_in_one_line(arguments: tuple, message: str, tmp_path: Path) -> None:
    assert message in refused(duet("bench", *arguments, root=tmp_path), tmp_path)


def test_the_file_given_before_the_command_counts_too(tmp_path: Path) -> None:
    assert "nowhere.yaml" in refused(duet("--config", "nowhere.yaml", "bench", root=tmp_path), tmp_path)
    assert "unknown key 'nonsense'" in refused(duet("--config", DEMO, "--set", "nonsense=1", "bench", root=tmp_path), tmp_path)
