"""The lens equals a row-by-row implementation of the same rules, on random histories."""

import random
import tempfile
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.engines import Engine
from tests.engines import shared_engine
from tests.spec.reference import ACTIVATED, DEACTIVATED, MODE_CHANGED, Event, Histories, all_tables
from tests.spec.rows import Row, ordered
from tests.spec.slice import build

START, UNTIL = date(2021, 3, 1), date(2021, 3, 12)
COURSES = ["course-v1:A+B+C", "A/B/C"]
KINDS = [ACTIVATED, DEACTIVATED, MODE_CHANGED]
MODES = ["audit", "verified", "credit", ""]
FIRST = datetime(2021, 3, 1)
# Few instants, so that ties and days with several events are common; the ends of a day are among
# them, and both ends of the interval.
TIMES = [
    FIRST + timedelta(days=day, microseconds=microseconds)
    for day in (0, 1, 2, 4, 9, 10)
    for microseconds in (0, 1, 86_399_999_999)
]

events = st.tuples(st.sampled_from(TIMES), st.sampled_from(KINDS), st.sampled_from(MODES))
histories = st.dictionaries(
    st.tuples(st.sampled_from(COURSES), st.integers(1, 12)),
    st.lists(events, min_size=1, max_size=8),
    min_size=1,
    max_size=24,
)
profiles = st.dictionaries(
    st.integers(1, 12),
    st.fixed_dictionaries(
        {
            "gender": st.sampled_from([None, "", "f", "m", "o"]),
            "year_of_birth": st.sampled_from([None, 1970, 2000]),
            "level_of_education": st.sampled_from([None, "", "b", "p", "p_se", "none", "xyz"]),
        }
    ),
)
grades = st.dictionaries(
    st.tuples(st.sampled_from(COURSES), st.integers(1, 12)),
    st.fixed_dictionaries(
        {
            "letter_grade": st.sampled_from([None, "", "Pass", "C"]),
            "passed_timestamp": st.sampled_from([None, FIRST]),
            "modified": st.sampled_from([FIRST - timedelta(1), *TIMES, FIRST + timedelta(30)]),
        }
    ),
)


def assert_equal_to_reference(
    engine: Engine, history: Histories, profile: dict[int, Row], graded: dict[tuple[str, int], Row]
) -> None:
    profile_rows = [{"user_id": user, **row} for user, row in profile.items()]
    grade_rows = [{"course_id": c, "user_id": u, **row} for (c, u), row in graded.items()]
    inputs = {
        "events": shuffled_events(history),
        "auth_userprofile": profile_rows,
        "grades_persistentcoursegrade": grade_rows,
    }
    with tempfile.TemporaryDirectory() as folder:
        run = build(engine, Path(folder), "enrollment", inputs, START, UNTIL)
    for name, rows in all_tables(history, profile, grade_rows, UNTIL).items():
        assert ordered(run.rows[name]) == ordered(rows), name


def shuffled_events(history: Histories) -> list[Row]:
    rows = [event_row(course, user, e) for (course, user), es in history.items() for e in es]
    random.Random(len(rows)).shuffle(rows)
    return rows


def event_row(course: str, user: int, event: Event) -> Row:
    time, kind, mode = event
    return {
        "day": time.date(),
        "time": time,
        "event_type": kind,
        "payload_form": "object",
        "event_course_id": course,
        "event_user_id": user,
        "mode": mode,
    }


@given(history=histories, profile=profiles, graded=grades)
def test_small_histories(
    history: Histories, profile: dict[int, Row], graded: dict[tuple[str, int], Row]
) -> None:
    assert_equal_to_reference(shared_engine("duckdb"), history, profile, graded)


@pytest.mark.long
def test_many_learners(engine: Engine) -> None:
    chance = random.Random(20210301)

    def pick(values: Iterable[object]) -> object:
        return chance.choice(list(values))

    learners = range(1, 400)
    history: Histories = {
        (course, user): [
            (chance.choice(TIMES), chance.choice(KINDS), chance.choice(MODES))
            for _ in range(chance.randint(1, 9))
        ]
        for course in [*COURSES, "course-v1:Ä+é+字"]
        for user in learners
        if chance.random() < 0.8
    }
    profile = {
        user: {
            "gender": pick([None, "", "f", "m", "o"]),
            "year_of_birth": pick([None, *range(1960, 1970)]),
            "level_of_education": pick([None, "", "b", "p", "p_oth", "none", "?"]),
        }
        for user in learners
        if chance.random() < 0.9
    }
    graded = {
        key: {
            "letter_grade": pick(["", "Pass"]),
            "passed_timestamp": pick([None, FIRST]),
            "modified": pick(TIMES),
        }
        for key in history
        if chance.random() < 0.5
    }
    assert_equal_to_reference(engine, history, profile, graded)
