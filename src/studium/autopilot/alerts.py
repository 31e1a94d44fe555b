"""The failed night: what is worth waking somebody for, and how they are told.

A day's volume is compared with the same weekday of the weeks before, by median and median absolute
deviation: one holiday among them does not move these.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from studium.clock import Interval, today, utcnow
from studium.engines import Relation
from studium.engines.duckdb import connect, relation_sql
from studium.lake.store import Lake, Snapshot
from studium.messages import send_message
from studium.site import Site
from studium.sources.edx.ingest import EVENTS, SOURCE
from studium.state.coverage import covered_days

# What makes a median absolute deviation comparable with a standard deviation.
_SCALE = 1.4826
# A site with the same number every week is not alarmed by one event more.
_LEAST_SPREAD = 0.05
_LEAST_WEEKS = 4


@dataclass(frozen=True)
class Concern:
    """One thing that is wrong, with its numbers, and the command to look."""

    what: str
    look: str


def unusual_volume(volumes: dict[date, int], day: date, weeks: int, limit: float) -> Concern | None:
    """A concern if ``day`` has far more or fewer events than its weekday had in the ``weeks``
    before; ``volumes`` has the days that were ingested, also those without events.

    Far: ``limit`` times the median absolute deviation (scaled to a standard deviation), which is
    taken to be 5 % of the median at least. With fewer than 4 such weekdays nothing is said.
    """
    before = [
        volumes[past]
        for week in range(1, weeks + 1)
        if (past := day - timedelta(weeks=week)) in volumes
    ]
    if limit <= 0 or day not in volumes or len(before) < min(_LEAST_WEEKS, weeks):
        return None
    middle = median(before)
    spread = max(
        _SCALE * median(abs(count - middle) for count in before), _LEAST_SPREAD * middle, 1.0
    )
    count = volumes[day]
    if abs(count - middle) <= limit * spread:
        return None
    return Concern(
        f"{day} ({day:%A}) has {count:,} events; the {len(before)} {day:%A}s before had "
        f"{middle:,.0f} (median), give or take {spread:,.0f}.",
        f"studium plan --since {min(day, today()) - timedelta(days=7)}",
    )


def late_data(newest: datetime | None, now: datetime, hours: float) -> Concern | None:
    """A concern if the newest event (UTC, naive) is older than the ``hours`` promised."""
    if hours <= 0:
        return None
    if newest is None:
        return Concern("There is no event at all.", "studium plan")
    age = (now.replace(tzinfo=None) - newest).total_seconds() / 3600
    if age <= hours:
        return None
    return Concern(
        f"The newest event is of {newest:%Y-%m-%d %H:%M} UTC, {age:,.1f} hours ago; "
        f"alerts.max_age_hours = {hours:g}.",
        "studium plan",
    )


def look_at_data(site: Site, lake: Lake, interval: Interval) -> list[Concern]:
    """What is odd about the data after a run over ``interval``."""
    settings = site.settings.alerts
    events = lake.snapshot(EVENTS)
    day = min(interval.until, today()) - timedelta(days=1)
    past = Interval(day - timedelta(weeks=settings.volume_weeks), day + timedelta(days=1))
    with site.state.read() as conn:
        covered = covered_days(conn, SOURCE, past)
    found = [
        unusual_volume(
            _volumes(events, covered), day, settings.volume_weeks, settings.volume_deviations
        ),
        late_data(_newest(events), utcnow(), settings.max_age_hours)
        if settings.max_age_hours > 0
        else None,
    ]
    return [one for one in found if one]


def _volumes(events: Snapshot, covered: Collection[date]) -> dict[date, int]:
    """Events by covered day, from the Delta log alone."""
    counts: Counter[date | None] = Counter()
    for file in events.files:
        counts[file.day] += file.rows
    return {day: counts[day] for day in covered}


def _newest(events: Snapshot) -> datetime | None:
    days = [file.day for file in events.files if file.day]
    if not days:
        return None
    relation = events.relation([max(days)])
    with closing(connect()) as db:
        source = relation_sql(Relation(relation.files, {"time": "TIMESTAMP"}, by_day=True))
        ((newest,),) = db.execute(f"SELECT max(time) FROM ({source})").fetchall()
    return newest if isinstance(newest, datetime) else None


def say(site: Site, command: str, concerns: Sequence[Concern], failed: bool) -> list[str]:
    """Tell every address of ``alerts.urls``; returns what could not be delivered, and why."""
    if not concerns or not site.settings.alerts.urls:
        return []
    where = f"{site.root} on {socket.gethostname()}"
    title = f"Studium: {command} {'failed' if failed else 'has doubts'}: {where}"
    body = "\n\n".join(f"{one.what}\nLook: {one.look}" for one in concerns)
    return send_message(
        site.settings.alerts.urls, title, f"{body}\n\nSite: {where}\n", "alerts.urls"
    )
