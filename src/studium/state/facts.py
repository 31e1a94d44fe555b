"""Single facts by name, e.g. ``until``: the end of the days that whole tables cover."""

from __future__ import annotations

from sqlalchemy import Connection, select

from studium.state.schema import facts
from studium.state.upsert import replace_rows


def get_fact(conn: Connection, name: str) -> str | None:
    """The text kept under ``name``; None if there is none."""
    value: str | None = conn.execute(select(facts.c.value).where(facts.c.name == name)).scalar()
    return value


def set_fact(conn: Connection, name: str, value: str) -> None:
    """Keep ``value`` under ``name``, in place of what was there."""
    replace_rows(conn, facts, [{"name": name, "value": value}])
