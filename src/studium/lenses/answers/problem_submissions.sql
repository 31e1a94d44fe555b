/* studium
description = "Parts of the first and the last submission of a learner to a problem on a day"
kind    = "day"
grain   = ["day", "course_id", "problem_id", "username", "part_id", "is_first"]
rule    = "specs/edx-activity-video-answers §3.1 to §3.3"

[columns]
day           = "date not null; UTC day"
course_id     = "varchar(255) not null; course run, from the context"
problem_id    = "varchar(255) not null; the problem"
username      = "text not null; learner, as logged; it may be empty"
part_id       = "text not null; part of the problem"
is_first      = "boolean not null; of the first submission on the day"
is_last       = "boolean not null; of the last submission on the day, which may be the first, too"
time          = "datetime not null; UTC, of the submission"
submissions   = "integer not null; of the learner to the problem on the day"
counted       = "boolean not null; false for parts that are hidden, have no answer or over 255 characters"
problem_name  = "text; display name"
response_type = "varchar(255); as in multiplechoiceresponse; NULL in old events"
value_text    = "text; JSON: the value sent, if it is not the answer as the learner saw it"
answer_text   = "text; JSON: the answer as the learner saw it; NULL in old events"
question_text = "text; JSON: the question"
variant_text  = "text; JSON: number of the random variant; in old events the seed"
correct       = "boolean not null; whether the part is right"
correctness   = "text; how it was graded: correct, incorrect, partially-correct"
grade         = "double; of the whole problem"
max_grade     = "double; of the whole problem"

[trace]
event_answers = "course_id = $course_id AND problem_id = $problem_id AND username = $username"
*/
-- The first and the last submission are whole events, whatever parts they have: a part that was
-- answered in between only does not count. At the same instant their identities decide.
WITH marked AS (
  SELECT
    day,
    event_id,
    course_id,
    problem_id,
    username,
    time,
    in_answers,
    in_submission,
    -- One bad part drops the whole event.
    BIT_LENGTH(part_id) = LENGTH(part_id) * 8
    AND NOT part_id LIKE '%	%'
    AND NOT part_id LIKE '%
%' AS sound
  FROM event_answers
  WHERE course_id IS NOT NULL
    AND problem_id IS NOT NULL
    AND username IS NOT NULL
    AND LENGTH(problem_id) <= 255
),
events_of AS (
  SELECT
    day,
    event_id,
    course_id,
    problem_id,
    username,
    time,
    BOOL_OR(in_submission) AS is_typed
  FROM marked
  GROUP BY day, event_id, course_id, problem_id, username, time
  HAVING BOOL_AND(sound) AND BOOL_OR(in_answers)
),
placed AS (
  SELECT
    day,
    event_id,
    course_id,
    problem_id,
    username,
    time,
    is_typed,
    ROW_NUMBER() OVER (
      PARTITION BY day, course_id, problem_id, username
      ORDER BY time NULLS FIRST, event_id NULLS FIRST
    ) AS n,
    COUNT(*) OVER (PARTITION BY day, course_id, problem_id, username) AS submissions
  FROM events_of
),
parts AS (
  SELECT
    placed.day,
    placed.course_id,
    placed.problem_id,
    placed.username,
    event_answers.part_id,
    placed.n = 1 AS is_first,
    placed.n = placed.submissions AS is_last,
    placed.time,
    CAST(placed.submissions AS INTEGER) AS submissions,
    placed.is_typed,
    LENGTH(event_answers.part_id) <= 255
    AND NOT ENDS_WITH(event_answers.part_id, '_dynamath')
    AND NOT ENDS_WITH(event_answers.part_id, '_comment')
    AND CASE
      WHEN placed.is_typed THEN event_answers.in_submission
      ELSE event_answers.correctness IS NOT NULL
    END AS counted,
    event_answers.problem_name,
    NULLIF(event_answers.response_type, '') AS response_type,
    event_answers.in_answers,
    COALESCE(event_answers.value, 'null') AS value,
    event_answers.answer,
    event_answers.question,
    event_answers.variant,
    event_answers.seed,
    event_answers.correct,
    event_answers.correctness,
    event_answers.grade,
    event_answers.max_grade
  FROM placed
  INNER JOIN event_answers
    ON event_answers.day = placed.day AND event_answers.event_id = placed.event_id
  WHERE placed.n = 1 OR placed.n = placed.submissions
)
SELECT
  day,
  course_id,
  problem_id,
  username,
  part_id,
  is_first,
  is_last,
  time,
  submissions,
  counted,
  problem_name,
  CASE WHEN LENGTH(response_type) <= 255 THEN response_type END AS response_type,
  CASE
    WHEN NOT is_typed OR in_answers AND value <> COALESCE(answer, 'null') THEN value
  END AS value_text,
  CASE WHEN is_typed THEN answer END AS answer_text,
  CASE WHEN is_typed THEN question END AS question_text,
  CASE WHEN is_typed THEN variant ELSE seed END AS variant_text,
  CASE WHEN is_typed THEN correct ELSE COALESCE(correctness = 'correct', FALSE) END AS correct,
  correctness,
  grade,
  max_grade
FROM parts
