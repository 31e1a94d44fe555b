/* studium
description = "Submissions to problems by the tags that the problems have"
kind    = "full"
grain   = ["course_id", "module_id", "tag_name", "tag_value"]
publish = "tags_distribution"
indexes = [["course_id"], ["module_id"], ["course_id", "module_id"]]
rule    = "specs/edx-activity-video-answers §4.5"

[columns]
course_id           = "varchar(255) not null; course run"
org_id              = "varchar(255) not null; organization, from the course run"
module_id           = "varchar(255) not null; the problem"
tag_name            = "varchar(255) not null; kind of tag, as in difficulty"
tag_value           = "varchar(255) not null; the tag, as in Hard"
total_submissions   = "integer not null; submissions of all learners to the problem"
correct_submissions = "integer not null; those that were wholly right"

[trace]
tag_submissions = "course_id = $course_id AND module_id = $module_id"
problem_tags    = """
  tags_text IN (SELECT tags_text FROM tag_submissions
    WHERE course_id = $course_id AND module_id = $module_id)"""
*/
WITH summed AS (
  SELECT
    course_id,
    module_id,
    MAX(day) AS last_day,
    CAST(SUM(submissions) AS INTEGER) AS total_submissions,
    CAST(SUM(correct) AS INTEGER) AS correct_submissions
  FROM tag_submissions
  WHERE day >= $start AND day < $until
  GROUP BY course_id, module_id
)
SELECT
  summed.course_id,
  newest.org_id,
  summed.module_id,
  problem_tags.tag_name,
  problem_tags.tag_value,
  summed.total_submissions,
  summed.correct_submissions
FROM summed
INNER JOIN tag_submissions AS newest
  ON newest.course_id = summed.course_id
  AND newest.module_id = summed.module_id
  AND newest.day = summed.last_day
INNER JOIN problem_tags ON problem_tags.tags_text = newest.tags_text
