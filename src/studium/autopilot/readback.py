"""Published tables against the lake, row by row, on any result store; it is only read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from studium.autopilot import cells
from studium.autopilot.steps import unpublished
from studium.autopilot.verification import Verification, Wrong, differing_rows
from studium.engines import Relation
from studium.engines.duckdb import connect, relation_sql
from studium.errors import ResultsError
from studium.lake.store import Lake
from studium.lake.tables import Table
from studium.lenses import tables as lens_tables
from studium.results.reading import Reader, open_reader
from studium.results.register import read_register
from studium.results.store import PASSWORD
from studium.site import Site

_NAMED = 3  # keys of rows that are shown


def check_published(site: Site, lake: Lake, report: Verification, folder: Path) -> None:
    """Compare every table that is published as built with the lake's rows."""
    try:
        with open_reader(
            site.settings.results.url, site.root, "results.url", PASSWORD,
            site.settings.results.credentials,
        ) as reader:  # fmt: skip
            there = read_register(reader.connection)
            waiting = {one.name for one in unpublished(site, lake, lens_tables(), there, False)}
            for table in lens_tables():
                name = table.publish
                if name is None or not lake.snapshot(table.name).exists:
                    continue
                if name in waiting:
                    report.notes.append(f"{name}: not published as built: `studium publish`.")
                elif name not in reader.tables:
                    lost = there[name].rows
                    report.wrong.append(
                        Wrong("published", name, None, lost, "the table is gone", _cure(table))
                    )
                elif report.damaged(table.name):
                    report.notes.append(f"{name}: not compared, as its files are damaged.")
                else:
                    _check(site, lake, reader, table, report, folder)
    except ResultsError as error:
        if not any(table.publish and lake.snapshot(table.name).exists for table in lens_tables()):
            return
        report.wrong.append(
            Wrong("published", "(result store)", None, 0, error.message,
                  f"{error.hint} Then run `studium publish`.")
        )  # fmt: skip


def _check(
    site: Site, lake: Lake, reader: Reader, table: Table, report: Verification, folder: Path
) -> None:
    name = str(table.publish)
    lacking = {column.name for column in table.published_columns} - reader.columns(name)
    if lacking:
        found = f"columns are gone: {', '.join(sorted(lacking))}"
        report.wrong.append(Wrong("published", name, None, 0, found, _cure(table)))
        return
    staged = folder / "published" / f"{name}.parquet"
    report.published_rows += reader.stage(name, table.published_columns, None, staged)
    report.published += 1
    snapshot = lake.snapshot(table.name)
    types = {
        column.name: {
            "smallint": "BIGINT", "integer": "BIGINT", "bigint": "BIGINT", "double": "DOUBLE",
            "date": "DATE", "datetime": "TIMESTAMP", "boolean": "BOOLEAN",
        }.get(column.type, "VARCHAR")
        for column in table.published_columns
    }  # fmt: skip
    casts = ", ".join(f'CAST("{one}" AS {kind}) AS "{one}"' for one, kind in types.items())
    kept = f"SELECT {casts} FROM ({relation_sql(snapshot.relation())})"
    held = {one: kind if kind in ("BIGINT", "DOUBLE") else "VARCHAR" for one, kind in types.items()}
    rows = relation_sql(Relation((str(staged),), held))
    shown = f"SELECT {cells.typed(table.published_columns)} FROM ({rows})"
    settings = site.settings.engine
    with closing(connect(settings.memory, settings.threads or None, folder / "spill")) as db:
        names = list(types)
        ((more, less),) = db.execute(differing_rows([shown, kept], names, "true")).fetchall()
        if more or less:
            key = ", ".join(f'"{one}"' for one in table.grain)
            listed = ", ".join(f'"{one}"' for one in names)
            parts = [f"SELECT {listed} FROM ({side})" for side in (shown, kept)]
            sql = (
                f"SELECT DISTINCT {key} FROM (({parts[0]} EXCEPT ALL {parts[1]}) UNION ALL "
                f"({parts[1]} EXCEPT ALL {parts[0]})) ORDER BY ALL LIMIT {_NAMED}"
            )
            keys = "; ".join(
                ", ".join(f"{one} {value}" for one, value in zip(table.grain, row, strict=True))
                for row in db.execute(sql).fetchall()
            )
            text = (
                f"rows that the lake does not have: {more:,}, that it has and are missing: {less:,}"
            )
            report.wrong.append(
                Wrong("published", name, None, max(more, less), f"{text} ({keys})", _cure(table))
            )
    staged.unlink()


def _cure(table: Table) -> str:
    return f"Run `studium publish {table.name} --again`."
