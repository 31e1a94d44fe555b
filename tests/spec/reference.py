"""The enrollment rules again, row by row in plain Python, straight from the text of the spec.

Slow and obvious on purpose: it shares no idea with the SQL.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from tests.spec.rows import TYPES, Row

ACTIVATED, DEACTIVATED, MODE_CHANGED = TYPES["act"], TYPES["deact"], TYPES["mode"]
EDUCATION = {
    "el": "primary",
    "jhs": "junior_secondary",
    "hs": "secondary",
    "a": "associates",
    "b": "bachelors",
    "m": "masters",
    "p": "doctorate",
    "p_se": "doctorate",
    "p_oth": "doctorate",
    "none": "none",
    "other": "other",
}

Event = tuple[datetime, str, str]
Histories = Mapping[tuple[str, int], Iterable[Event]]


def daily_rows(events: Iterable[Event], until: date) -> list[Row]:
    """§2.4: the state machine over the sorted events of one learner in one course."""
    enrolled, previous = 0, 0
    rows: list[Row] = []
    ordered = sorted(events)
    for place, (time, kind, mode) in enumerate(ordered):
        if kind == ACTIVATED:
            enrolled = 1
        elif kind == DEACTIVATED:
            enrolled = 0
        following = ordered[place + 1][0].date() if place + 1 < len(ordered) else until
        day = time.date()
        if following == day:
            continue
        change = enrolled - previous
        while day < following:
            rows.append({"date": day, "at_end": enrolled, "change": change, "mode": mode})
            day, change = day + timedelta(1), 0
        previous = enrolled
    return rows


def summary_row(events: Iterable[Event], until: date) -> Row | None:
    """§2.5: the other state machine; None without an activation."""
    active = False
    row: Row | None = None
    for time, kind, mode in sorted(events):
        if kind == ACTIVATED and not active:
            active = True
            if row is None:
                row = {
                    "first_enrollment_mode": mode,
                    "first_enrollment_time": time,
                    "last_unenrollment_time": None,
                    "first_verified_enrollment_time": None,
                    "first_credit_enrollment_time": None,
                    "end_time": datetime.combine(until, datetime.min.time()),
                }
        elif kind == DEACTIVATED and active:
            active = False
            assert row is not None
            row["last_unenrollment_time"] = time
            continue
        elif not (kind == MODE_CHANGED and active):
            continue
        assert row is not None
        row["current_enrollment_mode"] = mode
        column = f"first_{mode}_enrollment_time"
        if mode in ("verified", "credit") and row[column] is None:
            row[column] = time
    if row is not None:
        row["current_enrollment_is_active"] = active
    return row


def all_tables(
    histories: Histories,
    profiles: Mapping[int, Row],
    grades: Iterable[Row],
    until: date,
) -> dict[str, list[Row]]:
    """Every table of the lens without a catalog, from all learners' histories."""
    daily = [
        {"course_id": course, "user_id": user, **row}
        for (course, user), events in histories.items()
        for row in daily_rows(events, until)
    ]
    summaries = [
        {"course_id": course, "user_id": user, **row}
        for (course, user), events in histories.items()
        if (row := summary_row(events, until)) is not None
    ]
    for row in daily:
        profile = profiles.get(row["user_id"], {})
        row["gender"] = profile.get("gender") or None
        row["birth_year"] = profile.get("year_of_birth")
        row["education_level"] = EDUCATION.get(profile.get("level_of_education") or "")
    last = until - timedelta(1)
    modes = _counts(daily, ["date", "course_id", "mode"])
    passing = _passing(daily, grades)
    return {
        "enrollment_summary": summaries,
        "course_enrollment_daily": _counts(daily, ["course_id", "date"]),
        "course_enrollment_mode_daily": modes,
        "course_enrollment_gender_daily": _counts(daily, ["date", "course_id", "gender"]),
        "course_enrollment_birth_year_daily": [
            row
            for row in _counts(daily, ["date", "course_id", "birth_year"])
            if row["date"] == last
        ],
        "course_enrollment_education_level_daily": [
            row
            for row in _counts(daily, ["date", "course_id", "education_level"])
            if row["date"] == last
        ],
        "course_grade_by_mode": [
            {"course_id": course, "mode": mode, "passing_users": users}
            for (course, mode), users in passing.items()
        ],
        "course_meta_summary_enrollment": _meta_summary(modes, passing, last),
    }


def _counts(daily: Iterable[Row], by: list[str]) -> list[Row]:
    """§2.6: sums and numbers of daily rows, grouped."""

    def key(row: Row) -> tuple[Any, ...]:
        return tuple((row[name] is not None, row[name]) for name in by)

    def sort_key(row: Row) -> tuple[str, ...]:
        return tuple(str(cell) for cell in key(row))

    found = []
    for _, members in groupby(sorted(daily, key=sort_key), key=key):
        rows = list(members)
        group = {name: rows[0][name] for name in by}
        count = sum(row["at_end"] for row in rows)
        found.append({**group, "count": count, "cumulative_count": len(rows)})
    return found


def _passing(daily: Iterable[Row], grades: Iterable[Row]) -> Counter[tuple[str, str]]:
    """§2.8: who passed, in the mode of the last daily row up to the grade."""
    rows = list(daily)
    passing: Counter[tuple[str, str]] = Counter()
    for row in rows:
        passing[row["course_id"], row["mode"]] += 0
    for grade in grades:
        if grade["passed_timestamp"] is None or not grade["letter_grade"]:
            continue
        earlier = [
            row
            for row in rows
            if (row["course_id"], row["user_id"]) == (grade["course_id"], grade["user_id"])
            and row["date"] <= grade["modified"].date()
        ]
        if earlier:
            latest = max(earlier, key=lambda row: row["date"])
            passing[latest["course_id"], latest["mode"]] += 1
    return passing


def _meta_summary(
    modes: Iterable[Row], passing: Mapping[tuple[str, str], int], last: date
) -> list[Row]:
    """§2.9 without a catalog."""
    lines = list(modes)
    week_ago = {
        (row["course_id"], row["mode"]): row["count"]
        for row in lines
        if row["date"] == last - timedelta(7)
    }
    return [
        {
            "course_id": row["course_id"],
            "catalog_course_title": None,
            "catalog_course": None,
            "start_time": None,
            "end_time": None,
            "pacing_type": None,
            "availability": None,
            "enrollment_mode": row["mode"],
            "count": row["count"],
            "count_change_7_days": row["count"] - week_ago.get((row["course_id"], row["mode"]), 0),
            "cumulative_count": row["cumulative_count"],
            "passing_users": passing[row["course_id"], row["mode"]],
        }
        for row in lines
        if row["date"] == last
    ]
