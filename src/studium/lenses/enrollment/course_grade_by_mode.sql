/* studium
description = "Learners with a passing grade, per course and the mode they had when graded"
kind    = "full"
grain   = ["course_id", "mode"]
rule    = "specs/edx-enrollment-geography §2.8"

[columns]
course_id     = "varchar(255) not null; course run"
mode          = "varchar(255) not null; any mode that a learner ever had at the end of a day"
passing_users = "integer not null; learners passing, enrolled or not"

[trace]
enrollment_changes           = """
  course_id = $course_id
  AND (mode = $mode OR user_id IN (
    SELECT user_id
    FROM grades_persistentcoursegrade
    WHERE course_id = $course_id
      AND passed_timestamp IS NOT NULL AND COALESCE(letter_grade, '') <> ''
  ))"""
grades_persistentcoursegrade = """
  course_id = $course_id
  AND passed_timestamp IS NOT NULL AND COALESCE(letter_grade, '') <> ''
  AND user_id IN (
    SELECT user_id FROM enrollment_changes WHERE course_id = $course_id AND mode = $mode
  )"""
*/
-- An empty letter with a passed_timestamp: passed once, then fell back.
WITH passing AS (
  SELECT course_id, user_id, CAST(modified AS DATE) AS graded
  FROM grades_persistentcoursegrade
  WHERE passed_timestamp IS NOT NULL AND COALESCE(letter_grade, '') <> ''
),
placed AS (
  SELECT
    enrollment_changes.course_id,
    enrollment_changes.mode,
    ROW_NUMBER() OVER (
      PARTITION BY enrollment_changes.course_id, enrollment_changes.user_id
      ORDER BY enrollment_changes.date DESC NULLS LAST
    ) AS place_from_end
  FROM passing
  INNER JOIN enrollment_changes
    ON enrollment_changes.course_id = passing.course_id
    AND enrollment_changes.user_id = passing.user_id
    AND enrollment_changes.date <= passing.graded
),
counted AS (
  SELECT course_id, mode, 0 AS passing
  FROM enrollment_changes
  UNION ALL
  SELECT course_id, mode, 1 AS passing
  FROM placed
  WHERE place_from_end = 1
)
SELECT course_id, mode, CAST(SUM(passing) AS INTEGER) AS passing_users
FROM counted
GROUP BY course_id, mode
