"""A trained run's encoder outside its experiment: over any folder of images, or as an ONNX file."""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core import files
from core.analysis import projection
from core.analysis.table import EmbeddingTable
from core.config import RunConfig
from core.data import decoding, memory, pixels, reading
from core.data.levels import Levels
from core.data.listing import Listing, list_files, other_words, shown
from core.data.manifest import read_levels
from core.errors import InputError, NotFound
from core.experiments import provenance
from core.experiments.handles import Run
from core.experiments.status import State
from core.inference import exports
from core.training import checkpoint, embed, encoder
from core.training.encoder import DataConfig
from core.visible import visible


def load_encoder(run: Run, allow_unfinished: bool = False) -> tuple[nn.Module, DataConfig, RunConfig, str | None]:
    """A run's encoder with its best weights, its input, its config and the weights' checksum.

    Args:
        run: which one.
        allow_unfinished: take the best weights so far of a run that is not completed.

    Raises:
        InputError: if the run's vectors are a table's, or it has not been trained yet, or not to its end and that was not
            allowed.
        Damaged: if its weights are not what was saved.
    """
    config = run.config
    if config.table is not None:
        raise InputError(f"{run.full_name} must have an encoder to embed with, got the vectors of a table")
    if config.is_trained:
        name, state = run.full_name, run.status.state
        if not run.best_checkpoint.is_file():
            raise InputError(f"{name} must be trained first, got {state}")
        if state != State.COMPLETED and not allow_unfinished:
            raise InputError(f"{name} must be completed, got {state}: its best weights so far are taken by embed "
                             f"--allow-unfinished alone")
        if run.has_embeddings and state == State.COMPLETED:
            exports.verified_weights(run)
    module, data = encoder.build(config.encoder, config.seed)
    if not config.is_trained:
        return module, data, config, None
    tensors, values = checkpoint.load(run.best_checkpoint)
    module.load_state_dict(tensors)
    return module, data, config, values["sha256"]


def embed_images(module: nn.Module, data: DataConfig, config: RunConfig, images: list[bytes],
                 levels: Levels | None = None) -> np.ndarray:
    """Image files through an encoder on the CPU, as its own dataset's were; shape (n, D), float32. `levels` are its dataset's.

    Raises:
        InputError, OSError: if a file is no image that can be read.
    """
    try:
        squares = np.stack([pixels.square(decoding.decode(content, levels), data.stored) for content in images])
    except memory.LockError:
        raise
    except decoding.UNREADABLE as error:
        raise InputError(decoding.reason(error)) from None
    return embed.embed(module, data, squares, np.arange(len(images)), torch.device("cpu"), config.evaluation.normalize,
                       is_half=False)


def embed_folder(run: Run, folder: Path, device: torch.device,
                 progress: Callable[[int, int], None] | None = None,
                 allow_unfinished: bool = False) -> tuple[EmbeddingTable, list[tuple[str, str]]]:
    """Embeds every readable image below a folder; class folders, where there are some, give the labels.

    Args:
        run: the encoder's.
        folder: of images.
        device: where to compute.
        progress: called with (done, total) as files are read.
        allow_unfinished: as in `load_encoder`; the table's metadata then says 'unfinished'.

    Returns:
        The table (split 'none', no clusters, PCA layout), and the files left out with their reasons. Its metadata names
        these under 'folder' and counts, by ending, the files that are no images.

    Raises:
        NotFound: if there is no such folder.
        InputError: if it holds no readable image, or the run is not trained.
    """
    if not folder.is_dir():
        raise NotFound(f"folder must hold images, found none at {folder}")
    module, data, config, digest = load_encoder(run, allow_unfinished)
    levels = read_levels(run.experiment.manifest_file)
    listing = list_files(folder)
    paths = listing.images
    names, squares, left_out, content = [], [], [(item.path, item.reason) for item in listing.left_out], hashlib.sha256()
    for done, name in enumerate(paths, start=1):
        try:
            key = name.encode()  # a name that is no text could stand in no table
            file = reading.content_of(folder / name)
            squares.append(pixels.square(decoding.decode(file, levels), data.stored))
            names.append(name)
            content.update(key + f" {hashlib.sha256(file).hexdigest()}\n".encode())
        except memory.LockError:
            raise
        except decoding.UNREADABLE as error:
            left_out.append((shown(name), reading.why_not(error)))
        if progress:
            progress(done, len(paths))
    if not names:
        raise InputError(f"folder must hold at least one readable image, got {_none_readable(left_out, listing)} in {folder}")
    vectors = embed.embed(module, data, np.stack(squares), np.arange(len(names)), device, config.evaluation.normalize,
                          is_half=False)
    layout = projection.project(vectors, "pca") if len(names) > 2 else np.zeros((len(names), 2), np.float32)
    ids = np.array(names, dtype=object)
    label = np.array([name.partition("/")[0] if "/" in name else "" for name in names], dtype=object)
    classes, label_id = np.unique(label.astype(str), return_inverse=True)
    state = run.status.state
    table = EmbeddingTable(
        sample_id=ids, path=ids, label=label, label_id=label_id.astype(np.int32),
        split=np.full(len(ids), "none", dtype=object), group=ids, cluster=np.full(len(ids), -1, np.int32),
        x=layout[:, 0], y=layout[:, 1], embedding=vectors,
        metadata={"config": config.to_json(), "classes": classes.tolist(), "fingerprint": content.hexdigest()[:16],
                  "levels": levels.to_json(),
                  **encoder.describe(config.encoder, data, config.evaluation.normalize),
                  "checkpoint_sha256": digest, "unfinished": None if state == State.COMPLETED else _progress(run, state),
                  "training_samples": None, "thresholds": None if state != State.COMPLETED else exports.thresholds_of(run),
                  "folder": {"left_out": [list(item) for item in left_out], "other_files": listing.other_files},
                  "projection": {"method": "pca", "seed": 0}, "versions": provenance.versions()})
    return table, left_out


def _none_readable(left_out: list[tuple[str, str]], listing: Listing) -> str:
    """What a folder holds instead of images, in words."""
    if left_out:
        name, reason = left_out[0]
        return f"{len(left_out):,} that cannot be read, the first {visible(name, 120)} ({reason}),"
    return f"no image but {other_words(listing.other_files)}" if listing.other_files else "none"


def _progress(run: Run, state: State) -> dict[str, object]:
    """How far the training of a run has come that is not completed; JSON values."""
    if not run.config.is_trained:
        return {"state": state}
    values = checkpoint.load(run.best_checkpoint)[1]
    return {"state": state, **{key: values[key] for key in ("epoch", "validation_map_at_r")}}


def export_onnx(run: Run, output: Path) -> None:
    """Writes the encoder as ONNX: normalised images (batch, 3, s, s) float32 -> pooled features (batch, D).

    The model's metadata says under 'duet', as JSON, how images become its input, what is done with the features, and from
    which cosine on two images show the same class.

    Raises:
        InputError: if the packages that write ONNX are not installed, or the run is not completed.
        Damaged: if its weights are not what was saved.
    """
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript")):
        raise InputError("exporting ONNX must have the packages onnx and onnxscript; "
                         "install them with: pip install onnx onnxscript")
    import onnx

    module, data, config, digest = load_encoder(run)
    size = data.image_size
    batch = torch.export.Dim("batch", min=1)
    with files.replacing(output) as temporary:
        torch.onnx.export(module.eval(), (torch.zeros(2, 3, size, size),), temporary, input_names=["images"],
                          output_names=["features"], dynamic_shapes=({0: batch},), external_data=False, verbose=False)
        model = onnx.load(temporary)
        onnx.helper.set_model_props(model, {"duet": json.dumps({
            **encoder.describe(config.encoder, data, config.evaluation.normalize), "checkpoint_sha256": digest,
            "thresholds": exports.thresholds_of(run)})})
        onnx.save(model, temporary)
