"""Table files: what they say, what is wrong with them, and their order."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from studium.errors import TableError, UsageError
from studium.lake.tables import Table, map_table, order_tables, read_table
from studium.lenses import LENSES, tables
from studium.lenses.calendar.maps import make_calendar

HEADER = """/* studium
description = "Learners per course"
kind    = "full"
grain   = ["course_id", "date"]
publish = "learners"
indexes = [["course_id"], ["course_id", "date"]]
rule    = "specs/x §1"

[columns]
course_id = "varchar(255) not null; course run"
date      = "date not null; UTC day"
count     = "integer; learners"
*/
"""
SELECT = """
WITH counted AS (SELECT course_id, day AS date, COUNT(*) AS n FROM events GROUP BY 1, 2)
SELECT counted.course_id, counted.date, CAST(counted.n AS INTEGER) AS count
FROM counted INNER JOIN calendar ON calendar.date = counted.date AND calendar.date < $until
"""


def read(folder: Path, text: str, name: str = "learners.sql") -> Table:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_table(path, "counting")


def test_table_file(tmp_path: Path) -> None:
    table = read(tmp_path, HEADER + SELECT)
    assert (table.name, table.lens, table.kind) == ("learners", "counting", "full")
    assert table.description == "Learners per course"
    assert table.grain == ("course_id", "date")
    assert table.publish == "learners"
    assert table.indexes == (("course_id",), ("course_id", "date"))
    assert table.rule == "specs/x §1"
    assert table.column_names == ("course_id", "date", "count")
    assert (table.columns[0].type, table.columns[0].nullable) == ("varchar(255)", False)
    assert table.inputs == ("calendar", "events")  # not the WITH clause
    assert table.params == ("until",)
    assert (table.reach, table.restricted) == (0, False)
    assert table.sql == SELECT.strip()


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("/* studium", "/* something", "header"),
        ('rule    = "specs/x §1"', "rule = ", "not TOML"),
        ('rule    = "specs/x §1"', 'rules = "x"', "field rules"),
        ('kind    = "full"', 'kind = "hourly"', "field kind"),
        ('kind    = "full"', 'kind = "map"', "field kind"),
        ('kind    = "full"', 'kind = "day"', "`day`"),
        ('kind    = "full"', "", "field kind"),
        ('description = "Learners per course"', 'description = ""', "field description"),
        ('description = "Learners per course"', "description = 3", "field description"),
        ('grain   = ["course_id", "date"]', 'grain = ["course"]', "field grain"),
        ('grain   = ["course_id", "date"]', 'grain = "date"', "field grain"),
        ('[["course_id"], ["course_id", "date"]]', '["course_id"]', "field indexes"),
        ('[["course_id"], ["course_id", "date"]]', '[["course"]]', "field indexes"),
        ('publish = "learners"', 'publish = "Learners; DROP"', "field publish"),
        ('rule    = "specs/x §1"', "reach = -1", "field reach"),
        ('rule    = "specs/x §1"', "reach = 1", "field reach"),
        ('rule    = "specs/x §1"', 'restricted = "yes"', "field restricted"),
        ('count     = "integer; learners"', 'count = "integer"', "lacks a meaning"),
        ('count     = "integer; learners"', 'count = "money; gold"', "no type"),
        ('count     = "integer; learners"', 'total = "integer; learners"', "field columns"),
        ('count     = "integer; learners"', "count = 3", "field columns"),
        ("SELECT counted.course_id", "INSERT INTO x SELECT counted.course_id", "INSERT"),
        ("AND calendar.date < $until", "; SELECT 1 AS x", "2 statements"),
        ("AND calendar.date < $until", "AND AND", "cannot be read"),
        ("SELECT counted.course_id", "SELECT *, counted.course_id", "SELECT *"),
        ("INNER JOIN calendar", "INNER JOIN learners AS calendar", "reads itself"),
    ],
)
def test_error_names_file_and_field(tmp_path: Path, old: str, new: str, field: str) -> None:
    text = HEADER + SELECT
    assert old in text
    with pytest.raises(TableError) as caught:
        read(tmp_path, text.replace(old, new))
    assert "counting/learners.sql" in str(caught.value)
    assert field in str(caught.value)


def test_file_is_named_as_a_table(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="table's name"):
        read(tmp_path, HEADER + SELECT, "My Table.sql")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FROM counted INNER", "from  counted\n\n  -- a comment\n INNER"),
        ("integer; learners", "integer; learners enrolled"),
        ("Learners per course", "Learners, per course"),
        ('publish = "learners"', 'publish = "others"'),
    ],
)
def test_code_stays_if_rows_stay(tmp_path: Path, old: str, new: str) -> None:
    text = HEADER + SELECT
    assert text != text.replace(old, new)
    assert read(tmp_path, text).code == read(tmp_path, text.replace(old, new)).code


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("calendar.date < $until", "calendar.date <= $until"),
        ("AS INTEGER) AS count", "AS INTEGER) + 1 AS count"),
        ("count     = \"integer;", "count = \"bigint;"),
        ("count     = \"integer;", "count = \"integer not null;"),
    ],
)  # fmt: skip
def test_code_changes_if_rows_may(tmp_path: Path, old: str, new: str) -> None:
    text = HEADER + SELECT
    assert text != text.replace(old, new)
    assert read(tmp_path, text).code != read(tmp_path, text.replace(old, new)).code


def test_letters_in_texts_count_for_the_code(tmp_path: Path) -> None:
    text = HEADER + SELECT
    codes = {
        read(tmp_path, text.replace("$until", f"$until AND counted.course_id = {literal}")).code
        for literal in ("'A'", "'a'", '"A"', "A")
    }
    assert len(codes) == 4


def test_reach_is_part_of_the_code(tmp_path: Path) -> None:
    header = HEADER.replace('kind    = "full"', 'kind = "day"').replace("date      =", "day =")
    header = header.replace('"date"]', '"day"]')
    text = header + SELECT.replace("counted.date, CAST", "counted.date AS day, CAST")
    far = text.replace("rule ", "reach = 2\nrule ")
    assert (read(tmp_path, far).kind, read(tmp_path, far).reach) == ("day", 2)
    assert read(tmp_path, far).code != read(tmp_path, text).code


def plain_table(name: str, *inputs: str, lens: str = "x") -> Table:
    return Table(name, lens, "full", "", (), (), code="", inputs=inputs)


def test_tables_come_after_their_inputs() -> None:
    members = [
        plain_table("a", "c"),
        plain_table("b", "events"),
        plain_table("c", "b", "d"),
        plain_table("d"),
    ]
    assert [table.name for table in order_tables(members)] == ["b", "d", "c", "a"]
    assert order_tables(reversed(members)) == order_tables(members)


def test_circle_is_an_error() -> None:
    with pytest.raises(TableError, match="circle") as caught:
        order_tables([plain_table("a", "b"), plain_table("b", "a")])
    assert "a → b" in str(caught.value) or "b → a" in str(caught.value)


def test_two_tables_of_one_name_are_an_error() -> None:
    with pytest.raises(TableError, match="Two tables are called a"):
        order_tables([plain_table("a"), plain_table("a", lens="y")])


def test_map_table_changes_with_its_version() -> None:
    def make(params: Mapping[str, object], keys: pa.Table | None) -> pa.Table:
        return pa.table({"a": [params["n"]]})

    def declare(version: str, kind: str = "integer") -> Table:
        return map_table(
            "m", "x", make, version=version, description="d", grain=["a"],
            columns={"a": f"{kind}; a number"}, params=["n"],
        )  # fmt: skip

    table = declare("1")
    assert (table.kind, table.params, table.inputs, table.sql) == ("map", ("n",), (), None)
    assert table.function is not None
    assert table.function({"n": 3}, None).to_pylist() == [{"a": 3}]
    assert len({declare("1").code, declare("2").code, declare("1", "bigint").code}) == 3


def test_map_table_checks_its_grain() -> None:
    with pytest.raises(TableError, match="field grain"):
        map_table("m", "x", make_calendar, version="1", description="d", grain=["b"], columns={})


def test_calendar() -> None:
    made = make_calendar({"start": date(2013, 12, 1), "until": date(2013, 12, 3)})
    assert made.to_pylist() == [
        {
            "date": date(2013, 12, 1),
            "year": 2013,
            "month": 12,
            "day_of_month": 1,
            "iso_week": "2013W48",
            "week_start": date(2013, 11, 25),
            "week_end": date(2013, 12, 2),
            "iso_weekday": 7,
        },
        {
            "date": date(2013, 12, 2),
            "year": 2013,
            "month": 12,
            "day_of_month": 2,
            "iso_week": "2013W49",
            "week_start": date(2013, 12, 2),
            "week_end": date(2013, 12, 9),
            "iso_weekday": 1,
        },
    ]


def test_calendar_week_belongs_to_the_year_of_its_thursday() -> None:
    made = make_calendar({"start": date(2021, 1, 1), "until": date(2021, 1, 2)})
    assert made["iso_week"].to_pylist() == ["2020W53"]


def test_calendar_may_be_empty() -> None:
    assert make_calendar({"start": date(2021, 1, 1), "until": date(2021, 1, 1)}).num_rows == 0


def test_lenses() -> None:
    assert {"calendar", "enrollment"} <= set(LENSES)
    names = [table.name for table in tables("enrollment")]
    assert names.index("calendar") < names.index("course_enrollment_daily")  # of another lens
    assert names.index("enrollment_events") < names.index("enrollment_changes")
    assert set(names) <= {table.name for table in tables()}
    assert [table.name for table in tables("calendar")] == ["calendar"]


def test_unknown_lens() -> None:
    with pytest.raises(UsageError, match="enrollment"):
        tables("astrology")


def test_published_names_are_unique() -> None:
    published = [table.publish for table in tables() if table.publish]
    assert len(published) == len(set(published))


STORE = {  # specs/edx-enrollment-geography §2.12
    "course_enrollment_daily": "course_id varchar(255) NN, date date NN, count integer, "
    "cumulative_count integer",
    "course_enrollment_mode_daily": "date date NN, course_id varchar(255) NN, "
    "mode varchar(255) NN, count integer, cumulative_count integer",
    "course_enrollment_gender_daily": "date date NN, course_id varchar(255) NN, "
    "gender varchar(6), count integer, cumulative_count integer",
    "course_enrollment_birth_year_daily": "date date NN, course_id varchar(255) NN, "
    "birth_year integer, count integer, cumulative_count integer",
    "course_enrollment_education_level_daily": "date date NN, course_id varchar(255) NN, "
    "education_level varchar(16), count integer, cumulative_count integer",
    "course_meta_summary_enrollment": "course_id varchar(255) NN, "
    "catalog_course_title varchar(255), catalog_course varchar(255), start_time datetime, "
    "end_time datetime, pacing_type varchar(255), availability varchar(255), "
    "enrollment_mode varchar(100) NN, count integer, count_change_7_days integer, "
    "cumulative_count integer, passing_users integer",
}


@pytest.mark.parametrize("name", STORE)
def test_result_store_keeps_names_order_and_types(name: str) -> None:
    (table,) = (table for table in tables("enrollment") if table.publish == name)
    spelled = [f"{c.name} {c.type}{'' if c.nullable else ' NN'}" for c in table.columns]
    assert ", ".join(spelled) == STORE[name]
    assert ("course_id",) in table.indexes
