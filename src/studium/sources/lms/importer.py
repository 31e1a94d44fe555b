"""A folder of table files → snapshots in the lake. Equal rows change nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studium.engines import Relation, StagedFile
from studium.engines.duckdb import DuckDBEngine, connect, explain, quote
from studium.errors import SourceError
from studium.lake.store import Lake
from studium.site import Site
from studium.sources.lms.tables import CATALOG, TABLES, LmsTable
from studium.state.counters import next_build

if TYPE_CHECKING:
    import duckdb

# Time as every database writes it; an offset is applied, none is UTC.
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:?\d\d)?"


@dataclass(frozen=True)
class Imported:
    """One table: ``rows`` taken, ``refused`` for want of a key or as a second row of one;
    ``found`` False if there is no such file, ``changed`` if the lake was written."""

    table: LmsTable
    found: bool
    changed: bool = False
    rows: int = 0
    refused: int = 0


def import_lms(site: Site, lake: Lake, folder: Path) -> list[Imported]:
    """Import every table whose file is there. Needs the site's writer lock."""
    if not folder.is_dir():
        raise SourceError(
            f"--lms {folder} is not a folder.",
            "Give a folder with auth_user.csv, auth_userprofile.csv, "
            "grades_persistentcoursegrade.csv and course_catalog.json, as far as you have them.",
        )
    settings = site.settings.engine
    scratch = site.scratch / "lms"
    db = connect(settings.memory, settings.threads, scratch / "spill")
    engine = DuckDBEngine(settings.memory, settings.threads, scratch / "spill")
    try:
        return [_import(site, lake, db, engine, table, folder, scratch) for table in TABLES]
    finally:
        db.close()
        engine.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _import(
    site: Site,
    lake: Lake,
    db: duckdb.DuckDBPyConnection,
    engine: DuckDBEngine,
    table: LmsTable,
    folder: Path,
    scratch: Path,
) -> Imported:
    path = folder / f"{table.file}{'.json' if table is CATALOG else '.csv'}"
    if not path.is_file():
        return Imported(table, found=False)
    source = _json_source(db, path) if table is CATALOG else _csv_source(path)
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
    return Imported(table, True, changed, rows, total - rows)


def _csv_source(path: Path) -> str:
    # \N is NULL in what MySQL exports; an empty text stays one, the lens tells them apart.
    return (
        f"read_csv({quote(str(path))}, header = true, all_varchar = true, delim = ',', "
        "quote = '\"', escape = '\"', nullstr = ['\\N', 'NULL'], strict_mode = true)"
    )


def _json_source(db: duckdb.DuckDBPyConnection, path: Path) -> str:
    """The course runs of the Discovery API: a list, pages with ``results``, or one a line."""
    import pyarrow as pa

    rows = [
        {key: None if (value := run.get(key)) is None else str(value) for key in _CATALOG_KEYS}
        for run in _runs(path)
    ]
    schema = pa.schema([(key, pa.string()) for key in _CATALOG_KEYS])
    db.register("catalog", pa.Table.from_pylist(rows, schema=schema))
    return "catalog"


_CATALOG_KEYS = tuple(CATALOG.source.get(name, name) for name in CATALOG.columns)


def _runs(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    try:
        documents = [json.loads(text)]
    except ValueError:
        try:
            documents = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise SourceError(
                f"{path} is not JSON: {error}.",
                "It should hold the course runs of the catalogue: a list, or one object a line.",
            ) from None
    for document in documents:
        found: Sequence[Any] = document if isinstance(document, list) else [document]
        for item in found:
            if isinstance(item, dict) and isinstance(item.get("results"), list):
                yield from (run for run in item["results"] if isinstance(run, dict))
            elif isinstance(item, dict):
                yield item


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
            f"{_typed(columns[name], kind, table) if columns[name] in present else f'NULL::{kind}'}"
            f" AS {name}"
            for name, kind in table.columns.items()
        )
        complete = " AND ".join(f"{name} IS NOT NULL" for name in table.required)
        key = ", ".join(name for name in ("user_id", "course_id") if name in table.columns)
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
            f"{path} cannot be read as CSV: {explain(error)}.",
            "It should be comma-separated UTF-8 with a header and quotes doubled inside texts.",
        ) from error
    return int(rows), int(total)


def _typed(column: str, kind: str, table: LmsTable) -> str:
    name = '"' + column + '"'
    if kind == "VARCHAR":  # titles are made to fit (§2.9); everything else is taken verbatim
        tidy = f"trim(regexp_replace({name}, '\\s+', ' ', 'g'))[:255]"
        return tidy if table is CATALOG else name
    if kind == "TIMESTAMP":
        return (
            f"CASE WHEN regexp_full_match({name}, '{_TIME}') "
            f"THEN TRY_CAST({name} AS TIMESTAMPTZ)::TIMESTAMP END"
        )
    if kind in ("BIGINT", "INTEGER"):
        return (
            f"CASE WHEN regexp_full_match({name}, '-?[0-9]+') THEN TRY_CAST({name} AS {kind}) END"
        )
    return f"TRY_CAST({name} AS {kind})"
