"""The plan: what is built and why, as a pure function of versions, ledger and parameters."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.clock import Interval
from studium.lake.plan import (
    Reason,
    Scope,
    Work,
    days_in_reach,
    find_work,
    make_plan,
    missing_days,
    stamp,
)
from studium.lake.tables import Kind, Table
from studium.state.ledger import Partition

START = date(2025, 9, 1)
WINDOW = Interval(START, START + timedelta(days=10))
PARAMS = {"start": START, "until": WINDOW.until, "weeks": 2}

Versions = dict[date | None, str]
Ledger = dict[tuple[str, date | None], Partition]


def day(number: int) -> date:
    return START + timedelta(days=number)


def table(name: str, *inputs: str, kind: Kind = "day", **fields: Any) -> Table:
    return Table(
        name=name, lens="test", kind=kind, description="", grain=(), columns=(),
        code=f"code of {name}", inputs=inputs, **fields,
    )  # fmt: skip


def settle(
    tables: Iterable[Table],
    sources: Mapping[str, Mapping[date | None, str]],
    params: Mapping[str, object] = PARAMS,
    scope: Scope | None = None,
    build: str = "00000100-aaaaaa",
) -> tuple[dict[str, Versions], Ledger]:
    """Versions and ledger after everything in ``tables`` was built."""
    versions: dict[str, Versions] = {name: dict(days) for name, days in sources.items()}
    ledger: Ledger = {}
    for one in tables:
        work = find_work(one, versions, ledger, params, scope or Scope(WINDOW))
        versions[one.name] = dict.fromkeys(work.reasons, build)
        ledger |= {
            (one.name, on): replace(partition, build=build)
            for on, partition in work.expected.items()
        }
    return versions, ledger


def reasons(work: Work) -> dict[date | None, str]:
    return {on: why.value for on, why in work.reasons.items()}


EVENTS: dict[date | None, str] = {day(n): f"0000000{n}-eeeeee" for n in range(3)}
PER_DAY = table("per_day", "events")
WHOLE = table("whole", "per_day", kind="full", params=("until",))


def test_what_is_built_is_not_stale() -> None:
    versions, ledger = settle([PER_DAY, WHOLE], {"events": EVENTS})
    assert make_plan([PER_DAY, WHOLE], versions, ledger, PARAMS, Scope(WINDOW)) == []


# Reasons


def test_a_new_table_and_its_days() -> None:
    work = find_work(PER_DAY, {"events": EVENTS}, {}, PARAMS, Scope(WINDOW))
    assert reasons(work) == {day(n): "new day" for n in range(3)}
    assert work.days == [day(n) for n in range(3)]
    whole = find_work(WHOLE, {"per_day": EVENTS}, {}, PARAMS, Scope(WINDOW))
    assert reasons(whole) == {None: "new table"}
    assert whole.days == []


def test_a_new_day_is_the_only_one_built() -> None:
    versions, ledger = settle([PER_DAY], {"events": EVENTS})
    versions["events"][day(5)] = "00000200-eeeeee"
    work = find_work(PER_DAY, versions, ledger, PARAMS, Scope(WINDOW))
    assert reasons(work) == {day(5): "new day"}


def test_a_changed_input_day_reopens_that_day_and_what_is_whole() -> None:
    versions, ledger = settle([PER_DAY, WHOLE], {"events": EVENTS})
    versions["events"][day(1)] = "00000200-eeeeee"
    plan = make_plan([PER_DAY, WHOLE], versions, ledger, PARAMS, Scope(WINDOW))
    assert [(work.table.name, reasons(work)) for work in plan] == [
        ("per_day", {day(1): "input changed"}),
        ("whole", {None: "input changed"}),
    ]


def test_an_input_day_that_went_away_is_a_change() -> None:
    versions, ledger = settle([PER_DAY], {"events": EVENTS})
    del versions["events"][day(1)]
    work = find_work(PER_DAY, versions, ledger, PARAMS, Scope(WINDOW))
    assert reasons(work) == {day(1): "input changed"}
    assert work.expected[day(1)].inputs == {"events": ""}


def test_changed_code_reopens_every_day_in_the_window() -> None:
    versions, ledger = settle([PER_DAY], {"events": EVENTS})
    edited = replace(PER_DAY, code="other")
    work = find_work(edited, versions, ledger, PARAMS, Scope(WINDOW))
    assert reasons(work) == {day(n): "code changed" for n in range(3)}
    window = Scope(Interval(day(2), day(9)))
    assert reasons(find_work(edited, versions, ledger, PARAMS, window)) == {day(2): "code changed"}


def test_a_changed_parameter_reopens_the_tables_that_have_it() -> None:
    tables = [PER_DAY, WHOLE, table("weekly", "per_day", kind="full", params=("weeks",))]
    versions, ledger = settle(tables, {"events": EVENTS})
    later = {**PARAMS, "until": WINDOW.until + timedelta(days=1)}
    plan = make_plan(tables, versions, ledger, later, Scope(WINDOW))
    assert [(work.table.name, reasons(work)) for work in plan] == [
        ("whole", {None: "parameter changed"})
    ]


def test_look_back_reopens_the_last_days_of_the_window() -> None:
    versions, ledger = settle([PER_DAY, WHOLE], {"events": EVENTS})
    scope = Scope(Interval(START, day(3)), lookback=2)
    plan = make_plan([PER_DAY, WHOLE], versions, ledger, PARAMS, scope)
    assert [(work.table.name, reasons(work)) for work in plan] == [
        ("per_day", {day(1): "look-back", day(2): "look-back"}),
        ("whole", {None: "input changed"}),
    ]


@pytest.mark.parametrize(
    ("lookback", "seen"), [(0, []), (1, [9]), (3, [7, 8, 9]), (10**9, list(range(10)))]
)
def test_look_back_counts_days_before_until(lookback: int, seen: list[int]) -> None:
    scope = Scope(WINDOW, lookback)
    looked = [n for n in range(-2, 13) if scope.looks_back_at(day(n)) and day(n) in WINDOW]
    assert looked == seen
    assert not any(scope.looks_back_at(day(n)) for n in range(10, 13))


def test_what_is_asked_for_is_built_although_nothing_changed() -> None:
    versions, ledger = settle([PER_DAY, WHOLE], {"events": EVENTS})
    work = find_work(WHOLE, versions, ledger, PARAMS, Scope(WINDOW, asked=frozenset({"whole"})))
    assert reasons(work) == {None: "asked for"}
    assert not find_work(
        PER_DAY, versions, ledger, PARAMS, Scope(WINDOW, asked=frozenset({"whole"}))
    ).reasons


def test_a_partition_that_the_lake_lost_is_built_again() -> None:
    versions, ledger = settle([PER_DAY, WHOLE], {"events": EVENTS})
    versions["per_day"].pop(day(1))
    versions["per_day"][day(2)] = "00000150-cccccc"
    work = find_work(PER_DAY, versions, ledger, PARAMS, Scope(WINDOW))
    assert reasons(work) == {day(1): "not as built", day(2): "not as built"}
    del versions["whole"]
    assert reasons(find_work(WHOLE, versions, ledger, PARAMS, Scope(WINDOW))) == {None: "new table"}


def test_rows_that_nothing_accounts_for_are_built_again() -> None:
    # A lost ledger, and an input day that went away: only the lake still knows the day.
    versions: dict[str, Versions] = {"events": dict(EVENTS), "per_day": {day(7): "00000001-bbbbbb"}}
    work = find_work(PER_DAY, versions, {}, PARAMS, Scope(WINDOW))
    assert reasons(work) == dict.fromkeys([*EVENTS, day(7)], "new day")


def test_what_a_repair_is_unsure_of_is_built_again() -> None:
    versions, ledger = settle([PER_DAY], {"events": EVENTS})
    unsure = Partition("per_day", day(1), "00000100-aaaaaa", "", "", {}, {}, 3)
    ledger["per_day", day(1)] = unsure
    work = find_work(PER_DAY, versions, ledger, PARAMS, Scope(WINDOW))
    assert reasons(work) == {day(1): "unsure since a repair"}


def test_the_strongest_reason_is_told() -> None:
    versions, ledger = settle([WHOLE], {"per_day": EVENTS})
    versions["per_day"][day(1)] = "00000200-eeeeee"
    everything = Scope(WINDOW, lookback=9, asked=frozenset({"whole"}))
    later = {**PARAMS, "until": day(9)}
    told: list[Callable[[], Work]] = [
        lambda: find_work(replace(WHOLE, code="x"), versions, ledger, later, everything),
        lambda: find_work(WHOLE, versions, ledger, later, everything),
        lambda: find_work(WHOLE, versions, ledger, PARAMS, everything),
    ]
    assert [list(find().reasons.values()) for find in told] == [
        [Reason.CODE],
        [Reason.PARAMETER],
        [Reason.INPUT],
    ]


# Reach, window, order


def test_reach_reopens_the_neighbours() -> None:
    reaching = table("reaching", "events", reach=1)
    versions, ledger = settle([reaching], {"events": {day(n): "00000001-eeeeee" for n in range(6)}})
    assert sorted(on for _, on in ledger if on) == [day(n) for n in range(7)]
    versions["events"][day(3)] = "00000200-eeeeee"
    work = find_work(reaching, versions, ledger, PARAMS, Scope(WINDOW))
    assert reasons(work) == {day(n): "input changed" for n in (2, 3, 4)}
    assert days_in_reach(work.days, 1) == {day(n) for n in range(1, 6)}


def test_a_neighbour_outside_the_window_waits() -> None:
    reaching = table("reaching", "events", reach=1)
    scope = Scope(Interval(day(1), day(3)))
    work = find_work(reaching, {"events": {day(3): "00000001-eeeeee"}}, {}, PARAMS, scope)
    assert reasons(work) == {day(2): "new day"}
    # Day 1 sees the day before the window, too.
    work = find_work(reaching, {"events": {day(0): "00000001-eeeeee"}}, {}, PARAMS, scope)
    assert reasons(work) == {day(1): "new day"}


def test_days_outside_the_window_are_left_alone() -> None:
    versions, ledger = settle([PER_DAY], {"events": EVENTS})
    versions["events"] = dict.fromkeys(EVENTS, "00000200-eeeeee")
    work = find_work(PER_DAY, versions, ledger, PARAMS, Scope(Interval(day(1), day(2))))
    assert reasons(work) == {day(1): "input changed"}


def test_whole_tables_look_at_the_days_that_they_cover() -> None:
    covers = table("covers", "events", kind="full")
    days: Versions = {day(-1): "00000001-eeeeee", day(0): "00000001-eeeeee"}
    versions, ledger = settle([covers], {"events": days})
    scope = Scope(Interval(day(4), day(5)))
    for outside in (day(-1), WINDOW.until):
        versions["events"][outside] = "00000200-eeeeee"
        assert not find_work(covers, versions, ledger, PARAMS, scope).reasons
    versions["events"][day(9)] = "00000200-eeeeee"  # in no window, but covered
    assert reasons(find_work(covers, versions, ledger, PARAMS, scope)) == {None: "input changed"}


def test_a_map_table_depends_on_its_parameters_only() -> None:
    spine = table("spine", kind="map", params=("until",))
    versions, ledger = settle([spine], {"events": EVENTS})
    versions["events"][day(1)] = "00000200-eeeeee"
    assert not find_work(spine, versions, ledger, PARAMS, Scope(WINDOW)).reasons
    later = {**PARAMS, "until": day(11)}
    assert reasons(find_work(spine, versions, ledger, later, Scope(WINDOW))) == {
        None: "parameter changed"
    }


def test_a_day_table_that_reads_a_whole_one_follows_it() -> None:
    joined = table("joined", "events", "people")
    people: Versions = {None: "00000001-dddddd"}
    versions, ledger = settle([joined], {"events": EVENTS, "people": people})
    versions["people"] = {None: "00000200-dddddd"}
    work = find_work(joined, versions, ledger, PARAMS, Scope(WINDOW))
    assert reasons(work) == {day(n): "input changed" for n in range(3)}


def test_the_plan_supposes_that_what_is_built_changes() -> None:
    chain = [PER_DAY, WHOLE, table("top", "whole", kind="full")]
    plan = make_plan(chain, {"events": EVENTS}, {}, PARAMS, Scope(WINDOW))
    assert [work.table.name for work in plan] == ["per_day", "whole", "top"]
    versions, ledger = settle(chain, {"events": EVENTS})
    versions["events"][day(1)] = "00000200-eeeeee"
    plan = make_plan(chain, versions, ledger, PARAMS, Scope(WINDOW))
    assert [reasons(work) for work in plan] == [
        {day(1): "input changed"},
        {None: "input changed"},
        {None: "input changed"},
    ]


def test_planning_changes_nothing_that_it_was_given() -> None:
    versions, ledger = settle([PER_DAY, WHOLE], {"events": EVENTS})
    versions["events"][day(1)] = "00000200-eeeeee"
    before = {name: dict(days) for name, days in versions.items()}, dict(ledger)
    make_plan([PER_DAY, WHOLE], versions, ledger, PARAMS, Scope(WINDOW, lookback=3))
    assert (versions, ledger) == before


def test_a_stamp_tells_code_and_parameters_apart() -> None:
    stamps = {
        stamp(replace(PER_DAY, code=code), values)
        for code in ("a", "b")
        for values in ({}, {"n": 1}, {"n": "1"}, {"m": 1})
    }
    assert len(stamps) == 8
    assert stamp(PER_DAY, {"a": 1, "b": 2}) == stamp(PER_DAY, {"b": 2, "a": 1})


# Any history: a plan that was carried out leaves nothing to do, and finds every change


@given(
    before=st.dictionaries(st.integers(0, 9), st.integers(1, 3), max_size=6),
    after=st.dictionaries(st.integers(0, 9), st.integers(1, 3), max_size=6),
    reach=st.integers(0, 2),
)
def test_exactly_the_days_in_reach_of_a_change_are_built(
    before: dict[int, int], after: dict[int, int], reach: int
) -> None:
    reaching = table("reaching", "events", reach=reach)
    old: Versions = {day(n): f"{version:08d}-eeeeee" for n, version in before.items()}
    versions, ledger = settle([reaching], {"events": old})
    versions["events"] = {day(n): f"{version:08d}-eeeeee" for n, version in after.items()}
    work = find_work(reaching, versions, ledger, PARAMS, Scope(WINDOW))
    changed = {day(n) for n in range(10) if before.get(n) != after.get(n)}
    assert set(work.days) == {on for on in days_in_reach(changed, reach) if on in WINDOW}


# Days nobody has looked at


@given(st.sets(st.integers(0, 9)))
def test_missing_days_are_the_runs_that_were_never_ingested(numbers: set[int]) -> None:
    covered = {day(n) for n in numbers}
    runs = missing_days(covered, WINDOW)
    assert sorted(on for run in runs for on in run) == sorted(set(WINDOW) - covered)
    assert all(one.until < other.since for one, other in pairwise(runs)), (
        "runs that touch are one run"
    )


# Time


def work_for(days: int) -> float:
    """CPU seconds to plan ten tables over ``days`` days of which one changed."""
    window = Interval(START, START + timedelta(days=days))
    scope, params = Scope(window), {**PARAMS, "until": window.until}
    events: Versions = dict.fromkeys(window, "00000001-eeeeee")
    chain = [table(f"t{n}", f"t{n - 1}" if n else "events", reach=n % 2) for n in range(9)]
    chain.append(table("top", "t8", kind="full", params=("until",)))
    versions, ledger = settle(chain, {"events": events}, params, scope)
    versions["events"][window.since] = "00000200-eeeeee"
    taken = []
    for _ in range(3):
        started = time.process_time()
        plan = make_plan(chain, versions, ledger, params, scope)
        taken.append(time.process_time() - started)
    assert len(plan) == 10
    return min(taken)


def test_planning_takes_time_in_proportion_to_the_days() -> None:
    # Three times the days may take a little more than three times as long; squared it would be 9.
    assert work_for(3000) < 6 * max(work_for(1000), 0.01)
