"""Compaction: days with many small files become one file each; no row and no version changes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from studium.engines import Relation, StagedFile
from studium.engines.duckdb import quote, relation_sql
from studium.lake.store import Lake, LakeFile, Snapshot

if TYPE_CHECKING:
    import duckdb


#: A file of so many rows is not small: it is a whole row group, which reading it with others gains
#: nothing from. Without this rule a day of many slabs would be written twice.
WHOLE = 122_880


def compact_days(
    lake: Lake, name: str, after: int, db: duckdb.DuckDBPyConnection, scratch: Path
) -> int:
    """Compact the days of a table that have more than ``after`` small files; returns how many."""
    snapshot = lake.snapshot(name)
    small = {
        day: [file for file in files if file.rows < WHOLE]
        for day, files in snapshot.by_partition().items()
        if day is not None
    }
    crowded = {day: files for day, files in small.items() if len(files) > after}
    if not crowded:
        return 0
    folder = scratch / f"compact-{name}"
    staged = [
        _rewrite(db, snapshot, day, files, folder / f"{day}.parquet")
        for day, files in sorted(crowded.items())
    ]
    lake.compact(name, staged, [file for files in crowded.values() for file in files])
    shutil.rmtree(folder, ignore_errors=True)
    return len(crowded)


def _rewrite(
    db: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    day: date,
    files: Sequence[LakeFile],
    target: Path,
) -> StagedFile:
    target.parent.mkdir(parents=True, exist_ok=True)
    paths = snapshot.paths(files)
    columns = {name: kind for name, kind in snapshot.columns.items() if name != "day"}
    db.execute(
        f"COPY ({relation_sql(Relation(paths, columns))}) TO {quote(str(target))} "
        "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )
    return StagedFile(target, day, sum(file.rows for file in files), target.stat().st_size)
