"""`studium compare`: every difference from an old result store is found, and told apart."""

import csv
import json
import shutil
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from studium.cli import make_app
from studium.errors import ResultsError, UsageError
from studium.lenses import tables as lens_tables
from studium.lenses.differences import documented
from studium.servers import server_url
from tests import sites
from tests.conftest import ROOT
from tests.databases import Server
from tests.sites import COURSE, END, OTHER, day, enrollment, run_job, write_log

DAILY, MODE = "course_enrollment_daily", "course_enrollment_mode_daily"
SUMMARY = "course_meta_summary_enrollment"
CCX = "ccx-v1:Orion+A1+2025+ccx@7"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A site with a small history that has been published."""
    folder = tmp_path_factory.mktemp("compare")
    sites.write_history(folder / "logs")
    write_log(
        folder / "logs", 6,
        [enrollment(50, 6, course=OTHER), enrollment(51, 6, course=CCX),
         enrollment(52, 6, mode="None", course=OTHER),
         # No learner's number: the old pipeline counted it.
         enrollment(53, 6, course=OTHER).replace('"user_id": 53', '"user_id": "x"')],
    )  # fmt: skip
    with sites.lent_engine():
        site = sites.make_site(folder / "site", folder / "logs")
        run_job(site, sites.steps.choose_tables(["enrollment"]))
        yield site


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "site"))


class Old:
    """A store as the old pipeline left it: the same rows, without unique keys, `created` older."""

    def __init__(self, path: Path, site: Path) -> None:
        self.path, self.url = path, f"sqlite:///{path}"
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"ATTACH '{site / 'results.db'}' AS new")
            for table in lens_tables():
                name = table.publish
                there = (
                    name
                    and db.execute(
                        "SELECT 1 FROM new.sqlite_master WHERE name = ?", (name,)
                    ).fetchone()
                )
                if there:
                    db.execute(f"CREATE TABLE {name} AS SELECT * FROM new.{name}")
                    db.execute(f"UPDATE {name} SET id = id + 1000, created = '2019-01-01'")
            db.commit()

    def sql(self, text: str) -> None:
        with closing(sqlite3.connect(self.path)) as db:
            assert db.execute(text).rowcount != 0, f"{text} changes nothing"
            db.commit()


@pytest.fixture
def old(site: Path, tmp_path: Path) -> Old:
    return Old(tmp_path / "old.db", site)


def command(site: Path, *arguments: object) -> Result:
    return CliRunner().invoke(make_app(), ["--site", str(site), *map(str, arguments)])


def compared(site: Path, url: str, *arguments: object, code: int = 0) -> dict[str, Any]:
    done = command(site, "compare", "--with", url, "--format", "json", *arguments)
    assert done.exit_code == code, done.output or repr(done.exception)
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["unexplained"] == report["classes"].get("unexplained", 0)
    return report


def table(report: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in report["tables"] if one["table"] == name)
    return dict(found)


def test_equal_stores_have_no_difference(site: Path, old: Old) -> None:
    report = compared(site, old.url)
    assert report["classes"] == {}
    names = {one["table"] for one in report["tables"]}
    assert {DAILY, MODE, SUMMARY} <= names
    with closing(sqlite3.connect(site / "results.db")) as db:
        for name in names:
            ((rows,),) = db.execute(f"SELECT count(*) FROM {name}").fetchall()
            assert table(report, name)["both"] == rows
    shown = command(site, "compare", "--with", old.url)
    assert shown.stdout.splitlines()[-1] == "0 differences unexplained."


def test_a_changed_cell_is_unexplained_and_why_explains_ours(site: Path, old: Old) -> None:
    old.sql(
        f"UPDATE {DAILY} SET count = count + 7 WHERE course_id = '{COURSE}' AND date = '{day(1)}'"
    )
    report = compared(site, old.url, code=1)
    assert table(report, DAILY)["cells"] == 1
    (example,) = report["examples"]
    assert (example["column"], int(example["there"]) - int(example["here"])) == ("count", 7)
    assert example["where"] == f"course_id = '{COURSE}' AND date = '{day(1)}'"
    why = command(site, "why", DAILY, "--where", example["where"], "--limit", "0")
    assert why.exit_code == 0, why.output
    shown = command(site, "compare", "--with", old.url).stdout
    assert f"studium why {DAILY} --where" in shown
    assert "1 difference unexplained." in shown


def test_missing_rows_are_not_rows_of_null(site: Path, old: Old) -> None:
    old.sql(f"DELETE FROM {DAILY} WHERE course_id = '{COURSE}' AND date = '{day(1)}'")
    old.sql(f"UPDATE {DAILY} SET count = NULL WHERE course_id = '{COURSE}' AND date = '{day(2)}'")
    old.sql(f"INSERT INTO {DAILY} (course_id, date) VALUES ('a/b/it''s', '{day(2)}')")
    found = table(compared(site, old.url, code=1), DAILY)
    assert (found["only_here"], found["only_there"], found["cells"]) == (1, 1, 1)
    assert found["classes"] == {"unexplained": 3}


def test_null_is_a_key_like_others(site: Path, old: Old) -> None:
    name = "course_enrollment_gender_daily"
    old.sql(f"UPDATE {name} SET count = count + 1 WHERE gender IS NULL AND date = '{day(3)}'")
    report = compared(site, old.url, code=1)
    assert table(report, name)["cells"] == len(report["examples"]) > 0
    assert report["examples"][0]["where"].endswith("AND gender IS NULL")


def test_days_that_only_one_side_has_reached_are_newer(site: Path, old: Old) -> None:
    for name in (DAILY, MODE, "course_enrollment_gender_daily"):
        old.sql(f"DELETE FROM {name} WHERE date >= '{day(6)}'")
    for name in ("course_enrollment_birth_year_daily", "course_enrollment_education_level_daily"):
        old.sql(f"UPDATE {name} SET date = '{day(5)}', count = count + 1")
    old.sql(f"UPDATE {SUMMARY} SET count = count + 1")
    report = compared(site, old.url)
    assert set(report["classes"]) == {"newer here"}
    assert (report["last_here"], report["last_there"]) == (str(day(7)), str(day(5)))
    old.sql(f"UPDATE {DAILY} SET count = count + 1 WHERE date = '{day(4)}'")
    assert compared(site, old.url, code=1)["classes"]["unexplained"] > 0


def test_days_that_we_have_not_reached_are_newer_there(site: Path, old: Old) -> None:
    old.sql(f"INSERT INTO {DAILY} (course_id, date, count) VALUES ('{COURSE}', '{END}', 3)")
    report = compared(site, old.url)
    assert report["classes"] == {"newer there": 1}


@pytest.mark.parametrize(
    ("number", "change", "undo"),
    [
        ("D9", f"INSERT INTO {DAILY} (course_id, date, count) VALUES ('a/b/c', '2025-08-30', 1)",
         f"UPDATE {DAILY} SET date = '{day(2)}' WHERE course_id = 'a/b/c'"),
        ("D10", f"DELETE FROM {DAILY} WHERE course_id = '{CCX}'",
         f"DELETE FROM {DAILY} WHERE course_id = '{OTHER}'"),
        ("D12", f"UPDATE {DAILY} SET count = count + 1 WHERE course_id = '{OTHER}'",
         f"UPDATE {DAILY} SET count = count + 1 WHERE course_id = '{OTHER}'"),
        ("D13", f"UPDATE {MODE} SET mode = '' WHERE mode = 'None'",
         f"UPDATE {MODE} SET mode = 'none' WHERE mode = ''"),
        ("D16", f"INSERT INTO {DAILY} SELECT id - 900, course_id, date, 99, 99, created "
         f"FROM {DAILY} WHERE date < '{day(4)}'",
         f"UPDATE {DAILY} SET id = id + 2000 WHERE count = 99"),
    ],
)  # fmt: skip
def test_a_documented_difference_is_told_and_its_neighbour_is_not(
    site: Path, old: Old, number: str, change: str, undo: str
) -> None:
    old.sql(change)
    only = ("--table", DAILY, "--table", MODE)
    report = compared(site, old.url, *only)
    assert set(report["classes"]) == {number}
    old.sql(undo)
    assert compared(site, old.url, *only, code=1)["unexplained"] > 0


PLACES, WEEKS, VIDEOS = "course_enrollment_location_current", "course_activity", "video_timeline"
ANSWERS, TAGS = "answer_distribution", "tags_distribution"
DONE, RANGES, RATIO = (
    "module_engagement", "module_engagement_metric_ranges", "problem_attempts_per_completed",
)  # fmt: skip
OTHERS = [
    # A learner moved from one country to another, one from no country to an unknown one.
    ("D28", PLACES, [("DE", 2, 3), ("FR", 1, 1), (None, 4, 4)],
     [("DE", 1, 2), ("BR", 2, 2), (None, 4, 4)], [("DE", 1, 2), ("BR", 2, 3), (None, 4, 4)]),
    ("D28 D29", PLACES, [("DE", 2, 2), ("UNKNOWN", 3, 3)], [("DE", 2, 2), ("A1", 3, 3)],
     [("DE", 2, 2), ("ZZ", 2, 3)]),
    ("D34", WEEKS, [("2025-09-01", 5), ("2025-09-08", 6)], [("2025-09-08", 6)],
     [("2025-09-08", 7)]),
    ("D34", WEEKS, [("2025-09-08", 6)], [("2025-09-01", 5), ("2025-09-08", 6)],
     [("2025-09-01", 5), ("2025-09-08", 7)]),
    ("D35", WEEKS, [("2025-09-01", 5)], [("2025-09-01", 4), ("2025-09-01", 5)],
     [("2025-09-01", 5), ("2025-09-01", 4)]),
    ("D44", VIDEOS, [("v" * 300, 1), ("w", 1)], [("w", 1)], [("v" * 300, 1)]),
    ("D54", ANSWERS, [("v" * 300, "x", 1), ("w", "x", 1)], [("w", "x", 1)], [("v" * 300, "x", 1)]),
    ("D55", ANSWERS, [(None, "None", 1), (None, "\\N", 1)], [(None, None, 1)], [(None, "x", 1)]),
    ("D53", ANSWERS, [(None, "x", 3)], [(None, "x", 1), (None, "x", 2)], [(None, "x", 2)]),
    ("D62", TAGS, [("topic", "a", 1)], [("topic", "a", 1)] * 2, [("topic", "a", 2)]),
    ("D84", DONE, [("2025-09-02", "u", "v", 1), ("2025-09-03", "u", "v", 1)],
     [("2025-09-03", "u", "v", 1)], [("2025-09-03", "u", "w", 1)]),
    ("D9 D70", DONE,
     [("2025-09-03", "n" * 31, "v", 1), ("2025-09-03", "u", "v", 1)],
     [("2025-08-30", "u", "v", 1), ("2025-09-03", "u", "v", 1)],
     [("2025-09-03", "w", "v", 1), ("2025-09-03", "u", "v", 1)]),
    ("D82", DONE, [("2025-09-03", "u", "v" * 255, 3)],
     [("2025-09-03", "u", "v" * 255, 1), ("2025-09-03", "u", "v" * 255, 2)],
     [("2025-09-03", "u", "v" * 255, 4)]),
    ("D74 D76", RANGES,
     [("a", "2025-09-08", "m", "low", 0, 1 / 3, 5), ("b", "2025-09-01", "m", "low", 0, 2, 5)],
     [("a", "2025-09-08", "m", "low", 0, 0.333331, 5)],
     [("a", "2025-09-08", "m", "low", 0, 0.33, 5)]),
    ("D75", RANGES, [("a", "2025-09-08", RATIO, "normal", 1, 2, 21)],
     [("a", "2025-09-08", RATIO, "normal", 1, None, 21),
      ("a", "2025-09-08", RATIO, "high", None, None, 21)],
     [("a", "2025-09-08", RATIO, "normal", None, 3, 21)]),
]  # fmt: skip


@pytest.mark.parametrize(("numbers", "name", "here", "there", "wrong"), OTHERS)
def test_differences_of_the_other_lenses(
    site: Path, tmp_path: Path, numbers: str, name: str, here: list[Any], there: list[Any],
    wrong: list[Any],
) -> None:  # fmt: skip
    names: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
        PLACES: (
            ("country_code", "count", "cumulative_count"),
            {"date": str(day(7)), "course_id": COURSE},
        ),
        WEEKS: (("interval_start", "count"), {"course_id": COURSE, "label": "ACTIVE"}),
        VIDEOS: (("pipeline_video_id", "segment"), {}),
        ANSWERS: (
            ("value_id", "answer_value_text", "first_response_count"),
            {"course_id": COURSE, "part_id": "a"},
        ),
        DONE: (
            ("date", "username", "entity_id", "count"),
            {"course_id": COURSE, "entity_type": "video", "event": "viewed"},
        ),
        RANGES: (
            (
                "course_id",
                "end_date",
                "metric",
                "range_type",
                "low_value",
                "high_value",
                "learners",
            ),
            {"start_date": "2025-09-01"},
        ),
        TAGS: (
            ("tag_name", "tag_value", "total_submissions"),
            {"course_id": COURSE, "module_id": "p"},
        ),
    }

    def fill(path: Path, rows: list[Any]) -> None:
        declared = next(one.column_names for one in lens_tables() if one.publish == name)
        keys, rest = names[name]
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"DROP TABLE IF EXISTS {name}")
            db.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {', '.join(declared)})")
            for row in rows:
                values = {**rest, **dict(zip(keys, row, strict=True))}
                listed, marks = ", ".join(values), ", ".join("?" * len(values))
                db.execute(f"INSERT INTO {name} ({listed}) VALUES ({marks})", [*values.values()])
            db.commit()

    old_store = tmp_path / "old.db"
    fill(site / "results.db", here)
    fill(old_store, there)
    report = compared(site, f"sqlite:///{old_store}", "--table", name)
    assert set(report["classes"]) == set(numbers.split())
    fill(old_store, wrong)
    assert compared(site, f"sqlite:///{old_store}", "--table", name, code=1)["unexplained"]


def test_every_rule_is_documented_and_names_tables_and_columns_that_are_there() -> None:
    page = (ROOT / "docs/explanation/differences.md").read_text("utf-8")
    known = {one.publish: one for one in lens_tables() if one.publish}
    for rule in documented():
        assert f"| {rule.id} |" in page
        for name in rule.tables:
            assert set(rule.columns) <= set(known[name].column_names)
    files = list((ROOT / "src/studium/lenses").glob("*/differences.toml"))
    entries = [e for file in files for e in tomllib.loads(file.read_text("utf-8"))["difference"]]
    assert len(entries) == len(documented()) > 0


def test_fractions_and_times_have_a_tolerance(site: Path, old: Old) -> None:
    """Of the published tables only the catalog's times could differ by less than a second."""
    for file in (site / "results.db", old.path):
        with closing(sqlite3.connect(file)) as db:
            db.execute(f"UPDATE {SUMMARY} SET start_time = '2025-09-01 00:00:00.250000'")
            db.commit()
    old.sql(f"UPDATE {SUMMARY} SET start_time = '2025-09-01 00:00:00'")
    assert compared(site, old.url)["classes"] == {}
    old.sql(f"UPDATE {SUMMARY} SET start_time = '2025-09-01 00:00:02'")
    assert compared(site, old.url, code=1)["unexplained"] > 0


def test_tables_and_columns_that_are_not_there_are_named(site: Path, old: Old) -> None:
    old.sql("DROP TABLE course_program_metadata")
    old.sql(f"ALTER TABLE {SUMMARY} DROP COLUMN passing_users")
    old.sql("CREATE TABLE table_updates (id INTEGER)")
    report = compared(site, old.url)
    assert report["not_there"] == ["course_program_metadata"]
    assert report["not_here"] == ["table_updates"]
    assert table(report, SUMMARY)["lacking"] == ["passing_users"]


def test_the_output_has_every_difference(site: Path, old: Old, tmp_path: Path) -> None:
    old.sql(f"UPDATE {DAILY} SET count = count + 7")
    report = compared(site, old.url, "--output", tmp_path / "all.csv", "--examples", "1", code=1)
    with (tmp_path / "all.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(report["classes"].values()) > len(report["examples"]) == 1
    assert {row["class"] for row in rows} == {"unexplained"}


def test_bad_stores_are_explained(site: Path, old: Old, tmp_path: Path) -> None:
    for url, kind in (
        ("sqlite:///nowhere.db", ResultsError),
        ("nonsense", UsageError),
        ("oracle://a:secret@b/c", UsageError),
        ("postgresql://a:secret@127.0.0.1:1/c", ResultsError),
        ("mysql://a:secret@127.0.0.1:1/c", ResultsError),
    ):
        done = command(site, "compare", "--with", url)
        assert isinstance(done.exception, kind), url
        assert "secret" not in str(done.exception)
    assert not (tmp_path / "nowhere.db").exists()
    with closing(sqlite3.connect(tmp_path / "empty.db")) as db:
        db.execute("CREATE TABLE x (id INTEGER)")
    done = command(site, "compare", "--with", f"sqlite:///{tmp_path / 'empty.db'}")
    assert "no table in common" in str(done.exception)
    done = command(site, "compare", "--with", old.url, "--table", "nonsense")
    assert isinstance(done.exception, UsageError)


@pytest.mark.parametrize("kind", ["mariadb", "postgres"])
def test_real_servers(site: Path, kind: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(kind)
    url = server.fresh()
    engine = sa.create_engine(server_url(url, "test", UsageError))
    own = sa.create_engine(f"sqlite:///{site / 'results.db'}")
    with own.connect() as here, engine.begin() as there:
        tables = sa.MetaData()
        tables.reflect(here, only=[DAILY, MODE, SUMMARY, "course_enrollment_gender_daily"])
        for one in tables.tables.values():
            columns = [
                sa.Column(column.name, column.type.as_generic(), primary_key=column.primary_key)
                for column in one.columns
            ]
            sa.Table(one.name, sa.MetaData(), *columns).create(there)
            rows = [dict(row) for row in here.execute(one.select()).mappings()]
            there.execute(one.insert(), rows)
    own.dispose()
    assert compared(site, url)["classes"] == {}
    name = server.url("x").rsplit("/", 1)[0]
    server.sql(f"UPDATE {DAILY} SET count = 77 WHERE date = '{day(1)}'", url.rsplit("/", 1)[1])
    done = command(site, "compare", "--with", url)
    assert done.exit_code == 1
    assert ":studium@" not in done.output
    assert "***" in done.output
    assert name.partition("://")[0] in done.output
    engine.dispose()
