"""The bare baseline of ingest: DuckDB reads the logs into typed columns and writes Parquet by day.

    python -m bench.baselines.bare LOGS OUT

The columns are those of ``events`` without identity and provenance. What it leaves out: identity,
duplicates, refused lines and their reasons, prefixed and repaired lines, validity of course keys,
times with odd offsets, the manifest, the Delta commit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from studium.sources.edx.shred import COLUMNS

TEXTS = (
    "username", "event_type", "name", "event_source", "ip", "agent", "host", "session", "page",
    "referer", "accept_language",
)  # fmt: skip
IDENTITY = ("event_id", "file_id", "line_no", "shredder")

_CONTEXT = (
    '{"course_id": "VARCHAR", "user_id": "VARCHAR", "path": "VARCHAR", '
    '"module": {"display_name": "VARCHAR", "usage_key": "VARCHAR"}, '
    '"asides": {"tagging_aside": {"saved_tags": "JSON"}}}'
)
_PAYLOAD = "{{{}}}".format(
    ", ".join(
        f'"{name}": "VARCHAR"'
        for name in (
            "course_id", "user_id", "mode", "problem_id", "success", "attempts", "grade",
            "max_grade", "id", "code", "currentTime", "old_time", "new_time", "duration",
            "commentable_id", "vote_value", "undo_vote", "target_username",
        )
    )
)  # fmt: skip
_TYPED = {
    "course_id": "c.course_id",
    "course_id_source": "CASE WHEN c.course_id IS NOT NULL THEN 'context' END",
    "org_id": "split_part(split_part(c.course_id, ':', 2), '+', 1)",
    "user_id": "TRY_CAST(c.user_id AS BIGINT)",
    "path": "c.path",
    "module_id": "c.module.usage_key",
    "module_name": "c.module.display_name",
    "tags": "c.asides.tagging_aside.saved_tags::VARCHAR",
    "payload_form": "json_type(event)",
    "event_course_id": "p.course_id",
    "event_user_id": "TRY_CAST(p.user_id AS BIGINT)",
    "mode": "p.mode",
    "problem_id": "p.problem_id",
    "success": "p.success",
    "attempts": "TRY_CAST(p.attempts AS BIGINT)",
    "grade": "TRY_CAST(p.grade AS DOUBLE)",
    "max_grade": "TRY_CAST(p.max_grade AS DOUBLE)",
    "video_id": "p.id",
    "video_code": "p.code",
    "position": "TRY_CAST(p.currentTime AS DOUBLE)",
    "seek_from": "TRY_CAST(p.old_time AS DOUBLE)",
    "seek_to": "TRY_CAST(p.new_time AS DOUBLE)",
    "duration": "TRY_CAST(p.duration AS DOUBLE)",
    "topic_id": "p.commentable_id",
    "vote_value": "p.vote_value",
    "undo_vote": "TRY_CAST(p.undo_vote AS BOOLEAN)",
    "target_username": "p.target_username",
    "context": "context::VARCHAR",
    "payload": "payload",
}


def query(files: list[str]) -> str:
    """The SELECT: ``day`` and every column of ``events`` but ``IDENTITY``."""
    logged = ", ".join(f"{name}: 'VARCHAR'" for name in (*TEXTS, "time"))
    columns = ", ".join(
        name if name in ("time", *TEXTS) else f"{_TYPED[name]} AS {name}"
        for name in COLUMNS
        if name not in IDENTITY
    )
    return f"""
SELECT time::DATE AS day, {columns}
FROM (
  SELECT * REPLACE (TRY_CAST(time AS TIMESTAMPTZ)::TIMESTAMP AS time),
         from_json(context, '{_CONTEXT}') AS c,
         CASE WHEN starts_with(payload, '{{') THEN
              from_json(TRY_CAST(payload AS JSON), '{_PAYLOAD}') END AS p
  FROM (
    SELECT *, CASE WHEN json_type(event) = 'VARCHAR' THEN event->>'$' ELSE event::VARCHAR END
                AS payload
    FROM read_json({files!r}, format = 'newline_delimited', ignore_errors = true,
                   columns = {{{logged}, context: 'JSON', event: 'JSON'}})
  )
)
WHERE time IS NOT NULL
"""


# As Studium's ingest has it: without, many days at once make DuckDB spill and take twice as long.
_CONFIG = {
    "memory_limit": "1GB",
    "preserve_insertion_order": False,
    "partitioned_write_flush_threshold": 60_000,
    "partitioned_write_max_open_files": 100,
}


def main(logs: Path, out: Path) -> None:
    """Write ``out/day=…/*.parquet`` with the limits that a site has by default."""
    with duckdb.connect(config=_CONFIG) as db:
        db.execute("SET TimeZone = 'UTC'")
        files = sorted(str(path) for path in logs.iterdir())
        db.execute(
            f"COPY ({query(files)}) TO '{out}' (FORMAT parquet, COMPRESSION zstd, "
            "COMPRESSION_LEVEL 1, PARTITION_BY (day))"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
