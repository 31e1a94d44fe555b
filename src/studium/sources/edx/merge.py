"""Which staged events are new: the anti-join with the days they belong to (design §3.3, append).

Equal identities have equal times, so an event can only be a duplicate within its own day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from studium.engines import Relation, StagedFile
from studium.engines.duckdb import relation_sql
from studium.lake.store import Snapshot
from studium.sources.edx.staging import copy_by_day

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
    db: duckdb.DuckDBPyConnection, staged: Sequence[StagedFile], lake: Snapshot, folder: Path
) -> tuple[list[StagedFile], Fates]:
    """Files of the events that are new, and what became of every line.

    Days without a duplicate keep their staged files; the others are written anew into ``folder``.
    """
    fates = Fates()
    if not staged:
        return [], fates
    known = lake.relation({file.day for file in staged if file.day})
    db.execute(f"""
      CREATE OR REPLACE TEMP TABLE ids AS
      SELECT event_id, file_id, line_no, day FROM ({relation_sql(_relation(staged))})
    """)
    db.execute(f"""
      CREATE OR REPLACE TEMP TABLE gone AS
      WITH known AS (
        SELECT ids.file_id, ids.line_no, ids.day,
               bool_or(lake.file_id = ids.file_id AND lake.line_no = ids.line_no) AS again
        FROM ids JOIN ({_ids_of(known)}) AS lake USING (event_id)
        GROUP BY ALL
      ), twins AS (
        SELECT event_id, min({{'file_id': file_id, 'line_no': line_no}}) AS first
        FROM ids GROUP BY event_id HAVING count(*) > 1
      )
      SELECT * FROM known
      UNION ALL
      SELECT ids.file_id, ids.line_no, ids.day, false AS again
      FROM ids JOIN twins USING (event_id)
      ANTI JOIN known USING (file_id, line_no)
      WHERE ids.file_id <> first.file_id OR ids.line_no <> first.line_no
    """)
    for file_id, count in db.execute("SELECT file_id, count(*) FROM ids GROUP BY 1").fetchall():
        fates.new[file_id] = count
    for file_id, again, count in db.execute(
        "SELECT file_id, again, count(*) FROM gone GROUP BY 1, 2"
    ).fetchall():
        (fates.again if again else fates.duplicates)[file_id] = count
        fates.new[file_id] -= count
    touched = {day for (day,) in db.execute("SELECT DISTINCT day FROM gone").fetchall()}
    clean = [file for file in staged if file.day not in touched]
    mixed = [file for file in staged if file.day in touched]
    if mixed:
        rows = relation_sql(_relation(mixed, "*"))
        sql = f"SELECT * FROM ({rows}) ANTI JOIN gone USING (file_id, line_no)"
        clean += copy_by_day(db, sql + " ORDER BY day", folder)[0]
    db.execute("DROP TABLE ids; DROP TABLE gone")
    return clean, fates


def _relation(staged: Sequence[StagedFile], columns: str = "") -> Relation:
    from studium.sources.edx.shred import COLUMNS

    wanted = COLUMNS if columns else {n: COLUMNS[n] for n in ("event_id", "file_id", "line_no")}
    return Relation(tuple(str(file.path) for file in staged), wanted, by_day=True)


def _ids_of(known: Relation) -> str:
    names = {"event_id": "BLOB", "file_id": "BIGINT", "line_no": "BIGINT"}
    return relation_sql(Relation(known.files, names, by_day=True))
