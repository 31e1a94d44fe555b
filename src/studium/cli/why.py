"""``why`` goes from a number back to the rows it was made of, and to their lines in the log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studium.cli.context import open_chosen_site
from studium.cli.output import plural, print_table

if TYPE_CHECKING:
    from studium.autopilot.trace import Step
    from studium.columns import Column
    from studium.site import Site
    from studium.sources.edx.positions import Place

_SHOWN = 5
_FILE, _LINE = "file_id", "line_no"


def register(app: typer.Typer) -> None:
    app.command()(why)


def why(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="A table of the lake or of the result store.")],
    where: Annotated[
        str,
        typer.Option(
            metavar="SQL", help="Which row, e.g. \"course_id = '…' AND date = '2025-09-01'\"."
        ),
    ],
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Rows to print of each table; default 5, with --json all."),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Also print the lines of the log themselves.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Explain a row of a table: the rows it was made of, down to files and lines of the log.

    Tables of names and addresses are never shown.
    """
    from studium.autopilot.trace import trace_rows
    from studium.lake.store import Lake

    most = _SHOWN if limit is None and not as_json else limit
    with open_chosen_site(context) as site:
        steps = trace_rows(site, Lake(site.lake_dir), table, where, most)
        places = _places(site, steps)
    texts = _read(steps, places) if lines else {}
    if as_json:
        typer.echo(_json(steps, places, texts if lines else None), nl=False)
        return
    _print_asked(steps[0], places)
    for step in steps[1:]:
        _print_step(step, places)
    if lines:
        _print_lines(steps, places, texts)


Texts = Mapping[tuple[int, int], bytes]


def _places(site: Site, steps: Sequence[Step]) -> dict[int, Place]:
    """The log files that rows of the steps come from, by number."""
    from studium.sources.edx.ingest import SOURCE
    from studium.sources.edx.positions import look_for
    from studium.state.manifest import known_files

    wanted = {file for file, _ in _positions(steps)}
    with site.state.read() as conn:
        known = {row.file_id: row for row in known_files(conn, SOURCE).values()}
    return {file: look_for(known.get(file), site.waits) for file in wanted}


def _positions(steps: Sequence[Step]) -> list[tuple[int, int]]:
    return [
        (row[_FILE], row[_LINE])
        for step in steps
        for row in step.rows
        if row.get(_FILE) is not None and row.get(_LINE) is not None
    ]


def _read(steps: Sequence[Step], places: Mapping[int, Place]) -> Texts:
    """The lines that can be read, by file and number."""
    from studium.sources.edx.positions import read_lines

    numbers: dict[int, set[int]] = {}
    for file, line in _positions(steps):
        numbers.setdefault(file, set()).add(line)
    return {
        (file, line): text
        for file, wanted in numbers.items()
        if (path := places[file].path) is not None
        for line, text in read_lines(path, wanted, places[file].waits).items()
    }


def _print_asked(step: Step, places: Mapping[int, Place]) -> None:
    _print_header(step)
    _print_check(step)
    meanings = _meanings(step.table)
    for row in step.rows:
        typer.echo()
        rows = [[name, value, meanings.get(name, "")] for name, value in _seen(row, places)]
        print_table(["column", "value", "meaning"], rows, grouped=False)


def _print_step(step: Step, places: Mapping[int, Place]) -> None:
    typer.echo()
    _print_header(step)
    for reader, condition in step.conditions.items():
        _print_field("for", f"{reader}: {condition}")
    if step.withheld:
        _print_field("rows", f"{step.count:,}, which hold names or addresses: never shown")
        return
    totals = ", ".join(f"{name} {value:,}" for name, value in step.totals.items())
    _print_field("rows", f"{step.count:,}{f'; sums: {totals}' if totals else ''}")
    _print_check(step)
    if not step.rows or _is_python(step):
        return
    typer.echo()
    seen = [_seen(row, places) for row in step.rows]
    print_table(
        [name for name, _ in seen[0]], [[value for _, value in row] for row in seen], grouped=False
    )
    if step.count > len(step.rows):
        typer.echo(f"… {plural(step.count, 'row')} in all; --limit shows more.")
    _print_command(step.rows, places)


def _is_python(step: Step) -> bool:
    """Rows made by Python, such as the days of the calendar, explain nothing by themselves."""
    return bool(step.grain) and step.again is None and not step.imported


def _print_header(step: Step) -> None:
    typer.echo(f"{step.table}: {step.description}")
    if step.rule:
        _print_field("rule", step.rule)
    made = [step.build or "no rows"]
    if step.built_at is not None:
        made.append(f"{step.built_at:%Y-%m-%d %H:%M:%S} UTC")
    made += [f"{name} = {value}" for name, value in step.params.items()]
    _print_field("build", ", ".join(made))
    if step.inputs:
        made_of = (f"{name} {_version(text)}" for name, text in step.inputs.items())
        _print_field("from", ", ".join(made_of))


def _print_field(name: str, text: str) -> None:
    import textwrap

    lines = textwrap.wrap(text, 90, break_long_words=False, break_on_hyphens=False)
    typer.echo(f"  {name:5}  " + "\n         ".join(lines))


def _print_check(step: Step) -> None:
    if step.again:
        _print_field("check", "its SQL over nothing but the rows found below gives this again")
    elif step.again is False:
        _print_field(
            "check",
            "FAILED: its SQL over the rows found below gives something else. They have changed "
            "since it was built (`studium plan` tells), or [trace] in its header is wrong.",
        )
    if step.imported:
        _print_field(
            "note",
            f"{plural(step.imported, 'row')} imported from an old warehouse, which no line of a "
            "log explains",
        )


def _version(text: str) -> str:
    """A build id, or the digest of those of many days."""
    if not text:
        return "(empty)"
    return text if "-" in text else f"(days, digest {text[:8]})"


def _print_command(rows: Sequence[Mapping[str, Any]], places: Mapping[int, Place]) -> None:
    for row in rows:
        place = places.get(row.get(_FILE, -1))
        command = place.command(row[_LINE]) if place is not None else ""
        if command:
            typer.echo(f"\nThe first of these lines (--lines prints all): {command}")
            return


def _print_lines(steps: Sequence[Step], places: Mapping[int, Place], texts: Texts) -> None:
    typer.echo("\nLines of the log:")
    for file, line in dict.fromkeys(_positions(steps)):
        place, text = places[file], texts.get((file, line))
        if text is None:
            typer.echo(f"{place}:{line}: {place.trouble or 'cannot be read'}")
        else:
            note = f" ({place.trouble})" if place.trouble else ""
            typer.echo(f"{place}:{line}{note}: {text.decode('utf-8', 'backslashreplace')}")


def _seen(row: Mapping[str, Any], places: Mapping[int, Place]) -> list[tuple[str, object]]:
    """The columns as people want to see them: files by name, and of wide rows what they hold."""
    wide = len(row) > 16
    seen: list[tuple[str, object]] = []
    for name, value in row.items():
        if name == _FILE and value in places:
            place = places[value]
            trouble = place.trouble if place.path is not None else ""
            seen.append(("file", f"{place} ({trouble})" if trouble else str(place)))
        elif name == _LINE:
            seen.append(("line", value))
        elif not wide or value is not None:
            seen.append((name, _cell(name, value)))
    return seen


def _cell(name: str, value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and len(value) > 80:
        return value[:79] + "…"
    if name.endswith("_id") or isinstance(value, bool):
        return value if value is None else str(value)
    return value


def _meanings(table: str) -> dict[str, str]:
    from studium.lenses import tables

    columns: Sequence[Column] = next((one.columns for one in tables() if one.name == table), ())
    return {column.name: column.meaning for column in columns}


def _json(steps: Sequence[Step], places: Mapping[int, Place], texts: Texts | None) -> str:
    from dataclasses import asdict

    said = []
    for step in steps:
        one = asdict(step)
        for row in one["rows"]:
            if row.get(_FILE) in places and row.get(_LINE) is not None:
                row["log"] = _line_json(row[_FILE], row[_LINE], places, texts)
        said.append(one)
    return json.dumps({"steps": said}, default=_plain, ensure_ascii=False, indent=1) + "\n"


def _line_json(
    file: int, line: int, places: Mapping[int, Place], texts: Texts | None
) -> dict[str, object]:
    place = places[file]
    found: dict[str, object] = {
        "path": place.path,
        "line": line,
        "trouble": place.trouble or None,
        "command": place.command(line) or None,
    }
    if texts is not None:
        text = texts.get((file, line))
        found["text"] = None if text is None else text.decode("utf-8", "backslashreplace")
    return found


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
