"""Features of every learner in every week of a course run, and the aggregates of them.

Reads the table ``events`` of the lake, writes ``features.parquet`` (a row a learner, course run and
ISO week) and ``weeks.csv`` (a row a week).
"""

import os
from pathlib import Path

import duckdb

INPUT = Path(os.environ.get("STUDIUM_INPUT", "/input"))
OUTPUT = Path(os.environ.get("STUDIUM_OUTPUT", "/output"))

FEATURES = """
SELECT course_id,
       user_id,
       strftime(day, '%G-W%V') AS week,
       count(*)::INTEGER AS events,
       count(DISTINCT day)::INTEGER AS active_days,
       count(*) FILTER (event_type = 'play_video')::INTEGER AS plays,
       count(*) FILTER (event_type = 'problem_check' AND event_source = 'server')::INTEGER
         AS answers,
       count(*) FILTER (event_type LIKE 'edx.forum.%.created')::INTEGER AS posts,
       max(grade / nullif(max_grade, 0)) AS best_grade
FROM read_parquet($events, hive_partitioning = true, union_by_name = true)
WHERE user_id IS NOT NULL AND course_id IS NOT NULL
GROUP BY ALL
ORDER BY course_id, week, user_id
"""

WEEKS = """
WITH learners AS (
  SELECT week, user_id, sum(events) AS events, max(active_days) AS active_days,
         sum(plays) AS plays, sum(answers) AS answers
  FROM features GROUP BY ALL
)
SELECT week,
       count(*) AS learners,
       count(*) FILTER (plays > 0) AS watched,
       count(*) FILTER (answers > 0) AS answered,
       round(avg(active_days), 3) AS mean_active_days,
       round(avg(events), 3) AS mean_events
FROM learners
GROUP BY ALL
ORDER BY week
"""


def main() -> None:
    db = duckdb.connect(config={"threads": 1, "memory_limit": "600MB", "temp_directory": "/tmp"})
    events = f"{INPUT}/events/**/*.parquet"
    db.execute(f"CREATE TABLE features AS {FEATURES}", {"events": events})
    db.execute(f"COPY features TO '{OUTPUT}/features.parquet' (FORMAT parquet)")
    db.execute(f"COPY ({WEEKS}) TO '{OUTPUT}/weeks.csv' (HEADER)")
    rows = db.execute("SELECT count(*) FROM features").fetchone()
    print(f"{rows[0] if rows else 0} rows of features")


if __name__ == "__main__":
    main()
