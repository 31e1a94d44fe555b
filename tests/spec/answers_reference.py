"""The rules of answers in plain Python, one learner and one part at a time, from rows of
``event_answers``: `specs/edx-activity-video-answers` §3.2 to §3.5, §4.1.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]

TYPES = {
    "choiceresponse", "optionresponse", "multiplechoiceresponse", "numericalresponse",
    "stringresponse", "formularesponse",
}  # fmt: skip
STRIPPED = {"<b>x</b>": "x", " x ": "x"}
"""What texts with markup say; all others that occur have neither markup nor white space."""


def distribution(rows: Iterable[Row]) -> list[Row]:
    """The rows of ``answer_distribution``."""
    first_and_last = defaultdict(list)
    for events in _learners(rows).values():
        for place, name in ((0, "first"), (-1, "last")):
            for answer in _parts(events[place]):
                key = (answer["course_id"], answer["part_id"])
                first_and_last[key].append({**answer, "which": name})
    found: list[Row] = []
    for (course, part), given in first_and_last.items():
        # Newest first; what is as old follows in an order of its own.
        given.sort(key=_order)
        given.sort(key=lambda one: one["time"], reverse=True)
        found += _of_part(course, part, given)
    return found


def _of_part(course: str, part: str, given: Sequence[Row]) -> list[Row]:
    typed = [one for one in given if one["response_type"]]
    if not typed or typed[0]["response_type"] not in TYPES:
        return []
    with_ids = bool(typed[0]["value_id"])
    groups: dict[tuple[str, str], list[Row]] = {}
    for one in given:
        text = one["value_id"] or one["answer"] or ""
        group = "1" if one["variant"] in (None, "") else str(one["variant"])
        groups.setdefault((text, group), []).append(one)
    made: dict[tuple[Any, ...], Row] = {}
    for members in groups.values():
        newest = members[0]
        answer = newest["answer"]
        if with_ids and newest["value_id"]:
            answer = newest["stripped"]
        elif not with_ids and newest["untold"]:
            answer = newest["value_id"]
        value = newest["value_id"] if with_ids else None
        variant = int(newest["variant"]) if newest["variant"] else None
        row = made.setdefault(
            (value, answer, variant),
            {
                "course_id": course, "module_id": given[0]["problem_id"], "part_id": part,
                "correct": newest["correct"], "value_id": value or None,
                "answer_value_text": answer or None, "variant": variant or None,
                "problem_display_name": given[0]["problem_name"],
                "question_text": newest["question"],
                "first_response_count": 0, "last_response_count": 0,
            },
        )  # fmt: skip
        for one in members:
            row[f"{one['which']}_response_count"] += 1
    return list(made.values())


def latest(rows: Iterable[Row]) -> list[Row]:
    """Learner, part, attempts, times and correctness of ``problem_response_latest``."""
    found = []
    for events in _learners(rows).values():
        if not events[-1][0]["username"].strip():
            continue
        correctness = {row["part_id"]: row["correctness"] for row in events[-1]}
        for answer in _parts(events[-1]):
            found.append(
                {
                    "course_id": answer["course_id"],
                    "problem_id": answer["problem_id"],
                    "username": events[-1][0]["username"],
                    "answer_id": answer["part_id"],
                    "total_attempts": len(events),
                    "first_attempt_date": events[0][0]["time"],
                    "last_attempt_date": events[-1][0]["time"],
                    "correct": {"correct": True, "incorrect": False}.get(
                        correctness[answer["part_id"]]
                    ),
                }
            )
    return found


def _learners(rows: Iterable[Row]) -> dict[tuple[str, str, str], list[list[Row]]]:
    """Course, problem, learner → submissions that count, oldest first, each a list of parts."""
    submissions = defaultdict(list)
    for row in rows:
        submissions[row["event_id"]].append(row)
    learners = defaultdict(list)
    for parts in submissions.values():
        one = parts[0]
        who = (one["course_id"], one["problem_id"], one["username"])
        sound = all(row["part_id"].isascii() and not set(row["part_id"]) & {"\t", "\n"}
                    for row in parts)  # fmt: skip
        if None not in who and sound and any(row["in_answers"] for row in parts):
            learners[who].append(parts)
    for events in learners.values():
        events.sort(key=lambda parts: (parts[0]["time"], parts[0]["event_id"]))
    return learners


def _parts(event: Sequence[Row]) -> list[Row]:
    typed = any(row["in_submission"] for row in event)
    found = []
    for row in event:
        if row["part_id"].endswith(("_dynamath", "_comment")) or len(row["part_id"]) > 255:
            continue
        if not (row["in_submission"] if typed else row["correctness"] is not None):
            continue
        answer, value = row["answer"] if typed else None, row["value"]
        raw = value is not None and (not typed or value != (answer or "null"))
        found.append(
            {
                **{name: row[name] for name in ("course_id", "problem_id", "part_id", "time")},
                "problem_name": row["problem_name"],
                "response_type": row["response_type"] if typed else None,
                "value_id": _text(value) if raw else None,
                "answer": _text(answer),
                "stripped": _text(answer, strip=True),
                "untold": answer is None,
                "question": _text(row["question"]) if typed else None,
                "variant": json.loads((row["variant"] if typed else row["seed"]) or "null"),
                "correct": row["correct"] if typed else row["correctness"] == "correct",
                "texts": (
                    value if raw else None, answer, row["question"] if typed else None,
                    row["variant"] if typed else row["seed"],
                ),
            }
        )  # fmt: skip
    return found


def _text(text: str | None, strip: bool = False) -> str | None:
    """A JSON text as it is compared; nothing and the empty text are None."""
    found = json.loads(text or "null")
    if isinstance(found, list):
        return f"[{'|'.join(_text(json.dumps(item), strip) or '' for item in found)}]"
    words = "" if found is None else str(found)
    return (STRIPPED.get(words, words) if strip else words.strip()) or None


def _order(one: Row) -> tuple[Any, ...]:
    """Of answers at the same instant the first in it is the newest."""
    kind = one["response_type"]
    return (
        kind is None, [-ord(c) for c in kind or ""] + [1],
        *((text is not None, text or "") for text in one["texts"]),
        not one["correct"], (one["problem_name"] is not None, one["problem_name"] or ""),
    )  # fmt: skip
