"""Re-shredding: when the shredder has learned something, old days are shredded from the lake.

The raw logs are not needed: the lake holds every envelope as logged. A file's shredder is in its
name (``shred001``), so which days are stale can be read off the Delta log.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import date

from studium.engines import Relation
from studium.engines.duckdb import connect, relation_sql
from studium.lake.store import Lake, Snapshot
from studium.site import Site
from studium.sources.edx import answers, shred
from studium.sources.edx.staging import copy_by_day
from studium.state.counters import next_build

_SHREDDER = re.compile(r"-shred(\d{3})-")
_DAYS_AT_ONCE = 31


def fingerprint() -> str:
    """What the names of files that this shredder writes carry."""
    return f"shred{shred.SHREDDER:03d}"


def stale_days(events: Snapshot) -> list[date]:
    """Days with a file of an older shredder."""
    stale = set()
    for file in events.files:
        found = _SHREDDER.search(file.path)
        if file.day and (found is None or int(found.group(1)) < shred.SHREDDER):
            stale.add(file.day)
    return sorted(stale)


def reshred_days(site: Site, lake: Lake) -> int:
    """Shred stale days anew; returns how many. Needs the site's writer lock.

    The answers go first: a crash in between leaves the day stale, and it is done again.
    """
    days = stale_days(lake.snapshot("events"))
    for first in range(0, len(days), _DAYS_AT_ONCE):
        _reshred(site, lake, days[first : first + _DAYS_AT_ONCE])
        lake.place.release()
    return len(days)


def _reshred(site: Site, lake: Lake, days: Sequence[date]) -> None:
    settings = site.settings.engine
    with site.state.begin() as conn:
        build = next_build(conn, lake.next_number())
    folder = site.scratch / build
    db = connect(settings.memory, settings.threads, site.scratch / "spill")
    try:
        events = lake.snapshot("events")
        envelopes = relation_sql(events.relation(days))
        new, _ = copy_by_day(db, shred.envelope_sql(f"({envelopes})"), folder / "events")
        paths = tuple(str(file.path) for file in new)
        shredded = relation_sql(Relation(paths, shred.COLUMNS, by_day=True))
        parts, _ = copy_by_day(db, answers.answers_sql(f"({shredded})"), folder / "answers")
        for name, files, columns in (
            ("event_answers", parts, answers.COLUMNS),
            ("events", new, shred.COLUMNS),
        ):
            old = [file for file in lake.snapshot(name).files if file.day in set(days)]
            lake.commit(
                name, files, columns=columns, by_day=True, build=build,
                fingerprint=fingerprint(), replace=old,
            )  # fmt: skip
    finally:
        db.close()
        shutil.rmtree(folder, ignore_errors=True)
