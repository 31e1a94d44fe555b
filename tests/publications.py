"""Small tables to publish, and what an outside tool reads of them."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from studium.columns import parse_column
from studium.results.publication import Publication
from studium.results.store import ResultStore

NOW = datetime(2024, 3, 1, 4, 5, 6, 789, tzinfo=UTC)
DAY = date(2024, 3, 1)
COUNTS = {"course": "varchar(20) not null; run", "n": "integer; learners"}


def publication(
    columns: dict[str, str],
    rows: dict[str, Any] | pa.Table,
    grain: Sequence[str] = (),
    indexes: Sequence[tuple[str, ...]] = (),
    name: str = "counts",
    batch: int = 1_000_000,
    data: Callable[[], pa.RecordBatchReader] | None = None,
) -> Publication:
    """Rows (or `data`) as a publication; the grain is the first column if none is given."""
    table = rows if isinstance(rows, pa.Table) else pa.table(rows)
    return Publication(
        name,
        tuple(parse_column(column, text) for column, text in columns.items()),
        tuple(grain) or (next(iter(columns)),),
        tuple(indexes),
        data or (lambda: table.to_reader(max_chunksize=batch)),
        "00000042-9f3a1c",
        DAY,
    )


def read(store: ResultStore, query: str) -> list[tuple[Any, ...]]:
    """What an outside tool reads, without SQLAlchemy."""
    with closing(sqlite3.connect(str(store.engine.url.database))) as connection:
        return connection.execute(query).fetchall()
