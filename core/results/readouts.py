"""The same readout, all ways: how each arm does when it is read at the pooled features, the projection or the logits.

An objective shapes the space that its loss sees; reading each arm where it does best, or all at the same place, can turn a
comparison. Scored once at a run's end; kept in its folder.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from core import files, scored_by
from core.analysis import metrics, probe, retrieval
from core.analysis.metrics import METRICS
from core.analysis.neighbors import Distance
from core.config import ExperimentConfig, arm_label
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
        scores: metric of `CELLS` -> mean over test images; of an earlier version without the probe's, which was not tuned.
    """

    place: str
    is_unit: bool
    scores: dict[str, float]


def score(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
          place: str, is_unit: bool, neighbors: int, group: np.ndarray | None = None,
          validation: tuple[np.ndarray, np.ndarray] | None = None, roles: retrieval.Roles | None = None) -> Readout:
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
        validation: vectors, as they are, and labels of validation images, shapes (v, D) and (v,), which choose how strongly
            the probe is regularised; None: there are none.
        roles: which of them ask and which are found; None: every one does both.
    """
    if validation is None:
        validation = vectors[:0], label_id[:0]
    held_back, held_back_label_id = validation
    classes, places = np.unique(np.concatenate([label_id, reference_label_id, held_back_label_id]), return_inverse=True)
    label_id, reference_label_id, held_back_label_id = np.split(places, np.cumsum([len(vectors), len(reference)]))
    distance: Distance = "cosine" if is_unit else "euclidean"
    if is_unit:
        vectors, reference, held_back = (
            part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), np.finfo(np.float32).tiny)
            for part in (vectors, reference, held_back))
    with threadpool_limits(1):  # the same bits whatever the process
        values = {
            "knn_accuracy": metrics.knn_correct(vectors, label_id, reference, reference_label_id, neighbors, distance),
            "probe_accuracy": probe.measure(vectors, label_id, reference, reference_label_id,
                                            (held_back, held_back_label_id))[0],
            "map_at_r": retrieval.retrieve(vectors, label_id, distance, group, roles)["map_at_r"],
            "kmeans_accuracy": metrics.kmeans_correct(vectors, label_id, len(classes), KMEANS_SEEDS)}
    return Readout(place, is_unit, {name: float(np.nanmean(values[name])) for name in CELLS})


def write(run: Run, readouts: list[Readout]) -> None:
    """Keeps a run's readouts."""
    files.write_json(run.readouts_file, {scored_by.KEY: scored_by.VERSION, "kmeans_seeds": KMEANS_SEEDS,
                                         "readouts": [asdict(readout) for readout in readouts]})


def read(run: Run) -> list[Readout]:
    """A run's readouts; none of one that is not completed, or in which a query's own group counted; without the probe's
    accuracy where it was not tuned. What a projection or the logits would give today cannot be told from its embeddings.

    Raises:
        Damaged: if they cannot be read.
    """
    def parse(path: Path) -> list[Readout]:
        values = files.read_json(path)
        readouts = [Readout(**item) for item in values["readouts"]]
        if not all(set(CELLS) <= item.scores.keys() for item in readouts):
            raise KeyError(f"scores of {', '.join(CELLS)}")
        if not scored_by.leaves_out_own_group(values):
            return []
        return readouts if scored_by.is_current(values) else [_without_probe(item) for item in readouts]

    try:
        return files.read(run.readouts_file, parse, "a run's readouts")
    except FileNotFoundError:
        return []
    except Damaged as error:
        raise Damaged(error.path, error.what, handles.RESUME) from None


def _without_probe(readout: Readout) -> Readout:
    return replace(readout, scores={name: value for name, value in readout.scores.items() if name != "probe_accuracy"})


def earlier(runs: Iterable[Run]) -> str:
    """By which rules an earlier version scored some of these runs' readouts, in words; empty if none has such."""
    said = {scored_by.earlier(files.read_json(run.readouts_file)) for run in runs if run.readouts_file.is_file()}
    return next((words for words in (scored_by.EARLIER, scored_by.UNTUNED) if words in said), "")


def metrics_of(arms: list[Json]) -> list[str]:
    """The metrics of `CELLS` that each readout of each arm has; `arms` as `rows` returns them."""
    return [name for name in CELLS if all(name in item for row in arms for item in row["readouts"])]


def rows(experiment: Experiment, config: ExperimentConfig, images_per_class: int | str) -> list[Json]:
    """Every arm's readouts at one images-per-class, over its completed seeds.

    Returns:
        JSON, a row an arm, those that are not trained first: 'objective', 'n_seeds' and 'readouts', each with 'place',
        'is_unit' and metric -> {'mean', 'sd'}, of the metrics that every seed has; sd is 0 with one seed.
    """
    arms = []
    for label in config.all_arms:
        seeds = [readouts for run in config.runs() if arm_label(run.objective) == label
                 and run.images_per_class == images_per_class and (readouts := read(experiment.run(run.name)))]
        if seeds:
            arms.append({"objective": label, "n_seeds": len(seeds), "readouts": [
                {"place": item.place, "is_unit": item.is_unit,
                 **{name: _over_seeds([seed[number].scores[name] for seed in seeds]) for name in CELLS
                    if all(name in seed[number].scores for seed in seeds)}}
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
