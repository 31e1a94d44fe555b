"""Retention: raw tables keep so many days; what was made of older ones stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from studium.autopilot.steps import kept_tables, plan_step
from studium.clock import Interval, today
from studium.errors import LakeError
from studium.lake.plan import Scope
from studium.lake.retention import drop_before, note_dropped
from studium.lake.store import Lake
from studium.lake.vacuum import vacuum_tables
from studium.site import Site
from studium.sources.edx.ingest import ANSWERS, EVENTS
from studium.sources.edx.rejects import TABLE as REJECTS
from studium.state.counters import next_build

RAW = (EVENTS, ANSWERS, REJECTS)


@dataclass(frozen=True)
class Dropped:
    """What went, or would go, from one table: the days before ``before``."""

    table: str
    before: date
    rows: int
    days: int


def old_days(site: Site, lake: Lake) -> list[Dropped]:
    """What ``retention.raw_days`` says may go. Writes nothing."""
    keep = site.settings.retention.raw_days
    if not keep:
        return []
    before = today() - timedelta(days=keep)
    found = []
    for name in RAW:
        old = [one for one in lake.snapshot(name).files if one.day is not None and one.day < before]
        if old:
            rows, days = sum(one.rows for one in old), len({one.day for one in old})
            found.append(Dropped(name, before, rows, days))
    return found


def apply_retention(site: Site, lake: Lake, keep_hours: int = 24) -> list[Dropped]:
    """Drop old days of the raw tables, and delete files dropped ``keep_hours`` ago. Needs the
    site's writer lock.

    Raises LakeError, and drops nothing, while a table has yet to be built from one of those days:
    it never could be, afterwards.
    """
    dropped = old_days(site, lake)
    if dropped:
        _refuse_unbuilt(site, lake, dropped[0].before)
        with site.state.begin() as conn:
            build = next_build(conn, lake.next_number())
        # First the note: a day that is gone without it would be built from nothing.
        note_dropped(lake, {one.table: one.before for one in dropped}, build, site.scratch)
        for one in dropped:
            drop_before(lake, one.table, one.before, build)
    if site.settings.retention.raw_days:
        vacuum_tables(lake, keep_hours, dry_run=False, names=RAW)
    return dropped


def _refuse_unbuilt(site: Site, lake: Lake, before: date) -> None:
    tables = [table for table in kept_tables(lake) if table.kind == "day"]
    start = site.settings.site.start
    if not tables or before <= start:
        return
    planned = plan_step(site, lake, tables, Scope(Interval(start, before)))
    waiting = [
        work.table.name for work in planned.work if work.days and set(RAW) & set(work.table.inputs)
    ]
    if waiting:
        raise LakeError(
            f"Nothing is dropped: {', '.join(waiting)}: yet to be built from days before {before}.",
            "Run `studium build` first.",
        )
