"""Shredding: a line of a tracking log → a typed row of ``events``, in DuckDB SQL.

The only place where JSON is parsed, so the only one with engine-specific SQL. Two steps: a line
becomes an envelope (texts as logged), an envelope becomes the typed columns. The envelope is all
kept in the lake, so the second step can be repeated over old days when it learns something new;
``SHREDDER`` is then raised and ``plan`` finds those days stale.

Rules: specs/edx-enrollment-geography §1, specs/edx-activity-video-answers §0, §2.1, §3.1.
"""

from __future__ import annotations

from datetime import date

from studium.sources.edx.course_keys import (
    RE2_ASCII_COURSE_KEY,
    RE2_ASCII_USAGE_KEY,
    RE2_LETTERS,
    RE2_OTHER_LETTER,
    WHITE_SPACE,
)

SHREDDER = 2

NOT_JSON = "not JSON"
NOT_AN_OBJECT = "not a JSON object"
BLANK = "blank line"
NO_TIME = "no time"
BAD_TIME = "time is not a date and time"
IMPLAUSIBLE_TIME = "implausible time"

_TEXTS = (
    "username", "event_type", "name", "event_source", "ip", "agent", "host", "session", "page",
    "referer", "accept_language",
)  # fmt: skip
ENVELOPE = (*_TEXTS, "context", "payload_form", "payload")

_LINE_SPEC = {
    **dict.fromkeys((*_TEXTS, "time", "timestamp"), "VARCHAR"),
    "context": "JSON",
    "event": "JSON",
    "data": "JSON",
}
_CONTEXT_SPEC = {
    "course_id": "VARCHAR",
    "user_id": "VARCHAR",
    "path": "VARCHAR",
    "module": {"display_name": "VARCHAR", "usage_key": "VARCHAR"},
    "asides": {"tagging_aside": {"saved_tags": "JSON"}},
}
_PAYLOAD_SPEC = dict.fromkeys(
    (
        "course_id", "user_id", "mode", "problem_id", "success", "attempts", "grade", "max_grade",
        "id", "code", "currentTime", "old_time", "new_time", "duration", "commentable_id",
        "vote_value", "undo_vote", "target_username",
    ),
    "VARCHAR",
)  # fmt: skip

# What readers of the result store have room for; a longer one is a forgery or a mistake.
LONGEST_MODE = 100
LONGEST_KEY = 255

# What the shredder adds to an envelope: column → DuckDB type, in the order of the table.
COLUMNS = {
    "event_id": "BLOB",
    "time": "TIMESTAMP",
    "file_id": "BIGINT",
    "line_no": "BIGINT",
    "shredder": "INTEGER",
    **dict.fromkeys(_TEXTS, "VARCHAR"),
    "course_id": "VARCHAR",
    "course_id_source": "VARCHAR",
    "org_id": "VARCHAR",
    "user_id": "BIGINT",
    "path": "VARCHAR",
    "module_id": "VARCHAR",
    "module_name": "VARCHAR",
    "tags": "VARCHAR",
    "payload_form": "VARCHAR",
    "event_course_id": "VARCHAR",
    "event_user_id": "BIGINT",
    "mode": "VARCHAR",
    "problem_id": "VARCHAR",
    "success": "VARCHAR",
    "attempts": "BIGINT",
    "grade": "DOUBLE",
    "max_grade": "DOUBLE",
    "video_id": "VARCHAR",
    "video_code": "VARCHAR",
    "position": "DOUBLE",
    "seek_from": "DOUBLE",
    "seek_to": "DOUBLE",
    "duration": "DOUBLE",
    "topic_id": "VARCHAR",
    "vote_value": "VARCHAR",
    "undo_vote": "BOOLEAN",
    "target_username": "VARCHAR",
    "context": "VARCHAR",
    "payload": "VARCHAR",
}


def lines_sql(relation: str, first_day: date, last_day: date) -> str:
    """SELECT of ``day`` and ``COLUMNS`` over ``relation`` (file_id, line_no, line).

    Lines that are refused come out too, with ``day`` NULL, the reason in ``payload_form`` and the
    line in ``payload``; what their other columns say does not count. So it is one pass over the
    log and one write. (No step may be named twice: DuckDB would keep its rows, all of them.)
    """
    # An object starts the line, or follows a prefix such as syslog's; one attempt each (§1.2).
    clean = (
        "CASE WHEN starts_with(line, '{') THEN line "
        "ELSE regexp_extract(line, '(?s)\\{.*\\}\\s*$') END"
    )
    return f"""
WITH parsed AS (
  SELECT file_id, line_no, line,
         from_json(TRY_CAST({clean} AS JSON), {_spec(_LINE_SPEC)}) AS e
  FROM {relation}
), timed AS (
  SELECT *, coalesce(e.time, e.timestamp) AS time_text,
         -- events that left the LMS over its event bus: name, timestamp, data, rest in context
         e.time IS NULL AND e.timestamp IS NOT NULL AS bus,
         {_time_sql("coalesce(e.time, e.timestamp)")} AS time
  FROM parsed
), placed AS (
  SELECT *, CASE WHEN time >= DATE '{first_day}' AND time < DATE '{last_day}' + 1
                 THEN time::DATE END AS day
  FROM timed
), enveloped AS (
  SELECT file_id, line_no, line, day, time, time_text,
         CASE WHEN day IS NULL THEN {_reason_sql()} END AS reason,
         {_texts_sql()},
         coalesce(e.event, e.data)::VARCHAR AS event,
         e.context::VARCHAR AS context
  FROM placed
), identified AS (
  SELECT * EXCLUDE (event), {_identity_sql()} AS event_id, {_with_white_space(_payload_sql())}
  FROM (SELECT *, CASE WHEN starts_with(event, '"') THEN json_extract_string(event, '$') END
                    AS inner_text
        FROM enveloped)
)
SELECT day, {", ".join(COLUMNS)} FROM ({envelope_sql("identified")})
"""


def envelope_sql(relation: str) -> str:
    """SELECT of ``COLUMNS`` and ``day`` over envelopes: the step that a new shredder repeats."""
    key = _valid_key("c.course_id")
    # Trimming every id takes longer than asking first whether it starts like a blank one.
    url = """CASE
      WHEN c.course_id IS NULL
        OR (c.course_id < '!' OR c.course_id > '~') AND trim(c.course_id, $white$) = ''
      THEN CASE event_source WHEN 'server' THEN event_type WHEN 'browser' THEN page END END"""
    return _with_white_space(f"""
SELECT day, event_id, time, file_id, line_no, {SHREDDER} AS shredder,
       {", ".join(_TEXTS)}, context, payload, payload_form,
       coalesce(context_key, url_key) AS course_id,
       CASE WHEN context_key IS NOT NULL THEN 'context' WHEN url_key IS NOT NULL THEN 'url' END
         AS course_id_source,
       {_org_sql("coalesce(context_key, url_key)")} AS org_id,
       {_user_id_sql("c.user_id")} AS user_id,
       c.path AS path,
       c.module.usage_key AS module_id,
       c.module.display_name AS module_name,
       c.asides.tagging_aside.saved_tags::VARCHAR AS tags,
       {_valid_key("p.course_id")} AS event_course_id,
       {_user_id_sql("p.user_id")} AS event_user_id,
       CASE WHEN length(p.mode) <= {LONGEST_MODE} THEN p.mode END AS mode,
       {_scalar("problem_id")} AS problem_id,
       p.success AS success,
       CASE WHEN regexp_full_match(p.attempts, '[0-9]{{1,18}}')
            THEN TRY_CAST(p.attempts AS BIGINT) END AS attempts,
       {_finite("p.grade")} AS grade,
       {_finite("p.max_grade")} AS max_grade,
       nullif(CASE WHEN regexp_full_match(p.id, '[!-~].*[!-~]') THEN {_text("id")}
                   ELSE trim({_text("id")}, $white$) END, '') AS video_id,
       {_text("code")} AS video_code,
       CASE WHEN event_type = 'pause_video' AND p.currentTime IS NULL
                 AND payload_form IN ('object', 'json', 'empty')
                 AND NOT coalesce(json_exists(TRY_CAST(payload AS JSON), '$.currentTime'), false)
            THEN 0 ELSE {_position("currentTime")} END AS position,
       {_position("old_time")} AS seek_from,
       {_position("new_time")} AS seek_to,
       CASE WHEN {_finite("p.duration")} > 0 THEN {_finite("p.duration")} END AS duration,
       {_scalar("commentable_id")} AS topic_id,
       p.vote_value AS vote_value,
       CASE lower(p.undo_vote) WHEN 'true' THEN true WHEN 'false' THEN false END AS undo_vote,
       p.target_username AS target_username
FROM (
  SELECT *, {key} AS context_key,
         CASE WHEN contains(url, '/courses/') OR contains(url, '/xblock/')
              THEN {_key_in_url("url")} END AS url_key
  FROM (SELECT *, {url} AS url FROM (
    SELECT *, from_json(context, {_spec(_CONTEXT_SPEC)}) AS c,
           CASE WHEN payload_form IN ('object', 'json')
                THEN from_json(payload, {_spec(_PAYLOAD_SPEC)}) END AS p
    FROM {relation}
  ))
)""")


def _spec(columns: object) -> str:
    """A ``from_json`` structure as an SQL literal."""
    import json

    return "'" + json.dumps(columns) + "'"


def _with_white_space(sql: str) -> str:
    return sql.replace("$white$", f"'{WHITE_SPACE}'")


def _time_sql(text: str) -> str:
    """RFC 3339 with ``T`` or blank, any offset or none (= UTC), 0–9 fraction digits, → naive UTC
    microseconds (§1.4). The plain form of the LMS skips the regular expression."""
    pattern = (
        r"\d{4}-\d\d-\d\d[Tt ]([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,9})?"
        r"([Zz]|[+-]([01]\d|2[0-3]):?[0-5]\d)?"
    )
    plain = r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\d\.\d{6}\+00:00"
    return f"""CASE
      WHEN regexp_full_match({text}, '{plain}') THEN TRY_CAST({text} AS TIMESTAMP)
      WHEN regexp_full_match({text}, '{pattern}')
        THEN TRY_CAST(upper({text}) AS TIMESTAMPTZ)::TIMESTAMP END"""


def _texts_sql() -> str:
    columns = []
    for name in _TEXTS:
        if name == "event_type":
            columns.append(
                "CASE WHEN bus THEN coalesce(e.event_type, e.name) ELSE e.event_type END"
            )
        elif name == "name":
            columns.append("e.name")
        else:
            columns.append(f"CASE WHEN bus THEN coalesce(e.{name}, e.context->>'{name}')"
                           f" ELSE e.{name} END")  # fmt: skip
        columns[-1] += f" AS {name}"
    return ",\n         ".join(columns)


def _identity_sql() -> str:
    """md5 over a fixed list of texts as logged, NULL told apart from empty. Never the framing:
    a syslog prefix, a line number or a file name do not make another event."""
    texts = ("time_text", *_TEXTS, "context", "event")
    return (
        "unhex(md5(concat_ws(chr(31), "
        + ", ".join(f"coalesce({name}, chr(30))" for name in texts)
        + ")))"
    )


def _payload_sql() -> str:
    """``payload`` text and ``payload_form`` from the ``event`` field, in the order of §1.7."""
    return """
         CASE WHEN day IS NULL THEN line ELSE coalesce(inner_text, event) END AS payload,
         CASE WHEN day IS NULL THEN reason
              WHEN starts_with(event, '{') THEN 'object'
              WHEN event IS NULL THEN 'none'
              WHEN starts_with(event, '[') THEN 'list'
              WHEN inner_text IS NULL THEN 'other'
              WHEN inner_text = '' THEN 'empty'
              WHEN length(inner_text) = 512 AND contains(inner_text, 'POST') THEN 'truncated'
              WHEN NOT contains(inner_text, '{') AND contains(inner_text, '=') THEN 'form'
              WHEN (starts_with(inner_text, '{')
                    OR (inner_text < '!' OR inner_text > '~')
                       AND starts_with(ltrim(inner_text, $white$), '{'))
                   AND TRY_CAST(inner_text AS JSON) IS NOT NULL THEN 'json'
              ELSE 'text' END AS payload_form"""


def _reason_sql() -> str:
    """Why a line without a plausible time is refused; evaluated for such lines only."""
    clean = "regexp_extract(line, '(?s)\\{.*\\}\\s*$')"
    return _with_white_space(f"""CASE
      WHEN e IS NULL AND trim(line, $white$) = '' THEN '{BLANK}'
      WHEN e IS NULL AND TRY_CAST(line AS JSON) IS NOT NULL THEN '{NOT_AN_OBJECT}'
      WHEN e IS NULL THEN '{NOT_JSON}'
      WHEN json_type(TRY_CAST(line AS JSON)) <> 'OBJECT'
           AND TRY_CAST({clean} AS JSON) IS NULL THEN '{NOT_AN_OBJECT}'
      WHEN coalesce(time_text, '') = '' THEN '{NO_TIME}'
      WHEN time IS NULL THEN '{BAD_TIME}'
      ELSE '{IMPLAUSIBLE_TIME}' END""")


def _valid_key(text: str) -> str:
    """The stripped key or NULL. Nearly all keys are ASCII, and of the others nearly all clean;
    trimming takes longer than all the rest."""
    stripped = f"trim({text}, $white$)"
    return (
        f"CASE WHEN {text} = '' OR length({text}) > {LONGEST_KEY} THEN NULL "
        f"WHEN regexp_full_match({text}, '{RE2_ASCII_COURSE_KEY}') THEN {text} "
        f"WHEN {_is_key(text)} THEN {text} "
        f"WHEN {_is_trimmed(text)} THEN NULL "
        f"WHEN {_is_key(stripped)} THEN {stripped} END"
    )


def _is_trimmed(text: str) -> str:
    """Starts and ends with plain letters (not: is trimmed, for a few with others)."""
    return f"regexp_full_match({text}, '[!-~]|[!-~].*[!-~]')"


def _is_key(text: str, grammar: str = RE2_ASCII_COURSE_KEY) -> str:
    ascii_only = f"regexp_replace({text}, '{RE2_OTHER_LETTER}', 'x', 'g')"
    return (
        f"regexp_full_match(CASE WHEN strlen({text}) = length({text}) THEN {text} "
        f"WHEN regexp_full_match({text}, '{RE2_LETTERS}') THEN {ascii_only} END, '{grammar}')"
    )


def _key_in_url(url: str) -> str:
    """Course key in a URL: of the block after ``/xblock/``, else what follows ``/courses/`` unless
    that is an API version; no second attempt if the first form matches but is invalid (§1.8)."""
    block = f"regexp_extract({url}, '/xblock/([^/+?#]+[/+][^/+?#]+[/+][^/?#]+)', 1)"
    of_block = (
        f"CASE WHEN {_is_key(block, RE2_ASCII_USAGE_KEY)} THEN "
        f"regexp_replace(regexp_replace({block}, '\\+type@.*$', ''), "
        f"'^(ccx-)?block-v1:', CASE WHEN {block} LIKE 'ccx-%' THEN 'ccx-v1:' "
        "ELSE 'course-v1:' END) END"
    )
    plain = f"regexp_replace({url}, '/courses/(v[0-9]+/)', '/\\1', 'g')"
    course = f"regexp_extract({plain}, '/courses/([^/+]+[/+][^/+]+[/+][^/?]+)', 1)"
    return f"CASE WHEN {block} <> '' THEN {of_block} WHEN {_is_key(course)} THEN {course} END"


def _org_sql(key: str) -> str:
    return (
        f"CASE WHEN contains({key}, '/') THEN split_part({key}, '/', 1) "
        f"WHEN NOT starts_with({key}, 'course-v1:version@') "
        f"THEN substr(split_part({key}, '+', 1), strpos({key}, ':') + 1) END"
    )


def _user_id_sql(text: str) -> str:
    """Integer ≥ 1 from a number or a numeric text; anything else is nobody (§2.2, §3.2)."""
    digits = f"trim({text}, $white$)"
    return (
        f"CASE WHEN {text} = '' THEN NULL "
        f"WHEN regexp_full_match({text}, '[0-9]{{1,18}}') "
        f"THEN nullif(TRY_CAST({text} AS BIGINT), 0) "
        f"WHEN regexp_full_match({digits}, '[0-9]{{1,18}}(\\.0+)?') "
        f"THEN nullif(TRY_CAST(split_part({digits}, '.', 1) AS BIGINT), 0) END"
    )


def _kind(field: str) -> str:
    """What JSON type a field of the payload has; asked only when its text leaves a doubt, as NULL
    does not: the payload is parsed once more for it."""
    return f"json_type(TRY_CAST(payload AS JSON), '$.{field}')"


def _text(field: str) -> str:
    """A text that is one in the payload too: a number or an object is none (video spec §2.1)."""
    value = f"p.{field}"
    return (
        f"CASE WHEN {value} IS NULL THEN NULL "
        f"WHEN TRY_CAST({value} AS DOUBLE) IS NULL AND {value} NOT IN ('true', 'false') "
        f"AND NOT starts_with({value}, '{{') AND NOT starts_with({value}, '[') THEN {value} "
        f"WHEN {_kind(field)} = 'VARCHAR' THEN {value} END"
    )


def _scalar(field: str) -> str:
    """Objects and lists are no ids."""
    value = f"p.{field}"
    return (
        f"CASE WHEN {value} IS NULL THEN NULL "
        f"WHEN NOT starts_with({value}, '{{') AND NOT starts_with({value}, '[') THEN {value} "
        f"WHEN {_kind(field)} = 'VARCHAR' THEN {value} END"
    )


def _finite(text: str) -> str:
    return f"CASE WHEN isfinite(TRY_CAST({text} AS DOUBLE)) THEN TRY_CAST({text} AS DOUBLE) END"


def _position(field: str) -> str:
    """Seconds into a video: 0 … 36000, else nothing; true is 1, the text "true" is nothing
    (specs/edx-activity-video-answers §2.1)."""
    value = f"p.{field}"
    number = f"TRY_CAST({value} AS DOUBLE)"
    return (
        f"CASE WHEN {number} BETWEEN 0 AND 36000 THEN {number} "
        f"WHEN {value} IN ('true', 'false') AND {_kind(field)} = 'BOOLEAN' "
        f"THEN ({value} = 'true')::INTEGER::DOUBLE END"
    )
