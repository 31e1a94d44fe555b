"""Reading a result store that may be someone else's: the old pipeline's, or our own.

Nothing is written, and only declared columns are read: ``id`` and ``created`` never are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from studium.columns import Column
from studium.errors import ResultsError, UsageError
from studium.servers import is_server, reason, server_url
from studium.urls import mask_password

if TYPE_CHECKING:
    import pyarrow as pa
    import sqlalchemy as sa

_CHUNK: Final = 20_000
"""Rows fetched at once."""


@dataclass(frozen=True)
class Reader:
    """A connection that sees one moment of the store throughout; ``name`` is its URL without a
    password."""

    name: str
    connection: sa.Connection
    tables: frozenset[str]

    def columns(self, table: str) -> frozenset[str]:
        """The columns that a table has there."""
        import sqlalchemy as sa

        with _told(self.name):
            found = sa.inspect(self.connection).get_columns(table)
        return frozenset(str(column["name"]) for column in found)

    def stage(self, table: str, columns: Sequence[Column], order: str | None, path: Path) -> int:
        """Write the columns of a table to a Parquet file, and ``nth``: 1 for the newest row (the
        largest ``order``), in bounded memory; returns how many rows. Texts stay texts, times and
        days are ISO 8601 texts."""
        import pyarrow.parquet as pq
        import sqlalchemy as sa

        path.parent.mkdir(parents=True, exist_ok=True)
        listed: list[sa.ColumnClause[Any]] = [sa.column(column.name) for column in columns]
        if order is not None:
            listed.append(sa.column(order))
        query = sa.select(*listed).select_from(sa.table(table))
        schema = _schema(columns, order)
        rows = 0
        with _told(self.name), pq.ParquetWriter(path, schema, compression="zstd") as writer:
            result = self.connection.execution_options(yield_per=_CHUNK).execute(query)
            for chunk in result.partitions(_CHUNK):
                writer.write_batch(_batch(chunk, schema))
                rows += len(chunk)
        return rows


@contextmanager
def open_reader(
    url: str, root: Path, key: str, variable: str | None = None, credentials: str = ""
) -> Iterator[Reader]:
    """A reader of the store at ``url``; ``key`` says where that comes from, ``variable`` names an
    environment variable that may hold the password, ``credentials`` a JSON file with what the URL
    of a server leaves out. Relative paths start at ``root``.

    Raises UsageError for what is no such URL, ResultsError for a store that cannot be read.
    """
    import sqlalchemy as sa

    if is_server(url):
        held = root / credentials if credentials else None
        parsed = server_url(url, key, UsageError, held, variable)
        options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"}
    else:
        parsed, options = _sqlite_url(url, root, key), {}
    name = mask_password(url)
    engine = sa.create_engine(parsed, hide_parameters=True, **options)
    try:
        with _told(name), engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            yield Reader(name, connection, frozenset(tables))
    finally:
        engine.dispose()


def _sqlite_url(url: str, root: Path, key: str) -> sa.URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite" or not parsed.database:
            raise ArgumentError(url)
    except ArgumentError:
        raise UsageError(
            f"{key} = {mask_password(url)} is not the URL of a database.",
            "Write mysql://user@host/database, postgresql://user@host/database or "
            "sqlite:///file.db.",
        ) from None
    path = (root / parsed.database).resolve()
    if not path.is_file():
        raise ResultsError(f"There is no result store {path}.", f"Correct {key}.")
    # Read-only: a typo must not make an empty database.
    return parsed.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})


@contextmanager
def _told(name: str) -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        raise ResultsError(
            f"The result store {name} cannot be read: {reason(error)}.",
            "Check the URL, and that this user may read the database.",
        ) from error


_ARROW = {"smallint": "int64", "integer": "int64", "bigint": "int64", "double": "float64"}


def _schema(columns: Sequence[Column], order: str | None) -> pa.Schema:
    import pyarrow as pa

    named = [(column.name, getattr(pa, _ARROW.get(column.type, "string"))()) for column in columns]
    return pa.schema([*named, *([(order, pa.int64())] if order else [])])


def _batch(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [
        pa.array([_convert(value, field.type) for value in values], field.type)
        for values, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _convert(value: Any, kind: pa.DataType) -> Any:
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_string(kind):
        if isinstance(value, datetime):
            return value.isoformat(sep=" ")
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, bytes):
            return value.decode("utf-8", "backslashreplace")
        return str(int(value)) if isinstance(value, bool) else str(value)
    # Drivers give Decimal for sums and for DECIMAL columns.
    return int(value) if pa.types.is_integer(kind) else float(value)
