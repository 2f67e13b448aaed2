"""The base of all tables of a registry."""

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table: frozen, without unknown keys, and without conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
