"""Until when the days of a table were dropped on purpose, kept in the lake beside the tables.

What was built from a dropped day stays as it is: the plan must not build it again from nothing,
and a state that is lost must not make it do so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from studium.engines import StagedFile
from studium.engines.duckdb import stream_rows
from studium.lake.store import Lake

TABLE = "retention"
COLUMNS = {"table_name": "VARCHAR", "before": "DATE"}


def dropped_days(lake: Lake) -> dict[str, date]:
    """Table → the day before which its days were dropped."""
    snapshot = lake.snapshot(TABLE)
    if not snapshot.rows:
        return {}
    rows = stream_rows(snapshot.relation(), tuple(COLUMNS)).read_all().to_pylist()
    return {row["table_name"]: row["before"] for row in rows}


def note_dropped(lake: Lake, dropped: Mapping[str, date], build: str, scratch: Path) -> None:
    """Remember what is to be dropped; it never becomes less."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = dropped_days(lake)
    after = known | {name: max(day, known.get(name, day)) for name, day in dropped.items()}
    if after == known:
        return
    schema = pa.schema([("table_name", pa.string()), ("before", pa.date32())])
    rows = [{"table_name": name, "before": day} for name, day in sorted(after.items())]
    path = scratch / "retention.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")
    lake.commit(
        TABLE, [StagedFile(path, None, len(rows), path.stat().st_size)], columns=COLUMNS,
        by_day=False, build=build, fingerprint=TABLE,
    )  # fmt: skip


def drop_before(lake: Lake, name: str, day: date, build: str) -> tuple[int, int]:
    """Drop the days of a table before ``day``; rows and days that went."""
    snapshot = lake.snapshot(name)
    old = [file for file in snapshot.files if file.day is not None and file.day < day]
    if old:
        lake.commit(
            name, [], columns=snapshot.columns, by_day=True, build=build, fingerprint=TABLE,
            replace=old,
        )  # fmt: skip
    return sum(file.rows for file in old), len({file.day for file in old})
