"""Tables end with the day before ``until``, and never cover less than they did before."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import studium
from studium.autopilot.checks import examine
from studium.autopilot.steps import choose_tables
from studium.lake.store import Lake
from tests import sites
from tests.sites import contents, day, make_site, published_rows, run_job


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[None]:
    with sites.lent_engine():
        yield


def _logs(folder: Path, days: int) -> Path:
    for on in range(days):
        lines = [sites.enrollment(10 * on + n, on) for n in range(1, 3 + on)]
        sites.write_log(folder, on, [*lines, sites.video(1, on)])
    return folder


def test_the_day_until_does_not_count(tmp_path: Path) -> None:
    longer = make_site(tmp_path / "longer", _logs(tmp_path / "five", 5))
    shorter = make_site(tmp_path / "shorter", _logs(tmp_path / "three", 3))
    for site in (longer, shorter):
        run_job(site, until=day(3))
    assert published_rows(longer) == published_rows(shorter)
    rows = published_rows(longer)["course_enrollment_daily"]
    assert [row[2] for row in rows] == [str(day(n)) for n in range(3)]
    # Ingest keeps what lies after it.
    days = [{row["day"] for row in contents(site)["lake"]["events"]} for site in (longer, shorter)]
    assert days == [{day(n) for n in range(5)}, {day(n) for n in range(3)}]


def test_a_late_event_of_the_first_day_counts(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", _logs(tmp_path / "logs", 3))
    run_job(site, until=day(3))
    before = published_rows(site)["course_enrollment_daily"]
    sites.write_log(tmp_path / "logs", 1, [sites.enrollment(99, 0)], "-late")
    run_job(site, until=day(3))
    after = published_rows(site)["course_enrollment_daily"]
    assert [late[3] - row[3] for row, late in zip(before, after, strict=True)] == [1, 1, 1]


def test_a_week_that_is_not_over_is_not_counted(tmp_path: Path) -> None:
    # The first day is a Monday, and the tables end on the Thursday of the second week.
    for on in (1, 8):
        sites.write_log(tmp_path / "logs", on, [sites.video(1, on)])
    site = make_site(tmp_path / "site", tmp_path / "logs")
    run_job(site, choose_tables(["course_activity"]), until=day(10))
    starts = {row[2] for row in published_rows(site)["course_activity"]}
    assert starts == {f"{day(0)} 00:00:00"}


def test_a_smaller_until_takes_nothing_away(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", _logs(tmp_path / "logs", 4))
    run_job(site, until=day(4))
    before = published_rows(site)
    again = run_job(site, until=day(2))
    assert (again.built, again.published) == ([], [])
    assert published_rows(site) == before


def test_a_day_that_became_empty_is_published_as_such(tmp_path: Path) -> None:
    # Both days come from one build, which the table still shows when the first of them has gone;
    # and the last day is the same.
    site = make_site(tmp_path / "site", tmp_path / "logs", run__max_reject_share=1)
    for on in (0, 2):
        nowhere = sites.enrollment(7, on).replace('"mode": "audit"', '"mode": null')
        sites.write_log(tmp_path / "logs", on, [nowhere, sites.enrollment(8, on)])
    tables = [
        replace(one, publish="discards") if one.name == "enrollment_discards" else one
        for one in sites.few()
    ]
    run_job(site, tables)
    assert len(published_rows(site)["discards"]) == 2
    with studium.open(site) as opened, opened.writer("test"):
        lake = Lake(opened.lake_dir)
        held = lake.snapshot("enrollment_discards")
        lake.commit(
            held.name, [], columns=held.columns, by_day=True, build="00000000-000000",
            fingerprint="00000000", replace=held.by_partition()[day(0)],
        )  # fmt: skip
    again = run_job(site, tables, only=("publish",))
    assert [one.table for one in again.published] == ["discards"]
    assert len(published_rows(site)["discards"]) == 1


def test_a_day_table_without_a_row_is_published_empty(tmp_path: Path) -> None:
    """Whether it never had one or has lost them all: readers find it."""
    sites.write_log(tmp_path / "logs", 0, [sites.enrollment(1, 0)])
    site = make_site(tmp_path / "site", tmp_path / "logs")
    tables = choose_tables(["enrollment", "learner_timeline"])
    run_job(site, tables, only=("ingest", "build"))
    assert not (site / "lake" / "learner_timeline").exists()
    (timeline,) = (
        one for one in run_job(site, tables).published if one.table == "learner_timeline"
    )
    assert (timeline.rows, timeline.data_until) == (0, None)
    assert published_rows(site)["learner_timeline"] == []
    assert run_job(site, tables).published == []
    with studium.open(site) as opened:
        (store,) = (one for one in examine(opened) if one.check == "result store")
    assert store.ok, store.found
