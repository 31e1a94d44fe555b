"""The ledger made anew from the lake: file names carry build, code and parameters, and build ids
grow, so a partition is fresh if its inputs' builds came before its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from studium.lake.plan import Ledger, Scope, Versions, days_in_reach, find_work
from studium.lake.store import Lake, Snapshot
from studium.lake.tables import Table
from studium.state.ledger import Partition


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
) -> list[Partition]:
    """Ledger rows for every partition that the lake shows to be fresh."""
    snapshots = {name: lake.snapshot(name) for name in lake.names()}
    versions: dict[str, Versions] = {name: one.versions() for name, one in snapshots.items()}
    rows = []
    for table in tables:
        if table.name not in snapshots:
            continue
        inputs = {name: versions.get(name, {}) for name in table.inputs}
        expected = find_work(table, inputs, {}, params, scope).expected
        for day, files in snapshots[table.name].by_partition().items():
            one = expected.get(day)
            build = versions[table.name].get(day, "")
            if one is None or any(f.fingerprint != one.fingerprint[:8] for f in files):
                continue
            if all(latest < build for latest in _latest(table, inputs, day)):
                rows.append(replace(one, build=build, rows=sum(file.rows for file in files)))
    return rows


def _latest(table: Table, inputs: Mapping[str, Versions], day: date | None) -> list[str]:
    """The latest build among the partitions of each input that a partition depends on."""
    near = None if day is None else {None, *days_in_reach([day], table.reach)}
    return [
        max((build for one, build in found.items() if near is None or one in near), default="")
        for found in inputs.values()
    ]
