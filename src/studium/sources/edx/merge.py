"""Which events of a slab are new: the anti-join with the days they belong to (design §3.3, append).

Equal identities have equal times, so an event can only be a duplicate within its own day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from studium.engines import Relation
from studium.engines.duckdb import relation_sql

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


def slab_days(db: duckdb.DuckDBPyConnection) -> set[date]:
    """The days that the events of the slab belong to."""
    found = db.execute("SELECT DISTINCT day FROM slab WHERE day IS NOT NULL").fetchall()
    return {day for (day,) in found}


def find_gone(db: duckdb.DuckDBPyConnection, known: Sequence[str], order: Sequence[int]) -> Fates:
    """Make the table ``gone`` (file_id, line_no, day, again) of the slab's events that are not new,
    and tell what became of every line.

    ``known`` are the files with the events there are already, of the slab's days at least. Of
    equal events of the slab the first in the ``order`` of reading (file ids) is kept.
    """
    db.execute(
        "CREATE OR REPLACE TABLE gone (file_id BIGINT, line_no BIGINT, day DATE, again BOOLEAN)"
    )
    if known:
        db.execute(f"""
          INSERT INTO gone
          SELECT slab.file_id, slab.line_no, slab.day,
                 bool_or(lake.file_id = slab.file_id AND lake.line_no = slab.line_no) AS again
          FROM slab JOIN ({_ids_of(known)}) AS lake USING (event_id)
          WHERE slab.day IS NOT NULL GROUP BY ALL
        """).fetchall()
    _register_order(db, order)
    # Twins are few: counting all events first costs less than ordering all.
    db.execute("""
      INSERT INTO gone
      SELECT file_id, line_no, day, false AS again
      FROM (
        SELECT slab.file_id, slab.line_no, slab.day,
               row_number() OVER (PARTITION BY event_id ORDER BY place, slab.line_no) AS nth
        FROM slab
        SEMI JOIN (SELECT event_id FROM slab WHERE day IS NOT NULL
                   GROUP BY event_id HAVING count(*) > 1) AS twins USING (event_id)
        JOIN reading_order USING (file_id)
        WHERE day IS NOT NULL
      )
      ANTI JOIN gone USING (file_id, line_no)
      WHERE nth > 1
    """).fetchall()
    db.unregister("reading_order")
    fates = Fates()
    for file_id, count in db.execute(
        "SELECT file_id, count(*) FROM slab WHERE day IS NOT NULL GROUP BY 1"
    ).fetchall():
        fates.new[file_id] = count
    for file_id, again, count in db.execute(
        "SELECT file_id, again, count(*) FROM gone GROUP BY 1, 2"
    ).fetchall():
        (fates.again if again else fates.duplicates)[file_id] = count
        fates.new[file_id] -= count
    return fates


def _register_order(db: duckdb.DuckDBPyConnection, order: Sequence[int]) -> None:
    import pyarrow as pa

    places = pa.table({"file_id": pa.array(order, pa.int64()), "place": range(len(order))})
    db.register("reading_order", places)


def _ids_of(files: Sequence[str]) -> str:
    names = {"event_id": "BLOB", "file_id": "BIGINT", "line_no": "BIGINT"}
    return relation_sql(Relation(tuple(files), names))
