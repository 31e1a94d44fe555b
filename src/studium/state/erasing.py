"""Erasures that have begun: whom, in clear, until everything of them is gone.

The row is the only place that names them; it goes with the last step, and ``scrub`` makes sure
that its bytes go too.
"""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, delete, select

from studium.state.counters import next_number
from studium.state.database import State
from studium.state.schema import erasing


def begin_erasure(conn: Connection, document: dict[str, Any]) -> int:
    """Note an erasure; its number."""
    number = next_number(conn, "erasing")
    text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()
    conn.execute(erasing.insert().values(number=number, document=text))
    return number


def unfinished_erasures(conn: Connection) -> dict[int, dict[str, Any]]:
    """Erasures that a crash cut short, by number."""
    rows = conn.execute(select(erasing.c.number, erasing.c.document).order_by(erasing.c.number))
    return {number: orjson.loads(document) for number, document in rows}


def end_erasure(conn: Connection, number: int) -> None:
    """It is done: nobody's name stays."""
    conn.execute(delete(erasing).where(erasing.c.number == number))


def scrub(state: State) -> None:
    """Give back the room of deleted rows, so that not even free pages hold them."""
    connection = state.engine.raw_connection()
    try:
        driver: Any = connection.driver_connection
        if state.engine.dialect.name == "sqlite":
            driver.execute("PRAGMA query_only = OFF")
            driver.execute("VACUUM")
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        else:
            driver.autocommit = True
            driver.execute("VACUUM FULL erasing")
            driver.autocommit = False
    finally:
        connection.close()
