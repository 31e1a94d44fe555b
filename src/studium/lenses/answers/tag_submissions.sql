/* studium
description = "Submissions to a problem on a day, and the tags that it had at the last of them"
kind    = "day"
grain   = ["day", "course_id", "module_id"]
rule    = "specs/edx-activity-video-answers §4.5"

[columns]
day         = "date not null; UTC day"
course_id   = "varchar(255) not null; course run, from the context"
org_id      = "varchar(255) not null; organization, from the course run"
module_id   = "varchar(255) not null; the problem"
submissions = "integer not null; of all learners"
correct     = "integer not null; those that were wholly right"
tags_text   = "text; JSON: tags of the problem, by name"

[trace]
events = """
  course_id = $course_id AND problem_id = $module_id
  AND event_type = 'problem_check' AND event_source = 'server'"""
*/
WITH submitted AS (
  SELECT
    day,
    course_id,
    COALESCE(org_id, '') AS org_id,
    problem_id AS module_id,
    tags,
    CASE WHEN success = 'correct' THEN 1 ELSE 0 END AS correct,
    ROW_NUMBER() OVER (
      PARTITION BY day, course_id, problem_id
      ORDER BY time DESC NULLS LAST, tags NULLS LAST
    ) AS n
  FROM events
  WHERE event_type = 'problem_check'
    AND event_source = 'server'
    AND payload_form IN ('object', 'json')
    AND course_id IS NOT NULL
    AND course_id_source = 'context'
    AND problem_id <> ''
    AND LENGTH(problem_id) <= 255
)
SELECT
  day,
  course_id,
  org_id,
  module_id,
  CAST(COUNT(*) AS INTEGER) AS submissions,
  CAST(SUM(correct) AS INTEGER) AS correct,
  MAX(CASE WHEN n = 1 THEN tags END) AS tags_text
FROM submitted
GROUP BY day, course_id, org_id, module_id
