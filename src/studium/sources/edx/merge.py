"""Which staged events are new: the anti-join with the days they belong to (design §3.3, append).

Equal identities have equal times, so an event can only be a duplicate within its own day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from studium.engines import Relation, StagedFile
from studium.engines.duckdb import quote, relation_sql
from studium.lake.store import Snapshot
from studium.sources.edx.shred import COLUMNS

if TYPE_CHECKING:
    import duckdb


@dataclass
class Fates:
    """Lines per file id: ``new`` events, those kept ``again`` (this very line is in the lake, from
    an earlier reading of the file), and ``duplicates`` of another line."""

    new: Counter[int] = field(default_factory=Counter)
    again: Counter[int] = field(default_factory=Counter)
    duplicates: Counter[int] = field(default_factory=Counter)

    def add(self, other: Fates) -> None:
        self.new += other.new
        self.again += other.again
        self.duplicates += other.duplicates


def keep_new(
    db: duckdb.DuckDBPyConnection,
    staged: Sequence[StagedFile],
    lake: Snapshot,
    order: Sequence[int],
    folder: Path,
) -> tuple[list[StagedFile], Fates]:
    """Files of the events that are new, and what became of every line.

    Of equal events the first in the ``order`` of reading (file ids) is kept.
    Days without a duplicate keep their staged files; the others are written anew into ``folder``.
    """
    fates = Fates()
    if not staged:
        return [], fates
    known = lake.relation({file.day for file in staged if file.day})
    _register_order(db, order)
    db.execute(f"""
      CREATE OR REPLACE TEMP TABLE ids AS
      SELECT event_id, file_id, line_no, day, place FROM ({_ids_of([str(f.path) for f in staged])})
      JOIN reading_order USING (file_id)
    """)
    db.execute(f"""
      CREATE OR REPLACE TEMP TABLE gone AS
      WITH known AS (
        SELECT ids.file_id, ids.line_no, ids.day,
               bool_or(lake.file_id = ids.file_id AND lake.line_no = ids.line_no) AS again
        FROM ids JOIN ({_ids_of(known.files)}) AS lake USING (event_id)
        GROUP BY ALL
      ), twins AS (
        SELECT event_id, min({{'place': place, 'line_no': line_no}}) AS first
        FROM ids GROUP BY event_id HAVING count(*) > 1
      )
      SELECT * FROM known
      UNION ALL
      SELECT ids.file_id, ids.line_no, ids.day, false AS again
      FROM ids JOIN twins USING (event_id)
      ANTI JOIN known USING (file_id, line_no)
      WHERE ids.place <> first.place OR ids.line_no <> first.line_no
    """)
    for file_id, count in db.execute("SELECT file_id, count(*) FROM ids GROUP BY 1").fetchall():
        fates.new[file_id] = count
    for file_id, again, count in db.execute(
        "SELECT file_id, again, count(*) FROM gone GROUP BY 1, 2"
    ).fetchall():
        (fates.again if again else fates.duplicates)[file_id] = count
        fates.new[file_id] -= count
    gone = dict(db.execute("SELECT day, count(*) FROM gone GROUP BY 1").fetchall())
    rows: Counter[date | None] = Counter()
    for file in staged:
        rows[file.day] += file.rows
    kept = []
    for number, file in enumerate(staged):
        if file.day not in gone:
            kept.append(file)
        elif gone[file.day] < rows[file.day]:
            kept += _without_gone(db, file, folder / f"day={file.day}" / f"{number}.parquet")
    db.execute("DROP TABLE ids; DROP TABLE gone")
    return kept, fates


def _register_order(db: duckdb.DuckDBPyConnection, order: Sequence[int]) -> None:
    import pyarrow as pa

    places = pa.table({"file_id": pa.array(order, pa.int64()), "place": range(len(order))})
    db.register("reading_order", places)


def _without_gone(
    db: duckdb.DuckDBPyConnection, file: StagedFile, target: Path
) -> list[StagedFile]:
    """The file anew: as a stream, for events are wide and sorting or regrouping them is dear."""
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = relation_sql(Relation((str(file.path),), COLUMNS))
    ((count,),) = db.execute(
        f"COPY (SELECT * FROM ({rows}) ANTI JOIN (SELECT file_id, line_no FROM gone "
        f"WHERE day = DATE '{file.day}') USING (file_id, line_no)) TO {quote(str(target))} "
        "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    ).fetchall()
    return [StagedFile(target, file.day, int(count), target.stat().st_size)] if count else []


def _ids_of(files: Sequence[str]) -> str:
    names = {"event_id": "BLOB", "file_id": "BIGINT", "line_no": "BIGINT"}
    return relation_sql(Relation(tuple(files), names, by_day=True))
