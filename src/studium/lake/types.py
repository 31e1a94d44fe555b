"""Column types: the DuckDB name used in the house ↔ the Delta type on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from studium.errors import LakeError

if TYPE_CHECKING:
    from deltalake import Field, Schema

# Timestamps are naive UTC: SQL over them does not depend on a session's time zone.
_DELTA = {
    "BIGINT": "long",
    "INTEGER": "integer",
    "SMALLINT": "short",
    "TINYINT": "byte",
    "DOUBLE": "double",
    "FLOAT": "float",
    "BOOLEAN": "boolean",
    "VARCHAR": "string",
    "BLOB": "binary",
    "DATE": "date",
    "TIMESTAMP": "timestamp_ntz",
}
_DUCKDB = {delta: duckdb for duckdb, delta in _DELTA.items()}


def fields(columns: Mapping[str, str]) -> list[Field]:
    """Delta fields for columns given as name → DuckDB type."""
    from deltalake import Field
    from deltalake.schema import PrimitiveType

    for name, kind in columns.items():
        if kind not in _DELTA:
            raise LakeError(
                f"column {name} has type {kind}, which the lake does not store. "
                f"Cast it to one of {', '.join(_DELTA)}."
            )
    return [Field(name, PrimitiveType(_DELTA[kind])) for name, kind in columns.items()]


def to_delta(columns: Mapping[str, str], by_day: bool) -> Schema:
    """Delta schema of a table; a day table's partition column comes first."""
    from deltalake import Schema

    if by_day:
        columns = {"day": "DATE", **{k: v for k, v in columns.items() if k != "day"}}
    return Schema(fields(columns))


def from_delta(schema: Schema) -> dict[str, str]:
    """Columns of a Delta schema as name → DuckDB type."""
    from deltalake.schema import PrimitiveType

    columns = {}
    for field in schema.fields:
        kind = field.type.type if isinstance(field.type, PrimitiveType) else str(field.type)
        if kind not in _DUCKDB:
            raise LakeError(
                f"column {field.name} is a Delta {kind}, which Studium did not write. "
                "Is this folder a lake of Studium?"
            )
        columns[field.name] = _DUCKDB[kind]
    return columns
