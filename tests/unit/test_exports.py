"""What is taken along is verified first and written whole; unfinished runs and disagreeing tables are refused."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import main
from core import files
from core.analysis import table as tables
from core.errors import Damaged
from core.experiments.handles import Run
from core.experiments.status import RunStatus
from core.inference import embedding, exports, query
from core.training import checkpoint

RUN = "supcon-15-seed0"


def duet(experiment: Path, capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str]:
    """Exit code and standard error of a command over the experiment's root."""
    code = main.main([*map(str, arguments), "--checkpoints", str(experiment.parent)])
    return code, capsys.readouterr().err


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10_000])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink], ids=["cut", "flip", "remove"])
@pytest.mark.parametrize("file, ending", [("best.safetensors", "safetensors"), ("best.safetensors", "onnx"),
                                          ("embeddings.parquet", "parquet"), ("embeddings.parquet", "html"),
                                          ("embeddings.parquet", "safetensors")])
def test_what_is_damaged_is_not_exported(experiment: Path, tmp_path: Path, capsys, damage, file: str, ending: str) -> None:
    damage(experiment / RUN / file)
    output = tmp_path / "out" / f"taken.{ending}"
    output.parent.mkdir()
    code, error = duet(experiment, capsys, "export", f"tiny/{RUN}", "--output", output)
    is_gone = damage is Path.unlink and file == "embeddings.parquet"  # then the run is not completed
    if damage is flip and file == "embeddings.parquet" and ending == "safetensors":
        return  # the table's header alone is read: it may be whole
    assert code == (2 if is_gone else 1) and len(error.splitlines()) == 1 and error.startswith("error: "), error
    assert not list(output.parent.iterdir())


def test_weights_of_another_run_are_not_exported(experiment: Path, tmp_path: Path, capsys) -> None:
    for ending in ("safetensors", "json"):
        shutil.copyfile(experiment / "supcon-15-seed1" / f"best.{ending}", experiment / RUN / f"best.{ending}")
    code, error = duet(experiment, capsys, "export", f"tiny/{RUN}", "--output", tmp_path / "taken.safetensors")
    assert code == 1 and "must be the weights that gave" in error
    with pytest.raises(Damaged, match="must be the weights that gave"):
        embedding.load_encoder(Run(experiment / RUN))


def test_an_output_that_cannot_be_finished_leaves_the_one_before(experiment: Path, tmp_path: Path, monkeypatch) -> None:
    output = tmp_path / "taken.parquet"
    output.write_text("the one before")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no space"):
        exports.write(Run(experiment / RUN), output)
    monkeypatch.undo()
    assert output.read_text() == "the one before" and [path.name for path in tmp_path.glob("*taken*")] == ["taken.parquet"]


def test_damaged_weights_embed_nothing(experiment: Path, image_folder: Path, tmp_path: Path, capsys) -> None:
    cut(experiment / RUN / "best.safetensors")
    output = tmp_path / "folder.parquet"
    code, error = duet(experiment, capsys, "embed", f"tiny/{RUN}", image_folder, "--output", output, "--device", "cpu")
    assert code == 1 and len(error.splitlines()) == 1 and "must match its checksum" in error
    assert not output.exists()
    with pytest.raises(ValueError, match="must match its checksum"):
        query.Encoders().vectors(Run(experiment / RUN), [next(image_folder.rglob("*.png")).read_bytes()])


@pytest.mark.parametrize("state", ["stopped", "failed", "running", "queued"])
def test_a_run_that_is_not_completed_embeds_only_when_asked(experiment: Path, image_folder: Path, tmp_path: Path, capsys,
                                                            state: str) -> None:
    Run(experiment / RUN).write_status(RunStatus(state))
    (experiment / RUN / "embeddings.parquet").unlink()
    output = tmp_path / "folder.parquet"
    arguments = ("embed", f"tiny/{RUN}", image_folder, "--output", output, "--device", "cpu")
    code, error = duet(experiment, capsys, *arguments)
    assert code == 2 and f"must be completed, got {state}" in error and "--allow-unfinished" in error
    assert not output.exists()
    if state == "stopped":
        code, error = duet(experiment, capsys, *arguments, "--allow-unfinished")
        assert code == 0, error
        values = json.loads((experiment / RUN / "best.json").read_text())
        assert tables.read(output).metadata["unfinished"] == {
            "state": "stopped", "epoch": values["epoch"], "validation_map_at_r": values["validation_map_at_r"]}


def test_a_completed_runs_table_says_so(experiment: Path, image_folder: Path) -> None:
    table, _ = embedding.embed_folder(Run(experiment / RUN), image_folder, torch.device("cpu"))
    assert table.metadata["unfinished"] is None


def changed(experiment: Path, path: Path, **columns: np.ndarray) -> None:
    tables.write(replace(tables.read(experiment / "classification-15-seed0" / "embeddings.parquet"), **columns), path)


def test_tables_whose_labels_disagree_are_not_compared(experiment: Path, tmp_path: Path, capsys) -> None:
    space = tables.read(experiment / "classification-15-seed0" / "embeddings.parquet")
    rows = np.flatnonzero(space.split == "test")[:7]
    label, label_id = space.label.copy(), space.label_id.copy()
    label_id[rows] = (label_id[rows] + 1) % 10
    label[rows] = [str(value) for value in label_id[rows]]
    changed(experiment, tmp_path / "other.parquet", label=label, label_id=label_id)
    own = experiment / RUN / "embeddings.parquet"
    code, error = duet(experiment, capsys, "compare", own, tmp_path / "other.parquet")
    named = sorted(space.sample_id[rows].tolist())
    assert code == 2 and "must have the same label for the same sample" in error and len(error.splitlines()) == 1
    assert all(name in error for name in named[:5]) and named[5] not in error and "and 2 more" in error


def test_tables_whose_groups_disagree_are_not_compared(experiment: Path, tmp_path: Path, capsys) -> None:
    space = tables.read(experiment / "classification-15-seed0" / "embeddings.parquet")
    own = experiment / RUN / "embeddings.parquet"
    renamed = np.array([f"g-{group}" for group in space.group], dtype=object)
    changed(experiment, tmp_path / "renamed.parquet", group=renamed)
    assert duet(experiment, capsys, "compare", own, tmp_path / "renamed.parquet")[0] == 0
    rows = np.flatnonzero(space.split == "test")[:6]
    joined = space.group.copy()
    joined[rows] = "one photograph"
    changed(experiment, tmp_path / "joined.parquet", group=joined)
    code, error = duet(experiment, capsys, "compare", own, tmp_path / "joined.parquet")
    assert code == 2 and "must have the same groups of samples" in error and "with 0 others in A, 5 in B" in error


def test_compare_shows_no_pair_whose_labels_disagree(screen, experiment: Path) -> None:
    path = experiment / "classification-15-seed0" / "embeddings.parquet"
    space = tables.read(path)
    label, label_id = space.label.copy(), space.label_id.copy()
    row = np.flatnonzero(space.split == "test")[0]
    label_id[row] = (label_id[row] + 1) % 10
    label[row] = str(label_id[row])
    changed(experiment, path, label=label, label_id=label_id)
    app = screen("compare", experiment="tiny")
    assert [item.value for item in app.error if "must have the same label for the same sample" in item.value]


def test_export_offers_no_damaged_weights(screen, experiment: Path) -> None:
    cut(experiment / RUN / "best.safetensors")
    app = screen("export", experiment="tiny", run=RUN)
    assert any("must match its checksum" in item.value for item in app.error)
    assert [item.label for item in app.get("download_button")] == ["Download Parquet"]


def test_weights_are_verified_without_torch_as_they_are_with_it(experiment: Path) -> None:
    content, values = exports.verified_weights(Run(experiment / RUN))
    tensors, same = checkpoint.load(experiment / RUN / "best.safetensors")
    assert values == same and len(content) > sum(tensor.numel() for tensor in tensors.values())


def test_onnx_says_how_images_become_its_input(experiment: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    exports.write(Run(experiment / RUN), tmp_path / "encoder.onnx")
    model = onnx.load(tmp_path / "encoder.onnx")
    [props] = [json.loads(item.value) for item in model.metadata_props if item.key == "duet"]
    assert props["data_config"] == files.read_json(experiment / RUN / "best.json")["data_config"]
    assert props["normalization"] == "l2"
    assert [path.name for path in tmp_path.glob("*onnx*")] == ["encoder.onnx"]


def test_onnx_gives_the_encoders_features_for_any_number_of_images(experiment: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    exports.write(Run(experiment / RUN), tmp_path / "encoder.onnx")
    module, data, _, _ = embedding.load_encoder(Run(experiment / RUN))
    session = runtime.InferenceSession(str(tmp_path / "encoder.onnx"))
    for n_images in (1, 5):
        images = torch.randn(n_images, 3, data.image_size, data.image_size, generator=torch.Generator().manual_seed(n_images))
        with torch.inference_mode():
            features = module.eval()(images).numpy()
        np.testing.assert_allclose(session.run(["features"], {"images": images.numpy()})[0], features, atol=1e-4)


def test_a_name_that_is_no_text_is_left_out_only(experiment: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (20, 30), (60 * number, 90, 120)).save(folder / f"{number}.png")
    shutil.copy(folder / "0.png", bytes(folder) + b"/caf\xe9.png")
    (folder / "notes.txt").write_text("three")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "page.jpg").write_text("<html>")
    table, left_out = embedding.embed_folder(Run(experiment / RUN), folder, torch.device("cpu"))
    assert table.sample_id.tolist() == ["0.png", "1.png", "2.png"]
    assert sorted(left_out) == [("caf\\udce9.png", "its name is not text"), ("page.jpg", "not an image file that can be read")]
    assert table.metadata["folder"] == {"left_out": [list(item) for item in left_out], "other_files": {".txt": 1, "hidden": 1}}
    tables.write(table, tmp_path / "folder.parquet")
    assert len(tables.read(tmp_path / "folder.parquet")) == 3


def test_what_is_no_regular_file_is_left_out_and_not_waited_for(experiment: Path, image_folder: Path) -> None:
    os.mkfifo(image_folder / "pipe.png")
    (image_folder / "zeros.png").symlink_to("/dev/zero")
    _, left_out = embedding.embed_folder(Run(experiment / RUN), image_folder, torch.device("cpu"))
    assert {("pipe.png", "not a regular file"), ("zeros.png", "not a regular file")} <= set(left_out)


def test_a_folder_without_a_readable_image_names_the_first_and_why(experiment: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    arguments = ("embed", f"tiny/{RUN}", folder, "--output", tmp_path / "space.parquet", "--device", "cpu")
    must = "error: folder must hold at least one readable image, got"
    assert duet(experiment, capsys, *arguments) == (2, f"{must} none in {folder}\n")
    (folder / "notes.txt").write_text("x")
    assert duet(experiment, capsys, *arguments) == (2, f"{must} no image but 1 .txt in {folder}\n")
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"")
    code, error = duet(experiment, capsys, *arguments)
    assert code == 2 and error.startswith(f"{must} 2 that cannot be read, the first a.png (")
    assert error.endswith(f"), in {folder}\n") and "empty" in error
