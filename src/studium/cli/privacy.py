"""``forget``: a learner goes, and stays gone."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studium.cli.context import open_chosen_site, writing
from studium.cli.output import plural, print_table
from studium.errors import FAILED

if TYPE_CHECKING:
    from studium.autopilot.forget import Forgotten, Found
    from studium.autopilot.person import Person


class Texts(StrEnum):
    """What to do with events of others that say the user name in a text."""

    REMOVE = "remove"
    KEEP = "keep"


def register(app: typer.Typer) -> None:
    app.command()(forget)


def forget(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="User id, user name or e-mail address.")],
    mentions: Annotated[
        Texts | None,
        typer.Option(
            help="Events of others that say the user name in a text: remove them (the default, "
            "unless they are many) or keep them.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Erase a learner everywhere, keep them out of every later ingest, and scan for traces.

    Exit code 1 if the scan finds any. After a crash run it again: it goes on where it was.
    """
    from studium.autopilot import forget as work
    from studium.lake.store import Lake

    choice = work.Mentions(mentions.value) if mentions else None
    with open_chosen_site(context) as site:
        lake = Lake(site.lake_dir)
        if dry_run:
            found = work.look_for(site, lake, user, choice)
            if as_json:
                typer.echo(json.dumps(_found_json(found), indent=2))
            else:
                _print_found(found)
            return
        with writing(site, "forget"):
            done = work.forget(site, lake, user, choice)
    for one in done:
        if as_json:
            typer.echo(json.dumps(_forgotten_json(one), indent=2))
        else:
            _print_forgotten(one)
    if not all(one.clean for one in done):
        raise typer.Exit(FAILED)


def _print_found(found: Found) -> None:
    typer.echo(f"{_described(found.person)}.")
    if not found.removed:
        typer.echo("Nothing of them is in the lake.")
        return
    print_table(
        ["table", "rows", "partitions"],
        [[one.table, one.rows, one.partitions] for one in found.removed],
    )
    if found.mentions:
        typer.echo(f"Of events, {found.mentions:,} are of others and tell of them in a text.")


def _print_forgotten(done: Forgotten) -> None:
    if done.resumed:
        typer.echo("An erasure that was cut short has been finished.")
    _print_found(done.found)
    changed = sum(one.changed for one in done.built)
    tables = plural(len(done.published), "table")
    typer.echo(
        f"Built {plural(changed, 'partition')} anew, published {tables}, "
        f"deleted {plural(done.files, 'old file')}."
    )
    print_table(
        ["scanned", "", "looked at", "traces"],
        [[one.place, one.kind, one.looked_at, one.found] for one in done.traces],
    )
    if done.clean:
        typer.echo("No trace. Raw logs and backups are not Studium's: erase them there, too.")
    else:
        typer.echo(
            "Traces are left: see docs/how-to/forget.md, and run the command again.", err=True
        )


def _described(person: Person) -> str:
    parts = []
    if person.ids:
        parts.append(f"user {', '.join(map(str, sorted(person.ids)))}")
    if person.names:
        parts.append(f"user name {', '.join(sorted(person.names))}")
    if person.emails:
        parts.append("e-mail address known")
    text = ", ".join(parts)
    return text[0].upper() + text[1:]


def _found_json(found: Found) -> dict[str, Any]:
    return {
        "user_ids": sorted(found.person.ids),
        "rows": {one.table: one.rows for one in found.removed},
        "mentions": found.mentions,
    }


def _forgotten_json(done: Forgotten) -> dict[str, Any]:
    return {
        **_found_json(done.found),
        "resumed": done.resumed,
        "rebuilt": sum(one.changed for one in done.built),
        "published": [one.table for one in done.published],
        "files_deleted": done.files,
        "scan": [
            {"place": one.place, "kind": one.kind, "looked_at": one.looked_at, "traces": one.found}
            for one in done.traces
        ],
        "clean": done.clean,
    }
