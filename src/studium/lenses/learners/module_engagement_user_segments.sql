/* studium
description = "Learners who did much in the last week, or struggled, and which metrics say so"
kind    = "full"
grain   = ["course_id", "username", "segment"]
rule    = "specs/edx-learners-api-insights §1.7"

[columns]
course_id  = "varchar(255) not null; course run"
username   = "varchar(150) not null; user name, as the LMS has it now"
start_date = "date not null; first day of the week"
end_date   = "date not null; the day after the week"
segment    = "varchar(30) not null; highly_engaged or struggling"
reason     = "varchar(255) not null; metrics in the high range of the course, joined by commas"

[trace]
module_engagement_summary       = "course_id = $course_id AND username = $username AND end_date = $end_date"
module_engagement_metric_ranges = "course_id = $course_id AND range_type = 'high'"
*/
-- A high range has no end, so infinite attempts per completed problem are in it wherever it begins.
WITH high AS (
  SELECT
    course_id,
    MAX(CASE WHEN metric = 'problems_attempted' THEN low_value END) AS problems_attempted,
    MAX(CASE WHEN metric = 'problems_completed' THEN low_value END) AS problems_completed,
    MAX(CASE WHEN metric = 'videos_viewed' THEN low_value END) AS videos_viewed,
    MAX(CASE WHEN metric = 'discussion_contributions' THEN low_value END)
      AS discussion_contributions,
    MAX(CASE WHEN metric = 'problem_attempts_per_completed' THEN low_value END)
      AS problem_attempts_per_completed,
    BOOL_OR(metric = 'problem_attempts_per_completed') AS some_struggle
  FROM module_engagement_metric_ranges
  WHERE range_type = 'high' AND end_date = $until
  GROUP BY course_id
),
judged AS (
  SELECT
    week.course_id,
    week.username,
    week.start_date,
    week.end_date,
    CASE WHEN week.problems_attempted >= high.problems_attempted
      THEN ',problems_attempted' ELSE '' END
    || CASE WHEN week.problems_completed >= high.problems_completed
      THEN ',problems_completed' ELSE '' END
    || CASE WHEN week.videos_viewed >= high.videos_viewed THEN ',videos_viewed' ELSE '' END
    || CASE WHEN week.discussion_contributions >= high.discussion_contributions
      THEN ',discussion_contributions' ELSE '' END AS much,
    high.some_struggle AND (
      week.problem_attempts_per_completed IS NULL
      OR week.problem_attempts_per_completed >= high.problem_attempts_per_completed
    ) AS struggles
  FROM module_engagement_summary AS week
  INNER JOIN high ON high.course_id = week.course_id
  WHERE week.end_date = $until
),
segments AS (
  SELECT 'highly_engaged' AS segment
  UNION ALL
  SELECT 'struggling' AS segment
)
SELECT
  judged.course_id,
  judged.username,
  judged.start_date,
  judged.end_date,
  segments.segment,
  CASE segments.segment
    WHEN 'highly_engaged' THEN SUBSTRING(judged.much, 2, 255)
    ELSE 'problem_attempts_per_completed'
  END AS reason
FROM judged
CROSS JOIN segments
WHERE (segments.segment = 'highly_engaged' AND judged.much <> '')
  OR (segments.segment = 'struggling' AND judged.struggles)
