"""From run folders to what may be said: scores of each arm, and the comparison of the arms.

Reads scores and tables that runs left behind; computes them anew only for a Parquet file that has none.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core import config as configuration
from core.analysis import comparison, fairness, metrics
from core.analysis import table as tables
from core.analysis.comparison import Comparison, Values
from core.analysis.metrics import HEADLINE, METRICS
from core.analysis.table import EmbeddingTable
from core.config import ExperimentConfig, Objective, UntrainedConfig, arm_label, arm_title
from core.runs import curve, directory, protocol


@dataclass(frozen=True, eq=False)
class Scores:
    """Every metric of one or more spaces, test sample by test sample.

    Attributes:
        name: what to call them in a sentence.
        sample_id: the test samples, shape (n,), the same in every space.
        group: their groups, shape (n,); drawn together by the bootstrap.
        values: metric -> shape (seeds, n), float64, 0 to 1, nan where undefined.
        config: resolved config of the first run.
        settings: what they were trained and tested under, by `protocol`.
    """

    name: str
    sample_id: np.ndarray
    group: np.ndarray
    values: Values
    config: dict
    settings: dict


def score(table: EmbeddingTable) -> Scores:
    """Every metric of a table's test samples; the same table gives the same numbers.

    Args:
        table: a run's space; `metadata['training_samples']` names the labelled samples of k-NN, None all of train.

    Returns:
        The scores of one space, under its run's name.

    Raises:
        ValueError: if the table has no test or no training samples.
    """
    test = table.of_split("test")
    used = table.metadata["training_samples"]
    known = table.of_split("train") if used is None else table.rows(np.isin(table.sample_id, used))
    if len(test) < 2 or len(known) == 0:
        raise ValueError(f"a space to score must have test and training samples, got {len(test)} and {len(known)}")
    evaluation = table.metadata["config"]["evaluation"]
    values = metrics.per_sample(test.embedding, test.label_id, known.embedding, known.label_id, len(table.classes),
                                evaluation["neighbors"], evaluation["kmeans_seeds"])
    config = table.metadata["config"]
    return Scores(name=configuration.parse_run(config).name, sample_id=test.sample_id, group=test.group,
                  values={name: column[None] for name, column in values.items()}, config=config,
                  settings=protocol.of_table(table))


def write_scores(run: Path, scores: Scores) -> None:
    """Keeps every metric of every test sample, so that comparing runs computes nothing twice."""
    arrow = pa.table({"sample_id": pa.array(scores.sample_id.tolist(), pa.string()),
                      "group": pa.array(scores.group.tolist(), pa.string()),
                      **{name: pa.array(column[0], pa.float64()) for name, column in scores.values.items()}})
    temporary = run / "scores.parquet.tmp"
    pq.write_table(arrow, temporary)
    temporary.replace(run / "scores.parquet")


def summarize(scores: Scores, n_bootstrap: int) -> dict[str, dict[str, float]]:
    """Mean, 95 % interval and sd over seeds of every metric, for JSON and tables."""
    return {name: asdict(comparison.interval(column, n_bootstrap, group=scores.group))
            for name, column in scores.values.items()}


def scores_of_runs(runs: list[Path], name: str) -> Scores:
    """The scores of completed runs, one a seed.

    Raises:
        ValueError: if a run is not completed.
    """
    columns = []
    for run in runs:
        if not (run / "scores.parquet").is_file():
            raise ValueError(f"{run.parent.name}/{run.name} must be completed to be compared, "
                             f"got {directory.read_status(run).state}")
        columns.append(pq.read_table(run / "scores.parquet"))
    values = {metric: np.stack([column[metric].to_numpy() for column in columns]) for metric in METRICS}
    sample_id, group = (np.array(columns[0][key].to_pylist(), dtype=object) for key in ("sample_id", "group"))
    return Scores(name=name, sample_id=sample_id, group=group, values=values,
                  config=directory.read_json(runs[0] / "run.json")["config"], settings=protocol.of_runs(runs))


def scores_of_file(path: Path) -> Scores:
    """The scores of an embedding table.

    Raises:
        FileNotFoundError, ValueError: as `table.read` and `score`.
    """
    return replace(score(tables.read(path)), name=path.stem)


def title_of(run: Path) -> str:
    """A run's objective as it is called in a sentence."""
    return arm_title(directory.read_run(run).objective)


def arm(folder: Path, label: str, images_per_class: int | str) -> Scores | None:
    """An experiment's arm at one images-per-class over its completed seeds; None before any is completed."""
    matching = [run for run in directory.read_config(folder).runs()
                if arm_label(run.objective) == label and run.images_per_class == images_per_class
                and (folder / run.name / "scores.parquet").is_file()]
    if not matching:
        return None
    return scores_of_runs([folder / run.name for run in matching], arm_title(matching[0].objective))


def compare(a: Scores, b: Scores, n_bootstrap: int) -> Comparison:
    """B against A: on the test samples both have, or, where their splits differ by design, each on its own.

    Raises:
        ValueError: if they share no test sample, or differ in their number of seeds.
    """
    n_seeds = (len(a.values[HEADLINE]), len(b.values[HEADLINE]))
    if n_seeds[0] != n_seeds[1]:
        raise ValueError(f"spaces to compare must have as many seeds as each other, got {n_seeds[0]} of {a.name} and "
                         f"{n_seeds[1]} of {b.name}")
    config_a, config_b = configuration.parse_run(a.config), configuration.parse_run(b.config)
    n_dropped = 0
    if config_a.split == config_b.split:
        shared = np.intersect1d(a.sample_id, b.sample_id)
        if len(shared) == 0:
            raise ValueError(f"spaces must share test samples to be compared, got none in {a.name} and {b.name}")
        n_dropped = len(a.sample_id) + len(b.sample_id) - 2 * len(shared)
        in_a, in_b = _rows(a, shared), _rows(b, shared)
        differences = comparison.compare({metric: values[:, in_a] for metric, values in a.values.items()},
                                         {metric: values[:, in_b] for metric, values in b.values.items()}, n_bootstrap,
                                         group=a.group[in_a])
    else:
        differences = [comparison.unpaired_difference(metric, a.values[metric], b.values[metric], n_bootstrap,
                                                      group_a=a.group, group_b=b.group) for metric in METRICS]
    headline = next(item for item in differences if item.metric == HEADLINE)
    leaks_a, leaks_b = config_a.leaks, config_b.leaks
    settings = fairness.differences(a.settings, b.settings)
    unfair = fairness.confounders(settings)
    confounding = {item.field for item in settings if item.kind == "confounder"}
    is_worth = not leaks_a and bool(leaks_b) and not confounding - _LEAK_SETTINGS and (
        _without_leaks(config_a.objective) == _without_leaks(config_b.objective))
    if is_worth:
        said = comparison.worth_sentence(headline, " and ".join(leaks_b), a.name)
        unfair = ()
    else:
        said = comparison.sentence(headline, a.name, b.name, unfair, _leak_warning(a.name, leaks_a, b.name, leaks_b))
    return Comparison(name_a=a.name, name_b=b.name, differences=tuple(differences), confounders=unfair, n_dropped=n_dropped,
                      sentence=said, settings=settings, leaks_a=leaks_a, leaks_b=leaks_b, is_worth_of_leak=is_worth)


_LEAK_SETTINGS = {"split.group", "training.pool"}


def _without_leaks(objective: Objective) -> dict:
    return objective.model_dump(exclude={"label", "group", "pool"})


def _leak_warning(name_a: str, leaks_a: tuple[str, ...], name_b: str, leaks_b: tuple[str, ...]) -> str:
    if leaks_a == leaks_b:
        return f"both have {' and '.join(leaks_a)}: these numbers are too good" if leaks_a else ""
    return "; ".join(f"{name} has {' and '.join(leaks)}: its numbers are too good"
                     for name, leaks in ((name_a, leaks_a), (name_b, leaks_b)) if leaks)


def decide(folder: Path) -> dict:
    """Everything an experiment allows one to say so far: a row per arm, a comparison per images-per-class.

    Every arm is compared with the first, and every arm that leaks with the same arm without the leak.

    Returns:
        JSON: 'rows' (objective, images_per_class, leaks, n_seeds, metrics), 'comparisons' and 'sentence', the first
        comparison at the most images per class; empty where nothing is completed. 'curve' as `curve.draw` has it.
    """
    config = directory.read_config(folder)
    n_bootstrap = config.evaluation.bootstrap
    rows, comparisons = [], []
    for count in config.images_per_class:
        arms = {label: arm(folder, label, count) for label in (arm_label(UntrainedConfig()), *config.arms)}
        for label, found in arms.items():
            if found is not None:
                rows.append({"objective": label, "images_per_class": count,
                             "leaks": list(configuration.parse_run(found.config).leaks),
                             "n_seeds": len(found.values[HEADLINE]), "n_test": len(found.sample_id),
                             "metrics": summarize(found, n_bootstrap)})
        for label_a, label_b in _pairs(config):
            a, b = arms[label_a], arms[label_b]
            if a is not None and b is not None and len(a.values[HEADLINE]) == len(b.values[HEADLINE]):
                comparisons.append({"images_per_class": count, "label_a": label_a, "label_b": label_b,
                                    **compare(a, b, n_bootstrap).to_json()})
    most = max(config.images_per_class, key=lambda count: float("inf") if count == "all" else count)
    chosen = next((item for item in comparisons if item["images_per_class"] == most), None)
    return {"rows": rows, "comparisons": comparisons, "sentence": chosen["sentence"] if chosen else "",
            "curve": curve.draw(folder, scores_of_runs)}


def _pairs(config: ExperimentConfig) -> list[tuple[str, str]]:
    """Labels of the arms to compare, A and B: fair pairs first."""
    first, *others = config.objectives
    clean = [objective for objective in config.objectives if not (objective.group or objective.pool)]
    fair, leaky = [], []
    for objective in others:
        if (objective.group, objective.pool) == (first.group, first.pool):
            fair.append((first, objective))
        elif objective not in clean:
            twins = [twin for twin in clean if _without_leaks(twin) == _without_leaks(objective)]
            leaky.append((twins[0] if twins else first, objective))
        else:
            leaky.append((objective, first) if _without_leaks(objective) == _without_leaks(first) else (first, objective))
    return [(arm_label(a), arm_label(b)) for a, b in fair + leaky]


def find_scores(root: Path, name: str) -> Scores:
    """Scores of what a name on the command line stands for: a Parquet file, 'experiment/run', or 'experiment/arm' such
    as 'demo/supcon-15', which is all its seeds.

    Raises:
        FileNotFoundError, ValueError: if there is nothing of that name, or it is not completed.
    """
    if name.endswith(".parquet"):
        return scores_of_file(Path(name))
    return scores_of_runs(_runs_named(root, name), name.partition("/")[2])


def find_table(root: Path, name: str) -> EmbeddingTable:
    """The embedding table of such a name; of an arm, its first seed's."""
    return tables.read(Path(name) if name.endswith(".parquet") else _runs_named(root, name)[0] / "embeddings.parquet")


def _runs_named(root: Path, name: str) -> list[Path]:
    experiment, _, rest = name.partition("/")
    if not rest:
        raise ValueError(f"a space must be named experiment/run, experiment/arm or by its Parquet file, got {name!r}")
    config = directory.read_config(directory.find(root, experiment))
    seeds = [root / experiment / run.name for run in config.runs() if run.name.rpartition("-seed")[0] == rest]
    return seeds or [directory.find(root, name)]


def _rows(scores: Scores, sample_ids: np.ndarray) -> np.ndarray:
    place = {sample_id: row for row, sample_id in enumerate(scores.sample_id.tolist())}
    return np.array([place[sample_id] for sample_id in sample_ids.tolist()])
