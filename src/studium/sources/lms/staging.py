"""What is read → one Parquet file of texts for each table, typed later like the texts of a CSV."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studium.sources.lms.dump import Wanted, read_dumps
from studium.sources.lms.tables import LmsTable

_SUFFIXES = (".sql", ".sql.gz")
_NUMBERS = frozenset(("BIGINT", "INTEGER", "DOUBLE", "BOOLEAN"))


@dataclass
class Staged:
    """One table: ``present`` are the columns that it has there, ``files`` those that told of it
    (or the database), ``replaced`` counts, by column, the texts with bytes that are not UTF-8."""

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
    wanted = wanted_columns(tables)
    staged: dict[str, Staged] = {}
    with ExitStack() as open_files:
        writers: dict[str, Write] = {}
        for rows in read_dumps(paths, wanted):
            name = rows.table
            one = staged.setdefault(name, Staged(scratch / f"lms-{name}.parquet"))
            if name not in writers:
                opened = open_staging(one.path, list(wanted[name]))
                writers[name] = open_files.enter_context(opened)
            one.present.update(rows.columns)
            one.files[rows.path.name] = None
            for column, count in zip(rows.columns, rows.replaced, strict=True):
                one.replaced[column] = one.replaced.get(column, 0) + count
            writers[name](dict(zip(rows.columns, rows.values, strict=True)))
    return staged


def wanted_columns(tables: Collection[LmsTable]) -> Wanted:
    """The columns that are taken, by table and by the names there."""
    wanted: dict[str, dict[str, bool]] = {}
    for table in tables:
        columns = wanted.setdefault(table_in_dump(table), {})
        for name, kind in table.columns.items():
            columns[table.source.get(name, name)] = kind in _NUMBERS
    return wanted


Write = Callable[[Mapping[str, Sequence[str | None]]], None]


@contextmanager
def open_staging(path: Path, names: Sequence[str]) -> Iterator[Write]:
    """A Parquet file of texts: what is given writes a batch, by column; a column that is not in
    the batch is NULL."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([(name, pa.string()) for name in names])
    with pq.ParquetWriter(path, schema) as writer:

        def write(values: Mapping[str, Sequence[str | None]]) -> None:
            height = max((len(column) for column in values.values()), default=0)
            if height:
                arrays: list[Any] = [
                    pa.array(values.get(n, [None] * height), pa.string()) for n in names
                ]
                writer.write_batch(pa.record_batch(arrays, schema=schema))

        yield write
