"""A run's film: where the same probe samples lie in its space, epoch by epoch.

The probe is drawn from validation, so that nobody watches test images while training. Each frame starts from the one
before and so does not jump.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.analysis import clustering, projection
from core.data.manifest import Manifest
from core.errors import Damaged
from core.experiments.handles import Run

_SHOWN = ("sample_id", "label_id", "cluster", "x", "y")


def probe_rows(manifest: Manifest, most: int) -> np.ndarray:
    """The validation samples to film: all, or an even draw from each class; the same for every run; (m,), int64."""
    rows = manifest.indices("validation")
    if len(rows) <= most:
        return rows
    order = np.random.default_rng(0).permutation(rows)
    turn = np.zeros(len(order), dtype=np.int64)
    for label in range(len(manifest.classes)):
        mine = manifest.label_id[order] == label
        turn[mine] = np.arange(mine.sum())
    return np.sort(order[np.argsort(turn, kind="stable")[:most]])


class Film:
    """Writes one frame an epoch to a run's `snapshots/`.

    Args:
        run: which one.
        manifest: the samples.
        rows: which of them are filmed, shape (m,).
    """

    def __init__(self, run: Run, manifest: Manifest, rows: np.ndarray) -> None:
        self._run = run
        run.snapshots_folder.mkdir(exist_ok=True)
        self._sample_id = manifest.sample_id[rows]
        self._label_id = manifest.label_id[rows]
        self._classes = np.flatnonzero(np.isin(manifest.classes, manifest.closed_classes))  # of the others, none is filmed
        self._layout: np.ndarray | None = None

    def add(self, epoch: int, vectors: np.ndarray) -> None:
        """Writes the frame of an epoch.

        Args:
            epoch: 0 before training.
            vectors: the filmed samples' embeddings, shape (m, D), float32.
        """
        self._layout = (_first_layout(vectors.tobytes(), vectors.shape[1]) if self._layout is None
                        else projection.follow(vectors, self._layout))
        cluster = np.full(len(vectors), -1, dtype=np.int32)
        if len(vectors) >= len(self._classes):
            label_id = np.searchsorted(self._classes, self._label_id)
            cluster = self._classes[clustering.matched_kmeans(vectors, label_id, len(self._classes), seed=0)[0]]
        flat = pa.array(vectors.reshape(-1), pa.float32())
        frame = pa.table({
            "sample_id": pa.array(self._sample_id.tolist(), pa.string()),
            "label_id": pa.array(self._label_id, pa.int32()), "cluster": pa.array(cluster, pa.int32()),
            "x": pa.array(self._layout[:, 0], pa.float32()), "y": pa.array(self._layout[:, 1], pa.float32()),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})
        path = self._run.snapshots_folder / f"epoch_{epoch:04d}.parquet"
        with files.replacing(path) as temporary:
            pq.write_table(frame, temporary)

    def rewind(self, epoch: int) -> None:
        """Drops frames later than an epoch and goes on from its layout."""
        for later, path in self._run.snapshots.items():
            if later > epoch:
                path.unlink()
            elif later == epoch:
                try:
                    frame = read_frame(path)
                except Damaged:  # the next frame begins a layout of its own
                    path.unlink()
                    continue
                self._layout = np.stack([frame["x"], frame["y"]], axis=1)


@lru_cache(maxsize=16)  # runs of one seed start from the same weights, so from the same picture
def _first_layout(content: bytes, width: int) -> np.ndarray:
    """The first frame of vectors given as their bytes, shape (m, 2)."""
    return projection.follow(np.frombuffer(content, np.float32).reshape(-1, width), None)


def read_frame(path: Path) -> dict[str, np.ndarray]:
    """A frame's columns but for its vectors: sample_id, label_id, cluster, x, y; each of shape (m,).

    Raises:
        NotFound: if there is none.
        Damaged: if it cannot be read.
    """
    def columns(file: Path) -> dict[str, np.ndarray]:
        frame = pq.read_table(file, columns=list(_SHOWN))
        return {name: frame[name].to_numpy() for name in _SHOWN}

    return files.read(path, columns, "a frame of the film")
