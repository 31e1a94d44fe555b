"""Files that were read, so that only new and changed ones are read again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from studium.state.schema import files
from studium.state.upsert import replace_rows


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file and what became of its lines: ``lines`` = kept + duplicates + rejects + forgotten
    (those of learners whom ``studium forget`` erased).

    ``size`` is in bytes as stored; ``mtime_ns`` and ``etag`` are None where the store has none;
    ``build`` is the ingest that read it; ``error`` says why it could not be read to its end;
    ``read_at`` is aware, UTC.
    """

    path: str
    file_id: int
    source: str
    size: int
    mtime_ns: int | None
    etag: str | None
    lines: int
    kept: int
    duplicates: int
    rejects: int
    build: str
    error: str | None
    read_at: datetime
    forgotten: int = 0


_NAMES = tuple(FileRow.__dataclass_fields__)
_COLUMNS = [files.c[name] for name in _NAMES]


def known_files(conn: Connection, source: str) -> dict[str, FileRow]:
    """The files of ``source`` that were read, by path."""
    rows = conn.execute(select(*_COLUMNS).where(files.c.source == source)).all()
    found = {}
    for fields in rows:
        values = dict(zip(_NAMES, fields, strict=True))
        row = FileRow(**{**values, "read_at": datetime.fromisoformat(values["read_at"])})
        found[row.path] = row
    return found


def record_files(conn: Connection, rows: Iterable[FileRow]) -> None:
    """Record files as read; a file that was recorded before is replaced."""
    replace_rows(
        conn,
        files,
        [
            {name: getattr(row, name) for name in _NAMES} | {"read_at": row.read_at.isoformat()}
            for row in rows
        ],
    )
