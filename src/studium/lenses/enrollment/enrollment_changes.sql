/* studium
description = "State of a learner's enrollment after each day with accepted events"
kind    = "full"
grain   = ["course_id", "user_id", "date"]
rule    = "specs/edx-enrollment-geography §2.4"

[columns]
course_id       = "varchar(255) not null; course run"
user_id         = "bigint not null; learner"
date            = "date not null; UTC day with at least one accepted event"
at_end          = "integer not null; 1 if enrolled at the end of the day, else 0"
change          = "integer not null; at_end less previous_at_end: -1, 0 or 1"
mode            = "varchar(255) not null; mode of the day's last event"
previous_at_end = "integer not null; at_end of the learner's previous row, 0 before the first"
previous_mode   = "varchar(255); mode of the learner's previous row, NULL before the first"
first_day       = "boolean not null; true on the learner's first row in the course"

[trace]
enrollment_events = "course_id = $course_id AND user_id = $user_id AND day <= $date"
*/
-- The state lasts until the learner's next row, so a row per learner and day need not be stored.
-- Events are ordered by time, event_type, mode. Only activated and deactivated switch the state, so
-- it is the later of the two that counts; at the same instant deactivated comes second.
WITH ordered AS (
  SELECT
    course_id,
    user_id,
    day,
    mode,
    ROW_NUMBER() OVER (
      PARTITION BY course_id, user_id, day
      ORDER BY time DESC NULLS LAST, event_type DESC NULLS LAST, mode DESC NULLS LAST
    ) AS place_from_end,
    MAX(CASE WHEN event_type = 'edx.course.enrollment.activated' THEN time END)
      OVER (PARTITION BY course_id, user_id, day) AS activated,
    MAX(CASE WHEN event_type = 'edx.course.enrollment.deactivated' THEN time END)
      OVER (PARTITION BY course_id, user_id, day) AS deactivated
  FROM enrollment_events
  WHERE day >= $start AND day < $until
),
days AS (
  SELECT
    course_id,
    user_id,
    day,
    mode,
    MAX(activated) OVER (
      PARTITION BY course_id, user_id ORDER BY day NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS activated,
    MAX(deactivated) OVER (
      PARTITION BY course_id, user_id ORDER BY day NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS deactivated
  FROM ordered
  WHERE place_from_end = 1
),
states AS (
  SELECT
    course_id,
    user_id,
    day,
    mode,
    CASE
      WHEN activated IS NULL THEN 0
      WHEN deactivated IS NULL OR activated > deactivated THEN 1
      ELSE 0
    END AS at_end
  FROM days
),
linked AS (
  SELECT
    course_id,
    user_id,
    day,
    mode,
    at_end,
    LAG(at_end) OVER (PARTITION BY course_id, user_id ORDER BY day NULLS LAST) AS previous_at_end,
    LAG(mode) OVER (PARTITION BY course_id, user_id ORDER BY day NULLS LAST) AS previous_mode
  FROM states
)
SELECT
  course_id,
  user_id,
  day AS date,
  at_end,
  at_end - COALESCE(previous_at_end, 0) AS change,
  mode,
  COALESCE(previous_at_end, 0) AS previous_at_end,
  previous_mode,
  previous_at_end IS NULL AS first_day
FROM linked
