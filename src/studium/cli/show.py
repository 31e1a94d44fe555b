"""``show`` prints a table of the lake, ``rejects`` the lines that were refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studium.cli.context import open_chosen_site
from studium.cli.output import plural, print_table, printable
from studium.errors import EngineError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from studium.lake.store import Lake
    from studium.site import Site


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


_SHOWN = 20


def register(app: typer.Typer) -> None:
    app.command()(show)
    app.command()(rejects)


def show(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="A table of the lake.")],
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Condition, e.g. \"date = '2025-09-01'\".")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    limit: Annotated[
        int | None, typer.Option(min=0, help="Rows at most; default 20 as a table, else all.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write there instead of printing.")
    ] = None,
    restricted: Annotated[
        bool, typer.Option("--restricted", help="Allow tables of names and addresses.")
    ] = False,
) -> None:
    """Print a table of the lake, in the order of its key."""
    from studium.lake.store import Lake

    with open_chosen_site(context) as site:
        lake = Lake(site.lake_dir)
        _check_may_show(lake, table, restricted)
        most = _SHOWN if form is Format.TABLE and limit is None else limit
        rows, total = _query(site, lake, table, where, most)
    if form is Format.PARQUET:
        _write_parquet(rows, output)
    elif form is Format.TABLE and output is None:
        shown = [[_cell(value) for value in row.values()] for row in rows.to_pylist()]
        print_table(rows.column_names, shown, grouped=False)
        if total > rows.num_rows:
            typer.echo(f"… {total:,} rows in all; --limit shows more.")
    else:
        text = _csv(rows) if form is Format.CSV else _json(rows)
        if form is Format.TABLE:
            raise UsageError("--output needs --format csv, json or parquet.")
        if output is None:
            typer.echo(text, nl=False)
        else:
            output.write_text(text, encoding="utf-8")


def rejects(
    context: typer.Context,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only reasons that contain this.")
    ] = None,
    file: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only files whose path contains this.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Lines to print.")] = _SHOWN,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print all refused lines as they were, nothing else.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all as one JSON list.")] = False,
) -> None:
    """Show which lines were refused, where they are and why."""
    from studium.lake.store import Lake
    from studium.sources.edx.rejects import current_rejects

    conditions = ["true"]
    for column, text in (("reason", reason), ("path", file)):
        if text is not None:
            literal = text.replace("'", "''")
            conditions.append(f"contains({column}, '{literal}')")
    with open_chosen_site(context) as site:
        rows = current_rejects(site, Lake(site.lake_dir), " AND ".join(conditions))
    if raw:
        for line in rows["raw"].to_pylist():
            sys.stdout.buffer.write(line + b"\n")
        return
    if as_json:
        typer.echo(_json(rows, lambda raw: raw.decode("utf-8", "backslashreplace")), nl=False)
        return
    _print_rejects(rows, limit, narrowed=len(conditions) > 1)


def _print_rejects(rows: pa.Table, limit: int, narrowed: bool) -> None:
    from collections import Counter

    if not rows.num_rows:
        typer.echo("No such line was refused." if narrowed else "No line was refused.")
        return
    reasons = Counter(text.partition(":")[0] for text in rows["reason"].to_pylist())
    print_table(["lines", "reason"], [[count, text] for text, count in reasons.most_common()])
    typer.echo()
    print_table(
        ["file", "line", "reason", "text"],
        [
            [Path(row["path"]).name, row["line_no"], row["reason"].partition(":")[0],
             _excerpt(row["raw"])]
            for row in rows.slice(0, limit).to_pylist()
        ],
    )  # fmt: skip
    if rows.num_rows > limit:
        typer.echo(
            f"… {plural(rows.num_rows, 'line')} in all; --limit, --json or --raw shows more."
        )


def _excerpt(raw: bytes, size: int = 72) -> str:
    text = raw.decode("utf-8", "backslashreplace")
    text = printable(text[: size + 1])
    return text if len(text) <= size else text[: size - 1] + "…"


def _check_may_show(lake: Lake, table: str, restricted: bool) -> None:
    from studium.lenses import restricted_tables, tables

    names = lake.names()
    if table not in names:
        known = {one.name for one in tables()}
        hint = (
            f"`studium build {table}` makes it."
            if table in known
            else f"There are: {', '.join(names) or 'none yet; `studium run` makes them'}."
        )
        raise UsageError(f"there is no table {table!r} in the lake.", hint)
    if table in restricted_tables() and not restricted:
        raise UsageError(
            f"{table} holds names or addresses of learners.",
            "Add --restricted if you may see them.",
        )


def _query(
    site: Site, lake: Lake, table: str, where: str | None, limit: int | None
) -> tuple[pa.Table, int]:
    from studium.engines import open_engine
    from studium.lenses import tables

    grain = next((one.grain for one in tables() if one.name == table), ())
    condition = f" WHERE ({where})" if where else ""
    order = f" ORDER BY {', '.join(grain)}" if grain else ""
    most = f" LIMIT {limit}" if limit is not None else ""
    settings = site.settings.engine
    engine = open_engine("duckdb", settings.memory, settings.threads or None)
    inputs = {table: lake.snapshot(table).relation()}
    try:
        rows = engine.query(f'SELECT * FROM "{table}"{condition}{order}{most}', inputs)
        total = engine.query(f'SELECT count(*) AS n FROM "{table}"{condition}', inputs)
    except EngineError as error:
        if not where:
            raise
        columns = ", ".join(lake.snapshot(table).columns)
        raise UsageError(
            f"--where {where} does not work: {error.message.splitlines()[0]}",
            f"It is an SQL condition over {columns}.",
        ) from None
    finally:
        engine.close()
    return rows, int(total["n"][0].as_py())


def _cell(value: Any) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and len(value) > 60:
        return value[:59] + "…"
    return value


def _csv(rows: pa.Table) -> str:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows.column_names)
    for batch in rows.to_batches():
        for row in batch.to_pylist():
            writer.writerow(v.hex() if isinstance(v, bytes) else v for v in row.values())
    return out.getvalue()


def _json(rows: pa.Table, of_bytes: Callable[[bytes], str] = bytes.hex) -> str:
    import json

    def plain(value: object) -> object:
        return of_bytes(value) if isinstance(value, bytes) else str(value)

    return json.dumps(rows.to_pylist(), default=plain, ensure_ascii=False, indent=1) + "\n"


def _write_parquet(rows: pa.Table, output: Path | None) -> None:
    import pyarrow.parquet as pq

    if output is not None:
        pq.write_table(rows, output, compression="zstd")
    elif sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal.", "Add --output FILE or redirect.")
    else:
        pq.write_table(rows, sys.stdout.buffer, compression="zstd")
