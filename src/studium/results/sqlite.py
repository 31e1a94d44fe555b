"""The result store in one SQLite file.

WAL lets readers go on with the set of tables that they began with while the next one is written;
one transaction replaces everything, so no reader and no crash ever sees a part of it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from studium.errors import ResultsError
from studium.results.ordering import Ascent
from studium.results.publication import Publication, Published
from studium.results.schema import (
    further_indexes,
    grain_index,
    published_table,
    register_table,
)
from studium.results.values import Misfits, fit, mismatch

WRITER_WAIT: Final = 600.0
"""Seconds that a publisher waits for another one; readers never wait."""

# Rows turned into Python at a time: enough to be fast, little enough to stay small.
_CHUNK: Final = 20_000

# Rows inserted by one statement: with one each, counting up the ids costs more than the rows.
_ROWS_A_STATEMENT: Final = 50

# Milliseconds that emptying the WAL may wait for readers; what stays is emptied the next time.
_CHECKPOINT_WAIT: Final = 1_000

_UNORDERED: Final = "studium_unordered"


def connect(path: Path, url: sa.URL) -> sa.Engine:
    """An engine over the file, in WAL mode; makes the file and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url.set(database=str(path)), connect_args={"timeout": WRITER_WAIT})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver would commit before DDL and begin too late; `_begin` does it for us.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get("studium_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def replace_tables(
    engine: sa.Engine, publications: Sequence[Publication], published_at: datetime
) -> list[Published]:
    """Replace the tables and their register rows in one transaction."""
    moment = published_at.astimezone(UTC)
    published = []
    with _writing(engine) as connection:
        register = register_table()
        register.create(connection, checkfirst=True)
        for publication in publications:
            rows = _replace(connection, publication, moment)
            published.append(
                Published(publication.name, publication.data_until, publication.build, rows, moment)
            )
            connection.execute(sa.delete(register).where(register.c.table_name == publication.name))
            connection.execute(
                sa.insert(register).values(
                    table_name=publication.name,
                    data_until=publication.data_until,
                    build=publication.build,
                    row_count=rows,
                    published_at=moment.replace(tzinfo=None),
                )
            )
    _empty_wal(engine)
    return published


@contextmanager
def _writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect().execution_options(studium_writing=True) as connection, connection.begin():
        yield connection


def _replace(connection: sa.Connection, publication: Publication, moment: datetime) -> int:
    table = published_table(publication)
    # In place rather than beside and renamed: the transaction hides it, and views stay whole.
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {publication.name}")
    connection.execute(CreateTable(table))
    rows, ordered = _insert(connection, publication, moment)
    if not ordered:
        _refuse_repeats(connection, publication)
        _reorder(connection, publication)
    for index in (grain_index(publication, table), *further_indexes(publication, table)):
        connection.execute(CreateIndex(index))
    return rows


def _insert(
    connection: sa.Connection, publication: Publication, moment: datetime
) -> tuple[int, bool]:
    """Insert the rows as they come; gives their number and whether in the order of the grain."""
    columns, ascent, misfits, rows = publication.columns, Ascent(publication.grain), Misfits(), 0
    names = [column.name for column in columns]
    with publication.data() as reader:
        _refuse_types(publication, reader.schema)
        for batch in reader:
            for start in range(0, batch.num_rows, _CHUNK):
                given = batch.select(names).slice(start, _CHUNK)
                fitted = pa.RecordBatch.from_arrays(
                    [
                        fit(column, values, misfits)
                        for column, values in zip(columns, given.columns, strict=True)
                    ],
                    names=names,
                )
                rows += fitted.num_rows
                if misfits:  # nothing will be kept: only count on
                    continue
                ascent.watch(fitted)
                _insert_batch(connection, publication.name, fitted, moment)
    if misfits:
        raise ResultsError(
            f"Table {publication.name} does not fit its declared columns: {misfits}.",
            "Nothing was published. Change the columns in the table's header, or its SQL.",
        )
    return rows, ascent.strict


def _insert_batch(
    connection: sa.Connection, table: str, batch: pa.RecordBatch, moment: datetime
) -> None:
    width = batch.num_columns
    values: list[Any] = [None] * (batch.num_rows * width)
    for place, column in enumerate(batch.columns):
        values[place::width] = _bindable(column).to_pylist()
    # One moment for all rows of all tables, rather than the seconds at which each was written.
    row = f"({', '.join('?' * width)}, '{moment:%Y-%m-%d %H:%M:%S}')"
    head = f"INSERT INTO {table} ({', '.join(batch.schema.names)}, created) VALUES "
    step = _ROWS_A_STATEMENT * width
    whole = len(values) - len(values) % step
    if whole:
        connection.exec_driver_sql(
            head + ", ".join([row] * _ROWS_A_STATEMENT),
            [tuple(values[start : start + step]) for start in range(0, whole, step)],
        )
    if rest := values[whole:]:
        connection.exec_driver_sql(head + ", ".join([row] * (len(rest) // width)), tuple(rest))


def _refuse_types(publication: Publication, schema: pa.Schema) -> None:
    problems = [
        f"no column {column.name}"
        if column.name not in schema.names
        else mismatch(column, schema.field(column.name).type)
        for column in publication.columns
    ]
    if any(problems):
        raise ResultsError(
            f"Table {publication.name} does not fit its declared columns: "
            f"{'; '.join(filter(None, problems))}.",
            "Nothing was published. Change the columns in the table's header, or its SQL.",
        )


def _bindable(values: pa.Array) -> pa.Array:
    """Dates and times as the text that SQLAlchemy and SQLite's own functions read."""
    if pa.types.is_date(values.type):
        return values.cast(pa.string())
    if pa.types.is_timestamp(values.type):
        return pc.replace_substring_regex(values.cast(pa.string()), r"\.0+$", "")
    return values


def _refuse_repeats(connection: sa.Connection, publication: Publication) -> None:
    grain = ", ".join(publication.grain)
    # GROUP BY holds NULLs for equal, which the unique index does not.
    repeats = f"SELECT {grain}, count(*) AS n FROM {publication.name} GROUP BY {grain} HAVING n > 1"
    first = connection.exec_driver_sql(f"{repeats} ORDER BY {grain} LIMIT 1").first()
    if first is None:
        return
    number = connection.exec_driver_sql(f"SELECT count(*) FROM ({repeats})").scalar_one()
    *key, times = first
    shown = ", ".join(
        f"{name} = {'NULL' if value is None else repr(value)}"
        for name, value in zip(publication.grain, key, strict=True)
    )
    raise ResultsError(
        f"Table {publication.name}: its grain ({grain}) is not unique. {number} of its keys come "
        f"more than once, the first ({shown}) {times} times.",
        "Nothing was published. Correct the grain in the table's header, or its SQL.",
    )


def _reorder(connection: sa.Connection, publication: Publication) -> None:
    names = ", ".join((*(column.name for column in publication.columns), "created"))
    grain = ", ".join(publication.grain)
    for statement in (
        # The temporary database has files of its own, so the sort costs neither memory nor WAL.
        f"CREATE TEMP TABLE {_UNORDERED} AS SELECT {names} FROM {publication.name}",
        f"DELETE FROM {publication.name}",
        f"DELETE FROM sqlite_sequence WHERE name = '{publication.name}'",
        f"INSERT INTO {publication.name} ({names}) "
        f"SELECT {names} FROM temp.{_UNORDERED} ORDER BY {grain}",
        f"DROP TABLE temp.{_UNORDERED}",
    ):
        connection.exec_driver_sql(statement)


def _empty_wal(engine: sa.Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT}")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(WRITER_WAIT * 1000)}")
