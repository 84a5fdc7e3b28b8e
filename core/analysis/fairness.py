"""Is a comparison fair? The settings of two runs, field by field: under test, harmless, or a confounder.

A setting that is not known to be harmless or under test is a confounder, so that a new one is never overlooked. Knows
nothing of runs and folders; `core.results.protocol` gathers the settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["under test", "harmless", "confounder"]
Settings = Mapping[str, object]  # dotted name -> JSON value
_ABSENT = object()

# What people call a setting; what stands below a name shares it.
_WORDS = {
    "images_per_class": "images per class", "seeds": "seeds", "dataset.content": "dataset", "dataset": "dataset",
    "split.group": "groups in the split", "split.repeats": "number of splits", "split": "split",
    "encoder.name": "encoder", "encoder.weights": "first weights",
    "encoder.options": "encoder options", "encoder.width": "embedding width", "encoder": "encoder",
    "input.image_size": "image size", "input": "evaluation transform", "encoder.mean": "evaluation transform",
    "encoder.geometry": "evaluation transform",
    "encoder.std": "evaluation transform", "encoder.image_size": "image size", "evaluation.flip": "augmentation at evaluation",
    "evaluation.normalize": "normalisation", "evaluation.neighbors": "neighbours of k-NN", "evaluation": "evaluation",
    "budget.images_seen": "images seen", "budget.images": "budget", "budget.epochs": "how often validation selects",
    "training.batch.size": "batch size", "training.images_per_step": "images per step", "training.batch": "classes × samples",
    "training.batch.order": "order of batches",
    "training.augmentation": "augmentation", "training.views": "views", "training.optimizer": "optimizer",
    "training.lr": "learning rate", "training.min_lr": "last learning rate", "training.warmup": "warm-up",
    "training.weight_decay": "weight decay", "training.pool": "sampler pool",
    "training.norm": "statistics of normalisation layers", "tuning.trials": "learning-rate trials",
    "tuning": "learning-rate trials", "selection": "selection metric",
}
_UNDER_TEST = "the objective is what the comparison is about"
_HARMLESS = {
    "experiment": "a name", "objective.label": "a name", "objective.group": "shown as the split it asks for",
    "objective.pool": "shown as the sampler pool it asks for",
    "objective.order": "shown as the order of batches it asks for", "dataset.download": "how the images came here",
    "training.batch.fit": "shown as the batch it comes to",
    "training.micro_batch": "memory alone: the loss sees the whole batch", "training.compile": "speed alone",
    "training.devices": "speed alone: the loss sees the whole batch", "training.save_minutes": "how often is saved",
    "training.tensorboard": "a copy of the records", "evaluation.bootstrap": "both are drawn anew for the comparison",
    "evaluation.margin": "the smaller of both decides",
    "evaluation.false_accept": "of thresholds alone, whose rates are then not compared",
    "evaluation.projection": "a layout, for looking", "evaluation.probe": "which samples are filmed",
    "seed": "shown as the seeds it is one of",
}
_INPUT = ("encoder.mean", "encoder.std", "encoder.image_size", "encoder.geometry")  # null stands for the encoder's own


@dataclass(frozen=True)
class SettingDifference:
    """A setting in which two runs differ.

    Attributes:
        field: its dotted name.
        name: what people call it.
        a, b: its values, as text; '–' where there is none.
        kind: 'under test', 'harmless' or 'confounder'.
        why: for what is harmless or under test, in words.
    """

    field: str
    name: str
    a: str
    b: str
    kind: Kind
    why: str = ""


def differences(a: Settings, b: Settings) -> tuple[SettingDifference, ...]:
    """Every setting in which two runs differ, confounders first.

    Args:
        a: settings of A, by dotted name; nested mappings are taken as dotted names too.
        b: settings of B.
    """
    flat_a, flat_b = flatten(a), flatten(b)
    settings = []
    for field in [*flat_a, *(field for field in flat_b if field not in flat_a)]:
        if flat_a.get(field, _ABSENT) != flat_b.get(field, _ABSENT):
            kind, why = _judge(field, flat_a, flat_b)
            settings.append(SettingDifference(field, name_of(field), _shown(flat_a.get(field)), _shown(flat_b.get(field)),
                                              kind, why))
    order = ("confounder", "under test", "harmless")
    return tuple(sorted(settings, key=lambda item: order.index(item.kind)))


def confounders(settings: tuple[SettingDifference, ...]) -> tuple[str, ...]:
    """What people call the confounders among the differences, each once."""
    return tuple(dict.fromkeys(item.name for item in settings if item.kind == "confounder"))


def name_of(field: str) -> str:
    """What people call a setting; its dotted name where they have no word for it."""
    parts = field.split(".")
    if parts[0] == "objective":
        return " ".join(parts[1:]).replace("_", " ").replace("name", "objective")
    for length in range(len(parts), 0, -1):
        if (words := _WORDS.get(".".join(parts[:length]))) is not None:
            return words
    return field


def flatten(values: Settings, prefix: str = "") -> dict[str, object]:
    """A nested mapping as dotted names."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _judge(field: str, a: dict[str, object], b: dict[str, object]) -> tuple[Kind, str]:
    if field in _HARMLESS:
        return "harmless", _HARMLESS[field]
    if field.split(".")[0] in ("encoder", "input") and "frozen" in (a.get("objective.name"), b.get("objective.name")):
        return "under test", "training is measured against this frozen encoder"
    if field in _INPUT and "input.image_size" in a and "input.image_size" in b:
        return "harmless", "shown as the evaluation transform it comes to"
    if field.split(".")[0] == "objective":
        return "under test", _UNDER_TEST
    if field == "training.batch.order":
        return "under test", "how images come to a loss is part of how it is trained; both see as many"
    if field.startswith("dataset.") and field != "dataset.content" and "dataset.content" in a and (
            a["dataset.content"] == b.get("dataset.content")):
        return "harmless", "the same images, labels and groups"
    if field == "training.images_per_step" and _are_whole_triplets(a, b):
        return "harmless", "triplets come whole"
    if field == "budget.images_seen" and a.get("budget.images") == b.get("budget.images"):
        return "harmless", "the same budget, in whole steps"
    if field == "training.lr" and a.get("tuning.trials") and a.get("tuning.trials") == b.get("tuning.trials"):
        return "harmless", f"each is the best of {a['tuning.trials']} on validation"
    return "confounder", ""


def _are_whole_triplets(a: dict[str, object], b: dict[str, object]) -> bool:
    """Whether the same batch was asked for, and one of the two draws triplets one by one."""
    fields = ("training.batch.classes", "training.batch.samples", "training.views")
    return all(a.get(field) == b.get(field) for field in fields) and "drawn" in (a.get("objective.mining"),
                                                                               b.get("objective.mining"))


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value)
    return str(value)
