"""``event_answers``: one row per problem part of a submission.

Rules: specs/edx-activity-video-answers §3.1–3.3, §4.1. JSON values stay JSON text, because
``null``, ``""`` and an absent field mean different things there; the answers lens decides.
"""

from __future__ import annotations

COLUMNS = {
    "event_id": "BLOB",
    "time": "TIMESTAMP",
    "course_id": "VARCHAR",
    "org_id": "VARCHAR",
    "username": "VARCHAR",
    "user_id": "BIGINT",
    "problem_id": "VARCHAR",
    "problem_name": "VARCHAR",
    "part_id": "VARCHAR",
    "in_answers": "BOOLEAN",
    "in_submission": "BOOLEAN",
    "value": "VARCHAR",
    "answer": "VARCHAR",
    "question": "VARCHAR",
    "response_type": "VARCHAR",
    "input_type": "VARCHAR",
    "variant": "VARCHAR",
    "group_label": "VARCHAR",
    "correct": "BOOLEAN",
    "correctness": "VARCHAR",
    "seed": "VARCHAR",
    "success": "VARCHAR",
    "attempts": "BIGINT",
    "grade": "DOUBLE",
    "max_grade": "DOUBLE",
}

_FALSE = "('false', 'null', '0', '0.0', '-0.0', '\"\"', '[]', '{}')"


def answers_sql(events: str) -> str:
    """SELECT of ``day`` and ``COLUMNS`` over ``events``: server ``problem_check`` with answers.

    The course is the context's own, never one taken from a URL.
    """
    return f"""
WITH submissions AS (
  SELECT *, payload::JSON AS doc FROM {events}
  WHERE event_type = 'problem_check' AND event_source = 'server'
    AND payload_form IN ('object', 'json')
), parts AS (
  SELECT *, unnest(list_distinct(list_concat(
           CASE WHEN json_type(doc, '$.answers') = 'OBJECT' THEN json_keys(doc, '$.answers') END,
           CASE WHEN json_type(doc, '$.submission') = 'OBJECT'
                THEN json_keys(doc, '$.submission') END))) AS part_id
  FROM submissions
), pointed AS (
  SELECT *, '/' || replace(replace(part_id, '~', '~0'), '/', '~1') AS pointer FROM parts
), found AS (
  SELECT *, doc->('/answers' || pointer) AS value, doc->('/submission' || pointer) AS given
  FROM pointed
)
SELECT day, event_id, time,
       CASE WHEN course_id_source = 'context' THEN course_id END AS course_id,
       CASE WHEN course_id_source = 'context' THEN org_id END AS org_id,
       username, user_id, problem_id, module_name AS problem_name, part_id,
       value IS NOT NULL AS in_answers, given IS NOT NULL AS in_submission,
       value::VARCHAR AS value,
       (given->'answer')::VARCHAR AS answer,
       (given->'question')::VARCHAR AS question,
       given->>'response_type' AS response_type,
       given->>'input_type' AS input_type,
       (given->'variant')::VARCHAR AS variant,
       given->>'group_label' AS group_label,
       coalesce((given->'correct')::VARCHAR NOT IN {_FALSE}, false) AS correct,
       doc->>('/correct_map' || pointer || '/correctness') AS correctness,
       (doc->'$.state.seed')::VARCHAR AS seed,
       success, attempts, grade, max_grade
FROM found
"""
