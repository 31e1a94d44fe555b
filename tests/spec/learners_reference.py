"""The learners rules again, row by row in plain Python, straight from the text of the spec.

`specs/edx-learners-api-insights` §1.2 to §1.8, with the better rules of its §6.1 (1, 2, 3, 6, 10).
Numbers are fractions and infinity is a value, as in the text. Slow and obvious on purpose: it
shares no idea with the SQL.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from math import floor, inf
from typing import Any

from tests.spec.rows import Row

Number = Fraction | float

METRICS = (
    "problem_attempts",
    "problems_attempted",
    "problems_completed",
    "problem_attempts_per_completed",
    "videos_viewed",
    "discussion_contributions",
)
RATIO = "problem_attempts_per_completed"
MUCH = ("problems_attempted", "problems_completed", "videos_viewed", "discussion_contributions")
WEEK = timedelta(7)
_FRACTIONS = ("low_value", "high_value", "retention")


def engagement(events: Iterable[Mapping[str, Any]], anonymous: str = "") -> list[Row]:
    """§1.3 over rows of ``events``."""
    counts: Counter[tuple[Any, ...]] = Counter()
    users: dict[tuple[Any, ...], set[int]] = defaultdict(set)
    for row in events:
        logged = (row.get("username") or "").strip()
        name = logged or anonymous
        kind = row.get("event_type") or ""
        if not name or len(name) > 150 or name.startswith("retired__user_"):
            continue
        if kind == "problem_check" and row.get("event_source") == "server":
            entity, done = ("problem", row.get("problem_id")), ["attempted"]
            if (row.get("success") or "").lower() == "correct":
                done.append("completed")
        elif kind == "play_video":
            entity, done = ("video", row.get("video_id")), ["viewed"]
        elif kind.startswith("edx.forum.") and kind.endswith(".created"):
            entity, done = ("discussion", row.get("topic_id")), ["contributed"]
        else:
            continue
        if not entity[1] or row.get("course_id") is None:
            continue
        place = (row["day"], row["course_id"], name, entity[0], entity[1][:255])
        for one in done:
            counts[*place, one] += 1
        if logged and row.get("user_id") is not None:
            users[place].add(row["user_id"])
    return [
        {
            "day": key[0], "date": key[0], "course_id": key[1], "username": key[2],
            "entity_type": key[3], "entity_id": key[4], "event": key[5], "count": count,
            "user_id": max(users[key[:5]], default=None),
        }
        for key, count in counts.items()
    ]  # fmt: skip


def timeline(rows: Iterable[Row]) -> list[Row]:
    """§2.5: learner, course, day → what they did."""
    days = _grouped(rows, "day", "course_id", "username")
    return [
        {
            "day": day, "date": day, "course_id": course, "username": name,
            "problems_attempted": len(_entities(done, "attempted")),
            "problems_completed": len(_entities(done, "completed")),
            "videos_viewed": len(_entities(done, "viewed")),
            "discussion_contributions": _posts(done), "user_id": _user(done),
        }
        for (day, course, name), done in days.items()
    ]  # fmt: skip


def summaries(rows: Sequence[Row], users: Iterable[Row], until: date) -> list[Row]:
    """§1.5, for the last two weeks and, of quiet courses, the last one with any activity."""
    current = {one["user_id"]: one["username"] for one in users}
    last: dict[int, tuple[date, str]] = {}
    for row in rows:
        if row["user_id"] not in (None, *current) and row["day"] < until:
            said = (row["day"], row["username"])
            last[row["user_id"]] = max(said, last.get(row["user_id"], said))
    current |= {user: name for user, (_, name) in last.items()}
    ends: dict[str, date] = {}
    placed = []
    for row in rows:
        name = current.get(row["user_id"], row["username"])
        if row["day"] >= until or name.startswith("retired__user_"):
            continue
        end = until
        while end - WEEK > row["day"]:
            end -= WEEK
        ends[row["course_id"]] = max(end, ends.get(row["course_id"], end))
        placed.append({**row, "end": end, "username": name})
    found = []
    for (course, name, end), done in _grouped(placed, "course_id", "username", "end").items():
        if end < until - WEEK and end != ends[course]:
            continue
        attempts = sum(one["count"] for one in done if one["event"] == "attempted")
        completed = len(_entities(done, "completed"))
        found.append(
            {
                "course_id": course, "username": name, "start_date": end - WEEK, "end_date": end,
                "user_id": _user(done),
                "problem_attempts": attempts,
                "problems_attempted": len(_entities(done, "attempted")),
                "problems_completed": completed,
                RATIO: Fraction(attempts, completed) if completed else inf,
                "videos_viewed": len(_entities(done, "viewed")),
                "discussion_contributions": _posts(done),
                "days_active": len({one["day"] for one in done}),
            }
        )  # fmt: skip
    return found


def percentile(values: Sequence[Number], percent: int) -> Number:
    """§1.6: linear between closest ranks; with an infinite neighbour that counts: infinite."""
    ordered = sorted(values)
    position = Fraction(percent, 100) * (len(ordered) - 1)
    here, rest = ordered[floor(position)], position - floor(position)
    if rest == 0:
        return here
    after = ordered[floor(position) + 1]
    return inf if inf in (here, after) else here + (after - here) * rest


def bounds(values: Sequence[Number], low: int, high: int) -> dict[str, tuple[Number, Number]]:
    """§1.6: low, normal and high."""
    if not values:
        return {"normal": (0, inf)}
    p_low, p_high = percentile(values, low), percentile(values, high)
    found: dict[str, tuple[Number, Number]] = {"low": (0, p_low)} if p_low > 0 else {}
    if p_low == p_high:
        return {**found, "normal": (p_low, inf)}
    return {**found, "normal": (p_low, p_high), "high": (p_high, inf)}


def ranges(weeks: Sequence[Row], low: int = 15, high: int = 85) -> list[Row]:
    """The table of §1.6, of each course's last week with activity."""
    found = []
    for (course,), rows in _grouped(weeks, "course_id").items():
        end = max(one["end_date"] for one in rows)
        for metric in METRICS:
            values = [
                one[metric]
                for one in rows
                if one["end_date"] == end and (metric != RATIO or one["problem_attempts"])
            ]
            for kind, (low_value, high_value) in bounds(values, low, high).items():
                found.append(
                    {
                        "course_id": course, "start_date": end - WEEK, "end_date": end,
                        "metric": metric, "range_type": kind, "low_value": low_value,
                        "high_value": high_value, "learners": len(values),
                    }
                )  # fmt: skip
    return found


def segments(weeks: Sequence[Row], found: Sequence[Row], until: date) -> list[Row]:
    """§1.7: who is highly engaged, and who struggles."""
    high = {
        (one["course_id"], one["metric"]): (one["low_value"], one["high_value"])
        for one in found
        if one["range_type"] == "high" and one["end_date"] == until
    }

    def within(row: Row, metric: str) -> bool:
        low, above = high.get((row["course_id"], metric), (inf, -inf))
        value = row[metric]
        return low <= value and (value < above or value == above == inf)

    given = []
    for row in (one for one in weeks if one["end_date"] == until):
        key = {name: row[name] for name in ("course_id", "username", "start_date", "end_date")}
        if much := [metric for metric in MUCH if within(row, metric)]:
            given.append({**key, "segment": "highly_engaged", "reason": ",".join(much)})
        if within(row, RATIO):
            given.append({**key, "segment": "struggling", "reason": RATIO})
    return given


def learners(
    changes: Sequence[Row], tables: Mapping[str, Sequence[Row]], weeks: Sequence[Row],
    given: Sequence[Row], until: date,
) -> list[Row]:  # fmt: skip
    """§1.7, §1.8 without names: everybody with a row in ``changes`` who has not been retired."""
    users = {one["user_id"]: one["username"] for one in tables["auth_user"]}
    groups = {one["group_id"]: one for one in tables["course_groups_courseusergroup"]}
    found = []
    for (course, user), rows in _grouped(changes, "course_id", "user_id").items():
        name = users.get(user) or max(
            (one["username"] for one in weeks if one["user_id"] == user), default=None
        )
        if (name or "").startswith("retired__user_"):
            continue
        last = max(rows, key=lambda row: row["date"])
        cohorts = [
            groups[one["group_id"]]["name"]
            for one in tables["course_groups_courseusergroup_users"]
            if one["user_id"] == user and one["group_id"] in groups
            and groups[one["group_id"]]["course_id"] == course
            and groups[one["group_id"]]["group_type"] in (None, "cohort")
        ]  # fmt: skip
        now, before = (
            next(
                (one for one in weeks
                 if (one["course_id"], one["username"], one["end_date"]) == (course, name, end)),
                dict.fromkeys((*METRICS, "days_active"), 0) | {RATIO: inf},
            )
            for end in (until, until - WEEK)
        )  # fmt: skip
        mine = {
            one["segment"]: one["reason"]
            for one in given
            if (one["course_id"], one["username"]) == (course, name)
        }
        has = [
            *(["unenrolled"] if not last["at_end"] else []),
            *(["inactive"] if not now["days_active"] and not before["days_active"] else []),
            *(["disengaging"] if not now["days_active"] and before["days_active"] else []),
            *sorted(mine),
        ]
        numbers = (*METRICS, "days_active")
        found.append(
            {
                "course_id": course, "user_id": user, "username": name,
                "start_date": until - WEEK, "end_date": until, "enrollment_mode": last["mode"],
                "enrollment_date": min((r["date"] for r in rows if r["at_end"]), default=None),
                "cohort": min(cohorts, default=None),
                **{one: now[one] for one in numbers},
                "attempt_ratio_order": now["problem_attempts"] * (-1 if now[RATIO] == inf else 1),
                **{f"previous_{one}": before[one] for one in numbers},
                "segments": ",".join(has), "reasons": mine.get("highly_engaged", ""),
            }
        )  # fmt: skip
    return found


def roster(found: Sequence[Row], tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    """§1.8: those with a profile, and their names."""
    by_user = {
        name: {one["user_id"]: one for one in tables[name]}
        for name in (
            "auth_user",
            "auth_userprofile",
            "auth_userprofile_contact",
            "auth_user_contact",
        )
    }
    rows = []
    for one in found:
        user = one["user_id"]
        if user not in by_user["auth_userprofile"] or user not in by_user["auth_user"]:
            continue
        told = {name: rows.get(user, {}) for name, rows in by_user.items()}
        rows.append(
            one
            | {"email": told["auth_user_contact"].get("email")}
            | {
                name: told["auth_userprofile"].get(name)
                for name in ("gender", "year_of_birth", "level_of_education")
            }
            | {
                name: told["auth_userprofile_contact"].get(name)
                for name in ("name", "language", "city", "country")
            }
        )
    return rows


def retention(changes: Iterable[Row], activity: Iterable[Row], until: date) -> list[Row]:
    """Cohorts by ISO week of the first day at whose end they were enrolled; whole weeks only."""
    last_monday = _monday(until) - WEEK
    first: dict[tuple[str, int], date] = {}
    for row in changes:
        if row["at_end"]:
            key = (row["course_id"], row["user_id"])
            first[key] = min(row["date"], first.get(key, row["date"]))
    seen: dict[tuple[str, int], set[date]] = defaultdict(set)
    for row in activity:
        seen[row["course_id"], row["user_id"]].add(_monday(row["day"]))
    cohorts: dict[tuple[str, date], list[set[date]]] = defaultdict(list)
    for (course, user), day in first.items():
        if _monday(day) <= last_monday:
            weeks = {w for w in seen[course, user] if _monday(day) <= w <= last_monday}
            cohorts[course, _monday(day)].append(weeks)
    found = []
    for (course, monday), people in cohorts.items():
        end = max((week for weeks in people for week in weeks), default=monday)
        for n in range((end - monday).days // 7 + 1):
            week = monday + n * WEEK
            still = sum(any(one >= week for one in weeks) for weeks in people)
            found.append(
                {
                    "course_id": course, "cohort_start": monday, "week": n,
                    "learners": len(people), "active": sum(week in weeks for weeks in people),
                    "still_active": still, "retention": Fraction(still, len(people)),
                }
            )  # fmt: skip
    return found


def plain(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows as the tables have them: infinity is NULL, fractions are rounded."""
    return [{name: _plain(name, value) for name, value in row.items()} for row in rows]


def _plain(name: str, value: Any) -> Any:
    if value == inf:
        return None
    fraction = value is not None and (name in _FRACTIONS or name.endswith(RATIO))
    return round(float(value), 9) if fraction else value


def _grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in names)].append(row)
    return found


def _entities(rows: Iterable[Row], event: str) -> set[str]:
    return {row["entity_id"] for row in rows if row["event"] == event}


def _user(rows: Iterable[Row]) -> int | None:
    return max((user for row in rows if (user := row["user_id"]) is not None), default=None)


def _posts(rows: Iterable[Row]) -> int:
    return sum(row["count"] for row in rows if row["entity_type"] == "discussion")


def _monday(day: date) -> date:
    return day - timedelta(day.weekday())
