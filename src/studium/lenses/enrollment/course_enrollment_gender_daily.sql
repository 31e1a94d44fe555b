/* studium
description = "Learners enrolled at the end of each day, per course and gender"
kind    = "full"
grain   = ["course_id", "date", "gender"]
publish = "course_enrollment_gender_daily"
indexes = [["course_id"], ["course_id", "date"]]
rule    = "specs/edx-enrollment-geography §2.6, §2.7, §2.12"

[columns]
date             = "date not null; UTC day"
course_id        = "varchar(255) not null; course run"
gender           = "varchar(6); as in today's profile, NULL if not given"
count            = "integer; learners enrolled at the end of the day"
cumulative_count = "integer; learners with any accepted enrollment event up to that day"

[trace]
calendar           = "date <= $date"
auth_userprofile   = """
  NULLIF(gender, '') IS NOT DISTINCT FROM $gender
  AND user_id IN (
    SELECT user_id FROM enrollment_changes WHERE course_id = $course_id AND date <= $date
  )"""
enrollment_changes = """
  course_id = $course_id AND date <= $date
  AND (
    SELECT NULLIF(gender, '')
    FROM auth_userprofile
    WHERE auth_userprofile.user_id = enrollment_changes.user_id
  ) IS NOT DISTINCT FROM $gender"""
*/
WITH changes AS (
  SELECT
    enrollment_changes.course_id,
    NULLIF(auth_userprofile.gender, '') AS gender,
    enrollment_changes.date,
    enrollment_changes.change AS enrolled,
    CASE WHEN enrollment_changes.first_day THEN 1 ELSE 0 END AS learners
  FROM enrollment_changes
  LEFT JOIN auth_userprofile ON auth_userprofile.user_id = enrollment_changes.user_id
),
genders AS (
  SELECT course_id, gender, MIN(date) AS first_date
  FROM changes
  GROUP BY course_id, gender
),
-- Added up rather than joined: NULL is a group like any other.
filled AS (
  SELECT course_id, gender, date, enrolled, learners
  FROM changes
  UNION ALL
  SELECT genders.course_id, genders.gender, calendar.date, 0 AS enrolled, 0 AS learners
  FROM genders
  INNER JOIN calendar ON calendar.date >= genders.first_date
),
days AS (
  SELECT
    course_id,
    gender,
    date,
    CAST(SUM(enrolled) AS BIGINT) AS enrolled,
    CAST(SUM(learners) AS BIGINT) AS learners
  FROM filled
  GROUP BY course_id, gender, date
)
SELECT
  date,
  course_id,
  gender,
  CAST(SUM(enrolled) OVER (
    PARTITION BY course_id, gender ORDER BY date NULLS LAST
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INTEGER) AS count,
  CAST(SUM(learners) OVER (
    PARTITION BY course_id, gender ORDER BY date NULLS LAST
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INTEGER) AS cumulative_count
FROM days
