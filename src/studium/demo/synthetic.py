"""A synthetic site for trying jobs: made once, kept in the user's cache, filled as it is needed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection
from datetime import date, timedelta
from pathlib import Path

from studium import __version__
from studium.autopilot import steps
from studium.clock import Interval, today
from studium.demo.institution import write_institution
from studium.lake.plan import Scope
from studium.lake.store import Lake
from studium.lake.tables import Table
from studium.lenses import tables
from studium.site import init_site, open_site

WEEKS = 12
_EVENTS = 8_000


def synthetic_site(start: date | None, wanted: Collection[str]) -> Path:
    """The folder of a site with a term of synthetic data from about ``start`` (default: the last
    one) and the tables ``wanted`` in its lake, as far as Studium makes them.

    The first call for a term takes some seconds, a later one finds what is there.
    """
    first = start or today() - timedelta(days=7 * WEEKS)
    first -= timedelta(days=first.weekday())
    root = _cache() / f"synthetic-{__version__}-{first}"
    if not root.is_dir():
        _make(root, first)
    with open_site(root) as site, site.writer("job try"):
        lake = Lake(site.lake_dir)
        interval = Interval(first, first + timedelta(days=7 * WEEKS))
        if not lake.snapshot("events").exists:
            steps.ingest_step(site, lake, interval)
            steps.lms_step(site, lake)
        steps.build_step(site, lake, _with_inputs(wanted), Scope(interval))
    return root


def _make(root: Path, first: date) -> None:
    """All of it or nothing: another command may make the same."""
    partial = root.with_name(f".{root.name}-{secrets.token_hex(4)}")
    try:
        partial.mkdir(parents=True)
        place = write_institution(
            partial / "raw", events=_EVENTS, seed=7, start=first, days=7 * WEEKS
        )
        values = {
            "site.start": place.since,
            "edx.source": ["raw/logs"],
            "lms.source": "raw/lms",
            "geography.database": "raw/countries.mmdb",
            "jobs.data": "synthetic",
        }
        init_site(partial, values).close()
        partial.rename(root)
    except OSError:
        if not root.is_dir():  # else another command was faster
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _with_inputs(wanted: Collection[str]) -> list[Table]:
    needed = set(wanted)
    every = tables()
    for table in reversed(every):  # readers before what they read
        if table.name in needed:
            needed |= set(table.inputs)
    return [table for table in every if table.name in needed]


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "studium"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
