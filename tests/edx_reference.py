"""The rules of tracking-log events once more, in plain Python, a line at a time.

Written from specs/edx-enrollment-geography §1 and specs/edx-activity-video-answers §0, §2.1, §3,
not from the shredder's SQL, so that each can be held against the other. Slow and simple.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from studium.sources.edx.course_keys import CourseKey, parse_course_key

Row = dict[str, Any]

TEXTS = (
    "username", "event_type", "name", "event_source", "ip", "agent", "host", "session", "page",
    "referer", "accept_language",
)  # fmt: skip

BLANK = "blank line"
NOT_JSON = "not JSON"
NOT_AN_OBJECT = "not a JSON object"
NO_TIME = "no time"
BAD_TIME = "time is not a date and time"
IMPLAUSIBLE_TIME = "implausible time"


@dataclass(frozen=True)
class Json:
    """A value where a text is kept: any text that decodes to the same value is right."""

    value: object


def shred(line: str, first: date, last: date) -> Row | str:
    """The row of ``events`` for a line (without identity and line number), or why it has none."""
    event = parse_line(line)
    if isinstance(event, str):
        return event
    event = scrub(event)
    bus = event.get("time") is None and event.get("timestamp") is not None
    stamp = event.get("timestamp") if bus else event.get("time")
    if stamp is None or stamp == "":
        return NO_TIME
    time = parse_time(stamp) if isinstance(stamp, str) else None
    if time is None:
        return BAD_TIME
    if not first <= time.date() <= last:
        return IMPLAUSIBLE_TIME
    return row_of(event, time, bus)


def parse_line(line: str) -> dict[str, Any] | str:
    """§1.2: the whole line, else from the first ``{`` to the last ``}`` before white space."""
    if not line.strip():
        return BLANK
    value = decode(line)
    if value is BROKEN:
        start, end = line.find("{"), line.rfind("}")
        if 0 <= start < end and not line[end + 1 :].strip():
            value = decode(line[start : end + 1])
    if value is BROKEN:
        return NOT_JSON
    return value if isinstance(value, dict) else NOT_AN_OBJECT


BROKEN = object()


def decode(text: str) -> Any:
    """The value of a JSON text, or ``BROKEN``. A repeated key takes its first value, and a comma
    may stand behind the last value; there Studium knowingly differs from §1.2."""
    for attempt in (text, COMMA.sub(lambda found: found[1] or found[2], text)):
        try:
            return json.loads(attempt, object_pairs_hook=first_wins)
        except (ValueError, RecursionError):
            continue
    return BROKEN


# A text as it is, or a comma between a value and the end of its object or list.
COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|(?<=[^\s{\[,])\s*,(\s*[}\]])')


def first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def scrub(value: Any) -> Any:
    """Half a surrogate pair is no character: U+FFFD in its place."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [scrub(item) for item in value]
    if isinstance(value, dict):
        return {scrub(key): scrub(item) for key, item in value.items()}
    return value


_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?:([Zz])|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)


def parse_time(text: str) -> datetime | None:
    """§1.4, suggested replacement: RFC 3339, any offset or none, to naive UTC microseconds."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    fraction = int((match[7] or "").ljust(6, "0")[:6])
    zone: timezone = UTC
    try:
        if match[9]:
            if int(match[11]) > 59:
                return None
            offset = timedelta(hours=int(match[10]), minutes=int(match[11]))
            zone = timezone(offset if match[9] == "+" else -offset)
        local = datetime(*(int(match[n]) for n in range(1, 7)), fraction, tzinfo=zone)
        return local.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def row_of(event: Mapping[str, Any], time: datetime, bus: bool) -> Row:
    context = event.get("context")
    fields = context if isinstance(context, dict) else {}
    texts = {name: event.get(name) for name in TEXTS}
    if bus:  # a rule of Studium's own: what left the LMS over its event bus
        for name in TEXTS:
            if texts[name] is None and name not in ("name", "event_type"):
                texts[name] = fields.get(name)
        if texts["event_type"] is None:
            texts["event_type"] = event.get("name")
    form, payload, data = parse_payload(
        event.get("data") if event.get("event") is None else event["event"]
    )
    key, source = course_of(fields.get("course_id"), texts)
    module = member(fields, "module")
    given = parse_course_key(data.get("course_id"))
    return {
        "day": time.date(),
        "time": time,
        **{name: as_text(value) for name, value in texts.items()},
        "context": None if context is None else Json(context),
        "payload": payload,
        "payload_form": form,
        "course_id": key.text if key else None,
        "course_id_source": source,
        "org_id": key.org if key else None,
        "user_id": user_id(fields.get("user_id")),
        "path": as_text(fields.get("path")),
        "module_id": as_text(module.get("usage_key")),
        "module_name": as_text(module.get("display_name")),
        "tags": tags_of(fields),
        "event_course_id": given.text if given else None,
        "event_user_id": user_id(data.get("user_id")),
        "mode": as_text(data.get("mode")),
        "problem_id": scalar(data.get("problem_id")),
        "success": as_text(data.get("success")),
        "attempts": count(data.get("attempts")),
        "grade": number(data.get("grade")),
        "max_grade": number(data.get("max_grade")),
        "topic_id": scalar(data.get("commentable_id")),
        "vote_value": as_text(data.get("vote_value")),
        "undo_vote": flag(data.get("undo_vote")),
        "target_username": as_text(data.get("target_username")),
        **video(texts["event_type"], form, data),
    }


def member(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def parse_payload(event: object) -> tuple[str, object, dict[str, Any]]:
    """§1.7: form, text that is kept, and the object (empty if there is none)."""
    if event is None:
        return "none", None, {}
    if isinstance(event, dict):
        return "object", Json(event), event
    if isinstance(event, list):
        return "list", Json(event), {}
    if not isinstance(event, str):
        return "other", Json(event), {}
    if event == "":
        return "empty", "", {}
    if len(event) == 512 and "POST" in event:
        return "truncated", event, {}
    if "{" not in event and "=" in event:
        return "form", event, {}
    value = decode(event)
    if isinstance(value, dict):
        return "json", event, value
    return "text", event, {}


def course_of(given: object, texts: Mapping[str, Any]) -> tuple[CourseKey | None, str | None]:
    """§0.5 of the answers spec: the context's, else one from the URL, and which of them."""
    if given is not None and not (isinstance(given, str) and not given.strip()):
        key = parse_course_key(given if isinstance(given, str) else None)
        return key, "context" if key else None
    url = {"server": texts["event_type"], "browser": texts["page"]}.get(
        texts["event_source"] if isinstance(texts["event_source"], str) else ""
    )
    key = key_in_url(url) if isinstance(url, str) else None
    return key, "url" if key else None


def key_in_url(url: str) -> CourseKey | None:
    block = re.search(r"/xblock/([^/+?#]+[/+][^/+?#]+[/+][^/?#]+)", url)
    if block:
        usage = re.fullmatch(r"(ccx-)?block-v1:(.+?)\+type@[\w\-~.:]+\+block@[\w\-~.:%]+", block[1])
        return parse_course_key(f"{usage[1] or 'course-'}v1:{usage[2]}") if usage else None
    for found in re.finditer(r"/courses/(?!v[0-9]+/)", url):
        parts = re.match(r"[^/+]+[/+][^/+]+[/+][^/?]+", url[found.end() :])
        if parts:
            return None if parts[0] != parts[0].strip() else parse_course_key(parts[0])
    return None


def user_id(value: object) -> int | None:
    """An integer ≥ 1, as a number or as a text (§2.2, §3.2 of the enrollment spec)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = value.strip() if isinstance(value, str) else repr(value)
    match = re.fullmatch(r"([0-9]{1,18})(\.0+)?", text)
    return (int(match[1]) or None) if match else None


def tags_of(fields: Mapping[str, Any]) -> Json | None:
    tags = member(member(fields, "asides"), "tagging_aside").get("saved_tags")
    return None if tags is None else Json(tags)


def count(value: object) -> int | None:
    text = value if isinstance(value, str) else repr(value)
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def as_text(value: object) -> object:
    return value if value is None or isinstance(value, str) else Json(value)


def scalar(value: object) -> object:
    return None if isinstance(value, dict | list) else as_text(value)


def video(event_type: object, form: str, data: Mapping[str, Any]) -> Row:
    """§2.1 of the answers spec."""
    given, code = data.get("id"), data.get("code")
    at = position(data.get("currentTime"))
    if event_type == "pause_video" and form in ("object", "json", "empty"):
        at = at if "currentTime" in data else 0.0
    duration = number(data.get("duration"))
    return {
        "video_id": (given.strip() or None) if isinstance(given, str) else None,
        "video_code": code if isinstance(code, str) else None,
        "position": at,
        "seek_from": position(data.get("old_time")),
        "seek_to": position(data.get("new_time")),
        "duration": duration if duration is not None and duration > 0 else None,
    }


def position(value: object) -> float | None:
    if not isinstance(value, bool | int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= 36000 else None


# Answers


def answers(row: Row) -> Iterator[Row]:
    """§3.1, §3.3: one row per part of a server ``problem_check``; JSON stays JSON."""
    data = payload_of(row)
    if (row["event_type"], row["event_source"]) != ("problem_check", "server"):
        return
    answered, submission = member(data, "answers"), member(data, "submission")
    if "submission" in data and not submission:
        return
    own = row["course_id_source"] == "context"
    for part in {**answered, **submission}:
        given = member(submission, part)
        graded = member(member(data, "correct_map"), part)
        yield {
            "day": row["day"],
            "time": row["time"],
            "course_id": row["course_id"] if own else None,
            "org_id": row["org_id"] if own else None,
            "problem_name": row["module_name"],
            "part_id": part,
            "in_answers": part in answered,
            "in_submission": part in submission,
            "value": Json(answered[part]) if part in answered else None,
            "answer": Json(given["answer"]) if "answer" in given else None,
            "question": Json(given["question"]) if "question" in given else None,
            "response_type": as_text(given.get("response_type")),
            "input_type": as_text(given.get("input_type")),
            "variant": Json(given["variant"]) if "variant" in given else None,
            "group_label": as_text(given.get("group_label")),
            "correct": bool(given.get("correct")),
            "correctness": as_text(graded.get("correctness")),
            "seed": Json(member(data, "state")["seed"])
            if "seed" in member(data, "state")
            else None,
            **{
                name: row[name]
                for name in ("username", "user_id", "problem_id", "success", "attempts", "grade",
                             "max_grade")
            },
        }  # fmt: skip


def payload_of(row: Row) -> dict[str, Any]:
    payload = row["payload"]
    value = payload.value if isinstance(payload, Json) else decode(payload or "")
    return value if isinstance(value, dict) and row["payload_form"] in ("object", "json") else {}


# Comparing


def same(got: object, expected: object) -> bool:
    """Whether a value from the lake is the expected one."""
    if isinstance(expected, Json):
        if not isinstance(got, str):
            return False
        return equal(decode(got), expected.value)
    if isinstance(expected, float) or isinstance(got, float):
        return equal(got, expected)
    return type(got) is type(expected) and got == expected


def equal(a: Any, b: Any) -> bool:
    """Equality of JSON values; numbers by value, true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or (math.isnan(a) and math.isnan(b)) or float(a) == float(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return type(a) is type(b) and bool(a == b)
