"""Building: stale partitions → engine → staged files → one commit a table → ledger."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from studium.columns import Column
from studium.engines import Digest, Engine, Relation, StagedFile, Written
from studium.errors import TableError
from studium.lake.plan import (
    Ledger,
    Reason,
    Scope,
    Work,
    days_in_reach,
    find_work,
    imported_partition,
    mark_imported,
)
from studium.lake.store import Lake, LakeFile, Snapshot
from studium.lake.tables import Table
from studium.site import Site
from studium.state.counters import next_build
from studium.state.ledger import Partition, partitions, record_partitions

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Built:
    """What building one table came to. ``changed`` partitions were committed; the others of
    ``work`` came out equal to what was there. ``kept`` are imported days that raw logs would have
    made fewer rows of: some late events of a day are not the day."""

    work: Work
    changed: int
    rows: int
    kept: tuple[date, ...] = ()


def build_tables(
    site: Site,
    lake: Lake,
    engine: Engine,
    tables: Sequence[Table],
    params: Mapping[str, object],
    scope: Scope,
    empty: Mapping[str, Mapping[str, str]],
    on_table: Callable[[Table], None] = lambda table: None,
) -> list[Built]:
    """Build what is stale among ``tables`` (inputs first). Needs the site's writer lock.

    ``empty`` gives the columns of input tables that may not exist yet: they read as empty, and so
    does a day table for which no day has come.
    """
    days = {table.name: stored_columns(table.columns) for table in tables if table.kind == "day"}
    empty = {**days, **empty}
    built: list[Built] = []
    for table in tables:
        on_table(table)
        lake.place.release()
        inputs = {name: lake.snapshot(name) for name in table.inputs}
        with site.state.read() as conn:
            ledger: Ledger = partitions(conn, [table.name])
        versions = {name: snapshot.versions() for name, snapshot in inputs.items()}
        before = lake.snapshot(table.name)
        if before.exists:
            versions[table.name] = before.versions()
            ledger = mark_imported(ledger, before)
        work = find_work(table, versions, ledger, params, scope)
        if work.reasons:
            relations = {
                name: _relation(table, snapshot, empty, work, params)
                for name, snapshot in inputs.items()
            }
            # With a state that was lost, numbers go on from those in the lake.
            number = 0 if built else lake.next_number()
            built.append(_build(site, lake, engine, work, before, relations, params, number))
    return built


def make_anew(
    lake: Lake,
    engine: Engine,
    table: Table,
    days: Collection[date | None],
    params: Mapping[str, object],
    empty: Mapping[str, Mapping[str, str]],
    folder: Path,
) -> Written:
    """Partitions of a table (``None``: the whole) made of what its inputs hold now, into files in
    ``folder``. Nothing is committed."""
    work = Work(table, dict.fromkeys(days, Reason.ASKED), {})
    relations = {
        name: _relation(table, lake.snapshot(name), empty, work, params) for name in table.inputs
    }
    return _write(engine, work, relations, params, folder)


def _build(
    site: Site,
    lake: Lake,
    engine: Engine,
    work: Work,
    before: Snapshot,
    relations: Mapping[str, Relation],
    params: Mapping[str, object],
    number: int,
) -> Built:
    table = work.table
    with site.state.begin() as conn:
        build = next_build(conn, number)
    folder = site.scratch / build
    written = _write(engine, work, relations, params, folder, before)
    _check_columns(table, written)
    by_day = table.kind == "day"
    replaced = [file for file in before.files if file.day in work.reasons]
    kept = _kept(before, work, written)
    changed = _changed(engine, before, replaced, written, by_day)
    # A day that raw logs take over is theirs from now on, even if its rows are the same.
    changed = (changed | {*before.imported() & set(work.days)}) - set(kept)
    if before.exists and not by_day and dict(before.columns) != written.columns:
        changed = {None}
    # Equal rows may yet have other columns, all NULL, that other tables want to read.
    if changed or not before.exists or not before.columns.keys() >= written.columns.keys():
        lake.commit(
            table.name,
            [file for file in written.files if file.day in changed],
            columns=written.columns,
            by_day=by_day,
            build=build,
            fingerprint=next(iter(work.expected.values())).fingerprint,
            replace=[file for file in replaced if file.day in changed],
        )
    shutil.rmtree(folder, ignore_errors=True)
    _record(site, work, lake.snapshot(table.name), written, kept)
    return Built(work, len(changed), written.rows, tuple(sorted(kept)))


def _kept(before: Snapshot, work: Work, written: Written) -> set[date]:
    """Imported days of which raw logs give fewer rows: only some events of such a day came, late or
    in the file of another day."""
    rows: Counter[date | None] = Counter()
    for one in written.files:
        rows[one.day] += one.rows
    there: Counter[date | None] = Counter()
    for file in before.files:
        there[file.day] += file.rows
    days = before.imported() & set(work.days)
    return {day for day in days if rows[day] < there[day]}


def _write(
    engine: Engine,
    work: Work,
    relations: Mapping[str, Relation],
    params: Mapping[str, object],
    folder: Path,
    before: Snapshot | None = None,
) -> Written:
    table = work.table
    values = {name: params[name] for name in table.params}
    if table.function is not None:
        if before and before.exists and table.key and work.reasons.get(None) is Reason.INPUT:
            return _extend_map(engine, table, relations, values, folder, before)
        keys = engine.query(table.sql, relations) if table.sql else None
        return _write_map(table, table.function(values, keys), folder)
    assert table.sql is not None
    sql = table.sql
    if table.kind == "day" and (table.reach or not all(one.by_day for one in relations.values())):
        # Neighbours, and tables that are one whole, were read only to be looked at.
        days = ", ".join(f"DATE '{day}'" for day in work.days)
        sql = f"SELECT * FROM ({sql}) AS reached WHERE day IN ({days})"
    return engine.write(sql, relations, values, folder, "part", table.kind == "day")


def _extend_map(
    engine: Engine,
    table: Table,
    relations: Mapping[str, Relation],
    values: Mapping[str, object],
    folder: Path,
    before: Snapshot,
) -> Written:
    """The rows of keys that were there, as they were made, and those of new keys."""
    assert table.function is not None
    inputs = {**relations, table.name: before.relation()}
    columns = ", ".join(f"made.{name}" for name in table.column_names)
    joined = (
        f"({table.sql}) AS keys {{}} JOIN {table.name} AS made "
        f"ON made.{table.key} = keys.{table.key}"
    )
    old = engine.write(
        f"SELECT {columns} FROM {joined.format('INNER')}", inputs, {}, folder, "old", False
    )
    keys = engine.query(
        f"SELECT keys.* FROM {joined.format('LEFT')} WHERE made.{table.key} IS NULL", inputs
    )
    new = _write_map(table, table.function(values, keys), folder)
    return Written((*old.files, *new.files), new.columns)


def _write_map(table: Table, rows: pa.Table | pa.RecordBatchReader, folder: Path) -> Written:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "part-0.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    reader = rows.to_reader() if isinstance(rows, pa.Table) else rows
    count = 0
    with pq.ParquetWriter(path, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    file = StagedFile(path, None, count, path.stat().st_size)
    return Written((file,) if count else (), stored_columns(table.columns))


_STORED = {
    "varchar": "VARCHAR",
    "text": "VARCHAR",
    "integer": "INTEGER",
    "smallint": "SMALLINT",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "date": "DATE",
    "datetime": "TIMESTAMP",
    "boolean": "BOOLEAN",
}


def stored_columns(columns: Sequence[Column]) -> dict[str, str]:
    """Declared columns as the lake keeps them: name → DuckDB type."""
    return {column.name: _STORED[column.type.partition("(")[0]] for column in columns}


def _relation(
    table: Table,
    snapshot: Snapshot,
    empty: Mapping[str, Mapping[str, str]],
    work: Work,
    params: Mapping[str, object],
) -> Relation:
    if not snapshot.exists:
        if snapshot.name not in empty:
            raise TableError(
                f"table {table.name} reads {snapshot.name}, which does not exist in the lake.",
                f"Ingest or build it first: `studium plan {snapshot.name}`.",
            )
        columns = dict(empty[snapshot.name])
        return Relation((), columns, by_day="day" in columns)
    if not snapshot.by_day:
        return snapshot.relation()
    if table.kind == "day":
        return snapshot.relation(days_in_reach(work.days, table.reach))
    start, until = params["start"], params["until"]
    assert isinstance(start, date) and isinstance(until, date)
    return snapshot.relation(
        day for day in snapshot.versions() if day is not None and start <= day < until
    )


def _check_columns(table: Table, written: Written) -> None:
    declared = set(table.column_names)
    got = {name for name in written.columns if name != "day" or "day" in declared}
    if got != declared:
        raise TableError(
            f"table {table.name}: its SELECT gives {', '.join(sorted(got))} but its header "
            f"declares {', '.join(sorted(declared))}.",
            "Make [columns] and the SELECT list agree.",
        )


def _changed(
    engine: Engine,
    before: Snapshot,
    replaced: Sequence[LakeFile],
    written: Written,
    by_day: bool,
) -> set[date | None]:
    """Partitions whose rows differ from what is there: a rebuild of equal rows commits nothing."""
    there = {file.day for file in replaced}
    made = {file.day for file in written.files}
    old: Digest = {}
    new: Digest = {}
    if there & made:  # what is on one side only differs without being looked at
        old = engine.digest(Relation(before.paths(replaced), dict(before.columns), by_day))
        paths = tuple(str(file.path) for file in written.files if file.day in there)
        new = engine.digest(Relation(paths, written.columns, by_day))
    return (there ^ made) | {day for day in there & made if old.get(day) != new.get(day)}


def _record(
    site: Site, work: Work, after: Snapshot, written: Written, kept: Collection[date]
) -> None:
    versions = after.versions()
    rows: dict[date | None, int] = {}
    for file in written.files:
        rows[file.day] = rows.get(file.day, 0) + file.rows
    with site.state.begin() as conn:
        record_partitions(
            conn,
            [
                Partition(
                    table=one.table,
                    day=day,
                    build=versions.get(day, ""),
                    fingerprint=one.fingerprint,
                    code=one.code,
                    params=one.params,
                    inputs=one.inputs,
                    rows=rows.get(day, 0),
                )
                for day, one in work.expected.items()
                if day not in kept
            ]
            # What came of their raw logs was looked at: they are stale when more comes.
            + [
                replace(imported_partition(after, day), inputs=work.expected[day].inputs)
                for day in kept
            ],
        )
