/* studium
description = "Address that a learner was last seen at on a day, per course"
kind    = "day"
grain   = ["day", "user_id", "course_id"]
restricted = true
rule    = "specs/edx-enrollment-geography §3.2"

[columns]
day       = "date not null; UTC day"
user_id   = "bigint not null; learner, from the context"
course_id = "varchar(255); course run from the context, NULL outside of courses"
time      = "datetime not null; UTC, of the last event"
ip        = "text not null; address, as logged"

[trace]
events = """
  user_id = $user_id AND time = $time AND ip = $ip
  AND (course_id = $course_id AND course_id_source = 'context' OR $course_id IS NULL)"""
*/
-- Any event of any source. Of addresses at the same instant the greatest text is taken: the order
-- of lines is no property of the events.
WITH seen AS (
  SELECT
    day,
    user_id,
    CASE WHEN course_id_source = 'context' THEN course_id END AS course_id,
    time,
    ip
  FROM events
  WHERE user_id IS NOT NULL AND ip IS NOT NULL AND ip <> ''
),
last_seen AS (
  SELECT
    day,
    user_id,
    course_id,
    MAX(time) AS time
  FROM seen
  GROUP BY day, user_id, course_id
)
SELECT
  seen.day,
  seen.user_id,
  seen.course_id,
  seen.time,
  MAX(seen.ip) AS ip
FROM seen
INNER JOIN last_seen
  ON last_seen.day = seen.day
  AND last_seen.user_id = seen.user_id
  AND last_seen.course_id IS NOT DISTINCT FROM seen.course_id
  AND last_seen.time = seen.time
GROUP BY seen.day, seen.user_id, seen.course_id, seen.time
