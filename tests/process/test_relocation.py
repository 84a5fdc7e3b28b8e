"""Moved datasets: the new place is taken if every file is the one that was scanned, and named by whatever fails without it."""

import os
import threading
from pathlib import Path

import pytest
from PIL import Image

import main
from core import config as configuration
from core import files, identity
from core.data import sources
from core.errors import DataError
from core.experiments import planning, store
from core.experiments.handles import Experiment, Run
from core.jobs import control, relocation
from tests.conftest import TINY
from tests.images import noise


def experiment_on(images: Path, root: Path, source: str = "folder") -> Path:
    values = {**TINY, "name": "moved", "dataset": {"source": source, "root": str(images)}, "images_per_class": ["all"],
              "objectives": ["classification"], "seeds": [0], "budget": {"images": 60, "epochs": 1},
              "training": {"batch": {"classes": 2, "samples": 4}}}
    plan = planning.plan(configuration.parse(values))
    return store.create(plan.config, plan.manifest, root).folder


def test_the_new_place_is_written_down_wherever_it_is_read(image_folder: Path, tmp_path: Path) -> None:
    folder = experiment_on(image_folder, tmp_path / "checkpoints")
    new = image_folder.rename(tmp_path / "elsewhere")
    assert relocation.is_missing(Experiment(folder).config.dataset)
    with pytest.raises(DataError, match=r"main.py resume moved --set dataset.root=PLACE; otherwise put them back and resume"):
        relocation.open_images(Experiment(folder))
    calls = []
    relocation.move(Experiment(folder), new, lambda *call: calls.append(call))
    assert calls[-1] == (60, 60)
    assert Experiment(folder).config.dataset.root == str(new)
    assert {run.config.dataset.root for run in Experiment(folder).runs} == {str(new)}
    assert files.read_json(folder / "experiment.json")["moved"][0]["from"] == str(image_folder)
    assert relocation.open_images(Experiment(folder)).image(Experiment(folder).manifest().sample_id[0]).size == (40, 32)


def test_a_place_with_other_files_is_refused_and_says_which(image_folder: Path, tmp_path: Path) -> None:
    folder = experiment_on(image_folder, tmp_path / "checkpoints")
    new = image_folder.rename(tmp_path / "elsewhere")
    (new / "dark" / "dark_0_0.png").unlink()
    noise(1).save(new / "light" / "light_0_0.png")
    with pytest.raises(ValueError) as caught:
        relocation.move(Experiment(folder), new)
    assert ("must hold the 60 files of the experiment, got 1 missing (dark/dark_0_0.png) and 1 with other content "
            "(light/light_0_0.png) in") in str(caught.value)
    assert Experiment(folder).config.dataset.root == str(image_folder)
    with pytest.raises(FileNotFoundError, match=r"dataset.root must be a folder of class folders, found none at"):
        relocation.move(Experiment(folder), tmp_path / "nowhere")


def test_a_table_moves_with_its_images(image_folder: Path, tmp_path: Path) -> None:
    paths = sorted(path.relative_to(image_folder).as_posix() for path in image_folder.rglob("*.png"))
    table = image_folder / "images.csv"
    table.write_text("path,label\n" + "".join(f"{path},{path.partition('/')[0]}\n" for path in paths))
    folder = experiment_on(table, tmp_path / "checkpoints", "table")
    new = image_folder.rename(tmp_path / "elsewhere") / "images.csv"
    relocation.move(Experiment(folder), new)
    assert Experiment(folder).config.dataset.root == str(new)
    assert isinstance(relocation.open_images(Experiment(folder)), sources.Files)


def test_a_damaged_run_does_not_hold_the_others_back(image_folder: Path, tmp_path: Path) -> None:
    folder = experiment_on(image_folder, tmp_path / "checkpoints")
    untouched, damaged = Experiment(folder).runs
    (damaged.folder / "run.json").write_text("{")
    new = image_folder.rename(tmp_path / "elsewhere")
    relocation.move(Experiment(folder), new)
    assert {Experiment(folder).config.dataset.root, untouched.config.dataset.root} == {str(new)}
    damaged.restore()
    assert damaged.config.dataset.root == str(new)


def test_a_worker_that_begins_while_files_are_compared_keeps_the_old_place(image_folder: Path, tmp_path: Path) -> None:
    folder = experiment_on(image_folder, tmp_path / "checkpoints")
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    new = image_folder.rename(tmp_path / "elsewhere")

    def begin(done: int, total: int) -> None:
        if done == total:
            files.write_json(folder / "worker.json", identity.of(os.getpid()))

    with pytest.raises(ValueError, match="'moved' must have no worker before its images can be moved, got one; stop it first"):
        relocation.move(Experiment(folder), new, begin)
    assert {path: path.read_bytes() for path in before} == before


def test_no_worker_begins_while_the_new_place_is_written(image_folder: Path, tmp_path: Path) -> None:
    folder = experiment_on(image_folder, tmp_path / "checkpoints")
    claims = []
    with control.at_rest(Experiment(folder), "this"):
        thread = threading.Thread(target=lambda: claims.append(control.claim(Experiment(folder), "cpu")))
        thread.start()
        thread.join(0.3)
        assert claims == [] and not control.is_worker_alive(Experiment(folder))
    thread.join()
    assert claims == [True] and control.leave(Experiment(folder)) is False, "its runs are queued still"
    with pytest.raises(ValueError, match="stop it first"), control.at_rest(Experiment(folder), "this"):
        pass
    control.stop(Experiment(folder).runs)
    assert control.leave(Experiment(folder))


@pytest.mark.parametrize("overrides", [
    ["training.lr=1"], ["dataset.root=a", "seeds=[1]"], ["dataset.root="], ["dataset.root"]])
def test_a_run_that_goes_on_takes_no_other_setting(image_folder: Path, tmp_path: Path, capsys, overrides: list[str]) -> None:
    experiment_on(image_folder, tmp_path / "checkpoints")
    options = [word for override in overrides for word in ("--set", override)]
    assert main.main(["resume", "moved", "--checkpoints", str(tmp_path / "checkpoints"), *options]) == 2
    assert "resume --set must be dataset.root=PLACE alone" in capsys.readouterr().err


def test_an_experiment_stopped_and_moved_runs_to_its_end(image_folder: Path, tmp_path: Path, capsys) -> None:
    folder = experiment_on(image_folder, tmp_path / "checkpoints")
    roots = ["--checkpoints", str(tmp_path / "checkpoints"), "--data", str(tmp_path / "data"), "--device", "cpu"]
    control.stop(Experiment(folder).runs)
    new = image_folder.rename(tmp_path / "elsewhere")
    assert main.main(["resume", "moved", *roots]) == 1
    message = control.derived_status(Run(folder / "classification-all-seed0")).message
    assert "run python main.py resume moved --set dataset.root=PLACE" in message
    assert main.main(["resume", "moved", *roots, "--set", f"dataset.root={new}"]) == 0
    assert {control.derived_status(run).state for run in Experiment(folder).runs} == {"completed"}
    assert f"dataset.root is now {new}" in capsys.readouterr().err


def test_watch_and_data_ask_for_the_place_and_take_it(image_folder: Path, tmp_path: Path, screen, monkeypatch) -> None:
    folder = experiment_on(image_folder, tmp_path / "checkpoints")
    control.stop(Experiment(folder).runs)
    monkeypatch.setenv("DUET_CHECKPOINTS", str(folder.parent))
    new = image_folder.rename(tmp_path / "elsewhere")
    app = screen("watch", experiment="moved")
    assert "The images are no longer at" in app.warning[0].value
    app = screen("data", experiment="moved")
    app.text_input(key="moved-to-moved").set_value("~nouser/images")
    next(item for item in app.button if item.label == "Compare and take").click().run()
    assert not app.exception and app.error[0].value.startswith("the place must be a path on this machine, got \\~nouser")
    app.text_input(key="moved-to-moved").set_value(str(new))
    next(item for item in app.button if item.label == "Compare and take").click().run()
    assert not app.exception and not app.warning
    assert Experiment(folder).config.dataset.root == str(new)


def test_a_replaced_file_is_not_shown_as_the_sample(image_folder: Path, tmp_path: Path, screen, monkeypatch) -> None:
    folder = experiment_on(image_folder, tmp_path / "checkpoints")
    monkeypatch.setenv("DUET_CHECKPOINTS", str(folder.parent))
    for path in (image_folder / "dark").iterdir():
        Image.new("RGB", (40, 32), "red").save(path)
    app = screen("data", experiment="moved")
    said = [item.value for item in app.caption if "this file is no longer the sample" in item.value]
    assert len(said) == 8, "as many as are shown of that class"
