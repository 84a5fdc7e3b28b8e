"""Scores of spaces made, kept in a file, and found again by name.

Reads what runs left behind; computes anew only for a Parquet file that has no scores. What two spaces' scores allow one to
say is `core.results.verdict`'s.
"""

import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core import files, scored_by
from core.analysis import clustering, metrics, retrieval
from core.analysis import table as tables
from core.analysis.comparison import Values
from core.analysis.metrics import GALLERY, METRICS, SPACE_METRICS
from core.analysis.probe import ProbeChoice
from core.analysis.retrieval import roles_of
from core.analysis.table import EmbeddingTable
from core.config import RunConfig, arm_label, arm_title
from core.data import split
from core.data.manifest import OPEN
from core.errors import Damaged, InputError
from core.experiments import handles, store
from core.experiments.handles import Experiment, Run
from core.experiments.status import State
from core.files import Json
from core.results import protocol
from core.results.repeated import AnyScores, Repeated
from core.results.scores import Scores
from core.visible import printable


def score(table: EmbeddingTable) -> Scores:
    """Every metric of a table's test samples; the same table gives the same numbers, whatever the order of its rows.

    Args:
        table: a run's space; `metadata['training_samples']` names the labelled samples of k-NN and probe, None all of train;
            its validation samples, where it has any, choose how strongly the probe is regularised.

    Returns:
        The scores of one space, under its run's name, in the order of sample_id.

    Raises:
        InputError: if the table has no test or no training samples.
    """
    table = by_name(table)
    test = table.of_split("test")
    used = table.metadata["training_samples"]
    known = table.of_split("train") if used is None else table.rows(np.isin(table.sample_id, used))
    if len(test) < 2 or len(known) == 0:
        raise InputError(f"a space to score must have test and training samples, got {len(test)} and {len(known)}")
    config = table.config
    validation = table.of_split("validation")
    classes, places = np.unique(np.concatenate([test.label_id, known.label_id]), return_inverse=True)  # none is held out
    measures = metrics.measure(test.embedding, places[:len(test)], known.embedding, places[len(test):], len(classes),
                               config.evaluation.neighbors, config.evaluation.kmeans_seeds, test.group,
                               _placed(validation, classes), None if test.role is None else roles_of(test.role))
    return Scores(name=config.name, sample_id=test.sample_id, group=test.group, label=test.label,
                  label_id=test.label_id, values={name: column[None] for name, column in measures.values.items()},
                  gallery={name: column[None] for name, column in measures.gallery.items()},
                  gallery_by_class={name: column[None] for name, column in measures.gallery_by_class.items()},
                  space={name: column[None] for name, column in measures.space.items()},
                  clusters=classes[measures.clusters].astype(np.int32)[None],
                  neighbors=measures.neighbors[None].astype(np.int32), config=table.metadata["config"],
                  settings=protocol.of_table(table), with_own_group=_with_own_group(test.group, measures.with_own_group),
                  expected={name: column[None] for name, column in measures.expected.items()},
                  probe=(measures.probe,), role=test.role)


def _placed(validation: EmbeddingTable, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Validation vectors and the places of their labels among `classes`; without those of no such class."""
    is_of_them = np.isin(validation.label_id, classes)
    return validation.embedding[is_of_them], np.searchsorted(classes, validation.label_id[is_of_them])


def by_name(table: EmbeddingTable) -> EmbeddingTable:
    """A table in the order of sample_id, so that ties and sums do not depend on the order it was written in."""
    order = np.argsort(table.sample_id.astype(str), kind="stable")
    return table if (np.diff(order) > 0).all() else table.rows(order)


def _with_own_group(group: np.ndarray, values: dict[str, np.ndarray]) -> Values:
    return {name: column[None] for name, column in values.items()} if len(set(group.tolist())) < len(group) else {}


def score_open(table: EmbeddingTable) -> Scores | None:
    """Retrieval and K-means among a table's held-out classes; None where none is held out.

    They have no training samples, so there is nothing for k-NN and the probe to learn from.
    """
    held_out = by_name(table).of_split(OPEN)
    if len(held_out) == 0:
        return None
    config = table.config
    classes, label_id = np.unique(held_out.label_id, return_inverse=True)
    correct, clusters = [], []
    for seed in range(config.evaluation.kmeans_seeds):
        cluster, _ = clustering.matched_kmeans(held_out.embedding, label_id, len(classes), seed)
        correct.append(cluster == label_id)
        clusters.append(classes[cluster].astype(np.int32))
    measures = retrieval.measure(held_out.embedding, label_id, held_out.group,
                                 None if held_out.role is None else roles_of(held_out.role))
    values = {**measures.values, "kmeans_accuracy": np.mean(correct, axis=0)}
    return Scores(name=config.name, sample_id=held_out.sample_id, group=held_out.group,
                  label=held_out.label, label_id=held_out.label_id,
                  values={name: values[name][None] for name in METRICS if name in values},
                  gallery={name: column[None] for name, column in measures.gallery.items()},
                  gallery_by_class={name: column[None] for name, column in measures.gallery_by_class.items()}, space={},
                  clusters=np.stack(clusters)[None], neighbors=measures.neighbors[None].astype(np.int32),
                  config=table.metadata["config"], settings=protocol.of_table(table), is_open=True,
                  with_own_group=_with_own_group(held_out.group, measures.with_own_group),
                  expected={name: column[None] for name, column in measures.expected.items()}, role=held_out.role)


_TEXT = ("sample_id", "group", "label")
_LISTS = ("clusters", "neighbors")
_BY_CLASS, _OWN, _CHANCE = "gallery_by_class_", "with_own_group_", "chance_"  # before a metric's name


def write_scores(run: Run, scores: Scores) -> None:
    """Keeps every metric of every sample, so that comparing runs computes nothing twice."""
    lists = {"clusters": scores.clusters[0].T, "neighbors": scores.neighbors[0]}
    arrow = pa.table({**{name: pa.array(getattr(scores, name).tolist(), pa.string()) for name in _TEXT},
                      "label_id": pa.array(scores.label_id, pa.int32()),
                      **({} if scores.role is None else {"role": pa.array(scores.role.tolist(), pa.string())}),
                      **{name: pa.array(column[0], pa.float64()) for name, column in (scores.values | scores.space).items()},
                      **{f"gallery_{name}": pa.array(column[0], pa.float64()) for name, column in scores.gallery.items()},
                      **{f"{_BY_CLASS}{name}": pa.array(column[0], pa.float64())
                         for name, column in scores.gallery_by_class.items()},
                      **{f"{_OWN}{name}": pa.array(column[0], pa.float64()) for name, column in scores.with_own_group.items()},
                      **{f"{_CHANCE}{name}": pa.array(column[0], pa.float64()) for name, column in scores.expected.items()},
                      **{name: pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1), pa.int32()), rows.shape[1])
                         for name, rows in lists.items()}})
    told = {scored_by.KEY: scored_by.VERSION, "probe": [asdict(choice) for choice in scores.probe]}
    arrow = arrow.replace_schema_metadata({"duet": json.dumps(told)})
    with files.replacing(_file(run, scores.is_open)) as temporary:
        pq.write_table(arrow, temporary, compression="zstd")


def _file(run: Run, is_open: bool) -> Path:
    return run.open_scores_file if is_open else run.scores_file


def read_scores(run: Run, is_open: bool = False) -> Scores:
    """The scores of one completed run; damaged, gone or an earlier version's, they are computed anew from its embeddings.

    Args:
        run: which one.
        is_open: those among the held-out classes.

    Raises:
        InputError: if the run is not completed.
        Damaged: if neither its scores nor its embeddings can be read; or an earlier version scored it and it cannot be anew.
    """
    path = _file(run, is_open)
    if not path.is_file() and not run.embeddings_file.is_file():
        raise InputError(f"{run.full_name} must be completed to be compared, got "
                         f"{run.status.state}")
    is_earlier = False
    with suppress(FileNotFoundError, Damaged):
        stored = files.read(path, lambda _: parse_scores(run, is_open), "a table of scores")
        if stored is not None:
            return stored
        is_earlier = True
    try:
        scores = (score_open if is_open else score)(read_space(run))
    except Damaged as error:
        if is_earlier:
            raise Damaged(path, f"was {_earlier(path)}; to be scored anew, {error.path.name} {error.what}",
                          handles.RESUME) from None
        raise
    if scores is None:
        raise Damaged(path, "must be a table of scores, and there are no held-out classes to score", handles.RESUME)
    with suppress(OSError):  # a disk that is full or only to be read: they are computed again next time
        write_scores(run, scores)
    return _named(run, scores)


def read_space(run: Run) -> EmbeddingTable:
    """A completed run's table with groups that hold copies too, as its experiment's manifest has them: the file of an earlier
    version has them without.

    Raises:
        Damaged: as `read_embeddings`.
    """
    table = read_embeddings(run)
    try:
        config = run.config
        manifest = run.experiment.manifest(config.split, config.repeat)
    except Damaged:
        return table
    group = dict(zip(manifest.sample_id.tolist(), split.own_groups(manifest, config.split).tolist()))
    return replace(table, group=np.array([group.get(sample_id, own) for sample_id, own in
                                          zip(table.sample_id.tolist(), table.group.tolist())], dtype=object))


def read_embeddings(run: Run) -> EmbeddingTable:
    """A completed run's embedding table.

    Raises:
        Damaged: if it is gone or cannot be read.
    """
    return files.read_or_damaged(run.embeddings_file, tables.read, handles.RESUME)


def _named(run: Run, scores: Scores) -> Scores:
    return replace(scores, name=run.full_name, files=(run.embeddings_file,))


def parse_scores(run: Run, is_open: bool = False) -> Scores | None:
    """The scores in a run's file, None if an earlier version wrote it; raises whatever broken content makes a reader raise.
    `is_open` as in `read_scores`."""
    name = run.full_name
    arrow = pq.read_table(_file(run, is_open))
    embeddings = run.embeddings_file
    is_of_test, columns = not is_open, set(arrow.column_names)
    galleries = {name: f"gallery_{name}" for name in GALLERY if is_of_test or f"gallery_{name}" in columns}
    metrics_of_it = {*METRICS, *SPACE_METRICS} if is_of_test else {*retrieval.NAMES, "kmeans_accuracy"}
    by_class = {name: f"{_BY_CLASS}{name}" for name in retrieval.NAMES}
    lacks_columns = not {*_TEXT, "label_id", *_LISTS, *metrics_of_it, *galleries.values(), *by_class.values()} <= columns
    told = _told(arrow.schema)
    if lacks_columns or not (scored_by.is_current(told) if is_of_test else scored_by.leaves_out_own_group(told)):
        return None
    expected = {column.removeprefix(_CHANCE): arrow[column].to_numpy()[None] for column in arrow.column_names
                if column.startswith(_CHANCE)}
    clusters, neighbors = (arrow[key].combine_chunks().flatten().to_numpy().reshape(len(arrow), -1) for key in _LISTS)
    values, space = ({metric: arrow[metric].to_numpy()[None] for metric in registry if metric in arrow.column_names}
                     for registry in (METRICS, SPACE_METRICS))
    gallery, gallery_by_class = ({name: arrow[key].to_numpy()[None] for name, key in keys.items()}
                                 for keys in (galleries, by_class))
    with_own_group = {name: arrow[f"{_OWN}{name}"].to_numpy()[None] for name in retrieval.NAMES
                      if f"{_OWN}{name}" in arrow.column_names}
    text = {key: np.array(arrow[key].to_pylist(), dtype=object) for key in _TEXT}
    return Scores(**text, name=name, label_id=arrow["label_id"].to_numpy(), values=values,
                  gallery=gallery, gallery_by_class=gallery_by_class, space=space, clusters=clusters.T[None],
                  neighbors=neighbors[None],
                  config=files.read_json(run.config_file)["config"], settings=protocol.of_runs([run]),
                  files=(embeddings,), is_open=is_open, with_own_group=with_own_group,
                  expected=expected, probe=tuple(ProbeChoice(**choice) for choice in told.get("probe", ())),
                  role=np.array(arrow["role"].to_pylist(), dtype=object) if "role" in columns else None)


def _told(schema: pa.Schema) -> Json:
    """What a file of scores says of itself."""
    told: Json = json.loads((schema.metadata or {}).get(b"duet", b"{}"))
    return told


def _earlier(path: Path) -> str:
    """By which rules an earlier version scored a file, in words."""
    return scored_by.earlier(_told(pq.read_schema(path))) or "scored by an earlier version, which knew fewer metrics"


def scores_of_runs(runs: list[Run], name: str, is_open: bool = False) -> Scores:
    """The scores of completed runs, one a seed; `is_open` as in `read_scores`.

    Raises:
        InputError: if a run is not completed, or they were not tested on the same samples.
    """
    scores = [read_scores(run, is_open) for run in runs]
    for other in scores[1:]:
        if not np.array_equal(other.sample_id, scores[0].sample_id):
            raise InputError(f"seeds must be tested on the same samples, got others in {other.name} than in {scores[0].name}")
    values, gallery, gallery_by_class, space, with_own_group, expected = (
        {metric: np.concatenate([getattr(item, part)[metric] for item in scores]) for metric in getattr(scores[0], part)
         if all(metric in getattr(item, part) for item in scores)}
        for part in ("values", "gallery", "gallery_by_class", "space", "with_own_group", "expected"))
    return replace(scores[0], name=name, values=values, gallery=gallery, gallery_by_class=gallery_by_class, space=space,
                   with_own_group=with_own_group, expected=expected,
                   clusters=np.concatenate([item.clusters for item in scores]),
                   neighbors=np.concatenate([item.neighbors for item in scores]), settings=protocol.of_runs(runs),
                   files=tuple(path for item in scores for path in item.files),
                   probe=tuple(choice for item in scores for choice in item.probe))


def arm_of_runs(runs: list[Run], name: str, is_open: bool = False) -> AnyScores:
    """The same of an arm that may be tested on several splits, a seed a run.

    Raises:
        InputError: as `scores_of_runs`, of the runs of one split.
    """
    numbers = [run.config.repeat for run in runs]
    splits = sorted(set(numbers))
    if len(splits) == 1:
        return scores_of_runs(runs, name, is_open)
    parts = tuple(scores_of_runs([run for run, its in zip(runs, numbers) if its == number], name, is_open)
                  for number in splits)
    return Repeated(name, parts, np.array([splits.index(number) for number in numbers]), protocol.of_runs(runs))


def scores_of_file(path: Path) -> Scores:
    """The scores of an embedding table.

    Raises:
        NotFound, InputError: as `table.read` and `score`; of the file.
    """
    table = tables.read(path)
    try:
        return replace(score(table), name=path.stem, files=(path,))
    except InputError as error:
        raise InputError(f"{printable(str(path))} must be a space that can be scored, got: {error}") from None


def has_scores(run: Run, is_open: bool = False) -> bool:
    """Whether a run's scores are there with its embeddings, which are written last; one of the two is enough once it is
    completed."""
    has_file, has_embeddings = _file(run, is_open).is_file(), run.embeddings_file.is_file()
    if has_file and has_embeddings:
        return True
    if not has_file and (is_open or not has_embeddings):
        return False
    try:
        return run.status.state == State.COMPLETED
    except (InputError, OSError):  # its state is damaged too: nothing says that it came to its end
        return False


def arm(experiment: Experiment, label: str, images_per_class: int | str, is_open: bool = False) -> AnyScores | None:
    """An experiment's arm at one images-per-class over its completed seeds; None before any is completed. `is_open` as
    in `read_scores`."""
    matching = runs_of_arm(experiment, label, images_per_class, is_open)
    if not matching:
        return None
    return arm_of_runs([experiment.run(run.name) for run in matching], arm_title(matching[0].objective), is_open)


def runs_of_arm(experiment: Experiment, label: str, images_per_class: int | str, is_open: bool = False) -> list[RunConfig]:
    """The completed runs of an experiment's arm at one images-per-class, a seed each."""
    return [run for run in experiment.config.runs()
            if arm_label(run.objective) == label and run.images_per_class == images_per_class
            and has_scores(experiment.run(run.name), is_open)]


def find_scores(root: Path, name: str) -> AnyScores:
    """Scores of what a name on the command line stands for: a Parquet file, 'experiment/run', or 'experiment/arm' such
    as 'demo/supcon-15', which is all its seeds.

    Raises:
        NotFound, InputError: if there is nothing of that name, or it is not completed.
    """
    if name.endswith(".parquet"):
        return scores_of_file(Path(name))
    return arm_of_runs(_runs_named(root, name), name.partition("/")[2])


def _runs_named(root: Path, name: str) -> list[Run]:
    first, _, rest = name.partition("/")
    if not rest:
        raise InputError(f"a space must be named experiment/run, experiment/arm or by its Parquet file, got {name!r}")
    experiment = store.find(root, first)
    seeds = [run for run in experiment.runs if run.name.rpartition("-seed")[0] == rest]
    return seeds or [store.find_run(root, name)]
