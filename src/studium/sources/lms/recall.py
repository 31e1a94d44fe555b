"""Files that are as they were when their rows were taken: they are not read again.

As with the index of git, a file that was written a moment before it was read is not trusted: it may
change once more within the same tick of the clock.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from studium.lake import erasures
from studium.lake.store import Lake
from studium.sources.lms.tables import LmsTable
from studium.state.facts import get_fact

VERSION = 1
"""Of how files are read: one more makes all of them be read again."""

_MOMENT = 2_000_000_000  # nanoseconds


def stamp_of(path: Path) -> str | None:
    """What changes with the file; None if it is too young to tell."""
    about = path.stat()
    if abs(time.time_ns() - about.st_mtime_ns) < _MOMENT:
        return None
    return json.dumps([str(path), about.st_ino, about.st_size, about.st_mtime_ns])


@dataclass(frozen=True)
class Recalled:
    """What came of a file: rows taken and refused."""

    rows: int
    refused: int


def recall(conn: Connection, lake: Lake, table: LmsTable, stamp: str | None) -> Recalled | None:
    """What came of a file with that stamp, if the lake still holds just its rows."""
    if stamp is None or not lake.snapshot(table.name).exists:
        return None
    fact = get_fact(conn, _name(table))
    known = json.loads(fact) if fact else {}
    if known.get("of") != _circumstances(lake, table, stamp):
        return None
    return Recalled(known["rows"], known["refused"])


def remember(lake: Lake, table: LmsTable, stamp: str, come: Recalled) -> dict[str, str]:
    """The fact, by its name, that the lake holds what a file with that stamp has; the stamp was
    made before the file was read."""
    fact = {"of": _circumstances(lake, table, stamp), "rows": come.rows, "refused": come.refused}
    return {_name(table): json.dumps(fact)}


def _name(table: LmsTable) -> str:
    return f"read {table.name}"


def _circumstances(lake: Lake, table: LmsTable, stamp: str) -> str:
    """All that the rows in the lake depend on, as a SHA-256."""
    versions = lake.snapshot(table.name).delta, lake.snapshot(erasures.TABLE).delta
    return hashlib.sha256(repr((VERSION, table, versions, stamp)).encode()).hexdigest()
