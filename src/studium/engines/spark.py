"""Spark: the engine for what one machine cannot hold. Needs Java and the extra `studium[spark]`.

Runs inside this process on `local[threads]`, or on the cluster that the environment variable
MASTER names (`spark://…`, `yarn`), or in the session that `spark-submit` has started. On a cluster
the lake and the staging folder lie on a file system that every node sees.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from studium.engines import Digest, Param, Relation, StagedFile, Written, dialect
from studium.errors import EngineError, advise_install

if TYPE_CHECKING:
    import pyarrow as pa

#: What makes Spark's results those of DuckDB: errors rather than NULLs, naive UTC times.
_SQL_SETTINGS = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.sources.partitionOverwriteMode": "static",
}

_LOCAL_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.shuffle.partitions": "4",
    "spark.default.parallelism": "4",
}

_QUIET_LOG = """\
rootLogger.level = fatal
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %p %c{1}: %m%n
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = fatal
"""

_TYPES = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp_ntz": "TIMESTAMP",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "void": '"NULL"',
}


class SparkEngine:
    """Runs SQL in a Spark session of its own; a process has one Java machine for all of them."""

    name = "spark"

    def __init__(
        self,
        memory: str | None = None,
        threads: int | None = None,
        scratch: Path | None = None,
    ) -> None:
        try:
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise EngineError(
                "The Spark engine needs PySpark, which is not installed.",
                f"Use --engine duckdb, or install it. {advise_install('spark')}",
            ) from error
        # PySpark prints every failed query as JSON; the error that is raised says it once.
        logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
        existing = SparkSession.getActiveSession()
        self._folder: Path | None = None
        if existing is not None:
            self._session = existing
        else:
            if scratch is not None:
                scratch.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="spark-", dir=scratch))
            try:
                self._session = _start(self._folder, memory, threads)
            except Exception as error:
                shutil.rmtree(self._folder, ignore_errors=True)
                raise EngineError(
                    f"Spark does not start: {_first_line(error)}. It needs Java 17 or 21: check "
                    "JAVA_HOME, or use --engine duckdb."
                ) from error
        self._closed = False

    def query(
        self,
        sql: str,
        inputs: Mapping[str, Relation],
        params: Mapping[str, Param] | None = None,
    ) -> pa.Table:
        """Return the rows of a query (`Engine.query`)."""
        text = _translated(sql, inputs, params or {})
        with self._views(inputs) as session:
            return session.sql(text).toArrow()

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
        text = _translated(sql, inputs, params)
        folder.mkdir(parents=True, exist_ok=True)
        # Spark names its files itself, so it writes aside and the files are moved.
        aside = Path(tempfile.mkdtemp(prefix=".spark-", dir=folder))
        try:
            with self._views(inputs) as session:
                frame = session.sql(text)
                columns = {field.name: _type_text(field.dataType) for field in frame.schema.fields}
                dialect.check_types(columns)
                if by_day and columns.get("day") != "DATE":
                    raise EngineError(
                        "A result that is kept by day needs a column `day` of type DATE."
                    )
                if by_day:
                    frame = frame.repartition("day").sortWithinPartitions("day")
                    writer = frame.write.partitionBy("day")
                else:
                    writer = frame.write
                writer.mode("append").parquet(os.fspath(aside))
            files = _collect(aside, folder, stem, by_day)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return Written(files=files, columns=columns)

    def digest(self, relation: Relation) -> Digest:
        """Count and sum up rows per day (`Engine.digest`)."""
        row = "0L"
        for name in sorted(relation.stored_columns):
            value = f"xxhash64('{name}', {_name(name)})"
            row = f"({row} ^ CASE WHEN {_name(name)} IS NULL THEN 0L ELSE {value} END)"
        key = "day" if relation.by_day else "CAST(NULL AS DATE)"
        text = (
            f"SELECT {key}, count(*), sum(CAST(xxhash64({row}) AS DECIMAL(38, 0))) "
            "FROM digested GROUP BY 1"
        )
        with self._views({"digested": relation}) as session:
            found = session.sql(text).collect()
        return {day: (int(rows), int(total)) for day, rows, total in found}

    def close(self) -> None:
        """Stop the session if this engine started it (`Engine.close`)."""
        if not self._closed and self._folder is not None:
            self._session.stop()
            shutil.rmtree(self._folder, ignore_errors=True)
        self._closed = True

    @contextmanager
    def _views(self, inputs: Mapping[str, Relation]) -> Iterator[Any]:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        if self._closed:
            raise EngineError("This engine is closed; open another one.")
        try:
            session = self._session.newSession()
            for key, value in _SQL_SETTINGS.items():
                session.conf.set(key, value)
            for name, relation in inputs.items():
                _frame(session, relation).createOrReplaceTempView(name)
            yield session
        except (PySparkException, Py4JError) as error:
            raise EngineError(f"Spark: {_first_line(error)}") from error


def _start(folder: Path, memory: str | None, threads: int | None) -> Any:
    from pyspark.sql import SparkSession

    log = folder / "log4j2.properties"
    log.write_text(_QUIET_LOG, encoding="utf-8")
    settings = {
        **_SQL_SETTINGS,
        **_LOCAL_SETTINGS,
        "spark.local.dir": os.fspath(folder),
        "spark.sql.warehouse.dir": os.fspath(folder / "warehouse"),
        "spark.driver.extraJavaOptions": f"-Duser.timezone=UTC -Dlog4j2.configurationFile={log}",
    }
    if memory is not None:
        settings["spark.driver.memory"] = _memory_text(memory)
    builder = SparkSession.builder.appName("studium")
    if "MASTER" not in os.environ:
        builder = builder.master(f"local[{threads or '*'}]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _frame(session: Any, relation: Relation) -> Any:
    columns = {
        name: dialect.translate_type(type_) for name, type_ in relation.stored_columns.items()
    }
    if not relation.files:
        parts = [f"CAST(NULL AS {type_}) AS {_name(name)}" for name, type_ in columns.items()]
        if relation.by_day:
            parts.append("CAST(NULL AS DATE) AS day")
        return session.sql(f"SELECT {', '.join(parts)} WHERE false")
    schema = ", ".join(f"{_name(name)} {type_}" for name, type_ in columns.items())
    frame = session.read.schema(schema).parquet(*map(_unglob, relation.files))
    names = [_name(name) for name in columns]
    if relation.by_day:
        path = "_metadata.file_path"
        names.append(rf"CAST(regexp_extract({path}, '/day=([0-9-]+)/[^/]+$', 1) AS DATE) AS day")
    return frame.selectExpr(*names)


def _translated(sql: str, inputs: Mapping[str, Relation], params: Mapping[str, Param]) -> str:
    query = dialect.parse(sql)
    dialect.check_inputs(query, inputs)
    return dialect.render(dialect.bind(query, params), "spark")


def _collect(aside: Path, folder: Path, stem: str, by_day: bool) -> tuple[StagedFile, ...]:
    from pyarrow import parquet

    files: list[StagedFile] = []
    numbers: dict[Path, int] = {}
    for path in sorted(aside.rglob("*.parquet")):
        rows = parquet.read_metadata(path).num_rows
        if not rows:
            continue
        day, target = None, folder
        if by_day:
            key = unquote(path.parent.name.partition("=")[2])
            try:
                day = date.fromisoformat(key)
            except ValueError as error:
                raise EngineError(
                    f"The result has {rows} rows whose day is NULL or not a day; "
                    "filter them out or give them a day."
                ) from error
            target = folder / f"day={day.isoformat()}"
            target.mkdir(exist_ok=True)
        number = numbers.setdefault(target, 0)
        numbers[target] += 1
        moved = path.rename(target / f"{stem}-{number}.parquet")
        files.append(StagedFile(path=moved, day=day, rows=rows, size=moved.stat().st_size))
    return tuple(files)


def _type_text(type_: Any) -> str:
    text = str(type_.simpleString())
    return _TYPES.get(text, text.upper())


def _memory_text(memory: str) -> str:
    # "4GB", "4 GiB" → "4g", the only form that Java takes.
    match = re.fullmatch(r"\s*(\d+)\s*([kmgt])i?b?\s*", memory, re.IGNORECASE)
    if not match:
        raise EngineError(f"{memory!r} is not an amount of memory. Write it as 4GB.")
    return match[1] + match[2].lower()


def _unglob(path: str) -> str:
    # Spark takes every path for a pattern.
    return re.sub(r"([*?\[\]{}])", r"\\\1", path)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _name(text: str) -> str:
    return "`" + text.replace("`", "``") + "`"
