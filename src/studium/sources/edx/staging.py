"""One batch of lines → staged Parquet files by day, and the lines that were refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from studium.engines import StagedFile
from studium.engines.duckdb import quote
from studium.sources.edx import shred
from studium.sources.edx.lines import LineReader, Refused, schema
from studium.sources.edx.rejects import RejectsFile
from studium.sources.edx.repair import repair_line

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# Lines looked at to tell a log in order of time from one that jumps between many days: writing
# the latter by day without sorting would make a file per day and flush.
_PEEK_LINES = 20_000
_PEEK_BYTES = 32 << 20
_MANY_DAYS = 64
_FLUSH_ROWS = 60_000
_FLUSH_BYTES = 32 << 20
_REFUSED_LINES = 20_000
_REFUSED_BYTES = 32 << 20

_DAY_IN_TEXT = """regexp_extract(line, '"time(?:stamp)?": ?"([0-9-]{10})', 1)"""


@dataclass(frozen=True)
class Days:
    """The plausible days of a site, both inclusive; an event outside them is refused."""

    first: date
    last: date


def stage_lines(
    db: duckdb.DuckDBPyConnection,
    reader: LineReader,
    rejects: RejectsFile,
    folder: Path,
    days: Days,
    max_lines: int,
) -> list[StagedFile]:
    """Shred up to ``max_lines`` lines into ``folder``; refused ones go to ``rejects``."""
    head = list(_peek(reader.batches(max_lines)))
    lines = sum(batch.num_rows for batch in head)
    bytes_a_line = sum(batch.nbytes for batch in head) // max(1, lines)
    _bound_memory(db, bytes_a_line)
    ordered = _is_scattered(db, head)
    rest = reader.batches(max_lines - lines, heavy_line=max(2048, 2 * bytes_a_line))
    batches = itertools.chain(head, rest if lines < max_lines else ())
    good, refused = _write(db, batches, folder / "lines", days, ordered)
    for number, chunk in enumerate(_chunks(db, refused)):
        good += _look_again(db, chunk, rejects, folder / f"repaired-{number}", days)
    return good


def _peek(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    lines = size = 0
    for batch in batches:
        yield batch
        lines += batch.num_rows
        size += batch.nbytes
        if lines >= _PEEK_LINES or size >= _PEEK_BYTES:
            return


def _bound_memory(db: duckdb.DuckDBPyConnection, bytes_a_line: int) -> None:
    """A thread that writes by day holds back so many rows, however wide they are, and cannot move
    them to disk: fewer if lines are long."""
    rows = min(_FLUSH_ROWS, max(4, _FLUSH_BYTES // max(1, bytes_a_line)))
    db.execute(f"SET partitioned_write_flush_threshold = {rows}")


def _is_scattered(db: duckdb.DuckDBPyConnection, head: list[pa.RecordBatch]) -> bool:
    import pyarrow as pa

    if not head:
        return False
    db.register("head", pa.Table.from_batches(head))
    ((days,),) = db.execute(f"SELECT count(DISTINCT {_DAY_IN_TEXT}) FROM head").fetchall()
    db.unregister("head")
    return int(days) > _MANY_DAYS


def _write(
    db: duckdb.DuckDBPyConnection,
    batches: Iterator[pa.RecordBatch],
    folder: Path,
    days: Days,
    ordered: bool,
) -> tuple[list[StagedFile], list[Path]]:
    """Good files by day, and files of refused lines (``payload`` line, ``payload_form`` reason)."""
    import pyarrow as pa

    db.register("lines", pa.RecordBatchReader.from_batches(schema(), batches))
    try:
        sql = shred.lines_sql("lines", days.first, days.last)
        return copy_by_day(db, sql + (" ORDER BY day" if ordered else ""), folder)
    finally:
        db.unregister("lines")


def copy_by_day(
    db: duckdb.DuckDBPyConnection, sql: str, folder: Path
) -> tuple[list[StagedFile], list[Path]]:
    """Write a query with a column ``day``; the files of rows without a day come second."""
    folder.mkdir(parents=True)
    result = db.execute(
        f"COPY ({sql}) TO {quote(str(folder))} (FORMAT parquet, COMPRESSION zstd, "
        "COMPRESSION_LEVEL 1, PARTITION_BY (day), RETURN_STATS)"
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


def _chunks(db: duckdb.DuckDBPyConnection, files: list[Path]) -> Iterator[list[Refused]]:
    if not files:
        return
    listed = ", ".join(quote(str(file)) for file in files)
    cursor = db.cursor()
    cursor.execute(
        "SELECT file_id, line_no, payload_form, payload FROM "
        f"read_parquet([{listed}], hive_partitioning = false)"
    )
    chunk: list[Refused] = []
    size = 0
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
    cursor.close()


def _look_again(
    db: duckdb.DuckDBPyConnection,
    chunk: list[Refused],
    rejects: RejectsFile,
    folder: Path,
    days: Days,
) -> list[StagedFile]:
    import pyarrow as pa

    repaired: dict[tuple[int, int], tuple[Refused, str]] = {}
    for refused in chunk:
        better = repair_line(refused.raw.decode()) if refused.reason == shred.NOT_JSON else None
        if better is None:
            rejects.append(refused)
        else:
            repaired[refused.file_id, refused.line_no] = (refused, better)
    if not repaired:
        return []
    table = pa.table(
        [
            [key[0] for key in repaired],
            [key[1] for key in repaired],
            [text for _, text in repaired.values()],
        ],
        schema=schema(),
    )
    good, again = _write(db, iter(table.to_batches()), folder, days, ordered=True)
    for refusals in _chunks(db, again):
        for refused in refusals:  # for another reason now; the line is still the one in the file
            first = repaired[refused.file_id, refused.line_no][0]
            rejects.append(Refused(first.file_id, first.line_no, refused.reason, first.raw))
    return good
