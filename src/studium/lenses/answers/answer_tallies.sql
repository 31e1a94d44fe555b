/* studium
description = "How many learners gave an answer, first or last, as it was sent"
kind    = "full"
grain   = ["course_id", "part_id", "problem_id", "problem_name", "response_type", "value_text", "answer_text", "question_text", "variant_text", "correct"]
rule    = "specs/edx-activity-video-answers §3.2, §3.3"

[columns]
course_id     = "varchar(255) not null; course run"
part_id       = "varchar(255) not null; part of the problem"
problem_id    = "varchar(255) not null; the problem"
problem_name  = "text; display name"
response_type = "varchar(255); as in multiplechoiceresponse; NULL in old events"
value_text    = "text; JSON: the value sent, if it is not the answer as the learner saw it"
answer_text   = "text; JSON: the answer as the learner saw it; NULL in old events"
question_text = "text; JSON: the question"
variant_text  = "text; JSON: number of the random variant"
correct       = "boolean not null; whether the part is right"
time          = "datetime not null; UTC, when it was last given"
first_count   = "integer not null; learners whose first submission to the problem has it"
last_count    = "integer not null; learners whose last submission to the problem has it"

[trace]
problem_submissions = "course_id = $course_id AND problem_id = $problem_id"
*/
WITH spans AS (
  SELECT
    course_id,
    problem_id,
    username,
    MIN(day) AS first_day,
    MAX(day) AS last_day
  FROM problem_submissions
  WHERE day >= $start AND day < $until
  GROUP BY course_id, problem_id, username
),
given AS (
  SELECT
    submitted.course_id,
    submitted.part_id,
    submitted.problem_id,
    submitted.problem_name,
    submitted.response_type,
    submitted.value_text,
    submitted.answer_text,
    submitted.question_text,
    submitted.variant_text,
    submitted.correct,
    submitted.time,
    submitted.is_first AND submitted.day = spans.first_day AS is_first,
    submitted.is_last AND submitted.day = spans.last_day AS is_last
  FROM problem_submissions AS submitted
  INNER JOIN spans
    ON spans.course_id = submitted.course_id
    AND spans.problem_id = submitted.problem_id
    AND spans.username = submitted.username
  WHERE submitted.counted
    AND (
      submitted.is_first AND submitted.day = spans.first_day
      OR submitted.is_last AND submitted.day = spans.last_day
    )
)
SELECT
  course_id,
  part_id,
  problem_id,
  problem_name,
  response_type,
  value_text,
  answer_text,
  question_text,
  variant_text,
  correct,
  MAX(time) AS time,
  CAST(COUNT(CASE WHEN is_first THEN 1 END) AS INTEGER) AS first_count,
  CAST(COUNT(CASE WHEN is_last THEN 1 END) AS INTEGER) AS last_count
FROM given
GROUP BY
  course_id,
  part_id,
  problem_id,
  problem_name,
  response_type,
  value_text,
  answer_text,
  question_text,
  variant_text,
  correct
