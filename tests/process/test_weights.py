"""Other people's checkpoints: loaded where that is safe, and otherwise refused in one sentence that says what they are."""

import argparse
import collections
import os
import pathlib
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save, save_file
from torch import nn

from core import weights_file
from core.config import EncoderConfig
from core.experiments import planning
from core.jobs import checks, launch
from core.training import encoder, weights
from tests.conftest import tiny

NAME = "test_resnet"


def state_of(seed: int = 7, n_classes: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return timm.create_model(NAME, num_classes=n_classes).state_dict()


STATE, AVERAGE = state_of(), state_of(8)
LABELED = state_of(n_classes=10)


def load(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    module = timm.create_model(NAME, num_classes=0)
    note = weights.load(module, path, NAME)
    return module.state_dict(), note


def refusal(path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        load(path)
    said = str(caught.value)
    assert said.isprintable() and "\x1b" not in said, "one line without terminal codes"
    return said


def under(prefix: str, state: dict[str, torch.Tensor] = STATE) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


def is_loaded(found: dict[str, torch.Tensor], state: dict[str, torch.Tensor] = STATE) -> bool:
    return all(torch.equal(value, state[key]) for key, value in found.items())


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "backbone.", "encoder.", "module.backbone.",
                                    "model._orig_mod.module.", "net.trunk.", "student.backbone.", "my_own_name."])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_prefix_that_all_names_share_is_taken_off(prefix: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(under(prefix), path)
    found, note = load(path)
    assert is_loaded(found)
    assert note == (f"took {prefix[:-1]!r} off the names" if prefix else "")


@pytest.mark.parametrize("wrap", [
    lambda state: {"model": state}, lambda state: {"state_dict": state, "epoch": 3}, lambda state: {"model_state_dict": state},
    lambda state: {"checkpoint": {"net": state}, "acc": 0.5}, lambda state: {"state_dict": under("model.", state)},
    lambda state: {"model": under("module.", state), "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
    lambda state: collections.OrderedDict(state), lambda state: {**state, "epoch": 3, "arch": "resnet"}])
def test_a_wrapper_is_taken_off(wrap: object, tmp_path: Path) -> None:
    torch.save(wrap(STATE), tmp_path / "w.pth")
    assert is_loaded(load(tmp_path / "w.pth")[0])


@pytest.mark.parametrize("content, taken", [
    ({"state_dict": STATE, "state_dict_ema": AVERAGE}, "state_dict_ema, an average over training, rather than state_dict"),
    ({"model": STATE, "model_ema": {"n_averaged": torch.tensor(3), **under("module.", AVERAGE)}}, "model_ema, an average"),
    ({"student": under("module.backbone."), "teacher": under("backbone.", AVERAGE)}, "teacher, an average"),
    ({**under("student."), **under("teacher.", AVERAGE)}, "took 'teacher' off the names")])
def test_an_average_over_training_is_preferred_and_it_is_said(content: dict, taken: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    found, note = load(tmp_path / "w.pth")
    assert is_loaded(found, AVERAGE) and not is_loaded(found)
    assert taken in note


def test_of_two_networks_beside_each_other_the_first_is_taken_and_the_rest_is_said(tmp_path: Path) -> None:
    torch.save({"state_dict": {**under("module.encoder_q."), **under("module.encoder_k.", AVERAGE),
                               "module.queue": torch.zeros(4, 4)}}, tmp_path / "w.pth")
    found, note = load(tmp_path / "w.pth")
    assert is_loaded(found)
    assert note == (f"took state_dict; took 'module.encoder_q' off the names; left out {len(STATE) + 1} tensors beside the "
                    f"encoder (module.encoder_k.conv1.0.weight, module.encoder_k.conv1.1.weight, "
                    f"module.encoder_k.conv1.1.bias, …)")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_head_of_other_classes_is_left_out_and_it_is_said(prefix: str, tmp_path: Path) -> None:
    torch.save(under(prefix, LABELED), tmp_path / "w.pth")
    found, note = load(tmp_path / "w.pth")
    assert is_loaded(found, LABELED)
    assert "left out a head of 10 classes (fc.weight, fc.bias)" in note


def test_the_note_stands_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(under("module."), tmp_path / "w.pth")
    with caplog.at_level("INFO", logger="duet"):
        encoder.build(EncoderConfig(name=NAME, weights=str(tmp_path / "w.pth"), image_size=32), 0)
    assert "took 'module' off the names" in caplog.text


@pytest.mark.parametrize("value", [
    argparse.Namespace(lr=0.1, output=pathlib.Path("out"), betas=(0.9, 0.99)), np.float64(0.5), np.float32(0.5), np.int64(3),
    np.bool_(True), np.arange(3.0), pathlib.Path("out"), collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]),
    np.random.RandomState(0).get_state(), {1, 2}, range(3), complex(1, 2), None, [1, "two", 3.0], torch.float32])
def test_plain_values_beside_the_weights_are_no_hindrance(value: object, tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "args": value}, tmp_path / "w.pth")
    assert is_loaded(load(tmp_path / "w.pth")[0])


def test_a_path_of_another_system_is_no_hindrance(tmp_path: Path) -> None:
    """As a file from Windows holds it: the name of a class that Python makes there alone."""
    torch.save({"state_dict": STATE, "out": pathlib.Path("out")}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        parts = {item: archive.read(item) for item in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "windows.pth", "w") as archive:
        for item, content in parts.items():
            archive.writestr(item, content.replace(b"PosixPath", b"WindowsPath"))
    assert is_loaded(load(tmp_path / "windows.pth")[0])


class Running:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self._trace),)


@pytest.mark.parametrize("place", ["beside", "in the namespace"])
def test_what_could_run_is_named_and_does_not_run(place: str, tmp_path: Path) -> None:
    trace = tmp_path / "it_ran"
    extra = Running(trace) if place == "beside" else argparse.Namespace(callback=Running(trace))
    torch.save({"state_dict": STATE, "args": extra}, tmp_path / "w.pth")
    said = refusal(tmp_path / "w.pth")
    assert "mkdir" in said and "could run code" in said and "torch.save(model.state_dict(), FILE)" in said
    assert not trace.exists()


def test_a_whole_model_and_a_program_are_called_what_they_are(tmp_path: Path) -> None:
    torch.save(timm.create_model(NAME, num_classes=0), tmp_path / "model.pth")
    assert "a whole pickled model, which could run code" in refusal(tmp_path / "model.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and still out there
        torch.jit.save(torch.jit.trace(nn.Linear(3, 3), torch.zeros(1, 3)), tmp_path / "script.pt")
    assert "a TorchScript program" in refusal(tmp_path / "script.pt")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12345\n"


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("content, words", [
    (LFS, "a Git LFS pointer, not the file it stands for; fetch that with: git lfs pull"), (b"", "which is empty"),
    (b"<!DOCTYPE html>\n<html>", "a web page"), (b"\n <html lang='en'>", "a web page"),
    (b"\x89HDF\r\n\x1a\n" + bytes(600), "an HDF5 file, as Keras and TensorFlow write"), (b'{"a": 1}', "a JSON text"),
    (b"\x1f\x8b" + bytes(600), "compressed with gzip"), (b"Not found", "a short text"), (b"GGUF" + bytes(600), "a GGUF file"),
    (b"path,label\n" * 200, "which is a text, no weights"), (("weights\n" * 200).encode("utf-16"), "which is a text"),
    ("é".encode() * 600, "which is a text"), (bytes(257) + b"ustar" + bytes(400), "a tar archive"),
    *((pickle.dumps(value, protocol), "a pickle that torch.save did not write") for value in (5, [1, 2])
      for protocol in (2, 4)),
    (b"PAR1" + bytes(600), "no file of weights"), (b"\x80", "no file of weights"), (bytes(5000), "no file of weights")])
def test_a_file_of_another_kind_is_called_what_it_is(content: bytes, words: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    assert words in refusal(path)
    with pytest.raises(ValueError, match=r"encoder\.weights must be"):  # without torch, as soon as it is planned
        planning.plan(tiny(encoder={"name": NAME, "image_size": 32, "weights": str(path)}))


@pytest.mark.parametrize("length", [123, 23328, 31520])
def test_safetensors_whose_header_begins_like_a_text_are_weights(length: int, tmp_path: Path) -> None:
    """The first byte of the header's length is '{', or its first two are ' {' or ' ['."""
    content = save({"a": torch.ones(3)})
    n_header = int.from_bytes(content[:8], "little")
    padded = content[8:8 + n_header].rstrip().ljust(length)
    (tmp_path / "w.safetensors").write_bytes(len(padded).to_bytes(8, "little") + padded + content[8 + n_header:])
    assert len(padded) == length
    weights_file.check(tmp_path / "w.safetensors")


def test_a_zip_of_weights_and_a_file_of_arrays_are_called_what_they_are(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("resnet/model.pth", b"x")
    assert "a ZIP archive; unpack it" in refusal(tmp_path / "w.pth")
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    assert "a file of NumPy arrays" in refusal(tmp_path / "w.npz")


def test_a_folder_and_nothing_are_refused(tmp_path: Path) -> None:
    assert f"got the folder {tmp_path}" in refusal(tmp_path)
    with pytest.raises(FileNotFoundError, match="found none at"):
        planning.plan(tiny(encoder={"name": NAME, "weights": str(tmp_path / "none.pth")}))


def test_a_file_is_read_as_what_it_is_whatever_its_name(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.bin")
    torch.save(STATE, tmp_path / "w.safetensors")
    assert all(is_loaded(load(tmp_path / name)[0]) for name in ("w.bin", "w.safetensors"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    state = {key: tensor.clone() for key, tensor in STATE.items()}
    state["conv1.0.weight"][0, 0, 0, 0] = value
    torch.save(state, tmp_path / "w.pth")
    assert "encoder.weights must be finite numbers" in refusal(tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"'conv1\.0\.weight' holds NaN or infinity"):
        checks.check_encoder(EncoderConfig(name=NAME, weights=str(tmp_path / "w.pth"), image_size=32))


def test_weights_that_are_all_zero_are_refused(tmp_path: Path) -> None:
    torch.save({key: torch.zeros_like(tensor) for key, tensor in STATE.items()}, tmp_path / "w.pth")
    assert "must be of a trained encoder, got " in refusal(tmp_path / "w.pth")
    torch.save({key: torch.zeros_like(tensor) if tensor.ndim > 1 else tensor for key, tensor in STATE.items()},
               tmp_path / "w.pth")
    assert "every weight is zero" in refusal(tmp_path / "w.pth")


def test_tensors_without_numbers_and_sparse_ones_are_called_what_they_are(tmp_path: Path) -> None:
    torch.save({key: tensor.to("meta") for key, tensor in STATE.items()}, tmp_path / "w.pth")
    assert "has a shape alone (a tensor of PyTorch's device 'meta'); load the weights" in refusal(tmp_path / "w.pth")
    torch.save({key: tensor.to_sparse() if tensor.ndim > 1 else tensor for key, tensor in STATE.items()}, tmp_path / "w.pth")
    assert "'conv1.0.weight' is sparse; save each as tensor.to_dense()" in refusal(tmp_path / "w.pth")


@pytest.mark.parametrize("protocol", [2, 4])
def test_what_torch_saved_before_1_6_is_a_file_of_weights(protocol: int, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    if protocol == 2:
        assert is_loaded(load(tmp_path / "w.pth")[0])
    else:  # torch's reader of tensors alone does not know it
        assert "it holds more than tensors, or is damaged" in refusal(tmp_path / "w.pth")


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    save_file({**STATE, "conv1.0.weight": (STATE["conv1.0.weight"] * 100).to(torch.int8)}, tmp_path / "w.safetensors")
    assert "must be of floating-point numbers" in refusal(tmp_path / "w.safetensors")
    assert "'conv1.0.weight' is of int8" in refusal(tmp_path / "w.safetensors")
    save_file({**STATE, "conv1.0.zero_point": torch.zeros(1)}, tmp_path / "w.safetensors")
    assert "which is quantised" in refusal(tmp_path / "w.safetensors")


def test_names_and_contents_of_a_file_put_nothing_into_a_terminal(tmp_path: Path) -> None:
    torch.save({"conv\x1b[31m\n.weight": torch.zeros(1)}, tmp_path / "w.pth")
    refusal(tmp_path / "w.pth")
    (tmp_path / "cut.safetensors").write_bytes((100).to_bytes(8, "little") + b"{" + b"\x1b[31m\n" * 10)
    refusal(tmp_path / "cut.safetensors")


def test_the_check_of_an_encoder_is_of_its_images_too(tmp_path: Path) -> None:
    for name, size in (("convnext_atto", 16), ("test_vit", 40)):
        with pytest.raises(ValueError, match=rf"encoder\.image_size must suit the encoder, got {size}") as caught:
            encoder.check(EncoderConfig(name=name, image_size=size))
        assert str(caught.value).isprintable()
    encoder.check(EncoderConfig(name="convnext_atto", image_size=32))
    with pytest.raises(ValueError, match="must give features that are numbers"):
        save_file({key: value * (1e30 if value.is_floating_point() else 1) for key, value in STATE.items()},
                  tmp_path / "w.safetensors")
        encoder.check(EncoderConfig(name=NAME, image_size=32, weights=str(tmp_path / "w.safetensors")))


def test_an_image_size_is_refused_before_anything_is_created(tmp_path: Path) -> None:
    config = tiny(encoder={"name": "convnext_atto", "image_size": 16})
    with pytest.raises(ValueError, match=r"encoder\.image_size must suit the encoder, got 16"):
        launch.start(planning.plan(config), tmp_path / "checkpoints", tmp_path / "data", device="cpu")
    assert not (tmp_path / "checkpoints").exists()


def test_what_was_checked_is_not_checked_again_and_a_changed_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(checks, "_ask", lambda question: asked.append(question["encoder"]["weights"]))
    config = EncoderConfig(name=NAME, weights=str(tmp_path / "w.pth"))
    for content in (b"a", b"a", b"bb"):
        (tmp_path / "w.pth").write_bytes(content)
        os.utime(tmp_path / "w.pth", ns=(1, 1))
        checks.check_encoder(config)
    assert len(asked) == 2
    checks.check_encoder(EncoderConfig(name=NAME, image_size=16))
    assert len(asked) == 2, "known to work"
