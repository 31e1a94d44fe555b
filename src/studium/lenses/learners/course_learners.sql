/* studium
description = "Everybody who ever enrolled in a course: enrollment, two weeks' engagement, segments"
kind    = "full"
grain   = ["course_id", "user_id"]
rule    = "specs/edx-learners-api-insights §1.7, §1.8"

[columns]
course_id                               = "varchar(255) not null; course run"
user_id                                 = "bigint not null; learner"
username                                = "varchar(150); user name in the LMS; without auth_user as logged in the last weeks, if it was"
start_date                              = "date not null; first day of the last week"
end_date                                = "date not null; the day after it"
enrollment_mode                         = "varchar(255) not null; mode on the last day"
enrollment_date                         = "date; first day at whose end the learner was enrolled"
cohort                                  = "varchar(255); cohort in the course"
problem_attempts                        = "integer not null; answers submitted in the last week"
problems_attempted                      = "integer not null; distinct problems answered in the last week"
problems_completed                      = "integer not null; distinct problems answered correctly in the last week"
problem_attempts_per_completed          = "double; problem_attempts ÷ problems_completed; NULL if none was completed"
videos_viewed                           = "integer not null; distinct videos played in the last week"
discussion_contributions                = "integer not null; threads, responses and comments in the last week"
days_active                             = "integer not null; days with any of these in the last week"
attempt_ratio_order                     = "integer not null; problem_attempts, below 0 if the ratio is NULL: best first is ratio up and this down"
previous_problem_attempts               = "integer not null; the same in the week before"
previous_problems_attempted             = "integer not null; the same in the week before"
previous_problems_completed             = "integer not null; the same in the week before"
previous_problem_attempts_per_completed = "double; the same in the week before"
previous_videos_viewed                  = "integer not null; the same in the week before"
previous_discussion_contributions       = "integer not null; the same in the week before"
previous_days_active                    = "integer not null; the same in the week before"
segments                                = "varchar(255) not null; of unenrolled, inactive, disengaging, highly_engaged, struggling, joined by commas"
reasons                                 = "varchar(255) not null; metrics that make the learner highly_engaged, joined by commas"

[trace]
module_engagement_summary           = "user_id = $user_id OR course_id = $course_id AND username = $username"
module_engagement_user_segments     = "course_id = $course_id AND username = $username"
course_groups_courseusergroup       = "course_id = $course_id"
course_groups_courseusergroup_users = """
  user_id = $user_id AND group_id IN (
    SELECT group_id FROM course_groups_courseusergroup WHERE course_id = $course_id
  )"""
*/
WITH changes AS (
  SELECT
    course_id,
    user_id,
    at_end,
    mode,
    ROW_NUMBER() OVER (
      PARTITION BY course_id, user_id ORDER BY date DESC NULLS LAST
    ) AS place_from_end,
    MIN(CASE WHEN at_end = 1 THEN date END) OVER (PARTITION BY course_id, user_id)
      AS enrollment_date
  FROM enrollment_changes
),
-- The LMS has one cohort a learner and course; content groups and the like are no cohorts.
cohorts AS (
  SELECT
    course_groups_courseusergroup.course_id,
    course_groups_courseusergroup_users.user_id,
    MIN(course_groups_courseusergroup.name) AS cohort
  FROM course_groups_courseusergroup
  INNER JOIN course_groups_courseusergroup_users
    ON course_groups_courseusergroup_users.group_id = course_groups_courseusergroup.group_id
  WHERE COALESCE(course_groups_courseusergroup.group_type, 'cohort') = 'cohort'
  GROUP BY course_groups_courseusergroup.course_id, course_groups_courseusergroup_users.user_id
),
last_week AS (
  SELECT
    course_id,
    username,
    problem_attempts,
    problems_attempted,
    problems_completed,
    problem_attempts_per_completed,
    videos_viewed,
    discussion_contributions,
    days_active
  FROM module_engagement_summary
  WHERE end_date = $until
),
week_before AS (
  SELECT
    course_id,
    username,
    problem_attempts,
    problems_attempted,
    problems_completed,
    problem_attempts_per_completed,
    videos_viewed,
    discussion_contributions,
    days_active
  FROM module_engagement_summary
  WHERE end_date = CAST($until - INTERVAL 7 DAY AS DATE)
),
segments AS (
  SELECT
    course_id,
    username,
    MAX(CASE WHEN segment = 'highly_engaged' THEN reason END) AS much,
    BOOL_OR(segment = 'struggling') AS struggles
  FROM module_engagement_user_segments
  GROUP BY course_id, username
),
logged_names AS (
  SELECT user_id, MAX(username) AS username
  FROM module_engagement_summary
  WHERE user_id IS NOT NULL
  GROUP BY user_id
),
named AS (
  SELECT
    changes.course_id,
    changes.user_id,
    COALESCE(auth_user.username, logged_names.username) AS username,
    changes.at_end,
    changes.mode,
    changes.enrollment_date
  FROM changes
  LEFT JOIN auth_user ON auth_user.user_id = changes.user_id
  LEFT JOIN logged_names ON logged_names.user_id = changes.user_id
  WHERE changes.place_from_end = 1
    AND LENGTH(COALESCE(auth_user.username, '')) <= 150
    AND NOT STARTS_WITH(COALESCE(auth_user.username, ''), 'retired__user_')
),
joined AS (
  SELECT
    named.course_id,
    named.user_id,
    named.username,
    named.at_end,
    named.mode,
    named.enrollment_date,
    cohorts.cohort,
    COALESCE(last_week.problem_attempts, 0) AS problem_attempts,
    COALESCE(last_week.problems_attempted, 0) AS problems_attempted,
    COALESCE(last_week.problems_completed, 0) AS problems_completed,
    last_week.problem_attempts_per_completed,
    COALESCE(last_week.videos_viewed, 0) AS videos_viewed,
    COALESCE(last_week.discussion_contributions, 0) AS discussion_contributions,
    COALESCE(last_week.days_active, 0) AS days_active,
    COALESCE(week_before.problem_attempts, 0) AS previous_problem_attempts,
    COALESCE(week_before.problems_attempted, 0) AS previous_problems_attempted,
    COALESCE(week_before.problems_completed, 0) AS previous_problems_completed,
    week_before.problem_attempts_per_completed AS previous_problem_attempts_per_completed,
    COALESCE(week_before.videos_viewed, 0) AS previous_videos_viewed,
    COALESCE(week_before.discussion_contributions, 0) AS previous_discussion_contributions,
    COALESCE(week_before.days_active, 0) AS previous_days_active,
    segments.much,
    segments.struggles
  FROM named
  LEFT JOIN cohorts
    ON cohorts.course_id = named.course_id AND cohorts.user_id = named.user_id
  LEFT JOIN last_week
    ON last_week.course_id = named.course_id AND last_week.username = named.username
  LEFT JOIN week_before
    ON week_before.course_id = named.course_id AND week_before.username = named.username
  LEFT JOIN segments
    ON segments.course_id = named.course_id AND segments.username = named.username
)
SELECT
  course_id,
  user_id,
  username,
  CAST($until - INTERVAL 7 DAY AS DATE) AS start_date,
  CAST($until AS DATE) AS end_date,
  mode AS enrollment_mode,
  enrollment_date,
  cohort,
  problem_attempts,
  problems_attempted,
  problems_completed,
  problem_attempts_per_completed,
  videos_viewed,
  discussion_contributions,
  days_active,
  CASE WHEN problem_attempts_per_completed IS NULL THEN -problem_attempts ELSE problem_attempts END
    AS attempt_ratio_order,
  previous_problem_attempts,
  previous_problems_attempted,
  previous_problems_completed,
  previous_problem_attempts_per_completed,
  previous_videos_viewed,
  previous_discussion_contributions,
  previous_days_active,
  SUBSTRING(
    CASE WHEN at_end = 0 THEN ',unenrolled' ELSE '' END
    || CASE WHEN days_active = 0 AND previous_days_active = 0 THEN ',inactive' ELSE '' END
    || CASE WHEN days_active = 0 AND previous_days_active > 0 THEN ',disengaging' ELSE '' END
    || CASE WHEN much IS NOT NULL THEN ',highly_engaged' ELSE '' END
    || CASE WHEN struggles THEN ',struggling' ELSE '' END,
    2,
    255
  ) AS segments,
  COALESCE(much, '') AS reasons
FROM joined
