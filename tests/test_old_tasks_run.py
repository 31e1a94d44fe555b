"""`studium task` on the golden scenario (specs/edx-enrollment-geography §8.1): the old lines end in
the tables that `studium run` makes."""

import gzip
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import make_url

import studium
from studium.cli import main
from studium.errors import DONE, USAGE
from studium.lenses import tables
from tests.databases import Server
from tests.sites import (
    lent_engine,
    make_site,
    published_rows,
    rows_of,
    run_job,
    write_history,
)
from tests.spec import golden
from tests.test_why import log_lines, write_lms

ALPHA, BETA = golden.ALPHA.course_id, golden.BETA.course_id
START = date(2021, 3, 1)
IMPORT = "ImportEnrollmentsIntoMysql"
INTERVAL = "2021-03-01-2021-03-08"


@dataclass
class Said:
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs by day in `logs`, and LMS tables in `lms`."""
    folder = tmp_path_factory.mktemp("golden")
    (folder / "logs").mkdir()
    days: dict[str, list[str]] = {}
    for course, events in ((ALPHA, golden.ALPHA.events), (BETA, golden.BETA.events)):
        for line in log_lines(course, events):
            days.setdefault(json.loads(line)["time"][:10], []).append(line)
    for day, lines in days.items():
        path = folder / "logs" / f"tracking.log-{day.replace('-', '')}.gz"
        path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    (folder / "logs" / "notes.txt").write_text("not a log\n")
    write_lms(folder / "lms")
    return folder


@pytest.fixture(autouse=True)
def _one_engine() -> Iterator[None]:
    with lent_engine():
        yield


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `studium …` in this process, in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STUDIUM_SITE", raising=False)

    def run(*words: object) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["studium", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert isinstance(stopped.value.code, int)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Said(stopped.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def site(raw: Path, tmp_path: Path) -> Path:
    settings = {
        "site.start": START,
        "edx.source": [str(raw / "logs" / "*.gz")],
        "lms.source": str(raw / "lms"),
    }
    studium.init(tmp_path, settings).close()
    return tmp_path


@pytest.fixture(scope="module")
def expected(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """What `studium run` publishes."""
    root = tmp_path_factory.mktemp("expected")
    settings = {
        "site.start": START,
        "edx.source": [str(raw / "logs" / "*.gz")],
        "lms.source": str(raw / "lms"),
    }
    studium.init(root, settings).close()
    with lent_engine():
        run_job(root, tables("enrollment"), START, date(2021, 3, 8))
    return enrollment_of(root)


def enrollment_of(root: Path) -> dict[str, list[object]]:
    return {name: rows for name, rows in published_rows(root).items() if name.startswith("course_")}


def test_the_whole_workflow_ends_in_its_tables(
    site: Path, command: Command, expected: dict[str, list[object]]
) -> None:
    said = command("task", IMPORT, "--interval", INTERVAL, "--overwrite-mysql")
    assert said.code == DONE
    assert said.err == (
        "--overwrite-mysql: passed over; tables are always replaced, never appended to\n"
    )
    assert "Published 7 tables" in said.out
    assert enrollment_of(site) == expected
    with closing(sqlite3.connect(site / "results.db")) as db:  # §8.1
        rows = db.execute(
            "SELECT count, cumulative_count FROM course_enrollment_daily WHERE course_id = ? "
            "ORDER BY date",
            [ALPHA],
        ).fetchall()
    assert rows == [(2, 2), (2, 3), (2, 3), (2, 4), (3, 5), (3, 6), (3, 6)]


def test_history_then_the_nightly_line_is_the_same(
    site: Path, command: Command, expected: dict[str, list[object]]
) -> None:
    said = command(
        "task", "launch-task", "CourseEnrollmentEventsTask", "--local-scheduler",
        "--interval=2021-03-01-2021-03-05", "--n-reduce-tasks", "4",
    )  # fmt: skip
    assert said.code == DONE
    assert {line.partition(":")[0] for line in said.err.splitlines()} == {
        "--local-scheduler",
        "--n-reduce-tasks",
    }
    assert not (site / "results.db").exists()
    days = {row["day"].day for row in rows_of(site, "enrollment_events")}
    assert days == {1, 2, 3, 4}
    nightly = ["remote-task", "--host", "10.0.0.1", "--user", "hadoop", "--wait", IMPORT]
    said = command("task", *nightly, "--interval-end", "2021-03-08", "--overwrite_n_days=3")
    assert said.code == DONE
    assert "no other machine is contacted" in said.err
    assert enrollment_of(site) == expected
    # The whole history again changes nothing.
    again = command("task", "CourseEnrollmentEventsTask", "--interval", INTERVAL, "--overwrite")
    assert again.code == DONE
    assert enrollment_of(site) == expected


def test_a_single_load_publishes_its_table_only(site: Path, command: Command) -> None:
    said = command("task", "EnrollmentByModeTask", "--interval", INTERVAL)
    assert said.code == DONE
    assert set(enrollment_of(site)) == {"course_enrollment_mode_daily"}
    said = command("task", "CourseEnrollmentSummaryTask", "--interval", INTERVAL)
    assert said.code == DONE
    assert "enrollment_summary" in said.out
    assert set(enrollment_of(site)) == {"course_enrollment_mode_daily"}


def test_sources_of_the_line_come_before_the_sites(
    site: Path, raw: Path, command: Command, expected: dict[str, list[object]]
) -> None:
    toml = site / "studium.toml"
    toml.write_text(toml.read_text().replace(str(raw / "logs" / "*.gz"), "/nowhere/*.gz"))
    said = command(
        "task", IMPORT, "--interval", INTERVAL, "--source", json.dumps([str(raw / "logs")]),
        "--pattern", r'[".*tracking.log-(?P<date>\\d{8}).*\\.gz"]', "--expand-interval", "P2D",
    )  # fmt: skip
    assert said.code == DONE
    assert "notes.txt" not in said.out
    assert enrollment_of(site) == expected


def test_nothing_is_done_before_a_refusal(site: Path, command: Command) -> None:
    for words in (
        ("InsertToMysqlVideoTask", "--interval", INTERVAL, "--dropoff-threshold", "0.2"),
        (IMPORT, "--interval", "2020-01-01-2021-03-08"),
        (IMPORT, "--intervall", INTERVAL),
        ("CourseBlocksPartitionTask", "--input-root"),
        ("ImportEnrolments",),
        ("AnswerDistributionOneFilePerCourseTask", "--src", "x"),
        ("AnswerDistributionWorkflow", "--src", "x", "--output-root", "s3://bucket/reports"),
        (),
    ):
        said = command("task", *words)
        assert (said.code, said.out) == (USAGE, ""), words
        assert said.err.startswith("Error: ")
    assert [path.name for path in site.iterdir()] == ["studium.toml"]


def test_dependency_tree_shows_the_plan_and_changes_nothing(site: Path, command: Command) -> None:
    said = command("task", IMPORT, "--interval", INTERVAL, "--dependency-tree")
    assert said.code == DONE
    assert "course_enrollment_daily" in said.out
    assert "Never ingested: 7 days" in said.out
    assert not (site / "lake").exists()
    shown = command("task", "--json", IMPORT, "--interval", INTERVAL, "--dependency-tree")
    assert json.loads(shown.out)["until"] == "2021-03-08"


def test_tables_that_reach_further_are_said(site: Path, command: Command) -> None:
    assert command("task", "EnrollmentDailyMysqlTask", "--interval", INTERVAL).code == DONE
    said = command("task", "EnrollmentDailyMysqlTask", "--interval-end", "2021-03-05")
    assert said.code == DONE
    assert said.err == (
        "whole tables reach until 2021-03-08 already, and never cover less than before\n"
    )


def test_json_and_the_exit_code_are_those_of_run(site: Path, raw: Path, command: Command) -> None:
    bad = site / "bad"
    bad.mkdir()
    shutil.copy(raw / "logs" / "tracking.log-20210301.gz", bad / "cut.gz")
    (bad / "cut.gz").write_bytes((bad / "cut.gz").read_bytes()[:-20])
    said = command("task", "--json", IMPORT, "--interval", INTERVAL, "--source", bad)
    assert said.code == 1
    assert {"files", "built", "published"} <= json.loads(said.out).keys()
    assert "cut.gz" in said.err


def test_list_and_help(tmp_path: Path, command: Command) -> None:
    said = command("task", "--list")
    assert (said.code, said.err) == (DONE, "")
    lines = {line.split()[0]: line for line in said.out.splitlines()}
    assert " ready " in lines[IMPORT]
    assert "write a CSV file" in lines["AnswerDistributionOneFilePerCourseTask"]
    listed = json.loads(command("task", "--json", "--list").out)
    assert listed[0]["task"] == IMPORT
    assert {one["state"] for one in listed if one["missing"]} <= {"not yet"}
    said = command("task", "remote-task", "--host", "x", "CourseEnrollmentEventsTask", "--help")
    assert said.code == DONE
    assert "--interval VALUE" in said.out
    assert "mapped (needed)" in said.out
    assert "Usage:" in command("task", "--help").out
    assert command("task", "Nonsense", "--help").code == USAGE
    said = command("task", "AnswerDistributionOneFilePerCourseTask", "-h")
    assert "answers.report_folder" in said.out


def test_tasks_of_other_lenses(tmp_path: Path, command: Command) -> None:
    history = tmp_path / "logs"
    write_history(history)
    make_site(tmp_path / "site", history, run__max_reject_share=0.5)
    at = ("--site", tmp_path / "site", "task")
    said = command(*at, "UserActivityTask", "--interval", "2025-09-01-2025-09-08")
    assert said.code == DONE
    assert "user_activity_by_user" in said.out
    assert published_rows(tmp_path / "site") == {}
    said = command(
        *at, "InsertToMysqlCourseActivityTask", "--end-date", "2025-09-09", "--weeks", "1",
        "--overwrite-n-days", "3",
    )  # fmt: skip
    assert (said.code, said.err) == (DONE, "")
    said = command(*at, "InsertToMysqlAllVideoTask", "--interval", "2025-09-01-2025-09-09")
    assert said.code == DONE
    rows = published_rows(tmp_path / "site")
    weeks = {row[2:4] for row in rows["course_activity"]}
    assert weeks == {("2025-09-01 00:00:00", "2025-09-08 00:00:00")}
    assert {"video", "video_timeline"} <= rows.keys()


def test_tasks_of_answers_write_files(tmp_path: Path, command: Command) -> None:
    write_history(tmp_path / "logs")
    make_site(tmp_path / "site", tmp_path / "logs", run__max_reject_share=0.5)
    at = ("--site", tmp_path / "site", "task")
    made = ("--name", "x", "--dest", "/tmp/x", "--marker", "/tmp/y")
    said = command(
        *at, "launch-task", "AnswerDistributionWorkflow", "--local-scheduler", *made,
        "--src", f'["{tmp_path}/logs"]', "--include", '["*tracking.log*"]',
        "--output-root", tmp_path / "answers",
    )  # fmt: skip
    assert said.code == DONE, said.err
    (file,) = (tmp_path / "answers").rglob("*.csv")
    assert file.name == "Orion_A1_2025_answer_distribution.csv"
    assert file.read_text("utf-8").startswith("ModuleID,PartID,Correct Answer,")
    assert "answer_distribution" in published_rows(tmp_path / "site")
    responses = ("ProblemResponseReportWorkflow", "--marker", "/tmp/y", "--interval-end")
    said = command(*at, *responses, "2025-09-09")
    assert said.code == DONE
    assert "no files are written: no --output-root" in said.err
    said = command(*at, *responses, "2025-09-09", "--output-root", tmp_path / "responses")
    assert (said.code, [one.name for one in (tmp_path / "responses").iterdir()]) == (
        DONE, ["Orion_A1_2025_problem_response.csv"],
    )  # fmt: skip


def test_credentials_of_the_line_and_of_the_configuration(
    raw: Path, tmp_path: Path, mariadb: Server, command: Command
) -> None:
    url = make_url(mariadb.fresh())
    assert url.database
    held = {"host": url.host, "port": url.port, "username": url.username, "password": url.password}
    text = json.dumps(held).removesuffix("}") + ",\n}\n"  # a comma too many
    (tmp_path / "output.json").write_text(text)
    (tmp_path / "override.cfg").write_text(
        f"[database-export]\ndatabase = {url.database}\ncredentials = {tmp_path}/output.json\n"
        "[enrollments]\ninterval_start = 2021-03-01\n"
        f'[event-logs]\nsource = ["{raw}/logs"]\npattern = [".*tracking.log-.*.gz"]\n'
    )
    count = "SELECT SUM(count), COUNT(*) FROM course_enrollment_daily"
    until = ("--interval-end", "2021-03-08")

    assert command("init", "moved", "--from-cfg", "override.cfg").code == DONE
    said = command("--site", "moved", "task", "EnrollmentDailyMysqlTask", *until)
    assert said.code == DONE
    assert mariadb.sql(count, url.database).split()[-2:] == ["22", "14"]  # §8.1
    toml = (tmp_path / "moved" / "studium.toml").read_text()
    assert f":{url.password}@" not in said.out + said.err + toml

    other = make_url(mariadb.fresh()).database
    studium.init(tmp_path / "plain", {"site.start": START}).close()
    said = command(
        "--site", "plain", "task", "EnrollmentDailyMysqlTask", *until, "--source", raw / "logs",
        "--pattern", ".*gz", "--credentials", "output.json", "--database", other,
    )  # fmt: skip
    assert said.code == DONE
    assert f"/{other}, data until 2021-03-08" in said.out
    assert mariadb.sql(count, other).split()[-2:] == ["22", "14"]
    assert f":{url.password}@" not in said.out + said.err
    assert not (tmp_path / "plain" / "results.db").exists()


def test_without_a_country_database_nothing_is_read(site: Path, command: Command) -> None:
    said = command("task", "InsertToMysqlLastCountryPerCourseTask", "--interval", INTERVAL)
    assert (said.code, said.out) == (USAGE, "")
    assert "geography: no country database" in said.err
    assert not (site / "lake").exists()
