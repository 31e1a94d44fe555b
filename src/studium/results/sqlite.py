"""The result store in one SQLite file.

A write-ahead log (WAL) lets readers go on with the set of tables that they began with while the
next one is written. One transaction replaces everything, so that no reader and no crash sees a
part of it.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateIndex, CreateTable

from studium.errors import ResultsError
from studium.results.ordering import Ascent
from studium.results.publication import Publication, Published, as_published
from studium.results.register import next_entries, read_register, refuse_foreign, register_rows
from studium.results.repeats import refuse_repeats
from studium.results.rows import read_rows
from studium.results.schema import further_indexes, grain_indexes, published_table, register_table
from studium.state.mounts import network_filesystem, read_mounts

BUSY_TIMEOUT: Final = 600_000
"""Milliseconds that a publisher waits for another one to end. Readers never wait."""

# Milliseconds that emptying the WAL may wait for readers; what stays is emptied the next time.
_CHECKPOINT_TIMEOUT: Final = 1_000

# KiB of pages that a publisher keeps in memory; sorting for an index takes half as long with it.
_CACHE: Final = 32 * 1024

# Rows inserted by one statement: with one each, counting up the ids costs more than the rows.
_ROWS_A_STATEMENT: Final = 50

_WAL_ATTEMPTS: Final = 100

_WRITES: Final = "studium_writes"
_UNORDERED: Final = "temp.studium_unordered"


def connect(url: sa.URL, root: Path, mounts: str | None) -> sa.Engine:
    """An engine over a file, which is made if need be (`Database.connect`)."""
    path = _file(url, root, mounts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(
            f"The folder {path.parent} of the result store cannot be made: "
            f"{error.strerror or error}.",
            "Correct results.url.",
        ) from error
    engine = sa.create_engine(url.set(database=str(path)), hide_parameters=True)
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    with engine.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode != "wal":
        engine.dispose()
        raise ResultsError(
            f"{path} cannot be read while it is written (its journal mode is {mode}, not wal).",
            "Move it to a local disk and set results.url.",
        )
    return engine


def advise(error: BaseException) -> str:
    """What to do about an error of SQLite (`Database.advise`)."""
    return "Nothing was changed. Is it a result store, may it be written, is the disk full?"


def _file(url: sa.URL, root: Path, mounts: str | None) -> Path:
    database = url.database or ""
    if database in ("", ":memory:") or database.startswith("file:"):
        raise ResultsError(
            f"The result store {url.render_as_string()} has no file that others could read.",
            "Use a URL like sqlite:///results.db.",
        )
    path = (root / database).resolve()
    kind = network_filesystem(path, read_mounts() if mounts is None else mounts)
    if kind:
        raise ResultsError(
            f"The result store {path} is on a network file system ({kind}), where SQLite loses "
            "data.",
            'Move it to a local disk and set results.url = "sqlite:////local/folder/results.db".',
        )
    return path


def _prepare(connection: Any, _entry: Any) -> None:
    # The driver's own transactions begin before the first write only and commit before DDL.
    connection.isolation_level = None
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()  # the pool never gets to own it
        raise


def _use_wal(connection: Any) -> None:
    for attempt in range(_WAL_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or attempt == _WAL_ATTEMPTS - 1:
                raise
        # Several make the file at once. SQLite waits for its turn to begin, not to change mode.
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("ROLLBACK")


def _begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get(_WRITES, False):
        for schema in ("main", "temp"):
            connection.exec_driver_sql(f"PRAGMA {schema}.cache_size = -{_CACHE}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("BEGIN")


def replace_tables(
    engine: sa.Engine,
    publications: Sequence[Publication],
    withdrawn: Collection[str],
    published_at: datetime,
) -> list[Published]:
    """Replace the tables and the register in one transaction (`Database.replace_tables`)."""
    with _writing(engine) as connection:
        there = read_register(connection)
        inspector = sa.inspect(connection)
        present = {*inspector.get_table_names(), *inspector.get_view_names()}
        refuse_foreign(publications, present, there)
        fresh = [
            as_published(one, _replace(connection, one, published_at), published_at)
            for one in publications
        ]
        gone = there.keys() & set(withdrawn)
        register = register_table()
        for name in (*sorted(gone), register.name):
            connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{name}"')
        register.create(connection)
        if entries := next_entries(there, fresh, gone):
            connection.execute(sa.insert(register), register_rows(entries))
    _empty_wal(engine)
    return fresh


@contextmanager
def _writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        yield connection


def _replace(connection: sa.Connection, publication: Publication, published_at: datetime) -> int:
    table = published_table(publication)
    # In place rather than beside and renamed: the transaction hides it, and views stay whole.
    connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{publication.name}"')
    connection.execute(CreateTable(table))
    rows = _insert(connection, publication, published_at)
    unique = grain_indexes(publication, table)
    try:
        for index in unique:
            connection.execute(CreateIndex(index))
    except IntegrityError:
        refuse_repeats(connection, publication, table)
        raise
    nullable = {column.name for column in publication.columns if column.nullable}
    if not unique or nullable & set(publication.grain):
        # The index lets NULLs repeat; the grain does not.
        refuse_repeats(connection, publication, table)
    for index in further_indexes(publication, table):
        connection.execute(CreateIndex(index))
    return rows


def _insert(connection: sa.Connection, publication: Publication, published_at: datetime) -> int:
    """Insert the rows in the order of the grain, however they come; gives their number."""
    names = _list(*(column.name for column in publication.columns), "created")
    grain, table = _list(*publication.grain), f'"{publication.name}"'
    # One moment for all rows of all tables, rather than the second in which each was written.
    created = f"'{published_at:%Y-%m-%d %H:%M:%S}'"
    ascent, ordered, rows = Ascent(publication.grain), True, 0
    for batch in read_rows(publication, ascent):
        if ordered and not ascent.strict:
            # The temporary database has a file of its own: sorting costs neither memory nor WAL.
            ordered = False
            connection.exec_driver_sql(
                f"CREATE TABLE {_UNORDERED} AS SELECT {names} FROM {table} WHERE false"
            )
        rows += batch.num_rows
        _insert_batch(connection, table if ordered else _UNORDERED, names, batch, created)
    if not ordered:
        for statement in (
            f"INSERT INTO {_UNORDERED} SELECT {names} FROM {table}",
            f"DELETE FROM {table}",
            f"DELETE FROM sqlite_sequence WHERE name = '{publication.name}'",
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {_UNORDERED} ORDER BY {grain}",
            f"DROP TABLE {_UNORDERED}",
        ):
            connection.exec_driver_sql(statement)
    return rows


def _insert_batch(
    connection: sa.Connection, table: str, names: str, batch: pa.RecordBatch, created: str
) -> None:
    width = batch.num_columns
    values: list[Any] = [None] * (batch.num_rows * width)
    for place, column in enumerate(batch.columns):
        values[place::width] = _bindable(column).to_pylist()
    row = f"({', '.join('?' * width)}, {created})"
    head = f"INSERT INTO {table} ({names}) VALUES "
    step = _ROWS_A_STATEMENT * width
    whole = len(values) - len(values) % step
    if whole:
        connection.exec_driver_sql(
            head + ", ".join([row] * _ROWS_A_STATEMENT),
            [tuple(values[start : start + step]) for start in range(0, whole, step)],
        )
    if rest := values[whole:]:
        connection.exec_driver_sql(head + ", ".join([row] * (len(rest) // width)), tuple(rest))


def _bindable(values: pa.Array) -> pa.Array:
    """Dates and times as the text that SQLAlchemy and SQLite's own functions read."""
    if pa.types.is_date(values.type):
        return values.cast(pa.string())
    if pa.types.is_timestamp(values.type):
        return pc.replace_substring_regex(values.cast(pa.string()), r"\.0+$", "")
    return values


def _empty_wal(engine: sa.Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_CHECKPOINT_TIMEOUT}")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")


def scrub(engine: sa.Engine) -> None:
    """Write the file anew without free pages, and empty the WAL."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("VACUUM")  # SQLAlchemy would begin a transaction first
    _empty_wal(engine)


def _list(*names: str) -> str:
    return ", ".join(f'"{name}"' for name in names)
