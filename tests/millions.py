"""Five million rows into each result store in one go: seconds, and memory of the publisher.

``python -m tests.millions [ROWS]`` prints one JSON document; ``make prove`` does it, too.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from studium.columns import parse_column
from studium.results.publication import Publication
from studium.results.store import open_results, publish, published
from tests.conftest import ROOT
from tests.databases import run_mariadb, run_postgres
from tests.publications import NOW

ROWS = 5_000_000
KINDS = ("sqlite", "postgresql", "mariadb")

_MOST_MB = 1_024
_DAYS = 500
_BATCH = 50_000
_COLUMNS = {
    "course_id": "varchar(255) not null; course run",
    "date": "date not null; UTC day",
    "mode": "varchar(255) not null; enrollment mode",
    "count": "integer; learners",
    "cumulative_count": "integer; learners ever",
}
_SCHEMA = pa.schema(
    [("course_id", pa.string()), ("date", pa.date32()), ("mode", pa.string()),
     ("count", pa.int32()), ("cumulative_count", pa.int32())]
)  # fmt: skip


def prove_stores(rows: int = ROWS) -> dict[str, Any]:
    """What publishing took in each store, rows in the order of their key and not."""
    return {kind: {order: _measure(kind, rows, order) for order in ("sorted", "shuffled")}
            for kind in KINDS}  # fmt: skip


def _measure(kind: str, rows: int, order: str) -> dict[str, float]:
    with _url(kind) as url, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.millions", url, folder, str(rows), order]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{kind}, {order}:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    assert found["peak_mb"] < _MOST_MB, f"{kind}, {order}: {found}"
    return found


@contextmanager
def _url(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        yield "sqlite:///results.db"
        return
    with (run_postgres if kind == "postgresql" else run_mariadb)() as server:
        yield server.fresh()


def _publish(url: str, folder: str, rows: int, order: str) -> dict[str, float]:
    starts = range(0, rows, _BATCH)
    if order == "shuffled":
        starts = starts[::-1]

    def batches() -> Iterator[pa.RecordBatch]:
        for start in starts:
            yield _batch(start, min(_BATCH, rows - start))

    one = Publication(
        "course_enrollment_mode_daily",
        tuple(parse_column(name, text) for name, text in _COLUMNS.items()),
        ("course_id", "date", "mode"),
        (("course_id",), ("course_id", "date")),
        lambda: pa.RecordBatchReader.from_batches(_SCHEMA, batches()),
        "00000001-000000",
        None,
    )
    store, before, started = open_results(url, Path(folder)), _peak(), time.monotonic()
    publish(store, [one], NOW)
    took = time.monotonic() - started
    assert published(store)[one.name].rows == rows
    store.close()
    return {"seconds": round(took, 1), "rows_per_second": round(rows / took),
            "peak_mb": round(_peak()), "before_mb": round(before)}  # fmt: skip


def _batch(start: int, count: int) -> pa.RecordBatch:
    first = date(2020, 1, 1)
    numbers = range(start, start + count)
    columns = [
        [f"course-v1:Orion+C{n // (2 * _DAYS):06}+2025" for n in numbers],
        [first + timedelta(days=n // 2 % _DAYS) for n in numbers],
        ["audit" if n % 2 == 0 else "verified" for n in numbers],
        [n % 977 for n in numbers],
        [n % 1_999 for n in numbers],
    ]
    return pa.record_batch(
        [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)],
        schema=_SCHEMA,
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str]) -> None:
    if len(arguments) < 4:
        found = prove_stores(int(arguments[0]) if arguments else ROWS)
    else:
        url, folder, rows, order = arguments
        found = _publish(url, folder, int(rows), order)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
