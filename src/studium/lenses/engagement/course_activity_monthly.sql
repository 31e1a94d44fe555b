/* studium
description = "Learners with each kind of activity, per course and calendar month"
kind    = "full"
grain   = ["course_id", "year", "month", "label"]
publish = "course_activity_monthly"
indexes = [["course_id", "label"], ["year", "month"]]
rule    = "specs/edx-activity-video-answers §1.6"

[columns]
course_id = "varchar(255) not null; course run"
year      = "integer not null; calendar year"
month     = "integer not null; 1 to 12"
label     = "varchar(255) not null; ACTIVE, ATTEMPTED_PROBLEM, PLAYED_VIDEO or POSTED_FORUM"
count     = "integer not null; distinct learners"

[trace]
user_activity_by_user = """
  course_id = $course_id AND label = $label AND YEAR(day) = $year AND MONTH(day) = $month"""
*/
SELECT
  course_id,
  CAST(YEAR(day) AS INTEGER) AS year,
  CAST(MONTH(day) AS INTEGER) AS month,
  label,
  CAST(COUNT(DISTINCT user_id) AS INTEGER) AS count
FROM user_activity_by_user
WHERE day >= $month_since AND day < $month_until
GROUP BY course_id, YEAR(day), MONTH(day), label
