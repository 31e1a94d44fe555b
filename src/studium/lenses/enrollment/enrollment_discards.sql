/* studium
description = "Enrollment events that were not accepted, by the first thing that they lack"
kind    = "day"
grain   = ["day", "reason"]
rule    = "specs/edx-enrollment-geography §1.10, §2.2"

[columns]
day    = "date not null; UTC day of the events"
reason = "varchar(16) not null; event data, course_id, user_id or mode"
events = "integer not null; events discarded"

[trace]
events = """
  event_type IN (
    'edx.course.enrollment.activated',
    'edx.course.enrollment.deactivated',
    'edx.course.enrollment.mode_changed'
  )
  AND CASE
    WHEN payload_form IS NULL OR payload_form NOT IN ('object', 'json', 'empty') THEN 'event data'
    WHEN event_course_id IS NULL THEN 'course_id'
    WHEN event_user_id IS NULL THEN 'user_id'
    WHEN mode IS NULL THEN 'mode'
  END = $reason"""
*/
WITH enrollment AS (
  SELECT
    day,
    CASE
      WHEN payload_form IS NULL OR payload_form NOT IN ('object', 'json', 'empty') THEN 'event data'
      WHEN event_course_id IS NULL THEN 'course_id'
      WHEN event_user_id IS NULL THEN 'user_id'
      WHEN mode IS NULL THEN 'mode'
    END AS reason
  FROM events
  WHERE event_type IN (
    'edx.course.enrollment.activated',
    'edx.course.enrollment.deactivated',
    'edx.course.enrollment.mode_changed'
  )
)
SELECT day, reason, CAST(COUNT(*) AS INTEGER) AS events
FROM enrollment
WHERE reason IS NOT NULL
GROUP BY day, reason
