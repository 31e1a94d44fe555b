"""A time counts only for a result that is right: baselines and Studium must agree."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb

from studium.lake.store import Lake

COMPARED = (
    "time", "username", "event_type", "event_source", "ip", "agent", "session", "page", "user_id",
    "mode", "problem_id", "attempts", "grade", "video_code", "context", "payload",
)  # fmt: skip


def compare_events(lake: Path, bare: Path) -> dict[str, int]:
    """Events of both, by the content of ``COMPARED``; each one of the baseline must be in the lake.

    ``repeated`` are rows that the baseline keeps twice, ``missed`` events that it does not have.
    """
    snapshot = Lake(lake).snapshot("events")
    ours = [str(snapshot.folder / file.path) for file in snapshot.files]
    theirs = [str(path) for path in bare.rglob("*.parquet")]
    key = f"hash({', '.join(COMPARED)})"
    with duckdb.connect() as db:

        def count(sql: str) -> int:
            (row,) = db.execute(sql).fetchall()
            return int(row[0])

        for name, files in (("ours", ours), ("theirs", theirs)):
            db.execute(
                f"CREATE TABLE {name} AS SELECT {key} AS h FROM "
                f"read_parquet({files!r}, hive_partitioning = true)"
            )
        found = {
            "studium_events": count("SELECT count(*) FROM ours"),
            "bare_rows": count("SELECT count(*) FROM theirs"),
            "bare_repeated": count("SELECT count(*) - count(DISTINCT h) FROM theirs"),
            "bare_missed": count("SELECT count(*) FROM ours ANTI JOIN theirs USING (h)"),
            "bare_only": count("SELECT count(*) FROM theirs ANTI JOIN ours USING (h)"),
        }
    if found["bare_only"] or not found["bare_rows"]:
        raise SystemExit(f"the bare baseline has other events than Studium: {found}")
    return found


def compare_enrollment(results: Path, mapped: Path) -> int:
    """Rows of ``course_enrollment_daily``, equal to those of the mapper."""
    with closing(sqlite3.connect(results)) as db:
        ours = db.execute(
            "SELECT course_id, date, count, cumulative_count FROM course_enrollment_daily"
        ).fetchall()
    theirs = [tuple(row) for row in json.loads(mapped.read_text("utf-8"))]
    if not ours or sorted(ours) != sorted(theirs):
        differ = sorted(set(ours) ^ set(theirs))[:5]
        raise SystemExit(f"the mapper and Studium differ, first in {differ}")
    return len(ours)


def enrolled(results: Path, course: str) -> int:
    """Learners enrolled in a course on the last day published."""
    with closing(sqlite3.connect(results)) as db:
        row = db.execute(
            "SELECT count FROM course_enrollment_daily WHERE course_id = ? ORDER BY date DESC",
            (course,),
        ).fetchone()
    return int(row[0])
