"""Under which settings a run was trained and tested: its config, what that comes to, and what it was really given.

Gathers only; `core.analysis.fairness` judges what differs.
"""


from core.analysis import table as tables
from core.analysis.table import EmbeddingTable
from core.config import RunConfig
from core.experiments import trials
from core.experiments.handles import Run
from core.files import Json


def of_config(config: RunConfig, seeds: tuple[int, ...] | None = None) -> dict[str, object]:
    """A run's settings as far as its config tells them.

    Args:
        config: the run's.
        seeds: of all runs that it stands for; None for its own alone.

    Returns:
        Dotted name -> JSON value, nested as the config is.
    """
    values = config.to_json()
    values["seeds"] = list(seeds if seeds is not None else (config.seed,))
    values["training"]["batch"]["size"] = config.training.batch.size
    values["training"]["images_per_step"] = config.images_per_step
    values["budget"]["images_seen"] = config.n_steps * config.images_per_step
    if config.table is not None:
        values["encoder"] = {"name": config.table}
    values["selection"] = trials.SELECTED_ON
    values["tuning"] = {**(values["tuning"] or {}), "trials": len(config.tuning.learning_rates) if config.tuning else 0}
    return values


def of_runs(runs: list[Run]) -> dict[str, object]:
    """An arm's settings: those of its first finished run, with the seeds of all its runs.

    Raises:
        NotFound, InputError: as `table.read_header`.
    """
    configs = [run.config for run in runs]
    values = of_config(configs[0], tuple(config.seed for config in configs))
    return _with_used(values, *tables.read_header(runs[0].embeddings_file))


def of_table(table: EmbeddingTable) -> dict[str, object]:
    """The settings that an embedding table tells of itself.

    Raises:
        ConfigError: if its config is not one of a run.
    """
    return _with_used(of_config(table.config), table.metadata, table.embedding.shape[1])


def _with_used(values: Json, metadata: Json, width: int) -> dict[str, object]:
    """Adds what was really used: the dataset's content, the embedding's width, the input."""
    values["dataset"]["content"] = metadata["fingerprint"]
    values["encoder"]["width"] = width
    values["input"] = {key: value for key, value in metadata["encoder"].items() if key not in ("name", "options")}
    return values
