"""History without raw logs: day files of an old warehouse are imported, and stay until raw logs
tell more."""

import gzip
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from studium.autopilot import history, steps
from studium.cli import make_app
from studium.errors import SourceError, UsageError
from studium.lake.store import Lake
from studium.lenses import tables as lens_tables
from studium.state.ledger import partitions
from tests import sites
from tests.children import Nursery
from tests.sites import COURSE, contents, day, enrollment, rows_of, run_job, write_log

KIND = "edx.course.enrollment."


@pytest.fixture(autouse=True, scope="module")
def engine() -> Iterator[None]:
    with sites.lent_engine():
        yield


def line(learner: object, on: int, kind: str = "activated", mode: str = "audit") -> str:
    """A line of the old day file that `enrollment(…)` of the log had led to."""
    return f"{COURSE}\t{learner}\t{day(on)}T10:00:00.000000\t{KIND}{kind}\t{mode}"


def write_day(warehouse: Path, on: int, lines: Sequence[str], name: str = "part-0") -> Path:
    folder = warehouse / "course_enrollment_events" / f"dt={day(on)}"
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{one}\n" for one in lines).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return folder


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """Three days: one plain, one in two files of which one is gzipped, one without events."""
    root = tmp_path / "warehouse"
    write_day(root, 0, [line(1, 0), line(2, 0)])
    write_day(root, 1, [line(3, 1)], "a.gz")
    write_day(root, 1, [line(1, 1, "deactivated"), line(3, 1)], "b")
    write_day(root, 2, [])
    (root / "course_enrollment_events" / f"dt={day(0)}" / "_SUCCESS").write_text("")
    return root


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return sites.make_site(tmp_path / "site", tmp_path / "logs")


def command(site: Path, *arguments: str) -> Result:
    return CliRunner().invoke(make_app(), ["--site", str(site), *arguments])


def imported(site: Path, *arguments: object, code: int = 0) -> dict[str, Any]:
    done = command(site, "import-history", *map(str, arguments), "--json")
    assert done.exit_code == code, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def built(site: Path) -> sites.Done:
    return run_job(site, steps.choose_tables(["enrollment_events"]), only=("build",))


def ran(site: Path) -> sites.Done:
    """The main job as far as the imported table."""
    return run_job(site, steps.choose_tables(["enrollment_events"]), only=("ingest", "build"))


def events(site: Path) -> list[tuple[int, int, str]]:
    found = [(row["user_id"], (row["day"] - day(0)).days, row["event_type"].removeprefix(KIND))
             for row in rows_of(site, "enrollment_events")]  # fmt: skip
    return sorted(found)


THREE = [(1, 0, "activated"), (1, 1, "deactivated"), (2, 0, "activated"), (3, 1, "activated")]


def test_imported_days_give_the_tables_that_their_raw_logs_give(
    site: Path, warehouse: Path, tmp_path: Path
) -> None:
    report = imported(site, warehouse)["tables"][0]
    assert (report["lines"], report["kept"], report["duplicates"]) == (5, 4, 1)
    assert report["days"] == {"imported": 3}
    run_job(site, only=("build", "publish"))
    assert events(site) == THREE
    logs = tmp_path / "raw"
    write_log(logs, 0, [enrollment(1, 0), enrollment(2, 0)])
    write_log(logs, 1, [enrollment(3, 1), enrollment(1, 1, "deactivated")])
    raw = sites.make_site(tmp_path / "from-raw", logs)
    run_job(raw)
    mine, theirs = contents(site)["lake"], contents(raw)["lake"]
    for table in ("enrollment_events", "enrollment_changes", "course_enrollment_daily"):
        assert mine[table] == theirs[table]
    assert contents(site)["published"] == contents(raw)["published"]


def test_importing_twice_changes_nothing(site: Path, warehouse: Path) -> None:
    imported(site, warehouse)
    before = Lake(site / "lake").snapshot("enrollment_events")
    assert imported(site, warehouse)["tables"][0]["days"] == {"unchanged": 3}
    again = imported(site, warehouse, "--again")["tables"][0]
    assert again["days"] == {"unchanged": 2, "imported": 1}  # an empty day leaves nothing to equal
    assert again["lines"] == 5
    assert Lake(site / "lake").snapshot("enrollment_events") == before


def test_a_day_that_was_delivered_anew_replaces_the_old_one(site: Path, warehouse: Path) -> None:
    imported(site, warehouse)
    write_day(warehouse, 0, [line(7, 0)])
    assert imported(site, warehouse)["tables"][0]["days"] == {"replaced an earlier import": 1,
                                                             "unchanged": 2}  # fmt: skip
    assert (7, 0, "activated") in events(site)
    assert (2, 0, "activated") not in events(site)


def test_the_plan_neither_misses_nor_rebuilds_imported_days(site: Path, warehouse: Path) -> None:
    imported(site, warehouse)
    built(site)
    plan = command(site, "plan", "--until", str(day(4)), "enrollment_events")
    assert "Nothing to build." in plan.output
    assert f"Imported into enrollment_events: 3 days: {day(0)} … {day(2)}." in plan.output
    assert f"Never ingested: 1 day: {day(3)}." in plan.output
    tables = steps.choose_tables(["enrollment_events"])
    run_job(site, tables, lookback=8, asked=["enrollment_events"], only=("build",))
    assert events(site) == THREE


@pytest.mark.parametrize("lost", ["state", "ledger"])
def test_without_the_state_the_lake_still_knows_what_was_imported(
    site: Path, warehouse: Path, lost: str
) -> None:
    imported(site, warehouse)
    built(site)
    if lost == "state":
        for file in site.glob("state.db*"):
            file.unlink()
    assert command(site, "doctor", "--repair").exit_code == 0
    built(site)
    assert events(site) == THREE
    with sites.studium.open(site) as opened, opened.state.read() as conn:
        row = partitions(conn)["enrollment_events", day(0)]
    assert (row.fingerprint, row.rows) == ("imported", 2)


def test_raw_logs_of_an_imported_day_take_over_and_it_is_said(site: Path, warehouse: Path) -> None:
    imported(site, warehouse)
    built(site)
    logs = site.parent / "logs"
    write_log(logs, 0, [enrollment(1, 0), enrollment(2, 0), enrollment(4, 0)])
    work = ran(site).work()["enrollment_events"]
    assert work == {day(0): "raw logs for an imported day"}
    assert (4, 0, "activated") in events(site)
    assert Lake(site / "lake").snapshot("enrollment_events").imported() == {day(1)}
    assert not ran(site).built
    again = imported(site, warehouse, "--again")["tables"][0]["days"]
    assert again["built from raw logs, stays so"] == 1
    assert (4, 0, "activated") in events(site)


def test_why_stops_at_imported_rows_and_checks_the_others(site: Path, warehouse: Path) -> None:
    imported(site, warehouse)
    write_log(site.parent / "logs", 3, [enrollment(5, 3)])
    run_job(site)
    where = f"course_id = '{COURSE}' AND date = '{day(3)}'"
    done = command(site, "why", "course_enrollment_daily", "--where", where, "--json")
    (step,) = (
        one for one in json.loads(done.stdout)["steps"] if one["table"] == "enrollment_events"
    )
    assert (step["count"], step["imported"], step["again"]) == (5, 4, True)
    shown = command(site, "why", "course_enrollment_daily", "--where", where).output
    assert "4 rows imported from an old warehouse" in shown
    assert "FAILED" not in shown
    where = f"day = '{day(0)}' AND user_id = 1"
    shown = command(site, "why", "enrollment_events", "--where", where).output
    assert "1 row imported from an old warehouse" in shown
    assert "check" not in shown


def test_a_forgotten_learner_stays_out_of_imported_days(site: Path, warehouse: Path) -> None:
    imported(site, warehouse)
    built(site)
    done = command(site, "forget", "1")
    assert done.exit_code == 0, done.output
    left = [(2, 0, "activated"), (3, 1, "activated")]
    assert events(site) == left
    again = imported(site, warehouse, "--again")["tables"][0]
    assert again["days"] == {"unchanged": 2, "imported": 1}
    assert (again["lines"], again["kept"], again["forgotten"]) == (5, 2, 2)
    built(site)
    assert events(site) == left
    assert Lake(site / "lake").snapshot("enrollment_events").imported() == {day(0), day(1)}


def test_equal_raw_logs_take_over_too(site: Path, warehouse: Path) -> None:
    imported(site, warehouse)
    built(site)
    write_log(site.parent / "logs", 0, [enrollment(1, 0), enrollment(2, 0)])
    ran(site)
    assert Lake(site / "lake").snapshot("enrollment_events").imported() == {day(1)}
    assert events(site) == THREE
    assert not ran(site).built


def test_some_late_events_of_an_imported_day_do_not_replace_it(site: Path, warehouse: Path) -> None:
    imported(site, warehouse)
    built(site)
    # The log of day 2 was rotated late and holds one event of day 0.
    write_log(site.parent / "logs", 2, [enrollment(2, 0), enrollment(5, 2)])
    done = ran(site)
    assert [one.kept for one in done.built if one.work.table.name == "enrollment_events"] == [
        (day(0),)
    ]
    assert events(site) == [*THREE, (5, 2, "activated")]
    assert not ran(site).built
    plan = command(site, "plan", "enrollment_events", "--until", str(sites.END))
    assert "Nothing to build." in plan.output


def test_the_order_of_import_and_raw_logs_makes_no_difference(
    site: Path, warehouse: Path, tmp_path: Path
) -> None:
    logs = site.parent / "logs"
    write_log(logs, 0, [enrollment(1, 0), enrollment(2, 0), enrollment(4, 0)])
    write_log(logs, 2, [enrollment(3, 1), enrollment(5, 2)])
    other = shutil.copytree(site, tmp_path / "other")
    run_job(site)
    imported(site, warehouse)
    run_job(site)
    imported(other, warehouse)
    run_job(other)
    assert contents(site)["lake"] == contents(other)["lake"]
    assert contents(site)["published"] == contents(other)["published"]


def test_bad_lines_are_counted_shown_and_kept_as_rejects(site: Path, warehouse: Path) -> None:
    bad = [
        "only\tfour\tcolumns\there",
        line(0, 3),
        line("abc", 3),
        line(1, 2),
        line(1, 3, "vanished"),
        f"{'x' * 256}\t1\t{day(3)}T10:00:00.000000\t{KIND}activated\taudit",
        f"{COURSE}\t1\tbogus\t{KIND}activated\taudit",
        f"{COURSE}\t\\N\t{day(3)}T10:00:00.000000\t{KIND}activated\taudit",
        "",
    ]
    folder = write_day(warehouse, 3, [line(9, 3), *bad])
    with (folder / "part-0").open("ab") as file:
        file.write(line(8, 3).encode().replace(b"Orion", b"Ori\xff") + b"\n")
    report = imported(site, folder, code=3)["tables"][0]
    assert (report["lines"], report["kept"], report["rejects"]) == (11, 1, 10)
    assert report["first"]["4 columns, not 5"] == f"{folder / 'part-0'}:2"
    assert report["reasons"] == {
        "4 columns, not 5": 1,
        "user_id is below 1": 1,
        "user_id does not fit bigint": 1,
        "timestamp is not of the day of its folder": 1,
        "event_type is unknown": 1,
        "course_id does not fit varchar(255)": 1,
        "timestamp does not fit datetime": 1,
        "no user_id": 1,
        "1 column, not 5": 1,
        "not UTF-8": 1,
    }
    shown = command(site, "rejects", "--json")
    assert {row["line_no"] for row in json.loads(shown.stdout)} == {*range(2, 12)}
    imported(site, folder, "--again", code=3)
    assert len(json.loads(command(site, "rejects", "--json").stdout)) == 10


@pytest.mark.parametrize(
    ("text", "hour"),
    [("T10:00:00.000000", 10), ("T10:00:00.5", 10), (" 10:00:00", 10), ("T10:00:00Z.000000", 10),
     ("T10:00:00-05:00.000000", 15)],
)  # fmt: skip
def test_times_as_the_old_pipeline_wrote_them(
    site: Path, warehouse: Path, text: str, hour: int
) -> None:
    folder = write_day(warehouse, 3, [f"{COURSE}\t1\t{day(3)}{text}\t{KIND}activated\taudit"])
    imported(site, folder)
    (row,) = rows_of(site, "enrollment_events")
    assert row["time"].hour == hour
    assert row["time"].microsecond == (500_000 if text.endswith(".5") else 0)


def test_a_damaged_file_leaves_its_day_out(site: Path, warehouse: Path) -> None:
    broken = warehouse / "course_enrollment_events" / f"dt={day(1)}" / "a.gz"
    broken.write_bytes(broken.read_bytes()[:-8])
    report = imported(site, warehouse, code=1)["tables"][0]
    assert list(report["errors"]) == [str(broken)]
    assert report["days"] == {"imported": 2, "failed": 1}
    assert events(site) == [(1, 0, "activated"), (2, 0, "activated")]
    write_day(warehouse, 1, [line(3, 1)], "a.gz")
    assert imported(site, warehouse)["tables"][0]["days"] == {"imported": 1, "unchanged": 2}
    assert events(site) == THREE


FACTS = [
    (
        "last_ip_of_user_id",
        f"{day(0)}T10:00:00.000000\t203.0.113.5\t7\t\\N",
        "last_ip_of_user_daily",
        {"user_id": 7, "ip": "203.0.113.5", "course_id": None},
    ),
    (
        "user_activity_by_user",
        f"7\t{COURSE}\t{day(0)}\tPLAYED_VIDEO\t3",
        "user_activity_by_user",
        {"user_id": 7, "label": "PLAYED_VIDEO", "count": 3},
    ),
    (
        "video_viewing_by_date",
        f"7\t{COURSE}\tv1\t-1\t{day(0)}T10:00:00.5\t0.0\t12.25\tpause_video",
        "video_viewings",
        {"encoded_module_id": "v1", "duration": None, "end_offset": 12.25, "youtube_id": None},
    ),
    (
        "user_video_viewing_by_date",
        f"7\t{COURSE}\tv1\t62\t{day(0)}T10:00:00\t1\t2e1\tseek",
        "video_viewings",
        {"duration": 62.0, "end_offset": 20.0, "ended_by": "seek_video"},
    ),
    (
        "module_engagement",
        f"{COURSE}\tbob\t{day(0)}\tproblem\tp1\tattempted\t3",
        "module_engagement",
        {
            "username": "bob",
            "entity_id": "p1",
            "event": "attempted",
            "count": 3,
            "user_id": None,
            "date": day(0),
        },
    ),
]


@pytest.mark.parametrize(("folder", "text", "table", "expected"), FACTS)
def test_every_daily_fact_has_its_place(
    site: Path, tmp_path: Path, folder: str, text: str, table: str, expected: dict[str, Any]
) -> None:
    place = tmp_path / "old" / folder / f"dt={day(0)}"
    place.mkdir(parents=True)
    (place / "data").write_text(f"{text}\n")
    imported(site, tmp_path / "old")
    (row,) = rows_of(site, table)
    assert {name: row[name] for name in expected} == expected
    assert row["day"] == day(0)


def test_a_fact_without_its_lens_is_refused(
    site: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [table for table in lens_tables() if table.lens != "enrollment"]
    monkeypatch.setattr(history, "lens_tables", lambda: kept)
    refused = command(site, "import-history", str(warehouse))
    assert isinstance(refused.exception, SourceError)
    assert "lens enrollment is not built in this version" in str(refused.exception)


def test_a_file_stands_for_its_day(site: Path, warehouse: Path) -> None:
    imported(site, warehouse / "course_enrollment_events" / f"dt={day(1)}" / "b")
    assert events(site) == [(1, 1, "deactivated"), (3, 1, "activated")]


def test_days_before_the_sites_start_are_refused(site: Path, warehouse: Path) -> None:
    write_day(warehouse, -1, [line(1, -1)])
    refused = command(site, "import-history", str(warehouse))
    assert isinstance(refused.exception, UsageError)
    assert f"before site.start = {day(0)}" in str(refused.exception)
    assert "enrollment_events" not in Lake(site / "lake").names()
    imported(site, warehouse, "--since", day(0))
    assert events(site) == THREE


def test_other_tables_are_named_and_left(site: Path, warehouse: Path) -> None:
    for name in ("course_enrollment_daily", "nonsense"):
        folder = warehouse / name / f"dt={day(0)}"
        folder.mkdir(parents=True)
        (folder / "data").write_text("x\n")
    (warehouse / "course_enrollment_events" / "dt=yesterday").mkdir()
    (warehouse / "course_enrollment_events" / "dt=yesterday" / "data").write_text("x\n")
    report = imported(site, warehouse, code=1)
    assert report["others"] == {"course_enrollment_daily": 1, "nonsense": 1}
    assert [Path(place).name for place in report["strange"]] == ["dt=yesterday"]
    assert events(site) == THREE


@pytest.mark.long
def test_killed_at_any_moment_it_ends_the_same(site: Path, warehouse: Path, tmp_path: Path) -> None:
    tables = steps.choose_tables(["enrollment_events"])
    with Nursery() as nursery:
        whole = shutil.copytree(site, tmp_path / "whole")
        child = nursery.run(whole, "import-history", str(warehouse))
        assert child.code == 0, child.err
        commit = 1 + child.points.index("after create_write_transaction")
        for point in (commit - 2, commit, len(child.points) - 1):
            broken = shutil.copytree(site, tmp_path / f"killed-{point}")
            assert nursery.run(broken, "import-history", str(warehouse), kill_at=point).code == -9
            run_job(broken, tables, only=("build",))  # what is there is not built from nothing
            second = nursery.run(broken, "import-history", str(warehouse))
            assert second.code == 0, second.err
            run_job(broken, tables, only=("build",))
            assert events(broken) == THREE, f"killed at point {point}: {child.points[point]}"
            with sites.studium.open(broken) as opened, opened.state.read() as conn:
                assert partitions(conn)["enrollment_events", day(1)].fingerprint == "imported"


def test_only_daily_facts_can_be_asked_for(site: Path) -> None:
    done = command(site, "import-history", str(site), "--table", "course_activity")
    assert isinstance(done.exception, UsageError)
    assert "user_activity_by_user" in str(done.exception)
