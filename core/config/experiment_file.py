"""An experiment file: YAML on disk, and settings from the command line on top, to validated experiments.

Knows where values come from; what they may be is `core.config`'s.
"""

from pathlib import Path

from core.config import ExperimentConfig, bounded_yaml, parse
from core.errors import ConfigError, InputError, NotFound
from core.wording import cut


def load(path: Path, overrides: tuple[str, ...] = ()) -> ExperimentConfig:
    """Reads the one experiment of a file; as `load_all`."""
    experiments = load_all(path, overrides)
    if len(experiments) > 1:
        names = ", ".join(config.name for config in experiments)
        raise ConfigError(f"{path} must hold one experiment, got {len(experiments)}: {names}")
    return experiments[0]


def load_all(path: Path, overrides: tuple[str, ...] = ()) -> list[ExperimentConfig]:
    """Reads a file of experiments (YAML documents) and applies `key.sub=value` overrides (values are YAML) to each.

    Raises:
        NotFound: if there is no such file.
        ConfigError: if it is not YAML, or says something that is not allowed.
    """
    if not path.is_file():
        raise NotFound(f"config must be an experiment file, found none at {path}")
    try:
        with open(path, "rb") as file:
            documents = bounded_yaml.documents(file.read(bounded_yaml.MOST_BYTES + 1))
    except InputError as error:
        raise ConfigError(f"{path} must be YAML, got: {error}") from None
    for values in documents or [None]:
        if not isinstance(values, dict):
            raise ConfigError(f"{path} must hold a mapping of keys to values, got {type(values).__name__}")
        for override in overrides:
            _override(values, override)
    return [parse(values) for values in documents]


def _override(values: dict[str, object], override: str) -> None:
    """Sets one value. Groups on the way to it are copied first: a YAML alias makes one of two places the same object."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set must be key.sub=value, got {cut(override)!r}")
    try:
        value = bounded_yaml.value(text)
    except InputError as error:
        raise ConfigError(f"--set {key} must be a YAML value, got {cut(text)!r} ({error})") from None
    *parents, last = key.split(".")
    settings = values
    for parent in parents:
        group = settings.get(parent, {})
        if not isinstance(group, dict):
            raise ConfigError(f"--set {key}: {parent!r} must be a group of settings, got {cut(repr(group))}")
        settings[parent] = group = dict(group)
        settings = group
    settings[last] = value
