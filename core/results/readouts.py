"""The same readout, all ways: how each arm does when it is read at the pooled features, the projection or the logits.

An objective shapes the space that its loss sees; reading each arm where it does best, or all at the same place, can turn a
comparison. Scored once at a run's end; kept in its folder.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from core import files, scored_by
from core.analysis import metrics, retrieval
from core.analysis.metrics import METRICS
from core.analysis.neighbors import Distance
from core.config import ExperimentConfig, arm_label
from core.config.objectives import UntrainedConfig
from core.errors import Damaged
from core.experiments import handles
from core.experiments.handles import Experiment, Run
from core.files import Json
from core.quantities import percent

PLACES = ("pooled", "projection", "logits")  # from the encoder towards the loss
CELLS = ("knn_accuracy", "probe_accuracy", "map_at_r", "kmeans_accuracy")
KMEANS_SEEDS = 3  # fewer than the verdict's: it is one of up to six spaces a run


@dataclass(frozen=True)
class Readout:
    """One way to read a run's encoder, and what its test images then score, each 0 to 1.

    Attributes:
        place: one of `PLACES`.
        is_unit: scaled to length 1, neighbours by cosine; as they are, neighbours by Euclidean distance.
        scores: metric of `CELLS` -> mean over test images.
    """

    place: str
    is_unit: bool
    scores: dict[str, float]


def score(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
          place: str, is_unit: bool, neighbors: int, group: np.ndarray | None = None,
          roles: retrieval.Roles | None = None) -> Readout:
    """What test images score under one readout.

    Args:
        vectors: test images, shape (n, D), float32, as they are.
        label_id: their labels, shape (n,).
        reference: training images, shape (m, D), float32, as they are.
        reference_label_id: their labels, shape (m,).
        place: one of `PLACES`.
        is_unit: scale all to length 1 first; a zero vector stays.
        neighbors: k of k-NN.
        group: test images that belong together, of which none finds another, shape (n,); None: each alone.
        roles: which of them ask and which are found; None: every one does both.
    """
    classes, places = np.unique(np.concatenate([label_id, reference_label_id]), return_inverse=True)
    label_id, reference_label_id = places[:len(vectors)], places[len(vectors):]
    distance: Distance = "cosine" if is_unit else "euclidean"
    if is_unit:
        vectors, reference = (part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), np.finfo(np.float32).tiny)
                              for part in (vectors, reference))
    with threadpool_limits(1):  # the same bits whatever the process
        values = {
            "knn_accuracy": metrics.knn_correct(vectors, label_id, reference, reference_label_id, neighbors, distance),
            "probe_accuracy": metrics.probe_correct(vectors, label_id, reference, reference_label_id),
            "map_at_r": retrieval.retrieve(vectors, label_id, distance, group, roles)["map_at_r"],
            "kmeans_accuracy": metrics.kmeans_correct(vectors, label_id, len(classes), KMEANS_SEEDS)}
    return Readout(place, is_unit, {name: float(np.nanmean(values[name])) for name in CELLS})


def write(run: Run, readouts: list[Readout]) -> None:
    """Keeps a run's readouts."""
    files.write_json(run.readouts_file, {scored_by.KEY: scored_by.VERSION, "kmeans_seeds": KMEANS_SEEDS,
                                         "readouts": [asdict(readout) for readout in readouts]})


def read(run: Run) -> list[Readout]:
    """A run's readouts; none of one that is not completed, or that an earlier version scored: what a projection or the logits
    would give today cannot be told from its embeddings.

    Raises:
        Damaged: if they cannot be read.
    """
    def parse(path: Path) -> list[Readout]:
        values = files.read_json(path)
        readouts = [Readout(**item) for item in values["readouts"]]
        if not all(set(CELLS) <= item.scores.keys() for item in readouts):
            raise KeyError(f"scores of {', '.join(CELLS)}")
        return readouts if scored_by.is_current(values) else []

    try:
        return files.read(run.readouts_file, parse, "a run's readouts")
    except FileNotFoundError:
        return []
    except Damaged as error:
        raise Damaged(error.path, error.what, handles.RESUME) from None


def is_of_earlier_version(run: Run) -> bool:
    """Whether a run's readouts were scored by rules that are no longer today's, and are not shown."""
    path = run.readouts_file
    return path.is_file() and not scored_by.is_current(files.read_json(path))


def rows(experiment: Experiment, config: ExperimentConfig, images_per_class: int | str) -> list[Json]:
    """Every arm's readouts at one images-per-class, over its completed seeds.

    Returns:
        JSON, a row an arm, untrained first: 'objective', 'n_seeds' and 'readouts', each with 'place', 'is_unit' and
        metric -> {'mean', 'sd'}; sd is 0 with one seed.
    """
    arms = []
    for label in (arm_label(UntrainedConfig()), *config.arms):
        seeds = [readouts for run in config.runs() if arm_label(run.objective) == label
                 and run.images_per_class == images_per_class and (readouts := read(experiment.run(run.name)))]
        if seeds:
            arms.append({"objective": label, "n_seeds": len(seeds), "readouts": [
                {"place": item.place, "is_unit": item.is_unit,
                 **{name: _over_seeds([seed[number].scores[name] for seed in seeds]) for name in CELLS}}
                for number, item in enumerate(seeds[0])]})
    return arms


def sentence(arms: list[Json], a: str, b: str, metric: str) -> str:
    """What two arms score at the pooled features, and where each does best; means alone, which say no more than that."""
    by_arm = {row["objective"]: row["readouts"] for row in arms}
    if a not in by_arm or b not in by_arm:
        return ""
    title = METRICS[metric].title
    pooled = [next(item for item in by_arm[label] if item["place"] == "pooled" and item["is_unit"]) for label in (a, b)]
    best = [max(by_arm[label], key=lambda item: item[metric]["mean"]) for label in (a, b)]
    at_pooled = ", ".join(f"{label} {percent(item[metric]['mean'])}" for label, item in zip((a, b), pooled))
    at_best = ", ".join(f"{label} {percent(item[metric]['mean'])} ({name_of(item)})" for label, item in zip((a, b), best))
    return f"{title} at the pooled features: {at_pooled}. Where each does best: {at_best}"


def name_of(readout: Json) -> str:
    """A readout in words."""
    return f"{readout['place']}, {'length 1' if readout['is_unit'] else 'raw'}"


def _over_seeds(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}
