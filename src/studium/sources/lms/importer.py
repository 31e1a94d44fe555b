"""Table files and dumps → snapshots in the lake. Equal rows change nothing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studium.engines import Relation, StagedFile
from studium.engines.duckdb import DuckDBEngine, connect, explain, quote
from studium.errors import SourceError
from studium.lake.store import Lake
from studium.site import Site
from studium.sources.lms.catalog import read_rows
from studium.sources.lms.staging import (
    Staged,
    find_dumps,
    is_dump,
    stage_dumps,
    table_in_dump,
)
from studium.sources.lms.tables import TABLES, LmsTable
from studium.state.counters import next_build

if TYPE_CHECKING:
    import duckdb

# Time as every database writes it; an offset is applied, none is UTC.
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:?\d\d)?"


@dataclass(frozen=True)
class Imported:
    """One table: ``rows`` taken, ``refused`` for want of a key or as a second row of one;
    ``found`` False if no file has it, ``changed`` if the lake was written; ``replaced`` texts had
    bytes that are not UTF-8 (in dumps only; a CSV file that has such is an error)."""

    table: LmsTable
    found: bool
    changed: bool = False
    rows: int = 0
    refused: int = 0
    replaced: int = 0


def import_lms(site: Site, lake: Lake, source: Path) -> list[Imported]:
    """Import every table that is in the folder, or in the dump, ``source``. Needs the site's
    writer lock. A table's own file wins over dumps; these are read, whole, before the lake is
    written."""
    if not source.is_dir() and not (source.is_file() and is_dump(source)):
        raise SourceError(
            f"--lms {source} is neither a folder nor a MySQL dump (.sql, .sql.gz).",
            "Give a folder with auth_user.csv, auth_userprofile.csv, "
            "grades_persistentcoursegrade.csv and course_catalog.json, or dumps of these tables, "
            "as far as you have them.",
        )
    settings = site.settings.engine
    scratch = site.scratch / "lms"
    db = connect(settings.memory, settings.threads, scratch / "spill")
    engine = DuckDBEngine(settings.memory, settings.threads, scratch / "spill")
    try:
        dumped = _dumped(source, scratch)
        return [_import(site, lake, db, engine, table, source, dumped, scratch) for table in TABLES]
    finally:
        db.close()
        engine.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _dumped(source: Path, scratch: Path) -> Mapping[str, Staged]:
    """What dumps hold of the tables that have no file of their own, by the name there."""
    tables = [t for t in TABLES if t.file.endswith(".csv") and not (source / t.file).is_file()]
    dumps = find_dumps(source)
    staged = stage_dumps(dumps, tables, scratch) if tables else {}
    if source.is_file() and not staged:
        names = ", ".join(dict.fromkeys(map(table_in_dump, tables)))
        raise SourceError(f"{source} has none of the tables {names}.", "Dump one of them.")
    return staged


def _import(
    site: Site,
    lake: Lake,
    db: duckdb.DuckDBPyConnection,
    engine: DuckDBEngine,
    table: LmsTable,
    folder: Path,
    dumped: Mapping[str, Staged],
    scratch: Path,
) -> Imported:
    path = folder / table.file
    replaced = 0
    if path.is_file():
        is_json = path.suffix == ".json"
        source = _json_source(db, path, table) if is_json else _csv_source(path)
    elif table.file.endswith(".csv") and table_in_dump(table) in dumped:
        one = dumped[table_in_dump(table)]
        path = Path(", ".join(one.files))
        source = _dump_source(one)
        replaced = sum(one.replaced.get(table.source.get(c, c), 0) for c in table.columns)
    else:
        return Imported(table, found=False)
    target = scratch / f"{table.name}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    rows, total = _copy(db, table, source, target, path)
    staged = StagedFile(target, None, rows, target.stat().st_size)
    before = lake.snapshot(table.name)
    new = engine.digest(Relation((str(target),), table.columns))
    changed = not before.exists or engine.digest(before.relation()) != new
    if changed:
        with site.state.begin() as conn:
            build = next_build(conn, lake.next_number())
        lake.commit(
            table.name,
            [staged] if rows else [],
            columns=table.columns,
            by_day=False,
            build=build,
            fingerprint="snapshot",
            note={"file": path.name},
        )
    return Imported(table, True, changed, rows, total - rows, replaced)


def _csv_source(path: Path) -> str:
    # \N is NULL in what MySQL exports; an empty text stays one, the lens tells them apart.
    return (
        f"read_csv({quote(str(path))}, header = true, all_varchar = true, delim = ',', "
        "quote = '\"', escape = '\"', nullstr = ['\\N', 'NULL'], strict_mode = true)"
    )


def _dump_source(staged: Staged) -> str:
    columns = ", ".join(f'"{name}"' for name in sorted(staged.present)) or "NULL AS none"
    return f"(SELECT {columns} FROM read_parquet({quote(str(staged.path))}))"


def _json_source(db: duckdb.DuckDBPyConnection, path: Path, table: LmsTable) -> str:
    import pyarrow as pa

    schema = pa.schema([(table.source.get(name, name), pa.string()) for name in table.columns])
    db.register("catalog", pa.Table.from_pylist(read_rows(path, table), schema=schema))
    return "catalog"


def _copy(
    db: duckdb.DuckDBPyConnection, table: LmsTable, source: str, target: Path, path: Path
) -> tuple[int, int]:
    """Write the rows taken; returns their number and that of all rows."""
    import duckdb

    try:
        present = {str(row[0]).lower() for row in db.execute(f"DESCRIBE FROM {source}").fetchall()}
        columns = {name: table.source.get(name, name) for name in table.columns}
        missing = [columns[name] for name in table.required if columns[name] not in present]
        if missing:
            raise SourceError(
                f"{path} has no column {', '.join(missing)}.",
                f"It has {', '.join(sorted(present))}. Export the table with its header.",
            )
        select = ", ".join(
            f"{_typed(table, name, columns[name]) if columns[name] in present else f'NULL::{kind}'}"
            f" AS {name}"
            for name, kind in table.columns.items()
        )
        complete = " AND ".join(f"{name} IS NOT NULL" for name in table.required)
        key = ", ".join(table.key)
        order = ", ".join(f"{name} DESC NULLS LAST" for name in reversed(list(table.columns)))
        db.execute(
            f"COPY (SELECT * FROM (SELECT {select} FROM {source}) WHERE {complete} "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1) "
            f"TO {quote(str(target))} (FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()
        ((rows,),) = db.execute(f"SELECT count(*) FROM {quote(str(target))}").fetchall()
        ((total,),) = db.execute(f"SELECT count(*) FROM {source}").fetchall()
    except duckdb.Error as error:
        raise SourceError(
            f"{path} cannot be read as CSV: {explain(error).rstrip('.')}.",
            "It should be comma-separated UTF-8 with a header and quotes doubled inside texts.",
        ) from error
    return int(rows), int(total)


def _typed(table: LmsTable, name: str, source: str) -> str:
    """A column of the file, all texts, as the type that the lake keeps."""
    kind, text = table.columns[name], f'"{source}"'
    if name in table.tidy:
        return f"trim(regexp_replace({text}, '\\s+', ' ', 'g'))[:255]"
    if name in table.limits:
        return f"CASE WHEN length({text}) <= {table.limits[name]} THEN {text} END"
    if kind == "VARCHAR":
        return text
    if kind == "TIMESTAMP":
        return (
            f"CASE WHEN regexp_full_match({text}, '{_TIME}') "
            f"THEN TRY_CAST({text} AS TIMESTAMPTZ)::TIMESTAMP END"
        )
    if kind in ("BIGINT", "INTEGER"):
        return (
            f"CASE WHEN regexp_full_match({text}, '-?[0-9]+') THEN TRY_CAST({text} AS {kind}) END"
        )
    return f"TRY_CAST({text} AS {kind})"
