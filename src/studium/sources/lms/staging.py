"""Dump files → one Parquet file of texts for each table, typed later like the texts of a CSV."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studium.sources.lms.dump import Wanted, read_dumps
from studium.sources.lms.tables import LmsTable

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_SUFFIXES = (".sql", ".sql.gz")
_NUMBERS = frozenset(("BIGINT", "INTEGER", "DOUBLE", "BOOLEAN"))


@dataclass
class Staged:
    """One table of the dumps: ``present`` are the columns that it has there, ``files`` those that
    told of it, ``replaced`` counts, by column, the texts with bytes that are not UTF-8."""

    path: Path
    present: set[str] = field(default_factory=set)
    files: dict[str, None] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)


def is_dump(path: Path) -> bool:
    """Whether the name is that of a dump file."""
    return path.name.endswith(_SUFFIXES)


def find_dumps(source: Path) -> list[Path]:
    """The dump files of a folder, by name, or the file itself."""
    if source.is_file():
        return [source]
    return sorted(path for path in source.iterdir() if is_dump(path) and path.is_file())


def table_in_dump(table: LmsTable) -> str:
    """Its name in the database of the LMS."""
    return table.file.partition(".")[0]


def stage_dumps(
    paths: Sequence[Path], tables: Collection[LmsTable], scratch: Path
) -> Mapping[str, Staged]:
    """Write what is wanted of ``tables`` to ``scratch``; by the name of the table in the dump."""
    wanted = _wanted(tables)
    staged: dict[str, Staged] = {}
    writers: dict[str, pq.ParquetWriter] = {}
    try:
        for rows in read_dumps(paths, wanted):
            one = staged.setdefault(rows.table, Staged(scratch / f"dump-{rows.table}.parquet"))
            one.present.update(rows.columns)
            one.files[rows.path.name] = None
            for name, count in zip(rows.columns, rows.replaced, strict=True):
                one.replaced[name] = one.replaced.get(name, 0) + count
            values = dict(zip(rows.columns, rows.values, strict=True))
            _write(writers, one.path, list(wanted[rows.table]), values)
    finally:
        for writer in writers.values():
            writer.close()
    return staged


def _wanted(tables: Collection[LmsTable]) -> Wanted:
    wanted: dict[str, dict[str, bool]] = {}
    for table in tables:
        columns = wanted.setdefault(table_in_dump(table), {})
        for name, kind in table.columns.items():
            columns[table.source.get(name, name)] = kind in _NUMBERS
    return wanted


def _write(
    writers: dict[str, pq.ParquetWriter],
    path: Path,
    names: Sequence[str],
    values: Mapping[str, Sequence[str | None]],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in names])
    if path.name not in writers:
        path.parent.mkdir(parents=True, exist_ok=True)
        writers[path.name] = pq.ParquetWriter(path, schema)
    height = max((len(column) for column in values.values()), default=0)
    if height:
        arrays: list[Any] = [pa.array(values.get(n, [None] * height), pa.string()) for n in names]
        writers[path.name].write_batch(pa.record_batch(arrays, schema=schema))
