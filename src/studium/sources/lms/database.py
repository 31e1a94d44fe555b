"""The LMS's live database → one Parquet file of texts for each table, as from a dump of it.

All tables are read in one snapshot, through a stream from the server, and only the columns that
are wanted are asked for: the values are those that a dump made at that moment would have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from studium.errors import SourceError
from studium.servers import reason
from studium.sources.lms.staging import Staged, open_staging, wanted_columns
from studium.sources.lms.tables import LmsTable

if TYPE_CHECKING:
    from sqlalchemy import URL

# Rows, and bytes of their texts, that make a batch; rows that are asked for at once.
_BATCH_ROWS = 16_384
_BATCH_BYTES = 4 << 20
FETCH = 1024

Rows = Iterator[Sequence[tuple[bytes | str | None, ...]]]


def stage_database(url: URL, tables: Collection[LmsTable], scratch: Path) -> Mapping[str, Staged]:
    """Write what the database has of ``tables`` to ``scratch``, by the name of the table there.

    A table that is not there is left out, and so are columns. SourceError if the server cannot be
    reached or refuses the user, if a table may not be read, or if the database has none of them.
    """
    wanted = wanted_columns(tables)
    shown = url.render_as_string(hide_password=True)
    if not url.database:
        raise SourceError(f"{shown} names no database.", "Write it behind the host: …/edxapp.")
    server = _server(url)
    driver_error: type[Exception] = server.errors()
    try:
        connection = server.connect(url)
    except driver_error as error:
        raise _unreachable(url, shown, server.refusal(error), error) from None
    staged: dict[str, Staged] = {}
    try:
        # Before the first row is read: a missing right is told at once.
        there = {table: server.columns(connection, table, list(wanted[table])) for table in wanted}
        for table, present in there.items():
            if present is not None:
                one = Staged(scratch / f"lms-{table}.parquet", set(present), {shown: None})
                rows = server.rows(connection, table, present) if present else iter(())
                _stage(one, list(wanted[table]), present, rows)
                staged[table] = one
    except PermissionError as error:
        raise SourceError(
            f"{shown}: the table {error} may not be read.",
            f"Let an administrator GRANT SELECT ON {error} TO {url.username}, or leave the table "
            "out of lms.tables.",
        ) from None
    except driver_error as error:
        raise SourceError(
            f"{shown} cannot be read: {reason(error)}.", "Nothing was imported; run again."
        ) from None
    finally:
        connection.close()
    if not staged:
        raise SourceError(
            f"{shown} has none of the tables {', '.join(wanted)}.",
            "Name the database of the LMS, e.g. …/edxapp, and a user that may read its tables.",
        )
    return staged


def _server(url: URL) -> ModuleType:
    if url.get_backend_name() == "postgresql":
        from studium.sources.lms import postgres

        return postgres
    from studium.sources.lms import mysql

    return mysql


def driver_arguments(url: URL) -> dict[str, object]:
    """What the driver's ``connect`` takes, as SQLAlchemy reads the URL."""
    dialect: Any = url.get_dialect()
    _, arguments = dialect(dbapi=dialect.import_dbapi()).create_connect_args(url)
    return dict(arguments)


def _stage(staged: Staged, wanted: Sequence[str], present: Sequence[str], rows: Rows) -> None:
    with open_staging(staged.path, wanted) as write:

        def flush(batch: Sequence[tuple[bytes | str | None, ...]]) -> None:
            values = {}
            for name, column in zip(present, zip(*batch, strict=True), strict=True):
                values[name], bad = _texts(column)
                staged.replaced[name] = staged.replaced.get(name, 0) + bad
            write(values)

        batch: list[tuple[bytes | str | None, ...]] = []
        size = 0
        for some in rows:
            batch.extend(some)
            size += sum(len(value) for row in some for value in row if value is not None)
            if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                flush(batch)
                batch, size = [], 0
        if batch:
            flush(batch)


def _texts(column: Sequence[bytes | str | None]) -> tuple[list[str | None], int]:
    """Values as texts, and how many were not UTF-8."""
    texts: list[str | None] = []
    bad = 0
    for value in column:
        if not isinstance(value, bytes):
            texts.append(value)
            continue
        try:
            texts.append(value.decode())
        except UnicodeDecodeError:
            texts.append(value.decode("utf-8", "replace"))
            bad += 1
    return texts, bad


def _unreachable(url: URL, shown: str, refused: str, error: Exception) -> SourceError:
    hints = {
        "password": "Check user and password: in the environment variable STUDIUM_LMS_PASSWORD, "
        "or in the file lms.credentials.",
        "database": f"Check the name {url.database!r}, and that the user may use it.",
        "": "Check host and port, and that the server accepts connections from this machine.",
    }
    return SourceError(f"{shown} cannot be reached: {reason(error)}.", hints[refused])
