/* studium
description = "The learners of a course with their names: for those who may know them"
kind    = "full"
grain   = ["course_id", "user_id"]
publish = "module_engagement_roster"
indexes = [["course_id", "username", "user_id"], ["course_id", "cohort"]]
restricted = true
rule    = "specs/edx-learners-api-insights §1.8"

[columns]
course_id                               = "varchar(255) not null; course run"
user_id                                 = "bigint not null; learner"
username                                = "varchar(150) not null; user name in the LMS"
name                                    = "varchar(255); full name, from the profile"
email                                   = "varchar(255); e-mail address"
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
gender                                  = "varchar(6); as in the profile"
year_of_birth                           = "integer; as in the profile"
level_of_education                      = "varchar(255); as in the profile"
language                                = "varchar(255); as in the profile"
city                                    = "varchar(255); as in the profile"
country                                 = "varchar(255); as in the profile"
*/
-- A text longer than its column is no name; the LMS has room for 255 characters.
SELECT
  course_learners.course_id,
  course_learners.user_id,
  course_learners.username,
  CASE WHEN LENGTH(details.name) <= 255 THEN details.name END AS name,
  CASE WHEN LENGTH(contact.email) <= 255 THEN contact.email END AS email,
  course_learners.start_date,
  course_learners.end_date,
  course_learners.enrollment_mode,
  course_learners.enrollment_date,
  course_learners.cohort,
  course_learners.problem_attempts,
  course_learners.problems_attempted,
  course_learners.problems_completed,
  course_learners.problem_attempts_per_completed,
  course_learners.videos_viewed,
  course_learners.discussion_contributions,
  course_learners.days_active,
  course_learners.attempt_ratio_order,
  course_learners.previous_problem_attempts,
  course_learners.previous_problems_attempted,
  course_learners.previous_problems_completed,
  course_learners.previous_problem_attempts_per_completed,
  course_learners.previous_videos_viewed,
  course_learners.previous_discussion_contributions,
  course_learners.previous_days_active,
  course_learners.segments,
  course_learners.reasons,
  profile.gender,
  profile.year_of_birth,
  CASE WHEN LENGTH(profile.level_of_education) <= 255 THEN profile.level_of_education END
    AS level_of_education,
  CASE WHEN LENGTH(details.language) <= 255 THEN details.language END AS language,
  CASE WHEN LENGTH(details.city) <= 255 THEN details.city END AS city,
  CASE WHEN LENGTH(details.country) <= 255 THEN details.country END AS country
FROM course_learners
INNER JOIN auth_user ON auth_user.user_id = course_learners.user_id
INNER JOIN auth_userprofile AS profile ON profile.user_id = course_learners.user_id
LEFT JOIN auth_userprofile_contact AS details ON details.user_id = course_learners.user_id
LEFT JOIN auth_user_contact AS contact ON contact.user_id = course_learners.user_id
WHERE $roster
