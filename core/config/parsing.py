"""Mappings, from a file, a form or a folder, to validated experiments, runs and datasets.

Raises `ConfigError` with one sentence; where the values come from is the caller's.
"""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from core.config.dataset import DatasetConfig
from core.config.experiment import ExperimentConfig
from core.config.objectives import OBJECTIVES
from core.config.refusals import describe
from core.config.run import RunConfig
from core.errors import ConfigError
from core.files import Json
from core.wording import cut

_MOST_SAID = 1000  # letters of a refusal
AnyConfig = TypeVar("AnyConfig", ExperimentConfig, RunConfig)
AnyModel = TypeVar("AnyModel", bound=BaseModel)


def parse(values: object, stored: bool = False) -> ExperimentConfig:
    """Validates a mapping read from YAML, JSON or a form.

    Args:
        values: the mapping.
        stored: whether it comes from an experiment's folder, maybe an earlier version's: what that version took for granted
            holds, and a value that it accepted is not refused.

    Raises:
        ConfigError: one sentence for the first thing that is wrong.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"an experiment must be a mapping of keys to values, got {type(values).__name__}")
    return _with_norm(_validated(ExperimentConfig, values, stored), is_old=stored)


def parse_run(values: object) -> RunConfig:
    """A `RunConfig` from the JSON a run folder holds.

    Raises:
        ConfigError: if the file was written by hand or by another version.
    """
    return _with_norm(_validated(RunConfig, values, stored=True), is_old=True)


def parse_dataset(values: Json) -> DatasetConfig:
    """A `DatasetConfig` from what a form holds.

    Raises:
        ConfigError: naming the field, what it must be and what it got.
    """
    return _validated(DatasetConfig, values, stored=False)


def _validated(model: type[AnyModel], values: object, stored: bool) -> AnyModel:
    """The values as a model; `stored` as of `parse`. Raises ConfigError in the project's own words."""
    try:
        return model.model_validate(values, context={"stored": stored})
    except ValidationError as error:
        raise ConfigError(cut(describe(error, model, OBJECTIVES), _MOST_SAID)) from None


def _with_norm(config: AnyConfig, is_old: bool) -> AnyConfig:
    """The config with `training.norm` resolved, so that it stands in every file and comparison.

    A stored config without it is of a version that trained every encoder's statistics.
    """
    if config.training.norm is not None:
        return config
    norm = "trained" if is_old or config.encoder.weights == "random" else "frozen"
    return config.model_copy(update={"training": config.training.model_copy(update={"norm": norm})})
