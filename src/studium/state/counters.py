"""Numbers that only go up, and the build ids made of them."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, case

from studium.state.schema import counters
from studium.state.upsert import insert_into


def next_number(conn: Connection, name: str, at_least: int = 0) -> int:
    """Raise the counter ``name`` by one, or to ``at_least`` if that is more, and give it."""
    raised = counters.c.value + 1
    insert = insert_into(conn, counters).values(name=name, value=max(1, at_least))
    statement = insert.on_conflict_do_update(
        index_elements=["name"],
        set_={"value": case((raised < at_least, at_least), else_=raised)},
    ).returning(counters.c.value)
    return int(conn.execute(statement).scalar_one())


def next_build(conn: Connection, at_least: int = 0) -> str:
    """A build id that sorts after every one drawn before: ``00000042-9f3a1c``.

    The number is never below ``at_least``: with a state that was lost, pass one more than the
    largest number in the lake. The six hex digits keep a crashed attempt and its repetition apart.
    """
    return f"{next_number(conn, 'build', at_least):08d}-{secrets.token_hex(3)}"
