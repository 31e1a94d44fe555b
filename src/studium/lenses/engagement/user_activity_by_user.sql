/* studium
description = "Events of each kind of activity, per learner, course and day"
kind    = "day"
grain   = ["day", "course_id", "user_id", "label"]
rule    = "specs/edx-activity-video-answers §1.1, §1.2"

[columns]
day       = "date not null; UTC day"
course_id = "varchar(255) not null; course run, from the context or else from the URL"
user_id   = "bigint not null; learner, from the context"
label     = "varchar(255) not null; ACTIVE, ATTEMPTED_PROBLEM, PLAYED_VIDEO or POSTED_FORUM"
count     = "integer not null; events"

[trace]
events = """
  course_id = $course_id AND user_id = $user_id AND (
    $label = 'ACTIVE'
    OR $label = 'ATTEMPTED_PROBLEM' AND event_type = 'problem_check'
    OR $label = 'PLAYED_VIDEO' AND event_type = 'play_video'
    OR $label = 'POSTED_FORUM' AND event_type LIKE 'edx.forum.%'
  )"""
*/
-- An event has at most one label beside ACTIVE, so events are grouped once and ACTIVE is their sum.
WITH labelled AS (
  SELECT
    day,
    course_id,
    user_id,
    CASE
      WHEN event_source = 'server' AND event_type = 'problem_check' THEN 'ATTEMPTED_PROBLEM'
      WHEN event_source = 'server' AND event_type LIKE 'edx.forum.%.created' THEN 'POSTED_FORUM'
      WHEN event_source IN ('browser', 'mobile') AND event_type = 'play_video' THEN 'PLAYED_VIDEO'
    END AS label
  FROM events
  WHERE course_id IS NOT NULL
    AND user_id IS NOT NULL
    AND event_type IS NOT NULL
    AND NOT STARTS_WITH(event_type, 'edx.course.enrollment.')
    AND (event_source IS NULL OR event_source <> 'task')
),
counted AS (
  SELECT
    day,
    course_id,
    user_id,
    label,
    COUNT(*) AS events
  FROM labelled
  GROUP BY day, course_id, user_id, label
)
SELECT
  day,
  course_id,
  user_id,
  'ACTIVE' AS label,
  CAST(SUM(events) AS INTEGER) AS count
FROM counted
GROUP BY day, course_id, user_id
UNION ALL
SELECT
  day,
  course_id,
  user_id,
  label,
  CAST(events AS INTEGER) AS count
FROM counted
WHERE label IS NOT NULL
