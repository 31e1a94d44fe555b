"""Result stores of every kind for tests, and what an outside tool sees in them."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import make_url

from studium.results.store import ResultStore, open_results
from tests.databases import Server

KINDS = ("sqlite", "postgresql", "mariadb")


@dataclass(frozen=True)
class Place:
    """Where a result store is; `server` is None for SQLite."""

    kind: str
    url: str
    root: Path
    server: Server | None

    def open(self) -> ResultStore:
        return open_results(self.url, self.root)

    @contextmanager
    def outside(self) -> Iterator[Any]:
        """A connection of the driver's own, in a transaction; nothing of Studium."""
        url = make_url(self.url)
        given = {"host": url.host, "port": url.port, "user": url.username}
        connection: Any
        if self.kind == "sqlite":
            connection = sqlite3.connect(self.root / "results.db")
        elif self.kind == "postgresql":
            connection = psycopg.connect(**given, password=url.password, dbname=url.database)
        else:
            connection = pymysql.connect(
                **given, password=url.password, database=url.database, charset="utf8mb4"
            )
        with closing(connection):
            yield connection

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with self.outside() as connection:
            return ask(connection, query)

    def do(self, *statements: str) -> None:
        """Run and commit statements."""
        with self.outside() as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def tables(self) -> set[str]:
        """The names of all tables and views."""
        return {name for (name,) in self.rows(_TABLES[self.kind])}


_TABLES = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') "
    "AND name NOT LIKE 'sqlite%'",
    "postgresql": "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
    "mariadb": "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
}


def ask(connection: Any, query: str) -> list[tuple[Any, ...]]:
    """What a query gives on an open connection, within its transaction."""
    cursor = connection.cursor()
    cursor.execute(query)
    return [tuple(row) for row in cursor.fetchall()]


def make_place(request: pytest.FixtureRequest, kind: str, root: Path) -> Place:
    """A new, empty store of a kind."""
    if kind == "sqlite":
        return Place(kind, "sqlite:///results.db", root, None)
    server = request.getfixturevalue("postgres" if kind == "postgresql" else "mariadb")
    return Place(kind, server.fresh(), root, server)


def servers(*kinds: str) -> Sequence[Any]:
    """Parameters of a fixture for some kinds."""
    return [pytest.param(kind, id=kind) for kind in kinds or KINDS]
