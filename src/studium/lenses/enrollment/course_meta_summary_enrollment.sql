/* studium
description = "Enrollment on the last day, per course and mode, with what the catalog says"
kind    = "full"
grain   = ["course_id", "enrollment_mode"]
publish = "course_meta_summary_enrollment"
indexes = [["course_id"]]
rule    = "specs/edx-enrollment-geography §2.9, §2.12"

[columns]
course_id            = "varchar(255) not null; course run"
catalog_course_title = "varchar(255); title in the catalog, NULL without a catalog"
catalog_course       = "varchar(255); course of the run in the catalog"
start_time           = "datetime; UTC start of the run"
end_time             = "datetime; UTC end of the run"
pacing_type          = "varchar(255); instructor_paced or self_paced"
availability         = "varchar(255); as in the catalog"
enrollment_mode      = "varchar(100) not null; mode of the learners' latest event"
count                = "integer; learners enrolled at the end of the last day"
count_change_7_days  = "integer; count less that of seven days before, in the same mode"
cumulative_count     = "integer; learners whose latest event has the mode"
passing_users        = "integer; learners who passed and had the mode when graded"

[trace]
course_enrollment_mode_daily = """
  course_id = $course_id AND mode = $enrollment_mode
  AND date IN (
    CAST($until - INTERVAL 1 DAY AS DATE), CAST($until - INTERVAL 8 DAY AS DATE)
  )"""
course_grade_by_mode         = "course_id = $course_id AND mode = $enrollment_mode"
*/
WITH today AS (
  SELECT course_id, mode, count, cumulative_count
  FROM course_enrollment_mode_daily
  WHERE date = CAST($until - INTERVAL 1 DAY AS DATE)
),
week_ago AS (
  SELECT course_id, mode, count
  FROM course_enrollment_mode_daily
  WHERE date = CAST($until - INTERVAL 8 DAY AS DATE)
)
SELECT
  today.course_id,
  course_catalog.catalog_course_title,
  course_catalog.catalog_course,
  course_catalog.start_time,
  course_catalog.end_time,
  course_catalog.pacing_type,
  course_catalog.availability,
  today.mode AS enrollment_mode,
  today.count,
  today.count - COALESCE(week_ago.count, 0) AS count_change_7_days,
  today.cumulative_count,
  COALESCE(course_grade_by_mode.passing_users, 0) AS passing_users
FROM today
LEFT JOIN week_ago ON week_ago.course_id = today.course_id AND week_ago.mode = today.mode
LEFT JOIN course_grade_by_mode
  ON course_grade_by_mode.course_id = today.course_id
  AND course_grade_by_mode.mode = today.mode
LEFT JOIN course_catalog ON course_catalog.course_id = today.course_id
