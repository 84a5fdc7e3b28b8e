"""What every group of settings is, and the seeds that several of them have."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from core.errors import InputError
from core.wording import shown

MOST_SEED = 2**63 - 1


class Settings(BaseModel):
    """A group of settings: its values cannot change, and a key that it does not have is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def is_stored(info: ValidationInfo) -> bool:
    """Whether the values come from an experiment's folder: what an earlier version accepted still opens."""
    return bool(info.context and info.context.get("stored"))


def _fits_generator(value: int, info: ValidationInfo) -> int:
    if value > MOST_SEED and not is_stored(info):
        raise InputError(f"must be a whole number from 0 to {MOST_SEED}, what the random generators take, got {shown(value)}")
    return value


Seed = Annotated[int, Field(ge=0), AfterValidator(_fits_generator)]
