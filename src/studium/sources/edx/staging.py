"""Lines of logs → the table ``slab`` of typed rows → staged Parquet files by day.

A slab is as many lines as fit into memory beside what is done with them. Its rows lie in a table
of DuckDB's until it is known which of them are new, so that every row is written once; and a day
is written after the other, as rows that are cut up by day while they are shredded cost twice as
much to write (docs/explanation/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from studium.engines import StagedFile
from studium.engines.duckdb import quote
from studium.sources.edx import shred
from studium.sources.edx.ahead import read_ahead
from studium.sources.edx.lines import LineReader, Refused, schema
from studium.sources.edx.rejects import RejectsFile
from studium.sources.edx.repair import repair_line

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

SLAB_BYTES = 256 << 20  # of lines at most, and a quarter of the memory

# A day of a slab is one scan of it: of very many days, rather sort them.
_MANY_DAYS = 128
_FORM = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
_REFUSED_LINES = 20_000
_REFUSED_BYTES = 32 << 20


@dataclass(frozen=True)
class Days:
    """The plausible days of a site, both inclusive; an event outside them is refused."""

    first: date
    last: date


def load_slab(
    db: duckdb.DuckDBPyConnection,
    reader: LineReader,
    rejects: RejectsFile,
    days: Days,
    max_lines: int,
) -> int:
    """Make the table ``slab`` (``day`` and ``shred.COLUMNS``) of the next lines, ``max_lines`` or
    ``SLAB_BYTES`` or a little more; refused ones go to ``rejects`` and have no ``day``. Returns
    how many lines there were."""
    seen = 0
    ((memory,),) = db.execute(
        "SELECT parse_formatted_bytes(current_setting('memory_limit'))"
    ).fetchall()

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal seen
        for batch in reader.batches(max_lines, min(SLAB_BYTES, int(memory) // 4)):
            seen += batch.num_rows
            yield batch

    with closing(read_ahead(counted())) as batches:
        _shred(db, "CREATE OR REPLACE TABLE slab AS", batches, days)
    for chunk in _refused(db, "slab"):
        _look_again(db, chunk, rejects, days)
    return seen


def write_slab(
    db: duckdb.DuckDBPyConnection, folder: Path, but: str = "", stem: str = "0"
) -> list[StagedFile]:
    """The rows of ``slab`` that have a day, but those whose ``file_id`` and ``line_no`` are in the
    table ``but``, as a file a day: ``folder/day=YYYY-MM-DD/stem.parquet``."""
    rest = f"ANTI JOIN {but} USING (file_id, line_no)" if but else ""
    return write_days(db, f"slab {rest}", shred.COLUMNS, folder, stem)


def write_days(
    db: duckdb.DuckDBPyConnection,
    rows: str,
    columns: Iterable[str],
    folder: Path,
    stem: str = "0",
) -> list[StagedFile]:
    """What stands after FROM in ``rows``, a table in memory with a column ``day``, as a file a day:
    ``folder/day=YYYY-MM-DD/stem.parquet`` with ``columns``. Rows without a day are left out."""
    found = db.execute(f"SELECT day, count(*) FROM {rows} GROUP BY day").fetchall()
    counts = {day: int(count) for day, count in found if day is not None}
    names = ", ".join(columns)
    if len(counts) > _MANY_DAYS:
        sql = f"SELECT day, {names} FROM {rows} WHERE day IS NOT NULL ORDER BY day"
        return copy_by_day(db, sql, folder / stem)[0]

    def write(day: date) -> StagedFile:
        target = folder / f"day={day}" / f"{stem}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        with db.cursor() as cursor:
            cursor.execute(
                f"COPY (SELECT {names} FROM {rows} WHERE day = DATE '{day}') "
                f"TO {quote(str(target))} ({_FORM})"
            ).fetchall()
        return StagedFile(target, day, counts[day], target.stat().st_size)

    # A file of less than a row group is written by one thread of DuckDB's.
    ((threads,),) = db.execute("SELECT current_setting('threads')").fetchall()
    with ThreadPoolExecutor(int(threads)) as pool:
        return list(pool.map(write, sorted(counts)))


def _shred(
    db: duckdb.DuckDBPyConnection, into: str, batches: Iterator[pa.RecordBatch], days: Days
) -> None:
    import duckdb
    import pyarrow as pa

    failure: BaseException | None = None

    def watched() -> Iterator[pa.RecordBatch]:
        nonlocal failure
        try:
            yield from batches
        except BaseException as error:
            failure = error
            raise

    db.register("lines", pa.RecordBatchReader.from_batches(schema(), watched()))
    try:
        db.execute(f"{into} {shred.lines_sql('lines', days.first, days.last)}").fetchall()
    except duckdb.Error:
        if failure is not None:  # Ctrl-C, for one: DuckDB has it for an error of its own
            raise failure from None
        raise
    finally:
        db.unregister("lines")


def copy_by_day(
    db: duckdb.DuckDBPyConnection, sql: str, folder: Path
) -> tuple[list[StagedFile], list[Path]]:
    """Write a query with a column ``day``; the files of rows without a day come second."""
    folder.mkdir(parents=True)
    result = db.execute(
        f"COPY ({sql}) TO {quote(str(folder))} ({_FORM}, PARTITION_BY (day), RETURN_STATS)"
    )
    names = [column[0] for column in result.description]
    good, rest = [], []
    for values in result.fetchall():
        row = dict(zip(names, values, strict=True))
        path = Path(row["filename"])
        text = path.parent.name.removeprefix("day=")
        if text.startswith("__"):
            rest.append(path)
        elif row["count"]:
            size = path.stat().st_size
            good.append(StagedFile(path, date.fromisoformat(text), int(row["count"]), size))
    return good, rest


def _refused(db: duckdb.DuckDBPyConnection, table: str) -> Iterator[list[Refused]]:
    """The rows without a day (``payload`` line, ``payload_form`` reason), in bounded chunks."""
    chunk: list[Refused] = []
    size = 0
    with db.cursor() as cursor:
        cursor.execute(
            f"SELECT file_id, line_no, payload_form, payload FROM {table} WHERE day IS NULL"
        )
        while rows := cursor.fetchmany(100):
            for file, line, reason, text in rows:
                raw = text.removesuffix("\n").encode()
                chunk.append(Refused(file, line, reason, raw))
                size += len(raw)
            if len(chunk) >= _REFUSED_LINES or size >= _REFUSED_BYTES:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def _look_again(
    db: duckdb.DuckDBPyConnection, chunk: list[Refused], rejects: RejectsFile, days: Days
) -> None:
    """Repaired lines are shredded once more, and go into the slab if they are events now."""
    import pyarrow as pa

    repaired: dict[tuple[int, int], tuple[Refused, str]] = {}
    for refused in chunk:
        better = repair_line(refused.raw.decode()) if refused.reason == shred.NOT_JSON else None
        if better is None:
            rejects.append(refused)
        else:
            repaired[refused.file_id, refused.line_no] = (refused, better)
    if not repaired:
        return
    table = pa.table(
        [
            [key[0] for key in repaired],
            [key[1] for key in repaired],
            [text for _, text in repaired.values()],
        ],
        schema=schema(),
    )
    _shred(db, "CREATE OR REPLACE TABLE repaired AS", iter(table.to_batches()), days)
    for refusals in _refused(db, "repaired"):
        for refused in refusals:  # for another reason now; the line is still the one in the file
            first = repaired[refused.file_id, refused.line_no][0]
            rejects.append(Refused(first.file_id, first.line_no, refused.reason, first.raw))
    db.execute("INSERT INTO slab FROM repaired WHERE day IS NOT NULL").fetchall()
    db.execute("DROP TABLE repaired")
