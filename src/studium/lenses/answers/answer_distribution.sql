/* studium
description = "Answers to each part of a problem, and how many learners gave them first and last"
kind    = "full"
grain   = ["course_id", "part_id", "value_id", "answer_value_text", "variant"]
publish = "answer_distribution"
indexes = [["course_id"], ["module_id"], ["part_id"], ["course_id", "module_id"]]
rule    = "specs/edx-activity-video-answers §3.4, §3.5, §3.7"

[columns]
course_id            = "varchar(255) not null; course run"
module_id            = "varchar(255) not null; the problem"
part_id              = "varchar(255) not null; part of the problem"
correct              = "boolean not null; whether the answer is right, as it was last graded"
first_response_count = "integer not null; learners whose first submission to the problem has it"
last_response_count  = "integer not null; learners whose last submission to the problem has it"
value_id             = "text; choices: their names, as in choice_2 or [choice_1|choice_2]"
answer_value_text    = "text; the answer as the learner saw it"
answer_value_numeric = "double; the same as a number, if it is one"
variant              = "integer; number of the random variant"
problem_display_name = "text; of the problem, as it was last called"
question_text        = "text; the question of the part"

[trace]
answer_tallies = "course_id = $course_id AND part_id = $part_id"
answer_texts   = """
  text IN (SELECT value_text FROM answer_tallies WHERE course_id = $course_id AND part_id = $part_id
    UNION SELECT answer_text FROM answer_tallies WHERE course_id = $course_id AND part_id = $part_id
    UNION SELECT question_text FROM answer_tallies
      WHERE course_id = $course_id AND part_id = $part_id
    UNION SELECT variant_text FROM answer_tallies
      WHERE course_id = $course_id AND part_id = $part_id)"""
*/
-- The newest answer with a type decides whether the part is shown, and whether with the names of its
-- choices. Equal answers to equal variants are one row; the newest of them says how it looks. Rows
-- that nobody could tell apart then are one, too.
WITH read_out AS (
  SELECT
    tallies.course_id,
    tallies.part_id,
    tallies.problem_id,
    tallies.problem_name,
    tallies.response_type,
    tallies.correct,
    tallies.time,
    tallies.first_count,
    tallies.last_count,
    NULLIF(chosen.plain, '') AS value_id,
    tallies.answer_text IS NOT NULL AS is_typed,
    NULLIF(answered.plain, '') AS plain,
    NULLIF(answered.stripped, '') AS stripped,
    answered.plain_number,
    answered.stripped_number,
    chosen.plain_number AS value_number,
    NULLIF(asked.said, '') AS question,
    CASE
      WHEN tallies.variant_text IS NULL OR tallies.variant_text = '""' THEN '1'
      ELSE COALESCE(varied.plain, tallies.variant_text)
    END AS variant_group,
    varied.whole AS variant,
    ROW_NUMBER() OVER (
      PARTITION BY tallies.course_id, tallies.part_id
      ORDER BY
        tallies.time DESC NULLS LAST,
        tallies.response_type DESC NULLS LAST,
        tallies.value_text NULLS FIRST,
        tallies.answer_text NULLS FIRST,
        tallies.question_text NULLS FIRST,
        tallies.variant_text NULLS FIRST,
        tallies.correct DESC NULLS LAST,
        tallies.problem_name NULLS FIRST,
        tallies.problem_id NULLS FIRST
    ) AS age
  FROM answer_tallies AS tallies
  LEFT JOIN answer_texts AS chosen ON chosen.text = tallies.value_text
  LEFT JOIN answer_texts AS answered ON answered.text = tallies.answer_text
  LEFT JOIN answer_texts AS asked ON asked.text = tallies.question_text
  LEFT JOIN answer_texts AS varied ON varied.text = tallies.variant_text
),
newest AS (
  SELECT
    course_id,
    part_id,
    problem_id,
    problem_name
  FROM read_out
  WHERE age = 1
),
typed_ages AS (
  SELECT
    course_id,
    part_id,
    MIN(age) AS age
  FROM read_out
  WHERE response_type IS NOT NULL
  GROUP BY course_id, part_id
),
shown_parts AS (
  SELECT
    read_out.course_id,
    read_out.part_id,
    newest.problem_id,
    newest.problem_name,
    read_out.value_id IS NOT NULL AS has_ids
  FROM typed_ages
  INNER JOIN read_out
    ON read_out.course_id = typed_ages.course_id
    AND read_out.part_id = typed_ages.part_id
    AND read_out.age = typed_ages.age
  INNER JOIN newest
    ON newest.course_id = typed_ages.course_id AND newest.part_id = typed_ages.part_id
  INNER JOIN counted_response_types AS types ON types.response_type = read_out.response_type
),
grouped AS (
  SELECT
    read_out.course_id,
    read_out.part_id,
    shown_parts.problem_id,
    shown_parts.problem_name,
    shown_parts.has_ids,
    read_out.value_id,
    read_out.is_typed,
    read_out.plain,
    read_out.stripped,
    read_out.plain_number,
    read_out.stripped_number,
    read_out.value_number,
    read_out.question,
    read_out.variant,
    read_out.correct,
    read_out.age,
    ROW_NUMBER() OVER (
      PARTITION BY read_out.course_id, read_out.part_id,
        COALESCE(read_out.value_id, read_out.plain), read_out.variant_group
      ORDER BY read_out.age NULLS FIRST
    ) AS n,
    CAST(
      SUM(read_out.first_count) OVER (
        PARTITION BY read_out.course_id, read_out.part_id,
          COALESCE(read_out.value_id, read_out.plain), read_out.variant_group
      ) AS BIGINT
    ) AS first_count,
    CAST(
      SUM(read_out.last_count) OVER (
        PARTITION BY read_out.course_id, read_out.part_id,
          COALESCE(read_out.value_id, read_out.plain), read_out.variant_group
      ) AS BIGINT
    ) AS last_count
  FROM read_out
  INNER JOIN shown_parts
    ON shown_parts.course_id = read_out.course_id AND shown_parts.part_id = read_out.part_id
),
worded AS (
  SELECT
    course_id,
    part_id,
    problem_id,
    problem_name,
    CASE WHEN has_ids THEN value_id END AS value_id,
    CASE
      WHEN has_ids AND value_id IS NOT NULL THEN stripped
      WHEN has_ids OR is_typed THEN plain
      ELSE value_id
    END AS answer,
    CASE
      WHEN has_ids AND value_id IS NOT NULL THEN stripped_number
      WHEN has_ids OR is_typed THEN plain_number
      ELSE value_number
    END AS answer_number,
    question,
    variant,
    correct,
    age,
    first_count,
    last_count
  FROM grouped
  WHERE n = 1
),
merged AS (
  SELECT
    course_id,
    part_id,
    problem_id,
    problem_name,
    value_id,
    answer,
    answer_number,
    question,
    variant,
    correct,
    ROW_NUMBER() OVER (
      PARTITION BY course_id, part_id, value_id, answer, variant ORDER BY age NULLS FIRST
    ) AS n,
    CAST(
      SUM(first_count) OVER (PARTITION BY course_id, part_id, value_id, answer, variant) AS INTEGER
    ) AS first_count,
    CAST(
      SUM(last_count) OVER (PARTITION BY course_id, part_id, value_id, answer, variant) AS INTEGER
    ) AS last_count
  FROM worded
)
SELECT
  course_id,
  problem_id AS module_id,
  part_id,
  correct,
  first_count AS first_response_count,
  last_count AS last_response_count,
  value_id,
  answer AS answer_value_text,
  answer_number AS answer_value_numeric,
  variant,
  problem_name AS problem_display_name,
  question AS question_text
FROM merged
WHERE n = 1
