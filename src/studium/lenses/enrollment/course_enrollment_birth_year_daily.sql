/* studium
description = "Learners enrolled at the end of the last day, per course and year of birth"
kind    = "full"
grain   = ["course_id", "date", "birth_year"]
publish = "course_enrollment_birth_year_daily"
indexes = [["course_id"], ["course_id", "date"]]
rule    = "specs/edx-enrollment-geography §2.6, §2.7, §2.12"

[columns]
date             = "date not null; the last UTC day covered"
course_id        = "varchar(255) not null; course run"
birth_year       = "integer; as in today's profile, NULL if not given"
count            = "integer; learners enrolled at the end of the day"
cumulative_count = "integer; learners with any accepted enrollment event up to that day"

[trace]
auth_userprofile   = """
  year_of_birth IS NOT DISTINCT FROM $birth_year
  AND user_id IN (
    SELECT user_id FROM enrollment_changes WHERE course_id = $course_id AND date <= $date
  )"""
enrollment_changes = """
  course_id = $course_id AND date <= $date
  AND (
    SELECT year_of_birth
    FROM auth_userprofile
    WHERE auth_userprofile.user_id = enrollment_changes.user_id
  ) IS NOT DISTINCT FROM $birth_year"""
*/
SELECT
  CAST($until - INTERVAL 1 DAY AS DATE) AS date,
  enrollment_changes.course_id,
  auth_userprofile.year_of_birth AS birth_year,
  CAST(SUM(enrollment_changes.change) AS INTEGER) AS count,
  CAST(SUM(CASE WHEN enrollment_changes.first_day THEN 1 ELSE 0 END) AS INTEGER)
    AS cumulative_count
FROM enrollment_changes
LEFT JOIN auth_userprofile ON auth_userprofile.user_id = enrollment_changes.user_id
GROUP BY enrollment_changes.course_id, auth_userprofile.year_of_birth
