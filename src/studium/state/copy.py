"""The state as one SQLite file and back, whatever database it is in: rows, table by table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, select

from studium.errors import StateError
from studium.state.database import State, open_state
from studium.state.schema import metadata

_ROWS_AT_ONCE = 5_000


def save_state(state: State, target: Path) -> None:
    """Write all rows, as they are at one moment, to a new SQLite file at ``target``."""
    with open_copy(target) as copy:
        load_state(state, copy)
    # One file, without a write-ahead log beside it.
    with closing(sqlite3.connect(target)) as conn:
        conn.execute("PRAGMA journal_mode = DELETE")


@contextmanager
def open_copy(path: Path) -> Iterator[State]:
    """A state in the SQLite file at ``path``, made or migrated; StateError if it is newer."""
    url = URL.create("sqlite", database=str(path)).render_as_string()
    state = open_state(url, path.parent)
    try:
        yield state
    finally:
        state.close()


def load_state(source: State, target: State) -> None:
    """Copy all rows of ``source`` to ``target``, in one transaction of each.

    Raises StateError if ``target`` has rows already.
    """
    with source.read() as old, target.begin() as new:
        for table in metadata.sorted_tables:
            if new.execute(select(table).limit(1)).first() is not None:
                raise StateError(
                    f"The state {target.engine.url.render_as_string(hide_password=True)} is not "
                    f"empty: its table {table.name} has rows.",
                    "Restore into an empty database: set state.url or STUDIUM_STATE__URL.",
                )
            _copy_rows(old, new, table.name)


def _copy_rows(old: Connection, new: Connection, name: str) -> None:
    table = metadata.tables[name]
    # In order: rows of the audit log are only taken one after the other.
    statement = select(table).order_by(*table.primary_key.columns)
    rows = old.execute(statement.execution_options(yield_per=_ROWS_AT_ONCE))
    for part in rows.mappings().partitions(_ROWS_AT_ONCE):
        new.execute(table.insert(), [dict(row) for row in part])
