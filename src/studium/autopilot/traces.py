"""The scan after an erasure: is a learner anywhere in what a site keeps?

Every Parquet file below the lake is read, also those that no table names any more, with the footer
and its statistics; so are the Delta logs, the result store, the state, the staged files, and CSV
files in ``answers.report_folder``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studium.autopilot.person import Person
from studium.autopilot.reporting import files_to_scan
from studium.engines.duckdb import quote
from studium.lake.erasures import person_columns
from studium.lake.store import Lake
from studium.results.store import open_results
from studium.site import Site

if TYPE_CHECKING:
    import duckdb
    import sqlalchemy as sa

_TEXT_BYTES = 1 << 20


@dataclass(frozen=True)
class Trace:
    """One part of the site: ``looked_at`` things of a ``kind``, and how many have a trace."""

    place: str
    kind: str
    looked_at: int
    found: int


def scan(site: Site, db: duckdb.DuckDBPyConnection, person: Person) -> Iterator[Trace]:
    """Look everywhere, place by place."""
    lake = site.lake_dir
    # Of a lake in S3, all that is there and all that is kept of it here.
    root = lake if isinstance(lake, Path) else lake.complete()
    files = sorted(root.rglob("*.parquet"))
    yield _rows(db, files, person)
    yield _footers(files, person)
    logs = sorted(root.rglob("_delta_log/*.json"))
    yield Trace("Delta logs", "files", len(logs), sum(_names(log, person) for log in logs))
    results = open_results(
        site.settings.results.url, site.root, credentials=site.settings.results.credentials
    )
    try:
        yield _database("results", results.engine, person)
    finally:
        results.close()
    yield _database("state", site.state.engine, person)
    staged = [path for path in site.scratch.rglob("*") if path.is_file()]
    yield Trace("staged", "files", len(staged), len(staged))
    reports = files_to_scan(site, Lake(lake))
    if reports is not None:
        yield Trace("reports", "files", len(reports), sum(_names(one, person) for one in reports))


def _rows(db: duckdb.DuckDBPyConnection, files: list[Path], person: Person) -> Trace:
    """Files of one schema are read together."""
    import pyarrow.parquet as pq

    alike: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for file in files:
        schema = pq.read_schema(file)
        shape = ", ".join(f"{field.name} {field.type}" for field in schema)
        alike[_table(file), shape].append(file)
    rows = found = 0
    for group in alike.values():
        listed = ", ".join(quote(re.sub(r"([*?\[])", r"[\1]", str(file))) for file in group)
        source = f"read_parquet([{listed}], hive_partitioning = false)"
        columns = {
            str(row[0]): str(row[1]) for row in db.execute(f"DESCRIBE FROM {source}").fetchall()
        }
        typed = f"coalesce({person.typed_sql(columns)}, false)"
        ids, names = person_columns(columns)
        rest = [
            f'CAST("{name}" AS VARCHAR)'
            for name in columns
            if name not in (*ids, *names, "event_id")
        ]
        text = f"lower(concat_ws(' ', {', '.join(rest) or 'NULL'}))"
        said = _pattern_sql(text, person.words_pattern())
        numbered = _pattern_sql(text, person.ids_pattern())
        counts = db.execute(
            f"SELECT count(*), count(*) FILTER ({typed} OR {said} OR {numbered}) FROM {source}"
        ).fetchall()[0]
        rows, found = rows + counts[0], found + counts[1]
    return Trace("lake", "rows", rows, found)


def _table(file: Path) -> Path:
    folder = file.parent
    return folder.parent if "=" in folder.name else folder


def _pattern_sql(text: str, pattern: str) -> str:
    return f"regexp_matches({text}, {quote(pattern)})" if pattern else "false"


def _footers(files: list[Path], person: Person) -> Trace:
    """Statistics (least and greatest values) and notes in the footers."""
    import pyarrow.parquet as pq

    found = 0
    for file in files:
        metadata = pq.read_metadata(file)
        texts = [
            part.decode(errors="replace")
            for pair in (metadata.metadata or {}).items()
            for part in pair
        ]
        numbers: set[object] = set()
        for group in range(metadata.num_row_groups):
            for place in range(metadata.num_columns):
                column = metadata.row_group(group).column(place)
                statistics = column.statistics if column.is_stats_set else None
                if statistics is None or not statistics.has_min_max:
                    continue
                ends = (statistics.min, statistics.max)
                texts += [one for one in ends if isinstance(one, str)]
                texts += [one.decode(errors="replace") for one in ends if isinstance(one, bytes)]
                if column.path_in_schema.endswith("user_id"):
                    numbers.update(ends)
        found += bool(numbers & person.ids) or _speaks(" ".join(texts), person)
    return Trace("lake", "footers", len(files), found)


def _names(path: Path, person: Person) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return any(_speaks(text, person) for text in iter(lambda: file.read(_TEXT_BYTES), ""))


def _speaks(text: str, person: Person) -> bool:
    patterns = (person.words_pattern(), person.ids_pattern())
    return any(one and re.search(one, text.lower()) for one in patterns)


def _database(place: str, engine: sa.Engine, person: Person) -> Trace:
    """Every row of every table, and in SQLite the pages and the log that rows may have left."""
    import sqlalchemy as sa

    rows = found = 0
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        for name in inspector.get_table_names():
            columns = [str(column["name"]) for column in inspector.get_columns(name)]
            ids, names = person_columns(columns)
            table = sa.table(name, *(sa.column(column) for column in columns))
            stream = connection.execution_options(yield_per=5000).execute(sa.select(table))
            for row in stream.mappings():
                rows += 1
                found += (
                    any(row[one] in person.ids for one in ids)
                    or any(str(row[one]).lower() in person.names for one in names)
                    or _speaks(" ".join(v for v in row.values() if isinstance(v, str)), person)
                )
        if engine.dialect.name == "sqlite":
            found += int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())
    return Trace(place, "rows", rows, found)
