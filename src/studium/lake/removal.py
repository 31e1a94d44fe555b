"""Rows taken out of a table of the lake: the files that hold them are written anew without them."""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studium.engines import Relation, StagedFile
from studium.engines.duckdb import quote, relation_sql
from studium.lake.store import Lake, LakeFile, Snapshot

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Removed:
    """What went, or would go, from one table."""

    table: str
    rows: int
    partitions: int


def count_rows(db: duckdb.DuckDBPyConnection, snapshot: Snapshot, condition: str) -> Removed:
    """The rows of a table for which the SQL ``condition`` is true."""
    found = _matches(db, snapshot, condition)
    return Removed(snapshot.name, sum(found.values()), len({file.day for file in found}))


def remove_rows(
    lake: Lake,
    db: duckdb.DuckDBPyConnection,
    name: str,
    condition: str,
    build: str,
    scratch: Path,
) -> Removed:
    """Take the rows of table ``name`` out for which ``condition`` is true; needs the writer lock.

    Files keep the fingerprint of what wrote them, and partitions get a new version.
    """
    snapshot = lake.snapshot(name)
    found = _matches(db, snapshot, condition)
    removed = Removed(name, sum(found.values()), len({file.day for file in found}))
    if not found:
        return removed
    folder = scratch / f"without-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    touched: dict[str, list[LakeFile]] = defaultdict(list)
    if snapshot.by_day:
        for file in found:
            touched[file.fingerprint or "00000000"].append(file)
    else:  # replaced as a whole, or what is not named would be gone
        touched[snapshot.files[0].fingerprint or "00000000"] = list(snapshot.files)
    for fingerprint, files in touched.items():
        staged = [
            one
            for number, file in enumerate(files)
            if (one := _without(db, snapshot, file, condition, folder / f"{number}.parquet"))
        ]
        lake.commit(
            name,
            staged,
            columns=snapshot.columns,
            by_day=snapshot.by_day,
            build=build,
            fingerprint=fingerprint,
            replace=files if snapshot.by_day else (),
        )
        shutil.rmtree(folder, ignore_errors=True)
    return removed


def _matches(
    db: duckdb.DuckDBPyConnection, snapshot: Snapshot, condition: str
) -> dict[LakeFile, int]:
    """Rows to go by file: days in one query, then the files of the days that have any."""
    if snapshot.by_day:
        rows = relation_sql(snapshot.relation())
        days = {
            day
            for (day,) in db.execute(
                f"SELECT DISTINCT day FROM ({rows}) WHERE {condition}"
            ).fetchall()
        }
        suspects = [file for file in snapshot.files if file.day in days]
    else:
        suspects = list(snapshot.files)
    found = {}
    for file in suspects:
        rows = relation_sql(_relation(snapshot, file))
        ((count,),) = db.execute(f"SELECT count(*) FROM ({rows}) WHERE {condition}").fetchall()
        if count:
            found[file] = int(count)
    return found


def _without(
    db: duckdb.DuckDBPyConnection, snapshot: Snapshot, file: LakeFile, condition: str, target: Path
) -> StagedFile | None:
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = relation_sql(_relation(snapshot, file))
    ((count,),) = db.execute(
        f"COPY (SELECT * FROM ({rows}) WHERE ({condition}) IS NOT TRUE) TO {quote(str(target))} "
        "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    ).fetchall()
    return StagedFile(target, file.day, int(count), target.stat().st_size) if count else None


def _relation(snapshot: Snapshot, file: LakeFile) -> Relation:
    columns = {
        name: kind
        for name, kind in snapshot.columns.items()
        if not (snapshot.by_day and name == "day")
    }
    return Relation(snapshot.paths([file]), columns)
