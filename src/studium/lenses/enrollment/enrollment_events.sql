/* studium
description = "Accepted enrollment events"
kind    = "day"
grain   = ["course_id", "user_id", "time", "event_type", "mode"]
rule    = "specs/edx-enrollment-geography §2.2"

[columns]
day        = "date not null; UTC day of the event"
course_id  = "varchar(255) not null; course run, from the payload"
user_id    = "bigint not null; learner, from the payload"
time       = "datetime not null; UTC"
event_type = "varchar(255) not null; edx.course.enrollment.activated, .deactivated or .mode_changed"
mode       = "varchar(255) not null; enrollment mode, as logged"

[trace]
events = """
  event_type = $event_type AND time = $time
  AND event_course_id = $course_id AND event_user_id = $user_id AND mode = $mode
  AND payload_form IN ('object', 'json', 'empty')"""
*/
-- Whatever its event_source: nothing but the type decides. Repeated events change no state (E51).
SELECT DISTINCT
  day,
  event_course_id AS course_id,
  event_user_id AS user_id,
  time,
  event_type,
  mode
FROM events
WHERE event_type IN (
    'edx.course.enrollment.activated',
    'edx.course.enrollment.deactivated',
    'edx.course.enrollment.mode_changed'
  )
  AND payload_form IN ('object', 'json', 'empty')
  AND event_course_id IS NOT NULL
  AND event_user_id IS NOT NULL
  AND mode IS NOT NULL
