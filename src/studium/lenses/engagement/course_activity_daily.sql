/* studium
description = "Learners with each kind of activity, per course and day"
kind    = "full"
grain   = ["date", "course_id", "label"]
publish = "course_activity_daily"
indexes = [["course_id", "label"], ["date"]]
rule    = "specs/edx-activity-video-answers §1.6"

[columns]
date      = "date not null; UTC day"
course_id = "varchar(255) not null; course run"
label     = "varchar(255) not null; ACTIVE, ATTEMPTED_PROBLEM, PLAYED_VIDEO or POSTED_FORUM"
count     = "integer not null; distinct learners"

[trace]
user_activity_by_user = "day = $date AND course_id = $course_id AND label = $label"
*/
-- The facts have one row per learner, so their number is that of learners.
SELECT
  day AS date,
  course_id,
  label,
  CAST(COUNT(*) AS INTEGER) AS count
FROM user_activity_by_user
WHERE day >= $start AND day < $until
GROUP BY day, course_id, label
