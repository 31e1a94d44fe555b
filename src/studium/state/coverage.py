"""Days that an ingest went through to the end: "never ingested" and "no events" differ."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection, select

from studium.clock import Interval
from studium.state.schema import coverage
from studium.state.upsert import add_rows


def mark_covered(conn: Connection, source: str, interval: Interval) -> None:
    """Remember that ``source`` was ingested over every day of ``interval``."""
    add_rows(conn, coverage, [{"source": source, "day": day.isoformat()} for day in interval])


def covered_days(conn: Connection, source: str, interval: Interval) -> set[date]:
    """The days of ``interval`` over which ``source`` was ingested."""
    days = select(coverage.c.day).where(
        coverage.c.source == source,
        coverage.c.day >= interval.since.isoformat(),
        coverage.c.day < interval.until.isoformat(),
    )
    return {date.fromisoformat(day) for day in conn.scalars(days)}
