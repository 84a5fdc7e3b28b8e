"""The encoder before training is a candidate for the best checkpoint: a run that only harms it exports it unchanged, and every
screen says so."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from core import files
from core.analysis import table as tables
from core.cli import follow
from core.experiments import best
from core.experiments.handles import Experiment, Run
from core.inference import embedding
from core.report import gathering
from core.training import checkpoint, encoder, objectives
from tests.conftest import TINY, run_in_process, tiny

NAME = "supcon-15-seed0"
SAID = "gave no epoch better on validation than the encoder before it"


@pytest.fixture(scope="module")
def helped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment of one seed that trains in earnest, from random weights. Read only."""
    config = tiny(name="helped", seeds=[0], images_per_class=["all"], budget={"images": 2000, "epochs": 2})
    return run_in_process(config, tmp_path_factory.mktemp("helped"))


@pytest.fixture(scope="module")
def harmed(helped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment that begins with the other's encoder, at an absurd learning rate. Read only."""
    weights = helped / "supcon-all-seed0" / "best.safetensors"
    config = tiny(name="harmed", seeds=[0], objectives=["classification", {"name": "supcon", "projection": 16}],
                  encoder={**TINY["encoder"], "weights": str(weights)},
                  training={**TINY["training"], "lr": 1, "min_lr": 1, "warmup": 0, "norm": "trained"})
    return run_in_process(config, tmp_path_factory.mktemp("harmed"))


def test_training_moves_both_far_enough_that_no_processor_turns_it_round(helped: Path, harmed: Path) -> None:
    for folder, is_better in ((helped, True), (harmed, False)):
        for run in (run for run in Experiment(folder).runs if not run.name.startswith("untrained")):
            before, *after = [record["validation_map_at_r"] for record in run.records]
            assert max(after) - before > 0.05 if is_better else before - max(after) > 0.05, (run, before, after)


def test_a_run_that_only_harms_exports_the_very_weights_it_began_with(harmed: Path) -> None:
    first = encoder.build(Experiment(harmed).config.encoder, 0)[0].state_dict()
    records = Run(harmed / NAME).records
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert all(record["validation_map_at_r"] < records[0]["validation_map_at_r"] for record in records[1:])
    exported, values = checkpoint.load(harmed / NAME / "best.safetensors")
    assert values["epoch"] == 0 and values["validation_map_at_r"] == records[0]["validation_map_at_r"]
    assert exported.keys() == first.keys()
    assert all(torch.equal(value, first[key]) for key, value in exported.items())
    last = checkpoint.load(harmed / NAME / "last.safetensors")[0]
    assert not torch.equal(last["encoder.conv1.0.weight"], first["conv1.0.weight"]), "it was trained"
    loaded = embedding.load_encoder(Run(harmed / NAME))[0].state_dict()
    assert all(torch.equal(loaded[key], first[key]) for key in first)


def test_its_space_is_the_untrained_one_and_its_head_is_of_the_same_epoch(helped: Path, harmed: Path) -> None:
    spaces = [tables.read(folder / f"{name}-seed0" / "embeddings.parquet").embedding for folder, name in (
        (harmed, "untrained-15"), (harmed, "supcon-15"), (helped, "untrained-all"), (helped, "supcon-all"))]
    assert np.array_equal(spaces[0], spaces[1]) and not np.array_equal(spaces[2], spaces[3])
    head, values = checkpoint.load(harmed / NAME / "head.safetensors")
    run = Run(harmed / NAME).config
    fresh = objectives.build(run.objective, spaces[0].shape[1], 10, run.images_per_step, run.seed).state_dict()
    assert values["epoch"] == 0
    assert all(torch.equal(value, fresh[key]) for key, value in head.items())


def test_the_verdict_says_so_of_each_arm(helped: Path, harmed: Path) -> None:
    rows = files.read_json(harmed / "verdict.json")["rows"]
    assert [row["unchanged"] for row in rows] == ["", *(
        f"Training by {title} {SAID}, so that run exports that encoder unchanged" for title in ("classification", "SupCon"))]
    assert [row["against_untrained"]["difference"] for row in rows[1:]] == [0, 0]
    rows = files.read_json(helped / "verdict.json")["rows"]
    assert [row["unchanged"] for row in rows] == ["", "", ""]
    assert min(row["against_untrained"]["difference"] for row in rows[1:]) > 0


def test_the_command_line_and_the_report_say_so(helped: Path, harmed: Path, tmp_path: Path,
                                                capsys: pytest.CaptureFixture) -> None:
    from argparse import Namespace

    for folder, times in ((helped, 0), (harmed, 2)):
        follow.conclude(Experiment(folder), Namespace(json=False))
        assert capsys.readouterr().out.count(SAID) == times
        gathering.write(Experiment(folder), tmp_path / "report.html")
        assert (tmp_path / "report.html").read_text(encoding="utf-8").count(SAID) == times
    assert "best: epoch 0, the encoder before training" in follow.last_score(Run(harmed / NAME))
    assert "best: epoch 0" not in follow.last_score(Run(helped / "supcon-all-seed0"))


def test_watch_compare_and_export_say_so(helped: Path, harmed: Path, screen: Callable[..., AppTest],
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    def of(folder: Path, **address: str) -> dict[str, str]:
        monkeypatch.setenv("DUET_CHECKPOINTS", str(folder.parent))
        return {page: words(screen(page, experiment=folder.name, **(address if page == "export" else {})))
                for page in ("watch", "compare", "export")}

    def words(app: AppTest) -> str:
        return " ".join(str(item.value) for kind in ("markdown", "caption") for item in app.get(kind))

    said = {"watch": "no epoch was better on validation, so this run exports it unchanged", "compare": SAID,
            "export": "these are the weights before training"}
    found = of(harmed, run=NAME)
    assert found["watch"].count(said["watch"]) == 2
    assert all(said[page] in text for page, text in found.items())
    assert not any(said[page] in text for page, text in of(helped, run="supcon-all-seed0").items())


def test_the_first_of_equal_epochs_stays_and_a_better_one_is_taken(helped: Path, tmp_path: Path) -> None:
    """A learning rate too small to change a bit leaves every epoch equal; the usual one trains."""
    equal = run_in_process(tiny(name="equal", seeds=[0], objectives=["supcon"], training={
        **TINY["training"], "lr": 1e-30, "weight_decay": 0, "norm": "frozen"}), tmp_path)
    for run, is_first in ((equal / NAME, True), (helped / "supcon-all-seed0", False)):
        scores = [record["validation_map_at_r"] for record in Run(run).records]
        assert best.epoch(Run(run)) == int(np.argmax(scores))
        assert (len(set(scores)) == 1) == is_first and (best.epoch(Run(run)) == 0) == is_first


def test_several_seeds_are_named(tmp_path: Path) -> None:
    config = tiny(seeds=[0, 1, 2])
    runs = [run for run in config.runs() if run.objective.name == "supcon"]
    for run, epoch in zip(runs, (0, 2, 0)):
        (tmp_path / run.name).mkdir()
        (tmp_path / run.name / "best.json").write_text(json.dumps({"epoch": epoch}))
    assert best.unchanged(Experiment(tmp_path), runs) == (
        f"Training by SupCon {SAID} in seeds 0, 2, so those runs export that encoder unchanged")
    assert best.unchanged(Experiment(tmp_path), runs[:1]) == (
        f"Training by SupCon {SAID}, so that run exports that encoder unchanged")
    assert best.unchanged(Experiment(tmp_path), runs[1:2]) == ""
    (tmp_path / runs[0].name / "best.json").write_text("{")
    assert best.epoch(Run(tmp_path / runs[0].name)) is None and best.words(Run(tmp_path / runs[0].name)) == ""
