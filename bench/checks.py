"""A time counts only for a result that is right: baselines and Studium must agree."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb

from bench.baselines.bare import IDENTITY
from studium.lake.store import Lake
from studium.sources.edx.shred import COLUMNS

# Columns in which the baseline has another value for some rows, as it does not ask what Studium
# asks: whether a key is valid or stands in the URL, what kind of payload it is, whether a number
# of the payload makes sense. How many rows differ is reported.
LENIENT = frozenset((
    "course_id", "course_id_source", "org_id", "payload_form", "event_course_id", "problem_id",
    "attempts", "video_id", "position", "seek_from", "seek_to", "duration", "topic_id", "mode",
    "user_id", "event_user_id", "success", "grade", "max_grade", "video_code", "vote_value",
    "undo_vote", "target_username",
))  # fmt: skip


def compare_events(lake: Path, bare: Path) -> dict[str, int]:
    """Rows of both, which must be as many and equal in every column but those of ``LENIENT``, as
    far as those of the baseline differ; reports in how many rows each of these does."""
    ours = list(Lake(lake).snapshot("events").relation().files)
    theirs = [str(path) for path in bare.rglob("*.parquet")]
    columns = [name for name in COLUMNS if name not in IDENTITY]
    strict = [name for name in columns if name not in LENIENT]
    with duckdb.connect() as db:

        def sums(files: list[str]) -> dict[str, int]:
            # Each value is summed up with what tells its row, so that rows cannot swap values.
            row = f"hash({', '.join(strict)})"
            parts = [f"count(*) AS rows, sum({row}::HUGEINT) AS strict"] + [
                f"sum(hash({row}, {name})::HUGEINT) AS {name}" for name in sorted(LENIENT)
            ]
            result = db.execute(
                f"SELECT {', '.join(parts)} FROM read_parquet({files!r}, hive_partitioning = true)"
            )
            names = [column[0] for column in result.description]
            return dict(zip(names, result.fetchall()[0], strict=True))

        a, b = sums(ours), sums(theirs)
        if not a["rows"] or (a["rows"], a["strict"]) != (b["rows"], b["strict"]):
            raise SystemExit(f"the bare baseline has other events than Studium: {a} and {b}")
        key = f"hash({', '.join(strict)})"
        found = {"events": int(a["rows"]), "columns_compared": len(columns)}
        for name in sorted(LENIENT):
            if a[name] == b[name]:
                continue
            ((count,),) = db.execute(
                f"SELECT count(*) FROM (SELECT {key} AS h, {name} AS value "
                f"FROM read_parquet({ours!r}, hive_partitioning = true) EXCEPT ALL "
                f"SELECT {key}, {name} FROM read_parquet({theirs!r}, hive_partitioning = true))"
            ).fetchall()
            found[f"bare_differs_in_{name}"] = int(count)
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
