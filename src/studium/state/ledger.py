"""The ledger: which partition was built by what, from which versions of its inputs.

An index over what the Delta log and the file names say; it can be rebuilt from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select

from studium.clock import utcnow
from studium.state.schema import partitions as table_of_partitions
from studium.state.upsert import replace_rows


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as it was last built; ``day`` is None for a table that is one whole.

    ``params`` and ``inputs`` hold JSON values and are not to be changed: partitions may share
    them. ``inputs`` gives the version of each input partition; ``rows`` is the number of rows.
    """

    table: str
    day: date | None
    build: str
    fingerprint: str
    code: str
    params: dict[str, Any]
    inputs: dict[str, str]
    rows: int


_NAMES = ("table_name", "day", "build", "fingerprint", "code", "params", "inputs", "rows")
_COLUMNS = [table_of_partitions.c[name] for name in _NAMES]


def partitions(
    conn: Connection, tables: Collection[str] | None = None
) -> dict[tuple[str, date | None], Partition]:
    """The partitions of ``tables`` (of all, if None) by table and day."""
    query = select(*_COLUMNS)
    if tables is not None:
        query = query.where(table_of_partitions.c.table_name.in_(tables))
    # There are tens of thousands, in few days, parameters and inputs: each text is read once.
    days: dict[str, date] = {}
    parsed: dict[str, dict[str, Any]] = {}
    found: dict[tuple[str, date | None], Partition] = {}
    for rows in conn.execute(query).partitions(2000):
        for name, text, build, fingerprint, code, params, inputs, count in rows:
            day = days.get(text)
            if day is None and text:
                day = days[text] = date.fromisoformat(text)
            for json in (params, inputs):
                if json not in parsed:
                    parsed[json] = orjson.loads(json)
            found[name, day] = Partition(
                name, day, build, fingerprint, code, parsed[params], parsed[inputs], count
            )
    return found


def record_partitions(conn: Connection, built: Iterable[Partition]) -> None:
    """Record partitions as built now; one that was recorded before is replaced.

    Raises TypeError for parameters that are no JSON values, e.g. dates: they would not come back
    equal, and the partition would be stale for ever.
    """
    built_at = utcnow().isoformat()
    replace_rows(
        conn,
        table_of_partitions,
        [
            {
                "table_name": one.table,
                "day": one.day.isoformat() if one.day else "",
                "build": one.build,
                "fingerprint": one.fingerprint,
                "code": one.code,
                "params": _json(one.params),
                "inputs": _json(one.inputs),
                "rows": one.rows,
                "built_at": built_at,
            }
            for one in built
        ],
    )


def forget_partitions(conn: Connection, table: str) -> None:
    """Forget every partition of ``table``."""
    conn.execute(delete(table_of_partitions).where(table_of_partitions.c.table_name == table))


def _json(value: dict[str, Any]) -> str:
    options = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    return orjson.dumps(value, option=options).decode()
