"""Events of forgotten learners do not come back: they are taken out of every slab of lines.

Whoever acts or is acted upon is known by the typed columns; other events that told of a forgotten
learner are known by their identity (``studium.lake.erasures``).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from studium.engines.duckdb import quote
from studium.lake.erasures import Erasures, person_columns
from studium.sources.edx.shred import COLUMNS

if TYPE_CHECKING:
    import duckdb


def drop_forgotten(db: duckdb.DuckDBPyConnection, erasures: Erasures) -> Counter[int]:
    """Take lines of forgotten learners out of the table ``slab``; how many, by file id."""
    if not erasures:
        return Counter()
    condition = erasures.condition(
        db, "SELECT * FROM slab WHERE day IS NOT NULL", *person_columns(COLUMNS)
    )
    if events := erasures.hashes.get("event"):
        listed = ", ".join(map(quote, sorted(events)))
        known = f"sha256('{erasures.salt}:event:' || lower(hex(event_id))) IN ({listed})"
        condition = f"({condition}) OR {known}"
    # A line without a day has been refused; what its other columns say does not count.
    where = f"WHERE day IS NOT NULL AND ({condition})"
    found = db.execute(f"SELECT file_id, count(*) FROM slab {where} GROUP BY 1").fetchall()
    if found:
        db.execute(f"DELETE FROM slab {where}").fetchall()
    return Counter(dict(found))
