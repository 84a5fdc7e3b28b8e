"""A trained run's encoder outside its experiment: over any folder of images, or as an ONNX file."""

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core import files
from core.analysis import projection
from core.analysis.table import EmbeddingTable
from core.config import RunConfig
from core.data import decoding, pixels, reading
from core.data.levels import Levels
from core.data.listing import list_files
from core.data.manifest import read_levels
from core.runs import directory
from core.training import checkpoint, embed, encoder
from core.training.encoder import DataConfig


def load_encoder(run: Path) -> tuple[nn.Module, DataConfig, RunConfig, str | None]:
    """A run's encoder with its best weights, its input, its config and the weights' checksum.

    Raises:
        ValueError: if the run has not been trained yet.
    """
    config = directory.read_run(run)
    module, data = encoder.build(config.encoder, config.seed)
    if not config.is_trained:
        return module, data, config, None
    if not (run / "best.safetensors").is_file():
        raise ValueError(f"{run.parent.name}/{run.name} must be trained first, got {directory.read_status(run).state}")
    tensors, values = checkpoint.load(run / "best.safetensors")
    module.load_state_dict(tensors)
    return module, data, config, values["sha256"]


def embed_images(module: nn.Module, data: DataConfig, config: RunConfig, images: list[bytes],
                 levels: Levels | None = None) -> np.ndarray:
    """Image files through an encoder on the CPU, as its own dataset's were; shape (n, D), float32. `levels` are its dataset's.

    Raises:
        ValueError, OSError: if a file is no image that can be read.
    """
    try:
        squares = np.stack([pixels.square(decoding.decode(content, levels), data.storage_size) for content in images])
    except decoding.UNREADABLE as error:
        raise ValueError(decoding.reason(error)) from None
    return embed.embed(module, data, squares, np.arange(len(images)), torch.device("cpu"), config.evaluation.normalize)


def embed_folder(run: Path, folder: Path, device: torch.device,
                 progress: Callable[[int, int], None] | None = None) -> tuple[EmbeddingTable, list[tuple[str, str]]]:
    """Embeds every readable image below a folder; class folders, where there are some, give the labels.

    Returns:
        The table (split 'none', no clusters, PCA layout), and the files left out with their reasons.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no readable image, or the run is not trained.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"folder must hold images, found none at {folder}")
    module, data, config, digest = load_encoder(run)
    levels = read_levels(run.parent / "manifest.parquet")
    listing = list_files(folder)
    paths = listing.images
    names, squares, left_out, content = [], [], [(item.path, item.reason) for item in listing.left_out], hashlib.sha256()
    for done, name in enumerate(paths, start=1):
        try:
            file = (folder / name).read_bytes()
            squares.append(pixels.square(decoding.decode(file, levels), data.storage_size))
            names.append(name)
            content.update(f"{name} {hashlib.sha256(file).hexdigest()}\n".encode())
        except decoding.UNREADABLE as error:
            left_out.append((name, reading.why_not(error)))
        if progress:
            progress(done, len(paths))
    if not names:
        raise ValueError(f"folder must hold at least one readable image, got {len(left_out)} unreadable in {folder}")
    vectors = embed.embed(module, data, np.stack(squares), np.arange(len(names)), device, config.evaluation.normalize)
    layout = projection.project(vectors, "pca") if len(names) > 2 else np.zeros((len(names), 2), np.float32)
    ids = np.array(names, dtype=object)
    label = np.array([name.partition("/")[0] if "/" in name else "" for name in names], dtype=object)
    classes, label_id = np.unique(label.astype(str), return_inverse=True)
    table = EmbeddingTable(
        sample_id=ids, path=ids, label=label, label_id=label_id.astype(np.int32),
        split=np.full(len(ids), "none", dtype=object), group=ids, cluster=np.full(len(ids), -1, np.int32),
        x=layout[:, 0], y=layout[:, 1], embedding=vectors,
        metadata={"config": config.to_json(), "classes": classes.tolist(), "fingerprint": content.hexdigest()[:16],
                  "levels": levels.to_json(),
                  "encoder": {"name": config.encoder.name, "options": config.encoder.options, **asdict(data)},
                  "checkpoint_sha256": digest, "readout": "pooled features",
                  "normalization": "l2" if config.evaluation.normalize else "none", "training_samples": None,
                  "projection": {"method": "pca", "seed": 0}, "versions": directory.versions()})
    return table, left_out


def export_onnx(run: Path, output: Path) -> None:
    """Writes the encoder as ONNX: normalised images (batch, 3, s, s) float32 -> pooled features (batch, D).

    Raises:
        ValueError: if the packages that write ONNX are not installed, or the run is not trained.
    """
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript")):
        raise ValueError("exporting ONNX must have the packages onnx and onnxscript; "
                         "install them with: pip install onnx onnxscript")
    module, data, _, _ = load_encoder(run)
    size = data.image_size
    batch = torch.export.Dim("batch", min=1)
    with files.replacing(output) as temporary:
        torch.onnx.export(module.eval(), (torch.zeros(2, 3, size, size),), temporary, input_names=["images"],
                          output_names=["features"], dynamic_shapes=({0: batch},), external_data=False, verbose=False)
