/* studium
description = "Of the learners who enrolled in a week, how many are still active after n weeks"
kind    = "full"
grain   = ["course_id", "cohort_start", "week"]
publish = "course_retention"
indexes = [["course_id", "week"]]
rule    = "own; weeks as in specs/edx-activity-video-answers §1.3, activity as in its §1.1"

[columns]
course_id    = "varchar(255) not null; course run"
cohort_start = "date not null; Monday of the ISO week at whose days' ends the learners were first enrolled"
week         = "integer not null; ISO weeks after that week: 0 is the week itself; none after the last with any activity"
learners     = "integer not null; learners who enrolled in the week"
active       = "integer not null; of them, those with any event in the course in this week"
still_active = "integer not null; of them, those with any event in this week or later"
retention    = "double not null; still_active ÷ learners, 0 to 1"

[trace]
enrollment_changes    = """
  course_id = $course_id AND user_id IN (
    SELECT user_id FROM enrollment_changes
    WHERE course_id = $course_id AND at_end = 1
    GROUP BY user_id
    HAVING MIN(date) >= $cohort_start
      AND MIN(date) < CAST($cohort_start + INTERVAL 7 DAY AS DATE)
  )"""
user_activity_by_user = """
  course_id = $course_id AND label = 'ACTIVE' AND day >= $cohort_start AND user_id IN (
    SELECT user_id FROM enrollment_changes
    WHERE course_id = $course_id AND at_end = 1
    GROUP BY user_id
    HAVING MIN(date) >= $cohort_start
      AND MIN(date) < CAST($cohort_start + INTERVAL 7 DAY AS DATE)
  )"""
calendar              = "week_start >= $cohort_start"
*/
-- Whole weeks only. Activity before the week of enrollment is not looked at.
WITH enrolled AS (
  SELECT course_id, user_id, MIN(date) AS day
  FROM enrollment_changes
  WHERE at_end = 1
  GROUP BY course_id, user_id
),
cohorts AS (
  SELECT enrolled.course_id, enrolled.user_id, calendar.week_start AS cohort_start
  FROM enrolled
  INNER JOIN calendar ON calendar.date = enrolled.day
  WHERE calendar.week_end <= $until
),
sizes AS (
  SELECT course_id, cohort_start, COUNT(*) AS learners
  FROM cohorts
  GROUP BY course_id, cohort_start
),
seen AS (
  SELECT DISTINCT user_activity_by_user.course_id, user_activity_by_user.user_id,
    calendar.week_start AS week
  FROM user_activity_by_user
  INNER JOIN calendar ON calendar.date = user_activity_by_user.day
  WHERE user_activity_by_user.label = 'ACTIVE' AND calendar.week_end <= $until
),
kept AS (
  SELECT
    cohorts.course_id,
    cohorts.cohort_start,
    seen.week,
    MAX(seen.week) OVER (PARTITION BY cohorts.course_id, cohorts.user_id) AS last_week
  FROM cohorts
  INNER JOIN seen
    ON seen.course_id = cohorts.course_id
    AND seen.user_id = cohorts.user_id
    AND seen.week >= cohorts.cohort_start
),
counted AS (
  SELECT
    course_id,
    cohort_start,
    week,
    COUNT(*) AS active,
    COUNT(*) FILTER (WHERE week = last_week) AS last_seen
  FROM kept
  GROUP BY course_id, cohort_start, week
),
ends AS (
  SELECT course_id, cohort_start, MAX(week) AS last_week
  FROM counted
  GROUP BY course_id, cohort_start
),
weeks AS (
  SELECT DISTINCT week_start AS week
  FROM calendar
  WHERE week_end <= $until
),
spine AS (
  SELECT sizes.course_id, sizes.cohort_start, sizes.learners, weeks.week
  FROM sizes
  LEFT JOIN ends
    ON ends.course_id = sizes.course_id AND ends.cohort_start = sizes.cohort_start
  INNER JOIN weeks
    ON weeks.week >= sizes.cohort_start
    AND weeks.week <= COALESCE(ends.last_week, sizes.cohort_start)
),
summed AS (
  SELECT
    spine.course_id,
    spine.cohort_start,
    spine.learners,
    spine.week,
    COALESCE(counted.active, 0) AS active,
    CAST(SUM(COALESCE(counted.last_seen, 0)) OVER (
      PARTITION BY spine.course_id, spine.cohort_start ORDER BY spine.week DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS BIGINT) AS still_active
  FROM spine
  LEFT JOIN counted
    ON counted.course_id = spine.course_id
    AND counted.cohort_start = spine.cohort_start
    AND counted.week = spine.week
)
SELECT
  course_id,
  cohort_start,
  CAST(DATE_DIFF('day', cohort_start, week) // 7 AS INTEGER) AS week,
  CAST(learners AS INTEGER) AS learners,
  CAST(active AS INTEGER) AS active,
  CAST(still_active AS INTEGER) AS still_active,
  CAST(still_active AS DOUBLE) / NULLIF(learners, 0) AS retention
FROM summed
