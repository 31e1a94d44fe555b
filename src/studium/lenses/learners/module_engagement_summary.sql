/* studium
description = "A learner's engagement in a course in a week; weeks are counted back from the last day"
kind    = "full"
grain   = ["course_id", "username", "end_date"]
rule    = "specs/edx-learners-api-insights §1.5"

[columns]
course_id                      = "varchar(255) not null; course run"
username                       = "varchar(150) not null; user name, as the LMS has it now; of those it does not know, as logged last"
user_id                        = "bigint; learner, where known"
start_date                     = "date not null; first day of the week"
end_date                       = "date not null; the day after the week"
problem_attempts               = "integer not null; answers submitted"
problems_attempted             = "integer not null; distinct problems answered"
problems_completed             = "integer not null; distinct problems answered correctly"
problem_attempts_per_completed = "double; problem_attempts ÷ problems_completed; NULL: nothing completed, that is infinite"
videos_viewed                  = "integer not null; distinct videos played"
discussion_contributions       = "integer not null; threads, responses and comments written"
days_active                    = "integer not null; days with any of these, 1 to 7"

[trace]
module_engagement = """
  course_id = $course_id AND day >= $start_date AND day < $end_date
  AND (
    username = $username
    OR user_id = $user_id
    OR user_id IN (SELECT user_id FROM auth_user WHERE username = $username)
  )"""
auth_user         = "username = $username"
calendar          = "date >= $start_date AND date < $end_date"
*/
-- The last two weeks; of a course that was quiet in both, the last one with any activity. What was
-- logged before an account was retired is its owner's, too: it is nobody's now.
WITH logged AS (
  SELECT
    module_engagement.course_id,
    auth_user.username AS known_name,
    module_engagement.username AS logged_name,
    module_engagement.user_id,
    module_engagement.day,
    module_engagement.entity_type,
    module_engagement.entity_id,
    module_engagement.event,
    module_engagement.count,
    (DATE_DIFF('day', module_engagement.day, CAST($until AS DATE)) - 1) // 7 AS week
  FROM module_engagement
  LEFT JOIN auth_user ON auth_user.user_id = module_engagement.user_id
  WHERE module_engagement.day < $until
    AND NOT STARTS_WITH(
      COALESCE(auth_user.username, module_engagement.username), 'retired__user_'
    )
),
last_names AS (
  SELECT
    user_id,
    logged_name,
    ROW_NUMBER() OVER (
      PARTITION BY user_id ORDER BY day DESC NULLS LAST, logged_name DESC NULLS LAST
    ) AS n
  FROM logged
  WHERE user_id IS NOT NULL AND known_name IS NULL
),
facts AS (
  SELECT
    logged.course_id,
    COALESCE(logged.known_name, last_names.logged_name, logged.logged_name) AS username,
    logged.user_id,
    logged.day,
    logged.entity_type,
    logged.entity_id,
    logged.event,
    logged.count,
    logged.week
  FROM logged
  LEFT JOIN last_names ON last_names.user_id = logged.user_id AND last_names.n = 1
),
latest AS (
  SELECT course_id, MIN(week) AS week
  FROM facts
  GROUP BY course_id
),
weeks AS (
  SELECT
    (DATE_DIFF('day', date, CAST($until AS DATE)) - 1) // 7 AS week,
    CAST(date - INTERVAL 6 DAY AS DATE) AS start_date,
    CAST(date + INTERVAL 1 DAY AS DATE) AS end_date
  FROM calendar
  WHERE (DATE_DIFF('day', date, CAST($until AS DATE)) - 1) % 7 = 0
),
summed AS (
  SELECT
    facts.course_id,
    facts.username,
    facts.week,
    MAX(facts.user_id) AS user_id,
    CAST(SUM(CASE WHEN facts.event = 'attempted' THEN facts.count ELSE 0 END) AS INTEGER)
      AS problem_attempts,
    CAST(
      COUNT(DISTINCT CASE WHEN facts.event = 'attempted' THEN facts.entity_id END) AS INTEGER
    ) AS problems_attempted,
    CAST(
      COUNT(DISTINCT CASE WHEN facts.event = 'completed' THEN facts.entity_id END) AS INTEGER
    ) AS problems_completed,
    CAST(
      COUNT(DISTINCT CASE WHEN facts.event = 'viewed' THEN facts.entity_id END) AS INTEGER
    ) AS videos_viewed,
    CAST(SUM(CASE WHEN facts.entity_type = 'discussion' THEN facts.count ELSE 0 END) AS INTEGER)
      AS discussion_contributions,
    CAST(COUNT(DISTINCT facts.day) AS INTEGER) AS days_active
  FROM facts
  INNER JOIN latest ON latest.course_id = facts.course_id
  WHERE facts.week <= 1 OR facts.week = latest.week
  GROUP BY facts.course_id, facts.username, facts.week
)
SELECT
  summed.course_id,
  summed.username,
  summed.user_id,
  weeks.start_date,
  weeks.end_date,
  summed.problem_attempts,
  summed.problems_attempted,
  summed.problems_completed,
  CAST(summed.problem_attempts AS DOUBLE) / NULLIF(summed.problems_completed, 0)
    AS problem_attempts_per_completed,
  summed.videos_viewed,
  summed.discussion_contributions,
  summed.days_active
FROM summed
INNER JOIN weeks ON weeks.week = summed.week
