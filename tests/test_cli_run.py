"""What the commands of the main job promise: exit codes, words, JSON, and no traceback."""

import csv
import io
import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from studium.cli import main
from studium.columns import Column
from studium.errors import DONE, FAILED, REJECTS, USAGE
from studium.lake.tables import Table
from tests import sites
from tests.sites import END, FEW, FIRST
from tests.stores import make_place

UNTIL = ("--until", str(END))
RUN = ("run", *FEW, *UNTIL)


@dataclass
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with logs and a site over them that was run once."""
    folder = tmp_path_factory.mktemp("cli")
    sites.write_history(folder / "logs")
    lms = folder / "lms"
    lms.mkdir()
    (lms / "auth_user.csv").write_text(
        "id,username,email,first_name,last_name,password\n1,learner1,one@example.org,Ada,L,secret\n"
    )
    site = sites.make_site(
        folder / "site", Path("../logs"), lms__source="../lms", run__max_reject_share=0.5
    )
    with sites.lent_engine():
        sites.run_job(site)
        yield folder


@pytest.fixture
def site(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    # The manifest knows files by their absolute path.
    studium_toml = tmp_path / "site" / "studium.toml"
    text = studium_toml.read_text().replace("../logs", str(made / "logs"))
    studium_toml.write_text(text)
    monkeypatch.chdir(tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def studium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command line in this process."""
    monkeypatch.delenv("STUDIUM_SITE", raising=False)

    def studium(*arguments: object) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["studium", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert isinstance(stopped.value.code, int)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Said(stopped.value.code, captured.out, captured.err)

    return studium


def more_logs(site: Path, on: int, *lines: str, part: str = "-late") -> tuple[str, str]:
    """A further log file, and the options that name it."""
    path = sites.write_log(site.parent / "more", on, lines, part)
    return "--source", str(path)


# run


def test_a_first_run_says_what_became_of_every_line(
    made: Path, tmp_path: Path, studium: Command
) -> None:
    site = sites.make_site(tmp_path / "fresh", made / "logs", run__max_reject_share=0.5)
    said = studium("--site", site, *RUN)
    assert said.code == DONE
    lines = said.out.splitlines()
    assert lines[-1].startswith("Published 2 tables, 24 rows to sqlite:///results.db, data until")
    (total,) = [line.split() for line in lines if line.startswith("5 files")]
    assert total[2:] == ["55", "52", "1", "2", "52"]
    assert "Refused: not JSON 1, blank line 1. See `studium rejects`." in lines
    for name in (*FEW, "enrollment_events", "calendar"):
        assert any(line.startswith(f"{name} ") for line in lines), name
    assert said.err == ""


def test_a_second_run_has_nothing_to_do(site: Path, studium: Command) -> None:
    before = sites.published_rows(site)
    said = studium(*RUN)
    assert said.code == DONE
    assert "No new or changed log file (5 unchanged)." in said.out
    assert "Nothing to build." in said.out
    assert "Nothing to publish: sqlite:///results.db is up to date." in said.out
    assert sites.published_rows(site) == before


def test_the_nightly_line_takes_everything_from_studium_toml(site: Path, studium: Command) -> None:
    said = studium("run")
    assert said.code == DONE
    assert "auth_user: 1 row, unchanged" in said.out
    assert "No new or changed log file (5 unchanged)." in said.out
    with closing(sqlite3.connect("results.db")) as db:
        names = {name for (name,) in db.execute("SELECT table_name FROM studium_published")}
    assert {"course_enrollment_daily", "course_meta_summary_enrollment"} <= names


def test_one_late_event_rebuilds_its_day_only(site: Path, studium: Command) -> None:
    path = site / "lake" / "enrollment_events"
    before = DeltaTable(str(path)).version()
    source = more_logs(site, 5, sites.enrollment(900, 1))
    assert studium("ingest", *source, *UNTIL).code == DONE
    plan = studium("plan", *FEW, *UNTIL, "--json").json["work"]
    assert [(one["table"], one["day"]) for one in plan] == [
        ("enrollment_discards", "2025-09-02"),
        ("enrollment_events", "2025-09-02"),
        ("enrollment_changes", None),
        ("course_enrollment_daily", None),
        ("course_enrollment_mode_daily", None),
    ]
    said = studium(*RUN, *source, "--json").json
    built = {one["table"]: (one["reasons"], one["changed"]) for one in said["built"]}
    assert built["enrollment_events"] == ({"input changed": 1}, 1)
    delta = DeltaTable(str(path))
    assert delta.version() == before + 1
    (log,) = (path / "_delta_log").glob(f"*{delta.version()}.json")
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    touched = [one[kind]["path"] for one in actions for kind in ("add", "remove") if kind in one]
    assert len(touched) == 2
    assert all(one.startswith("day=2025-09-02/") for one in touched)
    assert [one["table"] for one in said["published"]] == [
        "course_enrollment_daily",
        "course_enrollment_mode_daily",
    ]


def test_look_back_reads_and_builds_the_last_days_again(site: Path, studium: Command) -> None:
    said = studium(*RUN, "--until", sites.day(5), "--lookback", 3, "--json").json
    # Days 2, 3 and 4, and the two days around them that a file's name may be off.
    assert [file["new"] for file in said["files"]] == [0] * 5
    built = {one["table"]: (one["reasons"], one["changed"]) for one in said["built"]}
    assert built == {
        "enrollment_discards": ({"look-back": 3}, 0),
        "enrollment_events": ({"look-back": 3}, 0),
    }
    assert said["published"] == []
    assert studium(*RUN, "--lookback", 10**9).code == DONE


def test_too_many_refused_lines_are_exit_code_3(site: Path, studium: Command) -> None:
    source = more_logs(site, 5, sites.enrollment(900, 5), "{", "[", "nothing")
    said = studium(*RUN, *source)
    assert said.code == REJECTS
    assert "3 of 4 lines were refused" in said.err
    assert "run.max_reject_share = 0.5" in said.err
    assert "Published 2 tables" in said.out, "all the same everything was done"


def test_a_damaged_file_is_exit_code_1_and_the_rest_is_done(site: Path, studium: Command) -> None:
    source = more_logs(site, 5, sites.enrollment(900, 5))
    whole = sites.write_log(site.parent / "more", 6, [sites.enrollment(901, 6)] * 50, "", True)
    whole.write_bytes(whole.read_bytes()[:-40])
    said = studium(*RUN, *source, "--source", whole)
    assert said.code == FAILED
    assert str(whole) in said.err
    assert "Everything else was done" in said.err
    assert "Published 2 tables" in said.out


def test_json_of_a_run_is_one_document(site: Path, studium: Command) -> None:
    source = more_logs(site, 5, sites.enrollment(900, 5), "{")
    said = studium(*RUN, *source, "--json").json
    assert said["interval"] == [str(FIRST), str(END)]
    (file,) = said["files"]
    assert (file["lines"], file["kept"], file["duplicates"], file["rejects"]) == (2, 1, 0, 1)
    assert said["reasons"] == {"not JSON": 1}
    assert {one["table"] for one in said["published"]} == {
        "course_enrollment_daily",
        "course_enrollment_mode_daily",
    }


# The steps alone, and plan


def test_the_steps_alone_do_what_run_does(made: Path, tmp_path: Path, studium: Command) -> None:
    site = sites.make_site(tmp_path / "fresh", made / "logs", run__max_reject_share=0.5)
    at = ("--site", site)
    read = studium(*at, "ingest", *UNTIL, "--lms", made / "lms", "--json")
    assert (read.code, len(read.json["files"])) == (DONE, 5)
    assert not (site / "results.db").exists()
    built = studium(*at, "build", *FEW, *UNTIL, "--json")
    assert {one["table"] for one in built.json["built"]} >= set(FEW)
    published = studium(*at, "publish", *FEW, "--json")
    assert [one["rows"] for one in published.json["published"]] == [8, 16]
    assert "Nothing to build." in studium(*at, "build", *FEW, *UNTIL).out
    assert "Nothing to publish" in studium(*at, "publish", *FEW).out
    assert sites.contents(site) == sites.contents(made / "site")


def test_the_plan_says_what_and_why_and_changes_nothing(
    made: Path, tmp_path: Path, studium: Command
) -> None:
    site = sites.make_site(tmp_path / "fresh", made / "logs", run__max_reject_share=0.5)
    said = studium("--site", site, "plan", *FEW, *UNTIL)
    assert said.code == DONE
    assert "Never ingested: 8 days: 2025-09-01 … 2025-09-08." in said.out
    assert not (site / "lake").exists()
    studium("--site", site, "ingest", "--since", sites.day(2), *UNTIL)
    said = studium("--site", site, "plan", *FEW, *UNTIL)
    assert "Days [2025-09-01, 2025-09-09); whole tables until 2025-09-09." in said.out
    assert "Never ingested: 2 days: 2025-09-01 … 2025-09-02." in said.out
    (line,) = [one for one in said.out.splitlines() if one.startswith("enrollment_events ")]
    assert re.fullmatch(r"\w+ +new day +5 +2025-09-01 … 2025-09-05", line)
    assert "whole table" in said.out


def test_the_plan_in_json(site: Path, studium: Command) -> None:
    assert studium("plan", *FEW, *UNTIL).out.endswith("Nothing to build.\n")
    said = studium("plan", *FEW, "--until", sites.day(10), "--lookback", 6, "--json").json
    assert said["whole_until"] == "2025-09-11"
    assert said["never_ingested"] == [["2025-09-09", "2025-09-11"]]
    reasons = {(one["table"], one["day"]): one["reason"] for one in said["work"]}
    assert reasons["calendar", None] == "parameter changed"
    assert reasons["enrollment_events", "2025-09-05"] == "look-back"
    assert ("enrollment_events", "2025-09-04") not in reasons


def test_again_builds_what_has_not_changed(site: Path, studium: Command) -> None:
    said = studium("build", "course_enrollment_daily", *UNTIL, "--again", "--json").json["built"]
    assert [(one["table"], one["reasons"], one["changed"]) for one in said] == [
        ("course_enrollment_daily", {"asked for": 1}, 0)
    ]


def test_a_lens_stands_for_its_tables(site: Path, studium: Command) -> None:
    said = studium("plan", "enrollment", *UNTIL, "--json").json
    assert {one["table"] for one in said["work"]} >= {"enrollment_summary", "course_grade_by_mode"}


def test_a_published_day_table_loses_the_day_that_became_empty(site: Path) -> None:
    def tables(condition: str) -> list[Table]:
        return [
            replace(
                one,
                publish="enrollment_events",
                sql=f"SELECT * FROM ({one.sql}) AS every_one WHERE {condition}",
                code=condition,
            )
            for one in sites.few()
            if one.name == "enrollment_events"
        ]

    def published_days() -> set[str]:
        with closing(sqlite3.connect(site / "results.db")) as db:
            return {day for (day,) in db.execute("SELECT day FROM enrollment_events")}

    sites.run_job(site, tables("true"))
    assert published_days() == {str(sites.day(n)) for n in range(5)}
    sites.run_job(site, tables("day <> DATE '2025-09-03'"))
    assert published_days() == {str(sites.day(n)) for n in (0, 1, 3, 4)}
    assert sites.run_job(site, tables("day <> DATE '2025-09-03'")).published == []


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_site_publishes_to_a_server(
    site: Path,
    studium: Command,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    place = make_place(request, kind, site)
    monkeypatch.setenv("STUDIUM_RESULTS__URL", place.url)
    shown = place.url.replace(":studium@", ":***@")
    said = studium("publish", *FEW)
    assert said.code == DONE
    assert said.out.startswith("Published ")
    assert f" rows to {shown}, data until 2025-09-09" in said.out
    for table in ("course_enrollment_daily", "course_enrollment_mode_daily"):
        query = f"SELECT course_id, date, count, cumulative_count FROM {table} ORDER BY id"
        with closing(sqlite3.connect(site / "results.db")) as db:
            assert [(a, str(b), c, d) for a, b, c, d in place.rows(query)] == [*db.execute(query)]
    assert "Nothing to publish" in studium("publish", *FEW).out
    found = {one["check"]: one for one in studium("doctor", "--json").json}
    assert found["result store"]["ok"], found["result store"]
    assert shown in studium("config").out
    assert studium("show", "course_enrollment_daily", "--limit", 1).code == DONE

    monkeypatch.setenv("STUDIUM_RESULTS__URL", place.url.replace(":studium@", ":wrong@"))
    for command in ("publish", "doctor"):
        said = studium(command)
        assert said.code == FAILED
        assert "STUDIUM_RESULTS_PASSWORD" in said.out + said.err
        assert "wrong" not in said.out + said.err


def test_a_changed_header_is_published_though_the_rows_are_equal(site: Path) -> None:
    def tables(length: int, indexes: tuple[tuple[str, ...], ...]) -> list[Table]:
        def declared(column: Column) -> Column:
            named = column.name == "course_id"
            return replace(column, type=f"varchar({length})") if named else column

        return [
            replace(one, columns=tuple(map(declared, one.columns)), indexes=indexes)
            if one.name == "course_enrollment_daily"
            else one
            for one in sites.few()
        ]

    def made() -> str:
        with closing(sqlite3.connect(site / "results.db")) as db:
            (found,) = db.execute("SELECT group_concat(sql) FROM sqlite_schema WHERE "
                                  "tbl_name = 'course_enrollment_daily'").fetchone()  # fmt: skip
            return str(found)

    before = sites.published_rows(site)["course_enrollment_daily"]
    for length, indexes in ((255, (("date",),)), (200, (("date",),))):
        done = sites.run_job(site, tables(length, indexes))
        assert not any(one.changed for one in done.built)
        assert [one.table for one in done.published] == ["course_enrollment_daily"]
        assert f"VARCHAR({length})" in made()
        assert "ix_course_enrollment_daily_date" in made()
        assert sites.published_rows(site)["course_enrollment_daily"] == before
        assert sites.run_job(site, tables(length, indexes)).published == []


def test_a_table_that_is_declared_no_longer_goes(site: Path, studium: Command) -> None:
    former = [
        replace(one, publish="former") if one.name == "course_enrollment_daily" else one
        for one in sites.few()
    ]
    sites.run_job(site, former)
    with closing(sqlite3.connect(site / "results.db")) as db:
        db.execute("CREATE TABLE theirs (id, created)")
        db.commit()
    assert "former" in sites.published_rows(site)
    found = {one["check"]: one for one in studium("doctor", "--json").json}
    assert "former" in found["result store"]["found"]
    said = studium("publish", *FEW)
    assert "Dropped former from the result store" in said.err
    now = sites.published_rows(site)
    assert "former" not in now
    assert "theirs" in now
    assert "former" not in {row[0] for row in now["studium_published"]}
    assert studium("publish", *FEW).err == ""


# Mistakes of users


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "enrolment"), USAGE, ["no lens or table 'enrolment'", "enrollment"]),
        (("build", "nonsense"), USAGE, ["'nonsense'", "course_enrollment_daily"]),
        (("plan", "--since", "yesterday"), USAGE, ["'yesterday' is not a date", "YYYY-MM-DD"]),
        (("run", "--until", "2025-02-30"), USAGE, ["2025-02-30", "not a day of the calendar"]),
        (("run", "--since", "2025-09-05", "--until", "2025-09-01"), USAGE, ["before it begins"]),
        (("run", "--lookback", "-1"), USAGE, ["--lookback", "equal to 0"]),
        (("run", "--engine", "sparrow"), USAGE, ["engine.name = 'sparrow'", "duckdb or spark"]),
        (("run", "--nonsense"), USAGE, ["No such option", "--nonsense"]),
        (("run", "--source", "nowhere/*.log"), FAILED, ["no file matches", "nowhere/*.log"]),
        (("show", "nonsense"), USAGE, ["no table 'nonsense'", "course_enrollment_daily"]),
        (("show", "enrollment_summary"), USAGE, ["`studium build enrollment_summary`"]),
        (("show", "events", "--where", "nope = 1"), USAGE, ["--where nope = 1", "event_type"]),
        (("show", "events", "--where", "time >"), USAGE, ["--where time >", "SQL condition"]),
        (("show", "events", "--format", "xml"), USAGE, ["xml", "parquet"]),
        (("show", "events", "--format", "csv", "--output", "no/where.csv"), FAILED, ["no/where"]),
        (("--site", "elsewhere", "run"), USAGE, ["not a Studium site", "studium init"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_told_in_words(
    arguments: tuple[str, ...], code: int, words: list[str], site: Path, studium: Command
) -> None:
    said = studium(*arguments)
    assert said.code == code
    for word in words:
        assert word in said.err
    assert said.out == ""


def test_logs_are_kept_whatever_becomes_of_the_lms(site: Path, studium: Command) -> None:
    source = more_logs(site, 5, sites.enrollment(900, 5))
    failed = studium("run", *source, *UNTIL, "--lms", "nowhere")
    assert (failed.code, "nowhere" in failed.err) == (FAILED, True)
    assert "No new or changed log file" in studium("ingest", *source, *UNTIL).out


def test_no_site_here(tmp_path: Path, studium: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = studium("run")
    assert said.code == USAGE
    assert "studium init" in said.err
    assert "STUDIUM_SITE" in said.err


def test_no_source(tmp_path: Path, studium: Command) -> None:
    import studium as package

    package.init(tmp_path / "site").close()
    said = studium("--site", tmp_path / "site", "run")
    assert said.code == USAGE
    assert "--source GLOB" in said.err
    assert "edx.source" in said.err


def test_a_lake_that_cannot_be_written_to(site: Path, studium: Command) -> None:
    shutil.rmtree(site / "lake")
    (site / "lake").write_text("not a folder")
    said = studium(*RUN)
    assert said.code == FAILED
    assert said.err.startswith("Error: ")
    assert str(site / "lake") in said.err


def test_studium_site_selects_the_site(
    site: Path, tmp_path: Path, studium: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("STUDIUM_SITE", str(site))
    assert studium("plan", *FEW, *UNTIL).out.endswith("Nothing to build.\n")
    assert studium("--site", tmp_path, "plan").code == USAGE, "the option comes first"
    source = more_logs(site, 5, sites.enrollment(900, 5))
    monkeypatch.chdir(tmp_path)
    said = studium("ingest", "--source", Path(source[1]).relative_to(tmp_path), "--json").json
    assert [file["path"] for file in said["files"]] == [source[1]], "from the current directory"


# show and rejects


def test_show_in_four_formats(site: Path, tmp_path: Path, studium: Command) -> None:
    show = ("show", "course_enrollment_daily")
    shown = studium(*show)
    assert shown.out.splitlines()[0].split() == ["course_id", "date", "count", "cumulative_count"]
    assert len(shown.out.splitlines()) == 9
    rows = studium(*show, "--format", "json").json
    assert [row["date"] for row in rows] == [str(sites.day(n)) for n in range(8)]
    assert {row["course_id"] for row in rows} == {sites.COURSE}
    plain = list(csv.DictReader(io.StringIO(studium(*show, "--format", "csv").out)))
    assert plain == [{key: str(value) for key, value in row.items()} for row in rows]
    target = tmp_path / "rows.parquet"
    assert studium(*show, "--format", "parquet", "--output", target).out == ""
    stored = pq.read_table(target).to_pylist()
    assert [{**row, "date": str(row["date"])} for row in stored] == rows
    with closing(sqlite3.connect("results.db")) as db:
        counts = db.execute("SELECT count FROM course_enrollment_daily ORDER BY id").fetchall()
    assert [(row["count"],) for row in rows] == counts


def test_show_where_and_limit(site: Path, studium: Command) -> None:
    one = studium("show", "course_enrollment_daily", "--where", "date = '2025-09-03'",
                  "--format", "json").json  # fmt: skip
    assert [row["date"] for row in one] == ["2025-09-03"]
    shown = studium("show", "events", "--limit", 2)
    assert len(shown.out.splitlines()) == 4
    assert "52 rows in all" in shown.out


def test_tables_of_names_are_shown_only_when_allowed(site: Path, studium: Command) -> None:
    said = studium("show", "auth_user_contact", "--format", "json")
    assert (said.code, said.out) == (USAGE, "")
    assert "--restricted" in said.err
    said = studium("show", "auth_user_contact", "--restricted", "--format", "json")
    assert [row["email"] for row in said.json] == ["one@example.org"]
    assert "secret" not in said.out
    assert "one@example.org" not in studium("show", "auth_user").out


def test_what_a_terminal_would_obey_is_escaped(site: Path, studium: Command) -> None:
    """Cursor movements and turned reading directions come from logs and names of files."""
    refused = '{"time": "\x1b[2J\u202e"}'
    studium("ingest", *more_logs(site, 5, refused, part="-\x1b[31m"), *UNTIL)
    shown = studium("rejects", "--limit", 100)
    assert "\\x1b[2J\\u202e" in shown.out
    wrong = studium("ingest", "--source", "/no/\x1b]0;such\x07\u202efile", *UNTIL)
    assert wrong.code == 1
    assert "/no/\\x1b]0;such\\x07\\u202efile" in wrong.err
    assert not {"\x1b", "\x07", "\u202e"} & {*shown.out, *wrong.out, *wrong.err}


def test_rejects_with_place_reason_and_text(site: Path, studium: Command) -> None:
    source = more_logs(site, 5, sites.enrollment(900, 5), '{"time": "long ago"}')
    studium("ingest", *source, *UNTIL)
    rows = studium("rejects", "--json").json
    told = [(Path(row["path"]).name, row["line_no"], row["reason"], row["raw"]) for row in rows]
    assert told == [
        ("tracking.log-20250903.gz", 12, "not JSON", "{broken"),
        ("tracking.log-20250903.gz", 13, "blank line", ""),
        ("tracking.log-20250906-late", 2, "time is not a date and time", '{"time": "long ago"}'),
    ]
    assert len(studium("rejects", "--reason", "JSON", "--json").json) == 1
    assert len(studium("rejects", "--file", "-late", "--json").json) == 1
    shown = studium("rejects", "--limit", 1).out
    assert "3 lines in all" in shown
    assert "{broken" in shown
    assert studium("rejects", "--reason", "no such reason").out == "No such line was refused.\n"


# doctor, vacuum, config


def findings(studium: Command) -> dict[str, dict[str, Any]]:
    said = studium("doctor", "--json")
    found = {one["check"]: one for one in said.json}
    assert said.code == (DONE if all(one["ok"] for one in found.values()) else FAILED)
    return found


def publish_all(studium: Command) -> None:
    assert studium("run", *UNTIL).code == DONE


def test_a_sound_site(site: Path, studium: Command) -> None:
    publish_all(studium)
    assert all(one["ok"] for one in findings(studium).values())
    said = studium("doctor")
    assert said.code == DONE
    assert "WRONG" not in said.out


@pytest.mark.long
def test_doctor_finds_a_file_that_is_gone_and_its_cure_works(site: Path, studium: Command) -> None:
    publish_all(studium)
    before = sites.contents(site)
    (file,) = (site / "lake" / "course_enrollment_daily").glob("*.parquet")
    file.unlink()
    found = findings(studium)["table course_enrollment_daily"]
    assert not found["ok"]
    assert file.name in found["found"]
    assert "studium build course_enrollment_daily" in found["cure"]
    shutil.rmtree(site / "lake" / "course_enrollment_daily")
    assert studium("build", "course_enrollment_daily", *UNTIL).code == DONE
    assert studium("publish").code == DONE
    assert all(one["ok"] for one in findings(studium).values())
    assert sites.contents(site) == before


def test_a_lost_lake_is_read_anew(site: Path, studium: Command) -> None:
    before = sites.contents(site)
    shutil.rmtree(site / "lake")
    assert studium(*RUN).code == DONE
    assert sites.contents(site) == before


@pytest.mark.long
def test_doctor_finds_a_wrong_ledger_and_repairs_it(site: Path, studium: Command) -> None:
    publish_all(studium)
    before = sites.contents(site)
    with closing(sqlite3.connect("state.db", isolation_level=None)) as db:
        db.execute("UPDATE partitions SET build = '00000099-ffffff' WHERE table_name = 'calendar'")
        db.execute("DELETE FROM partitions WHERE table_name = 'enrollment_events'")
    found = findings(studium)["ledger"]
    assert not found["ok"]
    assert found["found"].startswith("1 rows name builds the lake does not have, 5 partitions")
    said = studium("doctor", "--repair")
    assert said.code == DONE
    assert "Ledger made anew" in said.out
    assert findings(studium)["ledger"]["ok"]
    publish_all(studium)
    assert sites.contents(site) == before


@pytest.mark.long
def test_a_lost_state_is_repaired(site: Path, studium: Command) -> None:
    publish_all(studium)
    before = sites.contents(site)
    for file in site.glob("state.db*"):
        file.unlink()
    assert not findings(studium)["ledger"]["ok"]
    assert studium("doctor", "--repair").code == DONE
    assert studium("vacuum", "--keep-hours", 0).code == DONE
    publish_all(studium)
    assert "Nothing to build." in studium("build", *UNTIL).out
    assert sites.contents(site) == before


@pytest.mark.long
def test_doctor_finds_tables_that_are_not_published(site: Path, studium: Command) -> None:
    publish_all(studium)
    before = sites.published_rows(site)
    (site / "results.db").unlink()
    found = findings(studium)["result store"]
    assert not found["ok"]
    assert "course_enrollment_daily" in found["found"]
    assert found["cure"] == "Run `studium publish`."
    assert studium("publish").code == DONE
    assert findings(studium)["result store"]["ok"]
    assert sites.published_rows(site) == before


def test_vacuum_says_what_it_does(site: Path, studium: Command) -> None:
    source = more_logs(site, 5, sites.enrollment(900, 1))
    assert studium(*RUN, *source).code == DONE
    before = sites.contents(site)
    files = set(site.rglob("*.parquet"))
    said = studium("vacuum", "--keep-hours", 0, "--dry-run")
    assert "would go" in said.out
    assert set(site.rglob("*.parquet")) == files
    assert "0 files" in studium("vacuum").out, "what was replaced today is kept"
    said = studium("vacuum", "--keep-hours", 0)
    assert "deleted" in said.out
    gone = files - set(site.rglob("*.parquet"))
    assert said.out.splitlines()[-1].startswith(f"{len(gone)} file")
    assert len(gone) == 4
    assert sites.contents(site) == before


def test_config_is_the_same_before_and_after_a_run(site: Path, studium: Command) -> None:
    before = studium("config").out
    assert studium(*RUN, "--lookback", 2).code == DONE
    assert studium("config").out == before
    assert "edx.source" in before
