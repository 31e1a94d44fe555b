"""What a section of the settings is made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def key(default: object, help: str, allowed: str, **limits: Any) -> Any:
    """A key: its default, its one-line help, and what is allowed in words."""
    return Field(default, description=help, json_schema_extra={"allowed": allowed}, **limits)


class Section(BaseModel):
    """A table of ``studium.toml``: no other keys than its own, and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
