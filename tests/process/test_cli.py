"""The command line as a person types it: output, exit codes, one line for every bad input and nothing left behind."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file

import main
from core.analysis.metrics import SHORT
from core.cli import output
from core.config import experiment_file
from core.experiments.handles import Experiment
from tests import PROJECT
from tests.conftest import TINY
from tests.waiting import DEADLINE

DEMO = PROJECT / "configs" / "demo.yaml"


def duet(*arguments: object, root: Path, timeout: float = DEADLINE) -> subprocess.CompletedProcess:
    """Runs main.py with its roots inside a folder."""
    return subprocess.run([sys.executable, "main.py", *map(str, arguments), "--checkpoints", str(root / "checkpoints"),
                           "--data", str(root / "data")], cwd=PROJECT, capture_output=True, text=True, timeout=timeout)


def command(*arguments: object, root: Path) -> subprocess.CompletedProcess:
    """What `duet` does, in this process: most of a command's time is Python's own start."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main.main([*map(str, arguments), "--checkpoints", str(root / "checkpoints"), "--data", str(root / "data")])
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def refused(result: subprocess.CompletedProcess, root: Path) -> str:
    """The one line of a refusal; asserts exit code 2, silence on standard output and nothing left behind."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stdout == ""
    assert not (root / "checkpoints").exists()
    assert not (root / "data").exists() or [path.name for path in (root / "data").iterdir()] == [".scans"], (
        "what was read of the images may be remembered, nothing else")
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_run_prints_a_table_and_a_sentence_and_json_says_the_same(tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY))
    told = duet("--config", config, "--device", "cpu", root=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "supcon-15-seed1 completed, validation MAP@R" in told.stderr
    as_json = duet("--config", config, "--device", "cpu", "--json", root=tmp_path)
    assert as_json.returncode == 0, as_json.stderr
    found = json.loads(as_json.stdout)
    assert found["experiment"] == "tiny-2", "the same file may be run again"
    assert set(found["states"].values()) == {"completed"}
    assert found["sentence"] in told.stdout
    for row in found["rows"]:
        cells = next(line for line in told.stdout.splitlines() if line.startswith(row["objective"])).split()
        means = [f"{100 * row['metrics'][name]['mean']:.1f}" for name in SHORT]
        assert [cells[place] for place in range(2, len(cells), 3)] == means

    for row in found["rows"]:
        assert row["not_improved"] in told.stdout, "training that did not help is said"
    listed = json.loads(duet("list", "--json", root=tmp_path).stdout)["experiments"]
    assert {item["experiment"]: item["state"] for item in listed} == {"tiny": "completed", "tiny-2": "completed"}


@pytest.mark.parametrize(("overrides", "message"), [
    (["training.lrr=1"], "unknown key 'training.lrr'; allowed here: batch, views, micro_batch, optimizer, lr"),
    (["objectives=[nope]"], "circle, cross_batch_memory, got 'nope'"),
    (["encoder.name=convnext_tny"], "must be one of timm's encoders (close: convnext_tiny"),
    (["training.lr=-1"], "training.lr must be greater than 0, got -1"),
    (["images_per_class=[1000]"], "images_per_class must be at most the smallest class's training images, 122"),
    (["training.batch.samples=40", "images_per_class=[15]"], "10 × 15 fits"),
    (["name=../evil"], "got '../evil'"),
    (["training=3"], "training must be a group of settings, got 3"),
    (["nothing"], "--set must be key.sub=value, got 'nothing'"),
])
def test_bad_settings_are_refused(overrides: list[str], message: str, tmp_path: Path) -> None:
    arguments = [part for override in overrides for part in ("--set", override)]
    assert message in refused(command("--config", DEMO, *arguments, root=tmp_path), tmp_path)


def test_the_environment_moves_the_roots_as_it_moves_the_apps(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, "main.py", "list"], cwd=PROJECT, capture_output=True, text=True, timeout=DEADLINE,
                          env={**os.environ, "DUET_CHECKPOINTS": str(tmp_path / "elsewhere")})
    assert f"no experiments in {tmp_path / 'elsewhere'}" in told.stdout + told.stderr


def test_bad_files_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1\nb: {")
    assert "must be YAML" in refused(command("--config", broken, root=tmp_path), tmp_path)
    broken.write_text("- 1")
    assert "must hold a mapping" in refused(command("--config", broken, root=tmp_path), tmp_path)
    assert "found none at" in refused(command("--config", tmp_path / "none.yaml", root=tmp_path), tmp_path)


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".x"])
def test_bad_names_are_refused(name: str, tmp_path: Path) -> None:
    assert "a name must be" in refused(command("--config", DEMO, "--name", name, root=tmp_path), tmp_path)
    assert not (tmp_path.parent / "evil").exists()


def make_folder(root: Path, **counts: int) -> Path:
    """Class folders of small noisy images."""
    root.mkdir()
    generator = np.random.default_rng(0)
    for label, count in counts.items():
        (root / label).mkdir()
        for number in range(count):
            Image.fromarray(generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(root / label / f"{number}.png")
    return root


@pytest.mark.parametrize(("counts", "message"), [
    ({}, "found no images in"),
    ({"a": 9}, "at least two class folders with images, found a"),
    ({"a": 9, "b": 1}, "class 'b' must have at least 3 groups to stand in train, validation and test, got 1 image in 1 group"),
])
def test_folders_that_cannot_work_are_refused(counts: dict[str, int], message: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", **counts)
    example = PROJECT / "configs" / "folder_example.yaml"
    result = command("--config", example, "--set", f"dataset.root={folder}", root=tmp_path)
    assert message in refused(result, tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    result = command("--config", PROJECT / "configs" / "folder_example.yaml", "--set", f"dataset.root={tmp_path / 'none'}",
                  root=tmp_path)
    assert "must be a folder of class folders, found none at" in refused(result, tmp_path)


@pytest.mark.parametrize("key", ["dataset={{source: folder, root: {}}}", "encoder.weights={}"])
@pytest.mark.parametrize("text, why", [("~nouser/x", "Could not determine home directory"), ('"a\\0b"', "embedded null byte"),
                                       ("a" * 5000, "File name too long")])
def test_what_can_be_no_path_is_refused(key: str, text: str, why: str, tmp_path: Path) -> None:
    name = "dataset.root" if "root" in key else "encoder.weights"
    line = refused(command("--config", DEMO, "--set", key.format(text), root=tmp_path), tmp_path)
    assert line.startswith(f"error: {name} must be a path on this machine, got ") and line.endswith(f" ({why})")
    assert len(line) < 200


def test_weights_of_another_encoder_are_refused(finished: Path, tmp_path: Path) -> None:
    weights = finished / "supcon-15-seed0" / "best.safetensors"
    result = command("--config", DEMO, "--set", "encoder.name=test_vit", "--set", f"encoder.weights={weights}", root=tmp_path)
    assert "encoder.weights must fit test_vit" in refused(result, tmp_path)


def test_commands_refuse_what_is_not_there(tmp_path: Path) -> None:
    assert "no run 'no/such'" in refused(command("stop", "no/such", root=tmp_path), tmp_path)
    assert "got '..'" in refused(command("resume", "../x", root=tmp_path), tmp_path)
    assert "invalid choice: 'frobnicate'" in refused(command("frobnicate", root=tmp_path), tmp_path)
    assert "nothing to do" in refused(command(root=tmp_path), tmp_path)
    assert "device must be" in refused(command("--config", DEMO, "--device", "tpu", root=tmp_path), tmp_path)


@pytest.fixture
def root(finished: Path) -> Path:
    """Root whose checkpoints hold the finished experiment; read only."""
    return finished.parents[1]


def test_export_writes_the_same_table_and_refuses_odd_endings(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "space.parquet"
    assert command("export", "tiny/supcon-15-seed0", "--output", output, root=root).returncode == 0
    frame = pd.read_parquet(output)
    assert len(frame) == 1797
    assert np.stack(frame["embedding"]).shape == (1797, 96)
    result = command("export", "tiny/supcon-15-seed0", "--output", tmp_path / "space.txt", root=root)
    assert result.returncode == 2 and "must end in .parquet or .html" in result.stderr
    weights = tmp_path / "weights.safetensors"
    assert command("export", "tiny/supcon-15-seed0", "--output", weights, root=root).returncode == 0
    assert load_file(weights).keys() == load_file(root / "checkpoints/tiny/supcon-15-seed0/best.safetensors").keys()
    page = tmp_path / "space.html"
    assert command("export", "tiny/supcon-15-seed0", "--output", page, root=root).returncode == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_compare_runs_arms_and_files(root: Path, tmp_path: Path) -> None:
    runs = json.loads(command("compare", "tiny/classification-15-seed0", "tiny/supcon-15-seed0", "--json", root=root).stdout)
    tables = [root / "checkpoints" / "tiny" / f"{name}-15-seed0" / "embeddings.parquet" for name in
              ("classification", "supcon")]
    files = json.loads(command("compare", *tables, "--json", root=root).stdout)
    assert files["differences"] == runs["differences"]
    arms = json.loads(command("compare", "tiny/classification-15", "tiny/supcon-15", "--json", root=root).stdout)
    assert [item["n_seeds"] for item in (runs["differences"][0], arms["differences"][0])] == [1, 2]
    page = tmp_path / "report.html"
    told = command("compare", "tiny/classification-15", "tiny/supcon-15", "--output", page, root=root)
    assert told.returncode == 0, told.stderr
    assert arms["sentence"] in told.stdout and arms["sentence"] in page.read_text(encoding="utf-8")
    mixed = command("compare", "tiny/classification-15", "tiny/supcon-15-seed0", root=root)
    assert mixed.returncode == 2 and "as many seeds as each other" in mixed.stderr


def test_embed_takes_any_folder_and_names_what_it_left_out(root: Path, image_folder: Path, tmp_path: Path) -> None:
    (image_folder / "dark" / "page.jpg").write_text("<html>")
    output = tmp_path / "folder.parquet"
    result = command("embed", "tiny/supcon-15-seed0", image_folder, "--output", output, root=root)
    assert result.returncode == 0, result.stderr
    assert "left out dark/page.jpg: not an image file" in result.stderr
    frame = pd.read_parquet(output)
    assert len(frame) == 60 and set(frame["label"]) == {"dark", "light"}
    vectors = np.stack(frame["embedding"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_stop_and_resume_say_what_they_cannot_do(root: Path) -> None:
    for name in ("stop", "resume"):
        result = command(name, "tiny", root=root)
        assert result.returncode == 2 and len(result.stderr.strip().splitlines()) == 1


def test_the_shipped_configs_are_valid() -> None:
    demo = experiment_file.load(DEMO)
    assert (demo.arms, demo.images_per_class, demo.seeds) == (("classification", "supcon"), (15, "all"), (0, 1, 2, 3))
    example = experiment_file.load(PROJECT / "configs" / "folder_example.yaml")
    assert example.arms == ("classification", "triplet", "supcon")


@pytest.mark.parametrize("name, message", [
    ("pet_convnext_classi_config", "download images.tar.gz and annotations.tar.gz (800 MB) from https://www.robots.ox.ac.uk/"),
    ("ld_micro_convnext_contra_config", "download defungi.zip from https://archive.ics.uci.edu/dataset/773/defungi"),
    ("study", "download images.tar.gz and annotations.tar.gz"),
])
def test_the_studys_commands_say_what_data_to_fetch(name: str, message: str, tmp_path: Path) -> None:
    if (PROJECT / "data" / "defungi").exists() or (PROJECT / "data" / "oxford-iiit-pet").exists():
        pytest.skip("the study's data lie in the project")
    assert message in refused(command("--config", f"configs/{name}.yaml", "--device", "cpu", root=tmp_path), tmp_path)


def test_a_configuration_of_the_study_trains_on_data_at_hand(tmp_path: Path) -> None:
    """Crops named as DeFungi names them, the study's triplets, its schedule; a small encoder, fewer images."""
    folder = tmp_path / "fungi"
    for label, level in (("H1", 60), ("H3", 180)):
        (folder / label).mkdir(parents=True)
        for number in range(60):
            levels = np.random.default_rng([level, number]).normal(level, 20, (40, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(levels).save(folder / label / f"{label}_{number // 2}a_{number % 2}.png")
    told = duet("--config", "configs/ld_micro_convnext_contra_config.yaml", "--device", "cpu",
                "--set", f"dataset.root={folder}", "--set", "encoder.name=test_resnet",
                "--set", "encoder.weights=random", "--set", "encoder.image_size=32",
                "--set", "budget.images=1920", "--set", "budget.epochs=2", "--set", "evaluation.bootstrap=100", root=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "triplet" in told.stdout
    assert "No group and no copy that was found is on two sides of the split." in told.stderr
    manifest = Experiment(tmp_path / "checkpoints" / "ld-micro-convnext-contra").manifest()
    assert len(set(manifest.group.tolist())) == 60, "the photograph is the name up to its last underscore"


def test_copies_and_conflicts_are_told_on_the_command_line(image_folder: Path, tmp_path: Path) -> None:
    shutil.copyfile(image_folder / "light" / "light_0_0.png", image_folder / "dark" / "wrong.png")
    (image_folder / "dark" / "phone.heic").write_bytes(bytes(300))
    (image_folder / "notes.txt").write_text("x")
    told = command("--config", "configs/folder_example.yaml", "--device", "cpu", "--set", f"dataset.root={image_folder}",
                   "--set", "training.batch={classes: 2, samples: 4}", "--set", "images_per_class=[8]",
                   "--set", "encoder={name: test_convnext, image_size: 16}", root=tmp_path)
    assert told.returncode == 2 and "encoder.image_size must suit the encoder" in told.stderr, told.stderr
    assert "left out dark/phone.heic: HEIC is not read; save it as PNG or JPEG" in told.stderr
    assert "Files that are no images, not read: 1 .txt." in told.stderr
    assert "copies of a picture, each kept on one side of the split: 1" in told.stderr
    assert "the same picture under two labels: 1 (dark/wrong.png and light/light_0_0.png)" in told.stderr


def test_a_damaged_cache_of_the_scan_is_one_line_of_failed_work(image_folder: Path, tmp_path: Path) -> None:
    arguments = ("--config", "configs/folder_example.yaml", "--set", f"dataset.root={image_folder}")
    command(*arguments, root=tmp_path)
    [kept] = (tmp_path / "data" / ".scans").glob("*.sqlite")
    kept.write_bytes(b"not a database" * 100)
    told = command(*arguments, root=tmp_path)
    assert told.returncode == 1 and told.stdout == ""
    assert told.stderr.startswith("error: what a scan finds must be kept in") and len(told.stderr.splitlines()) == 1


def test_counts_say_which_gaps_of_a_published_table_are_real(tmp_path: Path) -> None:
    table = ["88.97:1478", "96.01:1478", "85.54:740", "97.43:740", "55.41:222", "82.43:222", "17/30", "20/30"]
    told = command("counts", *table, root=tmp_path)
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert [line.rpartition("   ")[2] for line in lines[:4]] == ["B is better"] * 3 + ["cannot tell"]
    assert "p = 0.6, 0.6 after Holm" in lines[3]
    gaps = json.loads(command("counts", *table, "--json", root=tmp_path).stdout)["gaps"]
    assert [gap["verdict"] for gap in gaps] == ["better"] * 3 + ["cannot tell"]
    assert "counts must come in pairs" in refused(command("counts", "17/30", root=tmp_path), tmp_path)
    odd = command("counts", "17/30", "x", root=tmp_path)
    assert "a count must be RIGHT/IMAGES or PERCENT:IMAGES" in refused(odd, tmp_path)


def test_a_name_neither_steers_the_terminal_nor_begins_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("left out \x1b]0;title\x07\x1b[31mred\nline two \u202eleft: no image")
    assert capsys.readouterr().out == "left out \\x1b]0;title\\x07\\x1b[31mred\\nline two \\u202eleft: no image\n"
