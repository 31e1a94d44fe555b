"""PostgreSQL: rows of a table as texts, streamed by COPY."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from studium.sources.lms.database import FETCH, driver_arguments

if TYPE_CHECKING:
    from sqlalchemy import URL


def errors() -> type[Exception]:
    """What the driver raises."""
    import psycopg

    return psycopg.Error


def refusal(error: Exception) -> str:
    """What is to be checked when there is no connection: password, database, or neither."""
    # libpq gives no code for a refused connection, and texts only in the server's language.
    said = str(error)
    if "password" in said or "authentication" in said or "role" in said:
        return "password"
    return "database" if "database" in said and "does not exist" in said else ""


def connect(url: URL) -> Any:
    """A connection that sees one moment, and writes nothing."""
    import psycopg

    arguments: dict[str, Any] = {"connect_timeout": 15, **driver_arguments(url)}
    connection = psycopg.connect(**arguments)
    if connection.info.parameter_status("server_encoding") != "SQL_ASCII":
        connection.execute("SET client_encoding = 'UTF8'")
    connection.execute("SET datestyle = 'ISO'")
    connection.execute("SET timezone = 'UTC'")
    connection.commit()
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


def columns(connection: Any, table: str, wanted: Sequence[str]) -> list[str] | None:
    """Those of ``wanted`` that the user may read; None if there is no such table.

    PermissionError, with the table, if none of its columns may be read.
    """
    found = connection.execute(
        "SELECT attname::text, has_column_privilege(attrelid, attnum, 'SELECT') FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        (table,),
    ).fetchall()
    if not found:
        return None
    readable = {_text(name) for name, allowed in found if allowed}
    if not readable:
        raise PermissionError(table)
    return [name for name in wanted if name in readable]


def rows(
    connection: Any, table: str, wanted: Sequence[str]
) -> Iterator[Sequence[tuple[bytes | str | None, ...]]]:
    """The rows, some at a time; the server keeps the rest."""
    names = ", ".join(f'"{name}"' for name in wanted) or "NULL"
    some: list[tuple[bytes | str | None, ...]] = []
    with (
        connection.cursor() as cursor,
        cursor.copy(f'COPY (SELECT {names} FROM "{table}") TO STDOUT') as copy,
    ):
        for row in copy.rows():
            some.append(row)
            if len(some) == FETCH:
                yield some
                some = []
    if some:
        yield some


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
