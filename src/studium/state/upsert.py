"""Rows written whatever was there before, in one statement, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = postgresql.Insert | sqlite.Insert


def insert_into(conn: Connection, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT, in the dialect of ``conn``.

    Whether it inserted, ``RETURNING`` tells: the row count of psycopg is -1.
    """
    if conn.dialect.name == "postgresql":
        return postgresql.insert(table)
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
