"""Loading many rows into MariaDB and MySQL: from a file if the server lets us, else by INSERT."""

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import pyarrow as pa
import sqlalchemy as sa

from studium.errors import ResultsError
from studium.results.copytext import copy_text

_FILE_BYTES: Final = 64 * 2**20
"""Bytes of one file at least, before it is loaded: the disk holds little more."""

_ROWS: Final = 1_000
"""Rows of one INSERT at most; the driver keeps statements below 1 MB, too."""

Loader = Callable[[sa.Connection, sa.Table, Iterator[pa.RecordBatch], str], None]
"""Loads batches into a table, `created` being the text of its last column."""


def choose_loader(connection: sa.Connection) -> Loader:
    """`load_files`, or `insert_rows` for servers that allow no `LOAD DATA LOCAL INFILE`."""
    allowed = connection.scalar(sa.text("SELECT @@GLOBAL.local_infile"))
    return load_files if allowed else insert_rows


def load_files(
    connection: sa.Connection, table: sa.Table, batches: Iterator[pa.RecordBatch], created: str
) -> None:
    """Load the rows by `LOAD DATA LOCAL INFILE` from temporary files."""
    descriptor, path = tempfile.mkstemp(prefix="studium-load-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            rows = 0
            for count, text in copy_text(batches, "\\0"):
                file.write(text)
                rows += count
                if file.tell() >= _FILE_BYTES:
                    file.flush()
                    _load_file(connection, table, path, rows, created)
                    file.seek(0)
                    file.truncate()
                    rows = 0
            file.flush()
            if rows:
                _load_file(connection, table, path, rows, created)
    finally:
        os.unlink(path)


def insert_rows(
    connection: sa.Connection, table: sa.Table, batches: Iterator[pa.RecordBatch], created: str
) -> None:
    """Load the rows by INSERT, many to a statement."""
    at = datetime.fromisoformat(created)
    names = _columns(table)
    listed = ", ".join(f"`{name}`" for name in (*names, "created"))
    places = ", ".join(["%s"] * (len(names) + 1))
    insert = f"INSERT INTO `{table.name}` ({listed}) VALUES ({places})"
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS):
            piece = batch.slice(start, _ROWS)
            ats = [at] * piece.num_rows
            rows = list(zip(*(column.to_pylist() for column in piece.columns), ats, strict=True))
            connection.exec_driver_sql(insert, rows)


def _load_file(
    connection: sa.Connection, table: sa.Table, path: str, rows: int, created: str
) -> None:
    listed = ", ".join(f"`{name}`" for name in _columns(table))
    done = connection.exec_driver_sql(
        f"LOAD DATA LOCAL INFILE %s INTO TABLE `{table.name}` CHARACTER SET utf8mb4 "
        rf"FIELDS TERMINATED BY '\t' ESCAPED BY '\\' LINES TERMINATED BY '\n' "
        f"({listed}) SET created = %s",
        (path, created),
    )
    # From a local file the server takes everything and warns of what it had to change.
    warning = connection.exec_driver_sql("SHOW WARNINGS LIMIT 1").first()
    if done.rowcount != rows or warning is not None:
        told = warning[2] if warning else f"{done.rowcount} of {rows} rows were taken"
        raise ResultsError(
            f"The server did not take all rows as they are: {told}.",
            "Nothing was published. Set local_infile = 0 on the server to have them inserted, and "
            "report it, please.",
        )


def _columns(table: sa.Table) -> list[str]:
    return [column.name for column in table.columns if column.name not in ("id", "created")]
