/* studium
description = "Learners enrolled at the end of each day, per course and enrollment mode"
kind    = "full"
grain   = ["course_id", "date", "mode"]
publish = "course_enrollment_mode_daily"
indexes = [["course_id"], ["course_id", "date"]]
rule    = "specs/edx-enrollment-geography §2.6, §2.12"

[columns]
date             = "date not null; UTC day"
course_id        = "varchar(255) not null; course run"
mode             = "varchar(255) not null; mode of the learner's latest event up to that day"
count            = "integer; learners enrolled at the end of the day"
cumulative_count = "integer; learners whose latest event up to that day has the mode"

[trace]
calendar           = "date <= $date"
enrollment_changes = """
  course_id = $course_id AND date <= $date AND (mode = $mode OR previous_mode = $mode)"""
*/
-- A learner enters the mode of a change and leaves that of the change before.
WITH moves AS (
  SELECT course_id, date, mode, at_end AS enrolled, 1 AS learners
  FROM enrollment_changes
  UNION ALL
  SELECT course_id, date, previous_mode AS mode, -previous_at_end AS enrolled, -1 AS learners
  FROM enrollment_changes
  WHERE previous_mode IS NOT NULL
),
changes AS (
  SELECT
    course_id,
    mode,
    date,
    CAST(SUM(enrolled) AS BIGINT) AS enrolled,
    CAST(SUM(learners) AS BIGINT) AS learners
  FROM moves
  GROUP BY course_id, mode, date
),
modes AS (
  SELECT course_id, mode, MIN(date) AS first_date
  FROM changes
  GROUP BY course_id, mode
),
spine AS (
  SELECT modes.course_id, modes.mode, calendar.date
  FROM modes
  INNER JOIN calendar ON calendar.date >= modes.first_date
),
filled AS (
  SELECT
    spine.course_id,
    spine.mode,
    spine.date,
    COALESCE(changes.enrolled, 0) AS enrolled,
    COALESCE(changes.learners, 0) AS learners
  FROM spine
  LEFT JOIN changes
    ON changes.course_id = spine.course_id
    AND changes.mode = spine.mode
    AND changes.date = spine.date
),
summed AS (
  SELECT
    date,
    course_id,
    mode,
    CAST(SUM(enrolled) OVER (
      PARTITION BY course_id, mode ORDER BY date NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS INTEGER) AS count,
    CAST(SUM(learners) OVER (
      PARTITION BY course_id, mode ORDER BY date NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS INTEGER) AS cumulative_count
  FROM filled
)
SELECT date, course_id, mode, count, cumulative_count
FROM summed
WHERE cumulative_count > 0
