"""``verify``: is what is kept and published what the raw files say? Nothing of the site is changed.

Files against their sizes and checksums, days of events against the raw files, built tables against
their inputs, published tables against the lake, the audit log against its own digests. What the
first finds is not looked at by those that follow it.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from studium.autopilot.checks import table_cure
from studium.autopilot.steps import EMPTY, UNTIL, plan_step
from studium.clock import Interval, today
from studium.engines import Engine, Relation, open_engine
from studium.engines.duckdb import connect, relation_sql
from studium.errors import StudiumError
from studium.jobs.audit import TAMPERED, verify_chain
from studium.lake.build import make_anew, stored_columns
from studium.lake.places import checksum
from studium.lake.plan import Scope, days_in_reach
from studium.lake.retention import dropped_days
from studium.lake.store import Lake, LakeFile, Snapshot
from studium.lake.tables import Table
from studium.lenses import tables as lens_tables
from studium.lenses.parameters import lenses_left_out, table_parameters
from studium.site import Site
from studium.sources.edx.ingest import EVENTS
from studium.state.facts import get_fact


@dataclass(frozen=True)
class Wrong:
    """Something that is not as it should be. ``check`` is files, raw, built, published or audit;
    ``day`` is None for a whole table; ``rows`` counts those that are missing, too many or different
    (of a file: all its rows)."""

    check: str
    table: str
    day: date | None
    rows: int
    found: str
    cure: str


@dataclass
class Verification:
    """What was looked at, what was ``wrong``, and, in ``notes``, what could not be looked at."""

    seed: int
    days: list[date] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    raw_files: int = 0
    events: int = 0
    partitions: int = 0
    published: int = 0
    published_rows: int = 0
    audited: int = 0
    wrong: list[Wrong] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def damaged(self, table: str, days: Collection[date] | None = None) -> bool:
        """Has the table (or one of its ``days``) damaged files?"""
        return any(
            one.check == "files" and one.table == table
            and (days is None or one.day is None or one.day in days)
            for one in self.wrong
        )  # fmt: skip


def verify_site(
    site: Site,
    lake: Lake,
    days: int,
    seed: int,
    on_step: Callable[[str], None] = lambda step: None,
) -> Verification:
    """Check all files, ``days`` random days (by ``seed``), all whole and all published tables.

    Needs no lock; a command that writes meanwhile may make things look wrong that are not. Copies
    and rebuilt tables go to a temporary folder.
    """
    from studium.autopilot.readback import check_published
    from studium.autopilot.rereading import check_raw

    report = Verification(seed)
    settings = site.settings.engine
    with tempfile.TemporaryDirectory(prefix="studium-verify-") as scratch:
        folder = Path(scratch)
        engine = open_engine(
            settings.name, settings.memory, settings.threads or None, folder / "engine"
        )
        try:
            snapshots = dict(_readable(lake, report))
            for snapshot in snapshots.values():
                on_step(f"files of {snapshot.name}")
                _check_files(engine, snapshot, report)
            report.days = _draw(site, snapshots, days, seed)
            on_step("raw files")
            check_raw(site, lake, report, folder)
            check_built(site, lake, engine, snapshots, report, folder, on_step)
            on_step("published tables")
            check_published(site, lake, report, folder)
            on_step("audit log")
            _check_audit(site, report)
        finally:
            engine.close()
    return report


def _readable(lake: Lake, report: Verification) -> Iterator[tuple[str, Snapshot]]:
    for name in lake.names():
        try:
            yield name, lake.snapshot(name)
        except StudiumError as error:
            report.wrong.append(Wrong("files", name, None, 0, error.message, error.hint))


def _draw(site: Site, snapshots: Mapping[str, Snapshot], days: int, seed: int) -> list[date]:
    """Days that have events or rows of a day table."""
    known: set[date] = set()
    for name in (EVENTS, *(table.name for table in lens_tables() if table.kind == "day")):
        if name in snapshots:
            known |= {day for day in snapshots[name].versions() if day is not None}
    return sorted(random.Random(seed).sample(sorted(known), min(days, len(known))))


def _check_audit(site: Site, report: Verification) -> None:
    with site.state.read() as conn:
        chain = verify_chain(conn)
    report.audited = chain.entries
    report.wrong += [Wrong("audit", "audit log", None, 1, one, TAMPERED) for one in chain.wrong]


# Files


def _check_files(engine: Engine, snapshot: Snapshot, report: Verification) -> None:
    """Every file that the Delta log names is there, with its size, and has the bytes that were
    written; one whose name has no checksum can be read to its end."""
    sizes = snapshot.place.sizes(snapshot.name)
    for file in snapshot.files:
        report.files += 1
        report.bytes += file.size
        found = _damage(engine, snapshot, file, sizes)
        if found:
            text = f"{file.path}: {found}"
            report.wrong.append(
                Wrong("files", snapshot.name, file.day, file.rows, text, table_cure(snapshot))
            )
    snapshot.place.release()


def _damage(engine: Engine, snapshot: Snapshot, file: LakeFile, sizes: Mapping[str, int]) -> str:
    size = sizes.get(file.path)
    if size is None:
        return "the file is not there"
    if size != file.size:
        return f"{size:,} bytes, not {file.size:,}"
    (path,) = snapshot.paths([file])
    if file.checksum:
        same = checksum(Path(path)) == file.checksum
        return "" if same else "other bytes than were written"
    try:
        engine.digest(Relation((path,), dict(snapshot.columns), snapshot.by_day))
    except StudiumError as error:
        return error.message
    return ""


# Built tables


def check_built(
    site: Site,
    lake: Lake,
    engine: Engine,
    snapshots: Mapping[str, Snapshot],
    report: Verification,
    folder: Path,
    on_step: Callable[[str], None],
) -> None:
    """Make the chosen days and the whole tables anew from their inputs, and compare."""
    with site.state.read() as conn:
        fact = get_fact(conn, UNTIL)
    start, until = site.settings.site.start, today() if fact is None else date.fromisoformat(fact)
    waiting = {one.lens for one in lenses_left_out(site)}
    tables = [
        table for table in lens_tables() if table.lens not in waiting and table.name in snapshots
    ]
    dropped = dropped_days(lake)
    scope = Scope(Interval(start, max(start, until)), dropped=dropped)
    stale = {
        (work.table.name, day)
        for work in plan_step(site, lake, tables, scope).work
        for day in work.reasons
    }
    params = table_parameters(site, until)
    empty = {one.name: stored_columns(one.columns) for one in lens_tables() if one.kind == "day"}
    for table in tables:
        on_step(table.name)
        snapshot = snapshots[table.name]
        chosen: list[date | None] = [None] if table.kind != "day" else [*report.days]
        imported = snapshot.imported()
        skipped: dict[str, list[date | None]] = {
            "imported": [day for day in chosen if day in imported],
            "made of days that retention dropped": [
                day for day in chosen if scope.is_frozen(table, day)
            ],
            "stale, so `studium build` makes them anew": [
                day for day in chosen if (table.name, day) in stale
            ],
            "made of damaged files, or damaged": [
                day for day in chosen if _touches_damage(report, table, day)
            ],
        }
        for why, partitions in skipped.items():
            if partitions:
                what = "whole" if None in partitions else f"{len(partitions):,} of the days"
                report.notes.append(f"{table.name}: {what} not made anew: {why}.")
                chosen = [day for day in chosen if day not in partitions]
        if chosen:
            place = folder / "built" / table.name
            made = make_anew(lake, engine, table, chosen, params, {**empty, **EMPTY}, place)
            new = Relation(
                tuple(str(file.path) for file in made.files), made.columns, snapshot.by_day
            )
            _compare(site, engine, table, snapshot, chosen, new, report)
        lake.place.release()


def _touches_damage(report: Verification, table: Table, day: date | None) -> bool:
    near = None if day is None else days_in_reach([day], table.reach)
    if report.damaged(table.name, None if day is None else [day]):
        return True
    return any(report.damaged(name, near) for name in table.inputs)


def _compare(
    site: Site,
    engine: Engine,
    table: Table,
    snapshot: Snapshot,
    chosen: Collection[date | None],
    new: Relation,
    report: Verification,
) -> None:
    files = snapshot.paths([file for file in snapshot.files if file.day in chosen])
    old = Relation(files, dict(snapshot.columns), snapshot.by_day)
    before = engine.digest(old) if old.files else {}
    after = engine.digest(new) if new.files else {}
    report.partitions += len(chosen)
    differ = {day for day in before.keys() | after.keys() if before.get(day) != after.get(day)}
    for day in sorted(differ, key=str):
        settings = site.settings.engine
        with closing(connect(settings.memory, settings.threads or None)) as db:
            rows = differing_rows(
                [relation_sql(one) for one in (old, new)],
                [*table.column_names],
                "true" if day is None else f"day = DATE '{day}'",
            )
            ((kept, made),) = db.execute(rows).fetchall()
        report.wrong.append(
            Wrong(
                "built", table.name, day, max(kept, made),
                f"rows that its inputs do not give: {kept:,}, that it lacks: {made:,}",
                f"Run `studium build {table.name} --again`, then `studium publish`.",
            )
        )  # fmt: skip


def differing_rows(sides: list[str], names: list[str], condition: str) -> str:
    """SELECT of two counts: rows of the first SELECT of ``sides`` alone, and of the second."""
    listed = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    one, other = (f"(SELECT {listed} FROM ({side}) WHERE {condition})" for side in sides)
    return (
        f"SELECT (SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {other})), "
        f"(SELECT count(*) FROM (FROM {other} EXCEPT ALL FROM {one}))"
    )
