"""Forgotten learners do not come back with a snapshot of the LMS's tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from studium.engines import Relation
from studium.engines.duckdb import quote, relation_sql
from studium.lake.erasures import Erasures, person_columns

if TYPE_CHECKING:
    import duckdb


def drop_forgotten(
    db: duckdb.DuckDBPyConnection, path: Path, columns: Mapping[str, str], erasures: Erasures
) -> int:
    """Take forgotten learners out of a staged file; returns how many rows went."""
    ids, names = person_columns(columns)
    if not erasures or not (ids or names):
        return 0
    rows = relation_sql(Relation((str(path),), columns))
    condition = erasures.condition(db, rows, ids, names)
    without = path.with_suffix(".kept")
    ((before,),) = db.execute(f"SELECT count(*) FROM ({rows})").fetchall()
    ((after,),) = db.execute(
        f"COPY (SELECT * FROM ({rows}) WHERE ({condition}) IS NOT TRUE) "
        f"TO {quote(str(without))} (FORMAT parquet, COMPRESSION zstd)"
    ).fetchall()
    os.replace(without, path)
    return int(before) - int(after)
