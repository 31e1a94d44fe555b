"""``verify``: kept and published tables against the raw files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from studium.cli.context import open_chosen_site
from studium.cli.output import plural, print_table
from studium.errors import FAILED

if TYPE_CHECKING:
    from studium.autopilot.verification import Verification


def register(app: typer.Typer) -> None:
    app.command()(verify)


def verify(
    context: typer.Context,
    days: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many random days to make anew.")
    ] = 3,
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="Draw the same days as a run that printed it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare what is kept and published with the raw files. Changes nothing.

    Exit code 1 if anything differs; each difference is named with its cure.
    """
    import random

    from studium.autopilot.verification import verify_site
    from studium.lake.store import Lake

    with open_chosen_site(context) as site:
        chosen = random.randrange(10**6) if seed is None else seed
        report = verify_site(site, Lake(site.lake_dir), days, chosen)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2, default=str))
    else:
        _print(report)
    if report.wrong:
        raise typer.Exit(FAILED)


def _print(report: Verification) -> None:
    wrong = {
        check: sum(one.check == check for one in report.wrong)
        for check in ("files", "raw", "built", "published", "audit")
    }
    looked = {
        "files": f"{plural(report.files, 'file')} of the lake, {report.bytes / 1e6:,.1f} MB",
        "raw": f"{plural(report.events, 'event')} of {plural(len(report.days), 'day')}, "
        f"{plural(report.raw_files, 'raw file')} read",
        "built": f"{plural(report.partitions, 'partition')} made anew",
        "published": f"{plural(report.published, 'table')}, {plural(report.published_rows, 'row')}",
        "audit": f"{report.audited:,} entries of the audit log",
    }
    print_table(
        ["", "check", "looked at", "wrong"],
        [
            ["WRONG" if count else "ok", check, looked[check], count]
            for check, count in wrong.items()
        ],
    )
    if report.days:
        listed = ", ".join(map(str, report.days))
        typer.echo(f"Days, drawn with --seed {report.seed}: {listed}.")
    for note in report.notes:
        typer.echo(note)
    for one in report.wrong:
        where = one.table if one.day is None else f"{one.table} of {one.day}"
        typer.echo(f"WRONG {where} ({one.check}): {one.found}.")
        typer.echo(f"      {one.cure}")
