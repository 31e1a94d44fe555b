"""The learners lens does what `specs/edx-learners-api-insights` §1, §5 say.

Every case is logged, ingested and built: from lines to rows, on each engine. Engines are slow to
start a query, so all cases and a random crowd are one log and one build.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.engines import Engine, Relation
from studium.lenses import tables
from studium.lenses.learners.search import find_terms, split_text
from tests.engines import shared_engine
from tests.spec import learners_reference as reference
from tests.spec.learners import (
    COMPARED,
    COUNTED,
    LMS,
    ROSTER,
    STATES,
    SUMMED,
    UNTIL,
    Compared,
    Counted,
    Summed,
    check,
    course_of,
    enroll,
    play,
    post,
)
from tests.spec.lines import Event, ingest
from tests.spec.rows import Row, ordered
from tests.spec.slice import SOURCES, STORED, Slice, build, read, run, write_whole

NAMES = {table.name: table for table in tables("learners")}
OWN = [table for table in NAMES.values() if table.lens == "learners"]


def crowd() -> Iterable[Event]:
    """Some weeks of two courses at random."""
    chance = random.Random(20210308)
    for user in range(1, 40):
        name = f"random-{user % 2}"
        joined = datetime(2021, 2, 22) + timedelta(hours=chance.randrange(0, 300))
        yield enroll(name, user, joined)
        if chance.random() < 0.3:
            yield enroll(name, user, joined + timedelta(days=chance.randrange(3)), "deactivated")
        for _ in range(chance.choice([0, 2, 10, 30])):
            time = datetime(2021, 2, 22) + timedelta(hours=chance.randrange(0, 340))
            how: dict[str, Any] = {"time": time}
            if chance.random() < 0.1:
                how["username"] = chance.choice(["", f"old{user}", "retired__user_1", " x "])
            entity = f"e{chance.randrange(6)}"
            match chance.randrange(5):
                case 0:
                    yield play(name, user, entity, **how)
                case 1:
                    yield post(name, user, entity, **how)
                case _:
                    success = chance.choice(["correct", "incorrect", "Correct"])
                    yield check(name, user, entity, success=success, **how)


@pytest.fixture(scope="session")
def learners_events(tmp_path_factory: pytest.TempPathFactory) -> Relation:
    cases = [line for one in (*COUNTED, *SUMMED, *COMPARED) for line in one.events]
    # A course that is quiet in the last two weeks, and so keeps its ranges.
    quiet = [play("quiet", user, time=datetime(2021, 2, 20)) for user in (1, 2)]
    lines = [*cases, *ROSTER, *quiet, *crowd()]
    return ingest(tmp_path_factory.mktemp("learners"), lines, start=date(2021, 2, 1))


@pytest.fixture(scope="session")
def ground(learners_events: Relation, tmp_path_factory: pytest.TempPathFactory) -> Slice:
    """What the lens reads of other lenses, which have tests of their own, on one engine."""
    others = [name for name, table in NAMES.items() if table.lens != "learners"]
    return build(
        shared_engine("duckdb"), tmp_path_factory.mktemp("ground"), "learners", {},
        date(2021, 2, 1), UNTIL, only=others, events=learners_events,
    )  # fmt: skip


@pytest.fixture(scope="session")
def learners(
    engine: Engine, ground: Slice, learners_events: Relation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Slice:  # fmt: skip
    folder = tmp_path_factory.mktemp(f"learners-{engine.name}")
    made = {name: ground.relations[name] for name in ground.rows}
    users = [{"user_id": n, "username": f"u{n}"} for n in range(1, 30)]
    lms = {**LMS, "auth_user": [*LMS["auth_user"], *users]}
    lms["auth_userprofile"] = [*LMS["auth_userprofile"], *({"user_id": n} for n in range(1, 20))]
    start = date(2021, 2, 1)
    return build(engine, folder, "learners", lms, start, UNTIL, events=learners_events, made=made)


@pytest.mark.parametrize("one", COUNTED, ids=lambda one: one.rule)
def test_events_are_counted(learners: Slice, one: Counted) -> None:
    rows = [
        f"{row['username']} {row['entity_type']} {row['entity_id']} {row['event']} {row['count']}"
        for row in learners.of_course("module_engagement", one.course_id)
    ]
    assert ", ".join(sorted(rows)) == one.rows


@pytest.mark.parametrize("one", SUMMED, ids=lambda one: one.rule)
def test_a_week_is_summed(learners: Slice, one: Summed) -> None:
    weeks = learners.of_course("module_engagement_summary", course_of(one.rule))
    (row,) = [row for row in weeks if row["end_date"] == UNTIL]
    assert row["start_date"] == date(2021, 3, 1)
    names = (*reference.METRICS, "days_active")
    assert tuple(row[name] for name in names) == (
        one.attempts, one.attempted, one.completed, one.ratio, one.videos, one.posts, one.days,
    )  # fmt: skip


@pytest.mark.parametrize("one", COMPARED, ids=lambda one: one.rule)
def test_learners_are_compared(learners: Slice, one: Compared) -> None:
    rows = learners.of_course("module_engagement_metric_ranges", course_of(one.rule))
    found = {
        row["range_type"]: tuple(
            inf if row[bound] is None else row[bound] for bound in ("low_value", "high_value")
        )
        for row in rows
        if row["metric"] == one.metric
    }
    assert found == one.ranges
    assert {row["learners"] for row in rows if row["metric"] == one.metric} == {len(one.values)}
    given = learners.of_course("module_engagement_user_segments", course_of(one.rule))
    # Who has a ratio has completed problems, which others have not: that is another segment.
    kinds = {"struggling"} if one.metric == reference.RATIO else {"struggling", "highly_engaged"}
    found_segments = {int(row["username"][1:]): row["segment"] for row in given
                      if row["segment"] in kinds}  # fmt: skip
    assert found_segments == one.segments


@pytest.mark.parametrize("user", STATES)
def test_segments_of_a_learner(learners: Slice, user: int) -> None:
    rows = learners.of_course("course_learners", course_of("roster"))
    (row,) = [row for row in rows if row["user_id"] == user]
    names = ("enrollment_mode", "enrollment_date", "cohort", "segments")
    assert tuple(row[name] for name in names) == STATES[user]
    (shown,) = [
        row
        for row in learners.of_course("module_engagement_roster", course_of("roster"))
        if row["user_id"] == user
    ]
    assert shown["email"] == f"U{user}@Example.org"
    assert {name: shown[name] for name in row} == row


def test_who_is_on_the_roster(learners: Slice) -> None:
    # 906 has no profile, 907 and 912 no account, 910 never enrolled, 911 was retired.
    course = course_of("roster")
    everybody = {row["user_id"]: row for row in learners.of_course("course_learners", course)}
    assert everybody.keys() == {*STATES, 906, 907, 912}
    assert everybody[907]["username"] is None
    named = everybody[912]
    assert (named["username"], named["days_active"], named["segments"]) == ("u912", 2, "")
    shown = learners.of_course("module_engagement_roster", course)
    assert {row["user_id"] for row in shown} == set(STATES)
    # Renamed: both names are one learner.
    renamed = next(row for row in shown if row["user_id"] == 908)
    assert (renamed["days_active"], renamed["videos_viewed"]) == (2, 1)
    assert next(row for row in shown if row["user_id"] == 902)["city"] is None


def test_a_retired_account_is_nobody_s(learners: Slice) -> None:
    # D70: only the day has what was logged before, under the name of then.
    course = course_of("roster")
    weeks = learners.of_course("module_engagement_summary", course)
    assert {901, 912} <= {row["user_id"] for row in weeks} < {*range(901, 911), 912}
    compared = learners.of_course("module_engagement_metric_ranges", course)
    assert {row["learners"] for row in compared if row["metric"] == "videos_viewed"} == {
        sum(row["end_date"] == UNTIL for row in weeks)
    }
    days = learners.of_course("learner_timeline", course)
    assert [row["username"] for row in days if row["user_id"] == 911] == ["u911"]
    assert 911 not in {row["user_id"] for row in learners.rows["learner_terms"]}


def test_a_quiet_course_keeps_its_last_ranges(learners: Slice) -> None:
    # §6.1, 6
    rows = learners.of_course("module_engagement_metric_ranges", course_of("quiet"))
    assert {(row["start_date"], row["end_date"]) for row in rows} == {
        (date(2021, 2, 15), date(2021, 2, 22))
    }
    assert learners.of_course("module_engagement_user_segments", course_of("quiet")) == []


def test_the_anonymous_are_one_learner(learners_events: Relation, tmp_path: Path) -> None:
    # E03
    start = date(2021, 2, 1)
    found = build(
        shared_engine("duckdb"), tmp_path, "learners", {}, start, UNTIL, events=learners_events,
        more={"anonymous_username": "nobody"},
        only=("module_engagement", "module_engagement_summary", "module_engagement_metric_ranges",
              "calendar"),
    )  # fmt: skip
    (row,) = found.of_course("module_engagement", course_of("E02"))
    assert (row["username"], row["count"], row["user_id"]) == ("nobody", 3, None)
    (week,) = found.of_course("module_engagement_summary", course_of("E02"))
    assert (week["username"], week["videos_viewed"]) == ("nobody", 1)
    assert found.of_course("module_engagement_metric_ranges", course_of("E02"))


def test_equals_the_reference(learners: Slice, learners_events: Relation) -> None:
    events = read(learners_events)
    lms = {name: [dict.fromkeys(SOURCES[name]) | row for row in rows] for name, rows in LMS.items()}
    lms["auth_user"] += [{"user_id": n, "username": f"u{n}"} for n in range(1, 30)]
    lms["auth_userprofile"] += [
        dict.fromkeys(SOURCES["auth_userprofile"]) | {"user_id": n} for n in range(1, 20)
    ]
    lms["auth_userprofile_contact"] = [
        row | {"city": None} if row["user_id"] == 902 else row
        for row in lms["auth_userprofile_contact"]
    ]
    rows = reference.engagement(events)
    weeks = reference.summaries(rows, lms["auth_user"], UNTIL)
    ranges = reference.ranges(weeks)
    given = reference.segments(weeks, ranges, UNTIL)
    changes = learners.rows["enrollment_changes"]
    everybody = reference.learners(changes, lms, weeks, given, UNTIL)
    shown = reference.roster(everybody, lms)
    active = [row for row in learners.rows["user_activity_by_user"] if row["label"] == "ACTIVE"]
    terms = {
        user["user_id"]: find_terms(
            _of(lms["auth_userprofile_contact"], user, "name"), user["username"],
            _of(lms["auth_user_contact"], user, "email"),
        )
        for user in lms["auth_user"]
        if not user["username"].startswith("retired__user_")
    }  # fmt: skip
    expected = {
        "module_engagement": rows,
        "learner_timeline": reference.timeline(rows),
        "module_engagement_summary": weeks,
        "module_engagement_metric_ranges": ranges,
        "module_engagement_user_segments": given,
        "course_learners": everybody,
        "module_engagement_roster": shown,
        "course_retention": reference.retention(changes, active, UNTIL),
        "learner_terms": [
            {"user_id": user, "term": term} for user, found in terms.items() for term in found
        ],
        "module_engagement_roster_terms": [
            {"course_id": row["course_id"], "term": term, "user_id": row["user_id"]}
            for row in shown
            for term in terms[row["user_id"]]
        ],
    }
    assert expected.keys() == {table.name for table in OWN}
    for name, wanted in expected.items():
        assert wanted, name
        assert ordered(reference.plain(learners.rows[name])) == ordered(reference.plain(wanted)), (
            name
        )


def _of(rows: Iterable[Row], user: Row, name: str) -> Any:
    return next((row[name] for row in rows if row["user_id"] == user["user_id"]), None)


def test_tables_are_of_the_declared_types(learners: Slice) -> None:
    for table in OWN:
        declared = {c.name: STORED[c.type.partition("(")[0]] for c in table.columns}
        assert dict(learners.types[table.name]) == declared, table.name


def test_the_grain_is_unique(learners: Slice) -> None:
    for table in OWN:
        keys = [tuple(row[name] for name in table.grain) for row in learners.rows[table.name]]
        assert len(keys) == len(set(keys)), table.name


# Values as they come: ties, zeros, infinities, classes of one

_WEEK = dict.fromkeys(reference.METRICS, "INTEGER") | {reference.RATIO: "DOUBLE"}
COLUMNS = {
    "course_id": "VARCHAR", "username": "VARCHAR", "start_date": "DATE", "end_date": "DATE", **_WEEK
}  # fmt: skip
classes = st.lists(
    st.tuples(
        st.sampled_from("AAAB"),
        st.integers(0, 6),
        st.integers(0, 6),
        st.integers(0, 3),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=30,
)


@given(classes, st.sampled_from([(15, 85), (0, 100), (50, 50), (85, 15), (33, 90)]))
def test_ranges_and_segments_equal_the_reference(
    tmp_path_factory: pytest.TempPathFactory,
    people: list[tuple[str, int, int, int, int, bool]],
    percent: tuple[int, int],
) -> None:
    week = timedelta(7)
    weeks = [
        {
            "course_id": course, "username": f"u{place}",
            "start_date": end - week, "end_date": end,
            "problem_attempts": attempts + done, "problems_attempted": min(attempts + done, 3),
            "problems_completed": done, "videos_viewed": videos, "discussion_contributions": posts,
            reference.RATIO: Fraction(attempts + done, done) if done else inf,
        }
        for place, (course, attempts, done, videos, posts, old) in enumerate(people)
        for end in [UNTIL - week if old else UNTIL]
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("ranges")
    stored = [
        row
        | {reference.RATIO: None if row[reference.RATIO] == inf else float(row[reference.RATIO])}
        for row in weeks
    ]
    relations = {"module_engagement_summary": write_whole(folder / "week", COLUMNS, stored)}
    params = {"until": UNTIL, "low_percentile": percent[0], "high_percentile": percent[1]}
    expected = reference.ranges(weeks, *percent)
    given = reference.segments(weeks, expected, UNTIL)
    for name, wanted in (
        ("module_engagement_metric_ranges", expected),
        ("module_engagement_user_segments", given),
    ):
        made = run(shared_engine("duckdb"), NAMES[name], relations, params, folder / name)
        relations[name] = made
        assert ordered(reference.plain(read(made))) == ordered(reference.plain(wanted)), name


def test_percentiles_are_those_of_the_text() -> None:
    assert reference.percentile([1, 2, 3, 4, 5, 6, 7, inf], 15) == Fraction(205, 100)
    assert reference.percentile([1] * 18 + [inf] * 3, 85) == 1
    assert reference.percentile([1, inf], 50) == inf


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("Daniel  O’Neill-Smith", ["daniel", "o’neill", "o’neill-smith", "smith"]),
        ("ŁUKASZ Straße 字", ["strasse", "łukasz", "字"]),
        ("ＡＮＮ\tÉva", ["ann", "éva"]),
        ("Éva", ["éva"]),
        # Vowel signs and accents that no letter is composed with are part of the word.
        ("राजी शर्मा", ["राजी", "शर्मा"]),
        ("Q\u0303a, ", ["q\u0303a"]),
        ("..., -", []),
        ("x" * 300, ["x" * 255]),
        (None, []),
    ],
)
def test_words_of_a_name(name: str | None, terms: list[str]) -> None:
    # E50: whole words, so "dan" does not find Daniel.
    assert find_terms(name) == terms
    assert find_terms(name, "Dan_1", None, "A@B.org") == sorted({*terms, "dan_1", "a@b.org"})


@pytest.mark.parametrize("username", ["ann-", "_ann.", "-+-ann@x.org", "ann o'x", "Ä-"])
def test_a_user_name_finds_its_learner(username: str) -> None:
    assert split_text(username)
    assert {*split_text(username)} <= {*find_terms("Zoe", username)}
