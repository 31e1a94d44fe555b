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

_KINDS = ("answers", "submission", "correct_map")

_FALSE = "('false', 'null', '0', '0.0', '-0.0', '\"\"', '[]', '{}')"

# What the parts of one submission have in common.
_OF_EVENT = (
    "day", "time", "course_id", "org_id", "username", "user_id", "problem_id", "problem_name",
    "seed", "success", "attempts", "grade", "max_grade",
)  # fmt: skip


def answers_sql(events: str) -> str:
    """SELECT of ``day`` and ``COLUMNS`` over ``events``: server ``problem_check`` with answers.

    The course is the context's own, never one taken from a URL.
    """
    # Each object is taken apart once and put together by part. Looking every part up in the
    # payload is quadratic, and one learner can send a thousand parts at a time. The payload is
    # parsed once for all it is asked for.
    pieces = ", ".join(_pieces(kind, place) for place, kind in enumerate(_KINDS, 1))
    given = f"found[{_KINDS.index('submission') + 1}]"
    paths = ", ".join(f"'$.{name}'" for name in (*_KINDS, "state.seed"))
    return f"""
WITH submissions AS (
  SELECT day, event_id, time,
         CASE WHEN course_id_source = 'context' THEN course_id END AS course_id,
         CASE WHEN course_id_source = 'context' THEN org_id END AS org_id,
         username, user_id, problem_id, module_name AS problem_name,
         success, attempts, grade, max_grade, json_extract(payload, [{paths}]) AS found
  FROM {events}
  WHERE event_type = 'problem_check' AND event_source = 'server'
    AND payload_form IN ('object', 'json')
), taken_apart AS (
  SELECT * EXCLUDE (found), found[{len(_KINDS) + 1}]::VARCHAR AS seed,
         -- Only an event without the field is of the old form; a null, a text or an empty object in
         -- it is no submission. No WHERE: it would look into payloads that are no JSON.
         CASE WHEN {given} IS NULL
                OR json_type({given}) = 'OBJECT' AND len(json_keys({given})) > 0
              THEN list_concat({pieces}) END AS pieces
  FROM submissions
), pieces AS (
  SELECT * EXCLUDE (pieces), unnest(pieces) AS piece FROM taken_apart
), parts AS (
  SELECT event_id, piece.part_id AS part_id,
         {", ".join(f"any_value({name}) AS {name}" for name in _OF_EVENT)},
         {_first("answers")} AS value, {_first("submission")} AS given,
         {_first("correct_map")} AS graded
  FROM pieces GROUP BY event_id, piece.part_id
)
SELECT day, event_id, time, course_id, org_id, username, user_id, problem_id, problem_name,
       part_id, value IS NOT NULL AS in_answers, given IS NOT NULL AS in_submission,
       value::VARCHAR AS value,
       (given->'$.answer')::VARCHAR AS answer,
       (given->'$.question')::VARCHAR AS question,
       given->>'$.response_type' AS response_type,
       given->>'$.input_type' AS input_type,
       (given->'$.variant')::VARCHAR AS variant,
       given->>'$.group_label' AS group_label,
       coalesce((given->'$.correct')::VARCHAR NOT IN {_FALSE}, false) AS correct,
       graded->>'$.correctness' AS correctness,
       seed, success, attempts, grade, max_grade
FROM parts WHERE value IS NOT NULL OR given IS NOT NULL
"""


def _pieces(kind: str, place: int) -> str:
    """The members of one object of the payload, as a list in their order."""
    found = f"found[{place}]"
    return (
        f"CASE WHEN json_type({found}) = 'OBJECT' THEN list_transform("
        f"list_zip(json_keys({found}), {found}->'$.*'), lambda pair, place: {{'kind': '{kind}', "
        "'place': place, 'part_id': pair[1], 'value': pair[2]}) END"
    )


def _first(kind: str) -> str:
    """Of a repeated part the first, as everywhere."""
    return f"arg_min(piece.value, piece.place) FILTER (piece.kind = '{kind}')"
