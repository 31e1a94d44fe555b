"""MySQL and MariaDB: rows of a table as the server writes them into a dump, streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from studium.sources.lms.database import FETCH, driver_arguments

if TYPE_CHECKING:
    from sqlalchemy import URL

_NO_TABLE = 1146
_DENIED = (1142, 1143)
_REFUSED = (1045, 1698, 1130, 1251)
_NO_DATABASE = (1049, 1044, 1046)
_BIT = 16


def errors() -> type[Exception]:
    """What the driver raises."""
    import pymysql

    found: type[Exception] = pymysql.MySQLError
    return found


def refusal(error: Exception) -> str:
    """What is to be checked when there is no connection: password, database, or neither."""
    number = error.args[0] if error.args else None
    if number in _REFUSED:
        return "password"
    return "database" if number in _NO_DATABASE else ""


def connect(url: URL) -> Any:
    """A connection that sees one moment, and writes nothing."""
    import pymysql

    arguments: dict[str, Any] = {"connect_timeout": 15, **driver_arguments(url)}
    # Bytes as they come: the text protocol's are those of a dump.
    arguments |= {"charset": "utf8mb4", "use_unicode": False, "conv": {}, "autocommit": True}
    connection = pymysql.connect(**arguments)
    with connection.cursor() as cursor:
        # As mysqldump sets it: TIMESTAMP columns come in UTC. A stream is slow to be taken.
        cursor.execute("SET SESSION time_zone = '+00:00', net_write_timeout = 3600")
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    return connection


def columns(connection: Any, table: str, wanted: Sequence[str]) -> list[str] | None:
    """Those of ``wanted`` that the user may read; None if there is no such table.

    PermissionError, with the table, if it is there, or hidden, and may not be read: a server does
    not tell these apart to a user without a right on the whole database.
    """
    import pymysql

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns"
            f" WHERE table_schema = DATABASE() AND table_name = '{table}'"
        )
        there = {name.decode().lower() for (name,) in cursor.fetchall()}
        present = [name for name in wanted if name in there]
        try:
            cursor.execute(f"SELECT {_list(present)} FROM `{table}` LIMIT 0")
        except pymysql.MySQLError as error:
            if error.args[0] == _NO_TABLE:
                return None
            if error.args[0] in _DENIED:
                raise PermissionError(table) from None
            raise
    return present


def rows(
    connection: Any, table: str, wanted: Sequence[str]
) -> Iterator[Sequence[tuple[bytes | None, ...]]]:
    """The rows, some at a time; the server keeps the rest."""
    import pymysql.cursors

    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(f"SELECT {_list(wanted)} FROM `{table}`")
        bits = frozenset(n for n, about in enumerate(cursor.description) if about[1] == _BIT)
        while some := cursor.fetchmany(FETCH):
            yield [_plain(row, bits) for row in some] if bits else some


def _plain(row: tuple[bytes | None, ...], bits: frozenset[int]) -> tuple[bytes | None, ...]:
    """A BIT comes as bytes, not as the digits of a number."""
    return tuple(
        str(int.from_bytes(value, "big")).encode() if n in bits and value is not None else value
        for n, value in enumerate(row)
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "NULL"
