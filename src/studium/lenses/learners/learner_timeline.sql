/* studium
description = "What a learner did in a course, per day with any activity and kind of it"
kind    = "day"
grain   = ["date", "course_id", "username"]
publish = "learner_timeline"
indexes = [["course_id", "username", "date"]]
rule    = "specs/edx-learners-api-insights §2.5"

[columns]
day                      = "date not null; UTC day, as date; not in the result store"
course_id                = "varchar(255) not null; course run"
username                 = "varchar(150) not null; user name as logged"
date                     = "date not null; UTC day; days without activity have no row"
problems_attempted       = "integer not null; distinct problems answered"
problems_completed       = "integer not null; distinct problems answered correctly"
videos_viewed            = "integer not null; distinct videos played"
discussion_contributions = "integer not null; threads, responses and comments written"
user_id                  = "bigint; learner, whatever the name was; NULL for imported days and nobody's events"

[trace]
module_engagement = "course_id = $course_id AND username = $username"
*/
SELECT
  day,
  course_id,
  username,
  day AS date,
  CAST(
    COUNT(DISTINCT CASE WHEN event = 'attempted' THEN entity_id END) AS INTEGER
  ) AS problems_attempted,
  CAST(
    COUNT(DISTINCT CASE WHEN event = 'completed' THEN entity_id END) AS INTEGER
  ) AS problems_completed,
  CAST(COUNT(DISTINCT CASE WHEN event = 'viewed' THEN entity_id END) AS INTEGER) AS videos_viewed,
  CAST(SUM(CASE WHEN entity_type = 'discussion' THEN count ELSE 0 END) AS INTEGER)
    AS discussion_contributions,
  MAX(user_id) AS user_id
FROM module_engagement
GROUP BY day, course_id, username
