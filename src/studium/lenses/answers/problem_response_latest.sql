/* studium
description = "The latest response of each learner to each part of a problem"
kind    = "full"
grain   = ["course_id", "answer_id", "username", "problem_id"]
restricted = true
rule    = "specs/edx-activity-video-answers §4.1, §4.2"

[columns]
course_id          = "varchar(255) not null; course run"
answer_id          = "varchar(255) not null; part of the problem"
problem_id         = "varchar(255) not null; the problem"
problem            = "text not null; its display name, cleaned"
username           = "text not null; learner, as logged"
question           = "text not null; the question of the part, cleaned"
score              = "double; grade of the whole problem"
max_score          = "double; best grade of the whole problem"
correct            = "boolean; NULL if graded otherwise, as partially correct"
answer             = "text not null; JSON list of what was answered, cleaned"
total_attempts     = "integer not null; submissions of the learner to the problem"
first_attempt_date = "datetime not null; UTC, of the first one"
last_attempt_date  = "datetime not null; UTC, of the last one"
location           = "text not null; display names from the course down to the problem"
sort_idx           = "integer not null; place of the problem in the course; -1 if it has none"

[trace]
problem_submissions = "course_id = $course_id AND problem_id = $problem_id AND username = $username"
course_blocks       = "course_id = $course_id AND block_id = $problem_id"
problem_names       = """
  name IN (SELECT problem_name FROM problem_submissions
    WHERE course_id = $course_id AND problem_id = $problem_id AND username = $username)"""
answer_texts        = """
  text IN (SELECT value_text FROM problem_submissions
      WHERE course_id = $course_id AND problem_id = $problem_id AND username = $username
    UNION SELECT answer_text FROM problem_submissions
      WHERE course_id = $course_id AND problem_id = $problem_id AND username = $username
    UNION SELECT question_text FROM problem_submissions
      WHERE course_id = $course_id AND problem_id = $problem_id AND username = $username)"""
*/
WITH daily AS (
  SELECT
    course_id,
    problem_id,
    username,
    day,
    MAX(submissions) AS submissions,
    MIN(time) AS first_time,
    MAX(time) AS last_time
  FROM problem_submissions
  WHERE day >= $start AND day < $until AND TRIM(username, $white_space) <> ''
  GROUP BY course_id, problem_id, username, day
),
spans AS (
  SELECT
    course_id,
    problem_id,
    username,
    MAX(day) AS last_day,
    CAST(SUM(submissions) AS INTEGER) AS total_attempts,
    MIN(first_time) AS first_time,
    MAX(last_time) AS last_time
  FROM daily
  GROUP BY course_id, problem_id, username
)
SELECT
  spans.course_id,
  submitted.part_id AS answer_id,
  spans.problem_id,
  COALESCE(problem_names.cleaned, '') AS problem,
  spans.username,
  COALESCE(asked.cleaned, '') AS question,
  submitted.grade AS score,
  submitted.max_grade AS max_score,
  CASE submitted.correctness WHEN 'correct' THEN TRUE WHEN 'incorrect' THEN FALSE END AS correct,
  COALESCE(answered.cleaned_list, chosen.cleaned_list, '[""]') AS answer,
  spans.total_attempts,
  spans.first_time AS first_attempt_date,
  spans.last_time AS last_attempt_date,
  COALESCE(course_blocks.course_path, '(Deleted block :)')
  || ' / '
  || COALESCE(problem_names.cleaned, '') AS location,
  COALESCE(course_blocks.sort_idx, -1) AS sort_idx
FROM spans
INNER JOIN problem_submissions AS submitted
  ON submitted.course_id = spans.course_id
  AND submitted.problem_id = spans.problem_id
  AND submitted.username = spans.username
  AND submitted.day = spans.last_day
  AND submitted.is_last
  AND submitted.counted
LEFT JOIN problem_names ON problem_names.name = submitted.problem_name
LEFT JOIN answer_texts AS asked ON asked.text = submitted.question_text
LEFT JOIN answer_texts AS answered ON answered.text = NULLIF(submitted.answer_text, 'null')
LEFT JOIN answer_texts AS chosen ON chosen.text = submitted.value_text
LEFT JOIN course_blocks
  ON course_blocks.course_id = spans.course_id AND course_blocks.block_id = spans.problem_id
