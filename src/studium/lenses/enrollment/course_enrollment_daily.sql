/* studium
description = "Learners enrolled at the end of each day, per course"
kind    = "full"
grain   = ["course_id", "date"]
publish = "course_enrollment_daily"
indexes = [["course_id"], ["course_id", "date"]]
rule    = "specs/edx-enrollment-geography §2.6, §2.12"

[columns]
course_id        = "varchar(255) not null; course run"
date             = "date not null; UTC day, every one from the course's first event"
count            = "integer; learners enrolled at the end of the day"
cumulative_count = "integer; learners with any accepted enrollment event up to that day"

[trace]
calendar           = "date <= $date"
enrollment_changes = "course_id = $course_id AND date <= $date"
*/
WITH changes AS (
  SELECT
    course_id,
    date,
    CAST(SUM(change) AS BIGINT) AS enrolled,
    CAST(SUM(CASE WHEN first_day THEN 1 ELSE 0 END) AS BIGINT) AS learners
  FROM enrollment_changes
  GROUP BY course_id, date
),
courses AS (
  SELECT course_id, MIN(date) AS first_date
  FROM changes
  GROUP BY course_id
),
spine AS (
  SELECT courses.course_id, calendar.date
  FROM courses
  INNER JOIN calendar ON calendar.date >= courses.first_date
),
filled AS (
  SELECT
    spine.course_id,
    spine.date,
    COALESCE(changes.enrolled, 0) AS enrolled,
    COALESCE(changes.learners, 0) AS learners
  FROM spine
  LEFT JOIN changes ON changes.course_id = spine.course_id AND changes.date = spine.date
)
SELECT
  course_id,
  date,
  CAST(SUM(enrolled) OVER (
    PARTITION BY course_id ORDER BY date NULLS LAST
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INTEGER) AS count,
  CAST(SUM(learners) OVER (
    PARTITION BY course_id ORDER BY date NULLS LAST
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INTEGER) AS cumulative_count
FROM filled
