"""``studium verify`` finds what was changed behind Studium's back, and changes nothing itself."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import studium
from studium.autopilot.checks import examine
from studium.autopilot.forget import forget
from studium.autopilot.steps import choose_tables, publish_step
from studium.autopilot.verification import Verification, verify_site
from studium.cli import make_app
from studium.engines import StagedFile
from studium.lake.store import Lake
from tests import sites
from tests.sites import DAYS, contents, day, make_site, run_job
from tests.stores import Place, make_place, servers


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that was run; its logs are beside it."""
    folder = tmp_path_factory.mktemp("verify")
    sites.write_history(folder / "logs")
    site = make_site(folder / "site", folder / "logs", run__max_reject_share=1)
    with sites.lent_engine():
        run_job(site, choose_tables(sites.KINDS))
    return site


@pytest.fixture
def site(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "site"))


@pytest.fixture(autouse=True)
def engine() -> Iterator[None]:
    with sites.lent_engine():
        yield


def verify(site: Path, days: int = 2 * DAYS, **settings: object) -> Verification:
    with studium.open(
        site, {name.replace("__", "."): one for name, one in settings.items()}
    ) as opened:
        return verify_site(opened, Lake(opened.lake_dir), days, seed=1)


def found(report: Verification) -> set[tuple[str, str]]:
    return {(one.check, one.table) for one in report.wrong}


def a_file(site: Path, table: str) -> Path:
    """A file that the table's log names."""
    return Path(sorted(DeltaTable(str(site / "lake" / table)).file_uris())[0])


def edit(path: Path, column: str, value: Any) -> None:
    """Another value in the first row, by someone who knows to keep the log in order."""
    table = pq.read_table(path, partitioning=None)
    values = [value, *table[column].to_pylist()[1:]]
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, [values]), path)
    for log in (path.parents[1] if "day=" in path.parent.name else path.parent).glob(
        "_delta_log/*.json"
    ):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for line in lines:
            if path.name in line.get("add", {}).get("path", ""):
                line["add"]["size"] = path.stat().st_size
        log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_nothing_is_wrong_with_a_site_that_nobody_touched(site: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    report = verify(site)
    assert report.wrong == []
    assert report.notes == []
    assert report.days == [day(n) for n in range(5)]
    events = DeltaTable(str(site / "lake" / "events")).to_pyarrow_table().num_rows
    assert (report.events, report.raw_files) == (events, 5)
    assert report.published == len(contents(site)["published"]) - 1
    after = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    assert {path for path in after if path.suffix not in (".db-wal", ".db-shm")} == set(before)
    assert all(after[path] == time for path, time in before.items())


@pytest.mark.parametrize(("table", "place"), [("events", -5), ("course_enrollment_daily", 99)])
def test_a_flipped_byte(site: Path, table: str, place: int) -> None:
    path = a_file(site, table)
    whole = bytearray(path.read_bytes())
    whole[place] ^= 1
    path.write_bytes(whole)
    report = verify(site, days=0)
    (wrong,) = report.wrong
    assert (wrong.check, wrong.table, wrong.rows > 0) == ("files", table, True)
    assert path.name in wrong.found


def test_a_deleted_file_and_its_cure(site: Path) -> None:
    expected = contents(site)
    a_file(site, "course_enrollment_daily").unlink()
    report = verify(site, days=1)
    assert found(report) == {("files", "course_enrollment_daily")}
    cure = report.wrong[0].cure
    assert cure.startswith("Delete ")
    assert "`studium build course_enrollment_daily`" in cure
    shutil.rmtree(site / "lake" / "course_enrollment_daily")
    run_job(site)
    assert verify(site).wrong == []
    assert contents(site) == expected


def test_an_edited_row_of_events(site: Path) -> None:
    edit(a_file(site, "events"), "user_id", 4711)
    report = verify(site)
    # Whoever edits a file cannot make it fit its name.
    assert found(report) == {("files", "events")}
    assert report.wrong[0].day == day(0)
    path = a_file(site, "events")
    unnamed(site, path)
    report = verify(site)
    raw = [one for one in report.wrong if one.check == "raw"]
    assert [(one.table, one.day, one.rows) for one in raw] == [("events", day(0), 1)]


def unnamed(site: Path, path: Path) -> None:
    """A file whose name has no checksum, as those of older versions."""
    name = "-".join(path.stem.split("-")[:-1]) + ".parquet"
    for log in (site / "lake" / "events" / "_delta_log").glob("*.json"):
        log.write_text(log.read_text().replace(path.name, name))
    path.rename(path.with_name(name))


def test_events_that_are_gone_are_missed(site: Path) -> None:
    with studium.open(site) as opened, opened.writer("test"):
        lake = Lake(opened.lake_dir)
        events = lake.snapshot("events")
        lake.commit(
            "events", [], columns=events.columns, by_day=True, build="00000099-000000",
            fingerprint="shred001", replace=events.by_partition()[day(3)],
        )  # fmt: skip
    report = verify(site)
    raw = [one for one in report.wrong if one.check == "raw"]
    assert {(one.table, one.day) for one in raw} == {("events", day(3))}
    assert raw[0].rows == events.by_partition()[day(3)][0].rows
    assert "--lookback" in raw[0].cure


def test_an_edited_row_of_a_built_table_and_its_cure(site: Path) -> None:
    expected = contents(site)
    path = a_file(site, "enrollment_changes")
    with studium.open(site) as opened, opened.writer("test"):
        lake = Lake(opened.lake_dir)
        held = lake.snapshot("enrollment_changes")
        table = pq.read_table(path)
        rows = table.slice(0, table.num_rows - 1)
        target = opened.scratch / "edited.parquet"
        target.parent.mkdir(exist_ok=True)
        pq.write_table(rows, target)
        lake.commit(
            held.name, [StagedFile(target, None, rows.num_rows, target.stat().st_size)],
            columns=held.columns, by_day=False, build=held.files[0].build,
            fingerprint=held.files[0].fingerprint,
        )  # fmt: skip
    report = verify(site, days=1)
    # What is made of it is not what it gives any more, and the run did not see that it changed.
    assert ("built", "enrollment_changes") in found(report)
    assert {one.check for one in report.wrong} == {"built"}
    assert "`studium build enrollment_changes --again`" in report.wrong[0].cure
    run_job(site, asked={one.table for one in report.wrong})
    assert verify(site).wrong == []
    assert contents(site) == expected


def test_raw_files_that_are_gone_or_have_changed_are_said(site: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    sites.write_history(logs)
    own = make_site(tmp_path / "own", logs, run__max_reject_share=1)
    run_job(own)
    (logs / f"tracking.log-{day(0):%Y%m%d}.gz").unlink()
    with (logs / f"tracking.log-{day(1):%Y%m%d}").open("a") as file:
        file.write(sites.enrollment(500, 1) + "\n")
    report = verify(own)
    assert report.wrong == []
    assert len(report.notes) == 1
    assert "gone" in report.notes[0]
    assert report.raw_files == 4


@pytest.mark.long
def test_a_forgotten_learner_is_not_missed(site: Path) -> None:
    with studium.open(site) as opened, opened.writer("test"):
        forget(opened, Lake(opened.lake_dir), "learner2", None)
    report = verify(site)
    assert report.wrong == []
    assert report.raw_files == 5


# Published tables, on every store


# In SQLite: test_the_command.
@pytest.fixture(
    params=[
        *servers("postgresql"),
        pytest.param("mariadb", id="mariadb", marks=pytest.mark.long),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, request.param, tmp_path / "site")


def test_an_edited_published_row_and_its_cure(site: Path, place: Place) -> None:
    run_job(site, choose_tables(sites.KINDS), only=("publish",), results__url=place.url)
    assert verify(site, 0, results__url=place.url).wrong == []
    place.do(
        f"UPDATE course_enrollment_daily SET count = 99 WHERE date = '{day(2)}' "
        f"AND course_id = '{sites.COURSE}'",
        "DELETE FROM video",
    )
    report = verify(site, 0, results__url=place.url)
    assert [(one.check, one.table, one.rows) for one in report.wrong] == [
        ("published", "course_enrollment_daily", 1),
        ("published", "video", 1),
    ]
    with studium.open(site, {"results.url": place.url}) as opened:
        (store,) = [one for one in examine(opened) if one.check == "result store"]
    assert (store.ok, store.cure) == (False, "Run `studium publish --again`.")
    assert "video" in store.found
    assert f"date {day(2)}" in report.wrong[0].found
    assert report.wrong[0].cure == "Run `studium publish course_enrollment_daily --again`."
    with studium.open(site, {"results.url": place.url}) as opened, opened.writer("test"):
        tables = choose_tables(["course_enrollment_daily", "video"])
        publish_step(opened, Lake(opened.lake_dir), tables, again=True)
    assert verify(site, 0, results__url=place.url).wrong == []


def test_the_command(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            make_app()(["--site", str(site), *arguments], prog_name="studium")
        code = stopped.value.code
        return (code if isinstance(code, int) else 0), capsys.readouterr().out

    code, said = run("verify", "--days", "2", "--seed", "5")
    assert code == 0
    assert "published  7 tables, 60 rows" in said
    assert "drawn with --seed 5" in said
    with closing(sqlite3.connect(site / "results.db")) as db:
        db.execute("UPDATE course_enrollment_daily SET count = 7 WHERE id = 1")
        db.commit()
    code, said = run("verify", "--days", "0", "--json")
    assert code == 1
    (wrong,) = json.loads(said)["wrong"]
    assert (wrong["table"], wrong["rows"], wrong["day"]) == ("course_enrollment_daily", 1, None)
    code, said = run("publish", "course_enrollment_daily", "--again")
    assert (code, "Published" in said) == (0, True)
    assert run("verify", "--days", "0")[0] == 0
