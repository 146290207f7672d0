"""What the sections of the configuration have in common."""

from __future__ import annotations

from types import NoneType
from typing import get_args

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """Keys and values, all of which are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _default_where_nothing_is_written(cls, value: object) -> object:
        """Take a key without a value, whose lines are all commented out, for one that is not there.

        Where None has a meaning of its own (no listener, no policy) it keeps it.
        """
        if not isinstance(value, dict):
            return value
        return {key: given for key, given in value.items() if given is not None or cls._may_be_none(key)}

    @classmethod
    def _may_be_none(cls, key: object) -> bool:
        field = cls.model_fields.get(key) if isinstance(key, str) else None
        return field is None or NoneType in get_args(field.annotation)
