/* studium
description = "Learners of a course by the country they were last seen in"
kind    = "full"
grain   = ["course_id", "date", "country_code"]
publish = "course_enrollment_location_current"
indexes = [["course_id"], ["course_id", "date"]]
rule    = "specs/edx-enrollment-geography §3.4, §2.12"

[columns]
date             = "date not null; day of the enrollments: the last one covered, or that of the LMS's tables"
course_id        = "varchar(255) not null; course run"
country_code     = "varchar(10); ISO 3166 code; UNKNOWN: seen at an address that does not tell; NULL: never seen"
count            = "integer not null; learners enrolled"
cumulative_count = "integer not null; learners who ever were"

[trace]
enrollment_changes = "course_id = $course_id"
student_courseenrollment = "course_id = $course_id"
last_country_of_user = """
  user_id IN (SELECT user_id FROM enrollment_changes WHERE course_id = $course_id)
  OR user_id IN (SELECT user_id FROM student_courseenrollment WHERE course_id = $course_id)"""
*/
-- From Studium's own enrollments or, with geography.enrollment = "lms", from the LMS's table.
WITH placed AS (
  SELECT
    course_id,
    user_id,
    at_end,
    ROW_NUMBER() OVER (PARTITION BY course_id, user_id ORDER BY date DESC NULLS LAST) AS place
  FROM enrollment_changes
  WHERE $enrollment_from = 'events'
),
enrolled AS (
  SELECT
    course_id,
    user_id,
    at_end
  FROM placed
  WHERE place = 1
  UNION ALL
  SELECT
    course_id,
    user_id,
    CASE WHEN is_active THEN 1 ELSE 0 END AS at_end
  FROM student_courseenrollment
  WHERE $enrollment_from = 'lms'
)
SELECT
  CAST($until AS DATE) AS date,
  enrolled.course_id,
  last_country_of_user.country_code,
  CAST(SUM(enrolled.at_end) AS INTEGER) AS count,
  CAST(COUNT(*) AS INTEGER) AS cumulative_count
FROM enrolled
LEFT JOIN last_country_of_user ON last_country_of_user.user_id = enrolled.user_id
GROUP BY enrolled.course_id, last_country_of_user.country_code
