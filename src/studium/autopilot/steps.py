"""The steps of the main job, each of which can be run alone. All need the site's writer lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from studium.clock import Interval, today, utcnow
from studium.engines import Engine, Relation, open_engine
from studium.engines.duckdb import reading, stream_rows
from studium.errors import UsageError
from studium.lake.build import Built, build_tables
from studium.lake.plan import Ledger, Scope, Work, make_plan, mark_imported, missing_days
from studium.lake.retention import dropped_days
from studium.lake.store import Lake, Snapshot
from studium.lake.tables import Table
from studium.lenses import tables as lens_tables
from studium.lenses.parameters import LeftOut, lenses_left_out, table_parameters
from studium.results.publication import Publication, Published
from studium.results.store import open_results, publish, published
from studium.s3 import is_s3
from studium.servers import is_server
from studium.site import Site
from studium.sources.edx import answers, rejects, shred
from studium.sources.edx.ingest import (
    ANSWERS,
    EVENTS,
    SOURCE,
    Choice,
    IngestReport,
    choose_files,
    ingest,
)
from studium.sources.edx.reshred import reshred_days, stale_days
from studium.sources.history.importer import coverage_of
from studium.sources.lms.importer import Imported, import_lms
from studium.sources.lms.tables import EMPTY as LMS_EMPTY
from studium.state.coverage import covered_days
from studium.state.facts import get_fact, set_fact
from studium.state.ledger import partitions

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection

    Read = Callable[[Relation, Sequence[str]], pa.RecordBatchReader]

UNTIL = "until"
# The published day tables that were built: one without a row is no table in the lake, but one that
# readers find empty.
_BUILT_BY_DAY = "built by day"

# Columns of tables that may not exist yet: they read as empty.
EMPTY: Mapping[str, Mapping[str, str]] = {
    EVENTS: {"day": "DATE", **shred.COLUMNS},
    ANSWERS: {"day": "DATE", **answers.COLUMNS},
    rejects.TABLE: {"day": "DATE", **rejects.COLUMNS},
    **LMS_EMPTY,
}


@dataclass(frozen=True)
class Planned:
    """What a build would do now, the days ``missing`` that it cannot know anything about, and the
    days, by table, that were ``imported`` from an old warehouse."""

    scope: Scope
    until: date
    work: list[Work]
    missing: list[Interval]
    stale_shredder: list[date] = field(default_factory=list)
    imported: dict[str, list[date]] = field(default_factory=dict)


def choose_interval(site: Site, since: date | None, until: date | None) -> Interval:
    """``[since, until)``; by default from ``site.start`` up to today (UTC).

    UsageError if ``until`` is after tomorrow: whole tables would get rows for days that have yet
    to come, and they never cover less than before.
    """
    if until and until > (tomorrow := today() + timedelta(days=1)):
        raise UsageError(
            f"--until {until} lies ahead: the days from {tomorrow} on have not begun.",
            f"Give {tomorrow} at the latest, or leave --until out.",
        )
    return Interval(since or site.settings.site.start, until or max(today(), since or today()))


def choose_tables(names: Collection[str]) -> list[Table]:
    """Tables by lens or table name, with everything they read, inputs first; none: all."""
    every = lens_tables()
    if not names:
        return every
    lenses = {table.lens for table in every}
    known = {table.name: table for table in every}
    wanted: set[str] = set()
    for name in names:
        if name in lenses:
            wanted |= {table.name for table in lens_tables(name)}
        elif name in known:
            wanted.add(name)
        else:
            raise UsageError(
                f"there is no lens or table {name!r}.",
                f"Lenses: {', '.join(sorted(lenses))}. Tables: {', '.join(sorted(known))}.",
            )
    return _with_inputs(wanted)


def kept_tables(lake: Lake) -> list[Table]:
    """The lens tables of a lake with everything they read, be that there or lost, inputs first."""
    return _with_inputs(lake.names())


def _with_inputs(names: Iterable[str]) -> list[Table]:
    every, wanted = lens_tables(), set(names)
    for table in reversed(every):
        if table.name in wanted:
            wanted |= set(table.inputs)
    return [table for table in every if table.name in wanted]


def ingest_step(
    site: Site,
    lake: Lake,
    interval: Interval,
    on_choice: Callable[[Choice], None] = lambda choice: None,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> IngestReport:
    """Read new and changed log files of ``edx.source``; days of an older shredder are shredded
    anew first. ``on_choice`` is told which files, ``on_bytes`` how many bytes have been read."""
    sources = [
        path if is_s3(path) else os.path.join(site.root, path) for path in site.settings.edx.source
    ]
    if not sources:
        raise UsageError(
            "no log files are named.", "Give --source GLOB, or set edx.source in studium.toml."
        )
    reshred_days(site, lake)
    # A lake that was lost is read anew, whatever the manifest remembers.
    kept = lake.snapshot(EVENTS).exists
    choice = choose_files(
        site, sources, interval, site.settings.run.lookback if kept else len(interval)
    )
    on_choice(choice)
    return ingest(site, lake, choice, interval, on_bytes)


def lms_step(
    site: Site, lake: Lake, on_wait: Callable[[str], None] = lambda said: None
) -> list[Imported]:
    """Take snapshots of what ``lms.source``, ``lms.courses`` and the APIs have, if any is set;
    ``on_wait`` is told of an API that has to be waited for."""
    lms = site.settings.lms
    if not (lms.source or lms.courses or lms.api_url or lms.discovery_url):
        return []
    local = lms.source and not is_server(lms.source)
    return import_lms(site, lake, site.root / lms.source if local else lms.source, on_wait)


def plan_step(site: Site, lake: Lake, tables: Sequence[Table], scope: Scope) -> Planned:
    """What a build over ``scope`` would do. Writes nothing and needs no lock."""
    scope = replace(scope, dropped=dropped_days(lake))
    until = _until(site, scope)
    snapshots = {name: lake.snapshot(name) for name in lake.names()}
    versions = {name: snapshot.versions() for name, snapshot in snapshots.items()}
    imported: dict[str, list[date]] = {}
    with site.state.read() as conn:
        ledger: Ledger = partitions(conn)
        covered = covered_days(conn, SOURCE, scope.window)
        for table in (one for one in tables if one.kind == "day"):
            days = covered_days(conn, coverage_of(table.name), scope.window)
            if table.name in snapshots:
                days |= {day for day in snapshots[table.name].imported() if day in scope.window}
                ledger = mark_imported(ledger, snapshots[table.name])
            if days:
                imported[table.name] = sorted(days)
                covered |= days
    return Planned(
        scope,
        until,
        make_plan(
            possible_tables(site, tables), versions, ledger, table_parameters(site, until), scope
        ),
        missing_days(covered, scope.window),
        stale_days(snapshots[EVENTS]) if EVENTS in snapshots else [],
        imported,
    )


def build_step(
    site: Site,
    lake: Lake,
    tables: Sequence[Table],
    scope: Scope,
    on_table: Callable[[Table], None] = lambda table: None,
) -> list[Built]:
    """Build what is stale. ``on_table`` is told of each table before its turn, stale or not."""
    scope = replace(scope, dropped=dropped_days(lake))
    possible = possible_tables(site, tables)
    until = _until(site, scope)
    settings = site.settings.engine
    engine: Engine = open_engine(
        settings.name, settings.memory, settings.threads or None, site.scratch / "engine"
    )
    try:
        built = build_tables(
            site, lake, engine, possible, table_parameters(site, until), scope, EMPTY, on_table
        )
    finally:
        engine.close()
    with site.state.begin() as conn:
        set_fact(conn, UNTIL, until.isoformat())
        days = {table.name for table in possible if table.kind == "day" and table.publish}
        set_fact(conn, _BUILT_BY_DAY, " ".join(sorted(days | _built_by_day(conn))))
    return built


def publish_step(
    site: Site,
    lake: Lake,
    tables: Sequence[Table],
    on_withdraw: Callable[[str], None] = lambda name: None,
    again: bool = False,
) -> list[Published]:
    """Publish the tables that are not as built in the result store (or, ``again``, all that are
    built), all in one flip.

    What was published and is declared no longer goes with it; ``on_withdraw`` is told of each.
    """
    store = open_results(
        site.settings.results.url, site.root, credentials=site.settings.results.credentials
    )
    try:
        there = published(store)
        withdrawn = undeclared(there, tables)
        with reading() as read:
            changed = unpublished(site, lake, tables, {} if again else there, read=read)
            done = publish(store, changed, utcnow(), withdrawn) if changed or withdrawn else []
    finally:
        store.close()
    for name in withdrawn:
        on_withdraw(name)
    return done


def unpublished(
    site: Site,
    lake: Lake,
    tables: Sequence[Table],
    there: Mapping[str, Published],
    until_too: bool = True,
    read: Read = stream_rows,
) -> list[Publication]:
    """The tables whose rows or declaration are not those ``there`` in the result store; or, with
    ``until_too``, the day that their data end, which only the ledger can tell. ``read`` gives
    their rows."""
    with site.state.read() as conn:
        ledger = partitions(conn)
        built_by_day = _built_by_day(conn)
    known = {table.name: table for table in lens_tables()}
    changed = []
    for table in tables:
        if table.publish is None:
            continue
        snapshot = lake.snapshot(table.name)
        if not snapshot.exists and table.name not in built_by_day:
            continue
        build = max(snapshot.versions().values(), default="")
        until = _after(snapshot) if table.kind == "day" else _data_until(table, known, ledger)
        one = _publication(table, snapshot, build, until, read)
        now = there.get(one.name)
        # A day that became empty leaves no build behind, but fewer rows.
        as_built = (build, snapshot.rows, one.definition)
        if (
            now is None
            or (now.build, now.rows, now.definition) != as_built
            or (until_too and now.data_until != until)
        ):
            changed.append(one)
    return changed


def undeclared(there: Collection[str], tables: Sequence[Table] = ()) -> list[str]:
    """Of the published tables ``there``, those that no table file, nor any of ``tables``,
    declares any more."""
    return sorted(set(there) - {table.publish for table in (*lens_tables(), *tables)})


def _publication(
    table: Table, snapshot: Snapshot, build: str, until: date | None, read: Read
) -> Publication:
    assert table.publish is not None

    columns = table.published_columns

    def rows() -> pa.RecordBatchReader:
        # DuckDB has the declared types under the same names.
        nothing = Relation(columns={column.name: column.type for column in columns})
        relation = snapshot.relation() if snapshot.exists else nothing
        return read(relation, [column.name for column in columns])

    return Publication(table.publish, columns, table.grain, table.indexes, rows, build, until)


def _data_until(table: Table, known: Mapping[str, Table], ledger: Ledger) -> date | None:
    """The day before which all data of a published whole table lie: as it and its inputs were
    built."""
    built = ledger.get((table.name, None))
    days = [] if built is None else [built.params.get(UNTIL)]
    ends = [date.fromisoformat(day) for day in days if isinstance(day, str)]
    whole = (known[name] for name in table.inputs if name in known and known[name].kind != "day")
    inputs = (_data_until(one, known, ledger) for one in whole)
    return min((*ends, *(end for end in inputs if end is not None)), default=None)


def _after(snapshot: Snapshot) -> date | None:
    """The day after the last one of a day table."""
    days = [file.day for file in snapshot.files if file.day is not None]
    return max(days) + timedelta(days=1) if days else None


def _built_by_day(conn: Connection) -> set[str]:
    return set((get_fact(conn, _BUILT_BY_DAY) or "").split())


def _until(site: Site, scope: Scope) -> date:
    """B: whole tables never cover less than they did before."""
    with site.state.read() as conn:
        fact = get_fact(conn, UNTIL)
    return max(scope.window.until, date.fromisoformat(fact)) if fact else scope.window.until


def left_out(site: Site, tables: Sequence[Table]) -> list[LeftOut]:
    """The lenses among those of ``tables`` that cannot be made; the steps pass them over."""
    lenses = {table.lens for table in tables}
    return [one for one in lenses_left_out(site) if one.lens in lenses]


def possible_tables(site: Site, tables: Sequence[Table]) -> list[Table]:
    """``tables`` without those of lenses that cannot be made; UsageError if none is left."""
    waiting = left_out(site, tables)
    lenses = {one.lens for one in waiting}
    possible = [table for table in tables if table.lens not in lenses]
    if waiting and all(not table.publish for table in possible):
        raise UsageError(f"{waiting[0].lens}: {waiting[0].reason}", "")
    return possible
