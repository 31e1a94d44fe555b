"""``compare`` sets the published tables beside an old result store."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studium.cli.context import open_chosen_site
from studium.cli.output import plural, print_table
from studium.cli.reports import print_json
from studium.errors import FAILED

if TYPE_CHECKING:
    from studium.autopilot.compare import Comparison, Example


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    context: typer.Context,
    other: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="URL",
            help="The old result store: mysql://user@host/database, postgresql://… or "
            "sqlite:///file.db. STUDIUM_COMPARE_PASSWORD may hold the password.",
        ),
    ],
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this table; may be repeated. Default: all."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(min=0, help="Relative difference up to which fractions are equal."),
    ] = 1e-6,
    examples: Annotated[
        int, typer.Option(min=0, help="Unexplained differences to print of each table.")
    ] = 3,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all differences there: .csv, .json or .parquet."),
    ] = None,
) -> None:
    """Compare the published tables with an old result store, cell by cell.

    Neither is changed. A difference is documented (D1, D2, …: docs/explanation/differences.md), or
    data are newer on one side, or it is unexplained. Exit code 0: nothing is unexplained; 1:
    something is.
    """
    from studium.autopilot.compare import compare_stores
    from studium.lake.store import Lake

    with open_chosen_site(context) as site:
        report = compare_stores(
            site, Lake(site.lake_dir), other, table or (), tolerance, examples, output
        )
    if form is Format.JSON:
        print_json(_json(report))
    else:
        _print(report)
    if output is not None and form is Format.TABLE:
        typer.echo(f"All {plural(report.classes.total(), 'difference')}: {output}")
    if report.unexplained:
        raise typer.Exit(FAILED)


def _print(report: Comparison) -> None:
    from studium.autopilot.compare import NEWER_HERE, NEWER_THERE, UNEXPLAINED

    typer.echo(f"here   {report.here}, data to {report.last_here or 'no day'}")
    typer.echo(f"there  {report.there}, data to {report.last_there or 'no day'}")
    typer.echo()
    rows: list[list[object]] = []
    for one in report.tables:
        newer = one.classes[NEWER_HERE] + one.classes[NEWER_THERE]
        unexplained = one.classes[UNEXPLAINED]
        rows.append(
            [one.table, one.both, one.only_here, one.only_there, one.twice, one.cells,
             one.classes.total() - newer - unexplained, newer, unexplained]
        )  # fmt: skip
    print_table(
        ["table", "both", "only here", "only there", "twice there", "cells", "= documented",
         "+ newer", "+ unexplained"],
        rows,
    )  # fmt: skip
    _print_explained(report)
    for one in report.tables:
        if one.lacking:
            typer.echo(f"{one.table}: not there, so not compared: {', '.join(one.lacking)}.")
    if report.not_there:
        typer.echo(f"Tables that are only here: {', '.join(report.not_there)}.")
    if report.not_here:
        typer.echo(f"Tables that are only there: {', '.join(report.not_here)}.")
    typer.echo()
    typer.echo(f"{plural(report.unexplained, 'difference')} unexplained.")
    for example in report.examples:
        _print_example(example)


def _print_explained(report: Comparison) -> None:
    from studium.autopilot.compare import NEWER_HERE, NEWER_THERE
    from studium.lenses.differences import documented

    why = {rule.id: rule.why for rule in documented()}
    found = report.classes
    for number in sorted((one for one in found if one in why), key=lambda one: int(one[1:])):
        typer.echo(f"{number} ({found[number]:,}): the old pipeline: {why[number]}.")
    for newer, command in (
        (NEWER_HERE, f"compare with a store that the old pipeline filled to {report.last_here}"),
        (NEWER_THERE, f"`studium run --until` the day after {report.last_there}, then compare"),
    ):
        if found[newer]:
            typer.echo(f"{newer} ({found[newer]:,}): to see more, {command}.")


def _print_example(example: Example) -> None:
    what = f"{example.table}: {example.kind}"
    if example.column is not None:
        what = (
            f"{example.table}.{example.column}: {_shown(example.here)} here, "
            f"{_shown(example.there)} there"
        )
    typer.echo(f"{what}: {example.where}")
    typer.echo(f"  {example.command}")


def _shown(value: str | None) -> str:
    return "NULL" if value is None else value


def _json(report: Comparison) -> dict[str, object]:
    from dataclasses import asdict

    return {
        **asdict(report),
        "classes": dict(report.classes),
        "tables": [{**asdict(one), "classes": dict(one.classes)} for one in report.tables],
        "unexplained": report.unexplained,
    }
