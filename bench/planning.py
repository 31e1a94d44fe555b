"""``plan`` over many tables and days: seconds from the lake's and the state's files to the work.

    python -m bench.planning FOLDER

Makes a site with ten tables of 3,000 days whose files exist in the Delta log only, as nothing but
the log is read; prints the seconds that planning takes, and those of the processor, when nothing is
stale and when one day is.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from deltalake import DeltaTable
from deltalake.transaction import AddAction

from studium.autopilot.steps import plan_step
from studium.clock import Interval
from studium.lake import types
from studium.lake.plan import Scope, make_plan
from studium.lake.store import Lake
from studium.lake.tables import Table, read_table
from studium.lenses.parameters import table_parameters
from studium.site import Site, init_site
from studium.sources.edx import shred
from studium.sources.edx.ingest import EVENTS
from studium.sources.edx.reshred import fingerprint
from studium.state.ledger import record_partitions

TABLES = 10
DAYS = 3_000
START = date(2018, 1, 1)
BUILD = "00000001-abcdef"
_SQL = """/* studium
description = "Events of a course on a day"
kind    = "day"
grain   = ["day", "course_id"]

[columns]
day       = "date not null; UTC day"
course_id = "varchar(255) not null; course run"
number    = "integer not null; events"
*/
SELECT day, course_id, CAST(COUNT(*) AS INTEGER) AS number
FROM events WHERE course_id IS NOT NULL AND user_id <> {number} GROUP BY day, course_id
"""


def main(root: Path) -> None:
    """Print ``SECONDS PROCESSOR_SECONDS`` of both."""
    site = init_site(root / "planned", {"site.start": START})
    lake = Lake(site.root / "lake")
    tables = _tables(root / "tables")
    until = START + timedelta(days=DAYS)
    scope = Scope(Interval(START, until))
    _add_days(lake, EVENTS, shred.COLUMNS, fingerprint(), DAYS)
    columns = {"course_id": "VARCHAR", "number": "INTEGER"}
    for table in tables:
        _add_days(lake, table.name, columns, "a" * 8, DAYS)
    _record(site, lake, tables, scope)
    seconds = [_plan(site, lake, tables, scope, 0)]
    _add_days(lake, EVENTS, shred.COLUMNS, fingerprint(), 1, "00000002-abcdef")
    seconds.append(_plan(site, lake, tables, scope, TABLES))
    print(*(number for pair in seconds for number in pair))
    site.close()


def _tables(folder: Path) -> list[Table]:
    folder.mkdir()
    paths = [folder / f"counted_{number}.sql" for number in range(TABLES)]
    for number, path in enumerate(paths):
        path.write_text(_SQL.format(number=number), "utf-8")
    return [read_table(path, "bench") for path in paths]


def _add_days(
    lake: Lake, name: str, columns: dict[str, str], stamp: str, days: int, build: str = BUILD
) -> None:
    schema = types.to_delta(columns, True)
    folder = lake.root / name
    if not folder.exists():
        folder.mkdir(parents=True)
        DeltaTable.create(str(folder), schema=schema, partition_by=["day"])
    adds = [
        AddAction(
            path=f"day={day}/{build}-{stamp}-0.parquet",
            size=1000,
            partition_values={"day": day.isoformat()},
            modification_time=1_700_000_000_000,
            data_change=True,
            stats='{"numRecords": 10}',
        )
        for day in (START + timedelta(days=number) for number in range(days))
    ]
    DeltaTable(str(folder)).create_write_transaction(
        adds, mode="append", schema=schema, partition_by=["day"]
    )


def _record(site: Site, lake: Lake, tables: list[Table], scope: Scope) -> None:
    """All days are built from what the lake holds."""
    versions = {name: lake.snapshot(name).versions() for name in lake.names()}
    params = table_parameters(site, scope.window.until)
    with site.state.begin() as conn:
        for work in make_plan(tables, versions, {}, params, scope):
            record_partitions(conn, [replace(one, rows=10) for one in work.expected.values()])


def _plan(
    site: Site, lake: Lake, tables: list[Table], scope: Scope, stale: int
) -> tuple[float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    planned = plan_step(site, lake, tables, scope)
    seconds = (time.perf_counter() - start, time.process_time() - cpu)
    if sum(len(work.reasons) for work in planned.work) != stale:
        raise SystemExit(f"{stale} partitions are stale, not those of {planned.work}")
    return seconds


if __name__ == "__main__":
    main(Path(sys.argv[1]))
