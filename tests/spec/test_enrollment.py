"""The enrollment lens does what `specs/edx-enrollment-geography` §2, §6 and §8.1 say."""

from datetime import date, datetime
from pathlib import Path

import pytest

from studium.engines import Engine
from studium.lenses import tables
from tests.spec import golden
from tests.spec.enrollment import PROGRAMS, SCENARIOS, Scenario
from tests.spec.rows import Row, course_of, ordered, parse_table
from tests.spec.slice import STORED, Slice, build

DAYS = {
    "user": "bigint",
    "date": "date",
    "at_end": "integer",
    "change": "integer",
    "mode": "varchar",
}
SUMMARY = {
    "mode": "current_enrollment_mode",
    "active": "current_enrollment_is_active",
    "first_mode": "first_enrollment_mode",
    "first": "first_enrollment_time",
    "unenrolled": "last_unenrollment_time",
    "verified": "first_verified_enrollment_time",
    "credit": "first_credit_enrollment_time",
}
TYPES = {t.name: {c.name: c.type for c in t.columns} for t in tables("enrollment")}


def expected_rows(name: str, text: str) -> tuple[str, list[Row]]:
    if name == "days":
        return name, parse_table(text, DAYS)
    if name == "summary":
        name = "enrollment_summary"
        types = TYPES[name] | {short: TYPES[name][long] for short, long in SUMMARY.items()}
        short_rows = parse_table(text, types)
        return name, [{SUMMARY.get(k, k): v for k, v in row.items()} for row in short_rows]
    types = TYPES[name] | {"event_type": "varchar"}
    rows = parse_table(text, types)
    for row in rows:
        if "event_type" in row:
            row["event_type"] = (
                "edx.course.enrollment."
                + {"act": "activated", "deact": "deactivated", "mode": "mode_changed"}[
                    row["event_type"]
                ]
            )
    return name, rows


def check(run: Slice, scenario: Scenario) -> None:
    for key, text in scenario.expect.items():
        name, rows = expected_rows(key, text)
        course = scenario.course_id
        found = run.daily_rows(course) if name == "days" else run.of_course(name, course)
        if rows:
            found = [{column: row[column] for column in rows[0]} for row in found]
        assert ordered(found) == ordered(rows), f"{scenario.rule}: {name}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.rule)
def test_rule(enrollment_slice: Slice, scenario: Scenario) -> None:
    check(enrollment_slice, scenario)


@pytest.mark.parametrize("scenario", [golden.ALPHA, golden.BETA], ids=lambda s: s.rule)
def test_golden_scenario(enrollment_slice: Slice, scenario: Scenario) -> None:
    check(enrollment_slice, scenario)


def test_golden_scenario_has_42_daily_rows(enrollment_slice: Slice) -> None:
    courses = (golden.ALPHA.course_id, golden.BETA.course_id)
    assert sum(len(enrollment_slice.daily_rows(course)) for course in courses) == 42


def test_summary_ends_with_the_interval(enrollment_slice: Slice) -> None:
    ends = {row["end_time"] for row in enrollment_slice.rows["enrollment_summary"]}
    assert ends == {datetime(2021, 3, 8)}


def test_discards_give_the_first_thing_that_is_missing(enrollment_slice: Slice) -> None:
    # E14, E16, E17: no data. E18, E19: no course. E22: no learner; no mode.
    found = {
        (r["day"], r["reason"]): r["events"] for r in enrollment_slice.rows["enrollment_discards"]
    }
    day = date(2021, 3, 7)
    assert found == {
        (day, "event data"): 3,
        (day, "course_id"): 2,
        (day, "user_id"): 1,
        (day, "mode"): 1,
    }


def test_course_without_learners_is_in_no_table(enrollment_slice: Slice) -> None:
    course = course_of("Empty")
    for name, rows in enrollment_slice.rows.items():
        assert not [row for row in rows if row.get("course_id") == course], name


def test_programs_are_the_catalogs(enrollment_slice: Slice) -> None:
    # §2.9; E61: without a catalog the table is there and empty (test_e24).
    found = enrollment_slice.rows["course_program_metadata"]
    assert sorted(found, key=str) == sorted(PROGRAMS, key=str)


def test_tables_are_of_the_declared_types(enrollment_slice: Slice) -> None:
    for table in tables("enrollment"):
        declared = {c.name: STORED[c.type.partition("(")[0]] for c in table.columns}
        assert dict(enrollment_slice.types[table.name]) == declared, table.name


def test_grain_is_unique(enrollment_slice: Slice) -> None:
    for table in tables("enrollment"):
        rows = enrollment_slice.rows[table.name]
        keys = {tuple(row[name] for name in table.grain) for row in rows}
        assert len(keys) == len(rows), table.name


def test_changes_are_no_more_than_events(enrollment_slice: Slice) -> None:
    # Design §3.2: never store learner × day.
    rows = enrollment_slice.rows
    assert 0 < len(rows["enrollment_changes"]) <= len(rows["enrollment_events"])


def test_modes_add_up_to_the_course(enrollment_slice: Slice) -> None:
    # §2.6: Σ over modes = the course value; so for every gender.
    whole = {
        (row["course_id"], row["date"]): (row["count"], row["cumulative_count"])
        for row in enrollment_slice.rows["course_enrollment_daily"]
    }
    for name in ("course_enrollment_mode_daily", "course_enrollment_gender_daily"):
        sums: dict[tuple[str, date], tuple[int, int]] = {}
        for row in enrollment_slice.rows[name]:
            key = (row["course_id"], row["date"])
            count, cumulative = sums.get(key, (0, 0))
            sums[key] = (count + row["count"], cumulative + row["cumulative_count"])
        assert sums == whole, name


def test_e24_nothing_in_nothing_out(engine: Engine, tmp_path: Path) -> None:
    run = build(engine, tmp_path, "enrollment", {}, date(2021, 3, 1), date(2021, 3, 3))
    assert {name: len(rows) for name, rows in run.rows.items() if rows} == {"calendar": 2}
    for table in tables("enrollment"):
        declared = {c.name: STORED[c.type.partition("(")[0]] for c in table.columns}
        assert dict(run.types[table.name]) == declared, table.name
