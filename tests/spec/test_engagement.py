"""The engagement lens does what `specs/edx-activity-video-answers` §0, §1, §6 and §8 say.

Every case is logged, ingested and built: from lines to rows, on each engine.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.engines import Engine, Relation
from studium.errors import StudiumError
from studium.lenses.engagement.windows import whole_months, whole_weeks
from studium.settings import load_settings
from tests.engines import shared_engine
from tests.spec.lines import NOON, START, UNTIL, Event, event, ingest, rows_by
from tests.spec.rows import ordered
from tests.spec.slice import Slice, build

BLOCK = "https://lms/xblock/block-v1:S10+B+C+type@vertical+block@z?view"
FORUM = "edx.forum.{}.created"


@dataclass(frozen=True)
class Case:
    """Events of one course → the labels of its learner on the day, with their counts."""

    rule: str
    events: tuple[Event | str, ...]
    expect: str = ""
    course: str = ""

    @property
    def course_id(self) -> str:
        return self.course or f"course-v1:{self.rule}+B+C"


def case(rule: str, expect: str, *kinds: str, course: str = "", **changes: Any) -> Case:
    """One event of each kind, with the same changes."""
    name = course or f"course-v1:{rule}+B+C"
    return Case(rule, tuple(event(kind, 1, name, **changes) for kind in kinds), expect, course)


def bare(rule: str, expect: str, course: str, **changes: Any) -> Case:
    """An event without a course in its context."""
    made = event("page_close", 1, "", event_source="browser")
    made["username"] = rule
    made |= changes
    return Case(rule, (made,), expect, course)


CASES = [
    Case("S1", ("this is garbage",), ""),
    Case(
        "S2",
        ("Dec 17 host tracking: " + json.dumps(event("x", 1, "course-v1:S2+B+C")),),
        "ACTIVE 1",
    ),
    Case("S3", ("[1, 2]", "7")),
    *(
        case(f"S4{place}", "", "page_close", time=time)
        for place, time in enumerate(["", "nonsense", 12, [3]])
    ),
    Case(
        "S5",
        (
            event("x", 1, "course-v1:S5+B+C", time=f"{START}T00:00:00+00:00"),
            event("x", 1, "course-v1:S5+B+C", time=f"{UNTIL}T00:00:00+00:00"),
        ),
        "ACTIVE 1",
    ),
    Case("S6", (event("x", 1, None, context=None), event("x", 1, ";;;;bad/id/val"))),
    Case("S7", (event("x", 1, "course-v1:S7+B+C\n"),), "ACTIVE 1"),
    Case(
        "S8",
        (
            event(
                "x", 1, ";;bad", event_source="browser",
                page="https://lms/courses/course-v1:S8+B+C/about",
            ),
        ),
    ),
    bare("S9", "ACTIVE 1", "course-v1:S9+B+C", page="https://lms/courses/course-v1:S9+B+C/about"),
    bare("S10", "ACTIVE 1", "course-v1:S10+B+C", page=BLOCK),
    bare("S11", "", "course-v1:S11+B+C", page="https://lms/xblock/block-v1:S11+B+C?view"),
    bare(
        "S12", "", "course-v1:S12+B+C",
        event_source="mobile", page="https://lms/courses/course-v1:S12+B+C/about",
    ),
    case("S13", "ACTIVE 1", "x", course="Örg/Coursé/字"),
    case("A1", "ACTIVE 3", "x", "/dashboard", "edx.grades.problem.submitted"),
    case("A2-browser", "ACTIVE 1, PLAYED_VIDEO 1", "play_video", event_source="browser"),
    case("A2-mobile", "ACTIVE 1, PLAYED_VIDEO 1", "play_video", event_source="mobile"),
    case("A3", "ACTIVE 1, ATTEMPTED_PROBLEM 1", "problem_check"),
    case("A4-check", "ACTIVE 1", "problem_check", event_source="browser"),
    case("A4-play", "ACTIVE 1", "play_video"),
    case("A4-forum", "ACTIVE 1", FORUM.format("thread"), event_source="browser"),
    case("A4-raw", "ACTIVE 1", "edx.video.played", event_source="mobile"),
    case(
        "A5", "ACTIVE 3, POSTED_FORUM 3", *map(FORUM.format, ["thread", "response", "comment"]),
    ),
    case("A6", "ACTIVE 2", "edx.forum.thread.voted", "edx.forum.searched"),
    case("A7", "", "problem_check", "x", event_source="task"),
    *(
        case(
            f"A8-{source}", "",
            *(
                f"edx.course.enrollment.{kind}"
                for kind in (
                    "activated", "deactivated", "mode_changed", "upgrade.clicked",
                    "upgrade.succeeded", "reverify.started", "reverify.submitted",
                )
            ),
            event_source=source,
        )
        for source in ("server", "browser", "mobile")
    ),
    Case(
        "A9",
        (event("/courses/course-v1:A9+B+C/about", 1, ""),),
        "ACTIVE 1",
    ),
    Case(
        "A10",
        tuple(event("x", user, "course-v1:A10+B+C") for user in (0, "", None, "x", -1)),
    ),
    Case(
        "A11",
        (event("x", 1, "course-v1:A11+B+C"), event("x", "1", "course-v1:A11+B+C", host="b")),
        "ACTIVE 2",
    ),
    case(
        "A12", "ACTIVE 2, PLAYED_VIDEO 2", "play_video", "play_video", event_source="browser",
    ),
    case("no-source", "ACTIVE 1", "x", event_source=None),
    Case("no-type", (event("x", 1, "course-v1:no-type+B+C", event_type=None),)),
]  # fmt: skip
# A12 wants two events, not one event twice: the second is a second later.
_twice = next(one for one in CASES if one.rule == "A12")
_twice.events[1]["time"] = (NOON + timedelta(seconds=1)).isoformat()  # type: ignore[index]


@pytest.fixture(scope="session")
def engagement_events(tmp_path_factory: pytest.TempPathFactory) -> Relation:
    lines = [line for one in CASES for line in one.events]
    return ingest(tmp_path_factory.mktemp("engagement"), lines)


@pytest.fixture(scope="session")
def engagement(
    engine: Engine, engagement_events: Relation, tmp_path_factory: pytest.TempPathFactory
) -> Slice:
    folder = tmp_path_factory.mktemp(f"engagement-{engine.name}")
    return build(engine, folder, "engagement", {}, START, UNTIL, events=engagement_events)


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.rule)
def test_rule(engagement: Slice, one: Case) -> None:
    # Only the days asked for are ever built.
    facts = [row for row in engagement.rows["user_activity_by_user"] if row["day"] < UNTIL]
    found = rows_by(facts, one.course_id, "label", "count")
    assert ", ".join(f"{label} {count}" for label, count in found) == one.expect
    days = rows_by(engagement.rows["course_activity_daily"], one.course_id, "label", "count")
    labels = [label for label, _ in found]
    assert days == [(label, 1) for label in labels]
    # A12: however many events, one learner. A15, A17: whole weeks, and only labels with learners.
    weeks = rows_by(
        engagement.rows["course_activity"], one.course_id, "label", "count", "interval_start"
    )
    monday = datetime(2021, 2, 22) if one.rule == "S5" else datetime(2021, 3, 1)
    assert weeks == [(label, 1, monday) for label in labels]


def test_nothing_but_the_cases_is_there(engagement: Slice) -> None:
    courses = {one.course_id for one in CASES if one.expect}
    for name, rows in engagement.rows.items():
        assert {row.get("course_id", "calendar") for row in rows} <= courses | {"calendar"}, name


@pytest.mark.parametrize(
    ("until", "weeks", "since", "end"),
    [  # A14, A15
        (date(2014, 1, 1), 1, date(2013, 12, 23), date(2013, 12, 30)),
        (date(2014, 1, 6), 2, date(2013, 12, 23), date(2014, 1, 6)),
        (date(2012, 2, 29), 52, date(2011, 2, 28), date(2012, 2, 27)),
    ],
)
def test_weeks(until: date, weeks: int, since: date, end: date) -> None:
    window = whole_weeks(until, weeks)
    assert (window.since, window.until) == (since, end)


@pytest.mark.parametrize(
    ("until", "months", "since", "end"),
    [  # §1.6
        (date(2014, 1, 31), 1, date(2013, 12, 1), date(2014, 1, 1)),
        (date(2012, 2, 29), 12, date(2011, 2, 1), date(2012, 2, 1)),
    ],
)
def test_months(until: date, months: int, since: date, end: date) -> None:
    window = whole_months(until, months)
    assert (window.since, window.until) == (since, end)


@pytest.mark.parametrize("key", ["engagement.weeks", "engagement.months"])
def test_no_weeks_is_an_error(tmp_path: Path, key: str) -> None:
    # A13
    (tmp_path / "studium.toml").write_text("")
    with pytest.raises(StudiumError, match=f"{key}.*1 or more"):
        load_settings(tmp_path, {key: 0})


# The acceptance log, §8; it is no file of ours.

LOG = "edx-logs/user_activity_tracking.log"
NEW, OLD = "course-v1:edX+DemoX+Test_2014", "edX/Open_DemoX/edx_demo_course"


def test_acceptance_log(engine: Engine, shared: Path, tmp_path: Path) -> None:
    lines = (shared / LOG).read_text("utf-8").splitlines()
    events = _ingest_2014(tmp_path, lines)
    until = date(2014, 7, 1)
    run = build(engine, tmp_path / "lens", "engagement", {}, date(2014, 5, 1), until, events=events)
    facts = {
        (row["course_id"], str(row["day"]), row["user_id"], row["label"]): row["count"]
        for row in run.rows["user_activity_by_user"]
    }
    active, tried, played = "ACTIVE", "ATTEMPTED_PROBLEM", "PLAYED_VIDEO"
    expected = {
        (NEW, "2014-05-25", 10003): (1, 0, 1),
        (NEW, "2014-06-19", 4): (36, 4, 1),
        (NEW, "2014-06-19", 10002): (1, 0, 1),
        (NEW, "2014-06-19", 10003): (1, 0, 1),
        (NEW, "2014-06-19", 10004): (1, 0, 0),
        (OLD, "2014-06-12", 4): (1, 0, 1),
        (OLD, "2014-06-19", 4): (140, 4, 5),
        (OLD, "2014-06-19", 5): (2, 1, 1),
        (OLD, "2014-06-19", 6): (1, 0, 1),
        (OLD, "2014-06-19", 7): (1, 0, 0),
    }
    assert facts == {
        (*key, label): count
        for key, counts in expected.items()
        for label, count in zip((active, tried, played), counts, strict=True)
        if count
    }
    weeks = {
        (row["course_id"], f"{row['interval_start']:%m-%d}", row["label"]): row["count"]
        for row in run.rows["course_activity"]
    }
    assert weeks == {
        (NEW, "05-19", active): 1, (NEW, "05-19", played): 1,
        (NEW, "06-16", active): 4, (NEW, "06-16", tried): 1, (NEW, "06-16", played): 3,
        (OLD, "06-09", active): 1, (OLD, "06-09", played): 1,
        (OLD, "06-16", active): 4, (OLD, "06-16", tried): 2, (OLD, "06-16", played): 3,
    }  # fmt: skip
    months = {
        (row["course_id"], row["month"], row["label"]): row["count"]
        for row in run.rows["course_activity_monthly"]
    }
    assert months == {
        (NEW, 5, active): 1, (NEW, 5, played): 1,
        (NEW, 6, active): 4, (NEW, 6, tried): 1, (NEW, 6, played): 3,
        (OLD, 6, active): 4, (OLD, 6, tried): 2, (OLD, 6, played): 3,
    }  # fmt: skip


def _ingest_2014(folder: Path, lines: list[str]) -> Relation:
    return ingest(folder, lines, start=date(2014, 5, 1), until=date(2014, 7, 1))


# Row by row, straight from the text of the spec


def reference(rows: list[dict[str, Any]], until: date) -> dict[str, list[dict[str, Any]]]:
    """§1.1, §1.2, §1.4, §1.6 over rows of ``events``."""
    facts: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        source, kind = row.get("event_source"), row.get("event_type")
        if row.get("user_id") is None or row.get("course_id") is None or kind is None:
            continue
        if source == "task" or kind.startswith("edx.course.enrollment."):
            continue
        labels = ["ACTIVE"]
        if source == "server" and kind == "problem_check":
            labels.append("ATTEMPTED_PROBLEM")
        if source == "server" and kind.startswith("edx.forum.") and kind.endswith(".created"):
            labels.append("POSTED_FORUM")
        if source in ("browser", "mobile") and kind == "play_video":
            labels.append("PLAYED_VIDEO")
        for label in labels:
            facts[row["day"], row["course_id"], row["user_id"], label] += 1
    daily: dict[tuple[Any, ...], set[int]] = {}
    weekly: dict[tuple[Any, ...], set[int]] = {}
    monthly: dict[tuple[Any, ...], set[int]] = {}
    for day, course, user, label in facts:
        daily.setdefault((day, course, label), set()).add(user)
        monday = day - timedelta(day.weekday())
        if monday + timedelta(7) <= until:
            weekly.setdefault((course, monday, label), set()).add(user)
        if (day.year, day.month) < (until.year, until.month):
            monthly.setdefault((course, day.year, day.month, label), set()).add(user)
    return {
        "user_activity_by_user": [
            dict(zip(("day", "course_id", "user_id", "label"), key, strict=True)) | {"count": count}
            for key, count in facts.items()
        ],
        "course_activity_daily": [
            {"date": day, "course_id": course, "label": label, "count": len(users)}
            for (day, course, label), users in daily.items()
        ],
        "course_activity": [
            {
                "course_id": course,
                "interval_start": datetime.combine(monday, datetime.min.time()),
                "interval_end": datetime.combine(monday + timedelta(7), datetime.min.time()),
                "label": label,
                "count": len(users),
            }
            for (course, monday, label), users in weekly.items()
        ],
        "course_activity_monthly": [
            {"course_id": course, "year": year, "month": month, "label": label, "count": len(users)}
            for (course, year, month, label), users in monthly.items()
        ],
    }


KINDS = [
    None, "play_video", "problem_check", "edx.forum.thread.created", "edx.forum.thread.voted",
    "edx.forum.", "edx.forumx.created", "edxXforum.thread.created", "edx.course.enrollment",
    "edx.course.enrollment.activated", "/courses/a", "😀", "",
]  # fmt: skip
rows_of_events = st.fixed_dictionaries(
    {
        "day": st.sampled_from([date(2021, 2, 28), date(2021, 3, 1), date(2021, 3, 7),
                                date(2021, 3, 8), date(2021, 3, 21), date(2020, 12, 31)]),
        "event_type": st.sampled_from(KINDS),
        "event_source": st.sampled_from([None, "server", "browser", "mobile", "task", "שרת"]),
        "course_id": st.sampled_from([None, "course-v1:A+B+C", "A/B/C", "Örg/דרך/字"]),
        "user_id": st.sampled_from([None, 1, 2, 3, 2**40]),
    }
)  # fmt: skip


def check(engine: Engine, folder: Path, rows: list[dict[str, Any]]) -> None:
    start = date(2020, 12, 1)
    run = build(engine, folder, "engagement", {"events": rows}, start, UNTIL)
    for name, expected in reference(rows, UNTIL).items():
        assert ordered(run.rows[name]) == ordered(expected), name


@given(rows=st.lists(rows_of_events, max_size=40))
def test_equals_the_reference(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    check(shared_engine("duckdb"), tmp_path_factory.mktemp("activity"), rows)


@pytest.mark.long
def test_equals_the_reference_on_many_rows(engine: Engine, tmp_path: Path) -> None:
    chance = random.Random(20210303)
    rows = [
        {
            "day": START + timedelta(chance.randrange(28)),
            "event_type": chance.choice(KINDS),
            "event_source": chance.choice([None, "server", "browser", "mobile", "task"]),
            "course_id": chance.choice([None, "course-v1:A+B+C", "A/B/C", "Örg/דרך/字"]),
            "user_id": chance.choice([None, *range(1, 40)]),
        }
        for _ in range(4000)
    ]
    check(engine, tmp_path, rows)
