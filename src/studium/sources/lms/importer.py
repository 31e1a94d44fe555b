"""Table files, dumps, databases and APIs → snapshots in the lake. Equal rows change nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from studium.clock import today
from studium.engines import Relation, StagedFile
from studium.engines.duckdb import DuckDBEngine, explain, quote
from studium.errors import SourceError
from studium.lake.erasures import read_erasures
from studium.lake.store import Lake
from studium.servers import is_server, server_url
from studium.site import Site
from studium.sources.lms.erasure import drop_forgotten
from studium.sources.lms.recall import Recalled, recall, remember, stamp_of
from studium.sources.lms.staging import (
    Staged,
    find_dumps,
    is_dump,
    stage_dumps,
    table_in_dump,
)
from studium.sources.lms.tables import TABLES, LmsTable
from studium.state.counters import next_build
from studium.state.facts import get_fact, set_fact

if TYPE_CHECKING:
    import duckdb

PASSWORD = "STUDIUM_LMS_PASSWORD"

# Time as every database writes it; an offset is applied, none is UTC.
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d(:?\d\d)?)?"


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


def import_lms(
    site: Site,
    lake: Lake,
    source: str | Path = "",
    on_wait: Callable[[str], None] = lambda said: None,
) -> list[Imported]:
    """Import every table that is in the folder, the dump or the database ``source``, or that
    ``lms.courses`` or an API has. Needs the site's writer lock. ``on_wait`` is told of an API that
    has to be waited for.

    A table's own file wins over dumps, and a JSON file over an API. All that is no CSV file is
    read, whole, before the lake is written. A file that is as it was is not read again.
    """
    scratch = site.scratch / "lms"
    shutil.rmtree(scratch, ignore_errors=True)
    tables = _chosen(site)
    folder = None if is_server(str(source)) or not str(source) else Path(source)
    if folder is not None:
        _check(folder)
    own = _own_files(site, folder, tables)
    stamps = {name: stamp_of(path) for name, path in own.items()}
    with site.state.read() as conn:
        known = {one.name: recall(conn, lake, one, stamps.get(one.name)) for one in tables}
    try:
        staged = _courses(site, own, known, scratch, on_wait)
        if folder is not None:
            staged |= _dumped(folder, [one for one in tables if one.name not in own], scratch)
        elif str(source):
            staged |= _live(site, str(source), tables, scratch)
        done = _import_all(site, lake, tables, known, own, staged, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    facts = {f"snapshot {one.table.name}": today().isoformat() for one in done if one.found}
    for one in done:
        if (stamp := stamps.get(one.table.name)) is not None:
            facts |= remember(lake, one.table, stamp, Recalled(one.rows, one.refused))
    with site.state.begin() as conn:
        for name, value in facts.items():
            set_fact(conn, name, value)
    return done


def snapshot_date(site: Site, table: str) -> date | None:
    """The UTC day on which the LMS was last seen to have the rows of ``table``; None: never."""
    with site.state.read() as conn:
        fact = get_fact(conn, f"snapshot {table}")
    return None if fact is None else date.fromisoformat(fact)


@dataclass(frozen=True)
class _Source:
    """Where a table's rows are: a relation of texts in SQL, what messages call it, its name in
    the log of the table, and how many texts were not UTF-8."""

    relation: str
    label: str
    file: str
    replaced: int = 0


def _check(folder: Path) -> None:
    if not folder.is_dir() and not (folder.is_file() and is_dump(folder)):
        raise SourceError(
            f"--lms {folder} is neither a folder nor a MySQL dump (.sql, .sql.gz), nor the URL of "
            "a database.",
            "Give a folder with auth_user.csv, auth_userprofile.csv, "
            "grades_persistentcoursegrade.csv and course_catalog.json, or dumps of these tables, "
            "as far as you have them.",
        )


def _chosen(site: Site) -> Sequence[LmsTable]:
    """The tables that ``lms.tables`` names, and those of courses, which are none of a database."""
    chosen = site.settings.lms.tables
    known = {table_in_dump(table) for table in TABLES if table.file.endswith(".csv")}
    if unknown := sorted(set(chosen) - known):
        raise SourceError(
            f"lms.tables names {', '.join(unknown)}, of which Studium takes nothing.",
            f"It takes {', '.join(sorted(known))}.",
        )
    return [
        table
        for table in TABLES
        if not chosen or table.file.endswith(".json") or table_in_dump(table) in chosen
    ]


def _own_files(site: Site, folder: Path | None, tables: Sequence[LmsTable]) -> dict[str, Path]:
    """The files called as tables are, by table: CSV files of ``folder``, JSON files of
    ``lms.courses`` or else of ``folder``."""
    courses = site.settings.lms.courses
    if courses and not (site.root / courses).is_dir():
        raise SourceError(f"lms.courses = {courses} is not a folder.", "Correct it.")
    found = {}
    for table in tables:
        of_courses = courses and table.file.endswith(".json")
        place = site.root / courses if of_courses else folder
        if place is not None and (place / table.file).is_file():
            found[table.name] = place / table.file
    return found


def _dumped(source: Path, tables: Sequence[LmsTable], scratch: Path) -> dict[str, Staged]:
    """What dumps hold of ``tables``, which have no file of their own."""
    wanted = [table for table in tables if table.file.endswith(".csv")]
    staged = stage_dumps(find_dumps(source), wanted, scratch) if wanted else {}
    if source.is_file() and not staged:
        names = ", ".join(dict.fromkeys(map(table_in_dump, wanted)))
        raise SourceError(f"{source} has none of the tables {names}.", "Dump one of them.")
    return _by_table(wanted, staged)


def _live(site: Site, url: str, tables: Sequence[LmsTable], scratch: Path) -> dict[str, Staged]:
    """What the LMS's database holds."""
    from studium.sources.lms.database import stage_database

    file = site.settings.lms.credentials
    credentials = site.root / file if file else None
    wanted = [table for table in tables if table.file.endswith(".csv")]
    server = server_url(url, "lms.source", SourceError, credentials, PASSWORD)
    return _by_table(wanted, stage_database(server, wanted, scratch))


def _by_table(tables: Sequence[LmsTable], staged: Mapping[str, Staged]) -> dict[str, Staged]:
    return {t.name: staged[table_in_dump(t)] for t in tables if table_in_dump(t) in staged}


def _courses(
    site: Site,
    own: Mapping[str, Path],
    known: Mapping[str, object],
    scratch: Path,
    on_wait: Callable[[str], None],
) -> dict[str, Staged]:
    """What JSON files, or else the APIs, tell of courses; but of files that are ``known``."""
    from studium.sources.lms.catalog import stage_json

    settings = site.settings.lms
    fetched: Mapping[str, Path] = {}
    if settings.api_url or settings.discovery_url:
        from studium.sources.lms.fetch import fetch_courses

        fetched = fetch_courses(settings, site.root, scratch / "courses", on_wait=on_wait)
    return {
        table.name: stage_json(path, table, scratch)
        for table in TABLES
        if table.file.endswith(".json")
        and known[table.name] is None
        and (path := own.get(table.name) or fetched.get(table.file))
    }


def _import_all(
    site: Site,
    lake: Lake,
    tables: Sequence[LmsTable],
    known: Mapping[str, Recalled | None],
    own: Mapping[str, Path],
    staged: Mapping[str, Staged],
    scratch: Path,
) -> list[Imported]:
    """Every table: as it is ``known``, from its ``own`` CSV file, as it was ``staged``, or not."""
    settings = site.settings.engine
    done = []
    with ExitStack() as stack:

        @cache
        def engine() -> DuckDBEngine:
            opened = DuckDBEngine(settings.memory, settings.threads, scratch / "spill")
            return stack.enter_context(closing(opened))

        for table in tables:
            recalled = known[table.name]
            if recalled is not None:
                done.append(Imported(table, True, rows=recalled.rows, refused=recalled.refused))
            elif table.name in staged:
                where = _staged_source(table, staged[table.name])
                done.append(_import(site, lake, engine(), table, where, scratch))
            elif table.name in own:
                where = _csv_source(own[table.name])
                done.append(_import(site, lake, engine(), table, where, scratch))
            else:
                done.append(Imported(table, found=False))
    return done


def _staged_source(table: LmsTable, staged: Staged) -> _Source:
    file = ", ".join(staged.files)
    columns = ", ".join(f'"{name}"' for name in sorted(staged.present)) or "NULL AS none"
    return _Source(
        f"(SELECT {columns} FROM read_parquet({quote(str(staged.path))}))",
        file,
        file,
        sum(staged.replaced.get(table.source.get(c, c), 0) for c in table.columns),
    )


def _import(
    site: Site,
    lake: Lake,
    engine: DuckDBEngine,
    table: LmsTable,
    source: _Source,
    scratch: Path,
) -> Imported:
    target = scratch / f"{table.name}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    with engine.cursor() as db:
        rows, total = _copy(db, table, source.relation, target, source.label)
        forgotten = drop_forgotten(db, target, table.columns, read_erasures(lake))
    rows, total = rows - forgotten, total - forgotten
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
            note={"file": source.file, "snapshot": today().isoformat()},
        )
    return Imported(table, True, changed, rows, total - rows, source.replaced)


def _csv_source(path: Path) -> _Source:
    # \N is NULL in what MySQL exports; an empty text stays one, the lens tells them apart.
    relation = (
        f"read_csv({quote(str(path))}, header = true, all_varchar = true, delim = ',', "
        "quote = '\"', escape = '\"', nullstr = ['\\N', 'NULL'], strict_mode = true)"
    )
    return _Source(relation, str(path), path.name)


def _copy(
    db: duckdb.DuckDBPyConnection, table: LmsTable, source: str, target: Path, label: str
) -> tuple[int, int]:
    """Write the rows taken; returns their number and that of all rows."""
    import duckdb

    try:
        present = {str(row[0]).lower() for row in db.execute(f"DESCRIBE FROM {source}").fetchall()}
        columns = {name: table.source.get(name, name) for name in table.columns}
        missing = [columns[name] for name in table.required if columns[name] not in present]
        if missing:
            raise SourceError(
                f"{label} has no column {', '.join(missing)}.",
                f"It has {', '.join(sorted(present))}. Export the table with its header.",
            )
        select = ", ".join(
            f"{_typed(table, name, columns[name]) if columns[name] in present else f'NULL::{kind}'}"
            f" AS {name}"
            for name, kind in table.columns.items()
        )
        taken = ", ".join(f'"{name}"' for name in columns.values() if name in present)
        # Read once, and nothing but what is taken: no passwords, not even in a file that spills.
        db.execute(f"CREATE TEMP TABLE found AS SELECT {taken} FROM {source}")
        complete = " AND ".join(f"{name} IS NOT NULL" for name in table.required)
        key = ", ".join(table.key)
        order = ", ".join(f"{name} DESC NULLS LAST" for name in reversed(list(table.columns)))
        db.execute(
            f"COPY (SELECT * FROM (SELECT {select} FROM found) WHERE {complete} "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1) "
            f"TO {quote(str(target))} (FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()
        ((rows,),) = db.execute(f"SELECT count(*) FROM {quote(str(target))}").fetchall()
        ((total,),) = db.execute("SELECT count(*) FROM found").fetchall()
    except duckdb.Error as error:
        raise SourceError(
            f"{label} cannot be read as CSV: {explain(error).rstrip('.')}.",
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
