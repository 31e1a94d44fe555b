"""DuckDB: the engine of a laptop and of most sites."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studium.engines import Digest, Param, Relation, StagedFile, Written, dialect
from studium.errors import EngineError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

#: Rows that a thread may hold back per write, and files that it may hold open, while writing by
#: day. Rows arrive sorted by day, so a few open files are enough however many days there are.
_FLUSH_ROWS = 262_144
_OPEN_FILES = 16

_FILE_BYTES = "1GB"


def connect(
    memory: str | None = None,
    threads: int | None = None,
    scratch: Path | None = None,
    flush_rows: int = _FLUSH_ROWS,
    open_files: int = _OPEN_FILES,
) -> duckdb.DuckDBPyConnection:
    """An in-memory database, in UTC, that never fetches an extension; what does not fit into
    `memory` goes to `scratch`."""
    import duckdb

    config: dict[str, Any] = {
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "partitioned_write_flush_threshold": flush_rows,
        "partitioned_write_max_open_files": open_files,
    }
    if memory is not None:
        config["memory_limit"] = memory
    if threads:
        config["threads"] = threads
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
        config["temp_directory"] = os.fspath(scratch)
    try:
        connection = duckdb.connect(config=config)
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
    except duckdb.Error as error:
        raise EngineError(
            f"DuckDB does not start: {error}. Check `memory` and `threads`."
        ) from error
    return connection


class DuckDBEngine:
    """Runs SQL in an in-memory DuckDB database; what does not fit goes to `scratch`."""

    name = "duckdb"

    def __init__(
        self,
        memory: str | None = None,
        threads: int | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._connection = connect(memory, threads, scratch)
        # Without it an engine that nobody closed makes the binding print a leak report at exit.
        self._finalizer = weakref.finalize(self, self._connection.close)

    def query(
        self,
        sql: str,
        inputs: Mapping[str, Relation],
        params: Mapping[str, Param] | None = None,
    ) -> pa.Table:
        """Return the rows of a query (`Engine.query`)."""
        text = _bound(sql, inputs, params or {})
        with self._views(inputs) as cursor:
            return cursor.sql(text).to_arrow_table()

    def write(
        self,
        sql: str,
        inputs: Mapping[str, Relation],
        params: Mapping[str, Param],
        folder: Path,
        stem: str,
        by_day: bool,
    ) -> Written:
        """Write the rows of a query (`Engine.write`)."""
        text = _bound(sql, inputs, params)
        folder.mkdir(parents=True, exist_ok=True)
        with self._views(inputs) as cursor:
            columns = _columns(cursor, text)
            dialect.check_types(columns)
            if by_day and columns.get("day") != "DATE":
                raise EngineError("A result that is kept by day needs a column `day` of type DATE.")
            options = {
                "FORMAT": "parquet",
                "COMPRESSION": "zstd",
                "FILENAME_PATTERN": quote(stem + "-{i}"),
                "OVERWRITE_OR_IGNORE": "true",
                "RETURN_STATS": "true",
            }
            if by_day:
                options["PARTITION_BY"] = "(day)"
                # Sorting spills to disk; unsorted days would each hold a buffer.
                text = f"SELECT * FROM ({text}) ORDER BY day"
            else:
                options["FILE_SIZE_BYTES"] = quote(_FILE_BYTES)
            spelled = ", ".join(f"{name} {value}" for name, value in options.items())
            cursor.execute(f"COPY ({text}) TO {quote(os.fspath(folder))} ({spelled})")
            names = [column[0] for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        files = [_staged(row, by_day) for row in rows]
        for file in files:
            if not file.rows:
                file.path.unlink()
        files = sorted((file for file in files if file.rows), key=lambda file: str(file.path))
        return Written(files=tuple(files), columns=columns)

    def digest(self, relation: Relation) -> Digest:
        """Count and sum up rows per day (`Engine.digest`)."""
        names = sorted(relation.stored_columns)
        # Hashed twice: DuckDB's hash of two values is the xor of something of each, so that equal
        # values in two columns would cancel out.
        hashes = [
            f"CASE WHEN {_name(name)} IS NULL THEN 0::UBIGINT "
            f"ELSE hash(hash({quote(name)}, {_name(name)})) END"
            for name in names
        ]
        row = "0::UBIGINT"
        for item in hashes:
            row = f"xor({row}, {item})"
        key = "day" if relation.by_day else "CAST(NULL AS DATE)"
        text = f"SELECT {key}, count(*), sum(hash({row})) FROM digested GROUP BY 1"
        with self._views({"digested": relation}) as cursor:
            found = cursor.execute(text).fetchall()
        return {day: (int(rows), int(total)) for day, rows, total in found}

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection to the database, for what is DuckDB's alone; to be closed."""
        return self._connection.cursor()

    def close(self) -> None:
        """Close the database (`Engine.close`)."""
        self._finalizer()

    @contextmanager
    def _views(self, inputs: Mapping[str, Relation]) -> Iterator[duckdb.DuckDBPyConnection]:
        # Temporary views belong to the cursor and go with it.
        import duckdb

        if not self._finalizer.alive:
            raise EngineError("This engine is closed; open another one.")
        cursor = self._connection.cursor()
        try:
            for name, relation in inputs.items():
                cursor.execute(f"CREATE TEMP VIEW {_name(name)} AS {relation_sql(relation)}")
            yield cursor
        except duckdb.OutOfMemoryException as error:
            raise EngineError(
                f"DuckDB ran out of memory: {error}. Give it more memory or a scratch folder "
                "with more space, or build fewer days at a time."
            ) from error
        except duckdb.Error as error:
            raise EngineError(f"DuckDB: {explain(error)}.") from error
        finally:
            cursor.close()


def _bound(sql: str, inputs: Mapping[str, Relation], params: Mapping[str, Param]) -> str:
    # SQL that needs no value is run as it was written: ingest may use DuckDB's own constructs,
    # which SQLGlot need not understand.
    if "$" not in sql:
        return sql.strip().rstrip(";")
    query = dialect.parse(sql)
    dialect.check_inputs(query, inputs)
    return dialect.render(dialect.bind(query, params), "duckdb")


def relation_sql(relation: Relation) -> str:
    """SELECT of a relation's columns over its files."""
    columns = relation.stored_columns
    typed = [f"CAST(NULL AS {type_}) AS {_name(name)}" for name, type_ in columns.items()]
    if not relation.files:
        days = ["CAST(NULL AS DATE) AS day"] if relation.by_day else []
        return f"SELECT {', '.join(typed + days)} WHERE false"
    names = [_name(name) for name in columns]
    if relation.by_day:
        names.append("CAST(regexp_extract(filename, '/day=([0-9-]+)/[^/]+$', 1) AS DATE) AS day")
    # `schema` reads by name and fills in what a file lacks without opening all files first.
    schema = ", ".join(
        f"{quote(name)}: {{name: {quote(name)}, type: {quote(type_)}, default_value: NULL}}"
        for name, type_ in columns.items()
    )
    files = ", ".join(quote(_unglob(file)) for file in relation.files)
    return (
        f"SELECT {', '.join(names)} FROM read_parquet([{files}], "
        f"hive_partitioning = false, filename = true, schema = MAP {{{schema}}})"
    )


def _columns(cursor: duckdb.DuckDBPyConnection, text: str) -> dict[str, str]:
    rows = cursor.execute(f"DESCRIBE {text}").fetchall()
    return {str(row[0]): str(row[1]) for row in rows}


def _staged(row: Mapping[str, Any], by_day: bool) -> StagedFile:
    path = Path(row["filename"])
    day = None
    if by_day:
        key = path.parent.name.partition("=")[2]
        try:
            day = date.fromisoformat(key)
        except ValueError as error:
            raise EngineError(
                f"The result has {row['count']} rows whose day is NULL or not a day; "
                "filter them out or give them a day."
            ) from error
    return StagedFile(path=path, day=day, rows=int(row["count"]), size=path.stat().st_size)


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def stream_rows(
    relation: Relation, names: Sequence[str], database: duckdb.DuckDBPyConnection | None = None
) -> pa.RecordBatchReader:
    """The columns ``names`` of a relation, batch by batch; in ``database``, if many are read."""
    import pyarrow as pa

    connection = connect() if database is None else database.cursor()
    columns = ", ".join(_name(name) for name in names)
    reader = connection.sql(f"SELECT {columns} FROM ({relation_sql(relation)})").to_arrow_reader()

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        finally:
            connection.close()

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


@contextmanager
def reading() -> Iterator[Callable[[Relation, Sequence[str]], pa.RecordBatchReader]]:
    """`stream_rows` for many relations, in one database that the first of them opens."""
    with ExitStack() as stack:

        @cache
        def database() -> duckdb.DuckDBPyConnection:
            return stack.enter_context(closing(connect()))

        yield lambda relation, names: stream_rows(relation, names, database())


def explain(error: Exception) -> str:
    """The first line of a DuckDB error, without the JSON that it wraps others in."""
    text = str(error)
    if "No space left on device" in text:
        return "the disk is full"
    return text.splitlines()[0].partition(': {"exception')[0]


def quote(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _unglob(path: str) -> str:
    # read_parquet takes every path for a pattern.
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)
