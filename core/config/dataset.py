"""Where the images come from, and how they are split.

Reads no file; whether the images can carry a plan is checked by `core.data.split.check_plan`.
"""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from core.config.settings import Seed, Settings
from core.errors import InputError, ParameterError


class DatasetConfig(Settings):
    """Where the images come from; every source but the digits needs a `root`, a folder or, for 'table', a file.

    `group_by` is a regular expression over the path that captures the group. `classes` says of a folder in whose class folders
    more folders lie which are the classes: those at the top, or those that hold the images ('leaf'). Classes of fewer images
    than `min_per_class` are left out; `max_per_class` takes no more images of a class than that, whole groups first.
    `download` fetches Oxford-IIIT Pet where it is missing. Of a table, `columns` says which column is the path, label, group,
    split, is_query, is_gallery or camera where its name does not, and `ignore_columns` which are none of them although they
    look so. `levels` is the level of white in images of more than 8 bits; 'auto' takes what the dataset's files reach, rounded
    up to whole bits.
    """

    source: Literal["digits", "folder", "table", "oxford_pet", "defungi"] = "digits"
    root: str | None = None
    group_by: str | None = Field(None, max_length=1000)
    classes: Literal["top", "leaf"] | None = None
    min_per_class: int | None = Field(None, ge=2)
    max_per_class: int | None = Field(None, ge=2)
    download: bool = False
    columns: dict[Literal["path", "label", "group", "split", "is_query", "is_gallery", "camera"], str] = {}
    ignore_columns: tuple[str, ...] = Field((), max_length=1000)
    levels: Literal["auto", 255, 1023, 4095, 16383, 65535] = "auto"

    @field_validator("columns")
    @classmethod
    def _columns_differ(cls, value: dict[str, str]) -> dict[str, str]:
        role_of: dict[str, str] = {}
        for role, name in value.items():
            other = role_of.setdefault(name.strip().casefold(), role)
            if other != role:
                raise InputError(f"must differ: one column cannot be both {other} and {role}, got {name!r}")
        return value

    @field_validator("group_by")
    @classmethod
    def _group_by_compiles(cls, value: str | None) -> str | None:
        if value is not None:
            from core import group_pattern  # `regex` takes 20 ms to load: only where a pattern is given

            group_pattern.compiled(value)
        return value

    @model_validator(mode="after")
    def _root_where_needed(self) -> "DatasetConfig":
        if self.source != "digits" and not self.root:
            what = {"folder": "the folder of class folders", "table": "a CSV or Parquet file with the columns path and label"}
            raise ParameterError("root",
                                 f"must name {what.get(self.source, 'the folder that holds the dataset')} when source is "
                                 f"{self.source!r}, got none")
        if self.source == "digits" and (self.root or self.group_by or self.max_per_class):
            raise ParameterError("root, group_by and max_per_class",
                                 "must be absent when source is 'digits' (they belong to files)")
        if self.source == "digits" and self.min_per_class:
            raise ParameterError("min_per_class", f"must be absent when source is 'digits', got {self.min_per_class}")
        if self.classes and self.source != "folder":
            raise ParameterError("classes",
                                 f"must be absent unless source is 'folder', got {self.classes!r} for {self.source!r}")
        if self.min_per_class and self.max_per_class and self.min_per_class > self.max_per_class:
            raise ParameterError("min_per_class",
                                 f"must be at most max_per_class, {self.max_per_class}, got {self.min_per_class}")
        if self.group_by and self.source == "table":
            raise ParameterError("group_by", "must be absent when source is 'table': its column group names the groups")
        for key in ("columns", "ignore_columns"):
            if getattr(self, key) and self.source != "table":
                raise ParameterError(key, f"must be absent unless source is 'table', got {getattr(self, key)!r} for "
                                 f"{self.source!r}")
        if self.download and self.source != "oxford_pet":
            raise ParameterError("download", f"must be false unless source is 'oxford_pet', got true for {self.source!r}")
        return self


class SplitConfig(Settings):
    """Shares of train, validation and test, drawn by group and stratified by class.

    `held_out_classes`, names or how many the seed draws, are never trained on: their images are an open set, to be retrieved
    among each other. `official` keeps the split a source gives; `near_duplicates` keeps near copies of a picture on one
    side, as exact ones always are. `group: none` is a leak: images are dealt one by one, and crops of one photograph stand
    on both sides. `repeats`, R, splits the same images R times: seed s trains and is tested on split s mod R, the first of
    which is the one that R = 1 has; held-out classes are the same in all.
    """

    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    seed: Seed = 0
    official: bool = True
    near_duplicates: bool = True
    group: Literal["whole", "none"] = "whole"
    held_out_classes: int | tuple[str, ...] = 0
    repeats: int = Field(1, ge=1, le=100)

    @field_validator("held_out_classes")
    @classmethod
    def _holds_out_two_or_none(cls, value: int | tuple[str, ...]) -> int | tuple[str, ...]:
        count = value if isinstance(value, int) else len(set(value))
        if count < 0 or count == 1 or (not isinstance(value, int) and count != len(value)):
            raise InputError(f"must be two or more classes, by names that differ or by how many, or 0 for none, got {value!r}")
        return value

    @field_validator("fractions")
    @classmethod
    def _fractions_add_up(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) <= 0 or abs(sum(value) - 1) > 1e-6:
            raise InputError(f"must be three positive shares that add up to 1, got {list(value)}")
        return value
