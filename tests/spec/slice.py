"""A lens from input rows to all of its tables, on one engine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from studium.engines import Engine, Relation
from studium.lake.tables import Table
from studium.lenses import tables
from studium.lenses.engagement.windows import whole_months, whole_weeks
from studium.settings.lenses import AnswersSettings
from studium.sources.edx import answers as event_answers
from studium.sources.edx.course_keys import WHITE_SPACE
from studium.sources.lms.tables import (
    COHORT_MEMBERS,
    COHORTS,
    CONTACTS,
    COURSE_BLOCKS,
    DETAILS,
    USERS,
)
from tests.spec.rows import Row

EVENTS = {
    "time": "TIMESTAMP",
    "event_type": "VARCHAR",
    "event_source": "VARCHAR",
    "course_id": "VARCHAR",
    "user_id": "BIGINT",
    "payload_form": "VARCHAR",
    "event_course_id": "VARCHAR",
    "event_user_id": "BIGINT",
    "mode": "VARCHAR",
    "course_id_source": "VARCHAR",
    "ip": "VARCHAR",
    "video_id": "VARCHAR",
    "video_code": "VARCHAR",
    "position": "DOUBLE",
    "seek_from": "DOUBLE",
    "seek_to": "DOUBLE",
    "duration": "DOUBLE",
    "org_id": "VARCHAR",
    "problem_id": "VARCHAR",
    "success": "VARCHAR",
    "tags": "VARCHAR",
    "username": "VARCHAR",
    "topic_id": "VARCHAR",
}
ANSWERS = event_answers.COLUMNS
SOURCES = {
    "auth_userprofile": {
        "user_id": "BIGINT",
        "gender": "VARCHAR",
        "year_of_birth": "INTEGER",
        "level_of_education": "VARCHAR",
    },
    "student_courseenrollment": {
        "user_id": "BIGINT",
        "course_id": "VARCHAR",
        "is_active": "BOOLEAN",
    },
    "grades_persistentcoursegrade": {
        "user_id": "BIGINT",
        "course_id": "VARCHAR",
        "letter_grade": "VARCHAR",
        "passed_timestamp": "TIMESTAMP",
        "modified": "TIMESTAMP",
    },
    "course_catalog": {
        "course_id": "VARCHAR",
        "catalog_course_title": "VARCHAR",
        "catalog_course": "VARCHAR",
        "start_time": "TIMESTAMP",
        "end_time": "TIMESTAMP",
        "pacing_type": "VARCHAR",
        "availability": "VARCHAR",
    },
    "program_course": {
        "course_id": "VARCHAR",
        "program_id": "VARCHAR",
        "program_type": "VARCHAR",
        "program_title": "VARCHAR",
    },
    "course_blocks": COURSE_BLOCKS.columns,
    **{one.name: one.columns for one in (USERS, CONTACTS, DETAILS, COHORTS, COHORT_MEMBERS)},
}
ARROW = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "VARCHAR": pa.string(),
    "TIMESTAMP": pa.timestamp("us"),
    "DATE": pa.date32(),
    "BOOLEAN": pa.bool_(),
    "DOUBLE": pa.float64(),
    "BLOB": pa.binary(),
}
#: What a declared type is in the lake.
STORED = {
    "varchar": "VARCHAR",
    "text": "VARCHAR",
    "double": "DOUBLE",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "datetime": "TIMESTAMP",
}


@dataclass(frozen=True)
class Slice:
    """Every table of a run: its rows and the types they were written in."""

    start: date
    until: date
    rows: Mapping[str, list[Row]]
    types: Mapping[str, Mapping[str, str]]
    relations: Mapping[str, Relation] = field(default_factory=dict)

    def of_course(self, table: str, course: str) -> list[Row]:
        """The rows of one course, without the column that says so."""
        return [
            {name: value for name, value in row.items() if name != "course_id"}
            for row in self.rows[table]
            if row["course_id"] == course
        ]

    def daily_rows(self, course: str) -> list[Row]:
        """What the original stored: a row per learner and day, from the first event to B-1."""
        changes = sorted(self.of_course("enrollment_changes", course), key=lambda row: row["date"])
        found = []
        for row in changes:
            later = [r["date"] for r in changes if r["user_id"] == row["user_id"]]
            end = min((day for day in later if day > row["date"]), default=self.until)
            for n in range((end - row["date"]).days):
                found.append(
                    {
                        "user": row["user_id"],
                        "date": row["date"] + timedelta(n),
                        "at_end": row["at_end"],
                        "change": row["change"] if n == 0 else 0,
                        "mode": row["mode"],
                    }
                )
        return found


def build(
    engine: Engine,
    folder: Path,
    lens: str,
    inputs: Mapping[str, Iterable[Mapping[str, Any]]],
    start: date,
    until: date,
    only: Iterable[str] = (),
    more: Mapping[str, object] | None = None,
    events: Relation | None = None,
    answers: Relation | None = None,
    made: Mapping[str, Relation] | None = None,
) -> Slice:
    """Write the input rows as Parquet and run the lens's tables, sources first, over them.

    ``more``: values of parameters beside the days. ``events`` and ``answers``: the tables as they
    were ingested. ``made``: tables of the lens that need not be made.
    """
    if events is None:
        events = write_days(folder / "events", EVENTS, inputs.get("events", ()))
    if answers is None:
        answers = write_days(folder / "answers", ANSWERS, inputs.get("event_answers", ()))
    relations = {"events": events, "event_answers": answers}
    for name, columns in SOURCES.items():
        relations[name] = write_whole(folder / name, columns, inputs.get(name, ()))
    weeks, months = whole_weeks(until, 520), whole_months(until, 120)
    params = {
        "start": start,
        "until": until,
        "week_since": weeks.since,
        "week_until": weeks.until,
        "month_since": months.since,
        "month_until": months.until,
        "response_types": ",".join(AnswersSettings().response_types),
        "clean_pattern": AnswersSettings().clean_pattern,
        "low_percentile": 15,
        "high_percentile": 85,
        "anonymous_username": "",
        "white_space": WHITE_SPACE,
        "roster": True,
        **(more or {}),
    }
    rows: dict[str, list[Row]] = {}
    types: dict[str, Mapping[str, str]] = {}
    for table in tables(lens):
        if only and table.name not in only:
            continue
        relations[table.name] = (made or {}).get(table.name) or run(
            engine, table, relations, params, folder / table.name
        )
        rows[table.name] = read(relations[table.name])
        types[table.name] = relations[table.name].columns
    return Slice(start=start, until=until, rows=rows, types=types, relations=relations)


def run(
    engine: Engine,
    table: Table,
    relations: Mapping[str, Relation],
    params: Mapping[str, object],
    folder: Path,
) -> Relation:
    """Make one table."""
    if table.function is not None:
        inputs = {name: relations[name] for name in table.inputs}
        made = table.function(params, engine.query(table.sql, inputs) if table.sql else None)
        columns = {c.name: STORED[c.type.partition("(")[0]] for c in table.columns}
        rows = made if isinstance(made, pa.Table) else made.read_all()
        return write_whole(folder, columns, rows.to_pylist())
    assert table.sql is not None
    inputs = {name: relations[name] for name in table.inputs}
    by_day = table.kind == "day"
    written = engine.write(table.sql, inputs, params, folder, "00000001-abcdef-0", by_day)
    files = tuple(str(file.path) for file in written.files)
    return Relation(files=files, columns=written.columns, by_day=by_day)


def read(relation: Relation) -> list[Row]:
    """The rows of a relation, read without any engine."""
    found: list[Row] = []
    for name in relation.files:
        path = Path(name)
        rows = parquet.ParquetFile(path).read().to_pylist()
        if relation.by_day:
            day = date.fromisoformat(path.parent.name.removeprefix("day="))
            rows = [{"day": day, **row} for row in rows]
        found.extend(rows)
    return found


def write_days(
    folder: Path, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]
) -> Relation:
    """Write rows by day; every other file lacks the columns that it has no value for."""
    days: dict[date, list[Mapping[str, Any]]] = {}
    for row in rows:
        days.setdefault(row["day"], []).append(row)
    files = []
    for number, (day, members) in enumerate(sorted(days.items())):
        present = {
            name: type_
            for name, type_ in columns.items()
            if number % 2 == 0 or any(row.get(name) is not None for row in members)
        }
        files.append(_write(folder / f"day={day}", present, members))
    return Relation(files=tuple(files), columns={"day": "DATE", **columns}, by_day=True)


def write_whole(
    folder: Path, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]
) -> Relation:
    """Write rows into one file, or none at all if there are none."""
    members = list(rows)
    files = (_write(folder, columns, members),) if members else ()
    return Relation(files=files, columns=columns)


_numbers = count()


def _write(folder: Path, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"input-{next(_numbers)}.parquet"
    data = {
        name: pa.array([row.get(name) for row in rows], ARROW[type_])
        for name, type_ in columns.items()
    }
    parquet.write_table(pa.table(data), path)
    return str(path)
