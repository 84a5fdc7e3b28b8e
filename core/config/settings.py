"""What every group of settings is, and the seeds that several of them have."""

from collections.abc import Mapping
from typing import Annotated, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from core.errors import InputError, ParameterError
from core.wording import shown

MOST_SEED = 2**63 - 1


class Settings(BaseModel):
    """A group of settings: its values cannot change, and a key that it does not have is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, values: object, info: ValidationInfo) -> object:
        """Refuses true, yes and on where a number is meant, which pydantic reads as 1."""
        for name, value in values.items() if isinstance(values, Mapping) and not is_stored(info) else ():
            kinds = _kinds(cls.model_fields[name].annotation) if name in cls.model_fields else set()
            if not kinds & {int, float} or kinds - {int, float, type(None), ...}:  # no number alone: it has a check of its own
                continue
            is_list = isinstance(value, (list, tuple))
            for index, each in enumerate(value if is_list else [value]):
                if isinstance(each, bool):
                    kind = "a number" if float in kinds else "a whole number"
                    raise ParameterError(f"{name}.{index}" if is_list else name,
                                         f"must be {kind}, got {shown(each)}; YAML reads yes and on so")
        return values


def _kinds(annotation: object) -> set[object]:
    """The types that an annotation is made of, without what bounds them."""
    parts = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    return set().union(*map(_kinds, parts)) if parts else {annotation}


def is_stored(info: ValidationInfo) -> bool:
    """Whether the values come from an experiment's folder: what an earlier version accepted still opens."""
    return bool(info.context and info.context.get("stored"))


def _fits_generator(value: int, info: ValidationInfo) -> int:
    if value > MOST_SEED and not is_stored(info):
        raise InputError(f"must be a whole number from 0 to {MOST_SEED}, what the random generators take, got {shown(value)}")
    return value


Seed = Annotated[int, Field(ge=0), AfterValidator(_fits_generator)]
