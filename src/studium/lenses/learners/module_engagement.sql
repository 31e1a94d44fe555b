/* studium
description = "What each learner did with which problem, video or discussion topic, per day"
kind    = "day"
grain   = ["date", "course_id", "username", "entity_type", "entity_id", "event"]
publish = "module_engagement"
indexes = [["course_id", "username", "date"], ["username", "entity_type"], ["date"]]
rule    = "specs/edx-learners-api-insights §1.2, §1.3"

[columns]
day         = "date not null; UTC day, as date; not in the result store"
course_id   = "varchar(255) not null; course run, from the context or else from the URL"
username    = "varchar(150) not null; user name as logged, or learners.anonymous_username for none"
date        = "date not null; UTC day"
entity_type = "varchar(10) not null; problem, video or discussion"
entity_id   = "varchar(255) not null; usage key, video id or topic id, its first 255 characters"
event       = "varchar(30) not null; attempted, completed, viewed or contributed"
count       = "integer not null; events of the day"
user_id     = "bigint; learner, from the context; NULL for imported days and nobody's events"

[trace]
events = """
  course_id = $course_id
  AND COALESCE(NULLIF(TRIM(username, $white_space), ''), $anonymous_username) = $username
  AND (
    $entity_type = 'problem' AND event_type = 'problem_check' AND event_source = 'server'
      AND SUBSTRING(problem_id, 1, 255) = $entity_id
    OR $entity_type = 'video' AND event_type = 'play_video'
      AND SUBSTRING(video_id, 1, 255) = $entity_id
    OR $entity_type = 'discussion' AND event_type LIKE 'edx.forum%.created'
      AND SUBSTRING(topic_id, 1, 255) = $entity_id
  )"""
*/
WITH done AS (
  SELECT
    day,
    course_id,
    user_id,
    NULLIF(TRIM(username, $white_space), '') AS username,
    CASE
      WHEN event_source = 'server' AND event_type = 'problem_check' THEN 'problem'
      WHEN event_type = 'play_video' THEN 'video'
      WHEN STARTS_WITH(event_type, 'edx.forum.') AND event_type LIKE '%.created' THEN 'discussion'
    END AS entity_type,
    NULLIF(
      CASE event_type
        WHEN 'problem_check' THEN problem_id
        WHEN 'play_video' THEN video_id
        ELSE topic_id
      END,
      ''
    ) AS entity_id,
    event_type = 'problem_check' AND LOWER(success) = 'correct' AS correct
  FROM events
  WHERE course_id IS NOT NULL
    AND (event_type IN ('problem_check', 'play_video') OR STARTS_WITH(event_type, 'edx.forum.'))
),
named AS (
  SELECT
    day,
    course_id,
    COALESCE(username, NULLIF($anonymous_username, '')) AS username,
    CASE WHEN username IS NOT NULL THEN user_id END AS user_id,
    entity_type,
    SUBSTRING(entity_id, 1, 255) AS entity_id,
    correct
  FROM done
  WHERE entity_type IS NOT NULL AND entity_id IS NOT NULL
),
-- An account that was retired has lost its name; whose it was is not to be told.
counted AS (
  SELECT
    day,
    course_id,
    username,
    entity_type,
    entity_id,
    COUNT(*) AS events,
    COUNT(*) FILTER (WHERE correct) AS completed,
    MAX(user_id) AS user_id
  FROM named
  WHERE username IS NOT NULL
    AND LENGTH(username) <= 150
    AND NOT STARTS_WITH(username, 'retired__user_')
  GROUP BY day, course_id, username, entity_type, entity_id
),
-- A problem that was answered correctly was attempted, too: two rows.
ways AS (
  SELECT 1 AS way
  UNION ALL
  SELECT 2 AS way
)
SELECT
  counted.day,
  counted.course_id,
  counted.username,
  counted.day AS date,
  counted.entity_type,
  counted.entity_id,
  CASE
    WHEN ways.way = 2 THEN 'completed'
    WHEN counted.entity_type = 'problem' THEN 'attempted'
    WHEN counted.entity_type = 'video' THEN 'viewed'
    ELSE 'contributed'
  END AS event,
  CAST(CASE WHEN ways.way = 1 THEN counted.events ELSE counted.completed END AS INTEGER) AS count,
  counted.user_id
FROM counted
CROSS JOIN ways
WHERE ways.way = 1 OR counted.completed > 0
