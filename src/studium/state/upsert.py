"""Rows written whatever was there before, in one statement, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    Insert = postgresql.Insert | sqlite.Insert


def insert_into(conn: Connection, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT, in the dialect of ``conn``.

    Whether it inserted, ``RETURNING`` tells: the row count of psycopg is -1.
    """
    # The one that is not needed takes 50 ms to import.
    if conn.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def replace_rows(conn: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert ``rows``; where the primary key is there already, the new row takes its place."""
    if not rows:
        return
    insert = insert_into(conn, table)
    keys = [column.name for column in table.primary_key]
    rest = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in keys}
    conn.execute(insert.on_conflict_do_update(index_elements=keys, set_=rest), rows)


def add_rows(conn: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert those of ``rows`` whose primary key is not there yet."""
    if rows:
        conn.execute(insert_into(conn, table).on_conflict_do_nothing(), rows)
