"""A course of many learners in a result store, and what its database does to find some."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from studium.lake.tables import Table
from studium.lenses import tables
from studium.lenses.learners.roster import ROSTER, TERMS, Question, page_sql
from studium.lenses.learners.search import find_terms
from studium.results.publication import Publication
from studium.results.store import ResultStore, publish

COURSE = "course-v1:Orion+A1+2025"
_FIRST = (
    "Anna", "Boris", "Chen", "Daniel", "Éva", "Fatima", "Gösta", "Hana", "Ivo", "Jún", "Kai",
    "Łukasz",
)  # fmt: skip
_LAST = [f"{one}{two}" for one in ("Ab", "Be", "Ce", "Do") for two in ("son", "sen", "ski", "li")]
_PLAIN = {"varchar": "", "integer": 0, "bigint": 0, "date": date(2025, 9, 1), "double": None}
_ARROW = {
    "varchar": pa.string(), "integer": pa.int32(), "bigint": pa.int64(), "date": pa.date32(),
    "double": pa.float64(),
}  # fmt: skip


def rows(number: int) -> list[dict[str, Any]]:
    """Learners whose numbers tell everything about them."""
    chance = random.Random(7)
    return [
        {
            "course_id": COURSE if user % 10 else f"{COURSE}b",
            "user_id": user, "username": f"user{user}", "email": f"u{user}@example.org",
            "name": f"{chance.choice(_FIRST)} {chance.choice(_LAST)} N{user % 1000}",
            "enrollment_mode": "audit" if user % 3 else "verified",
            "cohort": "Blue" if user % 2 else None,
            "segments": ("inactive", "highly_engaged,struggling", "")[user % 3],
            "problem_attempts_per_completed": None if user % 5 == 0 else float(user % 7),
            "attempt_ratio_order": user % 11 - 5, "videos_viewed": user % 13,
        }
        for user in range(1, number + 1)
    ]  # fmt: skip


def publish_roster(store: ResultStore, people: list[dict[str, Any]]) -> None:
    """The two tables as a run publishes them."""
    words = [
        {"course_id": one["course_id"], "term": term, "user_id": one["user_id"]}
        for one in people
        for term in find_terms(one["name"], one["username"], one["email"])
    ]
    known = {table.name: table for table in tables()}
    given = ((known[ROSTER], people), (known[TERMS], words))
    publish(store, [_publication(*one) for one in given], datetime(2025, 11, 1, tzinfo=UTC))


def _publication(table: Table, given: list[dict[str, Any]]) -> Publication:
    kinds = {column.name: column.type.partition("(")[0] for column in table.columns}
    plain = {c.name: None if c.nullable else _PLAIN[kinds[c.name]] for c in table.columns}

    def read() -> pa.RecordBatchReader:
        schema = pa.schema([(name, _ARROW[kind]) for name, kind in kinds.items()])
        return pa.Table.from_pylist([plain | row for row in given], schema).to_reader(50_000)

    return Publication(
        str(table.publish), table.columns, table.grain, table.indexes, read, "1", None
    )


def plan(connection: sa.Connection, question: Question) -> list[str]:
    """What the database says it does for a page, a line each; for PostgreSQL and MariaDB as JSON
    would, but shorter."""
    query = page_sql(question).compile(connection.engine, compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    found = connection.exec_driver_sql(f"{explain} {str(query).replace('%', '%%')}")
    return [" ".join(map(str, row)) for row in found]


def questions() -> Iterator[tuple[str, Question]]:
    """Searches by name, by user name, by address, by two words."""
    for name, text in (
        ("word", "N77"), ("user name", "USER1234"), ("address", "U1234@Example.org"),
        ("words", "łukasz n77"), ("nobody", "Nemo"),
    ):  # fmt: skip
        yield name, Question(COURSE, text)
