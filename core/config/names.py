"""What experiments and arms are called, in folders, tables and sentences."""

import re

from core.config.objectives import Objective
from core.errors import ConfigError

RANDOM_SPLIT = "a random split"
LEAKY_SAMPLER = "a sampler that draws from every split"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def arm_label(objective: Objective) -> str:
    """An objective's name in tables, folders and legends: its own label, or the objective's name, its order of batches and
    its leaks."""
    suffix = (f"{f'-{objective.order}' if objective.order else ''}{'-random-split' if objective.group else ''}"
              f"{'-leaky-sampler' if objective.pool else ''}")
    return objective.label or f"{objective.name}{suffix}"


def arm_title(objective: Objective) -> str:
    """An objective's name in a sentence."""
    if objective.label:
        return objective.label
    own = [words for words, is_on in ((f"{objective.order} batches", objective.order), (RANDOM_SPLIT, objective.group),
                                      (LEAKY_SAMPLER, objective.pool)) if is_on]
    return objective.word + (f" with {' and '.join(own)}" if own else "")


def name_fault(value: object) -> str:
    """What is wrong with a name; '' if it is one."""
    if isinstance(value, str) and NAME_PATTERN.fullmatch(value):
        return ""
    return f"must be 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit, got {value!r}"


def check_name(value: str) -> str:
    """Refuses a name that could not be one folder.

    Raises:
        ConfigError: if it is empty, too long, or holds anything but letters, digits, '.', '_' and '-'.
    """
    if fault := name_fault(value):
        raise ConfigError(f"a name {fault}")
    return value
