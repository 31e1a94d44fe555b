"""``forget``: a learner goes, and stays gone; ``retention``: old raw days go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studium.cli.context import open_chosen_site, writing
from studium.cli.output import plural, print_table
from studium.errors import FAILED

if TYPE_CHECKING:
    from studium.autopilot.forget import Forgotten, Found
    from studium.autopilot.person import Person
    from studium.autopilot.retention import Dropped
    from studium.lake.store import Lake
    from studium.site import Site


class Texts(StrEnum):
    """What to do with events of others that say the user name in a text."""

    REMOVE = "remove"
    KEEP = "keep"


def register(app: typer.Typer) -> None:
    app.command()(forget)
    app.command()(retention)


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


def retention(
    context: typer.Context,
    keep_hours: Annotated[
        int,
        typer.Option(min=0, metavar="H", help="Keep the files of what went in the last H hours."),
    ] = 24,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Drop days of raw tables that are older than retention.raw_days; `run` does it, too."""
    from studium.autopilot.retention import old_days
    from studium.lake.store import Lake

    with open_chosen_site(context) as site:
        if not site.settings.retention.raw_days:
            typer.echo("retention.raw_days is 0: everything is kept.")
            return
        lake = Lake(site.lake_dir)
        if dry_run:
            _print_dropped(old_days(site, lake))
            return
        with writing(site, "retention"):
            drop_old_days(site, lake, keep_hours=keep_hours)


def drop_old_days(
    site: Site, lake: Lake, quiet: bool = False, keep_hours: int = 24
) -> list[dict[str, Any]]:
    """Apply ``retention.raw_days`` and say what went; as JSON has it."""
    from dataclasses import asdict

    from studium.autopilot.retention import apply_retention

    dropped = apply_retention(site, lake, keep_hours)
    if not quiet:
        _print_dropped(dropped)
    return [asdict(one) for one in dropped]


def _print_dropped(dropped: Sequence[Dropped]) -> None:
    if not dropped:
        typer.echo("No raw day is older than retention.raw_days.")
        return
    print_table(
        ["dropped", "days before", "days", "rows"],
        [[one.table, one.before, one.days, one.rows] for one in dropped],
    )


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
    if done.reports:
        typer.echo(
            f"Deleted {plural(done.reports, 'file')} of reports; `studium report` makes them again."
        )
    if done.jobs.done:
        said = f"Deleted the outputs and logs of {plural(len(done.jobs.done), 'job')}"
        typer.echo(f"{said}: nobody can tell whom they are about.")
    if done.jobs.busy:
        typer.echo(
            f"Jobs under way read what was there before: {', '.join(done.jobs.busy)}. "
            "Cancel them, or run the command again when they have ended.",
            err=True,
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
        "reports_deleted": done.reports,
        "jobs": {"erased": done.jobs.done, "under_way": done.jobs.busy},
        "scan": [
            {"place": one.place, "kind": one.kind, "looked_at": one.looked_at, "traces": one.found}
            for one in done.traces
        ],
        "clean": done.clean,
    }
