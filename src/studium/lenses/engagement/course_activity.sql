/* studium
description = "Learners with each kind of activity, per course and ISO week"
kind    = "full"
grain   = ["course_id", "interval_start", "label"]
publish = "course_activity"
indexes = [["course_id", "label"], ["interval_end"]]
rule    = "specs/edx-activity-video-answers §1.3, §1.4"

[columns]
course_id      = "varchar(255) not null; course run"
interval_start = "datetime not null; Monday 00:00 UTC"
interval_end   = "datetime not null; the Monday after, 00:00 UTC, exclusive"
label          = "varchar(255) not null; ACTIVE, ATTEMPTED_PROBLEM, PLAYED_VIDEO or POSTED_FORUM"
count          = "integer; distinct learners"

[trace]
user_activity_by_user = """
  course_id = $course_id AND label = $label
  AND day >= CAST($interval_start AS DATE) AND day < CAST($interval_end AS DATE)"""
calendar = "week_start = CAST($interval_start AS DATE)"
*/
-- Whole weeks only: the one that $until falls into is not over. The calendar has every day that
-- there can be facts for, so no week is lost to it.
SELECT
  activity.course_id,
  CAST(calendar.week_start AS TIMESTAMP) AS interval_start,
  CAST(calendar.week_end AS TIMESTAMP) AS interval_end,
  activity.label,
  CAST(COUNT(DISTINCT activity.user_id) AS INTEGER) AS count
FROM user_activity_by_user AS activity
INNER JOIN calendar ON calendar.date = activity.day
WHERE calendar.week_start >= $week_since AND calendar.week_end <= $week_until
GROUP BY activity.course_id, calendar.week_start, calendar.week_end, activity.label
