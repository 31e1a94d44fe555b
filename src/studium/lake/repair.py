"""The ledger made anew from the lake: file names carry build, code and parameters, and build ids
grow, so a partition is fresh if everything that happened to its inputs came before its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from studium.lake.plan import (
    Ledger,
    Scope,
    Versions,
    days_in_reach,
    find_work,
    imported_partition,
)
from studium.lake.store import Lake, Snapshot
from studium.lake.tables import Table
from studium.state.ledger import Partition


@dataclass(frozen=True)
class Reconstructed:
    """Ledger rows for all partitions of the lake: those shown to be ``fresh``, and those of which
    that is unsure; the latter are written so that the next build takes them for stale."""

    fresh: list[Partition]
    unsure: list[Partition]


def wrong_rows(ledger: Ledger, snapshots: Mapping[str, Snapshot]) -> list[Partition]:
    """Ledger rows that name a build the lake does not have in that partition."""
    return [
        row
        for (table, day), row in ledger.items()
        if (snapshots[table].versions() if table in snapshots else {}).get(day, "") != row.build
    ]


def unknown_partitions(
    tables: Sequence[Table], ledger: Ledger, snapshots: Mapping[str, Snapshot]
) -> list[tuple[str, date | None]]:
    """Partitions of the lake, of tables we know, that the ledger does not mention."""
    return [
        (table.name, day)
        for table in tables
        if table.name in snapshots
        for day in snapshots[table.name].versions()
        if (table.name, day) not in ledger
    ]


def reconstruct(
    lake: Lake, tables: Sequence[Table], params: Mapping[str, object], scope: Scope
) -> Reconstructed:
    """Ledger rows for every partition of ``tables`` that has rows."""
    snapshots = {name: lake.snapshot(name) for name in lake.names()}
    versions: dict[str, Versions] = {name: one.versions() for name, one in snapshots.items()}
    made = Reconstructed([], [])
    for table in tables:
        if table.name not in snapshots:
            continue
        inputs = {name: snapshots[name] for name in table.inputs if name in snapshots}
        newest = {name: lake.newest_build(name) for name in inputs}
        expected = find_work(table, versions, {}, params, scope).expected
        imported = snapshots[table.name].imported()
        for day, files in snapshots[table.name].by_partition().items():
            if day in imported:
                assert day is not None
                made.fresh.append(imported_partition(snapshots[table.name], day))
                continue
            build = versions[table.name].get(day, "")
            rows = sum(file.rows for file in files)
            stale = Partition(table.name, day, build, "", "", {}, {}, rows)
            one = expected.get(day)
            if one is None or any(f.fingerprint != one.fingerprint[:8] for f in files):
                made.unsure.append(stale)
            elif all(_before(build, table, inputs[name], newest[name], day) for name in inputs):
                made.fresh.append(replace(one, rows=rows))
            else:
                made.unsure.append(replace(stale, params=one.params))
    return made


def _before(build: str, table: Table, found: Snapshot, newest: str, day: date | None) -> bool:
    """Was everything in the input, and everything taken out of it, there before ``build``?"""
    if newest and newest < build:
        return True
    # The newest commit may be of other days. A day that has no rows may have lost them in it.
    if day is None or not found.by_day:
        return False
    versions = found.versions()
    near = [versions.get(one, "") for one in days_in_reach([day], table.reach)]
    return all(near) and max(near) < build
